"""What has come is gone: nothing of it waits for a collector, which would find dozens of objects for each file."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from pulp_dl import Digest, Downloader, Source, ToFile, ToMemory
from pulp_dl.interfaces import IBodyConsumer
from pulp_dl.testing import FaultServer, answer
from tests.service.running import until

FILES = {"/small": b"bear" * 2500, "/large": b"bear" * 500_000}
CONSUMERS: dict[str, Callable[[Path], IBodyConsumer]] = {
    "memory": lambda _: ToMemory(),
    "file": ToFile,
    "file that is not synced": lambda path: ToFile(path, durable=False),
    "file that would be kept": lambda path: ToFile(path, part=True),
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", CONSUMERS)
@pytest.mark.parametrize("path", FILES)
async def test_a_download_that_has_ended_well_is_gone_at_once(
    path: str, kind: str, no_collector: None, reactor: Any, tmp_path: Path
) -> None:
    scripts = {name: answer(data) for name, data in FILES.items()}
    async with FaultServer(reactor, scripts) as server, Downloader(reactor) as downloader:
        await downloader.download(server.url(path), ToMemory())  # the first one imports the protocol
        source = Source(server.url(path), expect=Digest("sha256", sha256(FILES[path]).hexdigest()))
        consumer = CONSUMERS[kind](tmp_path / "file")
        left: list[Callable[[], object]] = [ref(source), ref(consumer)]
        await downloader.download(source, consumer)
        del source, consumer
        # The limit of the test is the limit of this: the reactor may still hold what it has called.
        await until(reactor, lambda: [each() for each in left] == [None, None])
