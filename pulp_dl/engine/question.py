"""A place that has been asked, and who answers first of two."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..flow.timers import Call, Clock
from ..interfaces import IBody
from ..model.remote import Timeouts
from ..model.source import Source

__all__ = ["Question", "Race"]


class Question:
    """
    One place has been asked.  Whoever has asked ends it by C{take} or by C{drop}.

    @ivar place: as the mirrors know it.
    @ivar limits: for its body, if they are not the usual ones.
    @ivar open: neither answered nor failed.
    @ivar failure: why there will be no answer, or None.
    """

    __slots__ = ("_began", "_body", "_clock", "_ended", "_opening", "_told", "failure", "limits", "open", "place")

    def __init__(self, place: Source, limits: Timeouts | None, opening: Deferred[IBody], clock: Clock) -> None:
        self.place = place
        self.limits = limits
        self.open = True
        self.failure: Failure | None = None
        self._body: IBody | None = None
        self._told: Callable[[Question], None] | None = None
        self._clock = clock
        self._began = clock.seconds()
        self._ended = self._began
        self._opening = opening
        opening.addCallbacks(self._answered, self._failed)

    @property
    def seconds(self) -> float:
        """Since it was asked, until it was answered or failed."""
        return (self._clock.seconds() if self.open else self._ended) - self._began

    def tell(self, told: Callable[[Question], None]) -> None:
        """Call this when it is answered or has failed; at once if it is."""
        if self.open:
            self._told = told
        else:
            told(self)

    def _answered(self, body: IBody) -> None:
        self._body = body
        self._end()

    def _failed(self, failure: Failure) -> None:
        self.failure = failure
        self._end()

    def _end(self) -> None:
        self.open, self._ended = False, self._clock.seconds()
        told, self._told = self._told, None
        if told is not None:
            told(self)

    def take(self) -> IBody:
        """
        Its answer, which is the caller's from now on.

        @raise DownloadError: it has failed.
        """
        if self.failure is not None:
            self.failure.raiseException()
        body, self._body = self._body, None
        assert body is not None
        return body

    def drop(self) -> None:
        """Its answer is not wanted any more: the connection is dropped at once."""
        self.tell(_abandon)
        self._opening.cancel()


def _abandon(question: Question) -> None:
    if question.failure is None:
        question.take().abandon()


class Race(Deferred[Question]):
    """
    Fires with the question that is answered first, or with the first of the two when that has failed.  Cancelling
    leaves them as they are.
    """

    def __init__(self, clock: Clock, first: Question) -> None:
        super().__init__(lambda _: self._stop())
        self._clock = clock
        self._first = first
        self._timer: Call | None = None
        first.tell(self._heard)

    def after(self, seconds: float, ask: Callable[[], Question | None]) -> None:
        """If nothing has been heard after so many seconds, C{ask} for the second question, if there is to be one."""
        if not self.called:
            self._timer = self._clock.callLater(seconds, self._late, ask)

    def _late(self, ask: Callable[[], Question | None]) -> None:
        self._timer = None
        second = ask()
        if second is not None:
            second.tell(self._heard)

    def _heard(self, question: Question) -> None:
        if not self.called and (question is self._first or question.failure is None):
            self._stop()
            self.callback(question)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
