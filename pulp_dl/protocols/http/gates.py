"""The proxies of one Downloader: their sessions, and what they have said of our logins."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ...model.proxy import Proxy
from .tls import creator
from .tls_transport import Encrypted
from .tunnel import Refusal

__all__ = ["Gates"]

MOST: Final = 64
"""Proxies, their logins, and hosts for each of these, that are remembered; who chooses them may give each its own."""

FORGOTTEN: Final = 10.0
"""Seconds after which a login that was refused is shown again: somebody may have unlocked the account."""

SEVERAL: Final = 3
"""Hosts for which a login has to be refused, one after the other, until nobody else need ask."""


@define
class _Login:
    """
    One user and password at a proxy.

    @ivar refused: the hosts and ports for which it did not let them in, and when; since it last did.
    @ivar refusal: what it said.
    """

    refused: dict[str, float] = field(factory=dict)
    refusal: Refusal | None = None


class Gates:
    """
    A proxy over TLS is one server, whatever origin it leads to, so its sessions are resumed.

    A login that a proxy refuses to who wants a tunnel is not shown to it again for a while: thousands of files, or a
    list of mirrors, would lock the account.  But it may have refused it for that host alone, as Squid's rules can: so
    others are asked for still, until it has refused several and let nobody in meanwhile.

    (Where the proxy answers for a server, nobody knows which of the two has refused it: who believed that could be kept
    from all other servers by a single one.)
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._creators: dict[Proxy, IOpenSSLClientConnectionCreator] = {}
        self._logins: dict[Hashable, _Login] = {}

    def encrypted(self, proxy: Proxy, way: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """TLS with the proxy itself over this way to it."""
        if proxy not in self._creators:
            _make_room(self._creators)
            self._creators[proxy] = creator(proxy.tls, proxy.place.host)
        return Encrypted(way, self._creators[proxy])

    def guarded(self, proxy: Proxy, host: str, tunnel: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """An endpoint as this tunnel to a host and port, which is not tried while the proxy is known to refuse us."""
        return _Guarded(self, proxy, host, tunnel)

    def refusal(self, proxy: Proxy, host: str) -> Refusal | None:
        """What it has said not long ago, and would say again."""
        login = self._logins.get(_key(proxy))
        if login is None or not login.refused:
            return None
        now = self._clock.seconds()
        login.refused = {name: since for name, since in login.refused.items() if 0 <= now - since < FORGOTTEN}
        return login.refusal if len(login.refused) >= SEVERAL or host in login.refused else None

    def refused(self, proxy: Proxy, host: str, refusal: Refusal) -> None:
        """It has just said this."""
        login = self._logins.pop(_key(proxy), None) or _Login()
        _make_room(self._logins)
        self._logins[_key(proxy)] = login  # the latest one is the last
        login.refused.pop(host, None)
        _make_room(login.refused)
        login.refused[host], login.refusal = self._clock.seconds(), refusal.again()

    def let_in(self, proxy: Proxy) -> None:
        """It has just made a tunnel: so what it refused was not the login."""
        self._logins.pop(_key(proxy), None)


def _key(proxy: Proxy) -> Hashable:
    return proxy.url, proxy.auth, proxy.tls


def _make_room(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= MOST:
        del remembered[next(iter(remembered))]


@implementer(IStreamClientEndpoint)
@frozen
class _Guarded:
    gates: Gates = field(repr=False)
    proxy: Proxy
    host: str
    tunnel: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        refusal = self.gates.refusal(self.proxy, self.host)
        if refusal is not None:
            return fail(refusal.again())
        connecting: Deferred[IProtocol] = self.tunnel.connect(protocolFactory)
        return connecting.addCallbacks(self._let_in, self._refused)

    def _let_in(self, protocol: IProtocol) -> IProtocol:
        self.gates.let_in(self.proxy)
        return protocol

    def _refused(self, failure: Failure) -> Failure:
        if isinstance(failure.value, Refusal) and failure.value.login_refused:
            self.gates.refused(self.proxy, self.host, failure.value)
        return failure
