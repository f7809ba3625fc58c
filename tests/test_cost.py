"""
What a file and a piece of a body cost, fetched and streamed, in calls of Python functions, over a network in memory.

No clock is read, so no machine is too slow for this; but a call that somebody adds to each file or to each piece shows.
The bounds are a tenth above what is.  If one is passed: is it worth it?  Then it is raised, and the commit says why.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import trustme
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

import pulp_dl
from pulp_dl import TLS, Attempt, Digest, Downloader, Limits, Remote, Size, Source, ToFile, ToMemory
from pulp_dl.engine.sharing import Sharing
from pulp_dl.flow.workers import LIMIT, MOST, Lane
from pulp_dl.interfaces import IBodyConsumer, IDownloader, IMirrors, IWorkers
from pulp_dl.protocols.http.connection import LARGE
from pulp_dl.streamer import Content
from pulp_dl.streamer.traffic import Traffic
from pulp_dl.testing import MemoryNetwork, Script, Send, ServerTLS, answer
from pulp_dl.testing.pipe import RECEIVE, pipe
from tests.streamer.importers import ByHeart

OURS = os.path.join(os.path.dirname(pulp_dl.__file__), "")
OTHERS = (os.path.join(OURS, "testing", ""), os.path.dirname(__file__), "<attrs generated methods pulp_dl.testing")
CLOCK = (os.path.join("internet", "task.py"), os.path.join("internet", "base.py"))  # what stands for a reactor here
# Ours is another one, and takes none of what pyOpenSSL does for those that it is asked to send.
TLS_OF_SERVERS = (os.path.join("protocols", "tls.py"), os.path.join("OpenSSL", "_util.py"))
OPENSSL = os.path.join("OpenSSL", "SSL.py")  # servers use it, too
HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 28 Nov 2026 17:00:00 GMT\r\nContent-Type: application/octet-stream"
    b"\r\nContent-Length: %d\r\nLast-Modified: Sat, 28 Nov 2026 16:00:00 GMT\r\nConnection: keep-alive"
    b'\r\nETag: "6a1b2c3d-2800"\r\nAccept-Ranges: bytes\r\n\r\n'
)
SMALL = b"x" * 10_240
PIECE = 4096  # in all less than what is worth a thread


class Calls:
    """Counts the Python functions that are entered, but for those of the tests, of their clock and of their servers."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self._counts: dict[Any, bool] = {}

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        counts = self._counts.get(code)
        if counts is None:
            # How a comprehension is run differs from Python to Python.
            name, inner = code.co_filename, code.co_name.startswith("<") and code.co_name != "<lambda>"
            counts = not inner and not name.startswith(OTHERS) and not name.endswith((*CLOCK, *TLS_OF_SERVERS))
            self._counts[code] = counts
        caller = frame.f_back
        if counts and code.co_filename.endswith(OPENSSL):
            counts = caller is not None and caller.f_code.co_filename.startswith(OURS)
        if counts:
            self.counted[f"{os.path.basename(code.co_filename)}:{code.co_name}"] += 1


def calls_of(run: Callable[[], object]) -> Counter[str]:
    """What is called in there."""
    calls, before = Calls(), sys.getprofile()
    gc.collect()  # what zope.interface makes once for all that live lives on in what is left of the run before, or not
    sys.setprofile(calls)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls.counted


def assert_each(found: Counter[str], more: Counter[str], number: int, most: float) -> None:
    """C{more} has this number of files, or pieces, more than C{found}: each costs no more than C{most} calls."""
    costs = {name: count / number for name, count in (more - found).items()}
    told = "\n".join(f"{cost:6.2f} {name}" for name, cost in sorted(costs.items(), key=lambda item: -item[1])[:60])
    assert sum(costs.values()) <= most, f"{sum(costs.values()):.1f} calls, {most:g} at most:\n{told}"


