"""How long a client may do nothing, and how a streamer ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from zope.interface import implementer

from pulp_dl import Downloader, Head, Remote, Retries, Source
from pulp_dl.errors import ConsumerGone
from pulp_dl.interfaces import IBodyConsumer, IDownloader
from pulp_dl.streamer import Answers
from pulp_dl.testing import Chunk, Cut, Hold, Repeat, Send, answer, response_head
from tests.streamer.client import request
from tests.streamer.importers import ByHeart
from tests.streamer.serving import Serving, serving, sha256, until

DATA = bytes(range(250)) * 4000
LARGE = bytes(16 * 1024 * 1024)  # more than all buffers of the kernel
ENDLESS = [Send(response_head(200, ((b"Transfer-Encoding", b"chunked"),))), Repeat(Chunk(bytes(65_536)))]
HURRIED = Answers(patience=0.3, idle=0.3)


@contextmanager
def deaf(served: Serving, *requests: bytes) -> Iterator[socket.socket]:
    """A client that asks, and takes nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(b"".join(requests))
        yield client


async def test_a_client_that_takes_nothing_is_cut_and_the_origin_with_it(reactor: Any) -> None:
    async with serving(reactor, ENDLESS, answers=HURRIED) as served:
        with deaf(served, request()):
            ended = await served.ended()

            assert isinstance(ended.error, ConsumerGone)
            await until(reactor, lambda: not served.origin.connections.open)


async def test_a_client_that_takes_nothing_after_its_answer_was_written_is_cut_too(reactor: Any) -> None:
    """What is left is in our buffer, and the request is over."""
    for last in ("Connection: close", "Connection: keep-alive"):
        async with serving(reactor, answer(LARGE), answers=HURRIED) as served:
            with deaf(served, request("/f", last)) as client:
                channel = await _its_channel(reactor, served)
                # It takes all but the end.
                client.settimeout(0)
                while not served.told.over:
                    await _take(reactor, client, 65_536)
                await until(reactor, lambda: not served.content._channels)

                assert channel not in served.content._channels
                assert served.told.over[0].error is None


@implementer(IDownloader)
class AtOnce:
    """Brings 200 kB in one piece."""

    def __init__(self, downloader: Downloader) -> None:
        self.close = downloader.close

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Any]:
        consumer.begin(Head("http://a/f", 200, (), 200_000, None, 200_000))
        consumer.write(DATA[:200_000])
        consumer.finish()
        return succeed(None)

    def head(self, source: Source | str) -> Deferred[Head]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("second", "answered"), [(b"nonsense\r\n\r\n", b"HTTP/1.1 400 "), (request("/f"), b"HTTP/1.1 200 ")]
)
async def test_what_follows_an_answer_comes_behind_all_of_it(second: bytes, answered: bytes, reactor: Any) -> None:
    """Also what Twisted answers by itself, although most of the answer is still to be sent."""
    body = DATA[:200_000]
    at_once = lambda downloader, published: ByHeart(AtOnce(downloader), published)  # noqa: E731
    async with serving(reactor, (), importer=at_once) as served:
        served.listening.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # for those that it accepts
        with deaf(served, request() + second) as client:
            await served.ended()  # the client has taken nothing
            client.settimeout(0)
            taken = b""
            while answered not in taken[len(body) :]:
                with suppress(BlockingIOError):
                    piece = client.recv(1 << 20)
                    assert piece, "it was closed"
                    taken += piece
                await deferLater(reactor, 0)

    head, _, rest = taken.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert rest[: len(body)] == body
    assert rest[len(body) :].startswith(answered)


async def test_a_slow_client_is_waited_for(reactor: Any) -> None:
    """It takes a little in each of the times that it has: less than would let us write anything more."""
    async with serving(reactor, ENDLESS, answers=HURRIED) as served:
        with deaf(served, request()) as client:
            await _its_channel(reactor, served)
            client.settimeout(0)
            began = reactor.seconds()
            while reactor.seconds() < began + 1.2:
                await _take(reactor, client, 16_384)
                await deferLater(reactor, 0.03)

            assert served.told.over == []


async def _its_channel(reactor: Any, served: Serving) -> Any:
    await until(reactor, lambda: served.content._channels)
    [channel] = served.content._channels
    return channel


async def _take(reactor: Any, client: socket.socket, size: int) -> None:
    try:
        client.recv(size)
    except BlockingIOError:
        await deferLater(reactor, 0.001)


