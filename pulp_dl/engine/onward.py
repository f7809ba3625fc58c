"""
The rest of a body, for a reader that was too slow for its transfer.

It has a download of its own: of the rest, if it can be proven that the halves belong together, and then the checks go
on where those of the transfer stood; else of the whole, of which it takes what it does not have after a digest of what
it has was found in it (promise 3).  In both cases the end is held back until it is judged (promise 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConsumerGone, DownloadError, NotResumable
from ..flow.demands import Demands
from ..flow.joins import Ask, prove, same_place
from ..flow.prefix import Prefix
from ..flow.seen import Seen
from ..flow.tail import Tail
from ..interfaces import IBodyConsumer, IDownloader
from ..model.report import Report
from ..model.source import Head, Source, Span

if TYPE_CHECKING:
    from .reader import Reader

__all__ = ["Onward", "divisible", "separable"]


def divisible(head: Head) -> bool:
    """Could a reader that is left behind go on alone?  A part is continued only where a strong validator proves it."""
    return head.whole or head.validators.if_range is not None


def separable(source: Source, head: Head, seen: Seen) -> bool:
    """
    May the rest alone do, wherever it begins: can it be proven to belong to what has come, and be judged?

    @param head: what has come; C{seen}: what the checks know of it.
    """
    strong = head.validators.if_range is not None
    return (strong or _anywhere(source, head, seen)) and (seen.complete or not seen.enforced)


def _anywhere(source: Source, head: Head, seen: Seen) -> bool:
    """What a digest of the whole will judge may come from any place, and any place has its own validators."""
    return head.whole and head.total is not None and seen.complete and Demands(source.expect, None).judged


class Onward:
    """One reader's way to the end of its body."""

    def __init__(self, reader: Reader, source: Source, head: Head | None, seen: Seen | None) -> None:
        """
        @param head: of the transfer that had the first bytes; C{seen}: what the checks know of them.  None if the
            reader has got nothing.
        """
        self._reader = reader
        self._source = source
        self._head = head
        self._seen = seen
        self._part: _Part | None = None

    def pause(self) -> None:
        """The reader takes no more for now."""
        if self._part is not None:
            self._part.pause()

    def resume(self) -> None:
        """It takes more."""
        if self._part is not None:
            self._part.resume()

    def stop(self) -> None:
        """It wants no more."""
        if self._part is not None:
            self._part.stop()

    async def run(self, inner: IDownloader) -> tuple[Report, Head]:
        """Bring it; returns what was found, and the head that the consumer was given."""
        head, seen = self._head, self._seen
        if head is None or seen is None:
            part = _Part(self._reader)
            report = await self._bring(inner, self._source, part)
            return report, report.head
        ask = self._ask(head, seen)
        if ask is None and not head.whole:
            raise NotResumable("a part of a file cannot be joined without a strong validator", head.url)
        if ask is not None:
            rest = _Rest(self._reader, self._source, head, ask, seen)
            source = evolve(self._source, expect=(), span=ask.span, conditions=_if_range(ask))
            try:
                return await rest.judge(await self._bring(inner, source, rest)), head
            except DownloadError as error:
                final = not head.whole or not (rest.refused or error.transient)
                if self._reader.ended or final:
                    raise
        again = _Again(self._reader, self._source, head, seen)
        report = await self._bring(inner, evolve(self._source, span=None, conditions=()), again)
        return evolve(report, size=self._reader.position), again.head or head

    async def _bring(self, inner: IDownloader, source: Source, part: _Part) -> Report:
        self._part = part
        try:
            return await inner.download(source, part)
        except DownloadError as error:
            if part.refused is None:
                raise
            part.refused.attempts = error.attempts
            raise part.refused from part.refused.__cause__

    def _ask(self, head: Head, seen: Seen) -> Ask | None:
        """What to ask for, if the rest alone may do."""
        if not separable(self._source, head, seen):
            return None
        position = self._reader.position
        rest = Span(position) if head.span is None else Span(head.span.start + position, head.span.stop)
        return Ask(rest, None if _anywhere(self._source, head, seen) else head.validators, True)


def _if_range(ask: Ask) -> tuple[tuple[bytes, bytes], ...]:
    strong = None if ask.same_as is None else ask.same_as.if_range
    return () if strong is None else ((b"If-Range", strong),)


