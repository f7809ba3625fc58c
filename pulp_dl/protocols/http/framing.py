"""
Where an answer begins and ends (RFC 9112), read by llhttp.

llhttp refuses by itself line ends without CR, folded fields, NUL in values, a doubled or overflowing Content-Length,
and Content-Length beside Transfer-Encoding.  What it lets through although it matters is checked here.  No socket and
no Deferred in this file: bytes in, bytes out.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpResponseParser

from ...model.headers import CONTROL, Pairs

__all__ = ["MAX_FIELDS", "MAX_HEAD", "MAX_INTERIM", "Framing", "Malformed", "NoAnswer"]

MAX_FIELDS: Final = 256
MAX_HEAD: Final = 128 * 1024
"""Bytes that may be fed while no head is complete, interim answers included; one receive buffer more may slip in."""
MAX_INTERIM: Final = 16
MAX_OVERHEAD: Final = 64 * 1024
OVERHEAD_PER_CHUNK: Final = 32

# llhttp also reads RTSP, ICE, HTTP/0.9, HTTP/2.0 and any three digits.
_START = re.compile(rb"HTTP/1\.([01]) ([1-5])")
_START_LENGTH = len(b"HTTP/1.1 2")
_CONNECTION = frozenset({b"connection", b"proxy-connection"})

_HASTY = frozenset({408, 503})
"""
Of someone idle, or too busy: they may have been said before the request was read, which will be answered then, too.
(Who says 408 has decided to close, RFC 9110 section 15.5.9; but not everybody does.)
"""


class Malformed(Exception):
    """The server broke the rules, or one of our limits on them.  The message holds no byte of what it sent."""


class NoAnswer(Malformed):
    """It does not even begin as an answer: who speaks is no server of HTTP, nor a proxy."""


def _kept(pairs: Pairs) -> bool:
    """Is it said that the connection is kept?"""
    said = (value for name, value in pairs if name.lower() in _CONNECTION)
    return any(option.strip().lower() == b"keep-alive" for value in said for option in value.split(b","))


class Framing:
    """
    Reads the answers of one connection, one after the other: C{expect} one, C{feed} it until it is C{complete}.

    Valid as soon as C{status} is not 0, until the next C{expect}:

    @ivar version: the minor version: 0 or 1.
    @ivar pairs: the fields as they were sent, without the white space around the values.
    @ivar length: bytes of the body; None if they are not known before its end (chunks, or the end of the connection).
    @ivar until_close: the end of the connection is the end of the body.
    @ivar received: bytes of the body so far.
    @ivar persistent: the connection is kept behind it.
    @ivar complete: the message is at its end.
    @ivar reusable: another answer may follow on this connection.  True only if C{complete}.
    """

    status: int
    version: int
    reason: bytes
    pairs: Pairs
    length: int | None
    until_close: bool
    received: int
    persistent: bool
    complete: bool
    reusable: bool

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._fields: list[tuple[bytes, bytes]] = []
        # What llhttp calls most does least: a piece costs no Python frame, a field the smallest one.
        self.on_body = self._pieces.append
        add = self._fields.append
        self.on_header = lambda name, value: add((name, value))
        self._parser = HttpResponseParser(self)
        self.complete = True  # nothing is expected yet

    def expect(self, method: bytes, *, explicit: bool = False) -> None:
        """
        A request was sent; what comes now is its answer.

        @param explicit: the connection is not kept unless the answer says so, as HTTP/1.0 has it, and no interim one
            came before: who hands that on may only relay what follows.
        """
        self._explicit = explicit
        self.status = 0
        self.complete = self.reusable = False
        self._bodiless = method == b"HEAD"
        self._fields.clear()
        self._reason = b""
        self._interim = 0
        self._held = b""  # the beginning of a start line, too short to be judged
        self._begun = False  # a head has begun
        self._fed = 0
        self._chunked = False
        self._chunks = 0
        self._wire = 0
        self.received = 0

    def last(self) -> None:
        """No other answer may follow this one, whose head is complete."""
        self.persistent = self.reusable = False

    def feed(self, data: bytes) -> bytes:
        """
        The next bytes of the connection.  Returns those that belong to the body.

        @raise Malformed: this is no answer, or not one that is worth to be read to its end.
        """
        if not self.status:
            self._feed_head(data)
        elif not self._chunked:
            return self._pass(data)
        else:
            self._wire += len(data)
            self._parse(data)
        pieces = self._pieces
        if not pieces:
            body = b""
        elif len(pieces) == 1:
            body = pieces.pop()
        else:
            body = b"".join(pieces)  # one write for many small chunks
            pieces.clear()
        self.received += len(body)
        if self._fields:
            self._count_fields()
        if self._chunked and self._wire - self.received > MAX_OVERHEAD + OVERHEAD_PER_CHUNK * self._chunks:
            raise Malformed("there is more around the chunks of the body than in them")
        return body

    def _pass(self, data: bytes) -> bytes:
        """
        More of a body that has nothing but its bytes: the parser, which would copy them, does not see it any more.
        """
        if self.length is not None:
            left = self.length - self.received
            if len(data) >= left:
                self.complete, self.reusable = True, self.persistent and len(data) == left
                self._parser = HttpResponseParser(self)  # the one before waits for the end of this body
                data = data[:left]
        self.received += len(data)
        return data

    def _count_fields(self) -> None:
        """Those of a head that is not complete, or trailers, which are counted and dropped."""
        if len(self._fields) > MAX_FIELDS:
            raise Malformed(f"there are more than {MAX_FIELDS} fields")

    def _feed_head(self, data: bytes) -> None:
        self._fed += len(data)
        if self._held:
            data, self._held = self._held + data, b""
        at = 0
        while at < len(data) and not self.complete:
            if not self._begun:
                if len(data) - at < _START_LENGTH:
                    self._held = data[at:]
                    break
                self._begin(data, at)
            if self._careful:
                # Line by line: heads end with a line, and whatever follows is another start line, or not expected.
                end = data.find(b"\n", at) + 1 or len(data)
                self._parse(data[at:end])
                at = end
            else:
                self._parse(data[at:] if at else data)
                at = len(data)
        if at < len(data) and self.complete:
            self.reusable = False
        if not self.status and self._fed > MAX_HEAD:
            raise Malformed(f"the head is longer than {MAX_HEAD} bytes")

    def _begin(self, data: bytes, at: int) -> None:
        start = _START.match(data, at)
        if start is None:
            raise NoAnswer("this does not begin as an answer of HTTP/1.0 or HTTP/1.1 with a status from 100 to 599")
        self.version = int(start[1])
        self._begun = True
        # It came in one piece, and no value has white space behind it.
        end = data.find(b"\r\n\r\n", at)
        self._tidy = end >= 0 > data.find(b" \r\n", at, end + 2) and data.find(b"\t\r\n", at, end + 2) < 0
        self._careful = self._bodiless or start[2] == b"1"  # the parser must not see a byte behind this head

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if self.complete:
                self.reusable = False  # there are bytes behind the message
                return
            if isinstance(error, HttpParserCallbackError) and error.__context__ is not None:
                raise error.__context__ from None  # ours, raised below
            raise Malformed(f"a malformed answer: {error}") from error  # llhttp's texts are constants

    # called by llhttp, inside feed

    def on_message_begin(self) -> None:
        if self.complete:
            raise Malformed("an answer to nothing")

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if CONTROL.search(self._reason):
            raise Malformed("a control character in the reason")
        self._count_fields()
        length = coding = None
        pairs = self._fields
        found = tuple(pairs) if self._tidy else tuple([(name, value.rstrip(b" \t")) for name, value in pairs])
        for name, value in pairs:
            field = name.lower()
            if field == b"content-length":
                try:
                    length = int(value)
                except ValueError:  # llhttp passes over any number of zeros, int() does not
                    raise Malformed("a Content-Length of too many digits") from None
            elif field == b"transfer-encoding":
                # Of anything else (even of a tab behind it) llhttp would hand out the chunks as body, framing and all.
                if coding is not None or value.rstrip(b" ").lower() != b"chunked":
                    raise Malformed("a Transfer-Encoding that is not just chunked")
                coding = value
        pairs.clear()
        if status < 200:
            self._pass_over(status, framed=length is not None or coding is not None)
            return
        bodiless = self._bodiless or status in {204, 304}
        self.reason, self.pairs = self._reason, found
        self.length = 0 if bodiless else length
        self.until_close = not bodiless and coding is None and length is None
        self._chunked = coding is not None and not bodiless
        # It answers False once this has returned.  Chunks in HTTP/1.0 are faulty framing (RFC 9112 section 6.1).
        sound = status not in _HASTY and (coding is None or self.version == 1)
        self.persistent = sound and self._parser.should_keep_alive()
        if self._explicit and not (self._interim == 0 and _kept(found)):
            self.persistent = False
        self.status = status
        if self._bodiless:
            # The parser would take the next answer for the body of this one.
            self.complete, self.reusable = True, self.persistent
            self._parser = HttpResponseParser(self)

    def _pass_over(self, status: int, *, framed: bool) -> None:
        """An interim answer."""
        if status == 101:
            raise Malformed("the server switched protocols, which was not asked for")
        if framed:
            raise Malformed("an interim answer with a body")  # RFC 9110 section 8.6; llhttp would read it
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise Malformed(f"there are more than {MAX_INTERIM} interim answers")
        self._reason = b""
        self._begun = False

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_message_complete(self) -> None:
        if self.status:
            self.complete, self.reusable = True, self.persistent
