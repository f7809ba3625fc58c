"""Plain http through a proxy that reads it.  What goes through a tunnel is tested in C{test_tunnel}."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from pulp_dl import Bearer, DigestAuth, Downloader, Retries, TokenAuth, ToMemory
from pulp_dl.errors import (
    AuthFailed,
    BadStatus,
    DownloadError,
    NotFound,
    ProtocolError,
    ProxyFailed,
    Refused,
    TimedOut,
    Truncated,
    Unavailable,
)
from pulp_dl.interfaces import IAuth, IAuthenticator, IDownloader
from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Proxy, Remote, Timeouts
from pulp_dl.model.source import Source
from pulp_dl.protocols.http.endpoint import Dialled
from pulp_dl.protocols.http.gates import Gates
from pulp_dl.protocols.http.proxy import route
from pulp_dl.testing import Close, Cut, FaultServer, Hold, Reset, Send, answer, redirect
from pulp_dl.urls import parse
from tests.http.conftest import MakeFetcher
from tests.sinks import read, until

AUTH = Basic("user", "password")
KEPT = (b"Connection", b"keep-alive")


async def test_a_proxy_is_asked_for_the_whole_url(reactor: Any, fetching: MakeFetcher) -> None:
    """Absolute-form (RFC 9112 section 3.2.2), with the origin in the Host field; signed URLs byte for byte."""
    async with FaultServer(reactor, answer(b"x")) as proxy:
        url = "http://origin.example/a%7Eb/../c;d?X-Sig=%2f+%2F//"
        head, data = await read(fetching(proxy=Proxy(proxy.url("/"))), url)
        (request,) = proxy.requests

        assert (head.url, data) == (url, b"x")
        assert request.target == url
        assert request.get(b"host") == b"origin.example"
        assert request.get(b"proxy-authorization") is None


async def test_each_origin_has_a_connection_of_its_own_to_the_proxy(reactor: Any, fetching: MakeFetcher) -> None:
    """Who passes on what a server says of keeping it may have made it a way to that server."""
    async with FaultServer(reactor, answer(b"x", headers=(KEPT,))) as proxy:
        fetcher = fetching(proxy=Proxy(proxy.url("/")))
        hosts = ["one.example", "one.example", "two.example", "one.example:8080", "[::1]", "two.example"]
        for host in hosts:
            await read(fetcher, f"http://{host}/a")

        assert [request.host for request in proxy.requests] == hosts
        assert [request.connection for request in proxy.requests] == [0, 0, 1, 2, 3, 1]


@pytest.mark.parametrize("kept", [(b"Proxy-Connection", b"Keep-Alive"), (b"connection", b"x, keep-alive")])
async def test_whoever_says_that_a_connection_is_kept_keeps_it(
    reactor: Any, fetching: MakeFetcher, kept: tuple[bytes, bytes]
) -> None:
    async with FaultServer(reactor, answer(b"x", headers=(kept,))) as proxy:
        fetcher = fetching(proxy=Proxy(proxy.url("/")))
        for _ in range(3):
            await read(fetcher, "http://one.example/a")

        assert proxy.connections.total == 1


EARLY = Send(b"HTTP/1.1 103 Early Hints\r\n\r\n")


@pytest.mark.parametrize(
    "script",
    [
        answer(b"x"),
        answer(b"x", headers=((b"Connection", b"keep-alives"),)),
        answer(b"x", headers=((b"Connection", b"close, keep-alive"),)),
        [EARLY, answer(b"x", headers=(KEPT,))],
    ],
)
async def test_one_that_nobody_keeps_may_be_a_way_to_the_first_server(
    reactor: Any, fetching: MakeFetcher, script: Any
) -> None:
    """
    Tinyproxy hands on bytes, and ends with the server: another request would go to that one, with the password for the
    proxy, and with all that is for the server that was meant.  Behind an interim answer the server itself may say that
    the connection is kept.
    """
    async with FaultServer(reactor, script) as proxy:
        fetcher = fetching(proxy=Proxy(proxy.url("/"), AUTH))
        for host in ("evil", "good", "evil"):
            await read(fetcher, f"http://{host}.example/a")

        assert proxy.connections.total == 3


async def test_the_proxys_credentials_go_to_the_proxy_with_every_request(reactor: Any, fetching: MakeFetcher) -> None:
    """Also after a redirect to another origin, where the origin's own secrets stay behind."""
    async with FaultServer(reactor, {}) as proxy:
        proxy.script = lambda request: redirect("http://other.example/b") if request.path == "/a" else answer(b"x")
        fetcher = fetching(proxy=Proxy(proxy.url("/"), AUTH), auth=Basic("elmer", "pw"))
        await read(fetcher, "http://origin.example/a")

        assert [request.get(b"proxy-authorization") for request in proxy.requests] == [AUTH.header, AUTH.header]
        assert [request.get(b"authorization") for request in proxy.requests] == [Basic("elmer", "pw").header, None]


