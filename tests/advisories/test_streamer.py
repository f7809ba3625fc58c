"""
What clients of a streamer send, and what goes through it.

Each test has the name of an advisory; what else was of its kind stands in its docstring.
"""

from __future__ import annotations

from typing import Any

import pytest

from pulp_dl import Source
from pulp_dl.testing import Nth, Reset, Wait, answer
from tests.streamer.client import request
from tests.streamer.serving import serving, sha256

DATA = bytes(range(250)) * 800
SHA = sha256(DATA)
MARKUP = "<script>alert(1)</script>"


async def test_vsv00010_a_client_names_no_field_that_is_kept_from_the_origin(reactor: Any) -> None:
    """Of Varnish: Connection may name fields, which are then left out, also those that must not be."""
    named = "Connection: close, Host, Range, Content-Length, X-Forwarded-For, Content-Type"
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        seen = await served.ask("/f", named, "Range: bytes=5-9")

        assert (seen.status, seen.body, seen.get("content-length")) == (206, DATA[5:10], b"5")
        assert served.origin.requests[0].host == f"127.0.0.1:{served.origin.port}"


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example/f",
        "//evil.example/f",
        "@evil.example/f",
        "/@evil.example",
        "/../f",
        "/..%2ff",
        "*",
        "evil:80",
    ],
)
async def test_vsv00018_no_target_names_another_server(reactor: Any, target: str) -> None:
    """Of Varnish."""
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        seen = await served.ask(target)

        assert seen.status in {200, 400, 404, 405, 421}
        assert {each.host for each in served.origin.requests} <= {f"127.0.0.1:{served.origin.port}"}
        assert {each.target for each in served.origin.requests} <= {"/f"}


@pytest.mark.parametrize(
    "ranges",
    [
        "bytes=" + ",".join(f"{at}-" for at in range(1300)),
        "bytes=" + ",".join("0-" for _ in range(1300)),
        "bytes=0-18446744073709551615,-9223372036854775807",
    ],
)
async def test_cve_2011_3192_many_ranges_cost_no_more_than_one_body(reactor: Any, ranges: str) -> None:
    """Of Apache httpd."""
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        seen = await served.ask("/f", f"Range: {ranges}")

        assert (seen.status, seen.body, seen.whole) == (200, DATA, True)
        assert len(served.origin.requests) == 1


@pytest.mark.parametrize(
    "value",
    [
        "bytes=-9223372036854775807",
        "bytes=-999999999999999999",
        "bytes=-99999999999999999999999999",
        "bytes=9223372036854775807-",
        "bytes=999999999999999999-",
        "bytes=0-9223372036854775807",
        "bytes=0-999999999999999999",
        "bytes=99999999999999999999999999-",
        "bytes=5-4",
    ],
)
async def test_cve_2017_7529_no_range_is_computed_beyond_its_file(reactor: Any, value: str) -> None:
    """Of nginx."""
    async with serving(reactor, answer(DATA), expect=SHA) as served:
        seen = await served.ask("/f", f"Range: {value}")

        assert seen.whole
        assert (seen.status == 416 and seen.body != DATA) or (seen.status in {200, 206} and seen.body == DATA)


async def test_cve_2022_39348_an_error_repeats_nothing_of_its_request(reactor: Any) -> None:
    """Of Twisted, of Host; and of the target, its CVE-2024-41810; Squid CVE-2025-62168, of credentials."""
    script = Nth([Reset(), answer(b"", 500), answer(b"", 302, ((b"Location", f'http://a/"{MARKUP}'.encode()),))])

    async with serving(reactor, script) as served:
        client = await served.connect()
        raws = [
            request(path, f"X: {MARKUP}", "Authorization: Basic c2VjcmV0") for path in (f"/{MARKUP}", "/f", "/f", "/f")
        ]
        raws.append(b"GET /none HTTP/1.1\r\nHost: %b\r\n\r\n" % MARKUP.encode())
        raws.append(b"GET /f HTTP/9.9 %b\r\nHost: a\r\n\r\n" % MARKUP.encode())
        for raw in raws:
            if client.lost.called:
                client = await served.connect()
            seen = await client.ask(raw)
            assert seen.status is None or seen.status >= 400
            assert seen.get("content-type") in {None, b"text/plain; charset=us-ascii"}
            said = bytes(client.raw)
            assert b"script" not in said
            assert b"c2VjcmV0" not in said
            client.raw.clear()
        await client.close()


async def test_cve_2024_41671_answers_come_in_the_order_of_their_requests(reactor: Any) -> None:
    """Of Twisted; also its CVE-2023-46137: what is asked for behind a request that takes its time."""
    slow = [Wait(0.05), answer(b"1" * 1000)]

    def files(origin: Any) -> dict[str, Source]:
        return {f"/{name}": Source(origin.url(f"/{name}")) for name in "123"}

    script = {"/1": slow, "/2": answer(b"2" * 1000), "/3": answer(b"3" * 1000)}
    async with serving(reactor, script, files) as served:
        client = await served.connect()
        last = request("/3", "Connection: close")
        client.transport.write(request("/1") + request("/2", "Content-Length: 5") + b"hello" + last)
        await client.lost

        said = bytes(client.raw)
        assert said.count(b"HTTP/1.1 200") == 3
        assert said.index(b"1" * 1000) < said.index(b"2" * 1000) < said.index(b"3" * 1000)
