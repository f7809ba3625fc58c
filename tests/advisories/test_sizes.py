"""
What has no end, or is much larger than it looks.

Each test has the name of an advisory; what else was of its kind stands in its docstring.
"""

from __future__ import annotations

import contextlib
import gzip
import time
import zlib

import pytest

from pulp_dl import Size, Source
from pulp_dl.errors import DownloadError, ProtocolError, Refused, TooLarge
from pulp_dl.testing import Chunk, Drip, Repeat, Send, answer, response_head
from pulp_dl.urls import parse
from tests.memory import world

URL = "http://a.example/f"
LIMIT = 1_000_000
"""Bytes that a server may get rid of before it is left."""


@pytest.mark.parametrize("line", [b"X: " + b"y" * 1000 + b"\r\n", b"X: y\r\n", b"x" * 1000])
def test_cve_2023_38039_fields_without_end_are_not_kept(line: bytes) -> None:
    """Of curl."""
    with world() as here:
        server = here.serve("a.example", [Send(b"HTTP/1.1 200 OK\r\n"), Repeat(Send(line))])
        here.error(ProtocolError, URL)
        assert server.bytes_sent < LIMIT


def test_cve_2021_3737_interim_answers_without_end_are_not_waited_for() -> None:
    """Of CPython."""
    for script in (Repeat(Send(b"HTTP/1.1 100 Continue\r\n\r\n")), Drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, 25, 10)):
        with world() as here:
            server = here.serve("a.example", script)
            here.error(DownloadError, URL, seconds=70)
            assert server.bytes_sent < LIMIT


def test_cve_2023_39326_what_stands_around_chunks_has_a_limit() -> None:
    """Of Go: a byte for each four kilobytes."""
    chunk = Chunk(b"x", ext=b";" + b"y" * 4000)
    with world() as here:
        head = response_head(200, ((b"Transfer-Encoding", b"chunked"),))
        server = here.serve("a.example", [Send(head), Repeat(chunk)])
        here.error(ProtocolError, URL)
        assert server.bytes_sent < LIMIT


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"gzip, gzip, gzip"])
def test_cve_2025_66471_a_bomb_is_bytes_like_any_others(coding: bytes) -> None:
    """
    urllib3; also its CVE-2025-66418, CVE-2025-6176 of scrapy, CVE-2022-32206 and CVE-2023-23916 of curl (chains of
    codings): nothing is unpacked.
    """
    bomb = gzip.compress(zlib.compress(bytes(20_000_000)))
    with world() as here:
        here.serve("a.example", answer(bomb, headers=((b"Content-Encoding", coding),)))
        body, report = here.fetch(Source(URL, Size(len(bomb))))

        assert body == bomb
        assert report.head.get(b"content-encoding") == coding


@pytest.mark.parametrize("expected", [0, 1, 1000])
def test_an_endless_body_is_left_at_the_first_byte_too_many(expected: int) -> None:
    """The endless data attack of The Update Framework's list."""
    head = response_head(200, ((b"Connection", b"close"),))
    with world() as here:
        server = here.serve("a.example", [Send(head), Repeat(Send(bytes(8192)))])
        here.error(TooLarge, Source(URL, Size(expected)))
        assert server.bytes_sent < LIMIT


def test_cve_2021_33503_no_url_takes_long_to_read() -> None:
    """Of urllib3: an authority of many at signs."""
    began = time.perf_counter()
    for authority in ("@" * 100_000, "a@" * 50_000 + "b", "[" * 100_000, "a" * 100_000, "a:" * 50_000, "%" * 100_000):
        with contextlib.suppress(Refused, ValueError):
            parse(f"http://{authority}/")
    assert time.perf_counter() - began < 2