async def test_credentials_may_stand_in_the_proxys_url(reactor: Any, fetching: MakeFetcher) -> None:
    """As environments have them."""
    async with FaultServer(reactor, answer(b"x")) as proxy:
        await read(fetching(proxy=Proxy(proxy.url("/").replace("//", "//user:password@"))), "http://origin.example/a")

        assert proxy.requests[0].get(b"proxy-authorization") == AUTH.header


async def test_the_proxys_credentials_never_go_to_an_origin(reactor: Any, fetching: MakeFetcher) -> None:
    """Nor can a caller send them there by hand."""
    with pytest.raises(ValueError, match=r"Remote\.headers: .*Proxy-Authorization"):
        Remote(headers={"Proxy-Authorization": "x"})
    async with FaultServer(reactor, answer(b"x")) as origin:
        with pytest.raises(Refused, match="Proxy-Authorization"):
            await fetching().open(Source(origin.url("/a"), headers={"Proxy-Authorization": "x"}))

        assert origin.requests == []


def test_what_may_be_printed_of_a_route_holds_no_secret(reactor: Any) -> None:
    """Twisted's factories write the repr of an endpoint into the log."""
    remote = Remote(proxy=Proxy("http://proxy.example/", AUTH))
    found = route(reactor, remote, parse("http://origin.example/"), inside=True, gates=Gates(reactor))
    dialled = Dialled(found.endpoint, reactor, 1, "http://origin.example/?X-Amz-Signature=hunter2", True)
    printed = repr(found) + repr(dialled) + repr(found.key)

    assert "password" not in printed
    assert AUTH.header.decode() not in printed
    assert "hunter2" not in printed


@pytest.mark.parametrize("status", [407, 511])
async def test_who_the_proxy_does_not_let_in_is_told_so(reactor: Any, fetching: MakeFetcher, status: int) -> None:
    """It needs no sign: no origin may say this (RFC 9110 section 15.5.8, RFC 6585 section 6)."""
    async with FaultServer(reactor, answer(b"who?" * 50_000, status)) as proxy:
        with pytest.raises(ProxyFailed) as raised:
            await fetching(proxy=Proxy(proxy.url("/"), AUTH)).open(Source("http://origin.example/a"))
        await until(reactor, lambda: not proxy.connections.open)

        assert (raised.value.status, raised.value.transient) == (status, False)
        assert "password" not in str(raised.value)


async def test_an_origins_errors_are_its_own_also_through_a_proxy(reactor: Any, fetching: MakeFetcher) -> None:
    """A 403 is no ProxyFailed."""
    async with FaultServer(reactor, answer(b"", 403)) as proxy:
        with pytest.raises(BadStatus) as raised:
            await fetching(proxy=Proxy(proxy.url("/"))).open(Source("http://origin.example/a"))

        assert raised.value.status == 403


