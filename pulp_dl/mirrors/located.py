"""The places of mirrors, whichever way they give them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from ..interfaces import IDownloader, IMirrors
from ..model.source import Source

__all__ = ["located"]


async def located(mirrors: IMirrors, source: Source, direct: IDownloader) -> AsyncIterator[Source]:
    """What C{locate} gives, read lazily; whoever stops reading closes this."""
    found: Any = mirrors.locate(source, direct)
    if isinstance(found, Awaitable):
        found = await found
    try:
        if hasattr(found, "__aiter__"):
            async for place in found:
                yield place
        else:
            for place in found:
                yield place
    finally:
        if hasattr(found, "aclose"):
            await found.aclose()
        elif hasattr(found, "close"):
            found.close()
