"""How many connections may be open, and how many of them from one client."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from attrs import field, frozen
from attrs.validators import ge
from twisted.internet.interfaces import (
    IAddress,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from ..consumers.answers import date

__all__ = ["ConnectionLimits", "Entrance"]

REFUSED: Final = 64
"""Connections that are being told at one time that there is no room; others are closed without a word."""

PATIENCE: Final = 5
"""Seconds that one has to ask, and to take the answer."""

TEXT: Final = b"Too many connections.\n"
NO_ROOM: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nCache-Control: no-store\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nDate: " % len(TEXT)
)


@frozen(kw_only=True)
class ConnectionLimits:
    """
    How many connections of clients may be open.

    @ivar total: in all.
    @ivar per_client: from one address; of IPv6 one /64, which is what one client has.
    """

    total: int = field(default=2000, validator=ge(1))
    per_client: int = field(default=200, validator=ge(1))


@implementer(IProtocolFactory, ILoggingContext)
class Entrance:
    """
    Stands before another factory.  One for all listeners, so that they have their limits together.

    @ivar connections: that are open now.
    @ivar refused: how many there was no room for, by the limit that was reached: C{"total"}, C{"client"}.
    """

    noisy = False

    def __init__(self, reactor: Any, factory: Any, limits: ConnectionLimits) -> None:
        self._reactor = reactor
        self._factory = factory
        self._clients: Counter[str] = Counter()
        self._telling = 0
        self.limits = limits
        self.connections = 0
        self.refused: Counter[str] = Counter(total=0, client=0)
        if IProtocolNegotiationFactory.providedBy(factory):  # else TLS refuses whoever offers protocols, as curl does
            self.acceptableProtocols = factory.acceptableProtocols
            alsoProvides(self, IProtocolNegotiationFactory)

    def logPrefix(self) -> str:
        """What Twisted's own lines of its ports call us."""
        return "pulp-streamer"

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, address: IAddress) -> Any:
        client = _client(address)
        full = self._full(client)
        if full is not None:
            self.refused[full] += 1
            return _Refusal(self._reactor, self._told) if self._tell() else None
        protocol = self._factory.buildProtocol(address)
        if protocol is None:
            return None
        self.connections += 1
        self._clients[client] += 1
        return _Guest(protocol, self, client)

    def left(self, client: str) -> None:
        """One of its connections is closed."""
        self.connections -= 1
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def _full(self, client: str) -> str | None:
        if self.connections >= self.limits.total:
            return "total"
        return "client" if self._clients[client] >= self.limits.per_client else None

    def _tell(self) -> bool:
        if self._telling >= REFUSED:
            return False
        self._telling += 1
        return True

    def _told(self) -> None:
        self._telling -= 1


def _client(address: Any) -> str:
    host = getattr(address, "host", None)
    if host is None:
        return "unix"
    if ":" not in host:
        return str(host)
    from ipaddress import IPv6Address

    number = IPv6Address(host.partition("%")[0])
    return str(number.ipv4_mapped or int(number) >> 64)


@implementer(IProtocol)
class _Guest:
    """Hands everything on, and is told of the end.  What comes goes to the other directly."""

    def __init__(self, protocol: Any, entrance: Entrance, client: str) -> None:
        self._protocol = protocol
        self._entrance = entrance
        self._client = client
        self.dataReceived = protocol.dataReceived

    def makeConnection(self, transport: ITransport) -> None:
        self._protocol.makeConnection(transport)

    def connectionMade(self) -> None:
        """The other's own makeConnection has called it."""

    def connectionLost(self, reason: Failure) -> None:
        self._entrance.left(self._client)
        self._protocol.connectionLost(reason)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)


class _Refusal(Protocol):
    """Waits for the question, so that the answer is not lost in a reset."""

    def __init__(self, reactor: Any, ended: Any) -> None:
        self._reactor = reactor
        self._timer: Any = None
        self._ended = ended

    def connectionMade(self) -> None:
        self._timer = self._reactor.callLater(PATIENCE, self._late)

    def dataReceived(self, _data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"%b%b\r\n\r\n%b" % (NO_ROOM, date(), TEXT))
        self.transport.loseConnection()

    def _late(self) -> None:
        self._timer = None
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, _reason: Any = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ended()
