"""
Rounds over places: the one loop that owns attempts.

In each round every place that may still have the file is asked once.  What another try cannot change (not found, TLS,
credentials, policy) takes a place out for good; for the rest there is another round after a wait.  Who has brought a
whole body and a wrong one, or announced one, is not asked again while there are others: each try would cost a file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, cast

from twisted.internet.task import deferLater

from ..errors import (
    CircuitOpen,
    ConsumerFailed,
    ConsumerGone,
    DownloadError,
    NotFound,
    ProxyFailed,
    Unavailable,
    ValidationError,
)
from ..flow.timers import Clock
from ..model.remote import Retries
from ..model.source import Source
from .events import tell_wait
from .places import Candidates

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

__all__ = ["visit_all"]

T = TypeVar("T")


async def visit_all(clock: Clock, retries: Retries, places: Candidates, visit: Callable[[Source], Awaitable[T]]) -> T:
    """
    Visit places, round after round, until one visit succeeds; returns what it returned.

    @raise DownloadError: the verdict.  C{NotFound} only if every place said so and the mirrors told all of them, else
        the last other error; at once, if the consumer failed or is gone.
    """
    verdict: DownloadError | None = None
    where = ""  # of whom it is
    asked = 0.0  # the shortest of the waits that servers asked for
    for wait in retries.waits():
        if verdict is not None and (wait or asked):
            seconds = max(wait, asked)
            tell_wait(seconds, verdict, where)
            await deferLater(cast("IReactorTime", clock), seconds)
        asked = retries.retry_after_cap
        index = 0
        while (place := places.known[index] if index < len(places.known) else await places.at(index)) is not None:
            try:
                return await visit(place)
            except (ConsumerFailed, ConsumerGone):
                raise
            except DownloadError as error:
                if verdict is None or not isinstance(error, NotFound):
                    verdict, where = error, place.url
                if not error.transient:
                    places.drop(index)
                elif isinstance(error, ValidationError):
                    places.doubt(index)
                else:
                    asks = error.retry_after if isinstance(error, Unavailable | CircuitOpen | ProxyFailed) else None
                    asked = min(asked, asks or 0.0)
                    index += 1
        if not places.known:
            asked = 0.0
        if not places.again():
            break
    raise places.why(verdict)
