"""Whom to connect to for an origin: itself, a proxy, or itself through a proxy."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from attrs import field, frozen
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint

from ...model.headers import Pairs
from ...model.proxy import Proxy
from ...model.remote import Remote
from ...urls import URL
from ..spaces import Space
from .connect import Connect
from .endpoint import is_address, reach, secured
from .pool import PoolKey
from .socks import Resolving, Socks
from .tls import creator
from .tls_transport import Encrypted
from .tunnel import Tunnel

__all__ = ["Gates", "Route", "route"]

MOST: Final = 64
"""Proxies whose sessions are remembered; who chooses them may give each place a login of its own."""

Gates: TypeAlias = dict[Proxy, IOpenSSLClientConnectionCreator]


@frozen
class Route:
    """
    The way to one origin.

    @ivar key: what makes connections exchangeable: all that decides who is at the other end and who they take us for.
    @ivar cut: bytes of a URL that are not sent in the request line: scheme and authority, or 0 for a proxy.
    @ivar host: the value of the Host field.
    @ivar fields: what the proxy alone is told; it never goes to an origin.
    @ivar proxied: it is a proxy that reads the requests and answers them.
    """

    key: PoolKey
    endpoint: IStreamClientEndpoint
    cut: int
    host: bytes
    fields: Pairs = field(default=(), repr=False)
    proxied: bool = False


def route(
    reactor: Any, remote: Remote, place: URL, *, inside: bool, floor: Space | None = None, gates: Gates | None = None
) -> Route:
    """
    The route that a Remote takes to an origin.

    @param inside: may the origin see the client certificate?
    @param floor: the closest space that a proxy may be told to connect to, if its name is looked up here.
    @param gates: what makes TLS connections to proxies, which whoever keeps it adds to: a proxy is one server, whatever
        origin it leads to, so its sessions are resumed.
    """
    gates = {} if gates is None else gates
    host, origin_form = place.netloc.encode("ascii"), len(str(place)) - len(place.target)
    tls = None if place.scheme != "https" else remote.tls if inside else remote.tls.public()
    proxy = remote.proxy_for(place)
    if proxy is None:
        key = PoolKey((place.host, place.port), (place.scheme, place.host, place.port, tls))
        return Route(key, reach(reactor, place, tls), origin_form, host)
    gate = proxy.place.host, proxy.place.port  # it is the proxy whom the sockets lead to
    known = proxy.url, proxy.auth, proxy.tls
    if proxy.forwards(place):
        # One connection to the proxy serves all origins.
        return Route(PoolKey(gate, ("proxy", *known)), _entrance(reactor, proxy, gates), 0, host, _login(proxy), True)
    key = PoolKey(gate, (place.scheme, place.host, place.port, tls, *known))
    return Route(key, secured(_tunnel(reactor, proxy, place, floor, gates), place.host, tls), origin_form, host)


def _entrance(reactor: Any, proxy: Proxy, gates: Gates) -> IStreamClientEndpoint:
    way = reach(reactor, proxy.place, None)
    if proxy.place.scheme != "https":
        return way
    if proxy not in gates:
        if len(gates) >= MOST:
            del gates[next(iter(gates))]
        gates[proxy] = creator(proxy.tls, proxy.place.host)
    return Encrypted(way, gates[proxy])


def _login(proxy: Proxy) -> Pairs:
    return () if proxy.auth is None else ((b"Proxy-Authorization", proxy.auth.header),)


def _tunnel(reactor: Any, proxy: Proxy, place: URL, floor: Space | None, gates: Gates) -> IStreamClientEndpoint:
    entrance = _entrance(reactor, proxy, gates)
    if proxy.place.scheme in {"http", "https"}:
        return Tunnel(entrance, lambda: Connect(place, _login(proxy)))
    port = place.port or 0

    def to(host: str) -> Tunnel:
        return Tunnel(entrance, lambda: Socks(host, port, proxy.auth))

    if proxy.resolves or is_address(place.host):
        return to(place.host)
    return Resolving(reactor, place.host, floor, to)
