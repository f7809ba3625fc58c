"""What is known of the hosts on which lists were found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.interfaces import IReactorTCP, IReactorTime

from pulp_dl import Proxy, Remote, Source
from pulp_dl.engine.shared import Shared
from pulp_dl.protocols.spaces import HOMES, Bounded, Homes, Space
from pulp_dl.testing import MemoryNetwork
from pulp_dl.urls import parse

PLACE = parse("http://public.example/list")

Make = Callable[..., Homes]


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
def homes(network: MemoryNetwork) -> Iterator[Make]:
    """Makes what the fetchers of one Downloader know, each for a Remote with these settings."""
    shared = Shared(network, Remote(), None)

    def make(**settings: Any) -> Homes:
        return Homes(network, Remote(**settings), shared)

    yield make
    network.result(shared.close())


def test_a_host_that_answered_while_it_was_looked_up_is_no_closer_than_its_answer(
    network: MemoryNetwork, homes: Make
) -> None:
    """A name server that is asked twice may say two things (DNS rebinding)."""
    network.names["public.example"] = ["127.0.0.1"]
    ours = homes()
    looking = ours.space(PLACE)
    ours.learn(PLACE, "8.8.8.8")

    assert network.result(looking) is Space.PUBLIC
    assert network.result(ours.space(PLACE)) is Space.PUBLIC


def test_what_answered_through_a_proxy_was_the_proxy(network: MemoryNetwork, homes: Make) -> None:
    """So its address says nothing of the host, and only what a URL says of itself is known."""
    network.names["public.example"] = ["127.0.0.1"]
    proxied = homes(proxy=Proxy("http://proxy.example:3128/"))
    proxied.learn(PLACE, "8.8.8.8")

    assert network.result(homes().space(PLACE)) is Space.MACHINE
    assert network.result(proxied.space(PLACE)) is Space.PUBLIC
    assert network.result(proxied.space(parse("http://10.0.0.1/list"))) is Space.PRIVATE


def test_behind_a_proxy_that_looks_up_no_names_it_is_found_out_here(network: MemoryNetwork, homes: Make) -> None:
    network.names["public.example"] = ["10.0.0.1"]
    ours = homes(proxy=Proxy("socks5://proxy.example/"))

    assert network.result(ours.space(PLACE)) is Space.PRIVATE
    ours.learn(PLACE, "8.8.8.8")
    assert network.result(ours.space(PLACE)) is Space.PUBLIC
    assert network.result(homes().space(PLACE)) is Space.PUBLIC


def test_an_answer_from_no_address_says_nothing(network: MemoryNetwork, homes: Make) -> None:
    """As from a socket of this machine that has a path."""
    network.names["public.example"] = ["10.0.0.1"]
    homes().learn(PLACE, "/run/socket")

    assert network.result(homes().space(PLACE)) is Space.PRIVATE


def test_those_that_nobody_asks_for_are_forgotten_first(network: MemoryNetwork, homes: Make) -> None:
    """A list that names any number of hosts drives out none that is in use, its own."""
    places = [parse(f"http://host{number}.example/") for number in range(HOMES + 1)]
    network.names.update({place.host: ["127.0.0.1"] for place in places})
    ours = homes()

    def space(number: int) -> Space:
        return network.result(ours.space(places[number]))

    for place in places[:-1]:
        ours.learn(place, "8.8.8.8")
    assert space(0) is Space.PUBLIC
    ours.learn(places[-1], "8.8.8.8")
    assert [space(0), space(HOMES), space(2), space(1)] == [Space.PUBLIC] * 3 + [Space.MACHINE]


def test_what_this_machine_names_may_be_anywhere(network: MemoryNetwork, homes: Make) -> None:
    """So nothing has to be judged."""
    for scope, floor in (("http://127.0.0.1/", None), ("http://10.0.0.1/", Space.PRIVATE)):
        source = Source("ftp://elsewhere.example/a", scope=scope, found=True)
        assert network.result(homes().floor(source)) is floor


def test_a_bounded_reactor_is_whatever_the_reactor_is(network: MemoryNetwork) -> None:
    bounded = Bounded(network, Space.PUBLIC)
    assert IReactorTCP.providedBy(network)
    assert IReactorTCP.providedBy(bounded)
    assert IReactorTime.providedBy(bounded)
