"""A download to a consumer that takes bytes in any order."""

from __future__ import annotations

from ..consumers.interfaces import IRandomAccess
from ..errors import DigestMismatch
from ..model.pieces import Pieces
from ..model.report import Report
from ..model.source import Source
from .download import Download
from .repair import Repair

__all__ = ["RandomAccess"]


class RandomAccess(Download):
    """As any other; and where a body turns out wrong, what is right of it may stay."""

    async def _attempt(self, place: Source) -> Report:
        try:
            return await super()._attempt(place)
        except DigestMismatch:
            report = await self._mended(place)
            if report is None:
                raise
            return report

    async def _mended(self, place: Source) -> Report | None:
        """What became of it when what is wrong of it was fetched again; None if that did not help."""
        pipe, consumer = self._pipe, self._consumer
        pieces = next((each for each in self._source.expect if isinstance(each, Pieces)), None)
        if pieces is None or pipe.head is None or not pipe.head.whole:
            return None
        assert IRandomAccess.providedBy(consumer)
        if not await Repair(self, consumer, pieces, pipe.outlet.given).run(self._candidates, place):
            return None
        await pipe.again(consumer.reread)
        return self._report(*await pipe.finish())
