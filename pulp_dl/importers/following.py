"""
C{storing://store/SHA256}: a file that is on its way into a store, read from there as it grows.

It is a place like any other, so that whoever reads there is healed as always: if the file grows no more, the rest comes
from the next place, with the same proof as any rest.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import NotFound, Truncated
from ..interfaces import IBody, IFetcher, IScheme, IShared, IWorkers
from ..model.remote import Remote
from ..model.source import Head, Source, Span, Validators
from .growing import Growing
from .store import Store

__all__ = ["SCHEME", "Following", "url_of"]

SCHEME: Final = "storing"
PIECE: Final = 256 * 1024

PATIENCE: Final = 1.0
"""Seconds without a new byte after which the rest is asked for upstream: who stores may be waiting for its client."""


def url_of(sha256: str) -> str:
    """Where a file is while it is being stored."""
    return f"{SCHEME}://store/{sha256}"


@implementer(IScheme)
class Following:
    """For the files of one store."""

    names = (SCHEME,)

    def __init__(self, store: Store) -> None:
        self._store = store

    def fetcher(self, reactor: Any, remote: Remote, shared: IShared) -> IFetcher:
        return _Fetcher(reactor, self._store, shared.workers)


@implementer(IFetcher)
class _Fetcher:
    def __init__(self, reactor: Any, store: Store, workers: IWorkers) -> None:
        self._reactor = reactor
        self._store = store
        self._workers = workers

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        growing = self._store.growing(source.place.path.strip("/"))
        if growing is None or growing.head is None or source.conditions:
            return fail(NotFound(404, "it is not being stored", source.url))
        first = growing.head
        total = first.total or 0
        if span is None:
            return succeed(self._body(growing, Head(source.url, 200, first.headers, total, None, total)))
        part = span.within(total)
        if part is None or part.stop is None or part.stop > growing.size:  # whoever has it can be asked for just that
            return fail(NotFound(404, "this part is not stored yet", source.url))
        head = Head(source.url, 206, first.headers, part.stop - part.start, part, total)
        return succeed(self._body(growing, head))

    def _body(self, growing: Growing, head: Head) -> _Body:
        return _Body(self._reactor, self._workers, growing, head)

    def head(self, source: Source) -> Deferred[Head]:
        return self.open(source).addCallback(_head_of)

    def close(self) -> Deferred[None]:
        """Whoever reads is cancelled by its download."""
        return succeed(None)


def _head_of(body: IBody) -> Head:
    body.abandon()
    head: Head = body.head
    return head


@implementer(IBody, IPushProducer)
class _Body:
    public = True

    def __init__(self, reactor: Any, workers: IWorkers, growing: Growing, head: Head) -> None:
        self.head = head
        self.url = head.url
        self._reactor = reactor
        self._workers = workers
        self._growing = growing
        self._pass = growing.passes
        self._start = self._offset = 0 if head.span is None else head.span.start
        self._stop = self._start + (head.length or 0)
        self._read: bytes | None = None
        self._reading = self._paused = self._flowing = self._left = False
        self._timer: Any = None
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None
        growing.enter()

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        done = self._done = Deferred(lambda _: self.stopProducing())
        consumer.registerProducer(self, True)
        self._flow()
        return done

    def abandon(self) -> None:
        self._leave()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._flow()

    def stopProducing(self) -> None:
        self._end(Failure(CancelledError()))

    def _flow(self) -> None:
        """Hand on what was read, and read on, until there is something to wait for."""
        if self._flowing:  # resumed from inside a write: the loop below goes on
            return
        self._flowing = True
        try:
            while self._done is not None and not (self._paused or self._reading or self._timer):
                self._step()
        finally:
            self._flowing = False

    def _step(self) -> None:
        assert self._consumer is not None
        growing = self._growing
        there = min(growing.size, self._stop) - self._offset
        if self._read is not None:
            data, self._read = self._read, None
            self._offset += len(data)
            try:
                self._consumer.write(data)
            except Exception:
                self._end(Failure())
        elif self._offset >= self._stop:
            self._end(None)
        elif growing.passes != self._pass or (there <= 0 and growing.over):
            self._break_off()
        elif there > 0:
            self._reading = True
            job = partial(growing.read, min(PIECE, there), self._offset)
            self._workers.run(job).addCallbacks(self._came, self._failed)
        else:
            growing.call(self._more)
            self._timer = self._reactor.callLater(PATIENCE, self._late)
            if growing.size > self._offset:  # it has grown just now
                self._more()

    def _came(self, data: bytes) -> None:
        self._reading = False
        if self._done is None:
            self._leave()
        elif self._growing.passes != self._pass or not data:  # it may be of either pass
            self._break_off()
        else:
            self._read = data
            self._flow()

    def _failed(self, failure: Failure) -> None:
        self._reading = False
        if self._done is None:
            self._leave()
        else:
            self._break_off(failure)

    def _more(self) -> None:
        self._rest()
        self._flow()

    def _late(self) -> None:
        self._timer = None
        self._break_off()

    def _rest(self) -> None:
        self._growing.forget(self._more)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _break_off(self, cause: Failure | None = None) -> None:
        error = Truncated(self._offset - self._start, self._stop - self._start, self.head.url)
        error.__cause__ = None if cause is None else cause.value
        self._end(Failure(error))

    def _end(self, failure: Failure | None) -> None:
        done, self._done = self._done, None
        self._rest()
        self._leave()
        if done is None:
            return
        assert self._consumer is not None
        self._consumer.unregisterProducer()
        if failure is None:
            done.callback(None)
        else:
            done.errback(failure)

    def _leave(self) -> None:
        """Its descriptor may be closed; not while a thread reads by it."""
        if not (self._left or self._reading):
            self._left = True
            self._growing.leave()