STATUS, SQUID, VIA, SERVER = b"Proxy-Status", b"X-Squid-Error", b"Via", b"Server"


@pytest.mark.parametrize(("status", "error"), [(407, AuthFailed), (511, Unavailable)])
async def test_what_no_server_should_say_is_its_own_where_the_proxy_only_handed_it_on(
    reactor: Any, fetching: MakeFetcher, status: int, error: type[DownloadError]
) -> None:
    """Tinyproxy and Squid do; their own have no C{Via}, or their signature."""
    async with FaultServer(reactor, answer(b"no", status, headers=((VIA, b"1.1 gate"),))) as proxy:
        with pytest.raises(error):
            await fetching(proxy=Proxy(proxy.url("/"))).open(Source("http://origin.example/a"))


@pytest.mark.parametrize(
    "fields",
    [
        [(STATUS, b"gate.example; error=destination_ip_prohibited")],
        [
            (STATUS, b'cdn.example; details="no, none"'),
            (STATUS, b'gate; received-status=200;error="x"'),
            (VIA, b"1.1 gate"),
        ],
        [(SQUID, b"ERR_ACCESS_DENIED 0"), (VIA, b"1.1 gate.example (squid/5.7, of Debian)")],
        [(SERVER, b"tinyproxy/1.11.1")],
    ],
)
@pytest.mark.parametrize(
    ("status", "transient"),
    [(302, False), (307, False), (401, False), (403, False), (429, True), (501, False), (502, True), (504, True)],
)
async def test_what_a_proxy_calls_its_own_is_ProxyFailed(
    reactor: Any, fetching: MakeFetcher, fields: Any, status: int, transient: bool
) -> None:
    """By C{Proxy-Status} (RFC 9209), and as Squid and tinyproxy say it."""
    fields = (*fields, (b"Retry-After", b"7"), (b"Location", b"/a"))
    async with FaultServer(reactor, answer(b"no" * 50_000, status, headers=fields)) as proxy:
        with pytest.raises(ProxyFailed) as raised:
            await fetching(proxy=Proxy(proxy.url("/"))).open(Source("http://origin.example/a"))
        await until(reactor, lambda: not proxy.connections.open)

        assert (raised.value.status, raised.value.transient, raised.value.retry_after) == (status, transient, 7)
        assert len(proxy.requests) == 1
        with pytest.raises(DownloadError) as direct:
            await fetching().open(Source(proxy.url("/a")))  # nobody is between us
        assert not isinstance(direct.value, ProxyFailed)


SIGNED = (SQUID, b"ERR_BLOCKED 0"), (VIA, b"1.1 gate.example (squid/5.7)")


@pytest.mark.parametrize("signed", [SIGNED, (SIGNED[0], (VIA, b"1.1 parent.example (squid/5.7), 1.1 gate.example"))])
@pytest.mark.parametrize("status", [200, 203, 206, 302])
async def test_a_page_that_Squid_has_made_is_no_file(
    reactor: Any, fetching: MakeFetcher, status: int, signed: Any
) -> None:
    """C{deny_info 200:...}: also where only the head is asked for, and where another proxy has handed it on."""
    async with FaultServer(reactor, answer(b"blocked" * 50_000, status, headers=signed)) as proxy:
        fetcher = fetching(proxy=Proxy(proxy.url("/")))
        for ask in (fetcher.head, fetcher.open):
            with pytest.raises(ProxyFailed) as raised:
                await ask(Source("http://origin.example/a"))

            assert (raised.value.status, raised.value.transient) == (status, False)
        await until(reactor, lambda: not proxy.connections.open)


async def test_a_sign_of_a_proxy_means_nothing_where_there_is_none(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, answer(b"file", headers=SIGNED)) as server:
        assert (await read(fetching(), server.url("/a")))[1] == b"file"


