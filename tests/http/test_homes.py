"""What is known of the hosts on which lists were found."""

from __future__ import annotations

from pulp_dl import Remote
from pulp_dl.engine.shared import Shared
from pulp_dl.protocols.spaces import Homes, Space
from pulp_dl.testing import MemoryNetwork
from pulp_dl.urls import parse

PLACE = parse("http://public.example/list")


def test_a_host_that_answered_while_it_was_looked_up_is_no_closer_than_its_answer() -> None:
    """A name server that is asked twice may say two things (DNS rebinding)."""
    network = MemoryNetwork()
    network.names["public.example"] = ["127.0.0.1"]
    remote = Remote()
    shared = Shared(network, remote, None)
    homes = Homes(network, remote, shared)
    looking = homes.space(PLACE)
    homes.learn(PLACE, "8.8.8.8")

    assert network.result(looking) is Space.PUBLIC
    assert network.result(homes.space(PLACE)) is Space.PUBLIC
    network.result(shared.close())
