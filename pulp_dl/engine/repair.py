"""
A file that is wrong here or there: only what is wrong of it is fetched again.

Where digests of its pieces are known, they tell which are wrong.  Those are asked for at other places, each held
against its digest; then the whole is judged anew.  If that does not help, nothing is lost: the whole is read from
another place, as it would have been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError

from ..consumers.interfaces import IRandomAccess
from ..errors import ConsumerFailed, ConsumerGone, DownloadError
from ..flow.outlet import in_our_words
from ..model.pieces import Pieces, Piecewise
from ..model.source import Source, Span
from .places import Candidates
from .stretch import Stretch

if TYPE_CHECKING:
    from .download import Download

__all__ = ["Repair"]

MOST: Final = 100
"""Stretches that are fetched again; with more of them, and when half of the file is wrong, it is another file."""


class Repair:
    """That of one body that is all there, and not what it should be."""

    def __init__(self, whole: Download, consumer: IRandomAccess, pieces: Pieces, total: int) -> None:
        """
        @param whole: the download that it is for.
        """
        self._whole = whole
        self._consumer = consumer
        self._pieces = pieces
        self._total = total

    async def run(self, places: Candidates, last: Source) -> bool:
        """
        Find what is wrong, and fetch it.

        @param last: who brought the whole, and is asked after all others.
        @return: True if there was something, and all of it came.
        """
        missing = await self._find()
        if not missing:
            return False
        index = 0
        while missing and (place := await places.at(index)) is not None:
            index += 1
            if place.url != last.url:
                missing = await self._fetch(place, missing)
        places.reopen()
        if missing:
            missing = await self._fetch(last, missing)
        return not missing

    async def _find(self) -> list[Span]:
        """What is wrong; nothing, if it is not worth fetching it alone."""
        if not self._pieces.fits(self._total):
            return []
        seen = Piecewise(self._pieces)
        with in_our_words:
            await self._consumer.reread(0, self._total, seen.update)
        seen.end()
        spans = self._pieces.spans(seen.wrong, self._total)
        much = 2 * len(seen.wrong) > len(self._pieces.digests) > 1
        return [] if much or len(spans) > MOST else spans

    async def _fetch(self, place: Source, spans: list[Span]) -> list[Span]:
        """From this place; returns what did not come."""
        for number, span in enumerate(spans):
            with in_our_words:
                part = self._consumer.part(span.start)
            stretch = Stretch(self._whole, place, span, self._total, part, self._pieces.within(span))
            try:
                await stretch.start()
            except (ConsumerFailed, ConsumerGone):
                raise
            except DownloadError:  # it is in the attempts
                return spans[number:]
            if self._whole._interruption is not None:
                raise CancelledError
        return []
