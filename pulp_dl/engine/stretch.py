"""A stretch of a file: one attempt of a larger download, with a socket, limits of time and checks of its own."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from ..consumers.around import Around
from ..errors import NotResumable
from ..flow.joins import Ask
from ..interfaces import IBody, IExpectation, IRewindable
from ..model.remote import Retries
from ..model.report import Attempt
from ..model.source import Head, Source, Span, Validators
from .download import Download
from .schemes import gate

__all__ = ["Stretch"]

_ONCE = Retries(count=0)


class Stretch(Download):
    """
    From one place, once.  It is told as an attempt of the whole.

    @ivar place: where it comes from.
    @ivar attempt: what became of it, when it is over.
    """

    def __init__(
        self,
        whole: Download,
        place: Source,
        span: Span,
        total: int,
        part: IRewindable,
        *expect: IExpectation,
        same_as: Validators | None = None,
    ) -> None:
        """
        @param span: with both ends.
        @param total: bytes of the file; a place where it has others has another file.
        @param part: takes what comes.
        @param same_as: what that place has said of the file before.
        """
        strong = None if same_as is None else same_as.if_range
        conditions = () if strong is None else ((b"If-Range", strong),)
        remote = place.remote or whole._remote
        source = evolve(place, span=span, expect=expect, conditions=conditions, remote=remote)
        self._part = _Part(part, span, total, same_as, whole._clock.seconds, self.end)
        super().__init__(whole._shared, source, self._part, None)
        self._retries = _ONCE
        self._advice = whole._advice
        self._whole = whole
        self.place = place
        self.attempt: Attempt | None = None

    @property
    def at(self) -> int:
        """Where the next byte belongs; all before it are there."""
        return self._part.at

    @property
    def speed(self) -> float | None:
        """Bytes a second; None if it is not known yet."""
        seconds = self._pipe.open_seconds if self.attempt is None else self.attempt.open_seconds
        size = self._part.at - self._part.start
        return size / seconds if size and seconds else None

    @property
    def silent(self) -> float:
        """Seconds without a byte, although some could be taken."""
        if not self._pipe.valve.open or (not self.answered and self._queues):
            return 0.0
        return self._clock.seconds() - self._part.fed

    @property
    def answered(self) -> bool:
        return self._answer is not None

    @property
    def wanted(self) -> bool:
        """Does somebody wait for its socket?  If it has no answer yet, it may be itself who waits."""
        slots = self._shared.slots
        return slots.overdue if not self.answered else slots.wanted(self._gate)

    @property
    def _queues(self) -> bool:
        """Does it wait for its turn, perhaps, and not for the place?"""
        rate = self._remote.limits.requests_per_second
        return rate is not None or self._shared.slots.crowded(self._gate)

    @property
    def _gate(self) -> object:
        return gate(self.place.place, self._remote)

    def cut(self, stop: int) -> None:
        """No further than there."""
        self._part.stop = stop

    def end(self) -> None:
        """No further."""
        self._part.stop = self._part.at
        self._interrupt(CancelledError())

    def _open(self, ask: Ask, place: Source) -> Deferred[IBody]:
        if self._advice is not None:
            self._advice.refuse(place)
        return super()._open(ask, place)

    def _record(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self._whole._record(evolve(attempt, offset=attempt.offset + self._part.start))


class _Part(Around):
    """Takes this part of a file of this size, and no other."""

    def __init__(
        self,
        part: IRewindable,
        span: Span,
        total: int,
        same_as: Validators | None,
        clock: Callable[[], float],
        full: Callable[[], None],
    ) -> None:
        """
        @param full: called when it has come to a C{stop} that is before the end of the span.
        """
        super().__init__(part)
        assert span.stop is not None
        self._span = span
        self._total = total
        self._same_as = same_as
        self._clock = clock
        self._full = full
        self.start = self.at = span.start
        self.stop = span.stop
        self.fed = clock()

    def begin(self, head: Head) -> None:
        self._prove(head)
        super().begin(head)

    def rewind(self, head: Head) -> None:
        self._prove(head)
        self.at = self.start
        super().rewind(head)

    def _prove(self, head: Head) -> None:
        if head.span != self._span or head.total != self._total:
            had = f"bytes {self._span.start}-{self._span.stop} of {self._total} were asked for"
            raise NotResumable(f"{had}, another part came", head.url)
        if self._same_as is not None and self._same_as.contradicted_by(head.validators):
            raise NotResumable("the file changed between two answers", head.url)

    def write(self, data: bytes) -> None:
        known = data[: max(0, self.stop - self.at)]
        self.fed = self._clock()
        if known:
            self.at += len(known)
            super().write(known)
        if self.at >= self.stop and self._span.stop != self.stop:
            self._full()
