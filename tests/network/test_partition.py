"""A network that is gone for a while, loses packets, or is slow: between namespaces, with a server in one of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater

from pulp_dl import Digest, Downloader, Remote, Retries, Source, Timeouts, ToFile, ToMemory
from pulp_dl.errors import TimedOut
from tests.network.lan import Lan, lan

pytestmark = pytest.mark.limit(60)

DATA = random.Random(1).randbytes(1_000_000)
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
PATIENT = Retries(count=20, base=0.2, cap=0.4)
QUICK = Timeouts(connect=1, head=1, idle=1)


@pytest.fixture
def net(program: Callable[[str], str], tmp_path: Path) -> Iterator[Lan]:
    for each in ("ip", "tc", "iptables"):
        program(each)
    folder = tmp_path / "lan"
    folder.mkdir()
    with lan(program("nginx"), folder) as made:
        (made.root / "file").write_bytes(DATA)
        yield made


async def started(reactor: Any, directory: Path) -> None:
    """Until something has come, which is written to a part."""
    while not any(each.stat().st_size for each in directory.glob("*.part")):
        await deferLater(reactor, 0.01)


@pytest.mark.parametrize("way", ["cut", "unplug"])
async def test_a_sync_heals_when_the_route_returns(reactor: Any, net: Lan, tmp_path: Path, way: str) -> None:
    """Within the same downloads, and no byte of them comes twice."""
    (tmp_path / "here").mkdir()
    async with Downloader(reactor, Remote(timeouts=QUICK, retries=PATIENT)) as downloader:
        downloads: list[Deferred[Any]] = [
            downloader.download(
                Source(net.url("/slow/file"), SHA), ToFile(tmp_path / "here" / str(number), part=True, durable=False)
            )
            for number in range(4)
        ]
        await started(reactor, tmp_path / "here")
        getattr(net, way)()
        await deferLater(reactor, 2.5)
        assert not any(each.called for each in downloads)
        net.heal()
        net.plug()
        ends = await DeferredList(downloads, consumeErrors=True)

    for number, (ok, report) in enumerate(ends):
        assert ok, report
        assert (tmp_path / "here" / str(number)).read_bytes() == DATA
        assert any(attempt.error is not None for attempt in report.attempts)
        assert sum(attempt.received for attempt in report.attempts) == len(DATA)


async def test_a_connection_that_died_in_the_pool_costs_one_try(reactor: Any, net: Lan) -> None:
    """The server went away while the network was gone, so nobody could tell."""
    async with Downloader(reactor, Remote(timeouts=QUICK, retries=PATIENT)) as downloader:
        await downloader.download(net.url("/file"), ToMemory())
        net.cut()
        net.stop()
        net.heal()
        net.start()
        body = ToMemory()
        report = await downloader.download(Source(net.url("/file"), SHA), body)

    assert body.data == DATA
    assert len(report.attempts) == 1


async def test_who_is_cut_off_hears_of_it_in_time(reactor: Any, net: Lan) -> None:
    """In each phase: while the body comes, before there is an answer, before there is a connection."""
    remote = Remote(timeouts=QUICK, retries=Retries(count=0))
    async with Downloader(reactor, remote) as downloader:
        await downloader.download(net.url("/file"), ToMemory())  # leaves a connection
        slow = downloader.download(net.url("/slow/file"), ToMemory())
        await deferLater(reactor, 0.3)
        net.cut()
        began = reactor.seconds()
        phases = []
        for download in (slow, downloader.download(net.url("/file"), ToMemory())):
            with pytest.raises(TimedOut) as raised:
                await download
            phases.append(raised.value.phase)
        took = reactor.seconds() - began
        net.heal()

    assert phases[0] == "idle"
    assert phases[1] in {"connect", "head"}
    assert took < 3.5


async def test_a_link_that_loses_packets_brings_it_all_the_same(reactor: Any, net: Lan) -> None:
    net.lose(0.03)
    body = ToMemory()
    async with Downloader(reactor, Remote(timeouts=Timeouts(connect=10), retries=PATIENT)) as downloader:
        await downloader.download(Source(net.url("/file"), SHA), body)

    assert body.data == DATA


async def test_a_link_at_twice_the_limit_is_fast_enough_and_one_at_half_of_it_is_not(reactor: Any, net: Lan) -> None:
    limits = Timeouts(idle=10, low_speed=50_000, low_speed_window=2)
    net.throttle(100_000)
    (net.root / "short").write_bytes(DATA[:500_000])
    body = ToMemory()
    remote = Remote(timeouts=limits, retries=Retries(count=0))
    async with Downloader(reactor, remote) as downloader:
        report = await downloader.download(net.url("/short"), body)
        assert body.data == DATA[:500_000]
        assert report.seconds > 3  # it was as slow as it should be
        net.inside("tc", "qdisc", "del", "dev", "inner", "root")
        net.throttle(25_000)
        began = reactor.seconds()
        with pytest.raises(TimedOut) as raised:
            await downloader.download(net.url("/file"), ToMemory())

    assert raised.value.phase == "low_speed"
    assert reactor.seconds() - began < 7  # a bucket's burst first, then a window, and what it takes to see it
