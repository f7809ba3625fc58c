"""The network in memory behaves as the one it stands for."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    DNSLookupError,
)
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import TimeoutError as Silent
from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.task import Cooperator, deferLater

from pulp_dl.testing import Close, Drip, FaultServer, Hold, MemoryNetwork, Send, Stage, answer
from tests.testing.stages import Client, World

# ---- transports: the same in both worlds


def echo(stage_requests: Any) -> Any:
    """A script that says how long the request was."""
    return [Send(b"%d" % len(stage_requests.raw)), Close()]


LONG = b"GET / HTTP/1.1\r\nX: " + b"x" * 5_000_000 + b"\r\n\r\n"


async def test_what_is_written_before_lose_connection_arrives(world: World) -> None:
    stage = world.serve(Hold())
    client = await world.connect(stage)
    client.transport.write(LONG)
    client.transport.loseConnection()
    await world.wait(client.until(None))
    assert client.end is not None
    assert client.end.check(ConnectionDone)
    await world.until(lambda: bool(stage.requests))
    assert [len(request.raw) for request in stage.requests] == [len(LONG)]


async def test_abort_ends_at_once_and_is_heard_of_later(world: World) -> None:
    stage = world.serve(answer(bytes(1_000_000)))
    client = await world.ask(stage)
    await world.wait(client.until(1))
    before = client.data
    client.transport.abortConnection()
    client.transport.abortConnection()
    assert client.end is None
    await world.wait(client.until(None))
    assert client.end is not None
    assert client.end.check(ConnectionAborted)
    assert client.data == before
    await world.until(lambda: stage.connections.open == 0)


async def test_abort_throws_away_what_has_not_been_sent(world: World) -> None:
    stage = world.serve(answer(b""))
    client = await world.ask(stage)
    client.transport.abortConnection()
    await world.wait(client.until(None))
    await world.until(lambda: stage.connections.open == 0)
    assert stage.requests == []


async def test_a_reader_that_pauses_hears_nothing_not_even_the_end(world: World) -> None:
    client = await world.ask(world.serve([Send(b"hello"), Hold(), Send(b"more"), Close()]))
    await world.wait(client.until(5))
    client.transport.pauseProducing()
    await world.settle()
    assert (client.data, client.end) == (b"hello", None)


async def test_an_end_is_heard_of_after_a_pause(world: World) -> None:
    stage = world.serve([Send(b"hello"), Hold(), Send(b"more"), Close()])
    client = await world.ask(stage)
    await world.wait(client.until(5))
    client.transport.pauseProducing()
    stage.release()
    await world.settle()
    assert (client.data, client.end) == (b"hello", None)
    client.transport.resumeProducing()
    assert await world.wait(client.until(None)) == b"hellomore"


async def test_no_more_is_read_at_once_than_there_is_room_for(world: World) -> None:
    """Twisted's transports have C{bufferSize} for that."""
    stage = world.serve([Send(b"x"), Hold(), Send(bytes(100_000)), Close()])
    client = await world.ask(stage)
    await world.wait(client.until(1))
    client.transport.bufferSize = 1000
    stage.release()
    await world.wait(client.until(None))
    assert len(client.data) == 100_001
    assert max(client.segments) == 1000


class Source:
    """A producer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


async def test_a_push_producer_is_paused_above_the_high_water_mark_and_resumed_below(world: World) -> None:
    client = await world.connect(world.serve(echo))
    source = Source()
    client.transport.registerProducer(source, True)
    client.transport.write(LONG[:-4])
    assert source.told == ["pause"]
    await world.until(lambda: len(source.told) > 1)
    assert source.told == ["pause", "resume"]
    client.transport.unregisterProducer()
    client.transport.write(b"\r\n\r\n")
    assert await world.wait(client.until(None)) == b"%d" % len(LONG)


async def test_a_pull_producer_is_asked_when_all_is_gone(world: World) -> None:
    client = await world.connect(world.serve(Hold()))
    source = Source()
    client.transport.registerProducer(source, False)
    assert source.told == ["resume"]
    client.transport.write(b"a")
    await world.until(lambda: len(source.told) > 1)
    await world.settle()
    assert source.told == ["resume", "resume"]
    client.transport.abortConnection()
    await world.wait(client.until(None))
    assert source.told == ["resume", "resume", "stop"]


async def test_a_second_producer_is_refused(world: World) -> None:
    client = await world.connect(world.serve(Hold()))
    client.transport.registerProducer(Source(), True)
    with pytest.raises(RuntimeError):
        client.transport.registerProducer(Source(), True)


async def test_only_bytes_can_be_written(world: World) -> None:
    client = await world.connect(world.serve(Hold()))
    with pytest.raises(TypeError):
        client.transport.write("text")


async def test_an_exception_of_a_protocol_ends_its_connection(world: World, logged_errors: Any) -> None:
    stage = world.serve(answer(b"hello"))
    client = await world.ask(stage)

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    client.dataReceived = fail
    await world.wait(client.until(None))
    assert client.end is not None
    assert client.end.check(ZeroDivisionError)
    await world.until(lambda: stage.connections.open == 0)
    assert len(logged_errors.flush(ZeroDivisionError)) == 1


# ---- names, addresses, time


def connecting(network: MemoryNetwork, host: str, port: int = 80, timeout: float = 30) -> Deferred[Any]:
    return HostnameEndpoint(network, host, port, timeout=timeout).connect(Factory.forProtocol(Client))


def test_a_name_that_nobody_has_does_not_resolve() -> None:
    with pytest.raises(DNSLookupError):
        network = MemoryNetwork()
        network.result(connecting(network, "nowhere"))


def test_a_port_where_nobody_listens_refuses() -> None:
    network = MemoryNetwork()
    stage = network.serve("host", answer(b""))
    with pytest.raises(Refused):
        network.result(connecting(network, "host", 81))
    network.result(connecting(network, "host"))
    network.unplug(stage)
    with pytest.raises(Refused):
        network.result(connecting(network, "host"))


def test_a_silent_address_costs_the_whole_timeout() -> None:
    network = MemoryNetwork()
    network.serve("host", answer(b""))
    network.silent.update(network.names["host"])
    with pytest.raises(Silent):
        network.result(connecting(network, "host", timeout=7))
    assert network.seconds() == 7


@pytest.mark.parametrize("step", ["names", "connects"])
def test_connecting_can_be_cancelled(step: str) -> None:
    network = MemoryNetwork()
    network.serve("host", answer(b""))
    network.silent.update(network.names["host"])
    attempt = connecting(network, "host")
    if step == "connects":
        network.run()
    attempt.cancel()
    with pytest.raises((ConnectingCancelledError, DNSLookupError)):
        network.result(attempt)
    assert network.connections == 0
    assert network.getDelayedCalls() == []


def test_a_name_may_have_several_addresses_of_both_kinds() -> None:
    network = MemoryNetwork()
    network.names["host"] = ["192.0.2.77", "2001:db8::1"]
    network.silent.add("192.0.2.77")
    stage = network.serve("host", answer(b""))
    client = network.result(connecting(network, "host"))
    assert client.transport.getPeer().host == "2001:db8::1"
    assert stage.connections.open == 1
    assert network.result(connecting(network, "2001:db8::1")).transport.getPeer().port == 80


class Receiver:
    """What a resolver tells."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def resolutionBegan(self, resolution: Any) -> None:
        self.told.append("began")

    def addressResolved(self, address: Any) -> None:
        self.told.append(address.host)

    def resolutionComplete(self) -> None:
        self.told.append("complete")


