"""
A way through a proxy: an endpoint that connects to it, says what it wants to hear, and hands over what is then a
connection to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from .tls_transport import wire

__all__ = ["Opening", "ProxyLost", "Refusal", "Tunnel", "early"]


class Refusal(Exception):
    """
    The proxy made no tunnel.  The message holds no byte of what it sent.

    @ivar status: of HTTP, if it answered with one.
    @ivar transient: may another try help?  None if the status tells.
    @ivar login_refused: are we who is refused, whatever we ask for?
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        *,
        transient: bool | None = None,
        login_refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.transient = transient
        self.login_refused = login_refused

    def again(self) -> Refusal:
        """The same, to be raised once more."""
        return Refusal(self.message, self.status, transient=self.transient, login_refused=self.login_refused)


class ProxyLost(Exception):
    """
    The way to the proxy broke, or was broken off.

    @ivar cause: why, as the transport or the endpoint gave it; C{CancelledError} if it was cancelled.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause


class Opening(Protocol):
    """
    What is said to a proxy until there is a tunnel: bytes in, bytes out, no socket.

    @ivar complete: there is one.
    """

    complete: bool

    def begin(self) -> bytes:
        """What to say first."""

    def feed(self, data: bytes) -> bytes:
        """
        The proxy said this.  Returns what to say then, which may be nothing.

        @raise Refusal: there will be no tunnel.  So it is, too, if there are bytes behind the answer (L{early}).
        """


def early() -> Refusal:
    """
    Bytes that came before anything was sent through a tunnel: by whoever they were sent, nobody knows (as in
    CVE-2021-22947), and a server of TLS or HTTP does not speak first.
    """
    return Refusal(
        "bytes came out of the tunnel before anything was sent into it; is that the right port of the server?",
        transient=False,
    )


@implementer(IStreamClientEndpoint)
@frozen
class Tunnel:
    """
    C{connect} fires with the protocol that the factory made, on the far side of the proxy; fails with L{Refusal}, or
    L{ProxyLost} with the reason.  Whatever it fails with, the socket is closed by then, also if it is cancelled.  It
    has no limit of time.

    @ivar proxy: the way to the proxy itself.  If that encrypts, nothing is said before the proxy has proven who it is.
    @ivar address: where it leads, which the factory is told; None if only the proxy knows, and it is told the proxy's.
    """

    proxy: IStreamClientEndpoint
    opening: Callable[[], Opening] = field(repr=False)
    address: IAddress | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(_Entrance(self.opening(), protocolFactory, self.address)))

    async def _connect(self, entrance: _Entrance) -> IProtocol:
        try:
            await self.proxy.connect(_One(entrance))
            return await entrance.opened
        except Refusal:
            raise
        except Exception as cause:
            if isinstance(cause, CancelledError) and entrance.transport is not None:
                await entrance.closed
            raise ProxyLost(cause) from cause


class _One(Factory):
    """A factory of one protocol."""

    noisy = False

    def __init__(self, only: IProtocol) -> None:
        self._only = only

    def buildProtocol(self, addr: object) -> Any:
        return self._only


@implementer(IHandshakeListener)
class _Entrance(TwistedProtocol):
    """
    The connection to the proxy; once there is a tunnel, all that it does is to hand on what comes.

    @ivar opened: fires with the protocol on the far side; fails when the socket is closed.  Cancelling aborts.
    @ivar closed: fires with None when the socket is closed, if there never was a tunnel.
    """

    transport: Any

    def __init__(self, opening: Opening, factory: IProtocolFactory, address: IAddress | None) -> None:
        self._opening = opening
        self._factory = factory
        self._address = address
        self._behind: IProtocol | None = None
        self._why: Failure | None = None
        self.opened: Deferred[IProtocol] = Deferred(lambda _: self._end(CancelledError()))
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        if not wire(self.transport).tls:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        self.transport.write(self._opening.begin())

    def dataReceived(self, data: bytes) -> None:
        if self._why is not None:
            return
        try:
            answer = self._opening.feed(data)
        except Refusal as refusal:
            self._end(refusal)
            return
        if answer:
            self.transport.write(answer)
        if self._opening.complete:
            self._hand_over()

    def _hand_over(self) -> None:
        behind = self._factory.buildProtocol(self._address or self.transport.getPeer())
        if behind is None:
            self._end(CancelledError())
            return
        self._behind = behind
        self.dataReceived = behind.dataReceived  # type: ignore[method-assign]  # it is called for each piece of a body
        behind.makeConnection(self.transport)
        self.opened.callback(behind)

    def _end(self, why: Exception) -> None:
        self._why = Failure(why)
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._behind is not None:
            self._behind.connectionLost(reason)
            return
        if not self.opened.called:
            self.opened.errback(self._why or reason)
        self.closed.callback(None)
