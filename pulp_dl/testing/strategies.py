"""
What servers may say, for hypothesis: right answers in every framing, wrong ones, and how their bytes may arrive.

Sizes are small, because what breaks does so at edges that the strategies seek (empty, one byte, the end of a buffer),
and hypothesis tries hundreds.
"""

from __future__ import annotations

from typing import Self

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("the strategies need hypothesis: pip install 'pulp_dl[test]'") from error

from ..model.headers import Pairs
from .answer import Framing, response_head
from .entity import Entity, History
from .script import Chunk, Close, Cut, CutTLS, Drip, Hold, Repeat, Reset, Script, Send, Wait

__all__ = [
    "bodies",
    "chunked",
    "cuts",
    "ends",
    "entities",
    "faults",
    "framings",
    "heads",
    "histories",
    "interim",
    "junk",
    "names",
    "segmentations",
    "urls",
]

EDGES = (0, 1, 2, 1023, 1024, 65535, 65536, 65537)
"""Sizes at which buffers begin or end."""


def bodies(max_size: int = 70_000) -> st.SearchStrategy[bytes]:
    """Bodies of every size up to this, the edges of buffers above all; long ones repeat themselves."""
    sizes = st.sampled_from([size for size in EDGES if size <= max_size]) | st.integers(0, min(max_size, 300))
    seeds = st.binary(min_size=1, max_size=8)
    return st.builds(Repeated, seeds, sizes)


