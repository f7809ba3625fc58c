"""A stretch of a file: one attempt of a larger download, with a socket, limits of time and checks of its own."""

from __future__ import annotations

from attrs import evolve

from ..consumers.around import Around
from ..errors import NotResumable
from ..interfaces import IExpectation, IRewindable
from ..model.remote import Retries
from ..model.report import Attempt
from ..model.source import Head, Source, Span
from .download import Download

__all__ = ["Stretch"]

_ONCE = Retries(count=0)


class Stretch(Download):
    """From one place, once.  It is told as an attempt of the whole."""

    def __init__(
        self, whole: Download, place: Source, span: Span, total: int, part: IRewindable, *expect: IExpectation
    ) -> None:
        """
        @param span: with both ends.
        @param total: bytes of the file; a place where it has others has another file.
        @param part: takes what comes.
        """
        source = evolve(place, span=span, expect=expect, conditions=())
        super().__init__(whole._shared, source, _Proven(part, span, total), None)
        self._retries = _ONCE
        self._advice = whole._advice
        self._whole = whole
        self._start = span.start

    def _record(self, attempt: Attempt) -> None:
        self._whole._record(evolve(attempt, offset=attempt.offset + self._start))


class _Proven(Around):
    """Takes this part of a file of this size, and no other."""

    def __init__(self, part: IRewindable, span: Span, total: int) -> None:
        super().__init__(part)
        self._span = span
        self._total = total

    def begin(self, head: Head) -> None:
        self._prove(head)
        super().begin(head)

    def rewind(self, head: Head) -> None:
        self._prove(head)
        super().rewind(head)

    def _prove(self, head: Head) -> None:
        if head.span != self._span or head.total != self._total:
            had = f"bytes {self._span.start}-{self._span.stop} of {self._total} were asked for"
            raise NotResumable(f"{had}, another part came", head.url)
