"""Whom to connect to for an origin: itself, or a proxy."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from twisted.internet.interfaces import IStreamClientEndpoint

from ...errors import Refused
from ...model.headers import Pairs
from ...model.remote import Remote
from ...model.tls import TLS
from ...urls import URL
from .endpoint import reach
from .pool import PoolKey

__all__ = ["Route", "route"]


@frozen
class Route:
    """
    The way to one origin.

    @ivar key: what makes connections exchangeable: all that decides who is at the other end and who they take us for.
    @ivar cut: bytes of a URL that are not sent in the request line: scheme and authority, or 0 for a proxy.
    @ivar host: the value of the Host field.
    @ivar fields: what the proxy alone is told; it never goes to an origin.
    @ivar proxied: whether there is one.
    """

    key: PoolKey
    endpoint: IStreamClientEndpoint
    cut: int
    host: bytes
    fields: Pairs = field(default=(), repr=False)
    proxied: bool = False


def route(reactor: Any, remote: Remote, place: URL, *, inside: bool) -> Route:
    """
    The route that a Remote takes to an origin.

    @param inside: may the origin see the client certificate?
    @raise Refused: it would go through a proxy in a way that is not there yet.  It is never gone around: who set a
        proxy may not be allowed, or not want, to be seen without it.
    """
    host = place.netloc.encode("ascii")
    proxy = remote.proxy_for(place)
    if proxy is None:
        tls = _tls(remote, inside) if place.scheme == "https" else None
        key = PoolKey((place.host, place.port), (place.scheme, place.host, place.port, tls))
        return Route(key, reach(reactor, place, tls), len(str(place)) - len(place.target), host)
    if proxy.place.scheme != "http":
        raise Refused("a proxy has to be reached by http:// for now; https:// proxies are not supported", str(place))
    if place.scheme not in {"http", "ftp"}:
        raise Refused("https: through a proxy is not supported yet; leave Remote.proxy out", str(place))
    # One connection to the proxy serves all origins.
    key = PoolKey((proxy.place.host, proxy.place.port), ("proxy", proxy.url, proxy.auth))
    fields = () if proxy.auth is None else ((b"Proxy-Authorization", proxy.auth.header),)
    return Route(key, reach(reactor, proxy.place, None), 0, host, fields, True)


def _tls(remote: Remote, inside: bool) -> TLS:
    return remote.tls if inside else remote.tls.public()
