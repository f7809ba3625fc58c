"""HTTP keeps the contract of IFetcher: what is asked, and what each answer means."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pulp_dl.errors import (
    AuthFailed,
    BadStatus,
    ConnectFailed,
    DownloadError,
    NotFound,
    ProtocolError,
    Refused,
    Unavailable,
)
from pulp_dl.interfaces import IAuth, IAuthenticator, IBody, IDownloader, IFetcher
from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Limits, Remote
from pulp_dl.model.source import Head, Source, Span, Validators
from pulp_dl.protocols.http import HTTPFetcher
from pulp_dl.protocols.http.judge import judge, make_head, retry_after
from pulp_dl.testing import Entity, FaultServer, Hold, Nth, Send, answer, redirect, response_head
from tests.http.conftest import MakeFetcher
from tests.servers import free_ports
from tests.sinks import Sink, read, sharing, turn, until


def raw(head: bytes, body: bytes = b"") -> Send:
    """An answer, word for word, with the right Content-Length."""
    return Send(b"HTTP/1.1 " + head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def test_it_is_an_IFetcher_with_IBodies(reactor: Any, fetching: MakeFetcher) -> None:
    """Both interfaces are there."""
    fetcher = fetching()
    async with FaultServer(reactor, answer(b"x")) as server:
        body = await fetcher.open(Source(server.url("/a")))

        assert verifyObject(IFetcher, fetcher)
        assert verifyObject(IBody, body)
        body.abandon()


# ---- the request


async def test_a_request_is_what_it_has_to_be_and_no_more(reactor: Any, fetching: MakeFetcher) -> None:
    """Each field once; no cookie, no gzip, nothing that Twisted or treq would add."""
    async with FaultServer(reactor, answer(b"x")) as server:
        await read(fetching(), server.url("/a?b=c"))
        (request,) = server.requests

        assert (request.method, request.target, request.version) == ("GET", "/a?b=c", b"HTTP/1.1")
        assert {name: value.partition(b"/")[0] for name, value in request.headers} == {
            b"Host": b"127.0.0.1:%d" % server.port,
            b"User-Agent": b"pulp_dl",
            b"Accept": b"*",
            b"Accept-Encoding": b"identity",
        }
        assert len(request.headers) == 4


async def test_a_part_of_the_same_file_is_asked_for_with_if_range(reactor: Any, fetching: MakeFetcher) -> None:
    """C{same_as} of the first answer; the rest comes if the file is the same, else the whole."""
    async with FaultServer(reactor, answer(b"0123456789")) as server:
        fetcher = fetching()
        first, _ = await read(fetcher, server.url("/a"))
        same, rest = await read(fetcher, server.url("/a"), Span(4), first.validators)
        server.script = answer(Entity(b"abcdefghij", b'"2"'))
        other, whole = await read(fetcher, server.url("/a"), Span(4), first.validators)

        assert (same.status, same.span, same.total, rest) == (206, Span(4, 10), 10, b"456789")
        assert (other.status, whole) == (200, b"abcdefghij")
        assert server.requests[1].get(b"if-range") == b'"1"'
        assert server.requests[1].get(b"range") == b"bytes=4-"


async def test_without_a_strong_validator_the_whole_is_asked_for(reactor: Any, fetching: MakeFetcher) -> None:
    """Promise 3: a weak tag proves nothing, so a server is not even tempted."""
    async with FaultServer(reactor, answer(b"0123456789")) as server:
        head, data = await read(fetching(), server.url("/a"), Span(4), Validators(b'W/"1"'))

        assert (head.status, data) == (200, b"0123456789")
        assert server.requests[0].get(b"range") is None
        assert server.requests[0].get(b"if-range") is None


async def test_the_clients_conditions_are_sent_as_they_are(reactor: Any, fetching: MakeFetcher) -> None:
    """And If-Range only beside a Range (RFC 9110 section 13.1.5)."""
    conditions = {"If-None-Match": '"x"', "If-Range": '"y"'}
    async with FaultServer(reactor, answer(b"0123456789")) as server:
        fetcher = fetching()
        await read(fetcher, Source(server.url("/a"), conditions=conditions))
        await read(fetcher, Source(server.url("/a"), conditions=conditions), Span(1))
        await read(fetcher, Source(server.url("/a"), conditions=conditions), Span(1), Validators(b'"1"'))

        assert [request.get(b"if-none-match") for request in server.requests] == [b'"x"'] * 3
        assert [request.get(b"if-range") for request in server.requests] == [None, b'"y"', b'"1"']
        assert all(sum(name.lower() == b"if-range" for name, _ in request.headers) < 2 for request in server.requests)


async def test_the_callers_fields_replace_ours_and_keep_their_order(reactor: Any, fetching: MakeFetcher) -> None:
    """The Source's word counts more than the Remote's, and that more than ours; doubles stay doubled."""
    async with FaultServer(reactor, answer(b"x")) as server:
        fetcher = fetching(headers=[("user-agent", "mine/1"), ("X-Two", "a"), ("X-Two", "b"), ("Accept", "remote")])
        await read(fetcher, Source(server.url("/a"), headers={"accept": "source"}))
        (request,) = server.requests

        assert [value for name, value in request.headers if name.lower() == b"user-agent"] == [b"mine/1"]
        assert [value for name, value in request.headers if name == b"X-Two"] == [b"a", b"b"]
        assert [value for name, value in request.headers if name.lower() == b"accept"] == [b"source"]


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Range",
        "If-Range",
        "Accept-Encoding",
        "TE",
        "Upgrade",
    ],
)
async def test_fields_that_are_ours_to_write_are_refused_from_a_caller(
    reactor: Any, fetching: MakeFetcher, name: str
) -> None:
    """With the reason, before anything is sent; dropped in silence they would mislead whoever gave them."""
    async with FaultServer(reactor, answer(b"x")) as server:
        with pytest.raises(Refused, match=f"(?i){name}"):
            await fetching().open(Source(server.url("/a"), headers={name: "x"}))
        with pytest.raises(ValueError, match=rf"^Remote\.headers: the field {name} cannot be given: "):
            Remote(headers={name: "x"})

        assert server.connections.total == 0


async def test_a_condition_that_we_could_not_answer_is_refused(reactor: Any, fetching: MakeFetcher) -> None:
    """If-Match would bring a 412, which no consumer knows."""
    async with FaultServer(reactor, answer(b"x")) as server:
        with pytest.raises(Refused, match="If-Match"):
            await fetching().open(Source(server.url("/a"), conditions={"If-Match": '"1"'}))


# ---- credentials


async def test_Basic_is_sent_without_waiting_for_a_401(reactor: Any, fetching: MakeFetcher) -> None:
    """One request, not two."""
    auth = Basic("elmer", "pässword")
    async with FaultServer(reactor, answer(b"x")) as server:
        await read(fetching(auth=auth), server.url("/a"))

        assert [request.get(b"authorization") for request in server.requests] == [auth.header]


async def test_a_source_that_is_public_gets_no_secrets(reactor: Any, fetching: MakeFetcher) -> None:
    """Nor is its answer kept from anybody."""
    async with FaultServer(reactor, answer(b"x")) as server:
        for scope in (None, server.url("/")):
            fetcher = fetching(auth=Basic("elmer", "wabbit"), headers={"X-Key": "k"}, url=scope)
            for public in (True, False):
                body: Any = await fetcher.open(Source(server.url("/a"), public=public))
                body.abandon()
                assert body.public is public

        shown = [(request.get(b"authorization"), request.get(b"x-key")) for request in server.requests]
        assert shown == [(None, None), (Basic("elmer", "wabbit").header, b"k")] * 2


async def test_userinfo_of_the_url_is_sent_as_Basic_and_nowhere_else(reactor: Any, fetching: MakeFetcher) -> None:
    """Not in the request line, not in the Host field; and it counts more than the Remote's, for it is nearer."""
    async with FaultServer(reactor, answer(b"x")) as server:
        url = server.url("/a").replace("//", "//el%40mer:p%3Aw@")
        body: Any = await fetching(auth=Basic("other", "x")).open(Source(url))
        body.abandon()
        (request,) = server.requests

        assert request.get(b"authorization") == Basic("el@mer", "p:w").header
        assert request.raw.startswith(b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)
        assert body.url == server.url("/a")


