"""Bytes that a server may send in answer to one request: right, nearly right, and wrong in every place."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

__all__ = ["wires"]

_STARTS: Final = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 200 ",
    b"HTTP/1.1 200",
    b"HTTP/1.1 404 Not  Found\t",
    b"HTTP/1.1 204 -",
    b"HTTP/1.1 304 -",
    b"HTTP/1.1 299 \xe4\xff",
    b"HTTP/1.1 101 Switching",
    b"HTTP/1.1 600 -",
    b"HTTP/1.1 99 -",
    b"HTTP/1.1 2000 -",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.2 200 OK",
    b"HTTP/2 200 OK",
    b"HTTP/0.9 200 OK",
    b"http/1.1 200 OK",
    b"HTTP/1.1\t200 OK",
    b"HTTP/1.1 200 O\x00K",
    b"HTTP/1.1 200 O\x7fK",
    b"RTSP/1.0 200 OK",
    b"ICY 200 OK",
    b"",
]
_FRAMING: Final = [
    b"Content-Length: 5",
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked",
    b"content-length:5",
    b"Content-Length: 05",
    b"Content-Length: 5\t",
    b"Content-Length: 6",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Content-Length: 0x5",
    b"Content-Length: ",
    b"Content-Length: 18446744073709551616",
    b"Content-Length : 5",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked ",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: ",
    b"Transfer-Encoding:\tchunked",
    b"Transfer_Encoding: chunked",
]
_FIELDS: Final = [
    b"X: y",
    b"x:",
    b"X:  two  words \t",
    b"X: \xe4\xff",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: upgrade",
    b"Upgrade: h2c",
    b"Trailer: X",
    b"X: a\x00b",
    b"X: a\x01b",
    b"X: a\x7fb",
    b"X: a\rb",
    b"X : y",
    b"X\xe4: y",
    b": y",
    b"no colon",
    b" folded",
    b"\tfolded",
    b"X: y\r\n folded",
    b'X(): "',
]
_CHUNKS: Final = [
    b"5\r\nhello\r\n",
    b"5\r\nhello\r\n",
    b"005\r\nhello\r\n",
    b"5;a=b\r\nhello\r\n",
    b'5;a="b;\\"c"\r\nhello\r\n',
    b"5 ;a\r\nhello\r\n",
    b"5; a = b\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5;\r\nhello\r\n",
    b"5;a\x00\r\nhello\r\n",
    b"5\nhello\r\n",
    b"5\r\nhello\n",
    b"5\r\nhello",
    b"6\r\nhello\r\n",
    b"4\r\nhello\r\n",
    b"+5\r\nhello\r\n",
    b"-5\r\nhello\r\n",
    b"0x5\r\nhello\r\n",
    b"5_\r\nhello\r\n",
    b"F\r\nhello, hello, he\r\n",
    b"10000000000000005\r\nhello\r\n",
    b"\r\n",
]
_LASTS: Final = [b"0\r\n", b"0\r\n", b"0\r\n", b"00\r\n", b"0;a\r\n", b"0 \r\n", b"0\n", b""]
_LINE_ENDS: Final = [b"\n", b"\r", b"\r\r\n", b" \r\n", b""]


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    """
    One answer.  Half of them are right but for one part, if that; in the others anything may be wrong, and bytes may be
    lost, doubled or changed anywhere.
    """
    tame = draw(st.booleans())
    odd = draw(st.sampled_from(["start", "framing", "field", "chunk", "end", "none"])) if tame else "all"

    def one(kind: str, right: int, choices: list[bytes]) -> bytes:
        return draw(st.sampled_from(choices if odd in {kind, "all"} else choices[:right]))

    def line(content: bytes) -> bytes:
        wrong = odd in {"end", "all"} and draw(st.integers(0, 9)) == 0
        return content + (draw(st.sampled_from(_LINE_ENDS)) if wrong else b"\r\n")

    def fields(most: int) -> list[bytes]:
        return [one("field", 9, _FIELDS) for _ in range(draw(st.integers(0, most)))]

    interim = [line(b"HTTP/1.1 103 Early") + line(one("field", 4, _FIELDS)) + line(b"")] * draw(st.integers(0, 2))
    found = [one("framing", 5, _FRAMING) for _ in range(draw(st.sampled_from([1, 1, 1, 0, 2])))]
    head = [line(one("start", 9, _STARTS)), *map(line, draw(st.permutations([*fields(3), *found]))), line(b"")]
    body = [draw(st.sampled_from([b"hello", b"hello", b"hell", b"hello!", b""]))]
    if any(b"hunked" in each for each in found):
        chunks = [one("chunk", 5, _CHUNKS) for _ in range(draw(st.integers(0, 2)))]
        body = [*chunks, one("chunk", 4, _LASTS), *map(line, fields(1)), line(b"")]
    wire = b"".join([*interim, *head, *body])
    for _ in range(draw(st.integers(0, 2)) if odd == "all" else 0):
        at = draw(st.integers(0, len(wire)))
        wire = wire[:at] + draw(st.binary(max_size=3)) + wire[at + draw(st.integers(0, 3)) :]
    return wire