@pytest.mark.parametrize(
    "fields",
    [
        [(STATUS, b"gate.example; error=connection_timeout"), (b"Age", b"4000")],
        [(SERVER, b"tinyproxy/1.11.1")],
        [(SQUID, b"ERR_FTP_LISTING 0"), (VIA, b"1.1 gate.example")],
        [(STATUS, b"cdn; error=connection_timeout"), (VIA, b"1.1 cdn.example, 1.1 gate.example")],
    ],
)
async def test_a_file_is_one_although_a_proxy_has_its_say(reactor: Any, fetching: MakeFetcher, fields: Any) -> None:
    """
    An old one, because the origin is away (RFC 9209 section 2.1.1), also where another proxy has handed it on; one of
    tinyproxy's own site; what an FTP server has.
    """
    async with FaultServer(reactor, answer(b"file", headers=tuple(fields))) as proxy:
        _, data = await read(fetching(proxy=Proxy(proxy.url("/"))), "http://origin.example/a")

        assert data == b"file"


@pytest.mark.parametrize("status", [304, 404, 410, 416])
async def test_what_is_about_the_file_may_be_said_by_the_proxy(
    reactor: Any, fetching: MakeFetcher, status: int
) -> None:
    """Its cache knows."""
    async with FaultServer(reactor, answer(b"", status, headers=SIGNED)) as proxy:
        with pytest.raises(DownloadError) as raised:
            await fetching(proxy=Proxy(proxy.url("/"))).open(Source("http://origin.example/a"))

        assert not isinstance(raised.value, ProxyFailed)


