"""A token that one has, or knows how to get."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from attrs import Attribute, field, frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer

from ..interfaces import IAuth, IAuthenticator, IDownloader
from ..model.source import Head
from .flights import Flights

__all__ = ["Bearer", "checked"]

Answer = str | Awaitable[str]

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")  # wider than RFC 6750 section 2.1, as are the tokens that there are


def checked(token: object, what: str) -> str:
    """
    A token that can be sent.

    @raise TypeError: it is no text; C{ValueError}: it cannot be the value of a field.  Neither repeats it.
    """
    if not isinstance(token, str):
        raise TypeError(f"{what}: a str is needed, not {type(token).__name__}")
    if not _VISIBLE.fullmatch(token):
        raise ValueError(f"{what}: visible ASCII is needed, without spaces (there is a line end of a file, perhaps)")
    return token


def _token(_instance: object, _attribute: Attribute[Any], value: object) -> None:
    if not callable(value):
        checked(value, "Bearer.token")


@implementer(IAuth)
@frozen
class Bearer:
    """
    A token (RFC 6750), sent at once with each request to the scope.

    @ivar token: the token; or what is called for one, in the reactor thread and without arguments, and returns it or a
        Deferred or another awaitable of it.  That is done before the first request, and once more after each 401 to the
        latest token, once for all downloads that wait.  If the same token comes again, or what was sent was new and is
        refused too, the download fails with C{AuthFailed}.  What the callable raises fails the download: a
        C{DownloadError} as it is, all else as C{Refused}.  Only C{Timeouts.total} limits how long it takes; its
        Deferred is cancelled when nobody waits for it any more.
    """

    token: str | Callable[[], Answer] = field(repr=False, validator=_token)

    def start(self, direct: IDownloader) -> IAuthenticator:
        return _Fixed(self.token) if isinstance(self.token, str) else _Asked(self.token)


@implementer(IAuthenticator)
class _Fixed:
    def __init__(self, token: str) -> None:
        self._value = b"Bearer " + token.encode("ascii")

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
        headers[b"Authorization"] = self._value

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        return succeed(False)


@implementer(IAuthenticator)
class _Asked:
    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._ask = ask
        self._token: str | None = None
        self._flights: Flights[None, str] = Flights()

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
        if self._token is not None and None not in self._flights:
            return _put(self._token, headers)
        return self._renew().addCallback(_put, headers)

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        if sent != self._token:
            return succeed(True)  # somebody was here before us
        return self._renew().addCallback(lambda token: token != sent)

    def _renew(self) -> Deferred[str]:
        return self._flights.join(None, lambda: Deferred.fromCoroutine(self._renewed()))

    async def _renewed(self) -> str:
        try:
            given = self._ask()
            found = given if isinstance(given, str) else await given
        except CancelledError:  # by itself, or because nobody waits: nobody has given up who would hear of it
            raise RuntimeError("what Bearer.token waits for was cancelled") from None
        self._token = token = checked(found, "what Bearer.token returned")
        return token


def _put(token: str, headers: dict[bytes, bytes]) -> str:
    headers[b"Authorization"] = b"Bearer " + token.encode("ascii")
    return token
