"""treq over our connections: what goes out, what comes back, and what is given up on."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface.verify import verifyObject

from pulp_dl.engine.shared import Shared
from pulp_dl.errors import ConnectFailed, DownloadError, ProtocolError, Refused, TimedOut, TLSFailed
from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Remote, Timeouts
from pulp_dl.model.source import Source
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http import HTTPFetcher
from pulp_dl.protocols.http.agent import URI, Agent
from pulp_dl.protocols.http.fields import Fields
from pulp_dl.protocols.http.gates import Gates
from pulp_dl.protocols.http.pool import HTTPConnectionPool
from pulp_dl.protocols.http.proxy import route
from pulp_dl.testing import FaultServer, Hold, Nth, Request, Reset, Send, ServerTLS, answer, response_head
from pulp_dl.urls import parse
from tests.http.conftest import MakeFetcher, trusting
from tests.servers import MuteResolver
from tests.sinks import Sink, read, sharing, turn

# ---- URLs, byte for byte


@pytest.mark.parametrize(
    "target",
    [
        "/a%7Eb/~c",
        "/a%2fb%2Fc",
        "/a;b=c,d",
        "/a+b?c+d=e%20f",
        "//double//slash//",
        "/a/../b/./c",
        "/?X-Amz-Signature=0%2B%2f+/~%7E&X-Amz-Date=20260105T120000Z",
        "/a?b?c=/d//e&&=&;",
        "/[x]@y:z!$'()*",
        "/%e4%b8%ad%E4%B8%AD",
    ],
)
async def test_a_signed_url_is_sent_byte_for_byte(reactor: Any, fetching: MakeFetcher, target: str) -> None:
    """By itself treq would decode and encode it again, and the signature would be wrong."""
    async with FaultServer(reactor, answer(b"x")) as server:
        head, _ = await read(fetching(), server.url(target))

        assert server.requests[0].target == target
        assert head.url == server.url(target)


@given(
    target=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='#\\"<>^`{|}'), max_size=60)
)
async def test_whatever_is_in_a_target_is_sent_as_it_is(reactor: Any, target: str) -> None:
    """For every target of characters that a URL may have."""
    async with FaultServer(reactor, answer(b"x")) as server, sharing(reactor) as shared:
        await read(HTTPFetcher(reactor, Remote(), shared), server.url("/" + target))

        assert server.requests[0].target == "/" + target


async def test_an_IPv6_address_in_a_url_is_one_in_the_request(reactor: Any, fetching: MakeFetcher) -> None:
    """Both treq and hyperlink fail at them."""
    async with FaultServer(reactor, answer(b"x"), interface="::1") as server:
        _, data = await read(fetching(), server.url("/a"))

        assert data == b"x"
        assert server.requests[0].host == f"[::1]:{server.port}"


async def test_the_zone_of_an_IPv6_address_stays_here(reactor: Any, fetching: MakeFetcher) -> None:
    """It is needed to connect, and means nothing to the server (RFC 6874)."""
    async with FaultServer(reactor, answer(b"x"), interface="::1") as server:
        zone = socket.if_nametoindex("lo")
        _, data = await read(fetching(), server.url("/a").replace("[::1]", f"[::1%25{zone}]"))

        assert data == b"x"
        assert server.requests[0].target == "/a"
        assert server.requests[0].host == f"[::1]:{server.port}"


async def test_a_url_with_userinfo_works(reactor: Any, fetching: MakeFetcher) -> None:
    """By itself treq drops the password and then fails with "invalid hostname"."""
    async with FaultServer(reactor, answer(b"x")) as server:
        await read(fetching(), server.url("/a").replace("//", "//user:word@"))

        assert server.requests[0].get(b"authorization") == Basic("user", "word").header
        assert server.requests[0].host == f"127.0.0.1:{server.port}"


# ---- bytes as they were sent


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_gz_with_Content_Encoding_comes_as_it_is(reactor: Any, fetching: MakeFetcher, framing: Any) -> None:
    """The gzip decoder of treq does not see the field; the consumer does."""
    packed = gzip.compress(b"hello" * 1000)
    script = answer(packed, headers=((b"Content-Encoding", b"gzip"),), framing=framing)
    async with FaultServer(reactor, script) as server:
        head, data = await read(fetching(), server.url("/a.gz"))

        assert data == packed
        assert head.get(b"content-encoding") == b"gzip"


async def test_a_plain_answer_gets_no_Content_Encoding(reactor: Any, fetching: MakeFetcher) -> None:
    """By itself treq adds an empty one, which a streamer would send on."""
    async with FaultServer(reactor, answer(b"x")) as server:
        head, _ = await read(fetching(), server.url("/a"))

        assert head.get(b"content-encoding") is None


async def test_identity_is_asked_for_and_nothing_else(reactor: Any, fetching: MakeFetcher) -> None:
    """By itself treq adds gzip to every request."""
    async with FaultServer(reactor, answer(b"x")) as server:
        await read(fetching(), server.url("/a"))
        lines = server.requests[0].raw.lower().split(b"\r\n")

        assert [line for line in lines if line.startswith(b"accept-encoding")] == [b"accept-encoding: identity"]


async def test_a_cookie_is_never_sent_back(reactor: Any, fetching: MakeFetcher) -> None:
    """By itself treq keeps them for its client's life, for all ports of a host."""
    script = answer(b"x", headers=((b"Set-Cookie", b"session=1; Path=/"), (b"Set-Cookie", b"b=2")))
    async with FaultServer(reactor, script) as server:
        fetcher = fetching()
        head, _ = await read(fetcher, server.url("/a"))
        await read(fetcher, server.url("/a"))

        assert head.get(b"set-cookie") == b"session=1; Path=/"
        assert [request.get(b"cookie") for request in server.requests] == [None, None]