@implementer(IAuth, IAuthenticator)
class Tokens:
    """A new token for each challenge."""

    def __init__(self, good: int, limit: int = 99) -> None:
        self.good = good
        self.limit = limit
        self.number = 1
        self.started = 0
        self.challenges: list[tuple[bytes, str, int, Any]] = []

    def start(self, direct: IDownloader) -> Tokens:
        self.started += 1
        return self

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
        headers[b"Authorization"] = b"Bearer %d" % self.number
        return succeed(self.number)

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        self.challenges.append((method, url, head.status, sent))
        self.number += 1
        return succeed(self.number <= self.limit)

    def script(self, request: Any) -> Any:
        right = b"Bearer %d" % self.good
        return answer(b"x") if request.get(b"authorization") == right else answer(b"who?" * 1_000_000, 401)


async def test_after_a_401_the_authenticator_may_ask_again(reactor: Any, fetching: MakeFetcher) -> None:
    """It is told what was sent; it is started once for all downloads of the Remote."""
    tokens = Tokens(good=2)
    async with FaultServer(reactor, tokens.script) as server:
        fetcher = fetching(auth=tokens)
        await read(fetcher, server.url("/a"))
        await read(fetcher, server.url("/b"))

        assert tokens.challenges == [(b"GET", server.url("/a"), 401, 1)]
        assert tokens.started == 1
        assert len(server.requests) == 3


