"""Whom to connect to for an origin: itself, a proxy, or itself through a proxy."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IStreamClientEndpoint

from ...model.headers import Pairs
from ...model.proxy import Proxy
from ...model.remote import Remote
from ...urls import URL
from ..spaces import Space
from .connect import Connect
from .endpoint import is_address, reach, secured
from .gates import Gates
from .pool import PoolKey
from .socks import Resolving, Socks
from .tunnel import Tunnel

__all__ = ["Route", "route"]


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


def route(reactor: Any, remote: Remote, place: URL, *, inside: bool, gates: Gates, floor: Space | None = None) -> Route:
    """
    The route that a Remote takes to an origin.

    @param inside: may the origin see the client certificate?
    @param gates: what is known of proxies.
    @param floor: the closest space that a proxy may be told to connect to, if the name is looked up here.
    """
    host, origin_form = place.netloc.encode("ascii"), len(str(place)) - len(place.target)
    tls = None if place.scheme != "https" else remote.tls if inside else remote.tls.public()
    proxy = remote.proxy_for(place)
    if proxy is None:
        key = PoolKey((place.host, place.port), (place.scheme, place.host, place.port, tls))
        return Route(key, reach(reactor, place, tls), origin_form, host)
    gate = proxy.place.host, proxy.place.port  # it is the proxy whom the sockets lead to
    known = proxy.url, proxy.auth, proxy.tls
    if proxy.forwards(place):
        # One connection could serve all origins, but who knows that it does not lead to the first one?
        key = PoolKey(gate, ("proxy", place.scheme, place.host, place.port, *known))
        return Route(key, _entrance(reactor, proxy, gates), 0, host, _login(proxy), True)
    key = PoolKey(gate, (place.scheme, place.host, place.port, tls, *known))
    tunnel = gates.guarded(proxy, place.netloc, _tunnel(reactor, proxy, place, gates, floor))
    return Route(key, secured(tunnel, place.host, tls), origin_form, host)


def _entrance(reactor: Any, proxy: Proxy, gates: Gates) -> IStreamClientEndpoint:
    way = reach(reactor, proxy.place, None)
    return gates.encrypted(proxy, way) if proxy.place.scheme == "https" else way


def _login(proxy: Proxy) -> Pairs:
    return () if proxy.auth is None else ((b"Proxy-Authorization", proxy.auth.header),)


def _tunnel(reactor: Any, proxy: Proxy, place: URL, gates: Gates, floor: Space | None) -> IStreamClientEndpoint:
    entrance = _entrance(reactor, proxy, gates)
    if proxy.place.scheme in {"http", "https"}:
        return Tunnel(entrance, lambda: Connect(place, _login(proxy)))
    port = place.port or 0

    def to(host: str) -> Tunnel:
        return Tunnel(entrance, lambda: Socks(host, port, proxy.auth), _address(host, port))

    if proxy.resolves or is_address(place.host):
        return to(place.host)
    return Resolving(reactor, place.host, floor, to)


def _address(host: str, port: int) -> IPv4Address | IPv6Address | None:
    """None of a name."""
    if not is_address(host):
        return None
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)
