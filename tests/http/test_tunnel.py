"""https through a proxy: one tunnel for many requests, who is told what, who is to blame, and what is left behind."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl.consumers.memory import ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.engine.shared import Shared
from pulp_dl.errors import AuthFailed, ConnectFailed, ProxyFailed, TimedOut, TLSFailed, Truncated
from pulp_dl.model.auth import Basic
from pulp_dl.model.expect import Size
from pulp_dl.model.remote import Proxy, Remote, Retries, Timeouts
from pulp_dl.model.source import Source
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http import HTTPFetcher, tunnel
from pulp_dl.protocols.http.connect import Connect
from pulp_dl.protocols.http.gates import Gates
from pulp_dl.protocols.http.proxy import route
from pulp_dl.testing import (
    ESTABLISHED,
    Close,
    Cut,
    CutTLS,
    Drip,
    FaultServer,
    Hold,
    MemoryNetwork,
    OnConnect,
    Repeat,
    Reset,
    Send,
    ServerTLS,
    StartTLS,
    Tunnel,
    answer,
    redirect,
)
from pulp_dl.urls import parse
from tests.http.conftest import MakeFetcher, trusting
from tests.servers import MuteResolver
from tests.sinks import read, sharing

AUTH = Basic("user", "password")
HONEST = OnConnect([ESTABLISHED, Tunnel()], answer(b"plain", headers=((b"Connection", b"keep-alive"),)))


@pytest.fixture(scope="module")
def other() -> trustme.CA:
    return trustme.CA()


def identity(ca: trustme.CA, *names: str) -> ServerTLS:
    return ServerTLS(ca.issue_cert(*names).private_key_and_cert_chain_pem.bytes())


@pytest.fixture(params=["http", "https"])
def gate(request: pytest.FixtureRequest, reactor: Any, ca: trustme.CA) -> Any:
    """Makes proxies that are reached by either scheme, and what a Remote says of one."""

    class Gate:
        scheme = request.param

        def serve(self, script: Any = HONEST, **settings: Any) -> FaultServer:
            tls = identity(ca, "127.0.0.1") if self.scheme == "https" else None
            return FaultServer(reactor, script, tls=tls, **settings)

        def proxy(self, server: FaultServer, auth: Basic | None = None, **settings: Any) -> Proxy:
            return Proxy(server.url("/"), auth, **{"tls": trusting(ca), **settings})

    return Gate()


def origin(reactor: Any, ca: trustme.CA, script: Any = None, *names: str) -> FaultServer:
    return FaultServer(reactor, script or answer(b"whole"), tls=identity(ca, *(names or ("127.0.0.1",))))


async def failing(fetcher: Any, url: str) -> Any:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the caller looks at it
        await read(fetcher, url)
    return caught.value


# ---- it works


async def test_how_it_ended_is_told_through_the_tunnel(reactor: Any, ca: trustme.CA, gate: Any) -> None:
    """Whoever is between proxy and server can end it; so can the proxy, also where that is reached over TLS."""
    script = Cut(answer(b"whole", framing="close"), 5, CutTLS())
    async with gate.serve() as proxy, origin(reactor, ca, script) as server:
        remote = Remote(proxy=gate.proxy(proxy), tls=trusting(ca), retries=Retries(count=0))
        async with Downloader(reactor, remote) as downloader:
            memory = ToMemory()
            await downloader.download(Source(server.url("/"), Size(5)), memory)
            assert memory.data == b"whole"
            for expect in ((), Size(6)):
                with pytest.raises(Truncated):
                    await downloader.download(Source(server.url("/"), expect), ToMemory())


async def test_a_proxy_over_tls_may_end_a_plain_answer_so(reactor: Any, ca: trustme.CA) -> None:
    script = Cut(answer(b"whole", framing="close"), 5, CutTLS())
    async with FaultServer(reactor, script, tls=identity(ca, "127.0.0.1")) as proxy:
        way = Proxy(proxy.url("/"), tls=trusting(ca))
        async with Downloader(reactor, Remote(proxy=way, retries=Retries(count=0))) as downloader:
            await downloader.download(Source("http://h.example/", Size(5)), ToMemory())
            with pytest.raises(Truncated):
                await downloader.download("http://h.example/", ToMemory())


async def test_one_tunnel_serves_many_requests(reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any) -> None:
    """One CONNECT, one connection to the proxy, one to the server; the requests are in origin-form."""
    async with gate.serve() as proxy, origin(reactor, ca) as server:
        fetcher = fetching(proxy=gate.proxy(proxy), tls=trusting(ca))
        for _ in range(3):
            assert (await read(fetcher, server.url("/a%7Eb?c")))[1] == b"whole"

        (connect,) = proxy.requests
        assert (connect.method, connect.target) == ("CONNECT", f"127.0.0.1:{server.port}")
        assert connect.get(b"host") == f"127.0.0.1:{server.port}".encode()
        assert [request.target for request in server.requests] == ["/a%7Eb?c"] * 3
        assert proxy.connections.total == server.connections.total == 1


async def test_plain_requests_share_one_connection_to_the_proxy_which_is_no_tunnel(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any
) -> None:
    """Absolute-form; also over TLS to the proxy.  https gets another connection, for it is a tunnel."""
    async with gate.serve() as proxy, origin(reactor, ca) as server:
        fetcher = fetching(proxy=gate.proxy(proxy, AUTH), tls=trusting(ca))
        for url in ("http://one.example/a", server.url("/"), "http://one.example/b"):
            await read(fetcher, url)

        plain = [request for request in proxy.requests if request.method == "GET"]
        assert [request.target for request in plain] == [
            "http://one.example/a",
            "http://one.example/b",
        ]
        assert {request.connection for request in plain} == {0}
        assert {request.get(b"proxy-authorization") for request in proxy.requests} == {AUTH.header}
        assert proxy.connections.total == 2


async def test_a_redirect_out_of_the_tunnel_takes_the_way_of_its_own_scheme(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any
) -> None:
    async with gate.serve() as proxy, origin(reactor, ca, redirect("http://other.example/b")) as server:
        fetcher = fetching(proxy=gate.proxy(proxy), tls=trusting(ca), allow_downgrade=True)
        await read(fetcher, "http://other.example/")

        assert (await read(fetcher, server.url("/a")))[1] == b"plain"
        assert [(request.target, request.connection) for request in proxy.requests] == [
            ("http://other.example/", 0),
            (f"127.0.0.1:{server.port}", 1),
            ("http://other.example/b", 0),
        ]


async def test_each_origin_has_a_tunnel_of_its_own(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    async with FaultServer(reactor, HONEST) as proxy, origin(reactor, ca, None, "127.0.0.1", "localhost") as server:
        fetcher = fetching(proxy=Proxy(proxy.url("/")), tls=trusting(ca))
        for host in ("127.0.0.1", "localhost", "127.0.0.1"):
            await read(fetcher, server.url("/", host))

        assert [request.target.partition(":")[0] for request in proxy.requests] == ["127.0.0.1", "localhost"]


async def test_a_large_body_comes_through_whole(reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any) -> None:
    """And the connection is used again: TLS in TLS hands out records of records."""
    body = bytes(range(251)) * 20_000
    async with gate.serve() as proxy, origin(reactor, ca, answer(body)) as server:
        fetcher = fetching(proxy=gate.proxy(proxy), tls=trusting(ca))
        for _ in range(3):
            assert (await read(fetcher, server.url("/")))[1] == body

        assert server.connections.total == 1


@pytest.mark.parametrize("size", [1, 3, 40])
async def test_an_answer_may_come_in_pieces(reactor: Any, fetching: MakeFetcher, ca: trustme.CA, size: int) -> None:
    async with FaultServer(reactor, OnConnect([Drip(ESTABLISHED, size, 0), Tunnel()])) as proxy:
        async with origin(reactor, ca) as server:
            assert (await read(fetching(proxy=Proxy(proxy.url("/")), tls=trusting(ca)), server.url("/")))[1] == b"whole"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 299\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["1.0", "2xx", "lengths are ignored", "interim"],
)
async def test_whatever_stands_beside_a_2xx_there_is_a_tunnel(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, head: bytes
) -> None:
    """RFC 9110 section 9.3.6: the lengths have to be ignored."""
    async with FaultServer(reactor, OnConnect([Send(head), Tunnel()])) as proxy, origin(reactor, ca) as server:
        assert (await read(fetching(proxy=Proxy(proxy.url("/")), tls=trusting(ca)), server.url("/")))[1] == b"whole"


async def test_ipv6_is_written_in_brackets_and_without_its_zone(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA
) -> None:
    async with FaultServer(reactor, OnConnect(answer(b"", 502))) as proxy:
        fetcher = fetching(proxy=Proxy(proxy.url("/")), tls=trusting(ca))
        for url in ("https://[2001:db8::1]/", "https://[fe80::1%25eth0]:8443/", "https://h.example/"):
            assert isinstance(await failing(fetcher, url), ProxyFailed)

        wanted = ["[2001:db8::1]:443", "[fe80::1]:8443", "h.example:443"]
        assert [request.target for request in proxy.requests] == wanted
        assert [request.host for request in proxy.requests] == wanted


# ---- who is told what


async def test_secrets_stay_on_their_side_of_the_tunnel(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any
) -> None:
    """The proxy hears its own password and the name of the server; the server hears nothing of the proxy."""
    async with gate.serve() as proxy, origin(reactor, ca) as server:
        fetcher = fetching(
            proxy=gate.proxy(proxy, AUTH),
            tls=trusting(ca),
            auth=Basic("elmer", "wabbit"),
            headers={"X-Secret": "hunter2"},
        )
        await read(fetcher, server.url("/secret/path"))

        (connect,), (request,) = proxy.requests, server.requests
        assert connect.get(b"proxy-authorization") == AUTH.header
        assert [name for name, _ in connect.headers] == [b"Host", b"Proxy-Authorization"]
        assert b"secret" not in connect.raw
        assert request.get(b"authorization") == Basic("elmer", "wabbit").header
        assert b"proxy" not in request.raw.lower()
        assert AUTH.header not in request.raw


async def test_our_certificate_goes_to_the_server_and_not_to_the_proxy(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA
) -> None:
    """Each has its own; even a proxy that asks for one sees none that is not meant for it."""
    mine, pass_card = (ca.issue_cert(f"{name}@example.org", common_name=name) for name in ("mine", "card"))
    root = ca.cert_pem.bytes()
    both = [ServerTLS(ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes(), root) for _ in range(2)]
    async with (
        FaultServer(reactor, HONEST, tls=both[0]) as proxy,
        FaultServer(reactor, answer(b"x"), tls=both[1]) as server,
    ):
        tls = trusting(ca, cert=mine.private_key_and_cert_chain_pem.bytes())
        card = trusting(ca, cert=pass_card.private_key_and_cert_chain_pem.bytes())
        await read(fetching(proxy=Proxy(proxy.url("/"), tls=card), tls=tls), server.url("/"))

        names = [each.requests[0].certificate.subject.rfc4514_string() for each in (proxy, server)]  # type: ignore[attr-defined]
        assert ["CN=card" in names[0], "CN=mine" in names[1]] == [True, True]

        for url in (server.url("/other"), "http://plain.example/"):
            error = await failing(fetching(proxy=Proxy(proxy.url("/"), tls=trusting(ca)), tls=tls), url)
            assert isinstance(error, ProxyFailed)
            assert not error.transient
            assert "the proxy wants a certificate of ours; give Proxy.tls.cert" in error.message
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_may_be_an_address_of_ipv6(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, scheme: str
) -> None:
    tls = identity(ca, "::1") if scheme == "https" else None
    async with FaultServer(reactor, HONEST, tls=tls, interface="::1") as proxy, origin(reactor, ca) as server:
        assert proxy.url("/").startswith(f"{scheme}://[::1]:")
        fetcher = fetching(proxy=Proxy(proxy.url("/"), tls=trusting(ca)), tls=trusting(ca))

        assert (await read(fetcher, server.url("/")))[1] == b"whole"
        assert (await read(fetcher, "http://plain.example/"))[1] == b"plain"


async def test_what_differs_in_its_proxy_never_shares_a_tunnel(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA
) -> None:
    """A wrong password would get in on a good tunnel; a client certificate would be somebody else's."""
    mine = ca.issue_cert("mine@example.org").private_key_and_cert_chain_pem.bytes()
    async with FaultServer(reactor, HONEST) as proxy, origin(reactor, ca) as server:
        here = proxy.url("/")
        for settings in (
            {"proxy": Proxy(here, AUTH)},
            {"proxy": Proxy(here, Basic("user", "wrong"))},
            {"proxy": Proxy(here)},
            {"proxy": Proxy(here, AUTH), "tls": trusting(ca, cert=mine)},
            {},
            {"proxy": Proxy(here, AUTH, direct="elsewhere.example")},  # the same way as the first
        ):
            await read(fetching(**{"tls": trusting(ca), **settings}), server.url("/"))

        assert [request.connection for request in server.requests] == [0, 1, 2, 3, 4, 0]
        assert len(proxy.requests) == 4


