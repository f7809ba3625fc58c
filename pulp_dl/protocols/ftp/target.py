"""What an FTP URL asks for (RFC 1738 section 3.2)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from ...errors import Refused
from ...urls import URL

__all__ = ["path_of", "uses_implicit_tls"]

_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_TYPE: Final = re.compile(r";type=(.*)\Z", re.IGNORECASE)
IMPLICIT: Final = 990


def path_of(place: URL) -> bytes:
    """
    The path as it goes to the server, in the bytes that the URL encodes (UTF-8, if it was written as text).

    It is relative to where the login leads; a path from the root has two slashes, or C{/%2F}.  A C{?} is part of a
    name: FTP has no queries.

    @raise Refused: it would end the command and begin another one; it names a directory; or C{;type=} asks for
        something else than the bytes of a file.
    """
    target = place.target
    kind = _TYPE.search(target)
    if kind is not None:
        if kind[1].lower() != "i":
            raise Refused(";type= in an FTP URL can only be i: bytes come as they are; remove it", str(place))
        target = target[: kind.start()]
    path = unquote_to_bytes(target.removeprefix("/"))
    if _CONTROL.search(path):
        raise Refused("a control character in the path of an FTP URL; it would end the command", str(place))
    if not path or path.endswith(b"/"):
        raise Refused("this FTP URL names a directory; a file is needed", str(place))
    return path


def uses_implicit_tls(place: URL) -> bool:
    """
    Does TLS begin before a word is spoken?  On port 990 alone, which is where C{ftps:} leads if it names no port (as
    IANA and curl have it); on every other port it is asked for (C{AUTH TLS}, RFC 4217).
    """
    return place.scheme == "ftps" and place.port == IMPLICIT
