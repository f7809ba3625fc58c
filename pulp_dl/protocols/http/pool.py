"""
Connections that wait to be used again.

When a connection has done its work, one of three things happens.  If somebody waits for such a connection, they are
handed this one and leave the queue of the slots.  Else it is parked: whoever asks next takes it, or the slots have it
closed for somebody who needs its place.

Handing over comes first, because it saves a handshake; but a slot that is owed to somebody who has waited too long for
another connection (C{ISlot.owed}) is parked nevertheless, so that nobody starves beside a busy host.  Who waits, for
what and since when is known to the slots alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web import client

from ...flow.timers import Clock, Timers
from ...interfaces import ISlot, ISlots
from .connection import HTTPConnection
from .outbox import Outbox

__all__ = ["IDLE", "HTTPConnectionPool", "PoolKey"]

IDLE: Final = 60.0
"""Seconds that a connection idles before it is closed."""
_ROUNDING: Final = 1e-6  # seconds; sums of floats may come out a little short


@frozen(cache_hash=True)
class PoolKey:
    """
    Connections with equal keys can stand in for each other.

    @ivar host: what the limit for each host counts by.
    @ivar identity: all else that makes a difference: scheme, trust, client certificate, proxy and its credentials.
    """

    host: Hashable
    identity: Hashable = field(repr=False)


class HTTPConnectionPool(client.HTTPConnectionPool):
    """
    The connections of one Downloader, each of which holds a slot from before it is opened until its socket is closed.

    @ivar slots: where the places come from.
    @ivar clock: the reactor.
    @ivar timers: for limits of time.
    @ivar outbox: for requests.
    """

    def __init__(self, reactor: Any, slots: ISlots, timers: Clock | None = None) -> None:
        super().__init__(reactor, persistent=True)  # type: ignore[no-untyped-call]  # the class has no annotations
        self.clock = reactor
        self.slots = slots
        self._kinds: dict[PoolKey, _Kind] = {}  # of which there are sockets, or somebody seeks one
        self._timer: IDelayedCall | None = None  # for those that idle
        self.timers = timers or Timers(reactor)
        self.outbox = Outbox(reactor)
        self._closed = False
        self._awaited: list[tuple[set[_Socket], Deferred[None]]] = []

    def getConnection(  # type: ignore[override]  # the base class says "or a wrapper" of its own protocol
        self, key: PoolKey, endpoint: IStreamClientEndpoint
    ) -> Deferred[HTTPConnection]:
        """
        A connection for one request.  It comes back by itself when its answer is complete, if it may carry another.

        Fires with an L{HTTPConnection} that is ready; fails as C{endpoint} does.  Cancelling, while it waits for a slot
        or connects, leaves nothing behind, and fails with C{CancelledError}; so does C{close}.

        @param endpoint: fires with the L{HTTPConnection} that it had made by the factory, ready for a request.
        """
        if self._closed:
            return fail(CancelledError("the pool is closed"))
        connection = self.take(key)
        if connection is not None:
            return succeed(connection)
        return _Seeker(self, self._kinds.setdefault(key, _Kind(key)), endpoint).result

    def closeCachedConnections(self) -> Deferred[None]:
        """Close what idles.  Fires with None when those sockets are closed."""
        sockets = {socket for kind in self._kinds.values() for socket in kind.idle}
        for socket in sockets:
            socket.evict()
        return self._left(sockets)

    def close(self) -> Deferred[None]:
        """
        Abort everything: what is under way fails with C{CancelledError}.

        Fires with None when every socket is closed and every slot is back; never fails; may be called again.
        """
        self._closed = True
        for seeker in [seeker for kind in self._kinds.values() for seeker in kind.seekers]:
            seeker.result.cancel()
        for socket in self._sockets():
            socket.abort()
        self.outbox.close()
        return self._left(self._sockets())

    def _sockets(self) -> set[_Socket]:
        return {socket for kind in self._kinds.values() for socket in kind.sockets}

    def _left(self, sockets: set[_Socket]) -> Deferred[None]:
        """Fires when these are closed; no socket closes within its own abort."""
        if not sockets:
            return succeed(None)
        left: Deferred[None] = Deferred()
        self._awaited.append((sockets, left))
        return left

    def left(self, kind: _Kind) -> None:
        """One of those who seek it has stopped, or one of its sockets is closed."""
        if not kind.seekers and not kind.sockets:
            del self._kinds[kind.key]
        if not self._kinds and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # sockets rest and go

    def discard(self, socket: _Socket) -> None:
        """It is closed, which may be said more than once."""
        kind = socket.kind
        if socket not in kind.sockets:
            return
        kind.sockets.remove(socket)
        self.left(kind)
        for awaited in self._awaited[:]:
            sockets, left = awaited
            sockets.discard(socket)
            if not sockets:
                self._awaited.remove(awaited)
                left.callback(None)

    def rest(self, socket: _Socket) -> None:
        """It may carry another request: its connection has just looked."""
        kind = socket.kind
        if kind.seekers:
            seeker = next(iter(kind.seekers))
            if not socket.slot.owed(seeker.request):
                seeker.take(socket)
                return
        kind.idle[socket] = self.clock.seconds()
        if self._timer is None:
            self._timer = self.clock.callLater(IDLE, self._reap)
        socket.slot.park(socket.evict)

    def take(self, key: PoolKey) -> HTTPConnection | None:
        """An idle connection that may carry a request, or None: what C{getConnection} looks for first."""
        kind = self._kinds.get(key)
        while kind is not None and kind.idle:
            socket, _ = kind.idle.popitem()
            connection = socket.connection
            if connection.usable():
                socket.slot.unpark()
                return connection
            connection.abort()
        return None

    def _reap(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        idle = [each for kind in self._kinds.values() for each in kind.idle.items()]
        young = [since for _, since in idle if now - since < IDLE - _ROUNDING]
        if young:
            self._timer = self.clock.callLater(min(young) + IDLE - now, self._reap)
        for socket, since in idle:
            if now - since >= IDLE - _ROUNDING:
                socket.evict()


class _Kind:
    """
    What there is of one key.

    @ivar seekers: those without a slot, in the order of asking.
    @ivar sockets: from before they are opened until they are closed.
    @ivar idle: of these, those that idle, and since when; the one that was used last is used next.
    """

    __slots__ = ("idle", "key", "seekers", "sockets")

    def __init__(self, key: PoolKey) -> None:
        self.key = key
        self.seekers: dict[_Seeker, None] = {}
        self.sockets: set[_Socket] = set()
        self.idle: dict[_Socket, float] = {}


class _Seeker:
    """Somebody wants a connection: waits for a slot and connects, unless one that others are done with comes first."""

    __slots__ = ("_endpoint", "_kind", "_pool", "_socket", "_waits", "request", "result")

    def __init__(self, pool: HTTPConnectionPool, kind: _Kind, endpoint: IStreamClientEndpoint) -> None:
        self._pool = pool
        self._kind = kind
        self._endpoint = endpoint
        self._socket: _Socket | None = None
        self._waits = True
        self.result: Deferred[HTTPConnection] = Deferred(self._cancel)
        kind.seekers[self] = None
        self.request = pool.slots.acquire(kind.key.host)
        self.request.addCallbacks(self._granted, self._refused)

    def take(self, socket: _Socket) -> None:
        """Use this one instead of waiting any longer."""
        self._stop_waiting()
        self.request.cancel()
        self.result.callback(socket.connection)

    def _stop_waiting(self) -> None:
        self._waits = False
        del self._kind.seekers[self]
        self._pool.left(self._kind)

    def _granted(self, slot: ISlot) -> None:
        self._socket = socket = _Socket(self._pool, self._kind, slot, self)
        self._stop_waiting()
        socket.connect(self._endpoint)

    def _refused(self, failure: Failure) -> None:
        if self._waits:
            self._stop_waiting()
            self.result.errback(failure)

    def _cancel(self, _: Deferred[HTTPConnection]) -> None:
        if self._waits:
            self._stop_waiting()
            self.request.cancel()
        elif self._socket is not None:
            self._socket.give_up()


class _Socket(Factory):
    """One slot and what it is used for: the factory of its connection, and who is told of its state."""

    noisy = False
    connection: HTTPConnection

    def __init__(self, pool: HTTPConnectionPool, kind: _Kind, slot: ISlot, seeker: _Seeker) -> None:
        self._pool = pool
        self._seeker: _Seeker | None = seeker
        self._connecting: Deferred[Any] | None = None
        self._dialling = True
        self._made: list[HTTPConnection] = []  # more than one, if an endpoint tries again
        self.kind = kind
        self.slot = slot
        kind.sockets.add(self)

    def connect(self, endpoint: IStreamClientEndpoint) -> None:
        self._connecting = connecting = maybeDeferred(endpoint.connect, self)
        connecting.addCallbacks(self._connected, self._failed)

    def buildProtocol(self, addr: IAddress | None) -> HTTPConnection | None:
        if not self._dialling:
            return None  # too late: the slot is spoken for
        pool = self._pool
        self.connection = HTTPConnection(pool.clock, self._rest, self._gone, pool.timers, pool.outbox)
        self.connection.address = str(getattr(addr, "host", ""))
        self._made.append(self.connection)
        return self.connection

    def _connected(self, connection: HTTPConnection) -> None:
        self._dialling = False
        self.connection = connection
        seeker, self._seeker = self._seeker, None
        if seeker is None:
            connection.abort()
        self._settle()
        if seeker is not None:
            seeker.result.callback(connection)

    def _failed(self, failure: Failure) -> None:
        self._dialling = False
        seeker, self._seeker = self._seeker, None
        self.abort()
        self._settle()
        if seeker is not None:
            seeker.result.errback(failure)

    def give_up(self) -> None:
        """Nobody waits for this any more."""
        self._seeker = None
        if self._connecting is not None:
            self._connecting.cancel()

    def abort(self) -> None:
        if self._seeker is not None:
            self._seeker.result.cancel()
        for connection in self._made:
            connection.abort()

    def evict(self) -> None:
        self.kind.idle.pop(self, None)
        self.connection.abort()

    def _rest(self, _: HTTPConnection) -> None:
        self._pool.rest(self)

    def _gone(self, _: HTTPConnection) -> None:
        self.kind.idle.pop(self, None)
        self._settle()

    def _settle(self) -> None:
        """The slot goes back when nothing is open and nothing will be."""
        if not self._dialling and not any(connection.alive for connection in self._made):
            self.slot.release()
            self._pool.discard(self)
