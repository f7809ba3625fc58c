"""Answers in our own words.  They are constant, so that no text, URL or secret of anybody else is in one."""

from __future__ import annotations

from math import ceil
from typing import Final

from attrs import frozen
from twisted.internet.defer import CancelledError

from ..errors import DownloadError
from ..model.headers import Pairs
from .answers import date

__all__ = ["NOT_ALLOWED", "PHRASES", "Plain", "answer_to"]

PHRASES: Final = {
    200: b"OK",
    203: b"Non-Authoritative Information",
    206: b"Partial Content",
    301: b"Moved Permanently",
    304: b"Not Modified",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    412: b"Precondition Failed",
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    421: b"Misdirected Request",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}

_MORE: Final = {
    400: b"The request is malformed.",
    404: b"There is nothing here.",
    405: b"What is here can be read, and nothing else.",
    421: b"The request has been here before.",
    500: b"The streamer failed.",
    502: b"The file could not be fetched.",
    503: b"The file cannot be fetched just now.",
    504: b"The file did not come in time.",
}

LONGEST_WAIT: Final = 86_400  # seconds; Retry-After is another server's word


@frozen
class Plain:
    """
    A status with its text.

    @ivar fields: that belong to this status: Allow, Content-Range, ETag.
    """

    status: int
    fields: Pairs = ()

    @property
    def text(self) -> bytes:
        """The body; a 304 has none."""
        if self.status == 304:
            return b""
        line = b"%d %b\n" % (self.status, PHRASES[self.status])
        more = _MORE.get(self.status)
        return line if more is None else line + more + b"\n"

    def head(self) -> Pairs:
        """All its fields."""
        found = [(b"Date", date()), *self.fields]
        if self.status != 304:
            found.append((b"Content-Type", b"text/plain; charset=us-ascii"))
            found.append((b"Content-Length", b"%d" % len(self.text)))
        if self.status >= 400:
            # A cache that keeps an error goes on failing when nobody else does.
            found.append((b"Cache-Control", b"no-store"))
        return tuple(found)


NOT_ALLOWED: Final = Plain(405, ((b"Allow", b"GET, HEAD"),))


def answer_to(error: BaseException) -> Plain:
    """What a client is told of this error: its C{answer} and nothing more."""
    if not isinstance(error, DownloadError):
        return Plain(503 if isinstance(error, CancelledError) else 500)
    seconds = getattr(error, "retry_after", None)
    if error.answer != 503 or seconds is None:
        return Plain(error.answer)
    return Plain(503, ((b"Retry-After", b"%d" % min(ceil(seconds), LONGEST_WAIT)),))