class Repeated(bytes):
    """So many bytes of the same ones over and over; hypothesis would choke on printing all of them."""

    seed: bytes

    def __new__(cls, seed: bytes, size: int) -> Self:
        made = super().__new__(cls, (seed * (size // len(seed) + 1))[:size])
        made.seed = seed
        return made

    def __repr__(self) -> str:
        times = len(self) // len(self.seed) + 1
        return bytes.__repr__(self) if len(self) < 20 else f"({self.seed!r} * {times})[:{len(self)}]"


def segmentations(size: int = 70_000) -> st.SearchStrategy[list[int]]:
    """
    Sizes of segments for a C{MemoryNetwork}, from a byte at a time to all at once.

    @param size: bytes that are to come; if they are many, not all of them come in tiny segments.
    """
    sizes = st.sampled_from([1, 2, 3, 7, 64, 1024, 65536]) | st.integers(1, size)
    return st.lists(sizes, min_size=1, max_size=6).map(lambda found: found if size <= 2000 else [*found, 65536])


def framings() -> st.SearchStrategy[Framing]:
    """The three ways to tell where a body ends."""
    return st.sampled_from(("length", "chunked", "close"))


def entities(max_size: int = 70_000) -> st.SearchStrategy[Entity]:
    """Files as honest and less honest servers have them: with strong, weak or no validators, with ranges or without."""
    return st.builds(
        Entity,
        bodies(max_size),
        st.sampled_from([None, b'"1"', b'W/"1"', b'""']),
        st.sampled_from([None, b"Mon, 05 Jan 2026 10:00:00 GMT", b"Mon, 05 Jan 2026 11:59:59 GMT", b"yesterday"]),
        ranges=st.booleans(),
        total=st.sampled_from([None, None, None, "*"]),
    )


def histories(max_size: int = 70_000) -> st.SearchStrategy[History]:
    """Files that change up to three times; each version has an ETag of its own."""
    return st.lists(bodies(max_size), min_size=1, max_size=4, unique=True).map(lambda found: History.of(*found))


def names() -> st.SearchStrategy[bytes]:
    """Names of header fields that mean nothing."""
    return st.from_regex(rb"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)


def heads() -> st.SearchStrategy[Pairs]:
    """Fields that mean nothing to anybody, but have to come through as they are: order, case, doubles, odd bytes."""
    values = st.binary(max_size=20).map(_visible)
    return st.lists(st.tuples(names(), values), max_size=6).map(tuple)


def _visible(value: bytes) -> bytes:
    """RFC 9110 section 5.5: no control bytes but tabs, and no blanks at the ends."""
    return bytes(byte for byte in value if byte == 9 or (byte >= 32 and byte != 127)).strip(b" \t")


def interim() -> st.SearchStrategy[bytes]:
    """Up to a few 1xx answers, which come before the real one."""
    one = st.builds(response_head, st.sampled_from([100, 102, 103]), heads())
    return st.lists(one, max_size=3).map(b"".join)


def chunked(body: bytes) -> st.SearchStrategy[list[Chunk]]:
    """This body in chunks of every size, with extensions, and its last chunk."""
    return st.lists(st.integers(1, max(1, len(body))), max_size=6).flatmap(
        lambda sizes: st.lists(
            st.sampled_from([b"", b";a", b";a=b", b';a="b c"']), min_size=len(sizes) + 2, max_size=len(sizes) + 2
        ).map(lambda extensions: _chunks(body, sizes, extensions))
    )


def _chunks(body: bytes, sizes: list[int], extensions: list[bytes]) -> list[Chunk]:
    pieces = []
    for size in sizes:
        pieces.append(body[:size])
        body = body[size:]
    parts = [piece for piece in (*pieces, body) if piece]
    return [*map(Chunk, parts, extensions), Chunk(b"", extensions[-1])]


def ends() -> st.SearchStrategy[Script]:
    """Ways in which a connection ends, or does not."""
    return st.sampled_from([Close(), Reset(), CutTLS(), Hold(), Wait(10_000)])


def cuts(script: Script, size: int) -> st.SearchStrategy[Script]:
    """This script, broken off somewhere in the body, which has so many bytes on the wire."""
    return st.builds(Cut, st.just(script), st.integers(0, size), ends())


def junk() -> st.SearchStrategy[Script]:
    """What is no answer: nothing, noise, half a head, a head without end, a body without end."""
    endless = [Repeat(Send(b"X: y\r\n" * 100)), [Send(response_head(200)), Repeat(Send(bytes(65536)))]]
    return st.one_of(
        ends(),
        st.builds(lambda data, end: [Send(data), end], st.binary(max_size=200), ends()),
        st.builds(lambda end: [Send(b"HTTP/1.1 200 OK\r\nContent-Le"), end], ends()),
        st.builds(lambda more: [Send(b"HTTP/1.1 200 OK\r\n"), more, Reset()], st.sampled_from(endless)),
    )


def faults(script: Script, size: int) -> st.SearchStrategy[Script]:
    """This right script of a body of so many bytes, or something that goes wrong with it; most are right."""
    wrong = st.one_of(cuts(script, size), junk(), st.builds(Drip, st.just(script), st.integers(1, 5000), st.just(1)))
    return st.one_of(st.just(script), st.just(script), wrong)


def urls(scheme: str = "http") -> st.SearchStrategy[str]:
    """Absolute URLs that are right: names, addresses, ports, userinfo, escapes, raw UTF-8, queries, fragments."""
    hosts = st.sampled_from(["example.org", "EXAMPLE.org", "localhost", "127.0.0.1", "[::1]", "a_b.example", "x.y."])
    ports = st.sampled_from(["", ":80", ":8080", ":"])
    users = st.sampled_from(["", "", "elmer@", "elmer:secret@", "e%40b:p%3Aq@"])
    segments = st.sampled_from(["", "a", "b.rpm", "%2F", "%e4", "ä", "..", ".", "a b", "+", "a;b=c", "~"])
    paths = st.lists(segments, max_size=4).map(lambda found: "".join("/" + each for each in found))
    queries = st.sampled_from(["", "?", "?a=b", "?Signature=a%2Fb%3D&Expires=1", "?a?b/c", "?ä=ö"])
    fragments = st.sampled_from(["", "", "#", "#part"])
    return st.builds(lambda *parts: f"{scheme}://" + "".join(parts), users, hosts, ports, paths, queries, fragments)
