"""What tests share on the receiving side: consumers, and what fetchers of one Downloader share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import deferLater
from zope.interface import implementer

from pulp_dl.engine.shared import Shared
from pulp_dl.interfaces import IBody, IFetcher, IResumable
from pulp_dl.model.remote import Limits, Remote
from pulp_dl.model.source import Head, Kept, Source
from pulp_dl.testing import RewindableRecorder


@implementer(IConsumer)
class Sink:
    """
    Keeps what comes.

    @ivar producer: while one is registered.
    @ivar on_write: called after each piece.
    """

    def __init__(self, on_write: Callable[[Sink], None] = lambda sink: None) -> None:
        self.pieces: list[bytes] = []
        self.producer: Any = None
        self.registered = 0
        self.on_write = on_write

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        assert self.producer is None
        self.producer = producer
        self.registered += 1

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        assert self.producer is not None
        self.pieces.append(data)
        self.on_write(self)


async def read(fetcher: IFetcher, source: Source | str, *arguments: Any) -> tuple[Head, bytes]:
    """Open and deliver."""
    body: IBody = await fetcher.open(Source(source) if isinstance(source, str) else source, *arguments)
    sink = Sink()
    await body.deliver(sink)
    assert sink.producer is None
    return body.head, sink.data


@asynccontextmanager
async def sharing(reactor: Any, connections: int = 20, per_host: int = 20) -> AsyncIterator[Shared]:
    """What the fetchers of one Downloader share; closed at the end."""
    shared = Shared(reactor, Remote(limits=Limits(connections=connections, per_host=per_host)), None)
    nobody: Any = None
    shared.direct = nobody
    try:
        yield shared
    finally:
        await shared.close()


def turn(reactor: Any) -> Deferred[None]:
    """Fires in the reactor's next turn."""
    done: Deferred[None] = Deferred()
    reactor.callLater(0, done.callback, None)
    return done


async def until(reactor: Any, true: Callable[[], object]) -> None:
    """The limit of the test is the limit of this."""
    while not true():
        await deferLater(reactor, 0.001)


@implementer(IResumable)
class Resumed(RewindableRecorder):
    """Has bytes of an earlier run; C{begin} goes on behind them."""

    def __init__(self, kept: bytes, head: Head) -> None:
        super().__init__()
        self._kept = Kept(len(kept), head, lambda: iter([kept]))
        self.writes.append(kept)

    def kept(self) -> Deferred[Kept | None]:
        return succeed(self._kept)
