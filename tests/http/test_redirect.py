"""Where redirects lead, and what goes along."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from cryptography import x509
from OpenSSL import SSL, crypto

from pulp_dl import Downloader, Retries, ToMemory
from pulp_dl.errors import BadStatus, ProtocolError, Refused
from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Limits, Remote
from pulp_dl.model.source import Source, Span
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http import HTTPFetcher
from pulp_dl.testing import FaultServer, Nth, Request, ServerTLS, answer, redirect
from tests.http.conftest import MakeFetcher
from tests.sinks import read, sharing

SECRETS = {"Authorization", "X-Api-Key", "Cookie"}


def secrets_in(request: Request) -> set[str]:
    """Which secrets a server has seen."""
    return {name for name in SECRETS if request.get(name.lower().encode()) is not None}


def remote_with_secrets(url: str | None = None, **settings: Any) -> Remote:
    return Remote(
        url=url, auth=Basic("elmer", "pw"), headers={"X-Api-Key": "k", "Cookie": "c=1", "Accept": "text/x"}, **settings
    )


# ---- where they lead


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_every_kind_of_redirect_is_followed(reactor: Any, fetching: MakeFetcher, status: int) -> None:
    """A GET stays a GET; the body tells the URL that answered."""
    async with FaultServer(reactor, {"/a": redirect("/b", status), "/b": answer(b"here")}) as server:
        body: Any = await fetching().open(Source(server.url("/a")))
        body.abandon()

        assert body.url == body.head.url == server.url("/b")
        assert [request.method for request in server.requests] == ["GET", "GET"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_HEAD_stays_a_HEAD(reactor: Any, fetching: MakeFetcher, status: int) -> None:
    """Also after a 303, where the stock agent would GET."""
    async with FaultServer(reactor, {"/a": redirect("/b", status), "/b": answer(b"here")}) as server:
        head = await fetching().head(Source(server.url("/a")))

        assert (head.status, head.length) == (200, 4)
        assert [request.method for request in server.requests] == ["HEAD", "HEAD"]


async def test_a_relative_location_is_relative_to_the_hop_it_came_from(reactor: Any, fetching: MakeFetcher) -> None:
    """Not to the URL that was asked first."""
    async with FaultServer(reactor, {}) as other, FaultServer(reactor, {}) as first:
        first.script = redirect(other.url("/x/y"))
        other.script = lambda request: answer(b"z") if request.path == "/x/z" else redirect("z")
        head, data = await read(fetching(), first.url("/a/b"))

        assert (head.url, data) == (other.url("/x/z"), b"z")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/with space", "/with%20space"),
        ("/gr\u00fcn".encode(), "/gr%C3%BCn"),
        (b"/gr\xfcn", "/gr%FCn"),
        (b"/done%20already", "/done%20already"),
        (b"?a=1&b=2", "/from/here?a=1&b=2"),
        (b"/frag#ment", "/frag"),
        (b"../up", "/up"),
        (b"/sig?x=%7E%2f;a+b//../", "/sig?x=%7E%2f;a+b//../"),
    ],
)
async def test_a_location_is_taken_as_browsers_do(
    reactor: Any, fetching: MakeFetcher, location: bytes, target: str
) -> None:
    """Spaces and raw bytes are encoded, fragments dropped, what is encoded stays."""
    async with FaultServer(reactor, {"/from/here": redirect(location)}) as server:
        server.script = lambda request: redirect(location) if request.target == "/from/here" else answer(b"x")
        await read(fetching(), server.url("/from/here"))

        assert server.requests[-1].target == target


@pytest.mark.parametrize(
    "location", [b"", b"http://", b"http://a b/", b"http://[::1/", b"http://h:99999/", b"http://\xff/"]
)
async def test_a_location_that_is_none_is_a_ProtocolError(reactor: Any, fetching: MakeFetcher, location: bytes) -> None:
    """Garbage, or nothing."""
    async with FaultServer(reactor, redirect(location)) as server:
        with pytest.raises(ProtocolError, match="leads nowhere"):
            await fetching().open(Source(server.url("/a")))


async def test_a_redirect_without_a_location_is_a_ProtocolError(reactor: Any, fetching: MakeFetcher) -> None:
    """So is one with two."""
    two = answer(b"", 302, ((b"Location", b"/a"), (b"Location", b"/b")))
    async with FaultServer(reactor, {"/none": answer(b"", 302), "/two": two}) as server:
        for path in ("/none", "/two"):
            with pytest.raises(ProtocolError, match="Location"):
                await fetching().open(Source(server.url(path)))


async def test_each_hop_is_asked_by_its_own_name(reactor: Any, fetching: MakeFetcher) -> None:
    """And not by that of the first."""
    async with FaultServer(reactor, answer(b"z")) as other, FaultServer(reactor, {}) as first:
        first.script = redirect(other.url("/", "localhost"))
        await read(fetching(), first.url("/"))

        assert [each.get(b"host") for each in (*first.requests, *other.requests)] == [
            b"127.0.0.1:%d" % first.port,
            b"localhost:%d" % other.port,
        ]


@pytest.mark.parametrize("status", [300, 305, 306])
async def test_other_3xx_are_no_redirects(reactor: Any, fetching: MakeFetcher, status: int) -> None:
    """300 has no one answer, 305 is a way to be led through somebody's proxy."""
    async with FaultServer(reactor, answer(b"", status, ((b"Location", b"/b"),))) as server:
        with pytest.raises(BadStatus) as raised:
            await fetching().open(Source(server.url("/a")))

        assert raised.value.status == status