async def test_it_is_asked_again_once_at_most(reactor: Any, fetching: MakeFetcher) -> None:
    """However convinced the authenticator is."""
    tokens = Tokens(good=9)
    async with FaultServer(reactor, tokens.script) as server:
        with pytest.raises(AuthFailed):
            await fetching(auth=tokens).open(Source(server.url("/a")))

        assert (len(tokens.challenges), len(server.requests)) == (1, 2)


async def test_each_place_of_a_chain_may_ask(reactor: Any, fetching: MakeFetcher) -> None:
    """One place's answer to what it was shown is not another one's."""
    wanted = {"/a": (b"Bearer 2", redirect("/b")), "/b": (b"Bearer 3", answer(b"x"))}

    def script(request: Any) -> Any:
        right, then = wanted[request.path]
        return then if request.get(b"authorization") == right else answer(b"", 401)

    tokens = Tokens(good=0)
    async with FaultServer(reactor, script) as server:
        assert (await read(fetching(auth=tokens), server.url("/a")))[1] == b"x"

        assert [url for _, url, _, _ in tokens.challenges] == [server.url("/a"), server.url("/b")]
        assert len(server.requests) == 4


async def test_an_authenticator_that_gives_up_is_an_AuthFailed(reactor: Any, fetching: MakeFetcher) -> None:
    """One request, one error, and no connection held for it."""
    async with FaultServer(reactor, Tokens(good=9).script) as server:
        with pytest.raises(AuthFailed) as raised:
            await fetching(auth=Tokens(good=9, limit=0)).open(Source(server.url("/a")))

        assert raised.value.status == 401
        assert len(server.requests) == 1