@implementer(IWorkers)
class InTurns:
    """Workers whose threads are turns of the network: lanes are as they are, and always at work at the same moments."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    def lane(self, relieved: Callable[[], None], failed: Callable[[Failure], None], limit: int | None = LIMIT) -> Lane:
        return Lane(self._ready, self._network.callFromThread, relieved, failed, MOST if limit is None else limit)

    def _ready(self, turn: Callable[[], bool]) -> None:
        def again() -> None:
            if turn():
                self._ready(turn)

        self._network.turn(again)

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        return execute(job)

    def close(self) -> Deferred[None]:
        return succeed(None)


class Mirroring:
    """Small files into a directory, one large body into memory, or one that is larger into a file."""

    def __init__(self, scheme: str, ca: trustme.CA, directory: Path) -> None:
        self._directory = directory
        self._network = MemoryNetwork()
        identity = ca.issue_cert("h.example").private_key_and_cert_chain_pem.bytes()
        tls = ServerTLS(identity) if scheme == "https" else None
        script: dict[str, Script] = {"/small": Send(HEAD % len(SMALL) + SMALL)}  # in one piece, as servers do
        script |= {f"/{pieces}": answer(self.body(pieces), piece=PIECE) for pieces in (4, 54)}
        script["/large"] = Send(HEAD % (8 * LARGE) + b"z" * (8 * LARGE))
        script["/larger"] = Send(HEAD % (24 * LARGE) + b"z" * (24 * LARGE))
        self._server = self._network.serve("h.example", script, tls=tls)
        self._remote = Remote(tls=TLS(ca=ca.cert_pem.bytes(), system=False), limits=Limits(connections=4, per_host=4))

    @staticmethod
    def body(pieces: int) -> bytes:
        return b"y" * (pieces * PIECE)

    def files(self, number: int) -> Counter[str]:
        return self._fetch("/small", SMALL, [ToFile(self._directory / str(n), durable=False) for n in range(number)])

    def pieces(self, number: int) -> Counter[str]:
        return self._fetch(f"/{number}", self.body(number), [ToMemory()])

    def reads(self, path: str, number: int) -> Counter[str]:
        """A body of so many."""
        return self._fetch(path, b"z" * (number * LARGE), [ToFile(self._directory / "large")], InTurns(self._network))

    def _fetch(self, path: str, data: bytes, consumers: list[IBodyConsumer], workers: Any = None) -> Counter[str]:
        url, digest, network = self._server.url(path), sha256(data).hexdigest(), self._network
        items = ((Source(url, [Size(len(data)), Digest("sha256", digest)]), consumer) for consumer in consumers)

        async def fetch() -> int:
            validated = 0
            async with Downloader(network, self._remote) as downloader, downloader.download_many(items) as outcomes:
                downloader._shared.workers = workers or downloader._shared.workers  # threads have their own time
                async for outcome in outcomes:
                    validated += bool(outcome.report and outcome.report.validated)
            return validated

        found: list[int] = []
        calls = calls_of(lambda: found.append(network.result(Deferred.fromCoroutine(fetch()))))
        assert found == [len(consumers)]
        return calls


@pytest.mark.parametrize(("scheme", "most"), [("http", 325), ("https", 340)])
def test_calls_for_a_small_file(scheme: str, most: float, ca: trustme.CA, tmp_path: Path) -> None:
    mirroring = Mirroring(scheme, ca, tmp_path)
    mirroring.files(4)  # what is done once
    assert_each(mirroring.files(8), mirroring.files(48), 40, most)


@pytest.mark.parametrize(("scheme", "most"), [("http", 21), ("https", 26.2)])
def test_calls_for_a_piece_of_a_large_body(scheme: str, most: float, ca: trustme.CA, tmp_path: Path) -> None:
    mirroring = Mirroring(scheme, ca, tmp_path)
    mirroring.pieces(4)
    assert_each(mirroring.pieces(4), mirroring.pieces(54), 50, most)


@pytest.mark.parametrize(("scheme", "most"), [("http", 28), ("https", 35.6)])
def test_calls_for_a_large_read_of_a_body_that_is_written(
    scheme: str, most: float, ca: trustme.CA, tmp_path: Path
) -> None:
    """Two MiB, and six: they are read 256 KiB at once, hashed and written by threads, which hardly have to be told."""
    mirroring = Mirroring(scheme, ca, tmp_path)
    mirroring.reads("/large", 8)
    assert_each(mirroring.reads("/large", 8), mirroring.reads("/larger", 24), 16, most)


@implementer(IMirrors)
class Published:
    """One place, which is told as a catalogue tells it."""

    def locate(self, source: Source, direct: IDownloader) -> Iterable[Source]:
        return (source,)

    def record(self, attempt: Attempt) -> None:
        """Nothing is learnt."""


class Asks(Protocol):
    """A client with one connection."""

    transport: Any
    _length: int | None = None

    def __init__(self) -> None:
        self._left = 0
        self._came = b""
        self.bodies: list[bytes] = []

    def ask(self, path: str, times: int) -> None:
        self._path, self._left = path, times
        self._next()

    def _next(self) -> None:
        if self._left:
            self._left, self._came, self._length = self._left - 1, b"", None
            self.transport.write(f"GET {self._path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        self._came += data
        head, end, body = self._came.partition(b"\r\n\r\n")
        if end and len(body) == int(head.partition(b"Content-Length: ")[2].split()[0]):
            self.bodies.append(body)
            self._next()


class Streaming:
    """A streamer of files that are published, and a client."""

    def __init__(self) -> None:
        self._network = network = MemoryNetwork()
        bodies = {"/small": SMALL, "/4": b"y" * 4 * PIECE, "/54": b"y" * 54 * PIECE}
        script: dict[str, Script] = {path: answer(body, piece=PIECE) for path, body in bodies.items()}
        server = network.serve("h.example", {**script, "/small": Send(HEAD % len(SMALL) + SMALL)})
        sharing = Sharing(Downloader(network, mirrors=Published()), network)
        files = {
            path: Source(server.url(path), [Size(len(body)), Digest("sha256", sha256(body).hexdigest())])
            for path, body in bodies.items()
        }
        content = Content(network, ByHeart(sharing, files), told=Traffic(network), name="streamer")
        near, far = IPv4Address("TCP", "192.0.2.9", 49152), IPv4Address("TCP", "192.0.2.8", 80)
        ours, theirs = pipe(network.turn, near, far, lambda: repeat(RECEIVE))
        self._client = Asks()
        ours.protocol, theirs.protocol = self._client, content.buildProtocol(near)
        theirs.protocol.makeConnection(theirs)
        self._client.makeConnection(ours)
        self._bodies = bodies

        self._ends = content.cut, sharing.close

    def close(self) -> None:
        for end in self._ends:
            self._network.result(end())

    def gets(self, path: str, number: int) -> Counter[str]:
        client = self._client
        client.bodies.clear()

        def ask() -> None:
            client.ask(path, number)
            self._network.run()

        calls = calls_of(ask)
        assert client.bodies == [self._bodies[path]] * number
        return calls


def test_calls_for_a_small_file_that_is_streamed(streaming: Streaming) -> None:
    streaming.gets("/small", 4)
    assert_each(streaming.gets("/small", 8), streaming.gets("/small", 48), 40, 460)


def test_calls_for_a_piece_of_a_body_that_is_streamed(streaming: Streaming) -> None:
    streaming.gets("/4", 1)
    assert_each(streaming.gets("/4", 1), streaming.gets("/54", 1), 50, 28)


@pytest.fixture
def streaming() -> Iterator[Streaming]:
    made = Streaming()
    yield made
    made.close()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()
