"""What a consumer still holds of an earlier run, and whether a download can go on there."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from ..errors import DownloadError
from ..interfaces import IResumable
from ..model.fingerprint import fingerprint
from ..model.source import Head, Kept, Source
from .checks import Checks
from .demands import Demands
from .outlet import in_our_words

__all__ = ["Beginning", "look_again", "look_for_beginning"]


@frozen
class Beginning:
    """
    The first bytes of a body.

    @ivar size: how many the consumer holds; the rest is None, or means nothing, if they are of no use.
    @ivar head: the head they came with, at the URL that is asked now.
    @ivar place: the fingerprint of the one they came from.
    @ivar limit: how many there may be in all.
    @ivar checks: have seen them.
    @ivar kept: them.
    """

    size: int
    head: Head | None = None
    place: str | None = None
    limit: int | None = None
    checks: Checks | None = None
    kept: Kept | None = None


async def look_for_beginning(
    consumer: IResumable, source: Source, demands: Demands, start_checks: Callable[[Head], Checks]
) -> Beginning:
    """Once, before the first attempt."""
    if source.span is not None or source.conditions:
        return Beginning(0)
    with in_our_words:
        kept = await consumer.kept()
    return Beginning(0) if kept is None or not kept.size else await _look(kept, source, demands, start_checks)


async def look_again(
    found: Beginning, source: Source, demands: Demands, start_checks: Callable[[Head], Checks]
) -> Beginning:
    """With other demands; nothing has been read beside it yet."""
    assert found.kept is not None
    return await _look(found.kept, source, demands, start_checks)


async def _look(kept: Kept, source: Source, demands: Demands, start_checks: Callable[[Head], Checks]) -> Beginning:
    if demands.size is not None and kept.size > demands.size:
        return Beginning(kept.size)
    try:
        limit = demands.measure(kept.head)
    except DownloadError:  # of no use under what is expected now
        return Beginning(kept.size)
    checks = start_checks(kept.head)
    await checks.feed(kept.pieces())
    return Beginning(kept.size, evolve(kept.head, url=source.url), fingerprint(kept.head.url), limit, checks, kept)
