"""One fetch for many over real sockets: what the server has sent tells how often it was asked."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from zope.interface import implementer

from pulp_dl import Digest, Downloader, Limits, Remote, Sharing, Source, ToFile
from pulp_dl.errors import DownloadError
from pulp_dl.interfaces import IBodyConsumer
from pulp_dl.model.source import Head
from pulp_dl.testing import Cut, FaultServer, Nth, Reset, answer
from tests.servers import Nginx

DATA = b"".join(number.to_bytes(4, "big") for number in range(6 * 1024 * 1024))  # 24 MiB
SHA256 = hashlib.sha256(DATA).hexdigest()


@implementer(IBodyConsumer)
class Summing:
    """As a response: it cannot rewind.  It keeps nothing but a digest."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.size = 0
        self.finished = False
        self._sum = hashlib.sha256()
        self._stop_at = stop_at
        self.producer: Any = None
        self.stopped: Deferred[None] = Deferred()

    def stop_at(self, size: int) -> None:
        """Once more."""
        self._stop_at = size
        self.stopped = Deferred()

    @property
    def sha256(self) -> str:
        return self._sum.hexdigest()

    def gone(self) -> Deferred[DownloadError]:
        return Deferred()

    def begin(self, head: Head) -> None:
        assert self.size == 0

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self._sum.update(data)
        if self._stop_at is not None and self.size >= self._stop_at:
            self._stop_at = None
            self.producer.pauseProducing()
            self.stopped.callback(None)

    def finish(self) -> None:
        self.finished = True

    def fail(self, failure: object) -> None:
        pass


@pytest.fixture
async def nginx(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Nginx]:
    server = Nginx.make(reactor, program("nginx"), tmp_path)
    (server.root / "file").write_bytes(DATA)
    await server.start()
    yield server
    await server.stop()


async def served(reactor: Any, nginx: Nginx, count: int) -> list[Any]:
    """What nginx has noted; it does so after the last byte."""
    found: list[Any] = []
    while len(found) < count:
        found += nginx.served()
        await deferLater(reactor, 0.01)
    return found


async def test_fifty_clients_cost_the_server_one_file_and_a_slow_one_its_rest(reactor: Any, nginx: Nginx) -> None:
    remote = Remote(limits=Limits(connections=20, per_host=20))
    sharing = Sharing(Downloader(reactor, remote), reactor)
    source = Source(nginx.http + "file", Digest("sha256", SHA256))
    clients, slow = [Summing() for _ in range(50)], Summing(stop_at=1_000_000)
    late = sharing.download(source, slow)
    reports = await gatherResults([sharing.download(source, each) for each in clients])
    had = slow.size

    assert all(each.finished and each.sha256 == SHA256 for each in clients)
    assert all(each.facts == {"sha256": SHA256} for each in reports)
    assert [each.size for each in await served(reactor, nginx, 1)] == [len(DATA)]

    slow.producer.resumeProducing()
    report = await late
    assert slow.finished
    assert slow.sha256 == SHA256
    assert report.facts == {"sha256": SHA256}
    assert [(each.status, each.size) for each in await served(reactor, nginx, 1)] == [(206, len(DATA) - had)]
    await sharing.close()


@pytest.mark.limit(40)
async def test_slow_clients_keep_nobody_out_whether_they_share_or_not(reactor: Any, nginx: Nginx) -> None:
    """One of them alone with its file, one too slow for the transfer that it shared: they had both connections."""
    (nginx.root / "other").write_bytes(DATA)
    (nginx.root / "small").write_bytes(b"small")
    sharing = Sharing(Downloader(reactor, Remote(limits=Limits(connections=2, per_host=2))), reactor)
    digest = Digest("sha256", SHA256)
    alone, left_behind, quick = Summing(stop_at=1_000_000), Summing(stop_at=1_000_000), Summing()
    ends = [
        sharing.download(Source(nginx.http + "other", digest), alone),
        sharing.download(Source(nginx.http + "file", digest), left_behind),
    ]
    await sharing.download(Source(nginx.http + "file", digest), quick)
    left_behind.stop_at(2_000_000)
    left_behind.producer.resumeProducing()
    await gatherResults([alone.stopped, left_behind.stopped])
    small = Summing()
    await sharing.download(nginx.http + "small", small)

    assert small.finished
    for slow in (alone, left_behind):
        slow.producer.resumeProducing()
    await gatherResults(ends)
    assert alone.sha256 == left_behind.sha256 == SHA256
    await sharing.close()


async def test_a_client_that_leaves_a_slow_one_and_a_file_that_is_kept(
    reactor: Any, nginx: Nginx, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    sharing = Sharing(Downloader(reactor), reactor, keep=lambda source: ToFile(kept), window=64 * 1024 * 1024)
    source = Source(nginx.http + "file", Digest("sha256", SHA256))
    stays, leaves = Summing(), Summing(stop_at=2_000_000)
    leaving = sharing.download(source, leaves)
    staying = sharing.download(source, stays)
    await leaves.stopped
    leaving.cancel()
    with pytest.raises(CancelledError):
        await leaving
    await staying
    await sharing.idle()
    await sharing.close()

    assert stays.sha256 == SHA256
    assert not leaves.finished
    assert kept.read_bytes() == DATA
    assert [each.size for each in await served(reactor, nginx, 1)] == [len(DATA)]


async def test_a_transfer_that_is_reset_is_resumed_for_all_of_its_clients(reactor: Any) -> None:
    body = DATA[: 2 * 1024 * 1024]
    async with FaultServer(reactor, Nth([Cut(answer(body), 1_000_000, Reset()), answer(body)])) as server:
        sharing = Sharing(Downloader(reactor), reactor)
        source = Source(server.url("/file"), Digest("sha256", hashlib.sha256(body).hexdigest()))
        clients = [Summing() for _ in range(5)]
        await gatherResults([sharing.download(source, each) for each in clients])
        await sharing.close()

        assert all(each.sha256 == hashlib.sha256(body).hexdigest() for each in clients)
        assert len(server.requests) == 2
