"""
Answers as parsers of HTTP are tried with, and what our connection makes of each: after the cases that llhttp and its
forerunners collected over the years.  A row is what is sent, until the server closes; and the body that is read, or why
it is not.
"""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["VECTORS", "Vector"]

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = b"Content-Length: 5\r\n\r\nhello"
NOTHING = b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@frozen
class Vector:
    """
    @ivar wire: what the server sends before it closes.
    @ivar body: what is read of it; None: it is refused.
    @ivar status: of an answer that is read.
    @ivar reused: another request may follow on the connection.
    @ivar method: of the request.
    @ivar h11: why h11 sees that otherwise, and who is right; empty if it does not.
    """

    name: str
    wire: bytes = field(repr=False)
    body: bytes | None
    status: int = field(default=200, kw_only=True)
    reused: bool = field(default=False, kw_only=True)
    method: bytes = field(default=b"GET", kw_only=True)
    h11: str = field(default="", kw_only=True)


_LINES = "RFC 9112 section 2.2 lets a reader take LF alone; who does not cannot be told two things by one line end"
_FOLDING = "RFC 9112 section 5.2 lets a client replace it by spaces; nobody sends it, and readers differ"
_CL = "RFC 9110 section 8.6 lets a reader take a list of equal ones; no honest server sends any"
_BOTH = "RFC 9112 section 6.3 lets Transfer-Encoding win; it is how smuggling begins"
_VERSION = "it takes any digit; there is no HTTP/1.2, and what it would mean nobody knows"
_REASON = "it does not look at the reason, which an error may show to somebody"
_VALUE = "it refuses NUL and line ends in a value, and no other control character"
_EXTENSION = "it does not look at extensions; with quotes that do not end, the next line might belong to this one"

