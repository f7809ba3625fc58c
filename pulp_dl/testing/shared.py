"""What the fetchers of one Downloader share, for a fetcher that is tried without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..engine.downloader import Direct, Downloader
from ..engine.shared import Shared
from ..interfaces import IShared
from ..model.remote import Remote

__all__ = ["sharing"]


@asynccontextmanager
async def sharing(reactor: Any, remote: Remote | None = None) -> AsyncIterator[IShared]:
    """
    An L{IShared}, as a Downloader with this Remote would give it to its fetchers; closed when the block is left, as
    everything is that they C{keep}::

        async with sharing(reactor) as shared:
            fetcher = MyFetcher(reactor, Remote(), shared)
    """
    remote = remote or Remote()
    shared = Shared(reactor, remote, None)
    direct = shared.direct = Direct(Downloader(reactor, remote))
    try:
        yield shared
    finally:
        await shared.close()
        await direct.close()
