"""
C{storing://store/SHA256}: a file that is on its way into a store, read from there as it grows.

It is a place like any other, so that whoever reads there is healed as always: if the file grows no more, the rest comes
from the next place, with the same proof as any rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import CircuitOpen, NotFound, Truncated
from ..flow.reading import ReadBody
from ..interfaces import IBody, IDownloader, IFetcher, IScheme, IShared, IWorkers
from ..mirrors.scores import Scores
from ..model.remote import Remote, Timeouts
from ..model.report import Attempt
from ..model.source import Head, Source, Span, Validators
from .growing import Growing
from .store import Store

__all__ = ["SCHEME", "Beside", "Following", "url_of"]

SCHEME: Final = "storing"
PIECE: Final = 256 * 1024

PATIENCE: Final = 1.0
"""Seconds without a new byte after which the rest is asked for upstream: who stores may be waiting for its client."""


def url_of(sha256: str) -> str:
    """Where a file is while it is being stored."""
    return f"{SCHEME}://store/{sha256}"


class Beside(Scores):
    """Judges mirrors; a file that is on its way into a store is none of them, comes first and teaches nothing."""

    async def locate(self, source: Source, direct: IDownloader) -> AsyncIterator[Source]:
        here = _is_here(source)
        if here:
            yield source
        places = super().locate(source, direct)
        try:
            async for place in places:
                if not here or place.url != source.url:
                    yield place
        finally:
            await places.aclose()  # type: ignore[attr-defined]  # a generator

    def refused(self, place: Source) -> CircuitOpen | None:
        return None if _is_here(place) else super().refused(place)

    def answered(self, place: Source, head: Head, seconds: float) -> None:
        if not _is_here(place):
            super().answered(place, head, seconds)

    def usual(self, place: Source) -> float:
        return PATIENCE if _is_here(place) else super().usual(place)

    def hurried(self, place: Source, timeouts: Timeouts) -> Timeouts | None:
        return None if _is_here(place) else super().hurried(place, timeouts)

    def record(self, attempt: Attempt) -> None:
        if not _is_here(attempt.source):
            super().record(attempt)


def _is_here(place: Source) -> bool:
    return place.place.scheme == SCHEME


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
            return fail(NotFound(404, url=source.url, words="it is not being stored"))
        first = growing.head
        total = first.total or 0
        if span is None:
            return succeed(self._body(growing, Head(source.url, 200, first.headers, total, None, total)))
        part = span.within(total)
        if part is None or part.stop is None or part.stop > growing.size:  # whoever has it can be asked for just that
            return fail(NotFound(404, url=source.url, words="this part is not stored yet"))
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


class _Body(ReadBody):
    def __init__(self, reactor: Any, workers: IWorkers, growing: Growing, head: Head) -> None:
        super().__init__(head)
        self._reactor = reactor
        self._workers = workers
        self._growing = growing
        self._pass = growing.passes
        self._read: bytes | None = None
        self._reading = self._left = False
        self._timer: Any = None
        growing.enter()

    def _step(self) -> bool:
        if self._reading or self._timer is not None:
            return False
        growing = self._growing
        there = min(growing.size, self._stop) - self._offset
        if self._read is not None:
            data, self._read = self._read, None
            self._offset += len(data)
            self._write(data)
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
        return True

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

    def _release(self) -> None:
        self._rest()
        self._leave()

    def _leave(self) -> None:
        """Its descriptor may be closed; not while a thread reads by it."""
        if not (self._left or self._reading):
            self._left = True
            self._growing.leave()
