"""A fetcher on trial: what the checks of L{IFetcher} are written with."""

from __future__ import annotations

import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from inspect import isawaitable
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.protocol import Factory

from ..interfaces import IBody, IFetcher
from ..model.headers import Pairs
from ..model.source import Source, Span, Validators
from .consumers import Sink
from .guard import Belongings, soon, turns, until_left

__all__ = ["LARGE", "RECEIVE", "Calling", "FetcherCase", "Make", "Trial", "Uneven", "some", "stopping", "trying"]

LARGE = 8 * 1024 * 1024
"""More than sockets and pipes hold, so that a body of this size is under way until it is read."""

RECEIVE = 65536
"""Bytes that may still come after a pause: one receive buffer."""


@frozen
class FetcherCase:
    """
    A fetcher, and a server (or whatever stands for one) that it reaches.

    @ivar serve: C{serve(name, data)} puts data at a place of this name and returns its URL, or an awaitable of it.  The
        same name again replaces the data.
    @ivar missing: a URL at which there is nothing, or None if the protocol knows no such thing.
    @ivar spans: False if the protocol cannot bring a part.
    @ivar validators: False if a Head tells nothing strong enough for If-Range, not even for what never changes.
    @ivar lying: C{lying(name, data, size)} is C{serve} by a server that says these data were C{size} bytes, or None if
        nobody says sizes.
    """

    fetcher: IFetcher
    serve: Callable[[str, bytes], str | Awaitable[str]]
    missing: str | None = None
    spans: bool = True
    validators: bool = True
    lying: Callable[[str, bytes, int], str | Awaitable[str]] | None = None


Make = Callable[[Any], AbstractAsyncContextManager[FetcherCase]]


def some(size: int, seed: int = 0) -> bytes:
    """Bytes that are not the same anywhere."""
    return random.Random(seed).randbytes(size)  # noqa: S311  # no secret


class Trial:
    """One case under test, with the reactor."""

    def __init__(self, reactor: Any, case: FetcherCase, patience: float) -> None:
        self.reactor = reactor
        self.patience = patience
        self.case = case
        self.fetcher = case.fetcher

    async def serve(self, name: str, data: bytes) -> str:
        url = self.case.serve(name, data)
        return await url if isawaitable(url) else url

    def soon(self, deferred: Deferred[Any], what: str) -> Deferred[Any]:
        return soon(self.reactor, deferred, what, self.patience)

    async def open(
        self, url: str, span: Span | None = None, same_as: Validators | None = None, conditions: Pairs = ()
    ) -> IBody:
        source = Source(url, conditions=conditions, span=span)
        body: IBody = await self.soon(self.fetcher.open(source, span, same_as), "open")
        return body

    async def deliver(self, body: IBody, sink: Sink | None = None) -> bytes:
        """The bytes; everything about how they come is checked."""
        sink = sink or Sink(slack=RECEIVE)
        assert await self.soon(body.deliver(sink), "deliver") is None, "deliver fires with None"
        return await self.ended(sink)

    async def ended(self, sink: Sink) -> bytes:
        """What a sink got of a delivery that has ended, in which nothing more may happen."""
        assert sink.unregistered, "the producer is unregistered before deliver fires"
        before = sink.data
        await turns(self.reactor, 5)
        assert len(sink.data) == len(before), "no write comes after deliver has fired"
        return before

    async def written(self, sink: Sink) -> None:
        """Wait for the first byte."""
        deadline = self.reactor.seconds() + self.patience
        while not sink.writes:
            assert self.reactor.seconds() < deadline, "deliver: no byte comes"
            await turns(self.reactor, 1)

    async def kept(self, before: Belongings) -> Belongings:
        """What is held beyond that when downloads have gone well, as a fetcher keeps a connection for the next one."""
        return (await self.rested()).minus(before)

    async def cancelled(self, begin: Callable[[], Deferred[Any]], count: int, what: str) -> Any:
        """
        Begin it, cancel it so many turns of the reactor later, and wait for its end.

        Returns None if it was cancelled, or else its result: it had been quicker.
        """
        running = begin()
        await turns(self.reactor, count)
        running.cancel()
        with suppress(CancelledError):
            return (await self.soon(running, f"{what}, cancelled after {count} turns"),)
        return None

    async def left(self, before: Belongings, after: str) -> None:
        """Wait until no more is held than before."""
        await until_left(self.reactor, before, after, self.patience)

    async def rested(self) -> Belongings:
        """
        What is held when a download has gone well, and the fetcher keeps what it likes to keep for the next one.
        Threads are not counted: a pool of them may grow until it is closed.
        """
        url = await self.serve("rested", b"rested")
        assert await self.deliver(await self.open(url)) == b"rested"
        await turns(self.reactor, 20)
        return evolve(Belongings.now(self.reactor), threads=threading.active_count() + 100)


@asynccontextmanager
async def trying(make: Make, patience: float) -> AsyncIterator[Trial]:
    """A trial, with the proof that nothing is left behind it."""
    from twisted.internet import reactor

    # The first port of a process has Twisted reserve a descriptor for good.
    listens: Any = reactor
    await maybeDeferred(listens.listenTCP(0, Factory(), interface="127.0.0.1").stopListening)
    before = Belongings.now(reactor)
    async with make(reactor) as case:
        yield Trial(reactor, case, patience)
        await soon(reactor, case.fetcher.close(), "close", patience)
    await until_left(reactor, before, "after close", patience)


class Uneven(Sink):
    """Pauses after each write for so many turns of the reactor as its pattern says, again and again."""

    def __init__(self, reactor: Any, pattern: Sequence[int]) -> None:
        super().__init__(reactor, slack=RECEIVE)
        self._pattern = pattern

    def write(self, data: bytes) -> None:
        super().write(data)
        self._wait(self._pattern[len(self.writes) % len(self._pattern)])

    def _wait(self, count: int) -> None:
        if count and self.producer is not None:
            self.pause()
            self._reactor.callLater(0, self._turned, count - 1)

    def _turned(self, count: int) -> None:
        if count:
            self._reactor.callLater(0, self._turned, count - 1)
        else:
            self.resume()


class Calling(Sink):
    """
    Calls something, once, from inside a write.

    @ivar call: what is called in the next write.
    """

    def __init__(self, reactor: Any, **how: Any) -> None:
        super().__init__(reactor, slack=RECEIVE, **how)
        self.call: Callable[[], object] = bool

    def write(self, data: bytes) -> None:
        super().write(data)
        call, self.call = self.call, bool
        call()


def stopping(reactor: Any, when: str) -> Calling:
    """A sink for a delivery that is to be cancelled then."""
    if when == "in the middle":
        return Calling(reactor, pause_for=0)
    return Calling(reactor, pause_after=1 if when == "while paused" else 0)
