"""Connections that wait to be used again: reuse, limits, fairness, and nothing left behind."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from itertools import repeat
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionLost, DNSLookupError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web import client
from zope.interface import implementer

from pulp_dl.engine.slots import PATIENCE, Slots
from pulp_dl.errors import DownloadError
from pulp_dl.flow.timers import Timers
from pulp_dl.interfaces import ISlot
from pulp_dl.protocols.http.connection import HTTPConnection
from pulp_dl.protocols.http.pool import IDLE, HTTPConnectionPool, PoolKey
from pulp_dl.testing import FaultServer, Hold, Send
from pulp_dl.testing.pipe import pipe
from tests.http.lines import ASK, HELLO, NOBODY, OK, URL, error, result
from tests.sinks import Sink, turn, until

A, B, C, ALSO_A = (PoolKey(*pair) for pair in (("a", "one"), ("b", "one"), ("c", "one"), ("a", "other")))


class World:
    """
    A pool, its slots, and servers to connect to, all in memory.

    @ivar servers: the server's end of each connection so far.
    @ivar dials: connects that are under way.
    @ivar prompt: connects succeed at once; else the test decides.
    @ivar deaf: connects do not hear that they are cancelled.
    """

    def __init__(self, total: int = 2, per_host: int = 2) -> None:
        self.clock = Clock()
        self.total = total
        self.slots = Slots(total, per_host, self.clock)
        self.pool = HTTPConnectionPool(self.clock, self.slots)
        self.servers: list[Server] = []
        self.dials: list[Dial] = []
        self.prompt = True
        self.deaf = False

    def get(self, key: PoolKey = A) -> Deferred[HTTPConnection]:
        return self.pool.getConnection(key, Dialling(self, key))

    def server(self, connection: HTTPConnection) -> Server:
        """The other end."""
        return next(server for server in self.servers if server.connection is connection)

    def run(self, seconds: float = 0) -> None:
        self.clock.advance(seconds)

    @property
    def open(self) -> Counter[object]:
        """Sockets of each host: those that are open or being opened."""
        sockets = [server for server in self.servers if server.near.connected] + self.dials
        return Counter(socket.key.host for socket in sockets)

    def free(self) -> bool:
        """Every slot is back, and there are as many as ever."""
        requests = [self.slots.acquire(object()) for _ in range(self.total + 1)]
        last = requests.pop()
        free = not last.called and all(request.called for request in requests)
        last.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        for request in requests:
            request.addCallbacks(lambda slot: slot.release(), lambda _: None)
            request.cancel()
        return free

    def work(self, connection: HTTPConnection, wire: bytes = HELLO) -> bytes:
        """One exchange on it."""
        asking = connection.request(ASK, b"GET", URL)
        sink = Sink()
        delivery = asking.addCallback(lambda answer: answer.deliver(sink))
        self.server(connection).send(wire)
        self.run()
        result(delivery)
        return sink.data


class Server(Protocol):
    """The other end of one connection."""

    def __init__(self, world: World, key: PoolKey, connection: Any) -> None:
        self.key = key
        self.connection: HTTPConnection = connection
        self.near, self.far = pipe(lambda step: _later(world, step), NOBODY, NOBODY, lambda: repeat(65536))
        self.near.protocol, self.far.protocol = connection, self
        connection.makeConnection(self.near)

    def send(self, data: bytes) -> None:
        self.far.write(data)

    def close(self) -> None:
        self.far.loseConnection()


def _later(world: World, step: Any) -> None:
    world.clock.callLater(0, step)


@implementer(IStreamClientEndpoint)
class Dialling:
    def __init__(self, world: World, key: PoolKey) -> None:
        self._world = world
        self._key = key

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        dial = Dial(self._world, self._key, factory)
        if self._world.prompt:
            dial.succeed()
        return dial.result


class Dial:
    """One connect under way."""

    def __init__(self, world: World, key: PoolKey, factory: Any) -> None:
        self._world = world
        self.factory = factory
        self._event: Deferred[HTTPConnection]
        self.key = key
        world.dials.append(self)
        self.result: Deferred[Any] = Deferred.fromCoroutine(self._connect())

    async def _connect(self) -> HTTPConnection:
        try:
            while True:
                self._event = Deferred()
                try:
                    return await self._event
                except CancelledError as cancelled:
                    if not self._world.deaf:
                        # As Twisted's endpoints do: an error of their own.
                        raise DNSLookupError("cancelled") from cancelled
        finally:
            self._done()

    def _done(self) -> None:
        if self in self._world.dials:
            self._world.dials.remove(self)

    def build(self) -> Server:
        """TCP is connected, and there is more to come, such as TLS."""
        self._done()
        server = Server(self._world, self.key, self.factory.buildProtocol(NOBODY))
        self._world.servers.append(server)
        return server

    def succeed(self, connection: HTTPConnection | None = None) -> None:
        self._event.callback(connection or self.build().connection)

    def fail(self, reason: Exception) -> None:
        self._event.errback(reason)


class TestReuse:
    def test_it_is_a_pool_of_Twisted(self) -> None:
        pool = World().pool
        assert isinstance(pool, client.HTTPConnectionPool)
        assert pool.persistent

    def test_its_timers_are_those_that_it_is_given(self) -> None:
        clock = Clock()
        timers = Timers(clock)
        assert HTTPConnectionPool(clock, Slots(1, 1, clock), timers).timers is timers
        assert World().pool.timers is not None

    def test_one_request_after_the_other_on_one_connection(self) -> None:
        world = World()
        first = result(world.get())
        for _ in range(10):
            connection = result(world.get()) if first.reused else first
            assert world.work(connection) == b"hello"
            assert connection is first
        assert len(world.servers) == 1

    def test_it_is_back_before_the_delivery_fires(self) -> None:
        world = World(1, 1)
        connection = result(world.get())
        again: list[Deferred[HTTPConnection]] = []
        asking = connection.request(ASK, b"GET", URL)
        asking.addCallback(lambda answer: answer.deliver(Sink())).addCallback(lambda _: again.append(world.get()))
        world.server(connection).send(HELLO)
        world.run()
        assert result(again[0]) is connection

    def test_the_one_that_was_used_last_is_used_next(self) -> None:
        world = World()
        one, two = result(world.get()), result(world.get())
        for connection in (two, one):
            world.work(connection)
        assert result(world.get()) is one
        assert result(world.get()) is two

    def test_each_knows_the_address_that_its_factory_was_told_of(self) -> None:
        assert result(World().get()).address == NOBODY.host

    def test_an_identity_is_never_served_by_the_connection_of_another(self) -> None:
        world = World()
        connection = result(world.get(A))
        world.work(connection)
        assert result(world.get(ALSO_A)) is not connection

    def test_a_key_shows_no_identity(self) -> None:
        assert "SECRET" not in repr(PoolKey("a", ("proxy", "SECRET")))

    @pytest.mark.parametrize(
        "wire", [OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", HELLO + b"EVIL", b"HTTP/1.0 200 OK\r\n\r\n"]
    )
    def test_a_connection_that_cannot_be_used_again_is_not(self, wire: bytes) -> None:
        world = World(1, 1)
        connection = result(world.get())
        asking = connection.request(ASK, b"GET", URL)
        asking.addCallback(lambda answer: answer.deliver(Sink()))
        world.server(connection).send(wire)
        world.server(connection).close()
        world.run()
        assert asking.called
        assert result(world.get()) is not connection

    def test_one_that_the_server_closes_leaves_at_once(self) -> None:
        world = World(1, 1)
        connection = result(world.get())
        world.work(connection)
        world.server(connection).close()
        world.run()
        assert not world.clock.getDelayedCalls()
        assert world.free()

    def test_nor_is_it_handed_over_to_who_waits(self) -> None:
        world = World(1, 1)
        connection = result(world.get())
        waiting = world.get()
        asking = connection.request(ASK, b"GET", URL)
        asking.addCallback(lambda answer: answer.deliver(Sink()))
        world.server(connection).send(HELLO + b"EVIL")
        world.run()
        assert result(waiting) is not connection
        assert not world.server(connection).near.connected

    def test_nothing_is_left_of_a_host_that_nobody_wants_any_more(self) -> None:
        world = World(1, 1)
        key = PoolKey("once", "one")
        gone = weakref.ref(key)
        first, second = world.get(key), world.get(key)
        result(first).abort()
        world.run()
        result(second).abort()
        world.run()
        del key, first, second
        world.servers.clear()
        gc.collect()
        assert gone() is None

    def test_one_that_got_what_nobody_asked_for_is_not_used_again(self) -> None:
        """Not even before its socket is closed."""
        world = World()
        connection = result(world.get())
        world.work(connection)
        connection.dataReceived(HELLO)
        assert world.server(connection).near.connected
        assert result(world.get()) is not connection


class TestLimits:
    def test_whoever_finds_no_slot_waits(self) -> None:
        world = World(1, 1)
        connection = result(world.get(A))
        waiting = world.get(B)
        assert not waiting.called
        connection.abort()
        assert not waiting.called  # the socket is not closed yet
        world.run()
        assert result(waiting) is not connection

    def test_an_idle_connection_makes_room_for_another_host(self) -> None:
        world = World(1, 1)
        idle = result(world.get(A))
        world.work(idle)
        waiting = world.get(B)
        assert not waiting.called
        world.run()
        assert not world.server(idle).near.connected
        result(waiting)

    def test_one_that_is_used_again_does_not(self) -> None:
        world = World(1, 1)
        connection = result(world.get(A))
        world.work(connection)
        assert result(world.get(A)) is connection
        waiting = world.get(B)
        world.run()
        assert not waiting.called
        assert world.work(connection) == b"hello"

    def test_one_that_is_being_closed_for_somebody_is_not_used_again(self) -> None:
        world = World(1, 1)
        idle = result(world.get(A))
        world.work(idle)
        world.get(B)
        waiting = world.get(A)
        assert not waiting.called

    def test_it_is_handed_to_the_first_of_those_who_wait_for_the_same(self) -> None:
        world = World(1, 1)
        connection = result(world.get())
        first, second = world.get(), world.get()
        world.work(connection)
        assert result(first) is connection
        assert not second.called
        world.work(connection)
        assert result(second) is connection
        assert len(world.servers) == 1

    def test_one_who_was_handed_a_connection_wants_no_slot_any_more(self) -> None:
        world = World(2, 1)
        connection, other = result(world.get(A)), result(world.get(B))
        handed = world.get(A)
        world.work(connection)
        assert result(handed) is connection
        connection.abort()
        other.abort()
        world.run()
        assert world.free()

    def test_one_who_is_refused_a_slot_is_told_and_gets_no_connection(self) -> None:
        class Grudging(Slots):
            refusing = True

            def acquire(self, host: Any, sockets: int = 1) -> Deferred[ISlot]:
                return fail(ZeroDivisionError()) if self.refusing else super().acquire(host, sockets)

        world = World(1, 1)
        world.pool.slots = slots = Grudging(1, 1, world.clock)
        error(world.get(), ZeroDivisionError)
        slots.refusing = False
        connection = result(world.get())
        assert world.work(connection) == b"hello"
        assert result(world.get()) is connection

    def test_reuse_is_preferred_but_nobody_starves_beside_a_busy_host(self) -> None:
        world = World(1, 1)
        connection = result(world.get(A))
        starving = world.get(B)
        used = 0
        while not starving.called:
            waiting = world.get(A)
            world.work(connection)
            world.run(0.1)
            used += 1
            assert used < 20
            if not starving.called:
                assert result(waiting) is connection
        assert used >= PATIENCE / 0.1
        assert result(starving) is not connection
        assert not waiting.called

    def test_one_who_waits_for_the_same_connection_is_not_starved_by_it(self) -> None:
        """However long they waited: closing it to open it again would help nobody."""
        world = World(1, 1)
        connection = result(world.get())
        waiting = [world.get() for _ in range(5)]
        for each in waiting:
            world.run(PATIENCE * 2)
            world.work(connection)
            assert result(each) is connection
        assert len(world.servers) == 1


class TestCancelling:
    def test_while_waiting_for_a_slot(self) -> None:
        world = World(1, 1)
        connection = result(world.get())
        waiting = world.get()
        waiting.cancel()
        error(waiting, CancelledError)
        connection.abort()
        world.run()
        assert world.free()
        assert len(world.servers) == 1

    def test_while_connecting(self) -> None:
        world = World(1, 1)
        world.prompt = False
        getting = world.get()
        getting.cancel()
        error(getting, CancelledError)
        assert world.free()

    def test_while_connecting_by_one_that_does_not_hear(self) -> None:
        """The slot is held until it is known that there is no socket; a connection that nobody wants is closed."""
        for fails in (True, False):
            world = World(1, 1)
            world.prompt, world.deaf = False, True
            getting = world.get()
            dial = world.dials[0]
            getting.cancel()
            error(getting, CancelledError)
            assert not world.free()
            if fails:
                dial.fail(ConnectError())
            else:
                dial.succeed()
            world.run()
            assert not world.open
            assert world.free()

    def test_within_a_handshake(self) -> None:
        """The connection is there already: its slot is held until it is closed."""
        world = World(1, 1)
        world.prompt = False
        getting, waiting = world.get(A), world.get(B)
        server = world.dials[0].build()
        getting.cancel()
        error(getting, CancelledError)
        assert server.near.connected
        assert not world.dials
        world.run()
        assert not server.near.connected
        world.dials[0].succeed()
        result(waiting)

    def test_of_one_that_was_handed_over_does_nothing(self) -> None:
        world = World()
        getting = world.get()
        getting.cancel()
        world.work(result(getting))


class TestFailing:
    def test_to_connect(self) -> None:
        world = World(1, 1)
        world.prompt = False
        getting, waiting = world.get(A), world.get(B)
        world.dials[0].fail(ConnectError("no"))
        error(getting, ConnectError)
        world.dials[0].succeed()
        result(waiting)

    def test_after_tcp_is_connected(self) -> None:
        world = World(1, 1)
        world.prompt = False
        getting = world.get()
        dial = world.dials[0]
        server = dial.build()
        dial.fail(ConnectError("handshake"))
        error(getting, ConnectError)
        world.run()
        assert not server.near.connected
        assert world.free()

    def test_at_the_first_of_two_addresses(self) -> None:
        """An endpoint may make a connection, drop it, and make another one."""
        world = World(1, 1)
        world.prompt = False
        getting = world.get()
        dial = world.dials[0]
        first = dial.build()
        first.connection.abort()
        world.run()
        assert not world.free()
        second = dial.build()
        dial.succeed(second.connection)
        assert result(getting) is second.connection
        second.connection.abort()
        world.run()
        assert world.free()

    def test_at_the_second_of_two_addresses(self) -> None:
        """An endpoint may try both at once, and the one that is ready first may be the one that was made first."""
        world = World(1, 1)
        world.prompt = False
        getting = world.get()
        dial = world.dials[0]
        first, second = dial.build(), dial.build()
        second.connection.abort()
        dial.succeed(first.connection)
        world.run()
        connection = result(getting)
        assert connection is first.connection
        world.work(connection)
        assert result(world.get()) is connection
        world.work(connection)
        world.pool.closeCachedConnections()
        world.run()
        assert not first.near.connected
        assert world.free()

    def test_an_endpoint_that_goes_on_after_it_failed_gets_no_connection(self) -> None:
        """Its slot belongs to somebody else by then."""
        world = World(1, 1)
        world.prompt = False
        getting = world.get()
        dial = world.dials[0]
        dial.fail(ConnectError())
        error(getting, ConnectError)
        assert dial.factory.buildProtocol(NOBODY) is None

    def test_for_want_of_a_slot(self) -> None:
        class Full(Slots):
            def acquire(self, host: Any, count: int = 1) -> Any:
                return fail(ConnectError("no"))

        world = World()
        world.pool = HTTPConnectionPool(world.clock, Full(1, 1, world.clock))
        key = PoolKey("once", "one")
        gone = weakref.ref(key)
        error(world.get(key), ConnectError)
        del key
        gc.collect()
        assert gone() is None
        assert not world.dials

    def test_with_an_endpoint_that_raises(self) -> None:
        world = World(1, 1)
        broken: Any = Dialling(world, A)
        broken.connect = lambda factory: 1 / 0
        error(world.pool.getConnection(A, broken), ZeroDivisionError)
        assert world.free()

    def test_with_a_connection_that_was_lost_meanwhile(self) -> None:
        world = World(1, 1)
        world.prompt = False
        getting = world.get()
        dial = world.dials[0]
        server = dial.build()
        server.connection.abort()
        world.run()
        dial.succeed(server.connection)
        assert not result(getting).alive
        assert world.free()

    def test_with_a_connection_that_closes_within_its_abort(self) -> None:
        """Nor is another one that others seek meanwhile forgotten."""
        world = World(1, 1)
        world.prompt, world.deaf = False, True
        getting = world.get()
        dial = world.dials[0]
        server = dial.build()
        others: list[Deferred[HTTPConnection]] = []

        def close() -> None:
            server.connection.connectionLost(Failure(ConnectionLost()))
            others.append(world.get())

        transport: Any = server.near
        transport.abortConnection = close
        getting.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        dial.succeed(server.connection)
        world.dials[0].succeed()
        connection = result(others[0])
        world.work(connection)
        assert result(world.get()) is connection
        connection.abort()
        world.run()
        assert world.free()


class TestIdling:
    def test_for_a_minute_and_no_longer(self) -> None:
        world = World()
        connection = result(world.get())
        world.work(connection)
        world.run(IDLE - 1)
        assert world.server(connection).near.connected
        world.run(1)
        world.run()
        assert not world.open
        assert not world.clock.getDelayedCalls()
        assert world.free()

    def test_one_whose_minute_ended_a_moment_ago_is_closed_and_no_timer_is_set_for_it(self) -> None:
        """A moment that is not longer than sums of floats are rounded by; and no reactor sets a timer in the past."""
        world = World()
        clock: Any = world.clock
        later = clock.callLater

        def strict(delay: float, *args: Any) -> Any:
            assert delay >= 0
            return later(delay, *args)

        clock.callLater = strict
        connection = result(world.get())
        world.work(connection)
        world.run(IDLE + 1e-7)
        world.run()
        assert not world.server(connection).near.connected

    def test_each_has_a_minute_of_its_own_and_all_share_one_timer(self) -> None:
        world = World(3, 3)
        connections = [result(world.get()) for _ in range(3)]
        for connection in connections:
            world.work(connection)
            world.run(10)
            assert len(world.clock.getDelayedCalls()) == 1
        for left in (2, 1, 0):
            world.run(IDLE - 30 if left == 2 else 10)
            world.run()
            assert world.open.total() == left
            assert len(world.clock.getDelayedCalls()) == (left > 0)
        assert not world.clock.getDelayedCalls()

    def test_no_timer_runs_when_nothing_has_idled_or_nothing_is_open(self) -> None:
        world = World()
        connection = result(world.get())
        assert not world.clock.getDelayedCalls()
        world.work(connection)
        assert len(world.clock.getDelayedCalls()) == 1
        result(world.get()).abort()
        world.run()
        assert not world.clock.getDelayedCalls()

    def test_one_that_is_at_work_when_the_timer_fires_idles_for_a_minute_after_that(self) -> None:
        world = World()
        connection = result(world.get())
        world.work(connection)
        world.run(IDLE - 10)
        assert result(world.get()) is connection
        world.run(20)
        assert not world.clock.getDelayedCalls()
        world.work(connection)
        world.run(IDLE - 1)
        assert world.server(connection).near.connected
        world.run(1)
        world.run()
        assert not world.open

    def test_no_other_timer_is_set_for_a_connection_that_is_used_again(self) -> None:
        world = World(1, 1)
        calls: list[float] = []
        clock: Any = world.clock
        later = clock.callLater

        def counting(delay: float, *args: Any) -> Any:
            calls.append(delay)
            return later(delay, *args)

        clock.callLater = counting

        async def two() -> None:
            for _ in range(2):
                connection = await world.get()
                answer = await connection.request(ASK, b"GET", URL)
                await answer.deliver(Sink())

        running = Deferred.fromCoroutine(two())
        for _ in range(2):
            assert not running.called
            world.servers[0].send(HELLO)
            world.run()
        assert result(running) is None
        assert [delay for delay in calls if delay] == [IDLE]


class TestClosing:
    def test_idle_ones_only(self) -> None:
        world = World()
        idle, busy = result(world.get()), result(world.get())
        world.work(idle)
        closing = world.pool.closeCachedConnections()
        assert not closing.called
        world.run()
        assert result(closing) is None
        assert not world.server(idle).near.connected
        assert world.work(busy) == b"hello"

    def test_those_who_waited_for_that_are_told_once(self) -> None:
        world = World()
        idle, busy = result(world.get()), result(world.get(B))
        world.work(idle)
        closing = world.pool.closeCachedConnections()
        world.run()
        assert result(closing) is None
        busy.abort()
        world.run()
        assert world.free()

    def test_who_waits_for_that_does_not_wait_for_one_that_its_server_had_closed(self) -> None:
        world = World()
        gone, idle = result(world.get()), result(world.get())
        for connection in (gone, idle):
            world.work(connection)
        world.server(gone).close()
        world.run()
        closing = world.pool.closeCachedConnections()
        world.run()
        assert result(closing) is None
        assert world.free()

    def test_everything(self) -> None:
        world = World(4, 2)
        idle, asking, reading = result(world.get(A)), result(world.get(A)), result(world.get(B))
        waiting = world.get(A)
        asked = asking.request(ASK, b"GET", URL)
        read = reading.request(ASK, b"GET", URL).addCallback(lambda answer: answer.deliver(Sink()))
        world.server(reading).send(OK + b"Content-Length: 9\r\n\r\nhello")
        world.run()
        world.prompt = False
        connecting = world.get(C)
        world.work(idle)
        result(waiting)
        still_waiting = world.get(A)
        closing = world.pool.close()
        for each in (connecting, still_waiting):
            error(each, CancelledError)
        assert not closing.called
        world.run()
        assert result(closing) is None
        for each in (asked, read):
            error(each, CancelledError)
        assert not world.open
        assert world.free()
        assert not world.clock.getDelayedCalls()

    def test_what_waits_to_be_sent_is_not(self) -> None:
        world = World()
        sent: list[int] = []
        world.pool.outbox.put(lambda: sent.append(1))
        world.pool.close()
        assert not world.clock.getDelayedCalls()
        world.run()
        assert sent == []

    def test_again_and_afterwards(self) -> None:
        world = World()
        world.work(result(world.get()))
        first, second = world.pool.close(), world.pool.close()
        world.run()
        assert result(first) is None
        assert result(second) is None
        assert result(world.pool.close()) is None
        error(world.get(), CancelledError)
        assert result(world.pool.closeCachedConnections()) is None

    def test_while_it_connects_deafly(self) -> None:
        world = World(1, 1)
        world.prompt, world.deaf = False, True
        getting = world.get()
        closing = world.pool.close()
        error(getting, CancelledError)
        assert not closing.called
        world.dials[0].succeed()
        world.run()
        assert result(closing) is None
        assert world.free()


# ---- over sockets


@pytest.mark.parametrize(("total", "per_host"), [(3, 3), (5, 2)])
async def test_the_server_never_sees_more_connections_than_there_are_slots(
    reactor: Any, total: int, per_host: int
) -> None:
    slots = Slots(total, per_host, reactor)
    pool = HTTPConnectionPool(reactor, slots)
    async with FaultServer(reactor, Send(HELLO)) as server:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)

        async def fetch() -> bytes:
            connection = await pool.getConnection(A, endpoint)
            answer = await connection.request(ASK, b"GET", URL)
            sink = Sink()
            await answer.deliver(sink)
            return sink.data

        bodies = await gatherResults([Deferred.fromCoroutine(fetch()) for _ in range(100)])
        assert bodies == [b"hello"] * 100
        assert server.connections.peak == server.connections.total == per_host
        await pool.close()


async def test_one_with_something_to_be_read_is_closed_and_not_used_again(reactor: Any) -> None:
    """Nobody would read it: for its socket is neither at work nor idle any more."""
    pool = HTTPConnectionPool(reactor, Slots(2, 2, reactor))
    async with FaultServer(reactor, (Send(HELLO), Hold(), Send(HELLO))) as server:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)
        connection = await pool.getConnection(A, endpoint)
        answer = await connection.request(ASK, b"GET", URL)
        await answer.deliver(Sink())
        transport: Any = connection.transport
        transport.pauseProducing()  # as if the reactor had not come to it
        server.release()
        await until(reactor, lambda: not connection.usable())
        other = await pool.getConnection(A, endpoint)
        assert other is not connection
        for _ in range(3):
            await turn(reactor)
        assert not connection.alive
        assert other.alive
        await pool.close()


# ---- whatever happens


class Pools(RuleBasedStateMachine):
    """
    Whatever is asked, cancelled, answered and broken, in any order: the limits hold for open sockets, a connection
    serves its own key and one at a time, nobody waits in vain, and in the end nothing is left.
    """

    @initialize(total=st.integers(1, 4), per_host=st.integers(1, 3), prompt=st.booleans(), deaf=st.booleans())
    def begin(self, total: int, per_host: int, *, prompt: bool, deaf: bool) -> None:
        self.world = World(total, per_host)
        self.world.prompt, self.world.deaf = prompt, deaf
        self.per_host = per_host
        self.getting: list[tuple[PoolKey, Deferred[HTTPConnection]]] = []
        self.asked: list[Deferred[Any]] = []
        self.wrong: list[str] = []

    @rule(key=st.sampled_from([A, B, C, ALSO_A]))
    def get(self, key: PoolKey) -> None:
        getting = self.world.get(key)
        entry = key, getting
        self.getting.append(entry)
        getting.addCallbacks(self.got, lambda _: self.getting.remove(entry), callbackArgs=(entry,))

    def got(self, connection: HTTPConnection, entry: tuple[PoolKey, Deferred[HTTPConnection]]) -> None:
        self.getting.remove(entry)
        if self.world.server(connection).key != entry[0]:
            self.wrong.append("the connection of another identity")
        try:
            asking: Deferred[Any] = connection.request(ASK, b"GET", URL)
        except RuntimeError:
            self.wrong.append("a connection that serves somebody else")
            return
        sink = Sink()
        asking.addCallback(lambda answer: answer.deliver(sink))
        asking.addCallback(
            lambda _: self.wrong.append("another body") if sink.data and not sink.data.startswith(b"hello") else None
        )
        asking.addErrback(lambda failure: failure.trap(DownloadError, CancelledError))
        self.asked.append(asking)

    @precondition(lambda self: self.getting)
    @rule(data=st.data())
    def cancel_getting(self, data: Any) -> None:
        data.draw(st.sampled_from(self.getting))[1].cancel()

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def cancel_asking(self, data: Any) -> None:
        data.draw(st.sampled_from(self.asked)).cancel()

    @precondition(lambda self: self.world.dials)
    @rule(data=st.data(), succeeds=st.booleans())
    def connect(self, data: Any, *, succeeds: bool) -> None:
        dial = data.draw(st.sampled_from(self.world.dials))
        if succeeds:
            dial.succeed()
        else:
            dial.fail(ConnectError())

    @precondition(lambda self: self.world.servers)
    @rule(
        data=st.data(),
        wire=st.sampled_from(
            [HELLO, HELLO, HELLO + b"EVIL", OK + b"Content-Length: 9\r\n\r\nhello", OK + b"\r\nhello", b"?" * 10]
        ),
    )
    def send(self, data: Any, wire: bytes) -> None:
        data.draw(st.sampled_from(self.world.servers)).send(wire)

    @precondition(lambda self: self.world.servers)
    @rule(data=st.data())
    def hang_up(self, data: Any) -> None:
        data.draw(st.sampled_from(self.world.servers)).close()

    @precondition(lambda self: self.world.servers)
    @rule(data=st.data())
    def abort(self, data: Any) -> None:
        data.draw(st.sampled_from(self.world.servers)).connection.abort()

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.1, 2.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)
        self.world.run()
        open_ = self.world.open
        for key, _ in self.getting:
            full = open_[key.host] >= self.per_host or open_.total() >= self.world.total
            assert full or self.world.dials, "somebody waits, and there is a place"

    @invariant()
    def promises_hold(self) -> None:
        if hasattr(self, "world"):
            assert not self.wrong
            open_ = self.world.open
            assert open_.total() <= self.world.total
            assert all(count <= self.per_host for count in open_.values())

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        closing = self.world.pool.close()
        for dial in self.world.dials[:]:
            dial.fail(ConnectError())
        self.world.run()
        assert result(closing) is None
        assert not self.getting
        assert all(asking.called for asking in self.asked)
        assert not self.world.open
        assert self.world.free()
        assert not self.world.clock.getDelayedCalls()


TestPools = Pools.TestCase
TestPools.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
