"""
What a server may lead us to.

An address is in one of three spaces, as browsers have them: this machine and its link, a private network, or the public
one.  A chain (a place that a server named, redirects that follow each other) never leads into a space that is closer to
us than the farthest one that it came from: so a public server cannot make us ask the database next door, nor a private
one the metadata service of a cloud, but a private mirror may send us to another one, or out.

And whether what is ours, the secrets of a Remote, may go there.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHostResolution, IResolutionReceiver
from zope.interface import implementer

from ..errors import RedirectRefused
from ..flow.deadline import deadline
from ..interfaces import IShared
from ..model.remote import Remote
from ..model.source import Source
from ..urls import URL, address_of, parse

__all__ = [
    "Bounded",
    "Homes",
    "Space",
    "found_here",
    "home",
    "inside",
    "literal",
    "named",
    "refusal",
    "resolve",
    "scope",
    "space_of",
]


HOMES: Final = 4096
"""Hosts whose spaces are remembered, those that were met or asked for last: more than one list can name."""


class Space(IntEnum):
    """How far away an address is; less is closer."""

    MACHINE = 0
    """Loopback, link-local (where clouds have their metadata), unspecified, multicast, reserved."""

    PRIVATE = 1
    """RFC 1918, unique local, shared by a carrier (RFC 6598), and whatever else is not of the public network."""

    PUBLIC = 2


_TRANSLATED: Final = tuple(map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")))
"""
Prefixes of IPv6 whose last 32 bits are an IPv4 address: NAT64 (RFC 6052, RFC 8215), IPv4-compatible, IPv4-translated
(RFC 2765 section 2.1).
"""

_GLOBAL: Final = ip_network("2000::/3")
"""All of IPv6 that is given out to anybody; Python takes what is not even reserved for global."""

_NOT_GLOBAL: Final = ip_network("192.0.0.0/24"), ip_network("3fff::/20")
"""What older versions of Python take for global: CPython #113171, RFC 9637."""


def space_of(address: IPv4Address | IPv6Address) -> Space:
    """An address that holds another one (IPv4-mapped, NAT64, 6to4, Teredo) is where the closer of both is."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return min(space_of(each) for each in inner)
    near = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    if near or (isinstance(address, IPv4Address) and (address.is_reserved or int(address) >> 24 == 0)):
        return Space.MACHINE
    given_out = isinstance(address, IPv4Address) or address in _GLOBAL
    kept = any(address in network for network in _NOT_GLOBAL)
    return Space.PUBLIC if address.is_global and given_out and not kept else Space.PRIVATE


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...] | None:
    """The IPv4 addresses in it; None if it is only itself."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if int(address) > 1 and any(address in network for network in _TRANSLATED):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return None


@lru_cache(1024)  # each answer tells its address
def literal(host: str) -> Space | None:
    """
    The space of a host that is an address, in whatever spelling (C{127.1}, C{0x7f000001}), or names this machine; None
    for all other names.
    """
    if host.removesuffix(".") == "localhost" or host.removesuffix(".").endswith(".localhost"):
        return Space.MACHINE  # RFC 6761 section 6.3
    address = address_of(host)
    return None if address is None else space_of(address)


def space_at(address: str) -> Space:
    """The space of an address; of one that nobody can read, the closest."""
    return literal(address) or Space.MACHINE


def addresses(reactor: Any, host: str) -> Deferred[list[str]]:
    """
    The addresses of a name, in the order in which they are told, each once.

    Fires with them, with none if it does not resolve; never fails but by being cancelled, which forgets what may still
    come: a thread that asks cannot be stopped.
    """
    lookup = _Lookup()
    reactor.nameResolver.resolveHostName(lookup, host)
    return lookup.found