# ---- who is to blame


@pytest.mark.parametrize(
    ("status", "transient"),
    [(302, False), (400, False), (403, False), (404, False), (407, False), (429, True), (502, True), (503, True)],
)
async def test_a_refusal_of_the_proxy_is_the_proxys(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any, status: int, transient: bool
) -> None:
    """Its body is not the file and it is not followed anywhere (CVE-2016-5133 and its kin)."""
    refusal = answer(b"this is not the file" * 5000, status, ((b"Location", b"http://127.0.0.1:1/"),))
    async with gate.serve(refusal) as proxy, origin(reactor, ca) as server:
        error = await failing(fetching(proxy=gate.proxy(proxy, AUTH), tls=trusting(ca)), server.url("/"))

        assert isinstance(error, ProxyFailed)
        assert (error.status, error.transient) == (status, transient)
        assert str(status) in error.message
        assert "password" not in str(error)
        assert server.connections.total == 0


async def test_the_same_status_of_the_server_is_the_servers(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any
) -> None:
    """A 407 from behind the tunnel is no proxy's."""
    async with gate.serve() as proxy, origin(reactor, ca, answer(b"", 407)) as server:
        error = await failing(fetching(proxy=gate.proxy(proxy), tls=trusting(ca)), server.url("/"))

        assert isinstance(error, AuthFailed)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Send(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not answer as an HTTP proxy"),
        (Send(b"\x15\x03\x01\x00\x02\x02\x46"), "does not answer as an HTTP proxy"),
        (Send(b"HTTP/2.0 200 OK\r\n\r\n"), "does not answer as an HTTP proxy"),
        (Send(b"HTTP/1.1 999 Far out\r\n\r\n"), "does not answer as an HTTP proxy"),
        (Send(b"HTTP/1.1 2000 Far out\r\n\r\n"), "does not answer as an HTTP proxy"),
        (Send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), "switched protocols"),
        (Repeat(Send(b"HTTP/1.1 100 Continue\r\n\r\n")), "interim"),
        ([Send(b"HTTP/1.1 200 OK\r\nX: "), Repeat(Send(b"x" * 8192))], "head of more than"),
        (Send(ESTABLISHED.data + b"HTTP/1.1 200 OK\r\n\r\nnot the file"), "before anything was sent into it"),
        (Close(), "closed the connection"),
        ([Send(b"HTTP/1.1 20"), Close()], "closed the connection"),
        ([Send(b"HTTP/1.1 20"), Reset()], "closed the connection"),
    ],
)
async def test_a_proxy_that_answers_wrongly_is_told_so(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any, script: Any, words: str
) -> None:
    async with gate.serve(script) as proxy:
        error = await failing(fetching(proxy=gate.proxy(proxy), tls=trusting(ca)), "https://h.example/?token=hunter2")

        assert isinstance(error, ProxyFailed)
        assert words in error.message
        assert error.transient is (words not in {"switched protocols", "interim", "before anything was sent into it"})
        assert "hunter2" not in str(error)


