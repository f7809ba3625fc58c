"""Whoever asks, and how often: no connection carries the requests of two identities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import gatherResults

from pulp_dl import Basic, Limits, Proxy, Remote, Retries, Source, ToMemory
from pulp_dl.testing import ESTABLISHED, Forward, OnConnect, Request, Tunnel, answer
from pulp_dl.testing.strategies import identities
from tests.memory import TRUST, asking, client, world

CERTIFICATES = {"alice": client("alice"), "bob": client("bob")}
SERVER = asking("s.example")
WHO = identities([*CERTIFICATES.values(), TRUST])
PROXY = "http://proxy.example:3128"


def shown(request: Request) -> tuple[Any, ...]:
    """By what a server, or a proxy, tells one from another."""
    certificate: Any = request.certificate
    fields = (b"authorization", b"x-auth-token", b"proxy-authorization")
    return None if certificate is None else certificate.serial_number, *map(request.get, fields)


def meant(who: Mapping[str, Any]) -> tuple[bytes | None, bytes | None]:
    """What a server has to be shown of it, but for the certificate."""
    token: str | None = who["headers"].get("X-Auth-Token")
    return who["auth"].header if "auth" in who else None, None if token is None else token.encode()


@given(
    everybody=st.lists(WHO, min_size=1, max_size=4),
    rounds=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=3),
    tls=st.booleans(), limit=st.integers(1, 4), path=st.sampled_from(["/a", "/b?c"]),
)  # fmt: skip
def test_whatever_identities_share_a_pool_each_has_connections_of_its_own(
    everybody: list[Mapping[str, Any]], rounds: list[list[int]], tls: bool, limit: int, path: str
) -> None:
    """In each round some of them ask at once; connections idle between, and some ask nobody but the pool."""
    limits = Limits(connections=limit, per_host=limit)
    remotes = [Remote(**who, retries=Retries(count=0)) for who in everybody]
    with world(limits=limits, tls=TRUST) as here:
        server = here.serve("s.example", answer(b"x"), tls=SERVER if tls else None)
        expected = []
        for each in rounds:
            asking_: list[Any] = []
            for number in each:
                which = number % len(everybody)
                expected.append((f"{path}{which}", meant(everybody[which])))
                source = Source(server.url(f"{path}{which}"), remote=remotes[which])
                asking_.append(here.downloader.download(source, ToMemory()))
            here.network.result(gatherResults(asking_))
        assert server.connections.peak <= limit

    by_connection: dict[int, set[Any]] = {}
    for request in server.requests:
        by_connection.setdefault(request.connection, set()).add(shown(request))
    assert all(len(each) == 1 for each in by_connection.values()), "somebody rode on the connection of somebody else"
    told = [(request.target, shown(request)[1:3]) for request in server.requests]
    assert sorted(map(repr, told)) == sorted(map(repr, expected))
    if tls:
        for request in server.requests:
            who = everybody[int(request.target[-1])]
            assert (request.certificate is None) is (who["tls"] is TRUST)


@given(
    users=st.lists(st.sampled_from([None, Basic("alice", "1"), Basic("bob", "2")]), min_size=1, max_size=3),
    order=st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6),
)
def test_and_so_it_is_at_a_proxy(users: list[Basic | None], order: list[tuple[int, bool]]) -> None:
    """Through which they also come to the same server, by a tunnel or without."""
    with world(tls=TRUST) as here:
        servers = here.serve("a.example", answer(b"x")), here.serve("s.example", answer(b"x"), tls=SERVER)
        proxy = here.serve("proxy.example", OnConnect([ESTABLISHED, Tunnel()], Forward()), port=3128)
        for number, secure in order:
            user = users[number % len(users)]
            remote = Remote(tls=TRUST, proxy=Proxy(PROXY, user), retries=Retries(count=0))
            assert here.get(Source(servers[secure].url("/"), remote=remote)) == b"x"

    by_connection: dict[int, set[Any]] = {}
    for request in proxy.requests:
        by_connection.setdefault(request.connection, set()).add(request.get(b"proxy-authorization"))
    assert all(len(each) == 1 for each in by_connection.values())
    for server in servers:
        assert all(request.get(b"proxy-authorization") is None for request in server.requests)


@pytest.mark.parametrize(
    "one", [{"auth": Basic("a", "1")}, {"headers": {"X-Auth-Token": "1"}}, {"tls": CERTIFICATES["alice"]}]
)
def test_who_is_somebody_and_who_is_nobody_share_none(one: dict[str, Any]) -> None:
    with world(tls=TRUST) as here:
        server = here.serve("s.example", answer(b"x"), tls=SERVER)
        for settings in ({"tls": TRUST, **one}, {"tls": TRUST}) * 2:
            here.get(Source(server.url("/"), remote=Remote(**settings, retries=Retries(count=0))))

        assert server.connections.total == 2
