"""User and password."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from attrs import Attribute, field, frozen
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ..interfaces import IAuth, IAuthenticator, IDownloader

if TYPE_CHECKING:
    from .source import Head

__all__ = ["Basic"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _plain(_instance: object, attribute: Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"Basic.{attribute.name}: a str is needed, not {type(value).__name__}")
    if _CONTROL.search(value):
        raise ValueError(f"Basic.{attribute.name}: a control character; remove it (a line end of a file, perhaps)")
    if any(0xD800 <= ord(each) < 0xE000 for each in value):
        raise ValueError(f"Basic.{attribute.name}: a character that is no UTF-8; read it with the right encoding")
    if attribute.name == "user" and ":" in value:
        raise ValueError("Basic.user: a colon cannot be part of a user name (RFC 7617 section 2)")


@implementer(IAuth, IAuthenticator)
@frozen
class Basic:
    """
    HTTP's Basic authentication (RFC 7617), UTF-8; user and password for FTP.  Sent at once, without waiting for a 401.
    """

    user: str = field(validator=_plain)
    password: str = field(validator=_plain, repr=False)

    @property
    def header(self) -> bytes:
        """The value of an Authorization field."""
        return b"Basic " + b64encode(f"{self.user}:{self.password}".encode())

    def start(self, direct: IDownloader) -> Basic:
        """It has no state, so it is its own authenticator."""
        return self

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
        headers[b"Authorization"] = self.header
        return self

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        return succeed(False)
