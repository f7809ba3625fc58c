"""Which protocol serves a URL: found as a plugin, loaded at first use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.logger import Logger
from twisted.plugin import getPlugins
from twisted.python.reflect import namedAny
from zope.interface import implementer

from ..errors import UnsupportedScheme
from ..interfaces import IFetcher, IScheme, IShared
from ..model.remote import Remote
from ..urls import URL

__all__ = ["Scheme", "carrier", "find"]

log = Logger()


@implementer(IScheme)
class Scheme:
    """
    A protocol by the name of its fetcher, which is not imported until somebody downloads with it: a plugin file may say
    C{sftp = Scheme("sftp", "my_sftp.SFTPFetcher")} and costs nothing at start.
    """

    def __init__(self, names: str | Iterable[str], fetcher: str) -> None:
        """
        @param names: a URL scheme or several.
        @param fetcher: where it is found: C{"package.module.Class"}, called with C{(reactor, remote, shared)}.
        """
        self.names = (names.lower(),) if isinstance(names, str) else tuple(name.lower() for name in names)
        self._fetcher = fetcher

    def __repr__(self) -> str:
        return f"Scheme({', '.join(self.names)}: {self._fetcher})"

    def fetcher(self, reactor: Any, remote: Remote, shared: IShared) -> IFetcher:
        """
        @raise UnsupportedScheme: it cannot be imported; the cause says why.
        """
        try:
            make = namedAny(self._fetcher)
        except Exception as error:
            raise UnsupportedScheme(f"{self!r} is installed but cannot be loaded: {error}") from error
        made: IFetcher = make(reactor, remote, shared)
        return made


def carrier(place: URL, remote: Remote) -> str:
    """
    The scheme of the protocol that asks for a place: its own.  Only where an HTTP proxy leads to an C{ftp:} URL, that
    proxy is asked for it as for any other (RFC 9110 section 7.6), so then it is HTTP's; neither protocol knows.
    """
    if place.scheme != "ftp":
        return place.scheme
    proxy = remote.proxy_for(place)
    return "http" if proxy is not None and proxy.place.scheme in {"http", "https"} else "ftp"


def find(scheme: str, plugins: Iterable[IScheme] | None = None) -> IScheme:
    """
    The plugin for a URL scheme (lower case).

    @param plugins: where to look; None for all that are installed (C{twisted.plugin}).  A broken one is logged and
        passed over.
    @raise UnsupportedScheme: there is none; the message lists those that there are.  Or there are two: the message
        names both.
    """
    known: dict[str, list[IScheme]] = {}
    for plugin in getPlugins(IScheme) if plugins is None else plugins:
        try:
            for name in {*plugin.names}:
                known.setdefault(name, []).append(plugin)
        except Exception:
            log.failure("a protocol plugin is broken and is passed over: {plugin!r}", plugin=type(plugin))
    found = known.get(scheme, [])
    if not found:
        there = ", ".join(sorted(known)) or "none"
        raise UnsupportedScheme(f"no protocol is installed for {scheme}: URLs; there are: {there}")
    if len(found) > 1:
        claims = " and ".join(sorted(map(repr, found)))
        raise UnsupportedScheme(f"two protocols are installed for {scheme}: URLs; remove one of {claims}")
    return found[0]
