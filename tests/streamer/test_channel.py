"""A client that takes an answer in whatever portions gets all of it, and is waited for no longer than is said."""

from __future__ import annotations

import errno
import gc
import tracemalloc
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import Head, Source
from pulp_dl.interfaces import IBodyConsumer, IDownloader
from pulp_dl.streamer import Answers, Content
from tests.streamer.client import request
from tests.streamer.importers import ByHeart

TAIL = [10_000, 4097, 15_000, 20_000]
"""Of 30 000 bytes a few are left then, which make no transport full, and the last chunk behind them."""


class Narrow:
    """
    A socket of a client that takes so much each time that it is sent something, and then all.

    @ivar taken: what it has taken.
    """

    def __init__(self, rooms: list[int]) -> None:
        self._rooms = list(rooms)
        self.taken = b""

    def send(self, data: Any) -> int:
        room = self._rooms.pop(0) if self._rooms else len(data)
        if data and not room:
            raise BlockingIOError(errno.EWOULDBLOCK, "there is no room")
        self.taken += bytes(data[:room])
        return min(room, len(data))

    def setblocking(self, on: bool) -> None:
        """It never does."""

    def setsockopt(self, *option: int) -> None:
        """It has none."""

    def close(self) -> None:
        """Nothing is open."""

    def fileno(self) -> int:
        return -1

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 80

    getpeername = getsockname


@implementer(IDownloader)
class InPieces:
    """Brings these at once, and does not know beforehand how much that will be."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Any]:
        consumer.begin(Head("http://a/f", 200, (), None, None, None))
        for piece in self._pieces:
            consumer.write(piece)
        consumer.finish()
        return succeed(None)

    def head(self, source: Source | str) -> Deferred[Head]:
        raise NotImplementedError

    def close(self) -> Deferred[None]:
        return succeed(None)


def dechunked(data: bytes) -> bytes:
    """The body of a chunked answer, if it is one and nothing else."""
    _, _, data = data.partition(b"\r\n\r\n")
    body, size = b"", -1
    while size:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        body, data = body + data[:size], data[size + 2 :]
    assert not data
    return body


def accepted(client: Any, pieces: list[bytes], reactor: Any) -> tuple[Any, tcp.Server]:
    """The channel with this client, and its transport."""
    content = Content(reactor, ByHeart(InPieces(pieces), {"/f": Source("http://a/f")}), Answers(patience=30, idle=30))
    channel: Any = content.buildProtocol(None)
    nowhere: Any = None  # it was accepted there
    transport = tcp.Server(client, channel, ("127.0.0.1", 1), nowhere, 0, reactor)
    channel.makeConnection(transport)
    return channel, transport


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=4), st.lists(st.integers(0, 12_000), max_size=12))
@example([30_000], TAIL)
def test_in_whatever_portions_a_client_takes_an_answer_it_gets_all_and_may_ask_again(
    sizes: list[int], rooms: list[int]
) -> None:
    reactor: Any = MemoryReactorClock()
    pieces = [bytes([97 + number]) * size for number, size in enumerate(sizes)]
    client: Any = Narrow(rooms)
    channel, transport = accepted(client, pieces, reactor)
    for _ in range(2):
        client.taken = b""
        channel.dataReceived(request("/f", "Connection: keep-alive"))
        while transport in reactor.writers:
            assert not transport.doWrite()

        assert client.taken.endswith(b"\r\n0\r\n\r\n")
        assert dechunked(client.taken) == b"".join(pieces)


def test_a_client_that_takes_all_but_a_little_is_cut_too() -> None:
    reactor: Any = MemoryReactorClock()
    client: Any = Narrow([*TAIL, *[0] * 100])
    channel, transport = accepted(client, [bytes(30_000)], reactor)
    channel.dataReceived(request("/f", "Connection: keep-alive"))
    transport.doWrite()
    # Twice the limit: no kernel is asked here, so what is in the transport's buffer is noticed only when it closes.
    reactor.pump([5] * 16)

    assert transport.disconnected
    assert len(client.taken) > 28_000


def test_nothing_long_is_remembered_of_what_clients_call_their_fields() -> None:
    """Twisted keeps thousands of names, for the life of the process, as soon as it has seen them."""
    reactor: Any = MemoryReactorClock()

    def ask(number: int) -> bytes:
        content = Content(reactor, ByHeart(InPieces([b"hello"]), {}), Answers())
        channel: Any = content.buildProtocol(None)
        wire = StringTransport()
        channel.makeConnection(wire)
        name = b"X-%d-" % number + b"x" * 15_000
        channel.dataReceived(b"GET /f HTTP/1.1\r\nHost: a\r\n%b: 1\r\nA: b\r\n" % name)  # the rest may never come
        channel.connectionLost(Failure(ConnectionDone()))
        written: bytes = wire.value()
        return written

    ask(0)
    gc.collect()
    tracemalloc.start()
    try:
        answers = {ask(number)[:13] for number in range(1, 41)}
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 300_000
    finally:
        tracemalloc.stop()
    assert answers == {b"HTTP/1.1 431 "}
