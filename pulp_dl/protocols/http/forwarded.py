"""Who has made an answer that came through a proxy which reads it: the proxy itself, or somebody behind it?"""

from __future__ import annotations

import re
from typing import Final

from ...model.headers import Pairs, find

__all__ = ["own_answer"]

_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?')  # one without an end is looked through once, not from each quote
_COMMENT: Final = re.compile(rb"\([^()]*\)")
_ERROR: Final = re.compile(rb"; *error=", re.IGNORECASE)


def own_answer(pairs: Pairs) -> bool:
    """
    Does the proxy say of this answer that it is its own?

    It has nowhere else to say it, as its status is what an origin's would be.  Those heard are C{Proxy-Status} with an
    C{error} (RFC 9209 section 2.1.1), Squid's C{X-Squid-Error}, and the C{Server} of tinyproxy, which is no server.
    What passed a second proxy was made by that one, and only handed on by ours (C{Via}, RFC 9110 section 7.6.3).
    """
    hops = len(_members(pairs, b"via"))
    if hops > 1:
        return False
    statuses = _members(pairs, b"proxy-status")
    if statuses:
        return _ERROR.search(statuses[-1]) is not None  # the last is the one closest to us
    squid = find(pairs, b"x-squid-error")
    if squid is not None:
        return not squid.startswith(b"ERR_FTP_")  # that is what an FTP server has said to it
    return hops == 0 and (find(pairs, b"server") or b"").startswith(b"tinyproxy/")


def _members(pairs: Pairs, name: bytes) -> list[bytes]:
    """What a field lists, without its quoted texts and comments."""
    values = b",".join(value for key, value in pairs if key.lower() == name)
    plain = _COMMENT.sub(b"", _QUOTED.sub(b"", values))
    return [member for each in plain.split(b",") if (member := each.strip())]
