"""Names and their addresses: dead ones, many, of either kind, or none."""

from __future__ import annotations

from typing import Any

import pytest

from pulp_dl import Timeouts
from pulp_dl.errors import ConnectFailed, TimedOut
from pulp_dl.protocols.http.addresses import AT_ONCE
from pulp_dl.testing import MemoryNetwork, answer
from tests.memory import World, world

URL = "http://a.example/"
DEAD = [f"198.51.100.{number}" for number in range(1, 101)]


def named(here: World, *addresses: str) -> MemoryNetwork:
    """All these addresses are of one name; those of C{DEAD} never answer."""
    here.network.names["a.example"] = [*addresses]
    here.network.silent.update(DEAD)
    return here.network


def test_a_dead_address_costs_a_moment() -> None:
    with world() as here:
        here.serve("192.0.2.77", answer(b"x"), port=80)
        network = named(here, DEAD[0], "192.0.2.77")

        assert here.get(URL) == b"x"
        assert network.seconds() < 1


def test_a_name_may_have_addresses_of_ipv6_only() -> None:
    with world() as here:
        here.serve("2001:db8::7", answer(b"x"), port=80)
        named(here, "2001:db8::7")

        assert here.get(URL) == b"x"


def test_all_of_a_hundred_addresses_are_tried_and_not_all_at_once() -> None:
    with world(timeouts=Timeouts(connect=60)) as here:
        here.serve("192.0.2.77", answer(b"x"), port=80)
        network: Any = named(here, *DEAD, "192.0.2.77")
        connect, peak = network.connectTCP, 0
        trying: list[Any] = []

        def counting(*args: Any, **how: Any) -> Any:
            nonlocal peak
            connector = connect(*args, **how)
            trying.append(connector)
            peak = max(peak, sum(each._connecting for each in trying))
            return connector

        network.connectTCP = counting

        assert here.get(URL) == b"x"
        assert network.seconds() < 32
        assert len(trying) == 101
        assert peak < 2 * AT_ONCE  # sums of floats may bring the next one a moment early


@pytest.mark.parametrize("count", [1, 2, AT_ONCE + 1, 20, 100])
def test_however_many_are_dead_it_ends_in_time_and_nothing_is_left(count: int) -> None:
    with world(timeouts=Timeouts(connect=10)) as here:
        network = named(here, *DEAD[:count])
        here.error(TimedOut, URL)

        assert 9 < network.seconds() < 11


def test_the_addresses_of_earlier_connections_do_not_count() -> None:
    with world(timeouts=Timeouts(connect=10)) as here:
        here.serve("192.0.2.77", answer(b"x", headers=((b"Connection", b"close"),)), port=80)
        network = named(here, "192.0.2.77")
        for _ in range(2 * AT_ONCE):
            assert here.get(URL) == b"x"
        began = network.seconds()
        network.silent.add("192.0.2.77")
        here.error(TimedOut, URL)

        assert 9 < network.seconds() - began < 11


def test_a_name_without_an_address_is_told_so_at_once() -> None:
    with world() as here:
        network = named(here)
        error = here.error(ConnectFailed, URL)

        assert "does not resolve" in error.message
        assert network.seconds() < 1


def test_a_name_server_that_is_silent_ends_with_the_connect_limit() -> None:
    with world(timeouts=Timeouts(connect=10)) as here:
        network: Any = here.network
        network.resolveHostName = lambda receiver, *_, **__: receiver.resolutionBegan(None)
        error = here.error(TimedOut, URL)

        assert error.phase == "connect"
