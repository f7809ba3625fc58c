"""Scripts for proxies and for handshakes are played over sockets and in memory, and over TLS."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from pulp_dl.testing import (
    ESTABLISHED,
    Alert,
    Close,
    Forward,
    Hold,
    OnConnect,
    Request,
    Reset,
    Send,
    ServerTLS,
    StartTLS,
    Tunnel,
    answer,
)
from pulp_dl.testing.script import Join, acts
from tests.testing.stages import Client, Memory, World
from tests.testing.test_players_tls import trusting

BIG = bytes(range(256)) * 8000
PROXY = OnConnect([ESTABLISHED, Tunnel()], Forward())


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def identity(ca: trustme.CA, clients: bytes | None = None) -> ServerTLS:
    return ServerTLS(ca.issue_cert("127.0.0.1", "host0", "host1").private_key_and_cert_chain_pem.bytes(), clients)


async def through(world: World, proxy: Any, server: Any, tls: Any = None) -> Client:
    """A client that has a tunnel to the server."""
    client = await world.connect(proxy, tls)
    client.transport.write(b"CONNECT %b:%d HTTP/1.1\r\n\r\n" % (server.host.encode(), server.port))
    assert await world.wait(client.until(len(ESTABLISHED.data))) == ESTABLISHED.data
    return client


@pytest.mark.parametrize("over_tls", [False, True])
async def test_a_tunnel_carries_everything_both_ways(world: World, ca: trustme.CA, over_tls: bool) -> None:
    server = world.serve(answer(BIG))
    proxy = world.serve(PROXY, tls=identity(ca) if over_tls else None)
    client = await through(world, proxy, server, trusting(ca, proxy.host) if over_tls else None)
    for number in (1, 2):
        client.transport.write(b"GET /a HTTP/1.1\r\nX: %b\r\n\r\n" % (b"x" * 100_000))
        size = len(ESTABLISHED.data) + number * len(BIG)
        await world.until(lambda: len(client.data) > size)  # noqa: B023  # it is over before the next one
        await world.until(lambda: client.data.endswith(BIG))

    assert [len(request.raw) > 100_000 for request in server.requests] == [True, True]
    assert {request.connection for request in server.requests} == {0}
    assert len(proxy.requests) == 1
    assert (proxy.connections.open, server.connections.open) == (1, 1)


@pytest.mark.parametrize(("end", "kind"), [(Close(), ConnectionDone), (Reset(), ConnectionLost)])
async def test_a_tunnel_ends_as_its_far_end_does(world: World, end: Any, kind: type[Exception]) -> None:
    server, proxy = world.serve([Send(BIG), end]), world.serve(PROXY)
    client = await through(world, proxy, server)
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    await world.wait(client.until(None))

    assert client.end is not None
    assert client.end.type is kind
    if end == Close():
        assert client.data.endswith(BIG)
    await world.until(lambda: proxy.connections.open == server.connections.open == 0)


@pytest.mark.parametrize("end", ["loseConnection", "abortConnection"])
async def test_a_tunnel_ends_as_its_near_end_does(world: World, end: str) -> None:
    server, proxy = world.serve(Hold()), world.serve(PROXY)
    client = await through(world, proxy, server)
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    await world.until(lambda: bool(server.requests))
    getattr(client.transport, end)()
    await world.until(lambda: proxy.connections.open == server.connections.open == 0)


async def test_a_tunnel_to_nobody_is_reset(world: World) -> None:
    proxy = world.serve([ESTABLISHED, Tunnel(to=("127.0.0.1", 1))])
    client = await world.ask(proxy, "host0:1", method=b"CONNECT")
    await world.wait(client.until(None))

    assert client.end is not None
    assert client.end.type is ConnectionLost


async def test_a_tunnel_may_lead_elsewhere_than_it_was_asked_to(world: World) -> None:
    server = world.serve([Send(b"caught"), Close()])
    proxy = world.serve(OnConnect([ESTABLISHED, Tunnel(to=(server.host, server.port))]))
    client = await world.ask(proxy, "bank.example:443", method=b"CONNECT")
    await world.wait(client.until(len(ESTABLISHED.data)))
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")

    assert (await world.wait(client.until(None))).endswith(b"caught")


async def test_a_tunnel_that_is_torn_down_leaves_nothing(world: World) -> None:
    server, proxy = world.serve(Hold()), world.serve(PROXY)
    client = await through(world, proxy, server)
    await world.until(lambda: server.connections.open == 1)
    await world.wait(proxy.abort())
    await world.wait(client.until(None))
    await world.until(lambda: server.connections.open == 0)


async def test_what_is_asked_in_full_is_asked_of_the_server(world: World) -> None:
    """In origin-form, and without what was meant for the proxy."""
    server, proxy = world.serve(answer(b"from afar")), world.serve(PROXY)
    client = await world.ask(proxy, server.url("/a?b"), b"Proxy-Authorization: x\r\nX-Other: y\r\nConnection: z\r\n")
    assert (await world.wait(client.until(None))).endswith(b"from afar")
    (request,) = server.requests

    assert (request.method, request.target) == ("GET", "/a?b")
    assert [name for name, _ in request.headers] == [b"Host", b"X-Other", b"Connection"]
    assert request.get(b"connection") == b"close"


@pytest.mark.parametrize(
    ("step", "target", "join"),
    [
        (Tunnel(), "h:1", ("h", 1)),
        (Tunnel(), "[::1]:443", ("::1", 443)),
        (Tunnel(to=("x", 2)), "h:1", ("x", 2)),
        (Forward(), "http://h/a", ("h", 80)),
        (Forward(), "http://[::1]:81", ("::1", 81)),
    ],
)
def test_where_to_is_read_from_the_request(step: Any, target: str, join: tuple[str, int]) -> None:
    (act,) = acts(step, Request("GET", target))

    assert isinstance(act, Join)
    assert (act.host, act.port) == join


# ---- TLS


async def test_tls_may_begin_in_the_middle(world: World, ca: trustme.CA) -> None:
    """Behind a proxy that plays the server itself: what is asked inside is on the same connection."""
    elmer = ca.issue_cert("elmer@example.org", common_name="elmer").private_key_and_cert_chain_pem.bytes()
    inside = identity(ca, ca.cert_pem.bytes())
    proxy = world.serve(OnConnect([ESTABLISHED, StartTLS(inside)], answer(b"inside")), tls=identity(ca))
    client = await through(world, proxy, proxy, trusting(ca, proxy.host))
    within = Client()
    factory = TLSMemoryBIOFactory(
        trusting(ca, "host0", elmer), True, Factory.forProtocol(lambda: within), world.reactor
    )
    tls: Any = factory.buildProtocol(None)
    client.dataReceived, client.connectionLost = tls.dataReceived, tls.connectionLost
    tls.makeConnection(client.transport)
    within.transport.write(b"GET /a HTTP/1.1\r\n\r\n")
    await world.until(lambda: within.data.endswith(b"inside"))

    assert [request.method for request in proxy.requests] == ["CONNECT", "GET"]
    assert {request.connection for request in proxy.requests} == {0}
    certificate: Any = proxy.requests[1].certificate
    assert "CN=elmer" in certificate.subject.rfc4514_string()
    assert proxy.requests[0].certificate is None
    assert proxy.connections.total == 1
    assert proxy.connections.open == 1
    client.transport.abortConnection()
    await world.wait(within.until(None))
    client.end = within.end
    await world.until(lambda: proxy.connections.open == 0)


async def test_a_handshake_may_be_late_and_the_script_goes_on_in_it(ca: trustme.CA) -> None:
    world = Memory()
    stage = world.serve(answer(b"x"), greeting=[Hold("late"), StartTLS(identity(ca)), Send(b"welcome")])
    client = await world.connect(stage, trusting(ca, stage.host))
    await world.settle()
    assert client.data == b""
    stage.release("late")

    assert await world.wait(client.until(7)) == b"welcome"
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    await world.until(lambda: client.data.endswith(b"x"))
    await world.close()


async def test_an_alert_is_one(ca: trustme.CA) -> None:
    world = Memory()
    stage = world.serve(answer(b"x"), greeting=[Hold("hello"), Alert(40), Close()])
    client = await world.connect(stage, trusting(ca, stage.host))
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    await world.settle()
    stage.release("hello")
    await world.wait(client.until(None))

    assert client.end is not None
    assert "handshake failure" in str(client.end.value)
    assert stage.requests == []
    await world.close()
