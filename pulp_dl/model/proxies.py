"""Which proxy leads where, as an environment says it."""

from __future__ import annotations

from typing import Self

from attrs import field, frozen
from zope.interface import implementer

from ..interfaces import IProxies
from ..urls import URL
from .direct import Direct
from .proxy import Proxy

__all__ = ["Proxies"]


@implementer(IProxies)
@frozen
class Proxies:
    """
    A proxy for each scheme, and hosts that are reached without one.

    It is asked for each origin, so a redirect goes where the rules for its own host say.

    @ivar http: for C{http:} URLs; None for no proxy.
    @ivar https: for C{https:} URLs; None for no proxy.
    @ivar ftp: for C{ftp:} URLs, which an HTTP proxy is asked for as for C{http:} ones; None for no proxy.
    @ivar other: for all other schemes, as C{ftps:} and C{sftp:}; where they know no proxies, they fail, and are not led
        around it.  None for no proxy.
    @ivar direct: hosts that are reached without one, as in C{no_proxy}: C{example.org} (and all below it),
        C{example.org:8080}, an address, a network (C{10.0.0.0/8}, C{fd00::/8}), or C{*} for all; with commas or spaces
        between them.  A name is never looked up to find its address.
    """

    http: Proxy | None = None
    https: Proxy | None = None
    direct: str = ""
    ftp: Proxy | None = None
    other: Proxy | None = None
    _direct: Direct = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_direct", Direct(self.direct))

    def to(self, place: URL) -> Proxy | None:
        proxy = {"http": self.http, "https": self.https, "ftp": self.ftp}.get(place.scheme, self.other)
        return None if proxy is None or self._direct.covers(place) else proxy.to(place)

    @classmethod
    def from_environment(cls) -> Self:
        """
        What C{http_proxy}, C{https_proxy}, C{ftp_proxy}, C{all_proxy} and C{no_proxy} say.

        The names may be in upper case; lower case goes first.  C{HTTP_PROXY} does not count in a CGI script, where a
        client may set it.

        @raise ValueError: this is no proxy of a known kind; the message names the variable.
        """
        from urllib.request import getproxies_environment

        found = getproxies_environment()

        def proxy(name: str) -> Proxy | None:
            url = found.get(name)
            if not url:
                return None
            try:
                return Proxy(url if "://" in url else f"http://{url}")
            except ValueError as error:
                blamed = str(error).replace("Proxy.url", f"{name}_proxy").replace("Proxy.auth", f"{name}_proxy")
                raise ValueError(blamed) from None

        http, https = (proxy(scheme if scheme in found else "all") for scheme in ("http", "https"))
        try:
            other = proxy("all")
        except ValueError:
            other = None  # it is nobody's: both others name another one
        return cls(http, https, found.get("no", ""), proxy("ftp") if "ftp" in found else other, other)
