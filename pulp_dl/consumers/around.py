"""Consumers made of consumers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import Interface, alsoProvides, implementer

from ..errors import DownloadError
from ..interfaces import IBodyConsumer, IResumable, IRewindable, IWorkers, IWorkerUser
from ..model.source import Head, Kept

__all__ = ["Around", "Counted", "IProgress", "Progress", "Tee"]


class IProgress(Interface):
    """Is told how downloads go; many may share one.  Called in the reactor thread, often; must not raise."""

    def began(head: Head) -> None:
        """The body of a download begins to come.  Once for each download at most."""

    def received(size: int) -> None:
        """So many more bytes are there."""

    def rewound(size: int) -> None:
        """So many of the bytes that were told are forgotten: the body is read again."""

    def ended(ok: bool) -> None:
        """A download has ended, well or not; exactly once for each, whether it began or not."""


@implementer(IProgress)
class Progress:
    """
    Counts.

    @ivar done: downloads that ended well.
    @ivar failed: downloads that did not.
    @ivar size: bytes that came and were not forgotten.
    @ivar expected: bytes that all heads together announced, so far.
    """

    def __init__(self) -> None:
        self.done = self.failed = self.size = self.expected = 0

    def began(self, head: Head) -> None:
        self.expected += head.length or 0

    def received(self, size: int) -> None:
        self.size += size

    def rewound(self, size: int) -> None:
        self.size -= size

    def ended(self, ok: bool) -> None:
        if ok:
            self.done += 1
        else:
            self.failed += 1


@implementer(IBodyConsumer)
class Around:
    """
    Hands everything on to another consumer, and can do what that can.  To be inherited from: override what is to be
    different.
    """

    def __init__(self, consumer: IBodyConsumer) -> None:
        self._consumer: Any = consumer
        abilities = [each for each in (IRewindable, IResumable, IWorkerUser) if each.providedBy(consumer)]
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

    def unregisterProducer(self) -> None:
        self._consumer.unregisterProducer()

    def finish(self) -> Deferred[None] | None:
        ending: Deferred[None] | None = self._consumer.finish()
        return ending

    def fail(self, failure: Failure) -> None:
        self._consumer.fail(failure)


class Counted(Around):
    """Tells an L{IProgress} how one download goes."""

    def __init__(self, consumer: IBodyConsumer, progress: IProgress) -> None:
        super().__init__(consumer)
        self._progress: Any = progress
        self._size = 0

    def kept(self) -> Deferred[Kept | None]:
        return super().kept().addCallback(self._found)

    def _found(self, kept: Kept | None) -> Kept | None:
        self._size = 0 if kept is None else kept.size
        return kept

    def begin(self, head: Head) -> None:
        super().begin(head)
        self._progress.began(head)
        if self._size:
            self._progress.received(self._size)

    def write(self, data: bytes) -> None:
        self._consumer.write(data)
        self._size += len(data)
        self._progress.received(len(data))

    def rewind(self, head: Head) -> None:
        super().rewind(head)
        self._progress.rewound(self._size)
        self._size = 0

    def finish(self) -> Deferred[None] | None:
        ending = super().finish()
        if ending is None:
            self._progress.ended(True)
            return None
        return ending.addCallback(lambda _: self._progress.ended(True))

    def fail(self, failure: Failure) -> None:
        super().fail(failure)
        self._progress.ended(False)


@implementer(IBodyConsumer)
class Tee:
    """
    Gives one body to several consumers.  It can rewind if all of them can.

    The body comes as fast as the slowest takes it.  When one of them fails or is gone, the download fails, and so do
    the others, but for those that have finished already: they keep what they have.
    """

    def __init__(self, first: IBodyConsumer, *others: IBodyConsumer) -> None:
        self._consumers: tuple[Any, ...] = (first, *others)
        self._registered: list[Any] = []
        self._finished: list[Any] = []
        self._producer: Any = None
        self._holding: set[_Side] = set()
        if all(IRewindable.providedBy(each) for each in self._consumers):
            alsoProvides(self, IRewindable)
        if any(IWorkerUser.providedBy(each) for each in self._consumers):
            alsoProvides(self, IWorkerUser)

    def use(self, workers: IWorkers) -> None:
        for each in self._consumers:
            if IWorkerUser.providedBy(each):
                each.use(workers)

    def gone(self) -> Deferred[DownloadError]:
        first: Deferred[DownloadError] = Deferred()

        def gone(error: DownloadError) -> None:
            if not first.called:
                first.callback(error)

        for each in self._consumers:
            each.gone().addCallback(gone)
        return first

    def begin(self, head: Head) -> None:
        for each in self._consumers:
            each.begin(head)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer
        for each in self._consumers:
            each.registerProducer(_Side(self), streaming)
            self._registered.append(each)

    def write(self, data: bytes) -> None:
        for each in self._consumers:
            each.write(data)

    def rewind(self, head: Head) -> None:
        for each in self._consumers:
            each.rewind(head)

    def unregisterProducer(self) -> None:
        self._producer = None
        registered, self._registered = self._registered, []
        for each in registered:
            each.unregisterProducer()

    def finish(self) -> Deferred[None] | None:
        # All of them to their end, even if one fails: what is not cancelled half-way need not be undone half-way.
        endings = [maybeDeferred(each.finish).addCallback(self._ended, each) for each in self._consumers]
        return DeferredList(endings, consumeErrors=True).addCallback(_first_failure)

    def _ended(self, _: None, one: Any) -> None:
        self._finished.append(one)

    def fail(self, failure: Failure) -> None:
        for each in self._consumers:
            if each not in self._finished:
                each.fail(failure)

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