KINDS: dict[str, Callable[[str], Source]] = {
    "plain": Source,
    "a field": lambda url: Source(url, headers={"X-Mine": "1"}),
    "a condition": lambda url: Source(url, conditions=[("If-None-Match", '"2"')]),
    "no body": lambda url: Source(url, tag="HEAD"),
}


@given(kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=5))
async def test_whatever_was_asked_before_a_request_is_the_same(reactor: Any, kinds: list[str]) -> None:
    """What treq makes of the same method and fields is remembered; nothing else may be, and no answer may show it."""
    script = answer(b"x", headers=((b"Content-Encoding", b"gzip"), (b"Set-Cookie", b"a=1")))

    async def ask(fetcher: HTTPFetcher, url: str, kind: str) -> Any:
        source = KINDS[kind](url)
        return (await fetcher.head(source)).headers if source.tag else await read(fetcher, source)

    async with FaultServer(reactor, script) as server, sharing(reactor) as shared:
        one = HTTPFetcher(reactor, Remote(), shared)
        for number, kind in enumerate(kinds):
            url = server.url(f"/{number}")
            assert await ask(one, url, kind) == await ask(HTTPFetcher(reactor, Remote(), shared), url, kind)
        raw = [request.raw for request in server.requests]
        assert raw[::2] == raw[1::2]


# ---- the agent by itself


@contextmanager
def lone_agent(reactor: Any, shared: Shared, url: str) -> Iterator[Agent]:
    """An agent for the origin of a URL."""
    pool = shared.keep("http", lambda: HTTPConnectionPool(reactor, shared.slots))
    yield Agent(reactor, pool, route(reactor, Remote(), parse(url), inside=True, gates=Gates(reactor)), Timeouts())