async def test_the_limit_is_how_many_redirects_may_follow_each_other(reactor: Any, fetching: MakeFetcher) -> None:
    """As many as the limit are followed, one more is not."""

    def chain(request: Request) -> Any:
        left = int(request.path[1:])
        return redirect(f"/{left - 1}") if left else answer(b"end")

    async with FaultServer(reactor, chain) as server:
        fetcher = fetching(limits=Limits(redirects=3))
        _, data = await read(fetcher, server.url("/3"))
        with pytest.raises(ProtocolError, match="more than 3 redirects"):
            await fetcher.open(Source(server.url("/4")))
        with pytest.raises(ProtocolError, match="more than 0 redirects"):
            await fetching(limits=Limits(redirects=0)).open(Source(server.url("/1")))

        assert data == b"end"


async def test_a_loop_is_found_at_once(reactor: Any, fetching: MakeFetcher) -> None:
    """Before the limit."""
    async with FaultServer(reactor, {"/a": redirect("/b"), "/b": redirect("/a")}) as server:
        with pytest.raises(ProtocolError, match="circles"):
            await fetching().open(Source(server.url("/a")))

        assert len(server.requests) == 2


async def test_a_loop_that_was_one_for_a_while_is_healed(reactor: Any) -> None:
    """As of a balancer whose servers begin again: by the next round it may lead to the file."""
    async with FaultServer(reactor, Nth([redirect("/a"), answer(b"file")])) as server:
        async with Downloader(reactor, Remote(retries=Retries(base=0.001))) as downloader:
            body = ToMemory()
            report = await downloader.download(server.url("/a"), body)

        assert body.data == b"file"
        assert isinstance(report.attempts[0].error, ProtocolError)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ws://127.0.0.1/", "ftp://127.0.0.1/a", "javascript:x"])
async def test_other_schemes_are_not_followed(reactor: Any, fetching: MakeFetcher, location: str) -> None:
    """A server does not get to choose a file of ours."""
    async with FaultServer(reactor, redirect(location)) as server:
        with pytest.raises((Refused, ProtocolError)) as raised:
            await fetching().open(Source(server.url("/a")))

        assert isinstance(raised.value, Refused) is ("//" in location)


async def test_ranges_and_conditions_go_along(reactor: Any, fetching: MakeFetcher) -> None:
    """The part is wanted of the file, wherever it is."""
    async with FaultServer(reactor, {"/a": redirect("/b"), "/b": answer(b"0123456789")}) as server:
        fetcher = fetching()
        first = await fetcher.head(Source(server.url("/b")))
        head, data = await read(fetcher, server.url("/a"), Span(4), first.validators)
        unchanged, _ = await read(fetcher, Source(server.url("/a"), conditions={"If-None-Match": '"1"'}))

        assert (head.status, data) == (206, b"456789")
        assert unchanged.status == 304
        assert {request.get(b"if-range") for request in server.requests[1:3]} == {b'"1"'}


# ---- connections


async def test_redirects_with_large_bodies_leave_no_sockets(reactor: Any, fetching: MakeFetcher) -> None:
    """The stock RedirectAgent leaves one for each (Twisted #6752)."""

    def chain(request: Request) -> Any:
        left = int(request.path[1:])
        return redirect(f"/{left - 1}", body=b"x" * 100_000) if left else answer(b"end")

    async with FaultServer(reactor, chain) as server:
        _, data = await read(fetching(), server.url("/10"))

        assert data == b"end"
        assert server.connections.open <= 1
        assert server.connections.peak <= 2


