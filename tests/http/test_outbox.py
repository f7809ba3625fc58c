"""Requests of one turn go out together, and none that nobody wants any more."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pulp_dl.errors import ConnectFailed, ProtocolError
from pulp_dl.protocols.http.connection import HTTPConnection
from pulp_dl.protocols.http.outbox import TOGETHER, Outbox
from tests.http.lines import ASK, HELLO, URL, error, result
from tests.sinks import Sink


class Bench:
    """Some connections with one outbox."""

    def __init__(self, number: int) -> None:
        self.clock = Clock()
        self.outbox = outbox = Outbox(self.clock)
        self.gone: list[HTTPConnection] = []
        self.transports = [StringTransport() for _ in range(number)]
        self.connections = [
            HTTPConnection(self.clock, lambda _: None, self.gone.append, outbox=outbox) for _ in range(number)
        ]
        for connection, transport in zip(self.connections, self.transports, strict=True):
            make: Any = connection
            make.makeConnection(transport)

    def ask(self, number: int) -> Any:
        return self.connections[number].request(ASK, b"GET", URL)

    def close(self, number: int) -> None:
        """As a reactor does, in the turn after the abort."""
        assert self.transports[number].disconnected
        self.connections[number].connectionLost(Failure(ConnectionAborted()))

    @property
    def sent(self) -> list[bytes]:
        return [transport.value() for transport in self.transports]


def test_requests_of_one_turn_go_out_together_in_the_next() -> None:
    bench = Bench(3)
    bench.ask(0)
    bench.ask(1)
    assert bench.sent == [b"", b"", b""]
    assert len(bench.clock.getDelayedCalls()) == 1
    bench.clock.advance(0)
    assert bench.sent == [ASK, ASK, b""]
    bench.ask(2)
    assert bench.sent == [ASK, ASK, b""]
    bench.clock.advance(0)
    assert bench.sent == [ASK, ASK, ASK]
    assert bench.clock.getDelayedCalls() == []


def test_of_a_crowd_some_go_out_in_each_turn_in_the_order_of_asking() -> None:
    bench = Bench(2 * TOGETHER + 1)
    turns: list[list[bytes]] = []

    def look() -> None:
        turns.append(bench.sent)
        if len(turns) < 3:
            bench.clock.callLater(0, look)

    for number in reversed(range(len(bench.connections))):
        bench.ask(number)
    bench.clock.callLater(0, look)
    bench.clock.advance(0)
    assert [turn.count(ASK) for turn in turns] == [TOGETHER, 2 * TOGETHER, 2 * TOGETHER + 1]
    assert turns[0][-TOGETHER:] == [ASK] * TOGETHER
    assert bench.clock.getDelayedCalls() == []


def test_what_comes_before_a_request_went_out_is_no_answer_to_it() -> None:
    """As a server says 408 to a connection that has idled for long, in the moment in which it is used again."""
    bench = Bench(1)
    connection = bench.connections[0]
    first = bench.ask(0)
    bench.clock.advance(0)
    connection.dataReceived(HELLO)
    first.addCallback(lambda answer: answer.abandon())
    second = bench.ask(0)
    connection.dataReceived(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert not second.called, "before its place is free"
    second.addBoth(lambda failure: [failure, *bench.gone])
    bench.close(0)
    failure, *gone = result(second)
    assert "before it was asked" in str(failure.value)
    assert failure.check(ConnectFailed)
    assert gone == [connection]
    assert connection.silent, "so it is asked again, and not blamed"
    assert connection.reused
    bench.clock.advance(0)
    assert bench.sent == [ASK]
    assert bench.clock.getDelayedCalls() == []


def test_who_answers_before_it_is_asked_is_heard_and_asked_no_more() -> None:
    """As a server says 503 to whom it has no room for, as soon as that connects."""
    bench = Bench(1)
    first = bench.ask(0)
    bench.connections[0].dataReceived(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    assert result(first).status == 503
    result(first).abandon()
    assert not bench.connections[0].usable()
    bench.clock.advance(0)
    assert bench.sent == [b""]
    assert bench.transports[0].disconnected


def test_nor_is_who_has_not_come_to_the_end_of_that_answer() -> None:
    bench = Bench(1)
    first = bench.ask(0)
    bench.connections[0].dataReceived(b"HTTP/1.1 503 Busy\r\nContent-Length: 1\r\n\r\n")
    bench.clock.advance(0)
    assert bench.sent == [b""]
    sink = Sink()
    delivery = result(first).deliver(sink)
    bench.connections[0].dataReceived(b"x")
    assert delivery.called
    assert sink.data == b"x"
    assert not bench.connections[0].usable()


@pytest.mark.parametrize(
    "begun",
    [
        b"HT",
        b"HTTP/1.1 503 Busy\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\n",
    ],
)
def test_who_only_begins_to_answer_before_it_is_asked_is_not_waited_for(begun: bytes) -> None:
    """Nothing was asked that could be answered; and to ask now would make two answers of one."""
    bench = Bench(1)
    asking = bench.connections[0].request(ASK, b"GET", URL, 60)
    bench.connections[0].dataReceived(begun)
    bench.clock.advance(0)
    assert bench.sent == [b""]
    assert bench.clock.getDelayedCalls() == []
    bench.close(0)
    assert "before it was asked" in str(error(asking, ConnectFailed))


def asked_again(bench: Bench) -> Any:
    """A second request, on the connection of one that went well."""
    first = bench.ask(0)
    bench.clock.advance(0)
    bench.connections[0].dataReceived(HELLO)
    result(first).abandon()
    assert bench.connections[0].usable()
    second = bench.ask(0)
    bench.clock.advance(0)
    return second


@pytest.mark.parametrize("status", [408, 503])
def test_after_an_answer_in_haste_nothing_is_asked_there_any_more(status: int) -> None:
    """It may have crossed the request, whose answer would become that of the next one."""
    bench = Bench(1)
    first = bench.ask(0)
    bench.clock.advance(0)
    bench.connections[0].dataReceived(b"HTTP/1.1 %d Hasty\r\nContent-Length: 0\r\n\r\n" % status)
    assert result(first).status == status
    result(first).abandon()
    assert not bench.connections[0].usable()
    assert bench.transports[0].disconnected


@pytest.mark.parametrize(("status", "usable"), [(400, True), (429, True), (500, True), (503, False)])
def test_nor_on_one_that_was_used_before(status: int, usable: bool) -> None:
    """A 400 is an answer, too, if the connection is kept behind it."""
    bench = Bench(1)
    second = asked_again(bench)
    bench.connections[0].dataReceived(b"HTTP/1.1 %d Busy\r\nContent-Length: 0\r\n\r\n" % status)
    assert result(second).status == status
    result(second).abandon()
    assert bench.connections[0].usable() is usable


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad",
        b"HTTP/1.0 400 Bad Request\r\n\r\nbad",
    ],
)
def test_what_is_said_to_who_idles_and_crosses_a_request_is_no_answer_to_it(said: bytes) -> None:
    """The request was not seen; whoever gets this on a fresh connection is meant."""
    bench = Bench(1)
    second = asked_again(bench)
    bench.connections[0].dataReceived(said)
    bench.close(0)
    assert "before it was asked" in str(error(second, ConnectFailed))
    assert bench.connections[0].silent, "so it is asked again, and not blamed"
    assert bench.connections[0].reused

    fresh = Bench(1)
    first = fresh.ask(0)
    fresh.clock.advance(0)
    fresh.connections[0].dataReceived(said)
    assert result(first).status in {400, 408}
    result(first).abandon()


def test_who_speaks_first_on_a_fresh_connection_is_no_server_of_HTTP() -> None:
    bench = Bench(1)
    asking = bench.ask(0)
    bench.connections[0].dataReceived(b"220 ready when you are\r\n")
    bench.close(0)
    assert "does not begin as an answer" in str(error(asking, ProtocolError))


def test_a_request_that_was_cancelled_meanwhile_is_not_sent() -> None:
    bench = Bench(2)
    first, _ = bench.ask(0), bench.ask(1)
    first.cancel()
    bench.clock.advance(0)
    assert bench.sent == [b"", ASK]
    first.addErrback(lambda failure: failure.trap(CancelledError))


@pytest.mark.parametrize("first", [0, 1])
def test_a_connection_that_was_lost_meanwhile_holds_nobody_up(first: int) -> None:
    bench = Bench(2)
    asked = [bench.ask(first), bench.ask(1 - first)]
    lost: Any = bench.connections[first]
    lost.connectionLost()
    failed: list[Any] = []
    asked[0].addErrback(failed.append)
    bench.clock.advance(0)
    assert failed[0].check(ConnectFailed)
    assert bench.sent[first] == b""
    assert bench.sent[1 - first] == ASK


def test_one_that_is_closed_sends_nothing_and_leaves_no_timer() -> None:
    bench = Bench(2)
    bench.ask(0)
    bench.outbox.close()
    assert bench.clock.getDelayedCalls() == []
    bench.clock.advance(0)
    assert bench.sent == [b"", b""]
    bench.outbox.close()
    bench.ask(1)
    bench.clock.advance(0)
    assert bench.sent == [b"", ASK]
