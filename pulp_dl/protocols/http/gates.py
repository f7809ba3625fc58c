"""The proxies of one Downloader: their sessions, and what they have said of our logins."""

from __future__ import annotations

from typing import Any, Final

from attrs import field, frozen
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

from ...model.auth import Basic
from ...model.proxy import Proxy
from .tls import creator
from .tls_transport import Encrypted
from .tunnel import Refusal

__all__ = ["Gates"]

MOST: Final = 64
"""Proxies that are remembered; who chooses them may give each place a login of its own."""

FORGOTTEN: Final = 10.0
"""Seconds after which a login that was refused is shown again: somebody may have unlocked the account."""


class Gates:
    """
    A proxy over TLS is one server, whatever origin it leads to, so its sessions are resumed.

    A login that a proxy refuses to whoever wants a tunnel is not shown to it again for a while: thousands of files, or
    a list of mirrors, would lock the account.  (Where the proxy answers for a server, nobody knows which of the two has
    refused it: who believed that could be kept from all other servers by a single one.)
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._creators: dict[Proxy, IOpenSSLClientConnectionCreator] = {}
        self._refused: dict[tuple[str, Basic | None], tuple[float, Refusal]] = {}

    def encrypted(self, proxy: Proxy, way: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """TLS with the proxy itself over this way to it."""
        if proxy not in self._creators:
            _make_room(self._creators)
            self._creators[proxy] = creator(proxy.tls, proxy.place.host)
        return Encrypted(way, self._creators[proxy])

    def guarded(self, proxy: Proxy, tunnel: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """An endpoint as C{tunnel}, which is not tried while the proxy is known to refuse us."""
        return _Guarded(self, proxy, tunnel)

    def refusal(self, proxy: Proxy) -> Refusal | None:
        """What it has said of our login, if that is not long ago."""
        since, refusal = self._refused.get((proxy.url, proxy.auth), (0.0, None))
        return None if refusal is None or self._clock.seconds() >= since + FORGOTTEN else refusal

    def keep(self, proxy: Proxy, refusal: Refusal) -> None:
        """It has just said this."""
        self._refused.pop((proxy.url, proxy.auth), None)
        _make_room(self._refused)
        self._refused[proxy.url, proxy.auth] = self._clock.seconds(), refusal.again()


def _make_room(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= MOST:
        del remembered[next(iter(remembered))]


@implementer(IStreamClientEndpoint)
@frozen
class _Guarded:
    gates: Gates = field(repr=False)
    proxy: Proxy
    tunnel: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        refusal = self.gates.refusal(self.proxy)
        if refusal is not None:
            return fail(refusal.again())
        connecting: Deferred[IProtocol] = self.tunnel.connect(protocolFactory)
        return connecting.addErrback(self._refused)

    def _refused(self, failure: Failure) -> Failure:
        if isinstance(failure.value, Refusal) and failure.value.login_refused:
            self.gates.keep(self.proxy, failure.value)
        return failure