async def test_a_client_that_waits_for_us_has_all_the_time_it_wants(reactor: Any) -> None:
    async with serving(
        reactor, [Hold("go"), answer(DATA)], answers=Answers(patience=0.1, idle=0.1), remote=Remote()
    ) as served:
        client = await served.connect()
        answered = client.ask(request())
        await deferLater(reactor, 0.5)
        served.origin.release("go")

        assert (await answered).body == DATA
        await client.close()


@pytest.mark.parametrize("drip", [b"", b"G", b"\r\n", b"GET /f HTTP/1.1\r\nHost"])
async def test_a_client_that_does_not_come_to_an_end_of_its_head_is_cut(reactor: Any, drip: bytes) -> None:
    async with serving(reactor, answer(DATA), answers=HURRIED) as served:
        client = await served.connect()
        began = reactor.seconds()
        while not client.lost.called:
            client.transport.write(drip[:1])
            drip = drip[1:]
            await deferLater(reactor, 0.02)

        assert 0.2 < reactor.seconds() - began < 2
        assert served.told.begun == []


async def test_a_kept_connection_is_closed_when_nothing_is_asked_on_it(reactor: Any) -> None:
    async with serving(reactor, answer(DATA), answers=HURRIED) as served:
        client = await served.connect()
        assert (await client.ask(request())).whole

        assert await client.lost


# ---- the end


async def test_draining_closes_idle_connections_and_lets_the_others_finish(reactor: Any) -> None:
    async with serving(reactor, {"/f": [Hold("go"), answer(DATA)], "/g": answer(DATA)}) as served:
        served.importer.files["/g"] = Source(served.origin.url("/g"))
        idle, busy, late = await served.connect(), await served.connect(), await served.connect()
        assert (await idle.ask(request("/g"))).whole
        answered = busy.ask(request())
        await until(reactor, lambda: len(served.origin.requests) == 2)
        drained: list[object] = []
        served.content.draining().addCallback(drained.append)

        assert await idle.lost
        assert await late.lost
        assert drained == []
        served.origin.release("go")
        seen = await answered
        assert (seen.body, seen.get("connection")) == (DATA, b"close")
        assert await busy.lost
        await until(reactor, lambda: drained)
        assert drained == [None]
        await served.content.draining()


async def test_draining_waits_until_a_client_has_taken_what_it_was_given(reactor: Any) -> None:
    async with serving(reactor, answer(LARGE)) as served:
        with deaf(served, request()) as client:
            await _its_channel(reactor, served)
            drained = served.content.draining()
            client.settimeout(0)
            taken = 0
            while not drained.called:
                try:
                    taken += len(client.recv(1 << 20))
                except BlockingIOError:
                    await deferLater(reactor, 0.001)

            while data := client.recv(1 << 20):
                taken += len(data)
            assert taken > len(LARGE)


async def test_a_request_that_comes_while_draining_is_the_last_one_of_its_connection(reactor: Any) -> None:
    async with serving(reactor, answer(DATA)) as served:
        drained = served.content.draining()
        client = await served.connect()
        seen = await client.ask(request())

        assert (seen.whole, seen.get("connection")) == (True, b"close")
        assert await client.lost
        await drained


async def test_cutting_breaks_what_runs_and_the_origin_hears_of_it(reactor: Any) -> None:
    script = Cut(answer(DATA), 500_000, Hold())
    async with serving(reactor, script, remote=Remote(retries=Retries(count=0)), expect=sha256(DATA)) as served:
        client = await served.connect()
        answered = client.ask(request())
        await until(reactor, lambda: len(client.raw) > 400_000)
        await served.content.cut()

        assert not (await answered).whole
        assert not await client.lost
        assert len(served.told.over) == 1
        await until(reactor, lambda: not served.origin.connections.open)


async def test_an_importer_is_replaced_and_the_old_one_is_free_when_its_requests_have_ended(reactor: Any) -> None:
    async with serving(reactor, [Hold("go"), answer(DATA)]) as served:
        client = await served.connect()
        answered = client.ask(request())
        await until(reactor, lambda: served.origin.requests)
        served.content.importer = ByHeart(served.importer.downloader, {})
        settled: Deferred[None] = served.content.settled()

        assert (await served.ask()).status == 404
        assert not settled.called
        served.origin.release("go")
        assert (await answered).whole
        await settled
        await served.content.settled()
        await client.close()
