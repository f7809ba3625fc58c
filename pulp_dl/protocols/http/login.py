"""Credentials of a Remote on one request."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import CancelledError

from ...errors import DownloadError, Refused
from ...interfaces import IAuthenticator
from ...model.headers import Pairs, contradiction, header_pairs
from ...model.source import Head

__all__ = ["Login"]


class Login:
    """What an authenticator did for one request; whatever it raises becomes a L{DownloadError}."""

    def __init__(self, authenticator: IAuthenticator, method: bytes, url: str) -> None:
        self._authenticator = authenticator
        self._method = method
        self._url = url
        self._sent: Any = None
        self.hears: Callable[..., object] | None = getattr(authenticator, "answered", None)  # called for good answers
        self.bare = False  # nothing was sent

    async def authorize(self) -> Pairs:
        """The fields that prove who we are; no others, nor any that would be read as two."""
        fields: dict[bytes, bytes] = {}
        self._sent = await self._call(self._authenticator.authorize, fields)
        self.bare = not fields
        try:
            pairs = header_pairs(fields)
        except (TypeError, ValueError) as error:
            raise Refused(f"what Remote.auth gave cannot be sent: {error}", self._url) from error
        wrong = contradiction(pairs)
        if wrong is not None:
            raise Refused(f"what Remote.auth gave cannot be sent: {wrong}", self._url)
        return pairs

    async def challenged(self, head: Head) -> bool:
        """The server answered 401: is it worth asking again?"""
        return bool(await self._call(self._authenticator.challenged, head, self._sent))

    def answered(self, head: Head) -> None:
        """The server answered, and not with a 401; not called if nobody C{hears} it."""
        assert self.hears is not None
        try:
            self.hears(self._method, self._url, head, self._sent)
        except Exception as error:
            raise self._refused(error) from error

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            result = method(self._method, self._url, *arguments)
            return await result if isawaitable(result) else result
        except (DownloadError, CancelledError):
            raise
        except Exception as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> Refused:
        # Its text may hold what it tried to send.
        return Refused(f"Remote.auth raised {type(error).__name__}", self._url)
