"""
Hedged requests: a place that takes longer to answer than it usually does is not waited for alone.

The next place is asked, too.  Who answers first brings the body, the other one is dropped at once.  If the first place
fails meanwhile, the loop goes on to the next one as it always does, which has then been asked ahead.

A hedge is one request more, so there are few (L{Budget}), and only while nobody waits for a socket that it would take:
where all are in use, or the question itself waits for one, it is not the place that is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred, fail

from ..errors import DownloadError
from ..interfaces import IBody
from ..model.remote import Remote
from ..model.report import Attempt
from ..model.source import Source
from .advice import Advice
from .foreign import FAULTS
from .places import Candidates
from .question import Question, Race
from .schemes import gate

if TYPE_CHECKING:
    from .shared import Shared

__all__ = ["BURST", "Budget", "Hedge"]

BURST: Final = 5
"""Hedges that may follow each other at once; after a quiet time, too, for a quiet time earns no more than that."""

Opens = Callable[[Source], Deferred[IBody]]


class Budget:
    """The hedges of one Downloader are no more than L{BURST} and a share of its requests: a bucket of tokens."""

    def __init__(self) -> None:
        self._tokens = float(BURST)

    def earn(self, share: float) -> None:
        """A place is asked."""
        self._tokens = min(float(BURST), self._tokens + share)

    def spend(self) -> bool:
        """May another one be asked beside it?  Then that is counted."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Hedge:
    """Asks the places of one download."""

    def __init__(
        self,
        shared: Shared,
        remote: Remote,
        candidates: Candidates,
        advice: Advice,
        record: Callable[[Attempt], None],
        blame: Callable[[BaseException, Source], DownloadError | None],
    ) -> None:
        """
        @param remote: of places that have none of their own.
        @param record: told of the attempt that came to nothing.
        @param blame: what it ended with, as the tree has it.
        """
        self._shared = shared
        self._clock = shared.timers
        self._remote = remote
        self._candidates = candidates
        self._advice = advice
        self._record = record
        self._blame = blame
        self._ahead: Question | None = None

    async def ask(self, place: Source, opens: Opens) -> Question:
        """
        Ask this place, unless it has been asked ahead.

        @param opens: asks.
        @raise DownloadError: it is not to be asked now.
        """
        question, self._ahead = self._ahead, None
        if question is None:
            self._advice.refuse(place)
            several = await self._candidates.several(place)
            question = self._put(place, opens, hurried=several)
        return question

    def _put(self, place: Source, opens: Opens, *, hurried: bool) -> Question:
        asked, limits = self._advice.hurry(place, place.remote or self._remote) if hurried else (place, None)
        try:
            opening = opens(asked)
        except FAULTS:  # of a protocol that is not installed, or of a fault in one
            opening = fail()
        return Question(place, limits, opening, self._clock)

    async def first(self, question: Question, opens: Opens, *, alone: bool) -> Question:
        """
        Wait for an answer: to this question or, if that takes long, to one that is put to the next place.

        Returns which was answered first; or this one, when it has failed.

        @param alone: only this place may answer.
        """
        place, race = question.place, Race(self._clock, question)
        other, patience = self._candidates.behind(place), self._advice.patience(place)
        if not alone and other is not None and patience is not None and self._unlimited(place, other):
            self._shared.hedges.earn(self._advice.share)
            race.after(max(0.0, patience - question.seconds), lambda: self._hedge(place, other, opens))
        try:
            first = await race
        except CancelledError as error:
            question.drop()
            if self._ahead is not None:
                self._lost(self._ahead, self._blame(error, self._ahead.place))
            raise
        if first is not question:
            self._ahead = None
            self._candidates.prefer(first.place, place)
            self._lost(question)
        elif self._ahead is not None and question.failure is None:
            ahead, self._ahead = self._ahead, None
            self._lost(ahead)
        return first

    def _unlimited(self, *places: Source) -> bool:
        """Who counts requests does not want more of them than are needed."""
        return all((place.remote or self._remote).limits.requests_per_second is None for place in places)

    def _hedge(self, place: Source, other: Source, opens: Opens) -> Question | None:
        slots = self._shared.slots
        late, beside = (gate(each.place, each.remote or self._remote) for each in (place, other))
        if slots.crowded(late) or not slots.room(beside) or not self._shared.hedges.spend():
            return None
        try:
            self._advice.refuse(other)
        except DownloadError:
            return None
        self._ahead = self._put(other, opens, hurried=True)
        return self._ahead

    def _lost(self, question: Question, error: DownloadError | None = None) -> None:
        """Another one was answered first, or nobody waits any more."""
        failure, seconds = question.failure, question.seconds
        if failure is not None and isinstance(failure.value, FAULTS):
            error = self._blame(failure.value, question.place)
        question.drop()
        self._record(Attempt(question.place, 0, 0, seconds, 0.0, None, error, outrun=error is None))