@pytest.mark.parametrize(("cancelled", "told"), [(False, ["began", "192.0.2.1", "complete"]), (True, ["began"])])
def test_a_resolution_can_be_cancelled(cancelled: bool, told: list[str]) -> None:
    network, receiver = MemoryNetwork(), Receiver()
    network.serve("host", answer(b""))
    resolution = network.resolveHostName(receiver, "host")  # type: ignore[arg-type]  # it is not declared to be one
    if cancelled:
        resolution.cancel()
    network.run()
    assert receiver.told == told


def test_a_connection_that_its_client_has_closed_does_not_count_even_if_the_server_does_not_know() -> None:
    network = MemoryNetwork()
    stage = network.serve("192.0.2.9", Hold())

    def connect() -> Client:
        client = Client()
        network.connectTCP("192.0.2.9", 80, ClientFactory.forProtocol(lambda: client))
        return client

    first = connect()
    network.run()
    first.transport.abortConnection()
    connect()
    network.run()
    assert (stage.connections.peak, stage.connections.total) == (1, 2)


async def test_nor_does_it_over_sockets(reactor: Any) -> None:
    async with FaultServer(reactor, Hold()) as server:
        # The server finds both connections at once, in the same turn; the first one is closed already.
        with socket.create_connection(("127.0.0.1", server.port)):
            pass
        with socket.create_connection(("127.0.0.1", server.port)):
            while server.connections.total < 2:
                await deferLater(reactor, 0)
            assert server.connections.peak == 1


def ask(network: MemoryNetwork, stage: Stage) -> Client:
    client: Client = network.result(connecting(network, stage.host, stage.port))
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    return client


def test_an_hour_takes_no_time() -> None:
    network = MemoryNetwork()
    client = ask(network, network.serve("host", [Drip(b"x" * 360, 1, 10), Close()]))
    network.advance(1795)
    assert len(client.data) == 180
    network.advance(1795)
    assert (len(client.data), client.end is None) == (360, False)
    assert network.seconds() == 3590


def test_a_result_is_waited_for_in_the_networks_time() -> None:
    network = MemoryNetwork()
    client = ask(network, network.serve("host", Drip(b"abc", 1, 60)))
    assert network.result(client.until(3)) == b"abc"
    assert network.seconds() == 120


def test_what_never_comes_is_an_error_and_no_endless_wait() -> None:
    network = MemoryNetwork()
    with pytest.raises(AssertionError, match="no result"):
        network.result(Deferred())
    network.callLater(7200, bool)
    with pytest.raises(AssertionError, match="no result"):
        network.result(Deferred())
    assert network.seconds() < 7200


def test_what_is_without_end_is_an_error_and_no_endless_loop() -> None:
    network = MemoryNetwork()

    def again() -> None:
        network.turn(again)

    again()
    with pytest.raises(RuntimeError, match="still busy"):
        network.run()


def test_a_cooperator_of_this_clock_comes_to_its_end() -> None:
    network = MemoryNetwork()
    cooperator = Cooperator(scheduler=lambda step: network.callLater(0.00000001, step))
    found: list[Any] = []
    cooperator.cooperate(iter(range(1000))).whenDone().addCallback(found.append)
    network.run()
    assert len(found) == 1
    assert network.seconds() < 0.001


def test_calls_from_threads_come_in_a_turn_of_their_own() -> None:
    network = MemoryNetwork()
    found: list[int] = []
    network.callFromThread(found.append, 1)
    assert found == []
    network.run()
    assert found == [1]
