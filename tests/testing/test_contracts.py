"""Our own protocols and consumers keep the promises that we ask of those of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pulp_dl.testing import (
    ConsumerCase,
    FetcherCase,
    MemoryFetcher,
    Place,
    Recorder,
    RewindableRecorder,
    check_consumer,
    check_fetcher,
)


def etag(data: bytes) -> bytes:
    return b'"%s"' % sha256(data).hexdigest().encode()


@asynccontextmanager
async def memory(reactor: Any) -> AsyncIterator[FetcherCase]:
    fetcher = MemoryFetcher({})

    def serve(name: str, data: bytes) -> str:
        url = f"memory://host/{name.replace(' ', '-')}"
        fetcher.places[url] = Place(data, etag(data))
        return url

    yield FetcherCase(fetcher, serve, "memory://host/missing")
    assert fetcher.running == 0


class TestMemoryFetcher(check_fetcher(memory)):  # type: ignore[misc]  # the class is made at run time
    """The fetcher in memory keeps every promise of IFetcher."""


@asynccontextmanager
async def memory_in_turns(reactor: Any) -> AsyncIterator[FetcherCase]:
    fetcher = MemoryFetcher({}, reactor)

    def serve(name: str, data: bytes) -> str:
        url = f"memory://host/{name.replace(' ', '-')}"
        fetcher.places[url] = Place(data, etag(data), chunk=65536)
        return url

    yield FetcherCase(fetcher, serve, "memory://host/missing")
    assert fetcher.running == 0


class TestMemoryFetcherInTurns(check_fetcher(memory_in_turns)):  # type: ignore[misc]  # as above
    """It does so too when everything takes a turn of the reactor."""
