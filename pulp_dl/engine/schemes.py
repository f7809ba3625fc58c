"""Which protocol serves a URL: found as a plugin, loaded at first use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from ..errors import UnsupportedScheme
from ..interfaces import IFetcher, IScheme, IShared
from ..model.remote import Remote
from ..urls import URL
from .plugins import Lazy, claims, installed, names_of

__all__ = ["Scheme", "carrier", "find", "gate"]

log = Logger()


@implementer(IScheme)
class Scheme:
    """
    A protocol by the name of its fetcher, which is not imported until somebody downloads with it: a plugin file may say
    C{gopher = Scheme("gopher", "my_gopher.GopherFetcher")} and costs nothing at start.

    @ivar path: where the fetcher is found.
    """

    def __init__(self, names: str | Iterable[str], fetcher: str, extra: str | None = None) -> None:
        """
        @param names: a URL scheme or several.
        @param fetcher: where it is found: C{"package.module.Class"}, called with C{(reactor, remote, shared)}.
        @param extra: what to install for it to be importable, as for pip, if it may not be: C{"my_gopher[tls]"}.
        """
        self.names = (names.lower(),) if isinstance(names, str) else tuple(name.lower() for name in names)
        self._fetcher = Lazy(fetcher, extra)
        self.path = fetcher

    def __repr__(self) -> str:
        return f"Scheme({', '.join(self.names)}: {self.path})"

    def problem(self) -> str | None:
        """Why it cannot be used, and what to do; None if it can.  Imports it."""
        try:
            self._load()
        except UnsupportedScheme as error:
            return error.message
        return None

    def fetcher(self, reactor: Any, remote: Remote, shared: IShared) -> IFetcher:
        """
        @raise UnsupportedScheme: it cannot be imported; the message says what to install, the cause says why.
        """
        made: IFetcher = self._load()(reactor, remote, shared)
        return made

    def _load(self) -> Any:
        try:
            return self._fetcher.load(repr(self), " and ".join(f"{name}:" for name in self.names))
        except ImportError as error:
            raise UnsupportedScheme(str(error)) from error.__cause__


def carrier(place: URL, remote: Remote) -> str:
    """
    The scheme of the protocol that asks for a place: its own.  Only where an HTTP proxy leads to an C{ftp:} URL, that
    proxy is asked for it as for any other (RFC 9110 section 7.6), so then it is HTTP's; neither protocol knows.
    """
    if place.scheme != "ftp":
        return place.scheme
    proxy = remote.proxy_for(place)
    return "http" if proxy is not None and proxy.forwards(place) else "ftp"


def gate(place: URL, remote: Remote) -> tuple[str, int | None]:
    """Where a socket for a place leads to, as the limits for each host count: there, or to its proxy."""
    proxy = remote.proxy_for(place)
    seen = place if proxy is None else proxy.place
    return seen.host, seen.port


def find(scheme: str, plugins: Iterable[IScheme] | None = None) -> IScheme:
    """
    The plugin for a URL scheme (lower case).

    @param plugins: where to look; None for all that are installed (C{twisted.plugin}).  A broken one is logged and
        passed over.
    @raise UnsupportedScheme: there is none; the message lists those that there are.  Or there are two: the message
        says where both come from.
    """
    known: dict[str, list[tuple[IScheme, str]]] = {}
    for plugin, names, file in _installed() if plugins is None else _given(plugins):
        for name in names:
            known.setdefault(name, []).append((plugin, file))
    found = known.get(scheme, [])
    if not found:
        there = ", ".join(sorted(known)) or "none"
        raise UnsupportedScheme(f"no protocol is installed for {scheme}: URLs; there are: {there}")
    if len(found) > 1:
        count = "two" if len(found) == 2 else str(len(found))
        raise UnsupportedScheme(f"{count} protocols are installed for {scheme}: URLs; remove one of {claims(found)}")
    return found[0][0]


def _installed() -> Iterator[tuple[IScheme, tuple[str, ...], str]]:
    for each in installed().schemes:
        yield each.plugin, each.names, each.file


def _given(plugins: Iterable[IScheme]) -> Iterator[tuple[IScheme, tuple[str, ...], str]]:
    for plugin in plugins:
        try:
            yield plugin, names_of(plugin), ""
        except Exception:
            log.failure("a protocol plugin is broken and is passed over: {plugin!r}", plugin=type(plugin))