async def test_a_challenge_is_answered_without_holding_a_slot(reactor: Any) -> None:
    """The token may have to be fetched over the only socket there is."""

    class Fetched(Tokens):
        def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
            async def fetch() -> bool:
                slot = await shared.slots.acquire("somewhere else")
                slot.release()
                return await super(Fetched, self).challenged(method, url, head, sent)

            return Deferred.fromCoroutine(fetch())

    tokens = Fetched(good=2)
    async with FaultServer(reactor, tokens.script) as server, sharing(reactor, connections=1, per_host=1) as shared:
        _, data = await read(HTTPFetcher(reactor, Remote(auth=tokens), shared), server.url("/a"))

        assert data == b"x"


async def test_an_authenticator_that_raises_is_Refused_without_its_words(reactor: Any, fetching: MakeFetcher) -> None:
    """They may hold the secret; the cause is there for whoever debugs."""

    class Broken(Tokens):
        def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
            raise KeyError("hunter2")

    async with FaultServer(reactor, answer(b"x")) as server:
        with pytest.raises(Refused) as raised:
            await fetching(auth=Broken(good=1)).open(Source(server.url("/a")))

        assert "hunter2" not in str(raised.value)
        assert isinstance(raised.value.__cause__, KeyError)


@pytest.mark.parametrize("name", [b"Host", b"transfer-encoding", b"Range", b"Proxy-Authorization", b"A B", b"", 1])
async def test_an_authenticator_adds_no_field_that_is_not_its_own(
    reactor: Any, fetching: MakeFetcher, name: Any
) -> None:
    """A second Host, or a body that does not come, would be read by each server in its own way."""

    class Meddling(Tokens):
        def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
            headers[name] = b"hunter2"

    async with FaultServer(reactor, answer(b"x")) as server:
        with pytest.raises(Refused, match=r"what Remote\.auth gave cannot be sent") as raised:
            await fetching(auth=Meddling(good=1)).open(Source(server.url("/a")))

        assert "hunter2" not in str(raised.value)
        assert server.requests == []


async def test_a_line_end_in_a_credential_is_refused_before_it_is_sent(reactor: Any, fetching: MakeFetcher) -> None:
    """It would begin a field, or a request, of its own."""

    class Injecting(Tokens):
        def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
            headers[b"Authorization"] = b"Bearer x\r\nX-Evil: 1"

    async with FaultServer(reactor, answer(b"x")) as server:
        with pytest.raises(Refused, match="control character"):
            await fetching(auth=Injecting(good=1)).open(Source(server.url("/a")))

        assert server.requests == []


# ---- answers


async def test_the_head_is_the_answers_own(reactor: Any, fetching: MakeFetcher) -> None:
    """Fields as pairs, in order, with their case and their doubles."""
    fields = ((b"X-b", b"1"), (b"ETAG", b'"e"'), (b"x-B", b"2"), (b"Content-Type", b"text/plain"))
    async with FaultServer(reactor, Send(response_head(200, (*fields, (b"content-LENGTH", b"1"))) + b"x")) as server:
        head, _ = await read(fetching(), server.url("/a"))

        assert head.headers == (*fields, (b"content-LENGTH", b"1"))
        assert (head.status, head.length, head.total, head.span, head.etag) == (200, 1, 1, None, b'"e"')


async def test_a_body_without_a_length_has_none(reactor: Any, fetching: MakeFetcher) -> None:
    """Chunked, or as long as the connection."""
    async with FaultServer(reactor, answer(b"hello", framing="chunked")) as server:
        head, data = await read(fetching(), server.url("/a"))

        assert (head.length, head.total, data) == (None, None, b"hello")