async def test_what_fails_in_the_tunnel_is_not_the_proxys(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, other: trustme.CA, gate: Any
) -> None:
    """The name in the URL is looked for in the certificate of the server; one that the proxy may have is not enough."""
    async with (
        gate.serve() as proxy,
        origin(reactor, other) as stranger,
        origin(reactor, ca, None, "localhost") as named,
    ):
        fetcher = fetching(proxy=gate.proxy(proxy), tls=trusting(ca))
        for server in (stranger, named):
            error = await failing(fetcher, server.url("/"))

            assert isinstance(error, TLSFailed)
            assert "the certificate of the server" in error.message
            assert server.requests == []
        old = identity(ca, "h.example")
        old.context.set_max_proto_version(SSL.TLS1_2_VERSION)
        proxy.script = OnConnect([ESTABLISHED, StartTLS(old)])
        strict = fetching(proxy=gate.proxy(proxy), tls=trusting(ca, minimum="1.3"))
        error = await failing(strict, "https://h.example/")
        assert isinstance(error, TLSFailed)
        assert "the server has no TLS that is safe" in error.message
        proxy.script = OnConnect([ESTABLISHED, Close()])
        error = await failing(fetcher, "https://h.example/")
        assert isinstance(error, ConnectFailed)
        assert not isinstance(error, TLSFailed | ProxyFailed)


