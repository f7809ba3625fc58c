"""One transfer for all who want the same body at about the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from ..errors import ConsumerFailed, ConsumerGone, DownloadError
from ..flow.backlog import Backlog
from ..flow.timers import Call
from ..interfaces import IBodyConsumer, IRewindable, IWorkers, IWorkerUser
from ..model.report import Report
from ..model.source import Head, Source
from .onward import divisible, separable
from .reader import PIECE, Reader

if TYPE_CHECKING:
    from .sharing import Sharing

__all__ = ["Transfer"]

LOOK: Final = 15.0
"""
Seconds between two looks at slow readers.  The buffers of a kernel are filled by megabytes at a time, so who takes
steadily may take nothing for some seconds.
"""


@implementer(IBodyConsumer, IWorkerUser)
class Transfer:
    """
    The consumer of one download, which gives its body to readers.

    It flows while one of them takes what comes, so the fastest sets the pace.  While the body fits the window, whoever
    comes may still join (the door is open).  After that the window follows the end of the body; who falls out of it
    goes on alone.

    A reader that nobody is ahead of any more (the others have left, or the transfer has ended) may take what is here at
    its own pace, within limits: who hardly takes any of it goes on alone, too, if the rest alone can be asked for.

    What comes has passed the download's own hold-back, so a reader may be given all of it: the end is here only when
    every check has passed.
    """

    def __init__(self, sharing: Sharing, source: Source, window: int, *, rewindable: bool) -> None:
        self._sharing = sharing
        self.source = source
        self.rewindable = rewindable
        self._limit = window
        self._running: Deferred[Any] | None = None
        self._producer: IPushProducer | None = None
        self._paused = self._writing = False
        self._changed = False  # somebody's hunger, while it was writing
        self._workers: IWorkers | None = None
        self._watched = False  # the download has asked who is gone
        self._gone: list[Deferred[DownloadError]] = []  # it is told so if all are, before it could be cancelled
        self._window = Backlog(source.expect)
        self._readers: dict[Reader, None] = {}
        self._hungry: dict[Reader, None] = {}  # those that have all that came, and take more
        self._keeper: Reader | None = None
        self._looking: Call | None = None
        self._over = False
        self._stuck = False  # its slow readers need what is kept for them
        self.open = True
        self.head: Head | None = None
        self.report: Report | None = None
        if rewindable:
            alsoProvides(self, IRewindable)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._window.size

    @property
    def _everybody(self) -> tuple[Reader, ...]:
        """All who get the body, as of now: any of them may leave meanwhile."""
        return (*self._readers, *(() if self._keeper is None else (self._keeper,)))

    # readers

    def start(self, download: Callable[[Source, IBodyConsumer], Deferred[Report]]) -> None:
        """Ask for the body."""
        running = self._running = download(self.source, self)
        running.addCallbacks(self._ended, self._broke)
        if self._over:  # all have left meanwhile
            running.cancel()

    def cancel(self) -> None:
        """End it, and all that it is for."""
        if self._running is not None:
            self._running.cancel()

    def join(self, reader: Reader) -> None:
        """One more; it gets what is here, and then what comes."""
        self._readers[reader] = None
        reader.late = self._running is not None
        if self._watched:
            reader.watch(self._workers)
        if reader in self._readers:
            if self._window.end:
                self.take(reader)
            else:  # nothing is here yet; or no more, if it began again while somebody slow held it
                self._hungry[reader] = None
                if self._paused:
                    self._pace()

    def take(self, reader: Reader) -> None:
        """It takes more: from the window, then from what comes."""
        if reader.pump(self._window) and not reader.sated:
            self._hungry[reader] = None
        if self.report is not None:
            self._settle(reader)
        self._trim()
        self._account()
        self._pace()

    def refuse(self, reader: Reader) -> None:
        """It takes no more for now."""
        self._hungry.pop(reader, None)
        self._pace()

    def leave(self, reader: Reader) -> None:
        """It is not to be given anything any more.  When nobody is left, the body is not wanted."""
        self._hungry.pop(reader, None)
        self._readers.pop(reader, None)
        if reader is self._keeper:
            self._keeper = None
        self._fewer()

    def _fewer(self) -> None:
        """Some have gone.  When nobody is left, the body is not wanted."""
        if self._over:
            return
        if self._readers or (self._keeper is not None and self._worth_keeping()):
            self._trim()
            self._account()
            self._pace()
        else:
            self._abandon()

    def _worth_keeping(self) -> bool:
        """May the one that is no client have the rest for itself?"""
        total = None if self.head is None else self.head.total
        return self.report is not None or (total is not None and self._window.end > self._sharing.keep_share * total)

    def _abandon(self) -> None:
        self._close()
        if self._running is not None:
            self._running.cancel()
        else:
            for waiting in self._gone:
                waiting.callback(ConsumerGone("the consumer wants no more"))
        if self._keeper is not None:
            self._keeper.leave(CancelledError())

    def _close(self) -> None:
        """Nothing more will be given to anybody."""
        self._over = True
        self.shut()
        self._window.clear()
        self._account()

    def shut(self) -> None:
        """Whoever comes now is too late."""
        if self.open:
            self.open = False
            self._sharing.shut(self)
            if not self._over:
                self._trim()
                self._account()

    # the download's consumer

    def use(self, workers: IWorkers) -> None:
        self._workers = workers

    def gone(self) -> Deferred[DownloadError]:
        self._watched = True
        gone: Deferred[DownloadError] = Deferred()
        self._gone.append(gone)
        for reader in tuple(self._readers):
            reader.watch(self._workers)
        return gone

    def begin(self, head: Head) -> None:
        self.head = head
        small = head.length is not None and head.length <= self._limit
        if not small and not divisible(head):
            self.shut()
            self._detach([*self._readers][1:])
        if self.source.span is None and head.status == 200 and not self._over:
            self._keep()

    def _keep(self) -> None:
        keeper = self._keeper = self._sharing.keeper(self)
        if keeper is not None:
            self._hungry[keeper] = None
            keeper.watch(self._workers)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer, self._paused = producer, False
        if self._keeper is not None or not self._hungry:
            self._pace()

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        if self._over:
            return
        size = len(data)
        if self._window.end + size - self._window.start > self._limit:
            self._make_room(size)
        at = self._window.end
        self._window.push(data)
        self._writing = True
        try:
            for reader in tuple(self._hungry):
                reader.give(data, at)
        finally:
            self._writing = False
        if self.open:
            self._sharing.keeps(self, self._window.size)
        else:
            self._trim()
            self._account()  # also if nothing is left: somebody may have taken, or left, meanwhile
        if self._changed:
            self._pace()

    def rewind(self, head: Head) -> None:
        """The download begins again; all here can forget."""
        self.head = head
        self._stuck = False
        self._window.clear()
        self._account()
        for reader in self._everybody:
            reader.rewind(head)
            if reader.attached and not reader.sated:
                self._hungry[reader] = None

    def finish(self) -> None:
        pass

    def fail(self, failure: Failure) -> None:
        pass

    # the ends: the Deferred of the download tells, nothing else

    def _ended(self, report: Report) -> None:
        self._sharing.ended(self)
        if self._over:
            return
        self.report = report
        everybody, head, end = self._everybody, self.head, self._window.end
        for reader in everybody:
            if reader.position < end:
                break
        else:
            assert head is not None
            self._close()
            for reader in everybody:
                reader.conclude(report, head)
            return
        for reader in everybody:
            self._settle(reader)
        self._account()

    def _broke(self, failure: Failure) -> None:
        self._sharing.ended(self)
        if self._over:
            return
        self._close()
        first = True
        for reader in self._everybody:
            reader.broke(failure, own=first)
            first = False

    def _settle(self, reader: Reader) -> None:
        """If all is here and it has all: that was it."""
        if self.report is None or reader.position < self._window.end or not reader.attached:
            return
        assert self.head is not None
        reader.conclude(self.report, self.head)  # which leaves

    # the window

    def _make_room(self, size: int) -> None:
        """So many more bytes come than fit."""
        self.shut()
        floor = min(self._window.end, self._window.end + size - self._limit)
        if self._keeper is not None and self._readers and self._keeper.position < floor:
            self._keeper.leave(ConsumerFailed("what was to be kept could not be written as fast as it came"))
        self._detach([each for each in self._readers if each.position < floor], 1)
        self._trim(floor)

    def _detach(self, readers: list[Reader], least: int = 0) -> None:
        """They go on alone, with what the checks have seen of what they have; but so many have to stay."""
        for reader in sorted(readers, key=lambda each: each.position):
            if reader not in self._readers or len(self._readers) <= least:  # some have left meanwhile
                continue
            seen = None
            if self.head is not None and reader.outlet.head is not None:
                self._window.watch(whole=self.head.whole)
                seen = self._window.seen(reader.position)
            del self._readers[reader]
            self._hungry.pop(reader, None)
            reader.detach(self.head, seen)

    def _trim(self, floor: int | None = None) -> None:
        """
        Forget what nobody needs.  With several readers that is only what does not fit, for what is forgotten has to be
        looked at by the checks; for one alone that is near the end nothing has to be looked at.
        """
        if self.open:
            return
        if len(self._readers) > 1:
            if floor is None:
                return
        else:
            floor = self._needed
        end = self._window.end
        if len(self._readers) > 1 or any(end - each.position > PIECE for each in self._readers):
            assert self.head is not None
            self._window.watch(whole=self.head.whole)
        else:
            self._window.unwatch()
        self._window.forget(floor)

    @property
    def _needed(self) -> int:
        """Where the slowest is."""
        return min((reader.position for reader in self._everybody), default=self._window.end)

    # those that nobody is ahead of any more

    @property
    def _shared(self) -> bool:
        """Does it still come, for several?"""
        return self.report is None and len(self._readers) > 1

    def _account(self) -> None:
        """To be spared is what is kept for who may come, and for slow ones alone if it can be given up."""
        size, shared, looking = self._window.size, self._shared, self._looking
        if shared or size <= PIECE:
            if looking is not None:
                self._looking = None
                looking.cancel()
        elif looking is None:
            self._looking = self._sharing.clock.callLater(LOOK, self._look)
        self._sharing.keeps(self, size if self.open or not (shared or self._stuck) else 0)  # which may come back here

    def _look(self) -> None:
        """A while has gone by."""
        self._looking = None
        if self.report is not None:
            self.shut()
        self._part([reader for reader in self._readers if reader.lags(self._window.end)])

    def spare(self) -> None:
        """Too much is kept in all: keep nothing for who may come, nor for who takes nothing now."""
        self.shut()
        self._part([reader for reader in self._readers if reader.behind(self._window.end)])

    def _part(self, slow: list[Reader]) -> None:
        """These go on alone, if they can ask for the rest."""
        if self._over or self._shared:
            return
        if slow:
            assert self.head is not None
            seen = self._window.watch(whole=self.head.whole)
            if seen is not None and separable(self.source, self.head, seen):
                self._detach(slow)
            else:
                self._stuck = True
        self._trim(self._needed)
        self._fewer()

    # the pace

    def _pace(self) -> None:
        self._changed = self._writing
        if self._writing or self._producer is None or self._over:
            return
        wanted = len(self._hungry)
        if self._keeper is not None and self._readers and self._keeper in self._hungry:
            wanted -= 1  # what keeps does not count, unless it is alone
        if bool(wanted) == self._paused:
            self._paused = not wanted
            if wanted:
                self._producer.resumeProducing()
            else:
                self._producer.pauseProducing()
