"""A temporary file for metadata."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pulp_dl import Downloader, Remote, Retries
from pulp_dl.errors import ConsumerFailed, TooLarge
from pulp_dl.importers.spool import Spool
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place
from pulp_dl.testing.checks import ConsumerCase, check_consumer

URL = "memory://h/list"


@asynccontextmanager
async def make_spool(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    with Spool() as spool:
        finish, done = spool.finish, []

        def finished() -> Any:
            ending = finish()
            done.append(True)
            return ending

        spool.finish = finished  # what came may be read when it has finished, not before
        yield ConsumerCase(spool, lambda: spool.open().read() if done else None)
        spool.open().close()


class TestSpool(check_consumer(make_spool)):  # type: ignore[misc]  # the class is made at run time
    """Spool keeps every promise of IBodyConsumer."""


async def test_it_has_no_name_while_it_is_there(reactor: Any) -> None:
    """So a killed process leaves nothing."""
    async with Downloader(reactor, schemes=[MemoryScheme(MemoryFetcher({URL: Place(b"abc" * 99_999)}))]) as downloader:
        with Spool() as spool:
            await downloader.download(URL, spool)

            assert [*Path(tempfile.gettempdir()).iterdir()] == []

            with spool.open() as file:
                assert file.read() == b"abc" * 99_999


@pytest.mark.parametrize("length", [True, False])
async def test_more_than_the_limit_is_refused(reactor: Any, length: bool) -> None:
    places: dict[str, Any] = {URL: Place(b"abc" * 100, length=length)}
    async with Downloader(reactor, schemes=[MemoryScheme(MemoryFetcher(places))]) as downloader:
        with Spool(299) as spool, pytest.raises(TooLarge):
            await downloader.download(URL, spool)
        with Spool(300) as spool:
            assert (await downloader.download(URL, spool)).size == 300


async def test_a_disk_that_takes_no_more_is_a_failure(reactor: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    places: dict[str, Any] = {URL: Place(bytes(3_000_000))}
    memory, once = MemoryFetcher(places, reactor), Remote(retries=Retries(count=0))
    async with Downloader(reactor, once, schemes=[MemoryScheme(memory)]) as downloader:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            with Spool() as spool, pytest.raises(ConsumerFailed):
                await downloader.download(URL, spool)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