@implementer(IAuth, IAuthenticator)
class Listening:
    """Sends nothing, and keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def start(self, direct: IDownloader) -> Listening:
        return self

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> None:
        """Nothing."""

    def challenged(self, method: bytes, url: str, head: Any, sent: Any) -> Deferred[bool]:
        self.heard.append(head.status)
        return succeed(True)

    def answered(self, method: bytes, url: str, head: Any, sent: Any) -> None:
        self.heard.append(head.status)


@pytest.mark.parametrize("status", [200, 302, 401, 407, 503])
async def test_an_answer_of_the_proxy_is_not_heard_as_the_origins(
    reactor: Any, fetching: MakeFetcher, status: int
) -> None:
    """Neither its cookies nor what it says of who may come in."""
    fields = (*SIGNED, (b"Set-Cookie", b"gate=1; Path=/"), (b"Location", b"/b"), (b"WWW-Authenticate", b"Basic"))
    listening = Listening()
    async with FaultServer(reactor, answer(b"no", status, headers=fields)) as proxy:
        fetcher = fetching(proxy=Proxy(proxy.url("/")), cookies=True, auth=listening)
        for _ in range(2):
            with pytest.raises(ProxyFailed):
                await fetcher.open(Source("http://origin.example/a"))

        assert listening.heard == []
        assert [request.get(b"cookie") for request in proxy.requests] == [None, None]


NUMBERS = count()


@pytest.mark.parametrize(
    "auth",
    [
        None,
        Basic("elmer", "registry"),
        Bearer(lambda: f"t0ken-{next(NUMBERS)}"),
        TokenAuth(Basic("elmer", "registry"), realms=["http://auth.example/"]),
        DigestAuth("elmer", "registry"),
    ],
    ids=["none", "Basic", "Bearer", "TokenAuth", "DigestAuth"],
)
async def test_a_wrong_password_for_the_proxy_is_sent_once_and_no_other_instead(reactor: Any, auth: Any) -> None:
    """Tinyproxy asks with a 401, and not with the field for proxies."""
    fields = ((SERVER, b"tinyproxy/1.11.1"), (b"WWW-Authenticate", b'Basic realm="Tinyproxy"'))
    wrong, retries = Basic("user", "wrong"), Retries(count=2, base=0.01)
    async with FaultServer(reactor, answer(b"no", 401, headers=fields)) as proxy:
        remote = Remote(auth=auth, proxy=Proxy(proxy.url("/"), wrong), retries=retries)
        async with Downloader(reactor, remote) as downloader:
            with pytest.raises(ProxyFailed) as raised:
                await downloader.download("http://origin.example/a", ToMemory())
        (request,) = proxy.requests

        assert (raised.value.status, raised.value.transient) == (401, False)
        assert request.get(b"proxy-authorization") == wrong.header
        assert isinstance(auth, Basic) or b"Basic" not in (request.get(b"authorization") or b"")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(VIA, b"1.1 gate.example")],
        [(STATUS, b"gate.example; received-status=403")],
        [(STATUS, b"cdn.example; error=connection_refused"), (STATUS, b"gate.example")],
        [(STATUS, b'gate.example; details="; error=none"')],
        [(STATUS, b"cdn.example; error=connection_refused"), (VIA, b"1.1 cdn.example, 1.1 gate.example")],
        [(SQUID, b"ERR_ACCESS_DENIED 0"), (VIA, b"1.1 cdn.example"), (VIA, b"1.1 gate.example")],
        [(SQUID, b"ERR_FTP_UNAVAILABLE 421"), (VIA, b"1.1 gate.example")],
        [(SERVER, b"tinyproxy/1.11.1"), (VIA, b"1.1 gate.example")],
    ],
)
@pytest.mark.parametrize("status", [403, 502])
async def test_what_a_proxy_hands_on_is_not_its_own(
    reactor: Any, fetching: MakeFetcher, fields: Any, status: int
) -> None:
    """Also if one who stands before the origin has made it, or an FTP server has said it to the proxy."""
    async with FaultServer(reactor, answer(b"no", status, headers=tuple(fields))) as proxy:
        with pytest.raises(BadStatus) as raised:
            await fetching(proxy=Proxy(proxy.url("/"))).open(Source("http://origin.example/a"))

        assert raised.value.status == status


@pytest.mark.parametrize("piece", [b'"\\', b'("', b"(", b")", b"()", b"\\", b"; ", b",", b'"\\",'])
async def test_a_sign_that_is_nonsense_takes_no_time(reactor: Any, fetching: MakeFetcher, piece: bytes) -> None:
    """A hundred kilobytes of it, in which an expression might go back and forth for a minute."""
    fields = tuple((name, piece * (50_000 // len(piece)) + b"x") for name in (STATUS, VIA))
    async with FaultServer(reactor, answer(b"no", 502, headers=fields)) as proxy:
        with pytest.raises(BadStatus):
            await fetching(proxy=Proxy(proxy.url("/"))).open(Source("http://origin.example/a"))


async def test_what_is_not_found_is_not_found_whoever_says_so(reactor: Any, fetching: MakeFetcher) -> None:
    """Squid asks FTP servers, and makes the answer."""
    async with FaultServer(reactor, answer(b"", 404, headers=((SQUID, b"ERR_FTP_NOT_FOUND 550"),))) as proxy:
        with pytest.raises(NotFound):
            await fetching(proxy=Proxy(proxy.url("/"))).open(Source("http://origin.example/a"))


async def test_a_proxy_that_is_not_there_is_ProxyFailed(reactor: Any, fetching: MakeFetcher) -> None:
    """Refused, or with a name that does not resolve; the origin is not blamed and not asked directly."""
    async with FaultServer(reactor, answer(b"x")) as origin:
        async with FaultServer(reactor, answer(b"x")) as proxy:
            gone = proxy.url("/")
        for url in (gone, "http://proxy.invalid:3128/"):
            with pytest.raises(ProxyFailed, match="proxy"):
                await fetching(proxy=Proxy(url)).open(Source(origin.url("/a")))

        assert origin.connections.total == 0


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Close(), "the proxy closed the connection before the head"),
        (Reset(), "the connection to the proxy broke before the head"),
        ([Send(b"HTTP/1.1 20"), Close()], "the proxy closed the connection within the head"),
        (Send(b"SSH-2.0-OpenSSH_9.2\r\n"), "the proxy does not answer as an HTTP proxy does"),
    ],
)
async def test_a_proxy_that_brings_no_answer_is_ProxyFailed(
    reactor: Any, fetching: MakeFetcher, script: Any, words: str
) -> None:
    """For a server that is gone or speaks something else it has answers: 502, 504 (RFC 9110 section 15.6)."""
    async with FaultServer(reactor, script) as proxy:
        with pytest.raises(ProxyFailed) as raised:
            await fetching(proxy=Proxy(proxy.url("/"), AUTH)).open(Source("http://origin.example/a"))

        assert words in raised.value.message
        assert (raised.value.status, raised.value.transient) == (None, True)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("script", [answer(b"no", 407), Close(), Send(b"SSH-2.0-OpenSSH_9.2\r\n")])
async def test_the_error_says_which_proxy_it_was(reactor: Any, fetching: MakeFetcher, script: Any, scheme: str) -> None:
    """Without the password that stood in its URL; also where a redirect has led to."""
    async with FaultServer(reactor, script) as proxy, FaultServer(reactor, {}) as origin:
        origin.script = redirect(f"{scheme}://origin.example/a")
        url = proxy.url("/")
        fetcher = fetching(proxy=Proxy(url.replace("//", "//user:password@"), direct="127.0.0.1"))
        for asked in (f"{scheme}://origin.example/a", origin.url("/a")):
            with pytest.raises(ProxyFailed) as raised:
                await fetcher.open(Source(asked))

            assert raised.value.gate == url
            assert "password" not in repr(vars(raised.value))


async def test_so_it_does_of_one_that_is_not_there_or_takes_too_long(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, answer(b"x")) as proxy:
        gone = proxy.url("/")
    async with FaultServer(reactor, {}, greeting=Hold()) as silent:
        for url in (gone, silent.url("/")):
            fetcher = fetching(proxy=Proxy(url), timeouts=Timeouts(connect=0.1))
            with pytest.raises(ProxyFailed) as raised:
                await fetcher.open(Source("https://origin.example/a"))

            assert raised.value.gate == url


async def test_what_a_proxy_hands_on_is_the_origins(reactor: Any, fetching: MakeFetcher) -> None:
    """A wrong head, and a body that ends too early."""
    async with FaultServer(reactor, Send(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")) as proxy:
        with pytest.raises(ProtocolError):
            await fetching(proxy=Proxy(proxy.url("/"))).open(Source("http://origin.example/a"))
        proxy.script = Cut(answer(b"0123456789"), 5)
        with pytest.raises(Truncated):
            await read(fetching(proxy=Proxy(proxy.url("/"))), "http://origin.example/a")


async def test_a_silent_proxy_times_out(reactor: Any, fetching: MakeFetcher) -> None:
    """As a silent origin would."""
    async with FaultServer(reactor, Hold()) as proxy:
        fetcher = fetching(proxy=Proxy(proxy.url("/")), timeouts=Timeouts(head=0.1))
        with pytest.raises(TimedOut) as raised:
            await fetcher.open(Source("http://origin.example/a"))

        assert raised.value.phase == "head"


async def test_two_passwords_for_one_proxy_never_share_a_connection(reactor: Any, fetching: MakeFetcher) -> None:
    """A proxy may remember who has logged in on a connection; so would a wrong password get in on a good one."""
    async with FaultServer(reactor, answer(b"x", headers=(KEPT,))) as proxy:
        for auth in (AUTH, Basic("user", "wrong"), None, AUTH):
            await read(fetching(proxy=Proxy(proxy.url("/"), auth)), "http://origin.example/a")
        await read(fetching(), proxy.url("/direct"))

        assert [request.connection for request in proxy.requests] == [0, 1, 2, 0, 3]