async def test_a_203_is_passed_on(reactor: Any, fetching: MakeFetcher) -> None:
    """A proxy transformed it; a digest will tell whether that matters."""
    async with FaultServer(reactor, answer(b"x", 203)) as server:
        head, data = await read(fetching(), server.url("/a"))

        assert (head.status, data) == (203, b"x")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFound),
        (410, NotFound),
        (401, AuthFailed),
        (403, AuthFailed),
        (407, AuthFailed),
        (408, Unavailable),
        (425, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
        (599, Unavailable),
        (201, BadStatus),
        (202, BadStatus),
        (204, BadStatus),
        (205, BadStatus),
        (207, BadStatus),
        (226, BadStatus),
        (400, BadStatus),
        (402, BadStatus),
        (405, BadStatus),
        (412, BadStatus),
        (418, BadStatus),
        (451, BadStatus),
    ],
)
async def test_each_status_is_the_error_that_says_what_helps(
    reactor: Any, fetching: MakeFetcher, status: int, error: type[BadStatus]
) -> None:
    """And the same for a HEAD; no body is read, no socket kept for it."""
    async with FaultServer(reactor, answer(b"" if status in {204, 205} else b"x" * 300_000, status)) as server:
        for ask in (fetching().open, fetching().head):
            with pytest.raises(error) as raised:
                await ask(Source(server.url("/a")))
            assert type(raised.value) is error
            assert raised.value.status == status
            assert raised.value.url == server.url("/a")
        await turn(reactor)

        assert server.connections.open <= 1


@given(status=st.integers(200, 599).filter(lambda status: status not in {200, 203}))
def test_whatever_else_the_status_is_it_is_an_error_of_the_tree(status: int) -> None:
    """No status is overlooked, and the message tells it."""
    with pytest.raises(DownloadError, match=str(status)):
        judge(make_head("http://h/", status, (), None), None, conditions=False, now=0)


@pytest.mark.parametrize("status", [304, 416, 206])
async def test_an_answer_to_what_was_not_asked_is_a_ProtocolError(
    reactor: Any, fetching: MakeFetcher, status: int
) -> None:
    """A confused cache, most likely; another try may find it in its right mind."""
    fields = ((b"Content-Range", b"bytes 0-0/9"), (b"Content-Length", b"1"))
    async with FaultServer(reactor, Send(response_head(status, fields) + b"x")) as server:
        with pytest.raises(ProtocolError, match=str(status)):
            await fetching().open(Source(server.url("/a")))


async def test_a_304_is_an_answer_to_a_condition(reactor: Any, fetching: MakeFetcher) -> None:
    """A head without a body; also of a HEAD."""
    async with FaultServer(reactor, answer(b"hello")) as server:
        source = Source(server.url("/a"), conditions={"If-None-Match": '"1"'})
        head, data = await read(fetching(), source)

        assert (head.status, head.length, data) == (304, 0, b"")
        assert (await fetching().head(source)).status == 304


async def test_a_416_is_an_answer_to_a_span_and_tells_the_total(reactor: Any, fetching: MakeFetcher) -> None:
    """The client of a gateway wants to know it."""
    async with FaultServer(reactor, answer(b"hello")) as server:
        head, _ = await read(fetching(), server.url("/a"), Span(5))

        assert (head.status, head.total, head.span) == (416, 5, None)


async def test_a_server_without_ranges_answers_with_the_whole(reactor: Any, fetching: MakeFetcher) -> None:
    """200 is always a right answer to a Range."""
    async with FaultServer(reactor, answer(Entity(b"hello", ranges=False))) as server:
        head, data = await read(fetching(), server.url("/a"), Span(3))

        assert (head.status, head.span, data) == (200, None, b"hello")


async def test_the_last_bytes_of_a_file_can_be_asked_for(reactor: Any, fetching: MakeFetcher) -> None:
    """Where they begin follows from the total."""
    async with FaultServer(reactor, answer(b"0123456789")) as server:
        head, data = await read(fetching(), server.url("/a"), Span(-3))
        longer, everything = await read(fetching(), server.url("/a"), Span(-30))

        assert (head.span, head.total, data) == (Span(7, 10), 10, b"789")
        assert (longer.span, everything) == (Span(0, 10), b"0123456789")