async def test_a_redirect_needs_no_second_slot(reactor: Any) -> None:
    """Promise 4: its slot is given back before the next is taken; with one slot a chain over two hosts still ends."""
    async with FaultServer(reactor, {}) as other, FaultServer(reactor, {}) as first:
        other.script = redirect(first.url("/c"))
        first.script = lambda request: (
            answer(b"end") if request.path == "/c" else redirect(other.url("/b"), body=b"x" * 100_000)
        )
        async with sharing(reactor, connections=1, per_host=1) as shared:
            _, data = await read(HTTPFetcher(reactor, Remote(), shared), first.url("/a"))

        assert data == b"end"
        assert max(first.connections.peak, other.connections.peak) == 1


async def test_a_small_redirect_keeps_its_connection(reactor: Any, fetching: MakeFetcher) -> None:
    """Its body is here already; a new connection for each hop would cost more than it."""
    async with FaultServer(reactor, {"/a": redirect("/b", body=b"Found"), "/b": answer(b"x")}) as server:
        await read(fetching(), server.url("/a"))

        assert server.connections.total == 1


# ---- secrets, at what each server actually received


async def test_the_scope_gets_the_secrets(reactor: Any, fetching: MakeFetcher) -> None:
    """Also after a redirect within it."""
    async with FaultServer(reactor, {"/a": redirect("/b"), "/b": answer(b"x")}) as server:
        await read(fetching(remote_with_secrets()), Source(server.url("/a"), headers={"X-Mine": "1"}))

        assert [secrets_in(request) for request in server.requests] == [SECRETS, SECRETS]
        assert [request.get(b"x-mine") for request in server.requests] == [b"1", b"1"]


async def test_another_origin_gets_none_of_them(reactor: Any, fetching: MakeFetcher) -> None:
    """Neither Authorization, nor a header of any name, nor a cookie; but what is public goes along."""
    async with FaultServer(reactor, answer(b"x")) as other, FaultServer(reactor, {}) as first:
        first.script = redirect(other.url("/b"))
        await read(fetching(remote_with_secrets()), Source(first.url("/a"), headers={"X-Mine": "1", "Accept": "b/c"}))
        (request,) = other.requests

        assert secrets_in(first.requests[0]) == SECRETS
        assert secrets_in(request) == set()
        assert request.get(b"x-mine") is None
        assert request.get(b"accept") == b"text/x"
        assert request.get(b"host") == f"127.0.0.1:{other.port}".encode()


async def test_another_name_of_the_same_machine_is_another_origin(reactor: Any, fetching: MakeFetcher) -> None:
    """Origins are compared as text."""
    async with FaultServer(reactor, {"/b": answer(b"x")}) as server:
        server.script = lambda request: (
            answer(b"x") if request.path == "/b" else redirect(server.url("/b", "localhost"))
        )
        await read(fetching(remote_with_secrets()), server.url("/a"))

        assert [secrets_in(request) for request in server.requests] == [SECRETS, set()]


async def test_secrets_are_not_restored_when_the_chain_comes_back(reactor: Any, fetching: MakeFetcher) -> None:
    """CVE-2024-45336 of Go: whoever was in between chose where they would go."""
    async with FaultServer(reactor, {}) as other, FaultServer(reactor, {}) as first:
        first.script = lambda request: redirect(other.url("/b")) if request.path == "/a" else answer(b"x")
        other.script = redirect(first.url("/c"))
        await read(fetching(remote_with_secrets()), first.url("/a"))

        assert [secrets_in(request) for request in first.requests] == [SECRETS, set()]


async def test_a_mirror_does_not_obtain_secrets_by_redirecting_to_their_origin(
    reactor: Any, fetching: MakeFetcher
) -> None:
    """The chain began elsewhere, so it never had them."""
    async with FaultServer(reactor, answer(b"x")) as origin, FaultServer(reactor, {}) as mirror:
        mirror.script = redirect(origin.url("/b"))
        await read(fetching(remote_with_secrets()), Source(origin.url("/a")).at(mirror.url("/a")))

        assert secrets_in(mirror.requests[0]) == secrets_in(origin.requests[0]) == set()


async def test_the_remotes_url_is_the_scope_if_there_is_one(reactor: Any, fetching: MakeFetcher) -> None:
    """A URL found in metadata that leads elsewhere gets nothing."""
    async with FaultServer(reactor, answer(b"x")) as origin, FaultServer(reactor, answer(b"x")) as other:
        fetcher = fetching(remote_with_secrets(origin.url("/repo/")))
        await read(fetcher, origin.url("/elsewhere"))
        await read(fetcher, other.url("/a"))

        assert secrets_in(origin.requests[0]) == SECRETS
        assert secrets_in(other.requests[0]) == set()