VECTORS = [
    # ---- the first line
    Vector("no reason, but its space", b"HTTP/1.1 200 \r\n" + NOTHING, b"", reused=True),
    Vector("no reason, and no space", b"HTTP/1.1 200\r\n" + NOTHING, b"", reused=True),
    Vector("a reason of several words", b"HTTP/1.1 404 Not Found Here\r\n" + NOTHING, b"", status=404, reused=True),
    Vector("a reason of bytes that are no ASCII", b"HTTP/1.1 200 \xe4\xff\r\n" + NOTHING, b"", reused=True),
    Vector("NUL in the reason", b"HTTP/1.1 200 O\x00K\r\n" + NOTHING, None),
    Vector("DEL in the reason", b"HTTP/1.1 200 O\x7fK\r\n" + NOTHING, None, h11=_REASON),
    Vector("escape in the reason", b"HTTP/1.1 200 \x1b[2J\r\n" + NOTHING, None, h11=_REASON),
    Vector("bare CR in the reason", b"HTTP/1.1 200 O\rK\r\n" + NOTHING, None),
    Vector("two spaces before the status", b"HTTP/1.1  200 OK\r\n" + NOTHING, None),
    Vector("a tab before the status", b"HTTP/1.1\t200 OK\r\n" + NOTHING, None),
    Vector("a tab behind the status", b"HTTP/1.1 200\tOK\r\n" + NOTHING, None),
    Vector("a status of two digits", b"HTTP/1.1 20 OK\r\n" + NOTHING, None),
    Vector("a status of four digits", b"HTTP/1.1 2000 OK\r\n" + NOTHING, None),
    Vector("a status with a letter", b"HTTP/1.1 2a0 OK\r\n" + NOTHING, None),
    Vector("a negative status", b"HTTP/1.1 -20 OK\r\n" + NOTHING, None),
    Vector("a status below 100", b"HTTP/1.1 042 OK\r\n" + NOTHING, None),
    Vector(
        "a status above 599",
        b"HTTP/1.1 600 OK\r\n" + NOTHING,
        None,
        h11="it takes up to 999; RFC 9110 section 15 ends at 599",
    ),
    Vector("no status", b"HTTP/1.1\r\n" + NOTHING, None),
    Vector("HTTP/0.9", b"HTTP/0.9 200 OK\r\n" + NOTHING, None, h11=_VERSION),
    Vector("a body without a head, as of HTTP/0.9", b"<html>hello</html>", None),
    Vector("HTTP/1.0", b"HTTP/1.0 200 OK\r\n" + HELLO, b"hello"),
    Vector("HTTP/1.2", b"HTTP/1.2 200 OK\r\n" + HELLO, None, h11=_VERSION),
    Vector("HTTP/1.10", b"HTTP/1.10 200 OK\r\n" + HELLO, None),
    Vector("HTTP/2.0", b"HTTP/2.0 200 OK\r\n" + HELLO, None, h11=_VERSION),
    Vector("HTTP/2", b"HTTP/2 200 OK\r\n" + HELLO, None),
    Vector("HTTP in small letters", b"http/1.1 200 OK\r\n" + HELLO, None),
    Vector("a name that begins as HTTP", b"HTTPS/1.1 200 OK\r\n" + HELLO, None),
    Vector("RTSP", b"RTSP/1.0 200 OK\r\n" + HELLO, None),
    Vector("ICE", b"ICE/1.0 200 OK\r\n" + HELLO, None),
    Vector("Shoutcast", b"ICY 200 OK\r\n\r\nhello", None),
    Vector("a request", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", None),
    Vector("an empty line before it", b"\r\nHTTP/1.1 200 OK\r\n" + NOTHING, None),
    Vector("a space before it", b" HTTP/1.1 200 OK\r\n" + NOTHING, None),
    Vector("nothing at all", b"", None),
    Vector("half a first line", b"HTTP/1.1 20", None),
    # ---- line ends
    Vector("LF alone, everywhere", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", None, h11=_LINES),
    Vector("LF alone, behind the first line", b"HTTP/1.1 200 OK\n" + HELLO, None, h11=_LINES),
    Vector("LF alone, behind a field", OK + b"Content-Length: 5\n\r\nhello", None, h11=_LINES),
    Vector("LF alone, behind the head", OK + b"Content-Length: 5\r\n\nhello", None, h11=_LINES),
    Vector("CR alone, everywhere", b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello", None),
    Vector("two CRs", OK + b"Content-Length: 5\r\r\n\r\nhello", None),
    Vector("CR, LF and CR behind the head", OK + b"Content-Length: 5\r\n\rhello", None),
    # ---- fields
    Vector("no fields", OK + b"\r\nhello", b"hello"),
    Vector("no fields and no body", OK + b"\r\n", b""),
    Vector("no end of the head", OK + b"Content-Length: 0\r\n", None),
    Vector("an empty value", OK + b"X:\r\n" + NOTHING, b"", reused=True),
    Vector("blanks around a value", OK + b"Content-Length: \t 5 \t \r\n\r\nhello", b"hello", reused=True),
    Vector("bytes in a value that are no ASCII", OK + b"X: \xe4\xff\r\n" + NOTHING, b"", reused=True),
    Vector("NUL in a value", OK + b"X: a\x00b\r\n" + NOTHING, None),
    Vector("another control character in a value", OK + b"X: a\x01b\r\n" + NOTHING, None, h11=_VALUE),
    Vector("DEL in a value", OK + b"X: a\x7fb\r\n" + NOTHING, None, h11=_VALUE),
    Vector("bare CR in a value", OK + b"X: a\rb\r\n" + NOTHING, None),
    Vector("a space before the colon", OK + b"Content-Length : 5\r\n\r\nhello", None),
    Vector("a tab before the colon", OK + b"Content-Length\t: 5\r\n\r\nhello", None),
    Vector("a space in a name", OK + b"Content Length: 5\r\n\r\nhello", None),
    Vector("no name", OK + b": 5\r\n\r\nhello", None),
    Vector("no colon", OK + b"Content-Length\r\n\r\nhello", None),
    Vector("a name that is no ASCII", OK + b"X\xe4: 5\r\n\r\nhello", None),
    Vector("NUL in a name", OK + b"X\x00: 5\r\n\r\nhello", None),
    Vector("an underscore in a name", OK + b"Content_Length: 9\r\n" + HELLO, b"hello", reused=True),
    Vector("folding by a space", OK + b"X: a\r\n b\r\n" + HELLO, None, h11=_FOLDING),
    Vector("folding by a tab", OK + b"X: a\r\n\tb\r\n" + HELLO, None, h11=_FOLDING),
    Vector("folding of what counts", OK + b"Content-Length:\r\n 5\r\n\r\nhello", None, h11=_FOLDING),
    Vector("folding of the chunks' name", OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", None, h11=_FOLDING),
    Vector("folding before any field", OK + b" X: a\r\n" + HELLO, None),
    # ---- Content-Length
    Vector("a length", OK + HELLO, b"hello", reused=True),
    Vector("its name in another case", OK + b"CONTENT-length:5\r\n\r\nhello", b"hello", reused=True),
    Vector("zeros before it", OK + b"Content-Length: 0005\r\n\r\nhello", b"hello", reused=True),
    Vector("fewer bytes", OK + b"Content-Length: 6\r\n\r\nhello", None),
    Vector("more bytes", OK + b"Content-Length: 4\r\n\r\nhello", b"hell"),
    Vector("a plus", OK + b"Content-Length: +5\r\n\r\nhello", None),
    Vector("a minus", OK + b"Content-Length: -5\r\n\r\nhello", None),
    Vector("hexadecimal", OK + b"Content-Length: 0x5\r\n\r\nhello", None),
    Vector("an underscore in a number", OK + b"Content-Length: 0_5\r\n\r\nhello", None),
    Vector("a point", OK + b"Content-Length: 5.0\r\n\r\nhello", None),
    Vector("an exponent", OK + b"Content-Length: 5e0\r\n\r\nhello", None),
    Vector("blanks in a number", OK + b"Content-Length: 0 5\r\n\r\nhello", None),
    Vector("no number", OK + b"Content-Length: five\r\n\r\nhello", None),
    Vector("no value", OK + b"Content-Length:\r\n\r\nhello", None),
    Vector("as much as 64 bits hold", OK + b"Content-Length: 18446744073709551615\r\n\r\nhello", None),
    Vector("one more", OK + b"Content-Length: 18446744073709551616\r\n\r\nhello", None),
    Vector("far more", OK + b"Content-Length: " + b"9" * 100 + b"\r\n\r\nhello", None),
    Vector("twice the same", OK + b"Content-Length: 5\r\n" + HELLO, None, h11=_CL),
    Vector("two that differ", OK + b"Content-Length: 5\r\nContent-Length: 4\r\n\r\nhello", None),
    Vector("a list of the same", OK + b"Content-Length: 5, 5\r\n\r\nhello", None, h11=_CL),
    Vector("a list that differs", OK + b"Content-Length: 5, 4\r\n\r\nhello", None),
    # ---- Transfer-Encoding
    Vector("chunks", CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world", reused=True),
    Vector("no chunk but the last", CHUNKED + b"0\r\n\r\n", b"", reused=True),
    Vector("no last chunk", CHUNKED + b"5\r\nhello\r\n", None),
    Vector("no end behind the last chunk", CHUNKED + b"5\r\nhello\r\n0\r\n", None),
    Vector("nothing where chunks should be", CHUNKED, None),
    Vector("another case", OK + b"transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", b"", reused=True),
    Vector(
        "chunks in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"
    ),
    Vector(
        "chunks and a length", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", None, h11=_BOTH
    ),
    Vector(
        "a length and chunks", OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None, h11=_BOTH
    ),
    Vector("gzip", OK + b"Transfer-Encoding: gzip\r\n\r\nhello", None),
    Vector("identity", OK + b"Transfer-Encoding: identity\r\n\r\nhello", None),
    Vector("gzip, then chunks", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", None),
    Vector("chunks, then gzip", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", None),
    Vector("chunks twice", OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", None),
    Vector("two fields", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None),
    Vector("a name that ends alike", OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", None),
    Vector("a name that begins alike", OK + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", None),
    Vector("chunks with a parameter", OK + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", None),
    Vector("a coding of no name", OK + b"Transfer-Encoding: \r\n\r\nhello", None),
    # ---- chunks
    Vector(
        "a size in capitals and small letters",
        CHUNKED + b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"0123456789" * 2,
        reused=True,
    ),
    Vector("zeros before a size", CHUNKED + b"00005\r\nhello\r\n000\r\n\r\n", b"hello", reused=True),
    Vector("an extension", CHUNKED + b"5;name\r\nhello\r\n0;last\r\n\r\n", b"hello", reused=True),
    Vector("an extension with a value", CHUNKED + b"5;name=value\r\nhello\r\n0\r\n\r\n", b"hello", reused=True),
    Vector("an extension in quotes", CHUNKED + b'5;name="a;b\\"c"\r\nhello\r\n0\r\n\r\n', b"hello", reused=True),
    Vector("quotes without an end", CHUNKED + b'5;name="a\r\nhello\r\n0\r\n\r\n', None, h11=_EXTENSION),
    Vector("NUL in an extension", CHUNKED + b"5;a\x00\r\nhello\r\n0\r\n\r\n", None, h11=_EXTENSION),
    Vector(
        "a space behind a size",
        CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
        None,
        h11="it cuts blanks there; the grammar of RFC 9112 section 7.1 has none",
    ),
    Vector("no size", CHUNKED + b"\r\nhello\r\n0\r\n\r\n", None),
    Vector("an extension without a size", CHUNKED + b";a\r\nhello\r\n0\r\n\r\n", None),
    Vector("a size with a sign", CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", None),
    Vector("a negative size", CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", None),
    Vector("a size with 0x", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", None),
    Vector("an underscore in a size", CHUNKED + b"0_5\r\nhello\r\n0\r\n\r\n", None),
    Vector("a size that is no number", CHUNKED + b"g\r\nhello\r\n0\r\n\r\n", None),
    Vector("a size past 64 bits", CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n", None),
    Vector("a size that is too small", CHUNKED + b"4\r\nhello\r\n0\r\n\r\n", None),
    Vector("a size that is too large", CHUNKED + b"6\r\nhello\r\n0\r\n\r\n", None),
    Vector("LF alone behind a size", CHUNKED + b"5\nhello\r\n0\r\n\r\n", None),
    Vector("LF alone behind a chunk", CHUNKED + b"5\r\nhello\n0\r\n\r\n", None),
    Vector("nothing behind a chunk", CHUNKED + b"5\r\nhello0\r\n\r\n", None),
    Vector("LF alone at the very end", CHUNKED + b"5\r\nhello\r\n0\r\n\n", None, h11=_LINES),
    Vector("trailers", CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\nX: z\r\n\r\n", b"hello", reused=True),
    Vector("a length among the trailers", CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n", None, h11=_BOTH),
    Vector("a trailer that is folded", CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n", None, h11=_FOLDING),
    Vector("NUL in a trailer", CHUNKED + b"0\r\nX: a\x00\r\n\r\n", None),
    Vector("a trailer without a colon", CHUNKED + b"0\r\nX\r\n\r\n", None),
    # ---- the end
    Vector("a body until the end", OK + b"\r\nhello, wor", b"hello, wor"),
    Vector("the same, said", OK + b"Connection: close\r\n\r\nhello", b"hello"),
    Vector("close and a length", OK + b"Connection: close\r\n" + HELLO, b"hello"),
    Vector("close among others", OK + b"Connection: a, Close\r\n" + HELLO, b"hello"),
    Vector("kept, in HTTP/1.0", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + HELLO, b"hello", reused=True),
    Vector("kept, and nothing tells where the body ends", OK + b"Connection: keep-alive\r\n\r\nhello", b"hello"),
    Vector("a second answer behind the first", (OK + HELLO) * 2, b"hello"),
    Vector(
        "an empty line behind it, which can be no answer",
        OK + b"Content-Length: 5\r\n\r\nhello\r\n",
        b"hello",
        reused=True,
    ),
    # ---- answers without a body
    Vector("204", b"HTTP/1.1 204 No Content\r\n\r\n", b"", status=204, reused=True),
    Vector("204 with a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"", status=204, reused=True),
    Vector("204 with a body", b"HTTP/1.1 204 No Content\r\n" + HELLO, b"", status=204),
    Vector(
        "304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", status=304, reused=True
    ),
    Vector("304 with a body", b"HTTP/1.1 304 Not Modified\r\n" + HELLO, b"", status=304),
    Vector(
        "304 with chunks",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"",
        status=304,
        reused=True,
    ),
    Vector("205 has one", b"HTTP/1.1 205 -\r\n" + HELLO, b"hello", status=205, reused=True),
    Vector("HEAD", OK + b"Content-Length: 5\r\n\r\n", b"", method=b"HEAD", reused=True),
    Vector("HEAD with a body", OK + HELLO, b"", method=b"HEAD"),
    Vector("HEAD of chunks", CHUNKED, b"", method=b"HEAD", reused=True),
    # ---- interim answers and upgrades
    Vector("100 before it", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + HELLO, b"hello", reused=True),
    Vector(
        "103 with fields before it",
        b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK + HELLO,
        b"hello",
        reused=True,
    ),
    Vector("several before it", b"HTTP/1.1 102 -\r\n\r\n" * 3 + OK + HELLO, b"hello", reused=True),
    Vector("100 and no more", b"HTTP/1.1 100 Continue\r\n\r\n", None),
    Vector("100 with a length", b"HTTP/1.1 100 Continue\r\n" + HELLO, None),
    Vector(
        "100 with a length that ends it",
        b"HTTP/1.1 100 -\r\n" + NOTHING + OK + b"\r\n",
        None,
        h11="it overlooks the field; RFC 9110 section 8.6 forbids it",
    ),
    Vector("too many of them", b"HTTP/1.1 102 -\r\n\r\n" * 17 + OK + b"\r\n", None, h11="it has no limit"),
    Vector(
        "101, which nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + OK + b"\r\n",
        None,
    ),
    Vector("an offer to upgrade", OK + b"Upgrade: h2c\r\nConnection: Upgrade\r\n" + HELLO, b"hello", reused=True),
    Vector(
        "426",
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n" + HELLO,
        b"hello",
        status=426,
        reused=True,
    ),
]
