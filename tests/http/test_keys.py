"""Whose connections can stand in for whose: every difference that a server or a proxy could see is one of the key."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import trustme
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from pulp_dl import TLS, Basic, Proxy, Remote, Source
from pulp_dl.engine.shared import Shared
from pulp_dl.errors import ConnectFailed, DownloadError, RedirectRefused
from pulp_dl.protocols.http import HTTPFetcher
from pulp_dl.protocols.http.fetcher import ORIGINS
from pulp_dl.protocols.http.gates import Gates
from pulp_dl.protocols.http.pool import HTTPConnectionPool, PoolKey
from pulp_dl.protocols.http.proxy import Route, route
from pulp_dl.protocols.http.redirect import Trail
from pulp_dl.protocols.spaces import Space
from pulp_dl.urls import parse
from tests.http.conftest import trusting

GATE = "http://gate.example:3128"


def to(url: str, *, inside: bool = True, **settings: Any) -> Route:
    return route(None, Remote(**settings), parse(url), inside=inside, gates=Gates(Clock()))


def test_whatever_differs_has_a_key_of_its_own(ca: trustme.CA) -> None:
    trust, other = trusting(ca), trusting(trustme.CA())
    who = ca.issue_cert("client").private_key_and_cert_chain_pem.bytes()
    certificate = trusting(ca, cert=who, key=who)
    auth = Basic("user", "password")
    ways = {
        "http": to("http://a.example/"),
        "another host": to("http://b.example/"),
        "another port": to("http://a.example:81/"),
        "https": to("https://a.example/"),
        "https on the port of http": to("https://a.example:80/"),
        "a private trust": to("https://a.example/", tls=trust),
        "another trust": to("https://a.example/", tls=other),
        "a certificate": to("https://a.example/", tls=certificate),
        "no check of names": to("https://a.example/", tls=TLS(verify=False)),
        "a proxy": to("http://a.example/", proxy=Proxy(GATE)),
        "another proxy": to("http://a.example/", proxy=Proxy("http://other.example:3128")),
        "who we are to it": to("http://a.example/", proxy=Proxy(GATE, auth)),
        "its own trust": to("http://a.example/", proxy=Proxy("https://gate.example:3128", tls=trust)),
        "another trust in it": to("http://a.example/", proxy=Proxy("https://gate.example:3128", tls=other)),
        "a tunnel": to("https://a.example/", proxy=Proxy(GATE)),
        "a tunnel to another host": to("https://b.example/", proxy=Proxy(GATE)),
        "a tunnel to another port": to("https://a.example:444/", proxy=Proxy(GATE)),
        "a tunnel with another trust": to("https://a.example/", proxy=Proxy(GATE), tls=trust),
        "a tunnel of another proxy": to("https://a.example/", proxy=Proxy("http://other.example:3128")),
        "a tunnel of somebody": to("https://a.example/", proxy=Proxy(GATE, auth)),
        "through SOCKS": to("http://a.example/", proxy=Proxy("socks5://gate.example:3128")),
        "through SOCKS that looks up names": to("http://a.example/", proxy=Proxy("socks5h://gate.example:3128")),
    }
    for (one, way), (another, other_way) in combinations(ways.items(), 2):
        assert way.key != other_way.key, f"{one}, {another}"


def test_what_makes_no_difference_to_the_other_end_makes_none(ca: trustme.CA) -> None:
    trust, auth = trusting(ca), Basic("user", "password")
    pairs = [
        (to("http://a.example/x?y"), to("http://a.example:80/z", tls=trust, auth=auth)),
        (to("https://a.example/x", tls=trust), to("https://a.example:443/z", tls=trusting(ca))),
        (to("http://a.example/", proxy=Proxy(GATE)), to("http://a.example:80/z", proxy=Proxy(GATE), tls=trust)),
        (to("https://a.example/", proxy=Proxy(GATE, auth)), to("https://a.example/z", proxy=Proxy(GATE, auth))),
        (to("http://a.example/"), to("http://a.example/", inside=False)),
    ]
    for one, other in pairs:
        assert one.key == other.key
        assert hash(one.key) == hash(other.key)


def test_a_stranger_gets_no_certificate_and_none_of_its_connections(ca: trustme.CA) -> None:
    who = ca.issue_cert("client").private_key_and_cert_chain_pem.bytes()
    mine = trusting(ca, cert=who, key=who)

    outside = to("https://a.example/", tls=mine, inside=False)
    assert outside.key != to("https://a.example/", tls=mine).key
    assert outside.key == to("https://a.example/", tls=mine.public()).key


def test_the_limit_for_a_host_counts_those_whom_sockets_lead_to() -> None:
    assert to("http://a.example/").key.host == to("http://a.example:80/").key.host == ("a.example", 80)
    for url in ("http://a.example/", "https://b.example/"):
        assert to(url, proxy=Proxy(GATE)).key.host == ("gate.example", 3128)


def test_who_is_told_what() -> None:
    """A proxy that reads a request has the whole URL and its own credentials; whoever is in a tunnel has neither."""
    auth = Basic("user", "password")
    read = to("http://a.example:81/x?y", proxy=Proxy(GATE, auth))
    assert (read.proxied, read.cut, read.host) == (True, 0, b"a.example:81")
    assert read.fields == ((b"Proxy-Authorization", auth.header),)
    assert to("http://a.example/", proxy=Proxy(GATE)).fields == ()

    for way, scheme in (
        (to("https://a.example:444/x?y", proxy=Proxy(GATE, auth)), "https"),
        (to("http://a.example:444/x?y", proxy=Proxy("socks5://gate.example", auth)), "http"),
        (to("http://a.example:444/x?y"), "http"),
    ):
        assert (way.proxied, way.fields, way.host) == (False, (), b"a.example:444")
        assert way.cut == len(f"{scheme}://a.example:444")


# ---- and who asks


class Asked(HTTPConnectionPool):
    """Has no connections, and writes down who would have liked which."""

    keys: list[PoolKey]

    def getConnection(self, key: PoolKey, endpoint: Any) -> Deferred[Any]:  # type: ignore[override]  # as its base
        self.keys.append(key)
        return fail(ConnectFailed("nobody is there"))


@pytest.fixture
def pool(reactor: Any, shared: Shared) -> Asked:
    pool: Asked = shared.keep("http", lambda: Asked(reactor, shared.slots, shared.timers))
    pool.keys = []
    return pool


async def key(reactor: Any, shared: Shared, source: Source | str, **settings: Any) -> PoolKey:
    """Which connection a download of this asks for."""
    fetcher = HTTPFetcher(reactor, Remote(**settings), shared)
    pool: Any = shared.keep("http", list)
    with pytest.raises(DownloadError):
        await fetcher.open(Source(source) if isinstance(source, str) else source)
    found: PoolKey = pool.keys.pop()
    return found


A = "http://a.example/x"


async def test_whoever_is_somebody_has_connections_of_its_own(reactor: Any, shared: Shared, pool: Asked) -> None:
    elmer, bugs = Basic("elmer", "pw"), Basic("bugs", "pw")
    ways = [
        await key(reactor, shared, A),
        await key(reactor, shared, A, auth=elmer),
        await key(reactor, shared, A, auth=bugs),
        await key(reactor, shared, A, headers={"X-Api-Key": "1"}),
        await key(reactor, shared, A, headers={"X-Api-Key": "2"}),
        await key(reactor, shared, A, headers={"X-Api-Key": "1"}, auth=elmer),
        await key(reactor, shared, "http://elmer:pw@a.example/x"),
        await key(reactor, shared, "http://elmer:pw@a.example/x", auth=bugs),
        await key(reactor, shared, Source(A, found=True, scope="http://c.example/")),
        await key(reactor, shared, Source(A, headers={"Authorization": "Negotiate 1"})),
        await key(reactor, shared, Source(A, headers={"authorization": "Negotiate 2"})),
        await key(reactor, shared, Source(A, headers={"Authorization": "Negotiate 1"}), auth=elmer),
    ]
    for one, other in combinations(ways, 2):
        assert one != other
    assert {each.host for each in ways} == {("a.example", 80)}


async def test_whoever_is_the_same_shares_them(reactor: Any, shared: Shared, pool: Asked) -> None:
    elmer = Basic("elmer", "pw")
    pairs = [
        (await key(reactor, shared, A), await key(reactor, shared, "http://a.example/z")),
        (await key(reactor, shared, A, auth=elmer), await key(reactor, shared, A, auth=Basic("elmer", "pw"))),
        (await key(reactor, shared, A), await key(reactor, shared, A, headers={"User-Agent": "x", "Accept": "y/z"})),
        # Out of its scope it is nobody.
        (await key(reactor, shared, A), await key(reactor, shared, A, url="http://b.example/", auth=elmer)),
        (await key(reactor, shared, A), await key(reactor, shared, Source(A, public=True), auth=elmer)),
        (await key(reactor, shared, A), await key(reactor, shared, Source(A, headers={"X-Request-Id": "1"}))),
        (
            await key(reactor, shared, A, url="http://b.example/"),
            await key(reactor, shared, Source(A, headers={"Authorization": "1"}), url="http://b.example/"),
        ),
    ]
    for one, other in pairs:
        assert one == other


async def test_an_authenticator_of_somebodys_own_is_known_by_itself(reactor: Any, shared: Shared, pool: Asked) -> None:
    class Unhashable(Basic):
        __hash__ = None  # type: ignore[assignment]

    one, other = Unhashable("elmer", "pw"), Unhashable("elmer", "pw")
    assert await key(reactor, shared, A, auth=one) == await key(reactor, shared, A, auth=one)
    assert await key(reactor, shared, A, auth=one) != await key(reactor, shared, A, auth=other)


async def test_where_it_may_lead_is_part_of_whose_connection_it_is(reactor: Any, shared: Shared, pool: Asked) -> None:
    fetcher = HTTPFetcher(reactor, Remote(), shared)
    clients = []
    for space in Space:
        trail = Trail(fetcher.remote, Source(A, found=True, scope="http://c.example/"))
        trail.begin_at(space)
        clients.append(fetcher.client(trail))
        assert fetcher.client(trail) is clients[-1]
    assert len({*map(id, clients)}) == len(Space)


async def test_what_a_proxy_is_told_to_connect_to_is_judged_by_its_name(
    reactor: Any, shared: Shared, pool: Asked
) -> None:
    found = Source("http://127.1/x", found=True)
    for proxy in ("http://gate.example:3128", "socks5h://gate.example", "socks5://gate.example"):
        fetcher = HTTPFetcher(reactor, Remote(proxy=Proxy(proxy)), shared)
        with pytest.raises(RedirectRefused) as caught:
            await fetcher.open(found)
        assert caught.value.url == "http://127.1/x"
        with pytest.raises(ConnectFailed):
            await fetcher.open(Source("http://8.8.8.8/x", found=True))
        with pytest.raises(ConnectFailed):
            await fetcher.open(Source("http://127.1/x"))
    assert len(pool.keys) == 6


def test_only_so_many_origins_are_remembered(reactor: Any, shared: Shared) -> None:
    fetcher = HTTPFetcher(reactor, Remote(), shared)
    trails = [Trail(fetcher.remote, Source(f"http://host{number}.example/")) for number in range(ORIGINS + 1)]
    clients = [fetcher.client(trail) for trail in trails[:ORIGINS]]
    assert [fetcher.client(trail) for trail in trails[:ORIGINS]] == clients
    fetcher.client(trails[ORIGINS])

    assert [fetcher.client(trail) for trail in trails[1:ORIGINS]] == clients[1:]
    assert fetcher.client(trails[0]) is not clients[0]