async def test_a_proxy_that_is_not_trusted_hears_nothing(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, other: trustme.CA
) -> None:
    """Of another CA, or for another name, or a trust that is the server's: no password goes out."""
    right = {"tls": trusting(ca)}
    strange, misnamed = identity(other, "127.0.0.1"), identity(ca, "localhost")
    for tls, settings in ((strange, right), (misnamed, right), (identity(ca, "127.0.0.1"), {})):
        async with FaultServer(reactor, HONEST, tls=tls) as proxy:
            for url in ("https://h.example/", "http://h.example/"):
                fetcher = fetching(proxy=Proxy(proxy.url("/"), AUTH, **settings), tls=trusting(ca))  # type: ignore[arg-type]
                error = await failing(fetcher, url)

                assert isinstance(error, ProxyFailed)
                assert (error.status, error.transient) == (None, False)
                assert "the certificate of the proxy" in error.message
                assert "server" not in error.message.replace("for servers", "")
            assert proxy.requests == []


async def test_a_proxy_without_verification_is_asked_for_it_by_name(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, other: trustme.CA
) -> None:
    """verify=False of one says nothing of the other."""
    async with FaultServer(reactor, HONEST, tls=identity(other, "x.example")) as proxy, origin(reactor, ca) as server:
        lax = Proxy(proxy.url("/"), tls=TLS(verify=False))

        assert (await read(fetching(proxy=lax, tls=trusting(ca)), server.url("/")))[1] == b"whole"
        assert isinstance(await failing(fetching(proxy=lax), server.url("/")), TLSFailed)
        strict = fetching(proxy=Proxy(proxy.url("/")), tls=TLS(verify=False))
        assert isinstance(await failing(strict, server.url("/")), ProxyFailed)


