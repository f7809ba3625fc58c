"""Who comes in, and how many of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pulp_dl.streamer.entrance import PATIENCE, REFUSED, ConnectionLimits, Entrance

GONE = Failure(ConnectionDone())


class Welcoming(Factory):
    """Keeps who is in."""

    def __init__(self) -> None:
        self.inside: set[Any] = set()
        self.heard = b""

    def buildProtocol(self, _address: Any) -> Protocol:
        factory = self

        class Inside(Protocol):
            def connectionMade(self) -> None:
                factory.inside.add(self)

            def dataReceived(self, data: bytes) -> None:
                factory.heard += data

            def connectionLost(self, reason: Failure = GONE) -> None:
                factory.inside.discard(self)

        return Inside()


def come(entrance: Entrance, host: str = "192.0.2.1") -> Any:
    address: Any = UNIXAddress(b"/socket") if host == "unix" else IPv4Address("TCP", host, 1)
    if ":" in host:
        address = IPv6Address("TCP", host, 1)
    protocol = entrance.buildProtocol(address)
    if protocol is not None:
        protocol.makeConnection(StringTransport())
    return protocol


hosts = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "unix"])
moves = st.lists(
    st.one_of(st.tuples(st.just("come"), hosts), st.tuples(st.just("go"), st.integers(0, 20))), max_size=60
)


def neighbourhood(host: str) -> str:
    return host[:-1] if host.startswith("2001:db8::") else host


@given(moves=moves, total=st.integers(1, 8), each=st.integers(1, 4))
def test_whoever_comes_and_goes_there_are_never_more_inside_than_there_may_be(
    moves: list[tuple[str, Any]], total: int, each: int
) -> None:
    clock, welcoming = Clock(), Welcoming()
    entrance = Entrance(clock, welcoming, ConnectionLimits(total=total, per_client=each))
    open_: list[tuple[str, Any]] = []
    for move, what in moves:
        if move == "come":
            before = len(welcoming.inside)
            mine = sum(neighbourhood(host) == neighbourhood(what) for host, who in open_ if who is not None)
            who = come(entrance, what)
            let_in = len(welcoming.inside) > before
            assert let_in == (before < total and mine < each)
            open_.append((what, who if let_in else None))
            if not let_in and who is not None:
                who.connectionLost(GONE)
        elif open_:
            _, who = open_.pop(what % len(open_))
            if who is not None:
                who.connectionLost(GONE)
        assert entrance.connections == len(welcoming.inside) <= total

    for _, who in open_:
        if who is not None:
            who.connectionLost(GONE)
    assert entrance.connections == 0
    assert welcoming.inside == set()
    assert clock.getDelayedCalls() == []


def test_who_is_refused_is_told_when_it_asks_and_not_waited_for() -> None:
    clock = Clock()
    entrance = Entrance(clock, Welcoming(), ConnectionLimits(total=1))
    come(entrance)
    asking, silent = come(entrance), come(entrance)
    asking.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
    clock.advance(PATIENCE)

    assert asking.transport.value().startswith(b"HTTP/1.1 503 ")
    assert b"\r\nDate: " in asking.transport.value()
    assert asking.transport.disconnecting
    assert silent.transport.value() == b""
    assert silent.transport.disconnected
    for each in (asking, silent):
        each.connectionLost(GONE)
    assert clock.getDelayedCalls() == []


def test_a_crowd_is_not_told_one_by_one() -> None:
    entrance = Entrance(Clock(), Welcoming(), ConnectionLimits(total=1))
    come(entrance)
    refused = [come(entrance) for _ in range(REFUSED + 10)]

    assert [each is None for each in refused] == [False] * REFUSED + [True] * 10
    assert entrance.refused["total"] == REFUSED + 10
    refused[0].connectionLost(GONE)
    assert come(entrance) is not None


def test_what_comes_goes_to_the_one_inside() -> None:
    welcoming = Welcoming()
    entrance = Entrance(Clock(), welcoming, ConnectionLimits())
    come(entrance).dataReceived(b"hello")

    assert welcoming.heard == b"hello"


@pytest.mark.parametrize("values", [{"total": 0}, {"per_client": 0}])
def test_a_limit_of_nobody_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        ConnectionLimits(**values)
