"""A server on a loopback socket that plays scripts."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator

from .script import Script
from .stage import Stage

__all__ = ["FaultServer"]


class FaultServer(Stage):
    """
    An HTTP server that does exactly what its script says::

        async with FaultServer(reactor, {"/a": answer(b"hello"), "/b": Reset()}) as server:
            ... server.url("/a") ... server.requests ...

    It listens from its construction on, until C{close}.
    """

    def __init__(
        self,
        reactor: Any,
        script: Script | Mapping[str, Script],
        *,
        tls: IOpenSSLServerConnectionCreator | None = None,
        greeting: Script = (),
        interface: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """
        @param script: what each request gets; a mapping has a script for each path, or Host and path.
        @param tls: such as C{CertificateOptions(privateKey=..., certificate=...)}; everything then goes through TLS.
        @param greeting: what each connection gets before any request.
        @param port: 0 for one that is free.
        """
        super().__init__(reactor, script, tls=tls, greeting=greeting, host=interface)
        self._listening: Any = reactor.listenTCP(port, self.wrapped(), interface=interface)
        self.port = self._listening.getHost().port

    def close(self) -> Deferred[None]:
        """Stop listening and reset every connection.  Fires when nothing is left; may be called again."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        await maybeDeferred(self._listening.stopListening)
        await self.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
