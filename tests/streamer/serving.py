"""A streamer on a loopback port, with all that is around it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.task import deferLater
from zope.interface import implementer

from pulp_dl import Digest, Downloader, Remote, Retries, Source, Timeouts
from pulp_dl.interfaces import IExchange, ITold
from pulp_dl.streamer import Answers, Content
from pulp_dl.testing import FaultServer, ServerTLS
from tests.streamer.client import Client, Seen, ask, connect
from tests.streamer.importers import ByHeart

__all__ = ["QUICK", "Listening", "Serving", "serving", "sha256", "until"]

QUICK = Remote(retries=Retries(count=2, base=0.01), timeouts=Timeouts(head=1, idle=0.5))


def sha256(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest())


async def until(reactor: Any, true: Callable[[], object]) -> None:
    """The limit of the test is the limit of this."""
    while not true():
        await deferLater(reactor, 0.001)


@implementer(ITold)
class Listening:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.begun: list[IExchange] = []
        self.over: list[Any] = []

    def began(self, exchange: IExchange) -> None:
        self.begun.append(exchange)

    def ended(self, exchange: IExchange) -> None:
        assert exchange in self.begun
        assert exchange not in self.over
        self.over.append(exchange)


class Serving:
    """
    What a test needs of it.

    @ivar origin: where files come from; C{importer}: who knows them; C{told}: who hears of it.
    """

    def __init__(self, reactor: Any, origin: FaultServer, importer: ByHeart, answers: Answers | None) -> None:
        self._reactor = reactor
        self.origin = origin
        self.importer = importer
        self.told = Listening()
        self.content = Content(reactor, importer, answers, self.told)
        self.listening = reactor.listenTCP(0, self.content, interface="127.0.0.1")
        self.port: int = self.listening.getHost().port

    def url(self, path: str = "/f") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def ask(self, *request: str, **how: str) -> Seen:
        return await ask(self._reactor, self.port, *request, **how)

    async def connect(self) -> Client:
        return await connect(self._reactor, self.port)

    async def ended(self, count: int = 1) -> Any:
        """The last of so many requests, when they have ended."""
        await until(self._reactor, lambda: len(self.told.over) >= count)
        return self.told.over[-1]


@asynccontextmanager
async def serving(
    reactor: Any,
    script: Any,
    files: Callable[[FaultServer], dict[str, Any]] | None = None,
    *,
    expect: Any = (),
    remote: Remote = QUICK,
    answers: Answers | None = None,
    importer: Callable[[Downloader, dict[str, Any]], ByHeart] = ByHeart,
    mirrors: Any = None,
    tls: ServerTLS | None = None,
) -> AsyncIterator[Serving]:
    """
    @param files: what is published, of the origin; if it is not given, C{/f} with this C{expect}.
    @param tls: that of the origin.
    """
    async with FaultServer(reactor, script, tls=tls) as origin:
        published = files(origin) if files else {"/f": Source(origin.url("/f"), expect)}
        downloader = Downloader(reactor, remote, mirrors=mirrors and mirrors(origin))
        served = Serving(reactor, origin, importer(downloader, published), answers)
        try:
            yield served
        finally:
            await served.content.cut()
            await served.listening.stopListening()
            await served.importer.close()
