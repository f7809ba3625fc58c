"""What is stored, with upstream behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pytest
from attrs import evolve
from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from pulp_dl import Downloader, Remote, Retries, Size, Source, Span, ToFile, ToMemory
from pulp_dl.errors import ConsumerFailed, ConsumerGone, DownloadError, NotFound, Truncated
from pulp_dl.importers.stored import Stored
from pulp_dl.interfaces import IDownloader
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder
from tests.sinks import turn

DATA = bytes(range(256)) * 1000
HERE, THERE = "memory://here/file", "memory://there/file"


class World:
    """A store and an upstream, and what each was asked for."""

    def __init__(self, reactor: Any, here: Place | None, there: Place | None = None) -> None:
        self.here = MemoryFetcher({} if here is None else {HERE: here}, reactor)
        self.there = MemoryFetcher({THERE: Place(DATA) if there is None else there}, reactor)
        once = Remote(retries=Retries(count=0))
        self.downloaders = [Downloader(reactor, once, schemes=[MemoryScheme(each)]) for each in (self.here, self.there)]
        files, upstream = self.downloaders
        self.stored = Stored(files, upstream, Source(THERE, expect=Size(len(DATA))))
        self.source = Source(HERE, expect=Size(len(DATA)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stored.close()
        for each in self.downloaders:
            await each.close()


async def test_what_is_stored_is_not_asked_for_upstream(reactor: Any) -> None:
    async with World(reactor, Place(DATA)) as world:
        assert verifyObject(IDownloader, world.stored)
        client = Recorder()
        await world.stored.download(world.source, client)

        assert (client.data, client.finished, world.there.asked) == (DATA, True, [])
        assert (await world.stored.head(world.source)).length == len(DATA)
        assert world.there.asked == []


async def test_what_is_not_there_any_more_comes_from_upstream_as_it_was_asked_for(reactor: Any) -> None:
    async with World(reactor, None) as world:
        client = Recorder()
        await world.stored.download(evolve(world.source, span=Span(10, 20)), client)

        assert (client.data, client.finished, client.failure) == (DATA[10:20], True, None)
        assert (await world.stored.head(world.source)).length == len(DATA)
        whole = Recorder()
        await world.stored.download(HERE, whole)
        assert whole.data == DATA


async def test_a_file_that_was_damaged_comes_from_upstream(reactor: Any) -> None:
    async with World(reactor, Place(DATA[:-1])) as world:
        client = Recorder()
        await world.stored.download(world.source, client)

        assert client.data == DATA


async def test_what_breaks_off_is_told_once_the_client_has_a_part(reactor: Any) -> None:
    async with World(reactor, Place(DATA, drop_at=200_000)) as world:
        client = Recorder()
        with pytest.raises(Truncated):
            await world.stored.download(world.source, client)

        assert 0 < len(client.data) < len(DATA)
        assert client.failure is not None
        assert world.there.asked == []


async def test_when_both_fail_upstream_is_the_reason(reactor: Any) -> None:
    async with World(reactor, None, Place(DATA[:100])) as world:
        client = Recorder()
        with pytest.raises(DownloadError) as caught:
            await world.stored.download(world.source, client)

        assert caught.value.url == THERE
        assert client.failure is not None
        assert client.failure.value is caught.value


async def test_a_consumer_that_is_gone_or_broken_is_not_asked_again(reactor: Any) -> None:
    async with World(reactor, Place(DATA)) as world:
        for client, error in (
            (Recorder(raises={"begin": ValueError()}), ConsumerFailed),
            (_left(), ConsumerGone),
        ):
            with pytest.raises(error):
                await world.stored.download(world.source, client)
            assert client.failure is not None
        assert world.there.asked == []


def _left() -> Recorder:
    client = Recorder()
    client.leave()
    return client


@pytest.mark.parametrize("here", [None, Place(DATA, stall_at=0)])
async def test_cancelling_ends_whichever_runs(reactor: Any, here: Place | None) -> None:
    async with World(reactor, here, Place(DATA, stall_at=100_000)) as world:
        client = Recorder()
        download = world.stored.download(world.source, client)
        while not (world.there.asked or (here is not None and world.here.asked)):
            await turn(reactor)
        download.cancel()
        with pytest.raises(CancelledError):
            await download

        assert client.failure is not None
        assert client.failure.check(CancelledError)
        assert (world.here.running, world.there.running) == (0, 0)


async def test_a_client_that_leaves_ends_whichever_runs(reactor: Any) -> None:
    async with World(reactor, None, Place(DATA, stall_at=100_000)) as world:
        client = Recorder()
        download = world.stored.download(world.source, client)
        while not client.writes:
            await turn(reactor)
        client.leave()
        with pytest.raises(ConsumerGone):
            await download

        assert world.there.running == 0


async def test_any_consumer_will_do(reactor: Any, tmp_path: Path) -> None:
    async with World(reactor, None) as world:
        memory = ToMemory()
        await world.stored.download(world.source, memory)
        await world.stored.download(world.source, ToFile(tmp_path / "file"))

        assert memory.data == (tmp_path / "file").read_bytes() == DATA


async def test_a_head_of_nothing_is_nothing(reactor: Any) -> None:
    async with World(reactor, None) as world:
        world.there.places.clear()
        with pytest.raises(NotFound):
            await world.stored.head(world.source)