async def test_the_scope_of_a_source_holds_at_other_places(reactor: Any, fetching: MakeFetcher) -> None:
    """C{Source.at} keeps the scope where it was: the mirror gets nothing, the origin everything."""
    async with FaultServer(reactor, answer(b"x")) as origin, FaultServer(reactor, answer(b"x")) as mirror:
        source = Source(origin.url("/a"))
        fetcher = fetching(remote_with_secrets())
        await read(fetcher, source.at(mirror.url("/a")))
        await read(fetcher, source.at(mirror.url("/a")).at(origin.url("/b")))

        assert secrets_in(mirror.requests[0]) == set()
        assert secrets_in(origin.requests[0]) == SECRETS


async def test_userinfo_of_a_url_goes_to_its_own_origin_only(reactor: Any, fetching: MakeFetcher) -> None:
    """Even outside of the Remote's scope, and not along with a redirect."""
    async with FaultServer(reactor, answer(b"x")) as other, FaultServer(reactor, {}) as first:
        first.script = redirect(other.url("/b"))
        with_userinfo = first.url("/a").replace("//", "//me:word@")
        await read(fetching(remote_with_secrets("http://example.invalid/")), with_userinfo)

        assert first.requests[0].get(b"authorization") == Basic("me", "word").header
        assert secrets_in(other.requests[0]) == set()


async def test_userinfo_in_a_location_is_not_sent(reactor: Any, fetching: MakeFetcher) -> None:
    """The stock agent fails at it; a server need not be told its own words."""
    async with FaultServer(reactor, {"/b": answer(b"x")}) as server:
        server.script = lambda request: (
            answer(b"x") if request.path == "/b" else redirect(server.url("/b").replace("//", "//u:p@"))
        )
        await read(fetching(), server.url("/a"))

        assert server.requests[1].get(b"authorization") is None
        assert b"u:p" not in server.requests[1].raw


def server_tls(ca: trustme.CA) -> ServerTLS:
    """A server of this CA, which asks for client certificates without insisting on them."""
    made = ServerTLS(ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.bytes())
    store = made.context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(x509.load_pem_x509_certificate(ca.cert_pem.bytes())))
    made.context.set_verify(SSL.VERIFY_PEER)
    return made


async def test_the_client_certificate_stays_in_the_scope(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    """Both servers ask for one; only the origin sees it, also after the chain has come back."""
    identity = ca.issue_cert("client").private_key_and_cert_chain_pem.bytes().decode()
    tls = TLS(ca=ca.cert_pem.bytes().decode(), cert=identity)
    async with (
        FaultServer(reactor, {}, tls=server_tls(ca)) as other,
        FaultServer(reactor, {}, tls=server_tls(ca)) as first,
    ):
        first.script = lambda request: redirect(other.url("/b")) if request.path == "/a" else answer(b"x")
        other.script = redirect(first.url("/c"))
        await read(fetching(tls=tls), first.url("/a"))

        assert [request.certificate is not None for request in first.requests] == [True, False]
        assert [request.certificate is not None for request in other.requests] == [False]


async def test_https_to_http_is_refused(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    """The file, and who wants it, would be anybody's to read and to change."""
    async with FaultServer(reactor, answer(b"x")) as plain, FaultServer(reactor, {}, tls=server_tls(ca)) as secure:
        secure.script = redirect(plain.url("/b"))
        with pytest.raises(Refused, match="allow_downgrade"):
            await fetching(tls=TLS(ca=ca.cert_pem.bytes().decode())).open(Source(secure.url("/a")))

        assert plain.requests == []


async def test_https_to_http_if_allowed_goes_without_secrets(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA
) -> None:
    """Also on the same host: another scheme is another origin."""
    async with FaultServer(reactor, answer(b"x")) as plain, FaultServer(reactor, {}, tls=server_tls(ca)) as secure:
        secure.script = redirect(plain.url("/b"))
        remote = remote_with_secrets(tls=TLS(ca=ca.cert_pem.bytes().decode()), allow_downgrade=True)
        await read(fetching(remote), secure.url("/a"))

        assert secrets_in(secure.requests[0]) == SECRETS
        assert secrets_in(plain.requests[0]) == set()


async def test_http_to_https_is_followed(reactor: Any, fetching: MakeFetcher, ca: trustme.CA) -> None:
    """Without secrets: it is another origin."""
    async with FaultServer(reactor, {}) as plain, FaultServer(reactor, answer(b"x"), tls=server_tls(ca)) as secure:
        plain.script = redirect(secure.url("/b"))
        await read(fetching(remote_with_secrets(tls=TLS(ca=ca.cert_pem.bytes().decode()))), plain.url("/a"))

        assert secrets_in(secure.requests[0]) == set()
