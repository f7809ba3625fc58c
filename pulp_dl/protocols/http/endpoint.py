"""How a server is reached: name, address, TLS; one limit of time over all of it, and its errors in our words."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from ...errors import ConnectFailed, DownloadError, ProxyFailed, RedirectRefused, TLSFailed
from ...flow.deadline import deadline
from ...model.tls import TLS
from ...urls import URL, shown
from .tls import creator, explain

__all__ = ["Dialled", "reach"]


def reach(reactor: Any, place: URL, tls: TLS | None) -> IStreamClientEndpoint:
    """
    The way to a host and port, over TLS if C{tls} is given.

    Its own limits of time are off: L{Dialled} has the one that counts.
    """
    host, port, no_limit = place.host, place.port, None
    # An address needs no name server, and no thread to ask one; and HostnameEndpoint would wait 0.3 s for more
    # addresses before it says that the only one refuses.
    kind: Any = HostnameEndpoint
    if isIPAddress(host):
        kind = TCP4ClientEndpoint
    elif isIPv6Address(host):
        kind = TCP6ClientEndpoint
    endpoint: IStreamClientEndpoint = kind(reactor, host, port, no_limit)
    return endpoint if tls is None else wrapClientTLS(creator(tls, place.host), endpoint, clock=reactor)


@implementer(IStreamClientEndpoint)
@frozen
class Dialled:
    """
    Connects until a request may be sent.

    C{connect} fires with the L{HTTPConnection} that the factory made, after the TLS handshake; fails with
    L{ConnectFailed}, L{TLSFailed}, L{ProxyFailed} or L{TimedOut}.  Cancelling closes whatever was opened; what it then
    fails with may be any of these, for a cancelled name look-up fails as one that found nothing.

    @ivar seconds: how long it may take in all: DNS, TCP and TLS.
    @ivar url: what is asked for; errors name it.
    @ivar proxied: the other side is a proxy.
    """

    endpoint: IStreamClientEndpoint
    reactor: Any
    seconds: float | None
    url: str = field(repr=shown)
    proxied: bool

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        return deadline(Deferred.fromCoroutine(self._connect(factory)), self.seconds, self.reactor, "connect", self.url)

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        try:
            protocol = await self.endpoint.connect(factory)
            connection: Any = protocol
            await connection.ready()
        except RedirectRefused as refused:  # which cannot know what is asked for
            raise RedirectRefused(refused.message, self.url) from refused
        except Exception as cause:
            raise translate(cause, self.url, proxied=self.proxied) from cause
        return protocol


def translate(cause: Exception, url: str, *, proxied: bool) -> DownloadError:
    """What went wrong before a request could be sent."""
    explained = explain(cause)
    if explained is not None:
        return TLSFailed(explained, url)
    kind = ProxyFailed if proxied else ConnectFailed
    who = "the proxy" if proxied else "the server"
    return kind(_words(cause, who), url)


def _words(cause: Exception, who: str) -> str:
    match cause:
        case error.DNSLookupError():
            return f"the name of {who} does not resolve"
        case error.ConnectionRefusedError():
            return f"{who} refuses the connection; nobody listens on that port"
        case error.NoRouteError():
            return f"there is no route to {who}"
        case error.TimeoutError():
            return f"{who} does not answer"
        case error.ConnectionDone() | error.ConnectionLost():
            return f"{who} closed the connection before a request could be sent"
        case SSL.Error():
            return f"TLS broke off: {_openssl(cause)}"
        case OSError(strerror=str(why)):
            return f"no connection to {who}: {why}"
        case error.ConnectError():
            return f"no connection to {who}: {cause.args[0] if cause.args else type(cause).__name__}"
        case _:
            return f"no connection to {who} ({type(cause).__name__})"


def _openssl(cause: SSL.Error) -> str:
    entries = cause.args[0] if cause.args and isinstance(cause.args[0], list) else []
    return "; ".join(str(entry[-1]) for entry in entries) or "no reason given"
