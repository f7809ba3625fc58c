"""User and password for each host, from a file that other programs read too."""

from __future__ import annotations

import os
import re
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ..interfaces import IAuth, IAuthenticator, IDownloader
from ..urls import URL, parse
from .auth import Basic

if TYPE_CHECKING:
    from .source import Head

__all__ = ["Netrc"]

_COMMENT = re.compile(rb"^[ \t]*#.*$", re.MULTILINE)


@implementer(IAuth, IAuthenticator)
@frozen
class Netrc:
    """
    What a netrc file knows: each host is sent its own user and password, and no other.

    The file is read once, when the value is made.  C{machine} is a host, or C{host:port}, which goes first;
    C{default} is for all others.

    @ivar path: the file.  None for the one that C{$NETRC} names, or else C{~/.netrc}, which may be missing, and which
        nobody else may be able to read.
    """

    path: str | os.PathLike[str] | None = field(default=None, eq=False)
    _logins: tuple[tuple[str, Basic], ...] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        path = os.environ.get("NETRC") or None if self.path is None else os.fspath(self.path)
        object.__setattr__(self, "_logins", tuple(sorted(_read(path).items(), key=lambda item: item[0])))

    def __bool__(self) -> bool:
        """Is there anything in it?"""
        return bool(self._logins)

    def login(self, place: URL) -> Basic | None:
        """The user and password for a place, if there are any."""
        known = dict(self._logins)
        names = (f"{place.host}:{place.port}", place.host, "default")
        return next((known[name] for name in names if name in known), None)

    def start(self, direct: IDownloader) -> Netrc:
        """It has no state, so it is its own authenticator."""
        return self

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
        found = self.login(parse(url))
        return None if found is None else found.authorize(method, url, headers)

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        return succeed(False)


def _read(path: str | None) -> dict[str, Basic]:
    """
    @param path: None for C{~/.netrc}.
    @raise ValueError: it cannot be used.  Says where and why, and repeats nothing of it.
    """
    if path == "":
        raise ValueError("an empty path is no netrc file; give a path")
    shown = path or "~/.netrc"
    try:
        with Path(shown).expanduser().open("rb") as file:
            stat, content = os.fstat(file.fileno()), file.read()
    except (FileNotFoundError, NotADirectoryError):
        if path is None:
            return {}
        raise ValueError(f"{shown}: there is no such netrc file; check the path") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{shown}: it cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        hosts = _parse(content)
    except NetrcParseError as error:
        raise ValueError(f"{shown}: near line {error.lineno}: this is not understood; see netrc(5)") from None
    except UnicodeError:
        raise ValueError(f"{shown}: it is not UTF-8") from None
    if path is None and hosts and (stat.st_mode & 0o077 or stat.st_uid != os.getuid()):
        raise ValueError(f"{shown}: it has to be yours, and for you alone: chmod 600 {shown}")
    found = {}
    for host, (user, _, password) in hosts.items():
        try:
            found[host.lower()] = Basic(user or "", password or "")
        except ValueError as error:
            raise ValueError(f"{shown}: machine {host!r}: {str(error).removeprefix('Basic.')}") from None
    return found


def _parse(content: bytes) -> dict[str, tuple[str, str, str]]:
    """
    In memory: the standard library wants a path, and stumbles over a comment that follows an empty line.
    """
    content.decode()
    with os.fdopen(os.memfd_create("netrc"), "wb", buffering=0) as file:
        file.write(_COMMENT.sub(b"", content))
        return netrc(f"/proc/self/fd/{file.fileno()}").hosts