async def test_a_proxy_that_is_not_there_is_the_proxys_fault(fetching: MakeFetcher) -> None:
    for url in ("http://127.0.0.1:1", "http://proxy.invalid:3128", "https://127.0.0.1:1"):
        error = await failing(fetching(proxy=Proxy(url)), "https://h.example/")

        assert isinstance(error, ProxyFailed)
        assert error.transient
        assert "the proxy" in error.message


# ---- time, and what is left

PHASES = {
    "proxy's answer": OnConnect(Hold()),
    "interim": OnConnect([Send(b"HTTP/1.1 100 Continue\r\n\r\n"), Hold()]),
    "within the head": OnConnect([Send(b"HTTP/1.1 200 OK\r\nVia: "), Hold()]),
    "dripping": OnConnect([Send(b"HTTP/1.1 200 OK\r\nVia: "), Drip(b"x" * 100_000, 1, 0.01)]),
    "origin's TLS": OnConnect([ESTABLISHED, Hold()]),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_every_phase_is_under_the_connect_timeout(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any, phase: str
) -> None:
    """DNS, TCP, TLS to the proxy, CONNECT, TLS to the server: together."""
    async with gate.serve(PHASES[phase]) as proxy:
        fetcher = fetching(proxy=gate.proxy(proxy), tls=trusting(ca), timeouts=Timeouts(connect=0.2))
        error = await failing(fetcher, "https://h.example/")

        late = error if phase == "origin's TLS" else the_proxys(error)
        assert isinstance(late, TimedOut)
        assert late.phase == "connect"
        await gone(reactor, proxy)


def the_proxys(error: Any) -> Any:
    """What made it say that the proxy is to blame."""
    assert isinstance(error, ProxyFailed)
    assert error.transient
    assert "timed out: no connection through the proxy for " in error.message
    return error.__cause__


async def test_so_is_the_handshake_with_the_proxy(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, (), greeting=Hold()) as silent:
        fetcher = fetching(proxy=Proxy(f"https://127.0.0.1:{silent.port}"), timeouts=Timeouts(connect=0.2))
        for url in ("https://h.example/", "http://h.example/"):
            late = the_proxys(await failing(fetcher, url))

            assert isinstance(late, TimedOut)
            assert late.phase == "connect"
            await gone(reactor, silent)


class Mute(MuteResolver):
    """
    @ivar but: who answers for one name.
    """

    def __init__(self, name: str, but: Any) -> None:
        super().__init__()
        self._name, self._but = name, but

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, portNumber: int = 0, *others: Any) -> Any:
        if hostName == self._name:
            return self._but.resolveHostName(resolutionReceiver, hostName, portNumber)
        return super().resolveHostName(resolutionReceiver, hostName, portNumber, *others)


