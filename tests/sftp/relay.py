"""What stands between a client and a server, and lets only so much pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure


class _Ahead(Protocol):
    """Towards the server."""

    transport: Any

    def __init__(self, behind: _Behind) -> None:
        self.behind = behind

    def dataReceived(self, data: bytes) -> None:
        self.behind.pass_on(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.behind.transport.abortConnection()


class _Behind(Protocol):
    """Towards the client."""

    transport: Any
    ahead: _Ahead | None = None

    def __init__(self, relay: Relay, limit: int | None) -> None:
        self._relay = relay
        self.left = limit
        self._waiting = b""

    def connectionMade(self) -> None:
        self._relay.open.add(self)
        ahead = _Ahead(self)
        endpoint = TCP4ClientEndpoint(self._relay.reactor, "127.0.0.1", self._relay.to)
        endpoint.connect(Factory.forProtocol(lambda: ahead)).addCallbacks(self._reached, lambda _: None)

    def _reached(self, ahead: Any) -> None:
        self.ahead = ahead
        if self not in self._relay.open:
            ahead.transport.abortConnection()
        ahead.transport.write(self._waiting)

    def dataReceived(self, data: bytes) -> None:
        if self.ahead is None:
            self._waiting += data
        else:
            self.ahead.transport.write(data)

    def pass_on(self, data: bytes) -> None:
        if self.left is None:
            self.transport.write(data)
            return
        passing, self.left = data[: self.left], max(0, self.left - len(data))
        if passing:
            self.transport.write(passing)
        if not self.left and self._relay.cuts:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._relay.open.discard(self)
        if self.ahead is not None:
            self.ahead.transport.abortConnection()


class Relay(Factory):
    """
    @ivar limits: bytes of the server that pass, for each connection in turn; none left: all of them.
    @ivar cuts: the connection ends then; else there is silence.
    @ivar open: connections of clients; C{total}: how many there were.
    @ivar silent: on one of them all has passed that may.
    """

    noisy = False

    def __init__(self, reactor: Any, to: int) -> None:
        self.reactor = reactor
        self.to = to
        self.limits: list[int] = []
        self.cuts = True
        self.open: set[_Behind] = set()
        self.total = 0
        self.port = 0

    @property
    def silent(self) -> bool:
        return any(each.left == 0 for each in self.open)

    def buildProtocol(self, addr: Any) -> _Behind:
        self.total += 1
        return _Behind(self, self.limits.pop(0) if self.limits else None)


@asynccontextmanager
async def relaying(reactor: Any, to: int) -> AsyncIterator[Relay]:
    """
    @param to: the port of the server.
    """
    relay = Relay(reactor, to)
    listening = reactor.listenTCP(0, relay, interface="127.0.0.1")
    relay.port = listening.getHost().port
    try:
        yield relay
    finally:
        await listening.stopListening()
        for each in list(relay.open):
            each.transport.abortConnection()
