"""How a server is reached: name, address, TLS; one limit of time over all of it, and its errors in our words."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import ConnectFailed, DownloadError, ProxyFailed, RedirectRefused, TimedOut, TLSFailed
from ...flow.deadline import deadline
from ...model.tls import TLS
from ...urls import URL, shown
from .addresses import DELAY, Few
from .sessions import NotResumed
from .tls import creator, explain, of_proxy
from .tls_transport import Encrypted
from .tunnel import ProxyLost, Refusal

__all__ = ["Dialled", "is_address", "reach", "secured", "translate"]


def reach(reactor: Any, place: URL, tls: TLS | None) -> IStreamClientEndpoint:
    """
    The way to a host and port, over TLS if C{tls} is given.

    Its own limits of time are off: L{Dialled} has the one that counts.
    """
    host, port, no_limit = place.host, place.port, None
    # An address needs no name server, and no thread to ask one; and HostnameEndpoint would wait 0.3 s for more
    # addresses before it says that the only one refuses.
    kind: Any = _ByName
    if isIPAddress(host):
        kind = TCP4ClientEndpoint
    elif isIPv6Address(host):
        kind = TCP6ClientEndpoint
    return secured(kind(reactor, host, port, no_limit), host, tls)


@implementer(IStreamClientEndpoint)
@frozen
class _ByName:
    """By one address after the other, of those that the name has at that time."""

    reactor: Any
    host: str
    port: int
    timeout: Any

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        once = HostnameEndpoint(Few(self.reactor), self.host, self.port, self.timeout, attemptDelay=DELAY)
        connecting: Deferred[IProtocol] = once.connect(protocolFactory)
        return connecting


def secured(endpoint: IStreamClientEndpoint, host: str, tls: TLS | None) -> IStreamClientEndpoint:
    """TLS with a host over this way to it, or the way itself, if C{tls} is None."""
    return endpoint if tls is None else Encrypted(endpoint, creator(tls, host))


def is_address(host: str) -> bool:
    """Is it one, and no name?"""
    return isIPAddress(host) or isIPv6Address(host)


@implementer(IStreamClientEndpoint)
@frozen
class Dialled:
    """
    Connects until a request may be sent.

    C{connect} fires with the L{HTTPConnection} that the factory made, after the TLS handshake; fails with
    L{ConnectFailed}, L{TLSFailed}, L{ProxyFailed} (also if it is the proxy that takes too long) or L{TimedOut}.
    Cancelling closes whatever was opened; what it then fails with may be any of these, for a cancelled name look-up
    fails as one that found nothing.

    @ivar seconds: how long it may take in all: DNS, TCP, TLS, and the same once more for a proxy and its tunnel.
    @ivar url: what is asked for; errors name it.
    @ivar proxied: the other side is a proxy.  (If it is only on the way, it tells by itself that it was to blame.)
    """

    endpoint: IStreamClientEndpoint
    reactor: Any
    seconds: float | None
    url: str = field(repr=shown)
    proxied: bool

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting = Deferred.fromCoroutine(self._connect(factory))
        in_time = deadline(connecting, self.seconds, self.reactor, "connect", self.url)
        return in_time.addErrback(_whose)

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        while True:
            try:
                protocol = await self.endpoint.connect(factory)
                connection: Any = protocol
                await connection.ready()
            except RedirectRefused as refused:  # which cannot know what is asked for
                raise RedirectRefused(refused.message, self.url) from refused
            except Exception as cause:
                if isinstance(cause.cause if isinstance(cause, ProxyLost) else cause, NotResumed):
                    continue  # no fault of anybody's but ours, who wanted to save time
                raise translate(cause, self.url, proxied=self.proxied) from cause
            return protocol


def _whose(failure: Failure) -> Failure:
    """A limit of time that ran out while there was no way through the proxy is the proxy's fault."""
    late = failure.value
    if isinstance(late, TimedOut) and isinstance(late.__cause__, ProxyFailed):
        raise ProxyFailed(f"timed out: no connection through the proxy for {late.seconds:g} s", late.url) from late
    return failure


def translate(cause: Exception, url: str, *, proxied: bool) -> DownloadError:
    """What went wrong before a request could be sent."""
    if isinstance(cause, Refusal):
        return ProxyFailed(
            cause.message, url, cause.status, transient=cause.transient, login_refused=cause.login_refused
        )
    if isinstance(cause, ProxyLost):
        return translate(cause.cause, url, proxied=True)
    explained = explain(cause)
    if explained is not None:
        if proxied:
            return ProxyFailed(of_proxy(explained), url, transient=False)
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
