"""What the downloads of one Downloader share: sockets, threads, pools and fetchers, each with one way out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from ..flow.allowance import PIECE, Allowance, LimitedValve
from ..flow.timers import Timers
from ..flow.valve import Valve
from ..flow.workers import Workers
from ..interfaces import IFetcher, IScheme, IShared
from ..model.rate import Rate
from ..model.remote import Remote
from .hedge import Budget
from .pace import Pace
from .places import IDirect
from .schemes import find
from .slots import Slots

__all__ = ["Shared"]

log = Logger()


@implementer(IShared)
class Shared:
    """Made by the Downloader, which closes it."""

    direct: IDirect
    closing = False
    """All downloads are being cancelled, in no order: what one waits for may be before it."""

    def __init__(self, reactor: Any, remote: Remote, schemes: Iterable[IScheme] | None) -> None:
        """
        @param schemes: protocols to use instead of those that are installed.
        """
        self.reactor = reactor
        self.remote = remote
        self.slots = Slots(remote.limits.connections, remote.limits.per_host, reactor)
        self.workers = Workers(reactor)
        self.timers = Timers(reactor)
        self.hedges = Budget()
        limits = remote.limits
        self.pace = Pace(self.slots, limits.per_host, self.timers) if limits.adaptive else None
        self._schemes = None if schemes is None else tuple(schemes)
        self._fetchers: dict[tuple[str, Hashable], tuple[Remote, IFetcher]] = {}
        self._kept: dict[str, Any] = {}
        self._hastened: dict[Hashable, tuple[Remote, Remote]] = {}
        self._allowances: dict[tuple[int, Hashable], tuple[Remote, Allowance]] = {}

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def fetcher(self, scheme: str, remote: Remote) -> IFetcher:
        """
        The fetcher of a protocol for a Remote, made at first use.

        @raise UnsupportedScheme: there is no such protocol; the message names those there are.
        """
        key = scheme, None if remote is self.remote else _identity(remote)
        found = self._fetchers.get(key)
        if found is None:
            found = remote, find(scheme, self._schemes).fetcher(self.reactor, remote, self)
            self._fetchers[key] = found
        return found[1]

    def hastened(self, remote: Remote, head: float) -> Remote:
        """The same settings with a shorter time for an answer; always the same object, so that it has one fetcher."""
        key = _identity(remote), head
        found = self._hastened.get(key)
        if found is None:
            usual = remote.timeouts
            connect = head if usual.connect is None else min(head, usual.connect)
            found = remote, evolve(remote, timeouts=evolve(usual, head=head, connect=connect))
            self._hastened[key] = found
        return found[1]

    def requests(self, remote: Remote) -> Callable[[], Deferred[None]] | None:
        limit = remote.limits.requests_per_second
        return None if limit is None else self._allowance(limit, remote, 1).turn

    def valve(self, remote: Remote) -> Callable[..., Valve]:
        """What makes a valve for one of its downloads, which all together keep to its bytes a second."""
        limit = remote.limits.bytes_per_second
        return Valve if limit is None else partial(LimitedValve, self._allowance(limit, remote, PIECE))

    def _allowance(self, limit: float | Rate, remote: Remote, largest: int) -> Allowance:
        """One for each Rate, or for equal Remotes if it is but a number; of bytes or, one at a time, of requests."""
        key = largest, limit if isinstance(limit, Rate) else _identity(remote)
        found = self._allowances.get(key)
        if found is None:
            rate = limit if isinstance(limit, Rate) else Rate(limit)
            found = self._allowances[key] = remote, Allowance(self.reactor, rate, largest)
        return found[1]

    def close(self) -> Deferred[None]:
        """Fetchers first, then what they kept, then the threads.  Fires when nothing is left; never fails."""
        closing = self._close_all([fetcher for _, fetcher in self._fetchers.values()])
        closing.addCallback(lambda _: self._close_all(self._kept.values()))
        closing.addCallback(lambda _: self.workers.close())
        return closing

    def _close_all(self, things: Iterable[Any]) -> Deferred[Any]:
        ends = [maybeDeferred(thing.close) for thing in things if hasattr(thing, "close")]
        for end in ends:
            end.addErrback(lambda failure: log.failure("could not close", failure))
        return DeferredList(ends) if ends else succeed(None)


def _identity(remote: Remote) -> Hashable:
    """Equal ones have one fetcher, so that a Remote for each file does not cost a fetcher for each file."""
    try:
        hash(remote)
    except TypeError:  # an authenticator of somebody's own; its Remote is kept, so its id stays its own
        return id(remote)
    return remote