@pytest.mark.parametrize("total", [b"10", b"*"])
async def test_a_part_may_be_shorter_than_asked_for_and_of_unknown_total(
    reactor: Any, fetching: MakeFetcher, total: bytes
) -> None:
    """RFC 9110 section 14.4: the head says what this is."""
    script = raw(b"206 Partial Content\r\nContent-Range: bytes 4-6/" + total, b"456")
    async with FaultServer(reactor, script) as server:
        head, data = await read(fetching(), server.url("/a"), Span(4))

        assert (head.span, head.total, data) == (Span(4, 7), 10 if total == b"10" else None, b"456")


@pytest.mark.parametrize(
    ("asked", "fields", "length"),
    [
        (Span(4), b"", 6),
        (Span(4), b"Content-Range: bytes 0-5/10\r\n", 6),
        (Span(4), b"Content-Range: bytes 5-9/10\r\n", 5),
        (Span(4), b"Content-Range: bytes 4-9/9\r\n", 6),
        (Span(4), b"Content-Range: bytes 4-3/10\r\n", 0),
        (Span(4), b"Content-Range: bytes 4-9/10\r\n", 7),
        (Span(4), b"Content-Range: items 4-9/10\r\n", 6),
        (Span(4), b"Content-Range: bytes 4-9\r\n", 6),
        (Span(4), b"Content-Range: bytes=4-9/10\r\n", 6),
        (Span(4), b"Content-Range: bytes */10\r\n", 6),
        (Span(4), b"Content-Range: bytes 4-9/10\r\nContent-Range: bytes 4-9/11\r\n", 6),
        (Span(4), b"Content-Range: bytes 4-99999999999999999999999/*\r\n", 6),
        (Span(4, 6), b"Content-Range: bytes 4-9/10\r\n", 6),
        (Span(-3), b"Content-Range: bytes 4-9/10\r\n", 6),
        (Span(-3), b"Content-Range: bytes 7-9/*\r\n", 3),
        (Span(4), b"Content-Type: multipart/byteranges; boundary=b\r\n", 6),
    ],
)
async def test_another_part_than_asked_for_is_a_ProtocolError(
    reactor: Any, fetching: MakeFetcher, asked: Span, fields: bytes, length: int
) -> None:
    """Bytes at the wrong place are worse than none; the connection is not kept."""
    script = (
        raw(b"206 Partial Content\r\n" + fields.rstrip(b"\r\n"), b"x" * length) if fields else raw(b"206 P", b"x" * 6)
    )
    async with FaultServer(reactor, script) as server:
        with pytest.raises(ProtocolError, match=r"part|content-range"):
            await fetching().open(Source(server.url("/a")), asked)


async def test_a_head_costs_no_body(reactor: Any, fetching: MakeFetcher) -> None:
    """HEAD, with the length of the body that would come; the connection can be used again."""
    async with FaultServer(reactor, answer(b"hello")) as server:
        fetcher = fetching()
        first = await fetcher.head(Source(server.url("/a")))
        second = await fetcher.head(Source(server.url("/a")))

        assert (first.status, first.length, first.total) == (200, 5, 5)
        assert second == first
        assert [request.method for request in server.requests] == ["HEAD", "HEAD"]
        assert server.connections.total == 1


# ---- Retry-After