async def test_it_is_an_IAgent_whose_responses_show_nothing_to_decode(reactor: Any, shared: Shared) -> None:
    """Whoever puts something else than treq on top gets an ordinary agent."""
    async with FaultServer(reactor, answer(b"hello", headers=((b"Content-Encoding", b"gzip"),))) as server:
        with lone_agent(reactor, shared, server.url()) as agent:
            headers = Headers({b"X-Mine": [b"1", b"2"], b"accept-encoding": [b"br"]})
            response: Any = await agent.request(b"GET", server.url("/a?b").encode(), headers)

            assert verifyObject(IAgent, agent)
            assert verifyObject(IResponse, response)
            assert (response.code, response.length, list(response.headers.getAllRawHeaders())) == (200, 5, [])
            assert server.requests[0].target == "/a?b"
            assert server.requests[0].raw.count(b"X-Mine: ") == 2
            assert server.requests[0].raw.lower().count(b"accept-encoding:") == 1
            assert server.requests[0].get(b"accept-encoding") == b"identity"
            response.answer.abandon()


async def test_a_request_with_a_body_is_no_download(reactor: Any, shared: Shared) -> None:
    """It is refused, not sent without."""
    with lone_agent(reactor, shared, "http://127.0.0.1:1/") as agent:
        body: Any = object()
        with pytest.raises(ValueError, match="no body"):
            await agent.request(b"PUT", b"http://127.0.0.1:1/", None, body)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/a HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET /b", None),
        ("/a", Fields(((b"X", b"a\r\nX-Evil: 1"),))),
        ("/a", Fields(((b"X: 1\r\nX-Evil", b"a"),))),
        ("/a", Headers({b"X": [b"a\x00b"]})),
    ],
)
async def test_what_would_be_another_field_or_another_request_does_not_go_out(
    reactor: Any, shared: Shared, path: str, headers: Headers | None
) -> None:
    async with FaultServer(reactor, answer(b"hello")) as server:
        with lone_agent(reactor, shared, server.url()) as agent:
            with pytest.raises(Refused, match="control character"):
                await agent.request(b"GET", URI(server.url() + path), headers)
            assert server.requests == []
            assert server.connections.total == 0


# ---- a pooled connection that is dead


async def test_a_stale_connection_is_no_attempt(reactor: Any, fetching: MakeFetcher) -> None:
    """The server closed it in the moment that we used it: asked again at once, on another one."""

    def script(request: Request) -> Any:
        return Reset() if (request.connection, request.path) == (0, "/b") else answer(b"x")

    async with FaultServer(reactor, script) as server:
        fetcher = fetching()
        await read(fetcher, server.url("/a"))
        _, data = await read(fetcher, server.url("/b"))

        assert data == b"x"
        assert [(request.connection, request.path) for request in server.requests] == [(0, "/a"), (0, "/b"), (1, "/b")]


async def test_any_number_of_stale_connections_is_gone_through(reactor: Any, fetching: MakeFetcher) -> None:
    """After a restart of the server they all are."""

    def script(request: Request) -> Any:
        if request.path == "/hold":
            return Hold(), answer(b"x")
        return Reset() if request.connection < 3 else answer(b"fresh")

    async with FaultServer(reactor, script) as server:
        fetcher = fetching()
        opening = [fetcher.open(Source(server.url("/hold"))) for _ in range(3)]
        while len(server.requests) < 3:
            await turn(reactor)
        server.release()
        for each in opening:
            body: Any = await each
            await body.deliver(Sink())
        _, data = await read(fetcher, server.url("/b"))

        assert data == b"fresh"
        assert len(server.requests) == 3 + 4


async def test_a_fresh_connection_that_breaks_is_a_ConnectFailed(reactor: Any, fetching: MakeFetcher) -> None:
    """One request, no more: whether to try again is the engine's to say."""
    async with FaultServer(reactor, Reset()) as server:
        with pytest.raises(ConnectFailed):
            await fetching().open(Source(server.url("/a")))

        assert len(server.requests) == 1


async def test_a_reused_connection_that_breaks_within_an_answer_is_not_stale(
    reactor: Any, fetching: MakeFetcher
) -> None:
    """The server has seen the request."""
    async with FaultServer(reactor, {"/a": answer(b"x"), "/b": [Send(b"HTTP/1.1 200 OK\r\nX-"), Reset()]}) as server:
        fetcher = fetching()
        await read(fetcher, server.url("/a"))
        with pytest.raises((ConnectFailed, ProtocolError)):
            await fetcher.open(Source(server.url("/b")))

        assert len(server.requests) == 2


