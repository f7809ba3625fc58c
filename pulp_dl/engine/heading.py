"""What would come from one source: its head, and no body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from ..errors import DownloadError
from ..flow.demands import Demands
from ..interfaces import IMirrors
from ..model.report import Attempt
from ..model.source import Head, Source
from .download import Visits
from .foreign import FAULTS
from .rounds import visit_all

if TYPE_CHECKING:
    from .shared import Shared

__all__ = ["Heading"]


class Heading(Visits):
    """What would come?"""

    def __init__(self, shared: Shared, source: Source, mirrors: IMirrors | None) -> None:
        super().__init__(shared, source, mirrors)
        self._expected = source.expect

    async def run(self) -> Head:
        try:
            return await visit_all(self._clock, self._retries, self._candidates, self._visit)
        except BaseException as error:
            reason = self._reason(error)
            if reason is error:
                raise
            raise reason from reason.__cause__
        finally:
            await self._end()

    def start(self) -> Deferred[Head]:
        return self._begin(self.run())

    async def _visit(self, place: Source) -> Head:
        began = self._clock.seconds()
        head: Head | None = None
        failed: DownloadError | None = None
        try:
            if self._advice is not None:
                self._advice.refuse(place)
            head = await self._fetcher(place).head(place)
            if self._advice is not None:
                self._advice.heard(place, head, self._clock.seconds() - began)
                self._expected += self._advice.vouched(place, head)
            Demands(self._expected, None).compare(head)  # so would a download end
            return head
        except FAULTS as error:
            failed = self._blame(error, place)
            if failed is None or failed is error or self._interruption is not None:
                raise
            raise failed from error
        finally:
            seconds = self._clock.seconds() - began
            answer = (None, failed) if head is None else (head.status, failed, seconds, head)
            self._record(Attempt(place, 0, 0, seconds, 0.0, *answer))
