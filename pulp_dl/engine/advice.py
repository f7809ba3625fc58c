"""What mirrors that judge places say while a download runs; one without such mirrors has none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from ..interfaces import IExpectation, IMirrors
from ..mirrors.interfaces import IScoring, IVouching
from ..model.remote import Remote, Timeouts
from ..model.source import Head, Source

if TYPE_CHECKING:
    from .shared import Shared

__all__ = ["Advice", "advice_of"]

HASTE: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Seconds for an answer of a place that can be left for another."""


class Advice:
    """That of one download."""

    def __init__(self, scoring: IScoring | None, vouching: IVouching | None, shared: Shared, source: Source) -> None:
        self._scoring = scoring
        self._vouching = vouching
        self._shared = shared
        self._source = source
        self._hurried: set[str] = set()

    def refuse(self, place: Source) -> None:
        """
        Is this place to be asked now?

        @raise DownloadError: it is not.
        """
        refusal = None if self._scoring is None else self._scoring.refused(place)
        if refusal is not None:
            raise refusal

    @property
    def scores(self) -> bool:
        """Do they judge places?"""
        return self._scoring is not None

    @property
    def share(self) -> float:
        """So many of the requests may be made beside one that takes long."""
        return 0.0 if self._scoring is None else self._scoring.hedge

    def patience(self, place: Source) -> float | None:
        """Seconds after which another place may be asked beside this one, or None."""
        return self._scoring.usual(place) if self._scoring is not None and self.share else None

    def hurry(self, place: Source, remote: Remote) -> tuple[Source, Timeouts | None]:
        """
        The same place, with shorter limits, as it can be left for another one; once for each.  And those limits, or
        None if they are the usual ones.
        """
        limits: Timeouts | None = None
        if self._scoring is not None and place.url not in self._hurried:
            limits = self._scoring.hurried(place, remote.timeouts)
        if limits is None:
            return place, None
        self._hurried.add(place.url)
        return self._in_haste(place, remote, limits), limits

    def _in_haste(self, place: Source, remote: Remote, limits: Timeouts) -> Source:
        """
        With a shorter time for the answer.

        A fetcher has one limit for all that it asks, so there is one for each of a few limits.  Tokens, cookies and
        requests a second are a fetcher's own; where there are some, the time stays as it is.
        """
        wanted, usual = limits.head, remote.timeouts.head
        own = remote.auth is not None or remote.cookies or remote.limits.requests_per_second is not None
        if wanted is None or own:
            return place
        head = next((step for step in HASTE if step >= wanted), None)
        if head is None or (usual is not None and head >= usual):
            return place
        return evolve(place, remote=self._shared.hastened(remote, head))

    def heard(self, place: Source, answer: Head, seconds: float) -> None:
        """It has answered."""
        if self._scoring is not None:
            self._scoring.answered(place, answer, seconds)

    def vouched(self, place: Source, answer: Head) -> tuple[IExpectation, ...]:
        """Now it may be known what the file has to be; that is told once."""
        more: tuple[IExpectation, ...] = ()
        if self._vouching is not None and answer.status in {200, 206}:
            more = tuple(self._vouching.vouched(self._source, place, answer))
            if more:
                self._vouching = None
        return more


def advice_of(mirrors: IMirrors, shared: Shared, source: Source) -> Advice | None:
    """That of these mirrors, if they can give any."""
    scoring = mirrors if IScoring.providedBy(mirrors) else None
    vouching = mirrors if IVouching.providedBy(mirrors) else None
    return Advice(scoring, vouching, shared, source) if scoring or vouching else None
