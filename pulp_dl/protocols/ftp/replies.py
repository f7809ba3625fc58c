"""Replies of an FTP server: read within limits (RFC 959 section 4.2), and what they mean for a download."""

from __future__ import annotations

import re
from typing import Final

from attrs import field, frozen

from ...errors import AuthFailed, BadStatus, DownloadError, NotFound, ProtocolError, Unavailable
from ..said import printable

__all__ = ["LINES", "SIZE", "Reply", "ReplyReader", "is_crowded", "missing", "refusal"]

LINES: Final = 100
SIZE: Final = 64 * 1024
"""What one reply may have; some servers greet with a whole page."""

_BEGIN: Final = re.compile(rb"([1-5][0-9]{2})([ -]|\Z)")
_CROWDED: Final = re.compile(
    r"too many|maximum (?:number|allowed|users|clients|connections)|limit .{0,40}reached|try (?:again )?later",
    re.IGNORECASE,
)


@frozen
class Reply:
    """
    @ivar code: three digits.
    @ivar lines: as they came, without line ends, the first one with its code.  Some servers repeat what they were told,
        so these are for programs only; C{said} is for people.
    @ivar secret: what may not be shown.
    """

    code: int
    lines: tuple[str, ...] = field(repr=False)
    secret: str = field(default="", repr=False)

    @property
    def good(self) -> bool:
        """Done, or go on."""
        return self.code < 400

    def said(self) -> str:
        """The text of its last line, fit to be printed."""
        text = self.lines[-1][4:].encode("latin-1").decode("utf-8", "replace")
        if self.secret:
            text = text.replace(self.secret, "***")
        return printable(text.strip())


class ReplyReader:
    """Puts lines together.  A reply of several lines ends with its own code and a space, whatever stands between."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._end = b""

    @property
    def within(self) -> bool:
        """A reply has begun."""
        return bool(self._lines)

    def feed(self, line: bytes) -> Reply | None:
        """
        The next line.  Returns the reply that ends with it, if one does.

        @raise ProtocolError: this is no reply, or too much of one.
        """
        self._size += len(line) + 2
        self._lines.append(line.decode("latin-1"))
        if len(self._lines) > LINES or self._size > SIZE:
            raise ProtocolError(f"a reply of the server has more than {LINES} lines or {SIZE} bytes")
        if len(self._lines) == 1:
            match = _BEGIN.match(line)
            if match is None:
                raise ProtocolError("what answers on this port does not speak FTP")
            if match[2] == b"-":
                self._end = match[1]
                return None
        elif not (line.startswith(self._end) and line[3:4] in {b" ", b""}):
            return None
        lines, self._lines, self._size = tuple(self._lines), [], 0
        return Reply(int(lines[-1][:3]), lines)


def refusal(reply: Reply, url: str) -> DownloadError:
    """What it means when a server says no."""
    code, said = reply.code, reply.said()
    if code == 550:
        return missing(reply, url)
    if code in {530, 532, 331, 332}:
        return Unavailable(code, said, url) if is_crowded(reply) else AuthFailed(code, said, url)
    if 400 <= code < 500:
        return Unavailable(code, said, url)
    if code >= 500:
        return BadStatus(code, said, url)
    return ProtocolError(f"the server answered {code} {said}, which is no answer to that", url)


def missing(reply: Reply, url: str) -> NotFound:
    """What 550 means to whoever wants a file: RFC 959 has it for both."""
    return NotFound(
        reply.code,
        url=url,
        words=f"there is no such file, or it may not be read: the server answered {reply.code} {reply.said()}".rstrip(),
    )


def is_crowded(reply: Reply) -> bool:
    """Does the server turn us away because there are too many of us?  Some say so by 530, as to a wrong password."""
    return reply.code == 421 or (reply.code == 530 and _CROWDED.search(" ".join(reply.lines)) is not None)
