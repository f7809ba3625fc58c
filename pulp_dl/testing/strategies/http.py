"""Answers of HTTP servers, right ones in every framing, and what goes wrong with them, as scripts."""

from __future__ import annotations

from hypothesis import strategies as st

from ...model.headers import Pairs
from ..answer import Framing, answer, response_head
from ..entity import History
from ..script import Chunk, Close, Cut, CutTLS, Drip, Hold, Nth, Repeat, Reset, Script, Send, Wait

__all__ = [
    "chunked",
    "cuts",
    "ends",
    "faults",
    "framings",
    "heads",
    "interim",
    "junk",
    "lengths",
    "names",
    "servers",
]


def framings() -> st.SearchStrategy[Framing]:
    """The three ways to tell where a body ends."""
    return st.sampled_from(("length", "chunked", "close"))


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


def lengths(size: int) -> st.SearchStrategy[Pairs]:
    """
    Fields that say, or seem to say, that a body has so many bytes: one right Content-Length, in any case, or what is no
    number, another number, or several.
    """
    right = b"%d" % size
    others = [b"0" + right, right + b" ", b"\t" + right, b"+" + right, b"-" + right, b"0x%x" % size, right + b".0"]
    others += [right + b"," + right, right + b"_0", b'"' + right + b'"', b"", b" ", b"\xb2", b"9" * 30, b"%d" % 2**64]
    values = st.sampled_from([right, right, *others, b"%d" % (size + 1), b"%d" % max(0, size - 1)])
    cases = st.sampled_from([b"Content-Length", b"content-length", b"CONTENT-LENGTH"])
    one = st.tuples(cases, values)
    exact = st.tuples(cases, st.just(right))
    return st.lists(exact, min_size=1, max_size=1).map(tuple) | st.lists(one, max_size=3).map(tuple)


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


def servers(history: History, *, patient: bool = True) -> st.SearchStrategy[Nth]:
    """
    A server of a file that changes: what becomes of the first few requests, and an honest answer to all later ones.

    It breaks off, stalls, drips, refuses, redirects to itself; but what it sends is the file, and nothing that it sends
    seems to be whole and is not: where the end of the connection is the end of the body, it breaks by a reset.

    @param patient: there may be waits, which cost nothing in memory.
    """
    scripts = st.lists(_answers(history, patient=patient), min_size=1, max_size=5)
    return scripts.map(lambda found: Nth((*found, answer(history))))


@st.composite
def _answers(draw: st.DrawFn, history: History, *, patient: bool) -> Script:
    framing = draw(framings())
    largest = max(len(version.data) for version in history.versions)
    piece = draw(st.sampled_from([max(1, largest // 3), 65536]))
    right = answer(history, framing=framing, piece=piece)
    kind = draw(st.sampled_from(["cut", "cut", "cut", "right", "status", "nothing", "slow"]))
    if kind == "cut":
        broken: list[Script] = [Reset()] if framing == "close" else [Reset(), Close(), CutTLS()]
        return Cut(right, draw(st.integers(0, largest + 20)), draw(st.sampled_from(broken + [Hold()] * patient)))
    if kind == "status":
        return answer(b"sorry", draw(st.sampled_from([204, 206, 304, 403, 404, 416, 429, 500, 503])))
    if kind == "nothing":
        return draw(junk()) if patient else draw(st.sampled_from([Reset(), Close(), Send(b"220 ftp\r\n")]))
    if kind == "slow" and patient:
        return Drip(right, draw(st.sampled_from([100, 3000, 20_000])), 1)
    return right
