"""Who comes too late for the window reads the file that is being stored, and asks nobody for what is there."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from pulp_dl import Attempt, Source, Span
from pulp_dl.engine.sharing import WINDOW
from pulp_dl.importers.catalogue import Catalogue
from pulp_dl.interfaces import IDownloader, IMirrors
from pulp_dl.testing import Hold, Nth, OnRange, Recorder, Reset, Send, answer, response_head
from tests.importers.repository import Here, here

BODY = random.Random(4).randbytes(3 * 1024 * 1024) * 4  # more than a window
ENOUGH = 10 * 1024 * 1024
assert ENOUGH > WINDOW + 1024 * 1024

WHOLE = response_head(200, ((b"Content-Length", b"%d" % len(BODY)), (b"ETag", b'"1"'), (b"X-Bear", b"brown")))
HELD = (Send(WHOLE + BODY[:ENOUGH]), Hold("rest"), Send(BODY[ENOUGH:]))


async def ask(catalogue: Catalogue, span: Span | None = None) -> tuple[Recorder, Deferred[Any]]:
    downloader, source = await catalogue.find("/files/a.iso")
    client = Recorder()
    return client, downloader.download(evolve(source, span=span), client)


async def size(world: Here, client: Recorder, least: int) -> None:
    while len(client.data) < least:
        await deferLater(world.reactor, 0.001)


async def published(world: Here) -> tuple[Recorder, Deferred[Any]]:
    """A first client that has so much that nobody may join it."""
    await world.publish({"a.iso": BODY})
    client, ending = await ask(world.catalogue)
    await size(world, client, ENOUGH - 100_000)
    return client, ending


async def test_who_is_too_late_for_the_window_reads_what_is_being_stored(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path, {"/repo/a.iso": HELD}) as world:
        first, one = await published(world)
        late, two = await ask(world.catalogue)
        await size(world, late, WINDOW)  # while upstream brings nothing
        world.server.release("rest")
        reports = [await one, await two]

        assert first.data == late.data == BODY
        assert late.head is not None
        assert late.head.get(b"x-bear") == b"brown"
        assert late.finished
        assert all(report.validated for report in reports)
        assert world.asked() == ["GET /repo/a.iso"]
        await world.stored(BODY)


async def test_a_part_that_is_there_costs_upstream_nothing_and_another_one_is_asked_for(
    reactor: Any, tmp_path: Path
) -> None:
    part = response_head(
        206,
        (
            (b"Content-Length", b"10"),
            (b"Content-Range", b"bytes %d-%d/%d" % (len(BODY) - 10, len(BODY) - 1, len(BODY))),
            (b"ETag", b'"1"'),
        ),
    )
    async with here(reactor, tmp_path, {"/repo/a.iso": OnRange(Send(part + BODY[-10:]), HELD)}) as world:
        _, one = await published(world)
        here_, there = await ask(world.catalogue, Span(5_000_000, 5_000_010)), await ask(world.catalogue, Span(-10))
        for client, ending in (here_, there):
            await ending
            assert client.head is not None
            assert client.head.status == 206
        assert (here_[0].data, there[0].data) == (BODY[5_000_000:5_000_010], BODY[-10:])
        world.server.release("rest")
        await one
        assert [request.get(b"range") for request in world.server.requests] == [None, b"bytes=-10"]


async def test_if_it_grows_no_more_the_rest_comes_from_upstream(reactor: Any, tmp_path: Path) -> None:
    """Here because the first client stays, but upstream brings nothing to it."""
    async with here(reactor, tmp_path, {"/repo/a.iso": OnRange(answer(BODY), HELD)}) as world:
        first, one = await published(world)
        late, two = await ask(world.catalogue)
        report = await two

        assert late.data == BODY
        assert report.validated
        brought = [attempt.received for attempt in report.attempts]
        assert len(brought) == 2
        assert sum(brought) == len(BODY)
        world.server.release("rest")
        await one
        assert first.data == BODY


@pytest.mark.parametrize("leaves", ["the first one", "the late one"])
async def test_promise_5_whoever_leaves_the_other_one_gets_all(leaves: str, reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path, {"/repo/a.iso": OnRange(answer(BODY), HELD)}, keep_share=1) as world:
        (first, one), (late, two) = await published(world), await ask(world.catalogue)
        await size(world, late, 1_000_000)
        leaving, staying, client = (one, two, late) if leaves == "the first one" else (two, one, first)
        leaving.cancel()
        with pytest.raises(CancelledError):
            await leaving
        world.server.release("rest")
        await staying

        assert client.data == BODY


async def test_what_dies_and_is_brought_again_is_whole_for_both(reactor: Any, tmp_path: Path) -> None:
    cut = (Send(WHOLE + BODY[:ENOUGH]), Hold("rest"), Reset())
    async with here(reactor, tmp_path, {"/repo/a.iso": Nth([cut, answer(BODY)])}) as world:
        (first, one), (late, two) = await published(world), await ask(world.catalogue)
        await size(world, late, WINDOW)
        world.server.release("rest")
        await one
        await two

        assert first.data == late.data == BODY
        await world.stored(BODY)


@implementer(IMirrors)
class Asked:
    """Knows no other place, and which files it was asked for."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def locate(self, source: Source, direct: IDownloader) -> list[Source]:
        self.urls.append(source.url)
        return [source]

    def record(self, attempt: Attempt) -> None:
        """Nothing is learnt."""


async def test_what_is_being_stored_is_no_mirror_and_no_mirror_is_asked_for_it(reactor: Any, tmp_path: Path) -> None:
    mirrors = Asked()
    async with here(reactor, tmp_path, {"/repo/a.iso": HELD}, mirrors=mirrors) as world:
        _, one = await published(world)
        late, two = await ask(world.catalogue)
        await size(world, late, WINDOW)
        world.server.release("rest")
        await one
        await two

        assert late.data == BODY
        assert world.asked() == ["GET /repo/a.iso"]
        assert set(mirrors.urls) == {world.server.url("/repo/a.iso")}
        assert [each.host for each in world.catalogue.standings] == [world.server.url("").rstrip("/")]
