"""One proxy, and what it may be told."""

from __future__ import annotations

from typing import Final

from attrs import evolve, field, frozen
from zope.interface import implementer

from ..interfaces import IProxies
from ..urls import URL, InvalidURL, shown
from .auth import Basic
from .direct import Direct
from .source import read_url
from .tls import TLS

__all__ = ["Proxy"]

_SOCKS: Final = ("socks5", "socks5h")
_SCHEMES: Final = ("http", "https", *_SOCKS)
_SOCKS_PORT: Final = 1080
_LONGEST: Final = 255  # bytes; RFC 1929 section 2


@implementer(IProxies)
@frozen
class Proxy:
    """
    A proxy, for whatever is asked.

    An HTTP proxy is asked for C{http:} and C{ftp:} URLs itself, and for a tunnel to the server (CONNECT, RFC 9110
    section 9.3.6) for C{https:}; of that it sees the name and the port of the server, and how much goes through.  A
    SOCKS proxy (RFC 1928) always makes a tunnel.

    @ivar url: C{http://host:port}, or C{https://} for TLS to the proxy itself, or C{socks5h://}, or C{socks5://}, which
        resolves the names of servers here.  User and password in it are taken out into C{auth}.
    @ivar tls: whom to take for the proxy, and who we are to it, if it is C{https://}.  Nothing of C{Remote.tls} is
        shown to a proxy, nor trusted for one.
    @ivar direct: hosts that are reached without it, as in L{Proxies}.
    """

    url: str = field(repr=shown)
    auth: Basic | None = None
    tls: TLS = field(factory=TLS, kw_only=True)
    direct: str = field(default="", kw_only=True)
    place: URL = field(init=False, repr=False)
    _direct: Direct = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.auth is not None and not isinstance(self.auth, Basic):
            raise TypeError(f"Proxy.auth: {type(self.auth).__name__} is no Basic; use Basic(user, password)")
        if not isinstance(self.tls, TLS):
            raise TypeError(f"Proxy.tls: {type(self.tls).__name__} is no TLS; use TLS(ca=...)")
        place = read_url("Proxy.url", self.url)
        if place.scheme not in _SCHEMES:
            begin = "http://, https://, socks5:// or socks5h://"
            raise InvalidURL(f"Proxy.url: {shown(self.url)!r} has to begin with {begin}")
        if place.user is not None:
            object.__setattr__(self, "auth", self.auth or Basic(place.user, place.password or ""))
            place = evolve(place, user=None, password=None)
        if place.scheme in _SOCKS:
            place = evolve(place, port=place.port or _SOCKS_PORT)
            _check_login(self.auth)
        object.__setattr__(self, "url", str(place))
        object.__setattr__(self, "place", place)
        object.__setattr__(self, "_direct", Direct(self.direct))

    def to(self, place: URL) -> Proxy | None:
        return None if self._direct.covers(place) else self

    def forwards(self, place: URL) -> bool:
        """Does it read the requests for this place, and answer them?  Else it makes a tunnel."""
        return place.scheme in {"http", "ftp"} and self.place.scheme not in _SOCKS

    @property
    def resolves(self) -> bool:
        """Does it look up the names of servers?"""
        return self.place.scheme != "socks5"


def _check_login(auth: Basic | None) -> None:
    for name in () if auth is None else ("user", "password"):
        if not 0 < len(getattr(auth, name).encode()) <= _LONGEST:
            raise ValueError(f"Proxy.auth: for a SOCKS proxy a {name} has from 1 to {_LONGEST} bytes (RFC 1929)")
