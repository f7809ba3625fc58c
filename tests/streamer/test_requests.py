"""What a client may ask, what it is told, and what the origin hears of it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl import Size, Source, Span
from pulp_dl.consumers.plain import Plain
from pulp_dl.streamer import Answers, etag_of
from pulp_dl.streamer.asked import asked
from pulp_dl.streamer.path import Refusal, path_of
from pulp_dl.testing import Entity, Nth, Send, answer, response_head
from tests.streamer.client import request
from tests.streamer.serving import serving, sha256

DATA = bytes(range(250)) * 800  # 200,000 bytes
SHA = sha256(DATA)
ETAG = f'"sha256:{SHA.value}"'
OLD = b"Mon, 05 Jan 2026 10:00:00 GMT"


# ---- methods


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("checked", [True, False])
async def test_a_file_of_any_size_comes_whole_in_every_framing(
    reactor: Any, size: int, framing: Any, version: str, checked: bool
) -> None:
    data = DATA[:size]
    async with serving(reactor, answer(data, framing=framing), expect=sha256(data) if checked else ()) as served:
        seen = await served.ask(version=version)

    assert (seen.status, seen.whole) == (200, True)
    assert seen.body == data
    if framing == "length":
        assert seen.get("content-length") == b"%d" % size


async def test_a_length_that_the_origin_did_not_tell_is_told_if_the_importer_knows_it(reactor: Any) -> None:
    async with serving(reactor, answer(DATA, framing="chunked"), expect=Size(len(DATA))) as served:
        seen = await served.ask()

    assert seen.get("content-length") == b"200000"
    assert seen.body == DATA


async def test_head_costs_the_origin_a_head_and_keeps_the_length(reactor: Any) -> None:
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        seen = await served.ask(method="HEAD")

        assert (seen.status, seen.body, seen.get("content-length")) == (200, b"", b"200000")
        assert seen.get("etag") == ETAG.encode()
        assert [each.method for each in served.origin.requests] == ["HEAD"]


async def test_head_of_a_file_of_the_wrong_size_fails_as_its_get_would(reactor: Any) -> None:
    async with serving(reactor, answer(DATA), expect=Size(5)) as served:
        assert (await served.ask(method="HEAD")).status == 502
        assert (await served.ask()).status == 502


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get"])
async def test_other_methods_are_told_which_are_allowed(reactor: Any, method: str) -> None:
    async with serving(reactor, answer(DATA)) as served:
        seen = await served.ask(method=method)

        assert (seen.status, seen.get("allow")) == (405, b"GET, HEAD")
        assert served.origin.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("field", "body"), [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")]
)
async def test_a_small_body_of_a_request_goes_nowhere(reactor: Any, method: str, field: str, body: str) -> None:
    async with serving(reactor, answer(DATA)) as served:
        client = await served.connect()
        seen = await client.ask(request("/f", field, method=method) + body.encode())
        again = await client.ask(request())  # what follows is read as what it is
        await client.close()

        assert (seen.status, again.status) == (200 if method == "GET" else 405, 200)
        assert all(b"hello" not in each.raw and each.get(b"content-length") is None for each in served.origin.requests)


@pytest.mark.parametrize("field", ["Content-Length: 10000000000", "Transfer-Encoding: chunked"])
async def test_a_large_body_of_a_request_is_not_read(reactor: Any, field: str) -> None:
    async with serving(reactor, answer(DATA)) as served:
        client = await served.connect()
        seen = await client.ask(request("/f", field, method="POST") + (b"ffffff\r\n" + b"x" * 100_000))
        await client.close()

        assert seen.status == 413


async def test_what_was_refused_is_not_answered_again_when_its_end_comes(reactor: Any) -> None:
    body = b"11170\r\n" + b"x" * 0x11170 + b"\r\n0\r\n\r\n"  # 70,000 bytes
    async with serving(reactor, answer(DATA)) as served:
        client = await served.connect()
        client.transport.write(request("/f", "Transfer-Encoding: chunked", method="POST") + body)
        await client.lost

        assert client.raw.count(b"HTTP/1.1 ") == 1
        assert served.told.begun == []


# ---- names


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://127.0.0.1/f", 400),
        ("//127.0.0.1/f", 400),
        ("*", 400),
        ("f", 400),
        ("/../f", 400),
        ("/a/../f", 400),
        ("/%2e%2e/f", 400),
        ("/./f", 400),
        ("/a/..", 400),
        ("/a%2ff", 400),
        ("/a%5cf", 400),
        ("/a\\f", 400),
        ("/f%00", 400),
        ("/f%0a", 400),
        ("/f%7f", 400),
        ("/f%", 400),
        ("/f%zz", 400),
        ("/%ff", 400),
        ("/f#fragment", 400),
        ("/" + "a" * 8192, 414),
        ("/" + "a" * 20_000, 414),
        ("/..f/f..", 404),
        ("/f/", 404),
        ("/F", 404),
    ],
)
async def test_what_is_no_name_of_a_file_is_a_clear_4xx(reactor: Any, target: str, status: int) -> None:
    async with serving(reactor, answer(DATA)) as served:
        seen = await served.ask(target)

        assert (seen.status, seen.get("cache-control")) == (status, b"no-store")
        assert served.origin.requests == []
        assert not served.importer.asked or status == 404


@pytest.mark.parametrize("target", ["/a%20b", "/a+b?query=/../", "/%C3%A4;x=1", "/a//b", "/%41%7E"])
async def test_a_path_is_decoded_once_and_a_query_is_not_part_of_it(reactor: Any, target: str) -> None:
    async with serving(reactor, answer(DATA)) as served:
        await served.ask(target)

        assert served.importer.asked == [
            {"/a%20b": "/a b", "/%C3%A4;x=1": "/ä;x=1", "/%41%7E": "/A~"}.get(target, target.partition("?")[0])
        ]


@given(st.binary(max_size=40))
def test_whatever_the_target_a_path_is_safe_or_refused(rest: bytes) -> None:
    try:
        path = path_of(b"/" + rest, 8192)
    except Refusal as refusal:
        assert refusal.plain.status == 400
        return
    assert re.fullmatch(r"/(?:[^/\x00-\x1f\x7f].*)?", path)
    assert not {".", ".."} & {*path.split("/")}


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/\\"), min_size=1)))
def test_whatever_is_published_its_encoded_path_is_understood(segments: list[str]) -> None:
    path = "/" + "/".join(segment for segment in segments if segment not in {".", ".."})

    assert path_of(quote(path).encode(), 10**6) == path


@pytest.mark.parametrize("fields", [[], ["Host: a", "Host: b"]])
async def test_a_request_has_one_host(reactor: Any, fields: list[str]) -> None:
    raw = "\r\n".join(["GET /f HTTP/1.1", *fields, "", ""]).encode()
    async with serving(reactor, answer(DATA)) as served:
        client = await served.connect()
        seen = await client.ask(raw)
        await client.close()

        assert seen.status == 400


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /f HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /f HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
        b"GET /f HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET /f HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_400_and_the_end_of_the_connection(reactor: Any, raw: bytes) -> None:
    async with serving(reactor, answer(DATA)) as served:
        client = await served.connect()
        client.transport.write(raw)
        await client.lost

        assert client.raw.startswith(b"HTTP/1.1 400 ")
        assert client.raw.count(b"HTTP/1.1 ") == 1
        head, _, body = bytes(client.raw).partition(b"\r\n\r\n")
        fields = head.split(b"\r\n")
        assert {b"Content-Length: %d" % len(body), b"Connection: close", b"Cache-Control: no-store"} <= {*fields}
        assert any(each.startswith(b"Date: ") for each in fields)
        assert served.importer.asked == []


@pytest.mark.parametrize(
    "fields",
    [
        ["X: " + "a" * 20_000],
        [f"X-{number}: {'a' * 1000}" for number in range(20)],
        [f"X-{number}: a" for number in range(200)],
        ["X" * 257 + ": a", "X: a"],
        ["X" * 257 + ": a"],
    ],
)
async def test_a_head_that_is_too_large_ends_the_connection(reactor: Any, fields: list[str]) -> None:
    async with serving(reactor, answer(DATA)) as served:
        client = await served.connect()
        client.transport.write(request("/f", *fields))
        await client.lost

        assert client.raw.startswith(b"HTTP/1.1 431 ")
        assert client.raw.count(b"HTTP/1.1 ") == 1
        assert served.importer.asked == []


async def test_a_head_with_any_other_name_is_read(reactor: Any) -> None:
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        assert (await served.ask("/f", "X" * 256 + ": a", "X: " + "a" * 1000 + ":")).status == 200


# ---- parts


@pytest.mark.parametrize("expect", [(), SHA, (SHA, Size(len(DATA)))], ids=["nothing", "digest", "digest and size"])
@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=5-9", Span(5, 10)),
        ("bytes=199990-", Span(199_990, 200_000)),
        ("bytes=-7", Span(199_993, 200_000)),
        ("bytes=-300000", Span(0, 200_000)),
        ("bytes=0-", Span(0, 200_000)),
        ("bytes=5-9999999", Span(5, 200_000)),
        ("BYTES=5-9", Span(5, 10)),
    ],
)
async def test_one_range_is_forwarded_and_costs_no_more(reactor: Any, value: str, part: Span, expect: Any) -> None:
    assert part.stop is not None
    async with serving(reactor, answer(DATA), expect=expect) as served:
        seen = await served.ask("/f", f"Range: {value}")

        assert (seen.status, seen.body) == (206, DATA[part.start : part.stop])
        assert seen.all("content-range") == [b"bytes %d-%d/200000" % (part.start, part.stop - 1)]
        assert seen.all("content-length") == [b"%d" % len(seen.body)]
        assert seen.get("etag") == (ETAG.encode() if expect else b'"1"')
        assert [bool(each.get(b"range")) for each in served.origin.requests] == [True]
        report = (await served.ended()).report
        assert sum(each.received for each in report.attempts) == len(seen.body)


@pytest.mark.parametrize(
    "fields",
    [
        ["Range: bytes=0-1,5-6"],
        ["Range: bytes=0-1", "Range: bytes=5-6"],
        ["Range: bytes=9-5"],
        ["Range: bytes=a-b"],
        ["Range: bytes=-"],
        ["Range: lines=1-2"],
        ["Range: bytes=" + "0-0," * 1300 + "0-0"],
        ["Range: bytes=0-" + "9" * 5000],
    ],
    ids=range(8),
)
async def test_what_is_not_one_range_of_bytes_brings_the_whole(reactor: Any, fields: list[str]) -> None:
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        seen = await served.ask("/f", *fields)

        assert (seen.status, seen.body) == (200, DATA)
        assert served.origin.requests[0].get(b"range") is None


@pytest.mark.parametrize("expect", [(), (SHA, Size(len(DATA)))], ids=["asks the origin", "known here"])
@pytest.mark.parametrize("value", ["bytes=200000-", "bytes=999999-9999999"])
async def test_a_range_that_is_not_there_is_a_416_with_the_size(reactor: Any, value: str, expect: Any) -> None:
    async with serving(reactor, answer(DATA), expect=expect) as served:
        seen = await served.ask("/f", f"Range: {value}")

        assert (seen.status, seen.all("content-range")) == (416, [b"bytes */200000"])
        assert (seen.whole, seen.get("cache-control")) == (True, b"no-store")
        assert len(served.origin.requests) == (0 if expect else 1)


async def test_the_last_0_bytes_are_nowhere(reactor: Any) -> None:
    async with serving(reactor, answer(DATA)) as served:
        seen = await served.ask("/f", "Range: bytes=-0")

        assert seen.status == 416


async def test_an_origin_without_ranges_brings_the_whole(reactor: Any) -> None:
    async with serving(reactor, answer(Entity(DATA, ranges=False)), expect=SHA) as served:
        seen = await served.ask("/f", "Range: bytes=5-9")

        assert (seen.status, seen.body) == (200, DATA)


async def test_a_part_that_is_another_one_than_was_asked_for_is_refused(reactor: Any) -> None:
    lie = Send(response_head(206, ((b"Content-Range", b"bytes 6-10/200000"), (b"Content-Length", b"5"))) + b"hello")
    async with serving(reactor, lie) as served:
        assert (await served.ask("/f", "Range: bytes=5-9")).status == 502


async def test_head_has_no_part(reactor: Any) -> None:
    async with serving(reactor, answer(DATA)) as served:
        seen = await served.ask("/f", "Range: bytes=5-9", method="HEAD")

        assert (seen.status, seen.get("content-length")) == (200, b"200000")


# ---- conditions


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("value", [ETAG, f"W/{ETAG}", f'"a", {ETAG}', f'W/"a,b",{ETAG}', "*"])
async def test_with_a_digest_if_none_match_is_answered_here(reactor: Any, method: str, value: str) -> None:
    answers = Answers(max_age=60)
    async with serving(reactor, answer(DATA), expect=SHA, answers=answers) as served:
        seen = await served.ask("/f", f"If-None-Match: {value}", method=method)

        assert (seen.status, seen.body, seen.get("etag")) == (304, b"", ETAG.encode())
        assert seen.get("cache-control") == b"public, max-age=60"
        assert served.origin.requests == []


@pytest.mark.parametrize("value", ['"1"', '"a"', ETAG[:-1], ETAG.strip('"'), ""])
async def test_with_a_digest_another_tag_brings_the_file_and_goes_no_further(reactor: Any, value: str) -> None:
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        seen = await served.ask("/f", f"If-None-Match: {value}", f"If-Modified-Since: {OLD.decode()}")

        assert (seen.status, seen.body) == (200, DATA)
        assert all(b"If-" not in each.raw for each in served.origin.requests)


@pytest.mark.parametrize("fields", [['If-None-Match: "1"'], ['If-None-Match: "0"', 'If-None-Match: "1"']])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_without_a_digest_the_origin_judges_and_its_304_is_passed_on(
    reactor: Any, fields: list[str], method: str
) -> None:
    async with serving(reactor, answer(DATA)) as served:
        seen = await served.ask("/f", *fields, method=method)

        assert (seen.status, seen.get("etag"), seen.get("content-length")) == (304, b'"1"', None)


@pytest.mark.parametrize("expect", [(), SHA], ids=["nothing", "digest"])
async def test_if_modified_since_is_for_the_origin(reactor: Any, expect: Any) -> None:
    async with serving(reactor, answer(Entity(DATA, modified=OLD)), expect=expect) as served:
        seen = await served.ask("/f", f"If-Modified-Since: {OLD.decode()}")

        assert seen.status == 304
        assert seen.get("etag") == (ETAG.encode() if expect else b'"1"')


@pytest.mark.parametrize(("value", "status"), [(ETAG, 206), ('"1"', 200), (f"W/{ETAG}", 200), (OLD.decode(), 200)])
async def test_with_a_digest_if_range_is_answered_here(reactor: Any, value: str, status: int) -> None:
    async with serving(reactor, answer(Entity(DATA, modified=OLD)), expect=SHA) as served:
        seen = await served.ask("/f", "Range: bytes=5-9", f"If-Range: {value}")

        assert seen.status == status
        assert served.origin.requests[0].get(b"if-range") is None


@pytest.mark.parametrize(("value", "status"), [('"1"', 206), ('"2"', 200), ('W/"1"', 200)])
async def test_without_a_digest_if_range_is_for_the_origin(reactor: Any, value: str, status: int) -> None:
    async with serving(reactor, answer(DATA)) as served:
        seen = await served.ask("/f", "Range: bytes=5-9", f"If-Range: {value}")

        assert seen.status == status
        assert served.origin.requests[0].get(b"if-range") == value.encode()


async def test_who_has_a_part_of_a_file_that_changed_while_it_was_tried_gets_the_whole(reactor: Any) -> None:
    changed = Nth([answer(b"", 503), answer(Entity(b"new " + DATA, etag=b'"2"'))])
    async with serving(reactor, changed) as served:
        seen = await served.ask("/f", "Range: bytes=5-9", 'If-Range: "1"')
        exchange = await served.ended()

        assert (seen.status, seen.body, seen.whole) == (200, b"new " + DATA, True)
        assert seen.get("etag") == b'"2"'
        assert exchange.error is None
        assert [each.get(b"range") for each in served.origin.requests] == [b"bytes=5-9", b"bytes=5-9", None]


@pytest.mark.parametrize(("value", "status"), [(ETAG, 200), ("*", 200), ('"1"', 412), (f"W/{ETAG}", 412)])
async def test_if_match_holds_or_the_file_does_not_come(reactor: Any, value: str, status: int) -> None:
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        assert (await served.ask("/f", f"If-Match: {value}")).status == status


@given(
    st.dictionaries(
        st.sampled_from([b"range", b"if-range", b"if-none-match", b"if-match", b"if-modified-since"]),
        st.lists(st.binary(max_size=20) | st.sampled_from([b"bytes=1-2", b'"1"', b"*", b"bytes=-1"]), min_size=1),
    ),
    st.sampled_from([(), (SHA,), (SHA, Size(5)), (Size(0),)]),
)
def test_whatever_is_asked_there_is_an_answer_or_a_source(fields: dict[bytes, list[bytes]], expect: Any) -> None:
    source = Source("http://a/f", expect)

    found = asked(fields, source)

    if isinstance(found, Plain):
        assert found.status in {304, 412, 416}
    else:
        assert found.url == source.url
        assert {name for name, _ in found.conditions} <= {b"If-None-Match", b"If-Modified-Since", b"If-Range"}
        assert etag_of(source) is None or {name for name, _ in found.conditions} <= {b"If-Modified-Since"}


# ---- connections


async def test_requests_of_one_connection_are_answered_in_order(reactor: Any) -> None:
    async with serving(reactor, answer(b"small")) as served:
        client = await served.connect()
        first = client.ask(request() + request("/no") * 100 + request("/f", "Connection: close"))
        assert (await first).body == b"small"
        await client.lost

        assert client.raw.count(b"HTTP/1.1 404 ") == 100
        assert client.raw.endswith(b"small")
        assert client.raw.count(b"Connection: close") == 1
        await served.ended(102)


async def test_who_waits_for_100_continue_hears_it_before_the_answer(reactor: Any) -> None:
    async with serving(reactor, answer(DATA)) as served:
        client = await served.connect()
        raw = request("/f", "Expect: 100-continue", "Content-Length: 5", method="PUT")
        await client.ask(raw + b"hello")
        await client.close()

        first, _, rest = bytes(client.raw).partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 100 ")
        assert rest.startswith(b"HTTP/1.1 405 ")
