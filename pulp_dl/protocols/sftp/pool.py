"""
Connections that many downloads share.

A connection holds one slot, from before it is dialled until its socket is closed, and carries several downloads at a
time, each of which has a lease of it.  Another connection is only dialled for downloads that find no room; when the
last lease has come back it is parked, and closed by the slots if somebody needs its place, or after a while.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from ...flow.timers import Call, Clock
from ...interfaces import ISlot, ISlots
from .client import FileClient
from .connection import Connection

__all__ = ["IDLE", "SHARE", "Lease", "Pool"]

SHARE: Final = 10
"""Downloads that one connection carries at a time."""

IDLE: Final = 60.0
"""Seconds that a connection idles before it is closed."""

GRACE: Final = 2.0
"""
Seconds of silence after which a server that owes answers to nobody but those who are gone is not there any more.
"""


class Pool:
    """The connections of one Downloader."""

    def __init__(self, slots: ISlots, timers: Clock) -> None:
        self.slots = slots
        self.timers = timers
        self._groups: dict[Hashable, _Group] = {}
        self._links: set[_Link] = set()  # from before they are dialled until they are closed
        self._closed = False
        self._waiting: list[Deferred[None]] = []

    def lease(self, host: Hashable, identity: Hashable, make: Callable[[], Connection]) -> Deferred[Lease]:
        """
        Fires with a L{Lease}; fails with L{Broken}.  Cancelling, while it waits or connects, leaves nothing behind.

        @param host: what the limit for each host counts by.
        @param identity: what else makes connections different.
        @param make: makes one.
        """
        if self._closed:
            return fail(CancelledError("the pool is closed"))
        key = host, identity
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self, key, make)
        return group.lease()

    def close(self) -> Deferred[None]:
        """Abort everything.  Fires when every socket is closed; never fails; may be called again."""
        self._closed = True
        for group in list(self._groups.values()):
            group.close()
        for link in list(self._links):
            link.abort()
        if not self._links:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._waiting.append(closed)
        return closed

    def add(self, link: _Link) -> None:
        self._links.add(link)

    def discard(self, link: _Link) -> None:
        self._links.discard(link)
        if not self._links:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def forget(self, key: Hashable, group: _Group) -> None:
        if self._groups.get(key) is group:
            del self._groups[key]


class _Group:
    """Connections that can stand in for each other, and who waits for one."""

    def __init__(self, pool: Pool, key: tuple[Hashable, Hashable], make: Callable[[], Connection]) -> None:
        self._pool = pool
        self._key = key
        self._make = make
        self._waiting: dict[Deferred[Lease], None] = {}  # in the order of asking
        self._requests: dict[Deferred[ISlot], None] = {}
        self._links: list[_Link] = []

    def lease(self) -> Deferred[Lease]:
        for link in self._links:
            if link.has_room:
                return succeed(link.take())
        waiting: Deferred[Lease] = Deferred(self._leave)
        self._waiting[waiting] = None
        self._adjust()
        return waiting

    def close(self) -> None:
        for waiting in list(self._waiting):
            waiting.cancel()

    def serve(self, link: _Link) -> None:
        """Somebody may have what it has room for."""
        while self._waiting and link.has_room:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            waiting.callback(link.take())
        self._adjust()

    def failed(self, link: _Link, failure: Failure) -> None:
        """Whoever waits for it is told, but not those for whom others are on their way."""
        self._links.remove(link)
        # One that was given up is nobody's failure.
        count = 0 if failure.check(CancelledError) else SHARE
        for waiting in list(self._waiting)[:count]:
            if waiting in self._waiting:
                del self._waiting[waiting]
                waiting.errback(failure)
        self._adjust()

    def lost(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)
        self._adjust()

    def _leave(self, waiting: Deferred[Lease]) -> None:
        del self._waiting[waiting]
        self._adjust()

    def _adjust(self) -> None:
        """As many are asked for as are needed; what is not needed any more is given up."""
        dialling = [link for link in self._links if link.dialling]
        needed = -(-len(self._waiting) // SHARE)
        while len(dialling) + len(self._requests) < needed:
            self._ask()
            dialling = [link for link in self._links if link.dialling]
            needed = -(-len(self._waiting) // SHARE)
        while self._requests and len(dialling) + len(self._requests) > needed:
            request, _ = self._requests.popitem()
            request.cancel()
        for link in dialling[needed:]:
            link.abort()
        if not (self._waiting or self._requests or self._links):
            self._pool.forget(self._key, self)

    def _ask(self) -> None:
        request = self._pool.slots.acquire(self._key[0])
        self._requests[request] = None
        request.addCallbacks(self._granted, lambda _: None, callbackArgs=(request,))

    def _granted(self, slot: ISlot, request: Deferred[ISlot]) -> None:
        self._requests.pop(request, None)
        link = _Link(self._pool, self, slot, self._make())
        self._links.append(link)
        link.dial()


class _Link:
    """
    One connection with its slot and its leases.

    @ivar dialling: it may be used one day.
    """

    client: FileClient

    def __init__(self, pool: Pool, group: _Group, slot: ISlot, connection: Connection) -> None:
        self._pool = pool
        self._group = group
        self._slot = slot
        self._connection = connection
        self._leases: set[Lease] = set()
        self._owing: set[Lease] = set()  # given back, with questions that have not been answered
        self._silent = -1  # how many packets had come when it was found to be silent
        self._rested = -1  # how many had come when it was last parked
        self._timer: Call | None = None
        self._open = False
        self.dialling = True
        pool.add(self)

    def dial(self) -> None:
        self._connection.connect(self._gone).addCallbacks(self._ready, self._failed)

    def abort(self) -> None:
        self._open = False
        self._connection.abort()

    @property
    def has_room(self) -> bool:
        busy = len(self._leases) - len(self._owing)
        return self._usable and self._silent != self.client.packets and busy < SHARE

    @property
    def _usable(self) -> bool:
        return self._open and self.client.usable

    def take(self) -> Lease:
        if not self._leases:
            self._slot.unpark()
            self._stop_timer()
        lease = Lease(self, self.client)
        self._leases.add(lease)
        return lease

    def _ready(self, client: FileClient) -> None:
        self.dialling, self._open = False, True
        self.client = client
        self._group.serve(self)
        if not self._leases:
            self._rest()

    def _failed(self, failure: Failure) -> None:
        self.dialling = False
        self._group.failed(self, failure)

    def _gone(self) -> None:
        self._open = False
        self._stop_timer()
        self._slot.release()
        self._pool.discard(self)
        if not self.dialling:  # else it has failed, which is told in a moment
            self._group.lost(self)

    # for its leases

    def owes(self, lease: Lease, *, silent: bool) -> None:
        """Nobody waits for its answers any more; but a server that gives none is none."""
        self._owing.add(lease)
        if silent:
            self._silent = self.client.packets
        if len(self._owing) == 1 and self._usable:
            self._start_timer(GRACE, self._look, self.client.packets)

    def back(self, lease: Lease) -> None:
        """It has all its answers."""
        self._leases.discard(lease)
        if lease in self._owing:
            self._owing.discard(lease)
            if not self._owing:
                self._stop_timer()
        if self._usable:
            self._group.serve(self)
            if not self._leases:
                self._rest()

    def _look(self, packets: int) -> None:
        """Has anything come since?  Those who are still there have limits of their own."""
        if self.client.packets == packets:
            self._silent = packets
            if self._leases == self._owing:
                self.abort()
                return
        self._start_timer(GRACE, self._look, self.client.packets)

    @property
    def stale(self) -> bool:
        """Nothing came over it since it idled: it may have been dead before it was asked."""
        return self.client.packets == self._rested

    def _rest(self) -> None:
        self._rested = self.client.packets
        self._start_timer(IDLE, self.abort)
        self._slot.park(self.abort)

    def _start_timer(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        def expire() -> None:
            self._timer = None
            call(*arguments)

        self._stop_timer()
        self._timer = self._pool.timers.callLater(seconds, expire)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


class Lease:
    """
    The right to ask for one file over a connection that others use, too.

    @ivar client: what to ask.
    """

    def __init__(self, link: _Link, client: FileClient) -> None:
        self._link = link
        self._released = False
        self._unanswered = 0
        self.client = client

    def ask(self, question: Deferred[Any], unheard: Callable[[Any], object] = bool) -> Deferred[Any]:
        """
        The same answer.  Cancelling leaves the question to itself, since SSH cannot take it back.

        @param unheard: called with an answer that came too late.
        """
        answer: Deferred[Any] = Deferred(lambda _: None)
        self._unanswered += 1

        def came(result: Any) -> None:
            self._unanswered -= 1
            if not answer.called:
                answer.callback(result)  # or errback, if it is a Failure
            elif not isinstance(result, Failure):
                unheard(result)
            if self._released and not self._unanswered:
                self._link.back(self)

        question.addBoth(came)
        return answer

    @property
    def stale(self) -> bool:
        """If its connection is broken: it idled before, and has answered nobody since, so this was no attempt."""
        return self._link.stale

    def release(self, *, silent: bool = False) -> None:
        """
        Nothing more will be asked.  May be called again.

        @param silent: the server took too long to answer; nobody else shall wait for it.
        """
        if self._released:
            return
        self._released = True
        if self._unanswered:
            self._link.owes(self, silent=silent)
        else:
            self._link.back(self)
