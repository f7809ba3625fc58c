"""Credentials of a Remote on one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from ...errors import DownloadError, Refused
from ...interfaces import IAuthenticator, IBodyConsumer, IDownloader
from ...model.headers import Pairs
from ...model.remote import Remote, Retries
from ...model.report import Report
from ...model.source import Head, Source, as_source

__all__ = ["Login", "Unauthenticated"]


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
        """The fields that prove who we are."""
        fields: dict[bytes, bytes] = {}
        self._sent = await self._call(self._authenticator.authorize, fields)
        self.bare = not fields
        return tuple(fields.items())

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
            return await result if isinstance(result, Deferred) else result
        except (DownloadError, CancelledError):
            raise
        except Exception as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> Refused:
        # Its text may hold what it tried to send.
        return Refused(f"Remote.auth raised {type(error).__name__}", self._url)


@implementer(IDownloader)
class Unauthenticated:
    """
    What an authenticator downloads with: everything as the Remote says, its proxy and its trust, but not its C{auth},
    which would ask itself; and once, since those who wait for it try again.
    """

    def __init__(self, direct: IDownloader, remote: Remote) -> None:
        self._direct = direct
        self._remote = evolve(remote, auth=None, retries=Retries(count=0))

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        return self._direct.download(self._own(source), consumer)

    def head(self, source: Source | str) -> Deferred[Head]:
        return self._direct.head(self._own(source))

    def close(self) -> Deferred[None]:
        return self._direct.close()

    def _own(self, source: Source | str) -> Source:
        source = as_source(source)
        return source if source.remote is not None else evolve(source, remote=self._remote)
