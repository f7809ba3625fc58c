"""What an HTTP proxy is told so that it makes a tunnel (RFC 9110 section 9.3.6)."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from ...model.headers import Pairs
from ...urls import URL
from .tunnel import Refusal, early

__all__ = ["MAX_HEAD", "MAX_INTERIM", "NO_LOGIN", "NO_PROXY", "Connect"]

MAX_HEAD: Final = 64 * 1024
"""Bytes of an answer, interim ones included, before it has to be at its end."""
MAX_INTERIM: Final = 16

_BEGINNING: Final = b"HTTP/1."
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?=[ \r])")
_END: Final = b"\r\n\r\n"
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
NO_PROXY: Final = "the proxy does not answer as an HTTP proxy does; is its URL right, http:// or https:// or socks5://?"
NO_LOGIN: Final = "the proxy answered {}: it wants other credentials; give Proxy(auth=Basic(...))"


class Connect:
    """
    The request for a tunnel to one host and port, and its answer.

    Of the answer only the status counts.  Content-Length and Transfer-Encoding of a 2xx have to be ignored, and the
    body of any other belongs to no file: it is not the server's.
    """

    def __init__(self, place: URL, fields: Pairs) -> None:
        """
        @param fields: what the proxy alone is told.
        """
        host = place.host.partition("%")[0]
        self._authority = f"[{host}]:{place.port}" if ":" in host else f"{host}:{place.port}"
        self._fields = fields
        self._head = bytearray()
        self._fed = 0
        self._interim = 0
        self.complete = False

    def begin(self) -> bytes:
        authority = self._authority.encode("ascii")
        lines = [b"CONNECT %b HTTP/1.1" % authority, b"Host: " + authority]
        return b"\r\n".join([*lines, *(name + b": " + value for name, value in self._fields), b"", b""])

    def feed(self, data: bytes) -> bytes:
        searched = len(self._head)
        self._head += data
        self._fed += len(data)
        while not self.complete:
            beginning = bytes(self._head[: len(_BEGINNING)])
            if not _BEGINNING.startswith(beginning):
                raise Refusal(NO_PROXY)
            end = self._head.find(_END, max(0, searched - len(_END)))
            if end < 0:
                if self._fed > MAX_HEAD:
                    raise Refusal(f"the proxy answers CONNECT with a head of more than {MAX_HEAD} bytes")
                return b""
            self._read(bytes(self._head[:end]))
            del self._head[: end + len(_END)]
            searched = 0
        if self._head:
            self.complete = False
            raise early()
        return b""

    def _read(self, head: bytes) -> None:
        match = _STATUS.match(head + b"\r")
        if match is None:
            raise Refusal(NO_PROXY)
        status = int(match[1])
        if status == 101:
            raise Refusal("the proxy switched protocols, which was not asked for", status)
        if status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise Refusal(f"the proxy sends more than {MAX_INTERIM} interim answers", status)
        elif status < 300:
            self.complete = True
        else:
            raise _refusal(status, self._authority)


def _refusal(status: int, authority: str) -> Refusal:
    if status in {401, 407}:  # tinyproxy says 401 to a wrong password
        return Refusal(NO_LOGIN.format(status), status, login_refused=True)
    return Refusal(
        f"the proxy makes no tunnel to {authority}: it answered {status} {_PHRASES.get(status, '')}".rstrip(), status
    )
