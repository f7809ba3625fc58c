"""
The right to hold open sockets.

A place is taken before a socket is opened and given back when it is closed, so the limits hold for sockets, idle ones
included.  Whenever something changes, two questions are asked again: who can go now (first come, first served, but
someone who waits for a full host is in nobody's way), and which idle socket has to be closed so that more can go?  A
place that is being closed counts as promised, so that one who waits costs one socket and not all of them.

A host may be allowed fewer than others for a while.  What is open above that is closed as soon as it idles; one request
alone can always go.

Who needs two sockets at once gets both or none, so nobody holds one and waits for another.  While the total has room
for one of the two only, those behind wait as well; else small requests would go first for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ..interfaces import ISlot, ISlots

__all__ = ["PATIENCE", "Slots"]

PATIENCE: Final = 1.0
"""Seconds for which reuse, which saves a handshake, may keep a place from somebody who asked earlier."""


class _Turn(NamedTuple):
    """Somebody waits: their number over all hosts, since when, and for how many sockets."""

    number: int
    since: float
    sockets: int


@implementer(ISlots)
class Slots:
    """
    The sockets of one Downloader: so many in all, so many for each host.

    When somebody waits, the oldest parked slot is evicted: of the same host if the host is full, else of any.
    """

    def __init__(self, total: int, per_host: int, clock: IReactorTime) -> None:
        self._total = total
        self._per_host = per_host
        self._clock = clock
        self._queues: dict[object, dict[Deferred[ISlot], _Turn]] = {}  # by host, each in the order of asking
        self._wanted: Counter[object] = Counter()  # the sockets that they wait for
        self._asked = 0
        self._all = 0  # sockets of slots that are not released
        self._open: Counter[object] = Counter()  # the same by host
        self._closing: Counter[object] = Counter()  # of these, the evicted ones
        self._allowed: dict[object, int] = {}  # by host, where it is less than for others
        self._parked: dict[_Slot, Callable[[], None]] = {}  # the oldest first
        self._balancing = False

    def acquire(self, host: object, sockets: int = 1) -> Deferred[ISlot]:
        sockets = min(sockets, self._total, self._per_host)
        request: Deferred[ISlot] = Deferred(lambda request: self._left(host, request))
        self._asked += 1
        self._queues.setdefault(host, {})[request] = _Turn(self._asked, self._clock.seconds(), sockets)
        self._wanted[host] += sockets
        self._balance()
        return request

    def allow(self, host: object, most: int) -> None:
        """From now on this host may have so many sockets, at least one and no more than any."""
        if most < self._per_host:
            self._allowed[host] = most
        else:
            self._allowed.pop(host, None)
        self._balance()

    def most(self, host: object) -> int:
        """So many sockets may be open to this host."""
        return self._allowed.get(host, self._per_host)

    def busy(self, host: object) -> int:
        """So many are, and do not idle."""
        return self._open[host] - sum(slot.host == host for slot in self._parked)

    def crowded(self, host: object) -> bool:
        """Does somebody wait for a socket to this host?"""
        return host in self._queues

    def room(self, host: object) -> bool:
        """Can this host be asked at once: is a socket idle there, or may another one be opened?"""
        if any(slot.host == host for slot in self._parked):
            return True
        return not self.crowded(host) and self._open[host] < self.most(host) and self._all < self._total

    @property
    def overdue(self) -> bool:
        """Has somebody waited for longer than what idles may keep a place?"""
        now = self._clock.seconds()
        return any(now - self._next(host).since > PATIENCE for host in self._queues)

    def wanted(self, host: object) -> bool:
        """Is there somebody of these whom one socket less to this host would let go?"""
        now = self._clock.seconds()
        return any(
            (each == host or self._fits(each)) and now - self._next(each).since > PATIENCE for each in self._queues
        )

    @property
    def spare(self) -> bool:
        """Nobody waits, and there is room for one more; idle sockets would make room."""
        idle = sum(slot.sockets for slot in self._parked)
        return not self._queues and self._all - idle < self._total

    def _left(self, host: object, request: Deferred[ISlot]) -> None:
        self._leave(host, request)
        self._balance()  # those behind may have waited for it

    def _leave(self, host: object, request: Deferred[ISlot]) -> None:
        queue = self._queues[host]
        self._wanted[host] -= queue.pop(request).sockets
        if not queue:
            del self._queues[host], self._wanted[host]

    def _balance(self) -> None:
        """Let go who can go, and close what has to be closed."""
        if self._balancing:
            return  # the loop, which called what calls this, looks again
        self._balancing = True
        try:
            while (self._allowed and self._shrink()) or (self._queues and (self._grant() or self._evict())):
                pass
        finally:
            self._balancing = False

    def _grant(self) -> bool:
        """Let one go, if one can."""
        if self._all >= self._total:
            return False
        hosts = [host for host in self._queues if self._fits(host)]
        if not hosts:
            return False
        host, request = self._first(hosts)
        sockets = self._queues[host][request].sockets
        if self._all + sockets > self._total:
            return False
        self._leave(host, request)
        self._all += sockets
        self._open[host] += sockets
        request.callback(_Slot(self, host, sockets))
        return True

    def _fits(self, host: object) -> bool:
        """Is there room at this host for who waits first for it?"""
        return not self._open[host] or self._open[host] + self._next(host).sockets <= self.most(host)

    def _next(self, host: object) -> _Turn:
        """Who is the first to wait for this host."""
        return next(iter(self._queues[host].values()))

    def _first(self, hosts: Iterable[object]) -> tuple[object, Deferred[ISlot]]:
        """Who asked first for one of these hosts, all of which have a queue."""
        firsts = ((host, next(iter(self._queues[host]))) for host in hosts)
        return min(firsts, key=lambda first: self._queues[first[0]][first[1]].number)

    def _over(self, host: object) -> bool:
        """Has this host more than it may, also when those are closed that are being closed?"""
        return self._open[host] - self._closing[host] > self.most(host)

    def _shrink(self) -> bool:
        """Have one idle socket closed that may not be there any more."""
        return any(
            self._over(host) and self._close_oldest(slot for slot in self._parked if slot.host == host)
            for host in tuple(self._allowed)
        )

    def _evict(self) -> bool:
        """Have one idle socket closed, if that serves somebody to whom no place is promised yet."""
        if not self._parked:
            return False
        served = 0
        for host, wanted in self._wanted.items():
            staying = self._open[host] - self._closing[host]
            room = self.most(host) - staying if staying else max(self.most(host), self._next(host).sockets)
            if wanted > room and self._close_oldest(slot for slot in self._parked if slot.host == host):
                return True
            if room >= self._next(host).sockets:  # half a pair is of no use, so nobody is closed for it
                served += min(wanted, room)
        room = self._total - self._all + self._closing.total()
        return served > room and self._close_oldest(self._parked)

    def _close_oldest(self, parked: Iterable[_Slot]) -> bool:
        slot = next(iter(parked), None)
        if slot is None:
            return False
        slot.evicted = True
        self._closing[slot.host] += slot.sockets
        self._parked.pop(slot)()
        return True

    # for the slots

    def release(self, slot: _Slot) -> None:
        self._parked.pop(slot, None)
        self._all -= slot.sockets
        for counter in (self._open, self._closing) if slot.evicted else (self._open,):
            counter[slot.host] -= slot.sockets
            if not counter[slot.host]:
                del counter[slot.host]  # hosts come and go
        self._balance()

    def park(self, slot: _Slot, evict: Callable[[], None]) -> None:
        self._parked[slot] = evict
        self._balance()

    def unpark(self, slot: _Slot) -> None:
        self._parked.pop(slot, None)

    def owed(self, slot: _Slot, request: Deferred[ISlot]) -> bool:
        if self._over(slot.host):
            return True
        # While another place is being closed for somebody, this one may be used again.
        if not self._queues or self._closing:
            return False
        # Closing this socket makes room at its own host, and for those who wait for nothing but the total.
        hosts = [host for host in self._queues if host == slot.host or self._fits(host)]
        if not hosts:
            return False
        host, first = self._first(hosts)
        return first is not request and self._clock.seconds() - self._queues[host][first].since > PATIENCE


@implementer(ISlot)
class _Slot:
    __slots__ = ("_released", "_slots", "evicted", "host", "sockets")

    def __init__(self, slots: Slots, host: object, sockets: int) -> None:
        self._slots = slots
        self._released = False
        self.evicted = False
        self.host = host
        self.sockets = sockets

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._slots.release(self)

    def park(self, evict: Callable[[], None]) -> None:
        if not self.evicted and not self._released:
            self._slots.park(self, evict)

    def unpark(self) -> None:
        self._slots.unpark(self)

    def owed(self, request: Deferred[ISlot]) -> bool:
        return self._slots.owed(self, request)
