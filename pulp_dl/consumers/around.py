"""Consumers made of consumers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import Interface, alsoProvides, implementer

from ..errors import DownloadError
from ..flow.claims import IComposite, no_consumer, tell_failed
from ..interfaces import IBodyConsumer, IResumable, IRewindable, IWorkers, IWorkerUser
from ..model.source import Head, Kept, Source
from .interfaces import IRandomAccess

__all__ = ["Around", "Counted", "IProgress", "Progress", "Tee"]


class IProgress(Interface):
    """
    Is told how downloads go; many may share one.  Called in the reactor thread, C{received} often; must not raise.

    What it is given of each download is a L{Counted}, whose attributes tell more.
    """

    def started(download: Counted) -> None:
        """A download is asked for.  It has no head yet."""

    def began(download: Counted) -> None:
        """
        Its body begins to come: there is a head.  Once for each at most.  C{download.size} bytes are there already, of
        an earlier run.
        """

    def received(size: int) -> None:
        """So many more bytes are there."""

    def rewound(size: int) -> None:
        """So many of the bytes that were told are forgotten: the body is read again."""

    def ended(download: Counted, error: BaseException | None) -> None:
        """It has ended: well, if there is no error.  Exactly once for each, whether it began or not."""


@implementer(IProgress)
class Progress:
    """
    Counts.  May be read from any thread.

    @ivar done: downloads that ended well.
    @ivar failed: downloads that did not.
    @ivar begun: downloads whose body began to come, whatever became of it.
    @ivar size: bytes that are there and were not forgotten, those of earlier runs included.
    @ivar expected: bytes that all heads together announced, so far.
    """

    def __init__(self) -> None:
        self.done = self.failed = self.begun = self.size = self.expected = 0
        self._running: set[Counted] = set()
        self._forgotten = 0
        self._kept = 0

    @property
    def running(self) -> tuple[Counted, ...]:
        """The downloads that are under way, in no order."""
        return tuple(self._running)  # in one step, whatever the reactor thread adds meanwhile

    @property
    def brought(self) -> int:
        """Bytes that came, also those that were forgotten; not those of earlier runs."""
        return self.size + self._forgotten - self._kept

    def started(self, download: Counted) -> None:
        self._running.add(download)

    def began(self, download: Counted) -> None:
        self.begun += 1
        self.expected += download.expected or 0
        self.size += download.size
        self._kept += download.size

    def received(self, size: int) -> None:
        self.size += size

    def rewound(self, size: int) -> None:
        self.size -= size
        self._forgotten += size

    def ended(self, download: Counted, error: BaseException | None) -> None:
        self._running.discard(download)
        if error is None:
            self.done += 1
        else:
            self.failed += 1


@implementer(IComposite)
class Around:
    """
    Hands everything on to another consumer, and can do what that can.  To be inherited from: override what is to be
    different.

    @cvar passed: the abilities that are handed on.
    """

    passed: tuple[Any, ...] = (IRandomAccess, IRewindable, IResumable, IWorkerUser)

    def __init__(self, consumer: IBodyConsumer) -> None:
        if not IBodyConsumer.providedBy(consumer):
            raise no_consumer(type(self).__name__, consumer)
        self._consumer: Any = consumer
        self.consumers = (consumer,)
        abilities = [each for each in self.passed if each.providedBy(consumer)]
        if abilities:
            alsoProvides(self, *abilities)

    def use(self, workers: IWorkers) -> None:
        self._consumer.use(workers)

    def gone(self) -> Deferred[DownloadError]:
        gone: Deferred[DownloadError] = self._consumer.gone()
        return gone

    def kept(self) -> Deferred[Kept | None]:
        kept: Deferred[Kept | None] = self._consumer.kept()
        return kept

    def begin(self, head: Head) -> None:
        self._consumer.begin(head)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._consumer.registerProducer(producer, streaming)

    def write(self, data: bytes) -> None:
        self._consumer.write(data)

    def rewind(self, head: Head) -> None:
        self._consumer.rewind(head)

    def part(self, start: int) -> IRewindable:
        part: IRewindable = self._consumer.part(start)
        return part

    def seek(self, offset: int) -> None:
        self._consumer.seek(offset)

    def reread(self, start: int, stop: int, see: Callable[[bytes], object]) -> Deferred[None]:
        seen: Deferred[None] = self._consumer.reread(start, stop, see)
        return seen

    def unregisterProducer(self) -> None:
        self._consumer.unregisterProducer()

    def finish(self) -> Deferred[None] | None:
        ending: Deferred[None] | None = self._consumer.finish()
        return ending

    def fail(self, failure: Failure) -> None:
        tell_failed(self._consumer, failure)


class Counted(Around):
    """
    Tells an L{IProgress} how one download goes.

    @ivar source: what was asked for; None if nobody said.
    @ivar consumer: who gets the bytes.
    @ivar head: what came before them; None until it has come.
    @ivar size: bytes that are there and were not forgotten.
    """

    def __init__(self, consumer: IBodyConsumer, progress: IProgress, source: Source | None = None) -> None:
        super().__init__(consumer)
        self.source = source
        self.consumer = consumer
        self.head: Head | None = None
        self.size = 0
        self._at = 0  # where the next byte of the beginning belongs
        self._parts: list[_CountedPart] = []  # that the beginning has not come to yet
        self._progress: Any = progress
        progress.started(self)

    @property
    def expected(self) -> int | None:
        """Bytes that its head announced; None if it did not, or has not come."""
        return None if self.head is None else self.head.length

    def kept(self) -> Deferred[Kept | None]:
        return super().kept().addCallback(self._found)

    def _found(self, kept: Kept | None) -> Kept | None:
        self.size = self._at = 0 if kept is None else kept.size
        return kept

    def begin(self, head: Head) -> None:
        super().begin(head)
        self.head = head
        self._progress.began(self)

    def write(self, data: bytes) -> None:
        self._consumer.write(data)
        size = len(data)
        if self._parts:
            stop = self._at + size
            self._replaced(sum(max(0, min(stop, each.at) - max(self._at, each.start)) for each in self._parts))
        self._at += size
        self.size += size
        self._progress.received(size)

    def rewind(self, head: Head) -> None:
        super().rewind(head)
        self.head = head
        self._progress.rewound(self.size)
        self.size = self._at = 0
        self._parts = []

    def part(self, start: int) -> IRewindable:
        part: Any = _CountedPart(super().part(start), start, self.more)
        self._parts.append(part)
        return part  # type: ignore[no-any-return]  # it can do what the part can

    def seek(self, offset: int) -> None:
        super().seek(offset)
        self._at = offset
        self._parts = [each for each in self._parts if each.start >= offset or each.at > offset]

    def more(self, size: int) -> None:
        """So many bytes came to a part.  Where all are there already, they take the place of others."""
        self._replaced(max(0, self.size + size - (self.expected or 0)))
        self.size += size
        self._progress.received(size)

    def _replaced(self, size: int) -> None:
        """So many bytes that were told are written once more."""
        if size:
            self._progress.rewound(size)
            self.size -= size

    def finish(self) -> Deferred[None] | None:
        ending = super().finish()
        if ending is None:
            self._progress.ended(self, None)
            return None
        return ending.addCallback(lambda _: self._progress.ended(self, None))

    def fail(self, failure: Failure) -> None:
        super().fail(failure)
        self._progress.ended(self, failure.value)


class _CountedPart(Around):
    """
    A part of what is counted.

    @ivar at: where its next byte belongs.
    """

    def __init__(self, part: IRewindable, start: int, more: Callable[[int], None]) -> None:
        super().__init__(part)
        self.start = self.at = start
        self._more = more

    def write(self, data: bytes) -> None:
        super().write(data)
        self.at += len(data)
        self._more(len(data))


@implementer(IComposite)
class Tee:
    """
    Gives one body to several consumers, each another one.  It can rewind if all of them can.

    The body comes as fast as the slowest takes it.  When one of them fails or is gone, the download fails, and so do
    the others, but for those that have finished already: they keep what they have.
    """

    def __init__(self, first: IBodyConsumer, *others: IBodyConsumer) -> None:
        self.consumers: tuple[Any, ...] = (first, *others)
        for each in self.consumers:
            if not IBodyConsumer.providedBy(each):
                raise no_consumer("Tee", each)
        for at, each in enumerate(others):
            if any(each is before for before in self.consumers[: at + 1]):
                raise ValueError(f"Tee: {each!r} is there twice; make one for each")
        self._registered: list[Any] = []
        self._finished: list[Any] = []
        self._producer: Any = None
        self._holding: set[_Side] = set()
        if all(IRewindable.providedBy(each) for each in self.consumers):
            alsoProvides(self, IRewindable)
        if any(IWorkerUser.providedBy(each) for each in self.consumers):
            alsoProvides(self, IWorkerUser)

    def use(self, workers: IWorkers) -> None:
        for each in self.consumers:
            if IWorkerUser.providedBy(each):
                each.use(workers)

    def gone(self) -> Deferred[DownloadError]:
        first: Deferred[DownloadError] = Deferred()

        def gone(error: DownloadError) -> None:
            if not first.called:
                first.callback(error)

        for each in self.consumers:
            each.gone().addCallback(gone)
        return first

    def begin(self, head: Head) -> None:
        for each in self.consumers:
            each.begin(head)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer
        for each in self.consumers:
            each.registerProducer(_Side(self), streaming)
            self._registered.append(each)

    def write(self, data: bytes) -> None:
        for each in self.consumers:
            each.write(data)

    def rewind(self, head: Head) -> None:
        for each in self.consumers:
            each.rewind(head)

    def unregisterProducer(self) -> None:
        self._producer = None
        self._holding.clear()
        registered, self._registered = self._registered, []
        for each in registered:
            each.unregisterProducer()

    def finish(self) -> Deferred[None] | None:
        # All of them to their end, even if one fails: what is not cancelled half-way need not be undone half-way.
        endings = [maybeDeferred(each.finish).addCallback(self._ended, each) for each in self.consumers]
        return DeferredList(endings, consumeErrors=True).addCallback(self._all_ended)

    def _all_ended(self, results: list[tuple[bool, Any]]) -> None:
        _first_failure(results)
        self._finished = []  # there may be another download

    def _ended(self, _: None, one: Any) -> None:
        self._finished.append(one)

    def fail(self, failure: Failure) -> None:
        for each in self.consumers:
            if not any(each is one for one in self._finished):
                tell_failed(each, failure)
        self._finished = []

    # what the sides do

    def hold(self, side: _Side) -> None:
        first = not self._holding
        self._holding.add(side)
        if first and self._producer is not None:
            self._producer.pauseProducing()

    def release(self, side: _Side) -> None:
        last = self._holding == {side}
        self._holding.discard(side)
        if last and self._producer is not None:
            self._producer.resumeProducing()

    def stop(self) -> None:
        if self._producer is not None:
            self._producer.stopProducing()


@implementer(IPushProducer)
class _Side:
    """What one of the consumers takes for its producer."""

    def __init__(self, tee: Tee) -> None:
        self._tee = tee

    def pauseProducing(self) -> None:
        self._tee.hold(self)

    def resumeProducing(self) -> None:
        self._tee.release(self)

    def stopProducing(self) -> None:
        self._tee.stop()


def _first_failure(results: list[tuple[bool, Any]]) -> None:
    for ok, result in results:
        if not ok:
            result.raiseException()
