"""Which proxy leads where, as an environment says it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self

from attrs import field, frozen
from zope.interface import implementer

from ..interfaces import IProxies
from ..urls import URL, InvalidURL, parse
from .remote import Proxy

__all__ = ["Proxies"]


@frozen
class _Rule:
    """One entry of C{no_proxy}: an address or a range of them, a name and all below it, or everything."""

    network: IPv4Network | IPv6Network | None = None
    name: str = ""
    port: int | None = None

    def covers(self, place: URL) -> bool:
        if self.port is not None and self.port != place.port:
            return False
        if self.network is not None:
            try:
                return ip_address(place.host) in self.network
            except ValueError:
                return False
        return f".{place.host.removesuffix('.')}".endswith(self.name)


def _rule(entry: str) -> _Rule | None:
    """What an entry means; None if it means nothing, as for curl."""
    if entry == "*":
        return _Rule()
    try:
        return _Rule(ip_network(entry, strict=False))
    except ValueError:
        pass
    try:
        place = parse(f"any://{entry.removeprefix('*').lstrip('.')}/")
    except InvalidURL:
        return None
    try:
        return _Rule(ip_network(place.host), port=place.port)
    except ValueError:
        return _Rule(name=f".{place.host.removesuffix('.')}", port=place.port)


def _rules(text: str) -> tuple[_Rule, ...]:
    found = (_rule(entry) for entry in text.replace(",", " ").split())
    return tuple(rule for rule in found if rule is not None)


@implementer(IProxies)
@frozen
class Proxies:
    """
    A proxy for each scheme, and hosts that are reached without one.

    It is asked for each origin, so a redirect goes where the rules for its own host say.

    @ivar http: for C{http:} URLs; None for no proxy.
    @ivar https: for C{https:} URLs; None for no proxy.
    @ivar ftp: for C{ftp:} URLs, which an HTTP proxy is asked for as for C{http:} ones; None for no proxy.
    @ivar direct: hosts that are reached without one, as in C{no_proxy}: C{example.org} (and all below it),
        C{example.org:8080}, an address, a network (C{10.0.0.0/8}, C{fd00::/8}), or C{*} for all; with commas or spaces
        between them.  A name is never looked up to find its address.
    """

    http: Proxy | None = None
    https: Proxy | None = None
    direct: str = ""
    ftp: Proxy | None = None
    _rules: tuple[_Rule, ...] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_rules", _rules(self.direct))

    def to(self, place: URL) -> Proxy | None:
        proxy = {"http": self.http, "https": self.https, "ftp": self.ftp}.get(place.scheme)
        return None if proxy is None or any(rule.covers(place) for rule in self._rules) else proxy

    @classmethod
    def from_environment(cls) -> Self:
        """
        What C{http_proxy}, C{https_proxy}, C{ftp_proxy}, C{all_proxy} and C{no_proxy} say.

        The names may be in upper case; lower case goes first.  C{HTTP_PROXY} does not count in a CGI script, where a
        client may set it.

        @raise ValueError: this is no HTTP proxy; the message names the variable.
        """
        from urllib.request import getproxies_environment

        found = getproxies_environment()

        def proxy(scheme: str) -> Proxy | None:
            name = scheme if scheme in found else "all"
            url = found.get(name)
            if not url:
                return None
            try:
                return Proxy(url if "://" in url else f"http://{url}")
            except ValueError as error:
                raise ValueError(str(error).replace("Proxy.url", f"{name}_proxy")) from None

        http, https = proxy("http"), proxy("https")
        try:
            ftp = proxy("ftp")
        except ValueError:
            if "ftp" in found:
                raise
            ftp = None  # what all_proxy names cannot be asked for ftp:, and both others name another one
        return cls(http, https, found.get("no", ""), ftp)