@implementer(IResolutionReceiver)
class _Lookup:
    def __init__(self) -> None:
        self._addresses: list[str] = []
        self.found: Deferred[list[str]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It need not be kept."""

    def addressResolved(self, address: Any) -> None:
        if address.host not in self._addresses:
            self._addresses.append(address.host)

    def resolutionComplete(self) -> None:
        if not self.found.called:
            self.found.callback(self._addresses)


def resolve(reactor: Any, host: str) -> Deferred[Space]:
    """
    The space of a name: that of its farthest address.

    Fires with it, or with L{Space.PUBLIC} if it does not resolve; never fails but by being cancelled.
    """
    found = literal(host)
    if found is not None:
        return succeed(found)
    return addresses(reactor, host).addCallback(lambda told: max(map(space_at, told), default=Space.PUBLIC))


def _bound(remote: Remote, source: Source) -> bool:
    """Has anybody said whose the secrets are?  Else they are for where the source is, and no URL is read again."""
    return remote.url is not None or source.scope is not None


def scope(remote: Remote, source: Source) -> tuple[str, str, int | None]:
    """The origin that the secrets of the Remote may be shown to."""
    return remote.scope(source.url, source.scope) if _bound(remote, source) else source.place.origin


def inside(remote: Remote, source: Source) -> bool:
    """May the place of this source have the secrets of the Remote (and the client certificate)?"""
    return not source.public and (not _bound(remote, source) or source.place.origin == scope(remote, source))


def named(remote: Remote, source: Source, host: str) -> bool:
    """Has the caller named this host?"""
    hosts = [parse(url).host for url in (remote.url, source.scope) if url is not None]
    return host in hosts or (not source.found and host == source.place.host)


def home(remote: Remote, source: Source) -> URL | None:
    """Where a source was found: its scope, or the Remote's URL; None if nobody says."""
    known = source.scope or remote.url
    return None if known is None else parse(known)


def found_here(remote: Remote, place: URL) -> bool:
    """Is its name looked up here?  Else a proxy does that, and nobody tells us where it is."""
    proxy = remote.proxy_for(place)
    return proxy is None or not proxy.resolves


class Homes:
    """
    The spaces in which URLs were found, each of which is remembered once it is known.

    They are known to all fetchers of a Downloader: what one protocol has learnt of a host counts for what it names of
    another one.
    """

    def __init__(self, reactor: Any, remote: Remote, shared: IShared) -> None:
        self._reactor = reactor
        self._remote = remote
        self._timers = shared.timers
        self._known: dict[str, Space] = shared.keep("homes", dict)

    def space(self, place: URL) -> Deferred[Space]:
        """Fires with the space of a place that may not have been asked yet; fails with C{TimedOut}."""
        if not found_here(self._remote, place):
            space = literal(place.host)
            return succeed(Space.PUBLIC if space is None else space)
        if place.host in self._known:
            return succeed(self._keep(self._known[place.host], place.host))
        seconds = self._remote.timeouts.connect
        looking = deadline(resolve(self._reactor, place.host), seconds, self._timers, "connect", str(place))
        return looking.addCallback(self._keep, place.host)

    def learn(self, place: URL, address: str) -> None:
        """
        A place was reached at this address.  The farthest one of a host is its space: what its name server says
        afterwards, when somebody asks where a list was found, may be another one (DNS rebinding).
        """
        space = literal(address)
        if space is not None and (self._remote.proxy is None or found_here(self._remote, place)):
            self._keep(space, place.host)

    def _keep(self, space: Space, host: str) -> Space:
        space = max(space, self._known.pop(host, space))  # and the host is the latest one now
        if len(self._known) >= HOMES:
            del self._known[next(iter(self._known))]
        self._known[host] = space
        return space

    def floor(self, source: Source) -> Deferred[Space | None]:
        """
        For protocols that know no redirects.  Fires with the closest space that this source may be in, None for any;
        fails with C{TimedOut}.
        """
        if not source.found or self._remote.allow_private:
            return succeed(None)
        place = home(self._remote, source)
        if named(self._remote, source, source.place.host):
            # It may be anywhere, but not closer than where it has answered.
            met = place is not None and place.host == source.place.host and found_here(self._remote, place)
            if not met:
                return succeed(None)
        if place is None:
            return succeed(Space.PUBLIC)
        if place.scheme == "file":
            return succeed(None)
        return self.space(place).addCallback(lambda space: space or None)  # nothing is closer than this machine


class Bounded:
    """
    A reactor that connects to nothing closer than a space.

    It is asked by whatever connects, name or not, for the very address that is then connected to: so a name server that
    gives another answer the next time, or an odd spelling, makes no difference.
    """

    def __init__(self, reactor: Any, floor: Space) -> None:
        """
        @param floor: the closest space that may be connected to.
        """
        self._reactor = reactor
        self._floor = floor

    def __getattr__(self, name: str) -> Any:
        """All else is the reactor's, also what it provides."""
        return getattr(self._reactor, name)

    def connectTCP(self, host: str, *arguments: Any, **settings: Any) -> Any:
        """
        As C{IReactorTCP.connectTCP}.

        @raise RedirectRefused: it is too close.
        """
        space = literal(host)
        if space is None or space < self._floor:
            raise RedirectRefused(refusal(host, self._floor))
        return self._reactor.connectTCP(host, *arguments, **settings)


def refusal(host: str, floor: Space) -> str:
    """Why it is not connected to."""
    whence = "a public" if floor is Space.PUBLIC else "a private"
    return f"{host} is not for {whence} server to lead us to; Remote(allow_private=True) permits it"