@pytest.mark.parametrize("stop", ["timeout", "cancel"])
@pytest.mark.parametrize(
    ("scheme", "stall"),
    [
        *((scheme, stall) for scheme in ("http", "https", "socks5", "socks5h") for stall in ("name", "address")),
        ("socks5", "origin's name"),  # with the others it is the proxy that looks for it
    ],
)
def test_so_are_names_and_addresses(scheme: str, stall: str, stop: str) -> None:
    """In memory, where half a minute takes no time."""
    network = MemoryNetwork()
    host = "192.0.2.7" if stall == "address" else "proxy.example"
    network.names["h.example"] = ["192.0.2.9"]
    if stall == "address":
        network.silent.add(host)
    elif stall == "name":
        network.installNameResolver(Mute("h.example", network.nameResolver))
    else:
        network.names[host] = ["192.0.2.8"]
        network.installNameResolver(Mute(host, network.nameResolver))
    remote = Remote(proxy=Proxy(f"{scheme}://{host}:3128"), timeouts=Timeouts(connect=30))
    shared = Shared(network, remote, None)
    opening = HTTPFetcher(network, remote, shared).open(Source("https://h.example/"))
    network.advance(29)
    assert not opening.called
    if stop == "timeout":
        network.advance(2)
    else:
        opening.cancel()
    blamed = TimedOut if stall == "origin's name" else ProxyFailed
    with pytest.raises(blamed if stop == "timeout" else CancelledError):
        network.result(opening)
    network.result(shared.close())
    assert network.connections == 0
    assert network.getDelayedCalls() == []


@pytest.mark.parametrize("phase", PHASES)
async def test_cancelling_in_any_phase_leaves_no_socket_and_no_slot(
    reactor: Any, ca: trustme.CA, gate: Any, phase: str
) -> None:
    """The slot comes back when the socket is closed: with one slot the next one waits for it."""
    async with gate.serve(PHASES[phase]) as proxy, sharing(reactor, 1) as shared:
        remote = Remote(proxy=gate.proxy(proxy), tls=trusting(ca))
        fetcher = HTTPFetcher(reactor, remote, shared)
        opening = fetcher.open(Source("https://h.example/"))
        while not proxy.requests:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.02)
        opening.cancel()
        with pytest.raises(CancelledError):
            await opening

        proxy.script = OnConnect([ESTABLISHED, StartTLS(identity(ca, "h.example"))], answer(b"then"))
        assert (await read(fetcher, "https://h.example/"))[1] == b"then"
        assert proxy.connections.peak == 1
        await fetcher.close()


@pytest.mark.parametrize("way", ["refused", "cancelled"])
def test_whoever_hears_that_there_is_no_tunnel_may_open_another_socket(way: str) -> None:
    """The socket is closed by then; the server may not have noticed yet."""
    network = MemoryNetwork()
    network.serve("proxy.example", answer(b"", 403) if way == "refused" else Hold(), port=3128)
    endpoint = tunnel.Tunnel(
        HostnameEndpoint(network, "proxy.example", 3128), lambda: Connect(parse("https://h.example/"), ())
    )
    heard: list[int] = []
    connecting = endpoint.connect(Factory())
    connecting.addBoth(lambda _: heard.append(network.connections))
    if way == "cancelled":
        network.advance(1)
        connecting.cancel()
    network.run()

    assert len(heard) == 1
    assert heard[0] < 2, "both ends of the connection are open"
    assert network.connections == 0


class Nobody(Factory):
    """Has no protocol for anybody."""

    def buildProtocol(self, addr: Any) -> None:
        """None: the connection is not wanted."""


def test_who_does_not_want_the_connection_any_more_hears_that_it_is_closed() -> None:
    network = MemoryNetwork()
    network.serve("proxy.example", HONEST, port=3128)
    network.serve("h.example", Hold(), port=443)
    way = HostnameEndpoint(network, "proxy.example", 3128)
    connecting = tunnel.Tunnel(way, lambda: Connect(parse("https://h.example/"), ())).connect(Nobody())
    with pytest.raises(tunnel.ProxyLost) as caught:
        network.result(connecting)

    assert isinstance(caught.value.cause, CancelledError)
    network.run()
    assert network.connections == 0