async def test_a_stale_connection_that_is_silent_times_out_once(reactor: Any, fetching: MakeFetcher) -> None:
    """A head that does not come is no sign of a stale connection."""
    async with FaultServer(reactor, {"/a": answer(b"x"), "/b": Hold()}) as server:
        fetcher = fetching(timeouts=Timeouts(head=0.1))
        await read(fetcher, server.url("/a"))
        with pytest.raises(TimedOut):
            await fetcher.open(Source(server.url("/b")))

        assert len(server.requests) == 2


# ---- failures in words


async def test_nobody_listens(reactor: Any, fetching: MakeFetcher) -> None:
    """Refused."""
    async with FaultServer(reactor, answer(b"x")) as server:
        url = server.url("/a")
    with pytest.raises(ConnectFailed, match="refuses the connection"):
        await fetching().open(Source(url))


@pytest.mark.parametrize("interface", ["127.0.0.1", "::1"])
async def test_an_address_needs_no_name_server(
    reactor: Any, fetching: MakeFetcher, stalls: Any, interface: str
) -> None:
    """Nor a thread that asks one."""
    stalls("DNS")
    async with FaultServer(reactor, answer(b"x"), interface=interface) as server:
        _, data = await read(fetching(), server.url("/a"))

        assert data == b"x"


async def test_a_name_that_does_not_resolve(reactor: Any, fetching: MakeFetcher) -> None:
    """RFC 6761: .invalid never does."""
    with pytest.raises(ConnectFailed, match="does not resolve"):
        await fetching().open(Source("http://host.invalid/a"))


