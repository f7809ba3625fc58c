"""What a proxy is to blame for that reads requests and answers them: an answer that it has made itself, or none."""

from __future__ import annotations

import re
from typing import Any, Final

from ...errors import ConnectFailed, ProxyFailed, TLSFailed
from ...model.headers import Pairs, find
from .connect import NO_LOGIN, NO_PROXY
from .framing import NoAnswer
from .judge import PHRASES, retry_after
from .tls import of_proxy

__all__ = ["failed", "refused"]

_OF_PROXIES: Final = frozenset({407, 511})
"""No origin should say these (RFC 9110 section 15.5.8, RFC 6585 section 6)."""
_OF_FILES: Final = frozenset({304, 404, 410, 416})
"""These tell of the file, whoever says them: a cache, or who has asked an FTP server."""
_ERROR: Final = re.compile(rb"; *error=", re.IGNORECASE)
_OF_FTP: Final = b"ERR_FTP_"  # what an FTP server has said to Squid
_QUOTE, _ESCAPE, _OPEN, _CLOSE = b'"\\()'


def refused(status: int, pairs: Pairs, url: str, now: float) -> ProxyFailed | None:
    """
    Has the proxy made this answer in place of the file?

    @param url: what was asked for.
    @param now: seconds since the epoch, for a Retry-After that is a date.
    @return: what that means; None if it is what somebody behind the proxy says, or may be.
    """
    handed_on = find(pairs, b"via") is not None
    if status in _OF_FILES or not (
        (status in _OF_PROXIES and not handed_on) or _own(status, pairs, handed_on=handed_on)
    ):
        return None
    words = f"the proxy itself answered {status} {PHRASES.get(status, '')}".rstrip()
    if status in {401, 407}:
        words = NO_LOGIN.format(status)
    elif status < 400:
        words += ", with a page of its own"
    return ProxyFailed(words, url, status, retry_after=retry_after(pairs, now))


def failed(error: Any, url: str) -> ProxyFailed | None:
    """
    There was no answer: if that is for the proxy to explain, its failure.

    For a server that is gone, or that talks nonsense, it should have answers (RFC 9110 section 15.6); tinyproxy closes
    the connection all the same.  What is wrong within an answer may be handed on.
    """
    if isinstance(error, TLSFailed):
        # In TLS 1.3 a proxy judges our certificate after our side of the handshake is done.
        return ProxyFailed(of_proxy(error.message), url, transient=False)
    if isinstance(error, ConnectFailed):
        return ProxyFailed(of_proxy(error.message), url)
    return ProxyFailed(NO_PROXY, url) if isinstance(error.__cause__, NoAnswer) else None


def _own(status: int, pairs: Pairs, *, handed_on: bool) -> bool:
    """
    Does the proxy say of this answer that it is its own?

    It has nowhere else to say it, as its status is what an origin's would be.  Those heard are C{Proxy-Status} with an
    C{error} (RFC 9209 section 2.1.1), Squid's C{X-Squid-Error}, and the C{Server} of tinyproxy, which is no server.
    What passed a second proxy was made by that one, and only handed on by ours (C{Via}, RFC 9110 section 7.6.3).

    Of a good answer only Squid says it, which may send a page with any status, or lead to one; that is no file, whoever
    handed it on.  An C{error} may stand beside a file that is old, because the origin is away; and tinyproxy makes no
    good ones but of its own site.
    """
    squid = find(pairs, b"x-squid-error")
    if squid is not None and status < 400:
        return not squid.startswith(_OF_FTP)
    if status < 300 or len(_members(pairs, b"via")) > 1:
        return False
    statuses = _members(pairs, b"proxy-status")
    if statuses:
        return _ERROR.search(statuses[-1]) is not None  # the last is the one closest to us
    if squid is not None:
        return not squid.startswith(_OF_FTP)
    return not handed_on and (find(pairs, b"server") or b"").startswith(b"tinyproxy/")


def _members(pairs: Pairs, name: bytes) -> list[bytes]:
    """What a field lists, without its quoted texts and comments."""
    values = b",".join(_plain(value) for key, value in pairs if key.lower() == name)
    return [member for each in values.split(b",") if (member := each.strip())]


def _plain(value: bytes) -> bytes:
    """
    Without quoted texts, and without comments, which may hold more of them and a quote that has no other.

    It looks at each byte once: whoever sends a hundred kilobytes of quotes must not keep us busy.
    """
    plain = bytearray()
    depth, quoted, escaped = 0, False, False
    for byte in value:
        if escaped:
            escaped = False
        elif byte == _ESCAPE and (quoted or depth):
            escaped = True
        elif quoted:
            quoted = byte != _QUOTE
        elif byte == _OPEN:
            depth += 1
        elif depth:
            depth -= byte == _CLOSE
        elif byte == _QUOTE:
            quoted = True
        else:
            plain.append(byte)
    return bytes(plain)
