"""What tests of connections share: one in memory, with the server's end of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl.errors import DownloadError
from pulp_dl.protocols.http.connection import Answer, HTTPConnection
from pulp_dl.testing.pipe import pipe
from tests.sinks import Sink

URL = "http://user:password@example.org/a?token=SECRET"
ASK = b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
NOBODY = IPv4Address("TCP", "127.0.0.1", 1)


class Server(Protocol):
    """The other end."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Line:
    """A connection in memory, and what it told."""

    def __init__(self, segments: Iterator[int] | None = None) -> None:
        """
        @param segments: in what sizes bytes come.
        """
        self.clock = Clock()
        self.told: list[str] = []
        self.waiting: list[Deferred[Any]] = []
        self.on_idle: Callable[[], object] = bool
        self.on_gone: Callable[[], object] = bool
        self.connection = HTTPConnection(self.clock, self._idle, self._gone)
        self.server = Server()
        self.near, self.far = pipe(self._later, NOBODY, NOBODY, lambda: segments or repeat(65536))
        self.near.protocol, self.far.protocol = self.connection, self.server

    def open(self) -> Line:
        ends: Any = (self.server, self.far), (self.connection, self.near)
        for protocol, transport in ends:
            protocol.makeConnection(transport)
        return self

    def _later(self, step: Callable[[], None]) -> None:
        self.clock.callLater(0, step)

    def _idle(self, connection: HTTPConnection) -> None:
        assert connection is self.connection
        assert self.near.reading, "idle and paused"
        self.told.append("idle")
        self.on_idle()

    def _gone(self, connection: HTTPConnection) -> None:
        assert not self.near.connected, "its socket is open"
        self.told.append("gone")
        self.on_gone()

    def ask(self, method: bytes = b"GET") -> Deferred[Answer]:
        asking = self.connection.request(ASK, method, URL)
        self.waiting.append(asking)
        return asking

    def end(self) -> None:
        """Whatever was done, this is the end."""
        self.connection.abort()
        self.run()
        assert self.told.count("gone") == 1
        assert not self.clock.getDelayedCalls()
        for d in self.waiting:
            assert d.called
            d.addErrback(lambda failure: failure.trap(CancelledError))

    def run(self) -> Line:
        self.clock.advance(0)
        return self

    def send(self, *segments: bytes) -> Line:
        """Each of them comes alone."""
        for segment in segments:
            self.far.write(segment)
            self.run()
        return self

    def fin(self) -> Line:
        self.far.loseConnection()
        return self.run()

    def rst(self) -> Line:
        self.far.abortConnection()
        return self.run()

    @property
    def closed(self) -> bool:
        return not self.near.connected


def result(d: Deferred[Any]) -> Any:
    """What it fired with."""
    assert d.called
    assert not isinstance(d.result, Failure), d.result
    return d.result


def error(d: Deferred[Any], kind: type[BaseException]) -> Any:
    """What it failed with, which may be printed."""
    caught: list[Failure] = []
    d.addErrback(caught.append)
    assert caught, "it has not failed"
    value = caught[0].value
    assert isinstance(value, kind), value
    assert "password" not in str(value)
    assert "SECRET" not in str(value)
    if isinstance(value, DownloadError):
        assert value.url is not None
    return value


def answered(line: Line, *segments: bytes, method: bytes = b"GET") -> Answer:
    asking = line.ask(method)
    line.send(*segments)
    return cast("Answer", result(asking))


def delivered(line: Line, *segments: bytes, sink: Sink | None = None) -> tuple[Answer, Sink, Deferred[None]]:
    """Ask, and deliver as soon as the head is here."""
    into = sink or Sink()
    deliveries: list[Deferred[None]] = []

    def deliver(answer: Answer) -> Answer:
        deliveries.append(answer.deliver(into))
        line.waiting.append(deliveries[0])
        return answer

    asking = line.ask().addCallback(deliver)
    line.send(*segments)
    return result(asking), into, deliveries[0]
