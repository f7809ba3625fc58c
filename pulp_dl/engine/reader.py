"""One consumer of a transfer that it shares with others."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConsumerGone, DownloadError
from ..flow.outlet import Outlet, in_our_words, unfinished, why_gone
from ..flow.seen import Seen
from ..flow.window import Window
from ..interfaces import IBodyConsumer, IWorkers, IWorkerUser
from ..model.report import Report
from ..model.source import Head, Source
from ..urls import shown
from .onward import Onward

if TYPE_CHECKING:
    from .sharing import Sharing
    from .transfer import Transfer

__all__ = ["PIECE", "Reader"]

PIECE: Final = 64 * 1024
"""Bytes that may be kept for one reader alone, however slow it is."""

LOOKS: Final = 4
"""In so many looks it has to have what is kept for it, at the pace at which it takes."""


@implementer(IPushProducer)
class Reader(Deferred[Report]):
    """
    What C{download} returns: fires with this consumer's own L{Report}, fails with its own error.

    It takes from the transfer while it is attached to it; detached, it has a download of its own, which begins when
    the consumer takes more.

    @ivar position: bytes that the consumer has been given.
    @ivar sated: the consumer takes no more for now.
    @ivar ended: the consumer has finished or failed, or is about to.
    @ivar late: the transfer had begun when it came.
    """

    late = False
    _looked = 0  # where it was at the last look

    def __init__(self, sharing: Sharing, transfer: Transfer, source: Source, consumer: IBodyConsumer) -> None:
        super().__init__()
        self._sharing = sharing
        self._transfer: Transfer | None = transfer
        self._source = source
        self._consumer: IBodyConsumer | None = consumer
        self.outlet = Outlet(consumer, self)
        self._began = sharing.clock.seconds()
        self._pumping = False
        self.ended = False
        self._onward: Onward | None = None
        self._asked = False
        self._resumed: Deferred[None] | None = None
        self.position = 0
        self.sated = False

    @property
    def attached(self) -> bool:
        return self._transfer is not None

    def watch(self, workers: IWorkers | None) -> None:
        """Its consumer may have threads, and may say from now on that it is gone."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            with in_our_words:
                self.outlet.claim()
                if workers is not None and IWorkerUser.providedBy(consumer):
                    consumer.use(workers)
                consumer.gone().addBoth(lambda fired: self.leave(why_gone(fired)))
        except DownloadError as error:
            self.leave(error)

    # the bytes

    def pump(self, window: Window) -> bool:
        """Take what is in the window; True if that was all of it."""
        if self._pumping:
            return False  # further up the stack it goes on
        self._pumping = True
        try:
            while self.position < window.end and self._takes():
                assert self._transfer is not None
                assert self._transfer.head is not None
                self.hand(window.read(self.position), self._transfer.head)
        finally:
            self._pumping = False
        if self._transfer is None:
            self._go_on()
            return False
        return self.position >= window.end

    def give(self, data: bytes, at: int) -> None:
        """What has just come to this offset."""
        here = not self._pumping and self.position == at and self._takes()
        if here and self.position == at:  # else it has taken it from the window, as soon as it had a producer
            assert self._transfer is not None
            assert self._transfer.head is not None
            self.hand(data, self._transfer.head)

    def _takes(self) -> bool:
        """
        Does it take what the transfer has for it?  Before its first bytes it is given a producer, and may say no as
        soon as it has one.
        """
        if self._transfer is not None and not self.sated and self.outlet.head is None:
            assert self._transfer.head is not None
            self.begin(self._transfer.head)
        return self._transfer is not None and not self.sated

    def begin(self, head: Head) -> None:
        """There are bytes for it: the consumer is given this head and a producer, unless it has them."""
        if self.ended or self.outlet.head is not None:
            return
        try:
            self.outlet.begin(head)
        except DownloadError as error:
            self.leave(error)

    def hand(self, data: bytes, head: Head) -> None:
        """The consumer's next bytes."""
        self.position += len(data)
        try:
            self.outlet.give(data, head)
        except DownloadError as error:
            self.leave(error)

    def behind(self, end: int) -> bool:
        """Is more kept for it than may be, and it takes none of it now?"""
        return self.sated and end - self.position > PIECE

    def lags(self, end: int) -> bool:
        """That, and does it take too little?  By what it has taken since this was asked before."""
        taken, self._looked = self.position - self._looked, self.position
        return self.behind(end) and end - self.position > LOOKS * taken

    def rewind(self, head: Head) -> None:
        """They are all forgotten."""
        self.position = self._looked = 0
        if not self.ended and self.outlet.head is not None:
            try:
                self.outlet.rewind(head)
            except DownloadError as error:
                self.leave(error)

    # what the consumer says

    def pauseProducing(self) -> None:
        if self.sated or self.ended:
            return
        self.sated = True
        if self._transfer is not None:
            self._transfer.refuse(self)
        elif self._onward is not None:
            self._onward.pause()

    def resumeProducing(self) -> None:
        if not self.sated or self.ended:
            return
        self.sated = False
        if self._transfer is not None:
            self._transfer.take(self)
        else:
            self._go_on()

    def stopProducing(self) -> None:
        self.leave(ConsumerGone("the consumer wants no more"))

    def cancel(self) -> None:
        if self.called:
            super().cancel()
        else:
            self.leave(CancelledError())

    # alone

    def detach(self, head: Head | None, seen: Seen | None) -> None:
        """
        The transfer goes on without it.

        @param head: that of the transfer; C{seen}: what its checks know of the bytes that the consumer has.
        """
        self._transfer = None
        self._onward = Onward(self, self._source, head, seen)
        if not self._pumping:
            self._go_on()

    def _go_on(self) -> None:
        if self._onward is None or self.sated or self.ended:
            return
        if not self._asked:  # it may be asked again before its first bytes have been written
            self._asked = True
            self._sharing.run(self._alone(self._onward))
        else:
            self._onward.resume()
            waiting, self._resumed = self._resumed, None
            if waiting is not None:
                waiting.callback(None)

    async def resumed(self) -> None:
        """Wait until the consumer takes more."""
        if self.sated and not self.ended:
            self._resumed = Deferred()
            await self._resumed

    async def _alone(self, onward: Onward) -> None:
        try:
            report, head = await onward.run(self._sharing.inner)
        except Exception as error:
            self._end(error)
        else:
            self.conclude(report, head)

    # the ends

    def conclude(self, report: Report, head: Head) -> None:
        """It has all, and all is right: have it made last."""
        if self.ended:
            return
        self.ended = True
        self._detached()
        try:
            ending = self.outlet.end(head)
        except DownloadError as error:
            self._fail(error)
            return
        if ending is None:
            self._succeed(None, report, head)
        else:
            ending.addCallbacks(self._succeed, self._unfinished, callbackArgs=(report, head))

    def _succeed(self, _: object, report: Report, head: Head) -> None:
        if self.late or report.source is not self._source:  # else it is this one's own already
            seconds = self._sharing.clock.seconds() - self._began
            report = evolve(report, source=self._source, head=self.outlet.head or head, seconds=seconds)
        self._let_go()
        self._sharing.ended(self)
        self.callback(report)

    def _unfinished(self, failure: Failure) -> None:
        self._fail(unfinished(failure.value))

    def broke(self, failure: Failure, *, own: bool) -> None:
        """
        The transfer is dead.

        @param own: this is the one that gets the error itself, the others get copies: each may be changed by whoever
            has it.
        """
        error = failure.value
        assert error is not None
        if not own:
            known = error
            error = copy(known)
            error.__cause__ = known.__cause__
            if hasattr(known, "__notes__"):
                error.__notes__ = [*known.__notes__]
        self._end(error)

    def leave(self, error: BaseException) -> None:
        """It ends from its side; nobody else notices, unless it was the last."""
        if not self.ended:
            self._end(error)

    def _end(self, error: BaseException) -> None:
        if self.ended:
            return
        self.ended = True
        self._detached()
        if self._onward is not None:
            self._onward.stop()
        if self._resumed is not None:
            self._resumed.cancel()
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, DownloadError) and error.url is None:
            error.url = shown(self._source.url)
        self.outlet.fail(error)
        self._let_go()
        self._sharing.ended(self)
        self.errback(Failure(error))

    def _detached(self) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            transfer.leave(self)

    def _let_go(self) -> None:
        """All of them lead back here; a collector would have to find what is forgotten now."""
        self.outlet.release()
        del self.outlet
        self._consumer = self._onward = None