class Insisting:
    """Says no, and then yes."""

    complete = False

    def begin(self) -> bytes:
        return b"please"

    def feed(self, data: bytes) -> bytes:
        self.complete = data == b"yes"
        if not self.complete:
            raise tunnel.Refusal("no", 403)
        return b"thanks"


@implementer(IStreamClientEndpoint)
class Deaf:
    """
    A transport that brings what it has, aborted or not, as TLS may; it is lost when a test says so.

    @param answers: is there one at all?
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.transport = StringTransport()
        self._answers = answers

    def connect(self, protocolFactory: Any) -> Any:
        if not self._answers:
            return Deferred()
        self.protocol = protocolFactory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        return succeed(self.protocol)


def test_nothing_that_comes_behind_a_refusal_is_heard() -> None:
    way = Deaf()
    connecting = tunnel.Tunnel(way, Insisting).connect(Nobody())
    for said in (b"no", b"yes"):
        way.protocol.dataReceived(said)
    assert way.transport.value() == b"please"
    assert way.transport.disconnected
    way.protocol.connectionLost(Failure(ConnectionDone()))

    caught: list[Failure] = []
    connecting.addErrback(caught.append)
    assert [str(each.value) for each in caught] == ["no"]


def test_cancelling_before_there_is_a_socket_waits_for_none() -> None:
    connecting = tunnel.Tunnel(Deaf(answers=False), Insisting).connect(Nobody())
    connecting.cancel()

    caught: list[Any] = []
    connecting.addErrback(caught.append)
    assert [type(each.value.cause) for each in caught] == [CancelledError]


async def test_a_refusal_gives_the_slot_back_when_its_socket_is_closed(reactor: Any, ca: trustme.CA, gate: Any) -> None:
    """However the tunnel fails, no more sockets are open at the proxy than the limit says."""
    async with gate.serve(answer(b"no" * 100_000, 502)) as proxy, sharing(reactor, 2) as shared:
        fetcher = HTTPFetcher(reactor, Remote(proxy=gate.proxy(proxy), tls=trusting(ca)), shared)
        opened = [fetcher.open(Source(f"https://h{number}.example/")) for number in range(10)]
        for each in opened:
            with pytest.raises(ProxyFailed):
                await each

        assert proxy.connections.peak <= 2
        assert proxy.connections.total == 10


async def test_closing_the_pool_ends_what_is_on_its_way(reactor: Any, ca: trustme.CA, gate: Any) -> None:

    async with gate.serve(OnConnect(Hold())) as proxy:
        async with sharing(reactor) as shared:
            fetcher = HTTPFetcher(reactor, Remote(proxy=gate.proxy(proxy), tls=trusting(ca)), shared)
            opening = fetcher.open(Source("https://h.example/"))
            while not proxy.requests:
                await deferLater(reactor, 0.01)
        with pytest.raises(CancelledError):
            await opening
        await gone(reactor, proxy)


async def test_cancelling_a_body_in_a_tunnel_closes_it_at_once(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, gate: Any
) -> None:
    """Against a server that says nothing more, paused or not."""
    script = [Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx"), Hold()]
    async with gate.serve() as proxy, origin(reactor, ca, script) as server:
        body = await fetching(proxy=gate.proxy(proxy), tls=trusting(ca)).open(Source(server.url("/")))
        body.abandon()
        await gone(reactor, proxy)
        await gone(reactor, server)


async def gone(reactor: Any, server: FaultServer) -> None:
    """Nobody is connected any more; or the test runs out of time."""
    while server.connections.open:
        await deferLater(reactor, 0.01)


def test_what_may_be_printed_of_a_tunnel_holds_no_secret(reactor: Any, ca: trustme.CA) -> None:
    """Twisted's factories write the repr of an endpoint into the log."""
    for url in ("http://proxy.example", "https://proxy.example", "socks5://proxy.example", "socks5h://proxy.example"):
        remote = Remote(proxy=Proxy(url, AUTH), tls=trusting(ca))
        found = route(reactor, remote, parse("https://origin.example/"), inside=True, gates=Gates(reactor))
        printed = repr(found) + repr(found.key) + repr(found.endpoint)

        assert "password" not in printed
        assert AUTH.header.decode() not in printed
