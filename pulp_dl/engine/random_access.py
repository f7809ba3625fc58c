"""A download to a consumer that takes bytes in any order."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from twisted.internet.defer import CancelledError, Deferred

from ..consumers.interfaces import IRandomAccess
from ..errors import DigestMismatch
from ..flow.scattered import Enough, Scattered
from ..flow.unhurried import unhurried
from ..model.pieces import Pieces
from ..model.report import Report
from ..model.source import Source
from ..urls import parse
from .download import Download
from .repair import Repair
from .team import Team

__all__ = ["RandomAccess"]

SPARE: Final = 3
"""Places that are kept in mind for each that may help; some will not have the file."""


class RandomAccess(Download):
    """
    As any other; a large file may come from several places at once, and where a body turns out wrong, what is right of
    it may stay.
    """

    _pipes = Scattered
    _pipe: Scattered
    _team: Team | None = None

    async def _attempt(self, place: Source) -> Report:
        try:
            return await super()._attempt(place)
        except DigestMismatch:
            report = await self._mended(self._place)
            if report is None:
                raise
            return report

    # from several places

    def _admitted(self, place: Source) -> None:
        pipe, segments, head = self._pipe, self._remote.segments, self._pipe.head
        if self._team is not None or segments is None or head is None or not head.whole or not pipe.judged:
            return
        # What has a limit to share is not faster from several places.
        if head.total is None or head.total < segments.least or self._remote.limits.bytes_per_second is not None:
            return
        hosts = {place.place.base, parse(head.url).base}
        find = partial(self._candidates.elsewhere, hosts, SPARE * (segments.places - 1))
        consumer = self._consumer
        assert IRandomAccess.providedBy(consumer)
        self._team = pipe.others = Team(self, pipe, consumer, head, find, segments)

    async def _bring(self, place: Source) -> None:
        pipe, asked = self._pipe, -1
        while not pipe.complete and pipe.offset != asked:
            if pipe.others is None or pipe.others.begin != pipe.offset:
                asked = pipe.offset  # if nothing comes of it, it is not asked for again
                with suppress(Enough):
                    await super()._bring(place)
            if pipe.others is None or self._team is None:
                return
            if self._team.begin is None and not pipe.complete:  # nobody brings the rest
                return
            if self._interruption is not None:
                raise CancelledError
            if not pipe.complete:
                await self._team.gather(self._place)
                if self._team.joined:  # so what is wrong may be theirs
                    self._continuing = True
        if self._team is not None:
            self._team.close()
            pipe.others = None

    async def _fail(self, reason: BaseException) -> None:
        if self._team is not None:
            self._team.close()
            # One that is in the midst of a write ends after that; what fails has no parts any more.
            await unhurried(Deferred.fromCoroutine(self._team.ended()))
        await super()._fail(reason)

    async def _end(self) -> None:
        if self._team is not None:
            self._team.leave()
        await super()._end()
        if self._team is not None:
            await self._team.ended()

    # what is wrong again

    async def _mended(self, place: Source) -> Report | None:
        """What became of it when what is wrong of it was fetched again; None if that did not help."""
        pipe, consumer = self._pipe, self._consumer
        pieces = next((each for each in self._source.expect if isinstance(each, Pieces)), None)
        if pieces is None or pipe.head is None or not pipe.head.whole:
            return None
        assert IRandomAccess.providedBy(consumer)
        if not await Repair(self, consumer, pieces, pipe.outlet.given).run(self._candidates, place):
            return None
        await pipe.again(consumer)
        return self._report(*await pipe.finish())