async def test_a_503_says_when_to_come_back(reactor: Any, fetching: MakeFetcher) -> None:
    """In seconds, or as a date."""
    dated = (
        b"429 Too Many Requests\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:47 GMT"
    )
    scripts = [answer(b"", 503, ((b"Retry-After", b"7"),)), raw(dated), answer(b"", 500)]
    async with FaultServer(reactor, Nth(scripts)) as server:
        waits = []
        for _ in scripts:
            with pytest.raises(Unavailable) as raised:
                await fetching().open(Source(server.url("/a")))
            waits.append(raised.value.retry_after)

        assert waits == [7.0, 10.0, None]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"120", 120.0),
        (b"-1", None),
        (b"1.5", None),
        (b"soon", None),
        (b"", None),
        (b"\xff", None),
        (b"9" * 400, None),
        (formatdate(1_000_060, usegmt=True).encode(), 60.0),
        (formatdate(999_000, usegmt=True).encode(), 0.0),
        (b"Sun, 99 Foo 9999 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_never_negative_and_garbage_is_ignored(value: bytes, seconds: float | None) -> None:
    """Without a Date, our own clock is all there is."""
    assert retry_after(((b"Retry-After", value),), 1_000_000) == seconds


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
@pytest.mark.parametrize(
    "date", [b"Mon, 12 Jan 1970 13:47:40 GMT", b"Monday, 12-Jan-70 13:47:40 GMT", b"Mon Jan 12 13:47:40 1970"]
)
def test_a_date_in_retry_after_is_in_utc_in_whatever_form(
    date: bytes, zone: str, in_zone: Callable[[str], None]
) -> None:
    """RFC 9110 section 5.6.7; wherever this machine stands, and whether the server tells its own time or not."""
    in_zone(zone)
    now = (b"Date", b"Mon, 12 Jan 1970 13:47:10 GMT")

    assert retry_after(((b"Retry-After", date),), 1_000_000) == 60.0
    assert retry_after(((b"Retry-After", date), now), 5) == 30.0


@given(value=st.binary(max_size=40) | st.text(alphabet="0123456789 :,GMTSunOct-+.", max_size=40).map(str.encode))
def test_whatever_retry_after_says_it_is_seconds_or_nothing(value: bytes) -> None:
    """It is a stranger's word."""
    found = retry_after(((b"Retry-After", value),), 1_000_000)

    assert found is None or found >= 0


# ---- close


async def test_close_ends_what_runs_and_leaves_no_socket_in_use(reactor: Any, fetching: MakeFetcher) -> None:
    """Requests and deliveries fail with CancelledError; a body that nobody has read is let go; twice is once."""
    stuck = [Send(response_head(200, ((b"Content-Length", b"10"),)) + b"half"), Hold()]
    async with FaultServer(reactor, {"/silent": Hold(), "/stuck": stuck}) as server:
        fetcher = fetching()
        opening = fetcher.open(Source(server.url("/silent")))
        reading: Any = (await fetcher.open(Source(server.url("/stuck")))).deliver(Sink())
        await fetcher.open(Source(server.url("/stuck")))
        await fetcher.close()
        assert server.connections.open == 0
        await fetcher.close()

        for each in (opening, reading):
            with pytest.raises(CancelledError):
                await each


async def test_close_ends_a_request_alone(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, Hold()) as server:
        fetcher = fetching()
        opening = fetcher.open(Source(server.url("/silent")))
        await fetcher.close()
        with pytest.raises(CancelledError):
            await opening


async def test_close_takes_no_longer_than_a_socket_does(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, Hold()) as server:
        fetcher = fetching()
        opening = fetcher.open(Source(server.url("/silent")))
        await until(reactor, lambda: server.requests)
        closing = fetcher.close()
        with pytest.raises(CancelledError):
            await opening
        for _ in range(3):
            await turn(reactor)
        assert closing.called


async def test_close_ends_a_body_alone(reactor: Any, fetching: MakeFetcher) -> None:
    stuck = [Send(response_head(200, ((b"Content-Length", b"10"),)) + b"half"), Hold()]
    async with FaultServer(reactor, stuck) as server:
        fetcher = fetching()
        reading: Any = (await fetcher.open(Source(server.url("/stuck")))).deliver(Sink())
        await fetcher.close()
        assert server.connections.open == 0
        with pytest.raises(CancelledError):
            await reading


@implementer(IAuth, IAuthenticator)
class Pondering:
    """Never comes to an end: with what is to be sent, or with a challenge."""

    def __init__(self, *, first: bool) -> None:
        self._first = first
        self.asked: list[Deferred[Any]] = []

    def start(self, direct: IDownloader) -> Pondering:
        return self

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Deferred[None]:
        return self._ponder() if self._first else succeed(None)

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        return self._ponder()

    def _ponder(self) -> Deferred[Any]:
        self.asked.append(Deferred())
        return self.asked[-1]


@pytest.mark.parametrize("first", [True, False])
async def test_close_ends_a_login(reactor: Any, fetching: MakeFetcher, first: bool) -> None:
    auth = Pondering(first=first)
    async with FaultServer(reactor, answer(b"who?", 401)) as server:
        fetcher = fetching(auth=auth)
        opening = fetcher.open(Source(server.url("/a")))
        await until(reactor, lambda: auth.asked)
        await fetcher.close()
        with pytest.raises(CancelledError):
            await opening
        assert auth.asked[0].called


async def test_close_ends_who_waits_for_its_turn(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, answer(b"x")) as server:
        fetcher = fetching(limits=Limits(requests_per_second=0.01))
        await read(fetcher, server.url("/a"))
        opening = fetcher.open(Source(server.url("/b")))
        await fetcher.close()
        with pytest.raises(CancelledError):
            await opening


async def test_nothing_is_left_to_close_of_what_has_ended(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, {"/a": answer(b"x"), "/b": redirect("/a")}) as server:
        fetcher = fetching()
        await read(fetcher, server.url("/b"))
        with pytest.raises(NotFound):
            await fetcher.open(Source(server.url("/missing")))
        port = server.port
    with pytest.raises(ConnectFailed):
        await fetcher.open(Source(f"http://127.0.0.1:{port}/a"))
    assert fetcher.close().called


def test_one_that_has_nothing_to_do_is_closed_at_once(fetching: MakeFetcher) -> None:
    assert fetching().close().called


# ---- against a server that is not ours


@pytest.fixture
def nginx(tmp_path: Path, program: Callable[[str], str]) -> Iterator[str]:
    """A real server with one file of ten bytes; its URL."""
    path = program("nginx")
    address = "127.0.0.1", *free_ports(1)
    (tmp_path / "file").write_bytes(b"0123456789")
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr; events {{ }}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{address[1]}; root {tmp_path};"
        f" location = /moved {{ return 302 /file; }} }} }}\n"
    )
    process = subprocess.Popen([path, "-p", str(tmp_path), "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None
            with socket.socket() as trying:
                if trying.connect_ex(address) == 0:
                    break
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        process.terminate()
        process.wait()


async def test_nginx_is_understood(fetching: MakeFetcher, nginx: str) -> None:
    """Whole, part, rest of the same file, 304, 416, redirect, HEAD and 404, as a server of another make says them."""
    fetcher = fetching()
    whole, data = await read(fetcher, nginx + "/file")
    part, middle = await read(fetcher, nginx + "/file", Span(3, 5))
    rest, end = await read(fetcher, nginx + "/file", Span(7), whole.validators)
    changed, again = await read(fetcher, nginx + "/file", Span(7), Validators(b'"other"'))
    unchanged, _ = await read(fetcher, Source(nginx + "/file", conditions={"If-None-Match": whole.etag or b""}))
    outside, _ = await read(fetcher, nginx + "/file", Span(10))
    moved, there = await read(fetcher, nginx + "/moved")
    head = await fetcher.head(Source(nginx + "/file"))
    with pytest.raises(NotFound):
        await fetcher.open(Source(nginx + "/missing"))

    assert [each.status for each in (whole, part, rest, changed, unchanged, outside, moved, head)] == [
        200, 206, 206, 200, 304, 416, 200, 200,
    ]  # fmt: skip
    assert (data, middle, end, again, there) == (b"0123456789", b"34", b"789", b"0123456789", b"0123456789")
    assert (part.span, rest.span, outside.total, head.length) == (Span(3, 5), Span(7, 10), 10, 10)
    assert moved.url == nginx + "/file"