async def test_a_certificate_of_an_unknown_ca(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    """TLSFailed, which is not tried again, and says what to do."""
    async with FaultServer(reactor, answer(b"x"), tls=server_tls(ca)) as server:
        with pytest.raises(TLSFailed, match=r"TLS\.ca"):
            await fetching().open(Source(server.url("/a")))

        assert server.requests == []


async def test_a_certificate_for_another_name(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    """Trusted, but not for this host."""
    async with FaultServer(reactor, answer(b"x"), tls=server_tls(ca, "elsewhere.example")) as server:
        with pytest.raises(TLSFailed, match="host"):
            await fetching(tls=trusting(ca)).open(Source(server.url("/a")))

        assert server.requests == []


async def test_a_server_that_speaks_no_tls(reactor: Any, fetching: MakeFetcher) -> None:
    """A URL of https to a port of http."""
    async with FaultServer(reactor, answer(b"x"), greeting=Send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        with pytest.raises(TLSFailed, match="no TLS"):
            await fetching().open(Source(server.url("/a").replace("http:", "https:")))


async def test_a_server_that_wants_a_client_certificate(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    """In TLS 1.3 it says so only after our side of the handshake is done."""
    tls = ServerTLS(identity(ca, "localhost", "127.0.0.1"), clients=ca.cert_pem.bytes())
    async with FaultServer(reactor, answer(b"x"), tls=tls) as server:
        with pytest.raises(TLSFailed, match=r"TLS\.cert"):
            await fetching(tls=trusting(ca)).open(Source(server.url("/a")))


async def test_a_server_that_hangs_up_in_the_handshake(reactor: Any, fetching: MakeFetcher) -> None:
    """Worth another try: servers that are overloaded do so."""
    async with FaultServer(reactor, (), greeting=Reset()) as server:
        with pytest.raises(ConnectFailed) as raised:
            await fetching().open(Source(server.url("/a").replace("http:", "https:")))

        assert raised.value.transient


def identity(ca: trustme.CA, *names: str) -> bytes:
    return ca.issue_cert(*names).private_key_and_cert_chain_pem.bytes()


def server_tls(ca: trustme.CA, *names: str) -> ServerTLS:
    return ServerTLS(identity(ca, *(names or ("localhost", "127.0.0.1"))))


# ---- whose connection it is


async def test_a_wrong_ca_fails_also_after_verify_was_off(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    """The stock pool's key is scheme, host and port: the next agent would get 200 on the unverified connection."""
    async with FaultServer(reactor, answer(b"x"), tls=server_tls(ca)) as server:
        await read(fetching(tls=TLS(verify=False)), server.url("/a"))
        with pytest.raises(TLSFailed):
            await read(fetching(tls=trusting(trustme.CA())), server.url("/a"))
        await read(fetching(tls=TLS(verify=False)), server.url("/a"))

        assert [request.connection for request in server.requests] == [0, 0]


async def test_a_client_certificate_is_its_own_remotes(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    """Without one, with one, with another one, without one again."""
    asking = server_tls(ca)
    asking.context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    identities = [identity(ca, name).decode() for name in ("one", "two")]
    async with FaultServer(reactor, answer(b"x"), tls=asking) as server:
        for cert in (None, *identities, None):
            await read(fetching(tls=trusting(ca, cert=cert)), server.url("/a"))

        assert [request.connection for request in server.requests] == [0, 1, 2, 0]
        assert len({request.certificate for request in server.requests}) == 3


async def test_remotes_of_the_same_identity_share_connections(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA
) -> None:
    """Fields that everybody may see, and limits, do not matter; passwords and secret fields do."""
    async with FaultServer(reactor, answer(b"x"), tls=server_tls(ca)) as server:
        await read(fetching(tls=trusting(ca)), server.url("/a"))
        await read(fetching(tls=trusting(ca), headers={"User-Agent": "c"}, timeouts=Timeouts(idle=9)), server.url("/a"))
        assert server.connections.total == 1
        secrets = {"auth": Basic("a", "b"), "headers": {"X-Key": "c"}}
        await read(fetching(tls=trusting(ca), **secrets), server.url("/a"))
        await read(fetching(tls=trusting(ca), **secrets), server.url("/a"))

        assert server.connections.total == 2


# ---- time, and no socket left


@pytest.fixture
def stalls(reactor: Any, ca: trustme.CA) -> Iterator[Callable[[str], Any]]:
    """Servers that stall in a phase: C{await stall(phase)} gives a URL."""
    servers: list[FaultServer] = []
    sockets: list[socket.socket] = []
    resolvers: list[Any] = []

    def stall(phase: str) -> str:
        if phase == "DNS":
            resolvers.append(reactor.nameResolver)
            reactor.installNameResolver(MuteResolver())
            return "http://name.example/a"
        if phase == "TCP":
            # The kernel drops what comes when a backlog is full.
            listener = socket.create_server(("127.0.0.1", 0), backlog=0)
            address = listener.getsockname()
            sockets.extend([listener, socket.create_connection(address)])
            while True:
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(address)
                sockets.append(filler)
                if len(sockets) > 4:
                    return f"http://127.0.0.1:{address[1]}/a"
        server = FaultServer(reactor, Hold(), tls=server_tls(ca) if phase == "TLS head" else None)
        servers.append(server)
        return server.url("/a").replace("http:", "https:" if phase == "TLS" else "http:")

    yield stall
    for each in sockets:
        each.close()
    for server in servers:
        server.close()
    for resolver in resolvers:
        reactor.installNameResolver(resolver)


def sockets_to(url: str) -> int:
    """How many sockets of this process are connected, or connecting, to the port of a URL."""
    port = parse(url).port
    return sum(bool(each.raddr) and each.raddr.port == port for each in psutil.Process().net_connections("tcp"))


PHASES = [("DNS", "connect"), ("TCP", "connect"), ("TLS", "connect"), ("head", "head"), ("TLS head", "head")]


@pytest.mark.parametrize(("stalling", "phase"), PHASES)
async def test_a_stall_times_out_with_its_phase_and_leaves_no_socket(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, stalls: Any, stalling: str, phase: str
) -> None:
    """Connecting is DNS, TCP and TLS together: the stock limit covers only TCP, for each address again."""
    url = stalls(stalling)
    before = sockets_to(url)
    limits = {"connect": 30.0, "head": 30.0, phase: 0.2}
    fetcher = fetching(tls=trusting(ca), timeouts=Timeouts(**limits))
    began = reactor.seconds()
    with pytest.raises(TimedOut) as raised:
        await fetcher.open(Source(url))
    took = reactor.seconds() - began
    await turn(reactor)
    await turn(reactor)

    assert (raised.value.phase, raised.value.seconds, raised.value.url) == (phase, 0.2, url)
    assert 0.2 <= took < 2
    assert sockets_to(url) <= before


@pytest.mark.parametrize("stalling", [stalling for stalling, _ in PHASES])
async def test_cancelling_in_each_phase_leaves_no_socket(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, stalls: Any, stalling: str
) -> None:
    """It fails with CancelledError, whatever the endpoints make of it, and the next request finds its slot free."""
    url = stalls(stalling)
    before = sockets_to(url)
    opening = fetching(tls=trusting(ca)).open(Source(url))
    for _ in range(20):
        await turn(reactor)
    ended: list[object] = []
    opening.addBoth(ended.append)
    assert not ended
    opening.cancel()
    assert isinstance(ended[0], Failure)
    assert ended[0].check(CancelledError)
    await turn(reactor)
    await turn(reactor)

    assert sockets_to(url) <= before


async def test_slots_are_free_again_after_every_kind_of_failure(reactor: Any, stalls: Any, ca: trustme.CA) -> None:
    """With one slot for all: the last request would wait for ever."""
    async with sharing(reactor, connections=1, per_host=1) as shared, FaultServer(reactor, answer(b"x")) as server:
        timeouts = Timeouts(connect=0.1, head=0.1)
        fetcher = HTTPFetcher(reactor, Remote(tls=trusting(ca), timeouts=timeouts), shared)
        for stalling, _ in PHASES[1:]:
            with pytest.raises(TimedOut):
                await fetcher.open(Source(stalls(stalling)))
        with pytest.raises(DownloadError):
            await fetcher.open(Source("http://host.invalid/"))
        _, data = await read(fetcher, server.url("/a"))

        assert data == b"x"


async def test_waiting_for_a_slot_is_under_no_limit_of_time(reactor: Any) -> None:
    """Neither connect nor head: a long queue is nobody's fault."""
    async with (
        FaultServer(
            reactor, Nth([[Send(response_head(200, ((b"Content-Length", b"1"),))), Hold()], answer(b"y")])
        ) as server,
        sharing(reactor, connections=1, per_host=1) as shared,
    ):
        fetcher = HTTPFetcher(reactor, Remote(timeouts=Timeouts(connect=0.1, head=0.1)), shared)
        body: Any = await fetcher.open(Source(server.url("/a")))
        sink = Sink()
        reading = body.deliver(sink)
        waiting = fetcher.open(Source(server.url("/a")))
        pause: Deferred[None] = Deferred()
        reactor.callLater(0.3, pause.callback, None)
        await pause
        assert not waiting.called
        reading.cancel()
        with pytest.raises(CancelledError):
            await reading
        second: Any = await waiting
        await second.deliver(sink)

        assert sink.data == b"y"
        assert server.connections.peak == 1


async def test_cancelling_while_it_waits_for_a_slot_leaves_the_queue(reactor: Any) -> None:
    """The slot goes to the next one."""
    async with FaultServer(reactor, Nth([Hold(), answer(b"x")])) as server, sharing(reactor, 1, 1) as shared:
        fetcher = HTTPFetcher(reactor, Remote(), shared)
        first, second = (fetcher.open(Source(server.url("/a"))) for _ in range(2))
        while not server.requests:
            await turn(reactor)
        second.cancel()
        first.cancel()
        for each in (first, second):
            with pytest.raises(CancelledError):
                await each
        _, data = await read(fetcher, server.url("/a"))

        assert data == b"x"