@implementer(IBodyConsumer)
class _Part:
    """
    The consumer of a download that goes on to a reader's consumer.

    @ivar refused: what came could not be proven to belong to what the reader has.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._producer: IPushProducer | None = None
        self._gone: Deferred[DownloadError] = Deferred()
        self.head: Head | None = None
        self.refused: NotResumable | None = None

    def refuse(self, error: NotResumable) -> NoReturn:
        """Not these bytes; and no other try, which would go on behind them."""
        self.refused = error
        raise ConsumerGone("this does not go with what came first", error.url) from error

    def pause(self) -> None:
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def stop(self) -> None:
        if not self._gone.called:
            self._gone.callback(ConsumerGone("the consumer wants no more"))

    def gone(self) -> Deferred[DownloadError]:
        return self._gone

    def begin(self, head: Head) -> None:
        self.head = head

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.head is not None
        self._reader.begin(self.head)  # it may pause before its first bytes
        self._producer = producer
        if self._reader.sated:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        assert self.head is not None
        self._hand(data, self.head)

    def _hand(self, data: bytes, head: Head) -> None:
        if not self._reader.ended:
            self._reader.hand(data, head)

    def finish(self) -> None:
        pass

    def fail(self, failure: Failure) -> None:
        pass


class _Rest(_Part):
    """Takes the rest, and nothing else."""

    def __init__(self, reader: Reader, source: Source, first: Head, ask: Ask, seen: Seen) -> None:
        super().__init__(reader)
        self._source = source
        self._first = first
        self._ask = ask
        self._seen = seen
        assert ask.span is not None  # it asks for no whole body
        self._start = ask.span.start
        self._stop = stop = first.total if first.span is None else first.span.stop
        self._tail = Tail(None if stop is None else stop - self._start) if seen.enforced else None

    def begin(self, head: Head) -> None:
        super().begin(head)
        try:
            self._prove(head)
        except NotResumable as error:
            self.refuse(error)

    def _prove(self, head: Head) -> None:
        first, ask, demands = self._first, self._ask, Demands(self._source.expect, None)
        judged = ask.same_as is None
        prove(first, head, self._source, ask, bounded=demands.size is not None or judged, judged=judged)
        assert head.span is not None
        stop = head.total if self._stop is None else self._stop
        if head.span.start != self._start or head.span.stop != stop:
            raise NotResumable("another part came than the rest", head.url)
        if not judged and first.etag is None and head.modified is None:
            # It may have been asked for again, and then without If-Range.
            raise NotResumable("the rest came without the date that would prove it", head.url)

    def write(self, data: bytes) -> None:
        if self._tail is not None:
            data = b"".join(self._tail.push(data))  # one piece, for the consumer may pause or stop after any
        if data:
            self._seen.update(data)
            self._hand(data, self._first)

    async def judge(self, report: Report) -> Report:
        """All is here: let the checks judge it, and release the end."""
        held = [] if self._tail is None else self._tail.pop()
        seen = self._seen.copy()  # the other one stays at what the consumer has
        for piece in held:
            seen.update(piece)
        facts, advisories = seen.verify()
        await self._reader.resumed()
        if held:
            self._hand(b"".join(held), self._first)
        size = self._reader.position
        return evolve(report, size=size, facts=facts, advisories=advisories, validated=seen.enforced)


class _Again(_Part):
    """Takes the whole, and of it what the reader does not have."""

    def __init__(self, reader: Reader, source: Source, first: Head, seen: Seen) -> None:
        super().__init__(reader)
        self._source = source
        self._first = first
        self._seen = seen
        self._prefix: Prefix | None = None

    def begin(self, head: Head) -> None:
        super().begin(head)
        first, reader = self._first, self._reader
        if reader.outlet.rewindable:
            reader.rewind(head)
            return
        self.head = first
        sizes = {head.total, first.total}
        if not head.whole or (None not in sizes and len(sizes) > 1) or self._tells_of_another(head):
            self.refuse(NotResumable("the file is another one now than when it began to come", head.url))
        self._prefix = Prefix(reader.position, *self._seen.so_far())

    def _tells_of_another(self, head: Head) -> bool:
        """Where no digest will tell whether the file is right, the strong ETags of one place tell if it is another."""
        if Demands(self._source.expect, None).judged or not same_place(self._first, head):
            return False
        etags = {self._first.etag, head.etag}
        strong = {self._first.validators.if_range, head.validators.if_range}
        return None not in etags and None not in strong and len(etags) > 1

    def write(self, data: bytes) -> None:
        prefix = self._prefix
        if prefix is not None and prefix.left:
            known, data = data[: prefix.left], data[prefix.left :]
            if not prefix.compare(known):
                self.refuse(NotResumable("the file begins with other bytes now", self._first.url))
        total = None if prefix is None else self._first.total
        if total is not None and self._reader.position + len(data) > total:
            self.refuse(NotResumable("the file is longer now", self._first.url))
        if data:
            super().write(data)

    def finish(self) -> None:
        prefix, total = self._prefix, self._first.total
        if prefix is not None and (prefix.left or total not in {None, self._reader.position}):
            self.refuse(NotResumable("the file is shorter now", self._first.url))
