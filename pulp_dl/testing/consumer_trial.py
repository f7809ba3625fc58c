"""A consumer on trial: what the checks of L{IBodyConsumer} are written with."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import isawaitable
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ..errors import Truncated
from ..flow.workers import Workers
from ..interfaces import IBodyConsumer, IResumable, IWorkerUser
from ..model.source import Head
from .content import short
from .guard import Belongings, soon, turns, until_left

__all__ = ["FAILURES", "LARGE", "ConsumerCase", "Make", "Trial", "head_of", "some", "trying"]

LARGE = 4 * 1024 * 1024
"""More than a consumer may keep in memory without pausing, if it passes the bytes on."""


@frozen
class ConsumerCase:
    """
    A fresh consumer, and a way to see what it kept.

    @ivar read: the bytes that are where the consumer puts them, as somebody else would find them, or None if there are
        none: for a file, its content; for an HTTP response, what a client takes for a complete body.  May return an
        awaitable of it.  What it returns at the very beginning is what a failure has to leave.
    """

    consumer: Any
    read: Callable[[], bytes | Awaitable[bytes | None] | None]


Make = Callable[[Any], AbstractAsyncContextManager[ConsumerCase]]


@implementer(IPushProducer)
class Feeder:
    """
    Writes pieces as fast as it may, one in each turn of the reactor, and minds what the consumer says to it.

    @ivar pauses: how often it was paused.
    """

    def __init__(self, trial: Trial, consumer: Any) -> None:
        self._trial = trial
        self._consumer = consumer
        self._registered = self.paused = False
        self.pauses = 0
        self.errors: list[str] = []

    def register(self) -> None:
        self._registered = True
        self._consumer.registerProducer(self, True)

    def unregister(self) -> None:
        self._consumer.unregisterProducer()
        self._registered = False

    async def feed(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            await self.ready()
            self._consumer.write(piece)
            await turns(self._trial.reactor, 1)

    async def ready(self) -> None:
        deadline = self._trial.reactor.seconds() + self._trial.patience
        while self.paused:
            assert self._trial.reactor.seconds() < deadline, "the consumer paused its producer, and never resumed it"
            await deferLater(self._trial.reactor, 0.001, bool)

    def pauseProducing(self) -> None:
        self._mind("pauseProducing")
        self.pauses += not self.paused
        self.paused = True

    def resumeProducing(self) -> None:
        self._mind("resumeProducing")
        self.paused = False

    def stopProducing(self) -> None:
        self.errors.append("stopProducing is not the consumer's to call; gone() tells that it can take no more")

    def _mind(self, method: str) -> None:
        if not self._registered:
            self.errors.append(f"{method} of a producer that is not registered (any more)")


class Trial:
    """One case under test, with the reactor."""

    def __init__(self, reactor: Any, case: ConsumerCase, patience: float) -> None:
        self.reactor = reactor
        self.patience = patience
        self.consumer = case.consumer
        self.feeder = Feeder(self, case.consumer)
        self.gone: list[object] = []
        self._case = case

    async def read(self) -> bytes | None:
        found = self._case.read()
        return await found if isawaitable(found) else found

    async def start(self, head: Head) -> None:
        """Until the first byte may come."""
        assert verifyObject(IBodyConsumer, self.consumer)
        leaving = self.consumer.gone()
        assert isinstance(leaving, Deferred), "gone() returns a Deferred"
        leaving.addBoth(self.gone.append)
        kept = await self.consumer.kept() if IResumable.providedBy(self.consumer) else None
        self.consumer.begin(head)
        self.feeder.register()
        if kept is not None:
            self.consumer.rewind(head)

    async def body(self, pieces: Sequence[bytes], head: Head | None = None) -> None:
        """All of it, up to C{finish}."""
        await self.start(head or head_of(pieces))
        await self.feeder.feed(pieces)
        self.feeder.unregister()

    async def part(self, start: int, pieces: Sequence[bytes], failure: Failure | None = None) -> None:
        """Bytes from this offset on, to an L{IRandomAccess}; at their end they are whole, or fail."""
        part = self.consumer.part(start)
        part.begin(head_of(pieces))
        feeder = Feeder(self, part)
        feeder.register()
        await feeder.feed(pieces)
        feeder.unregister()
        if failure is None:
            assert await soon(self.reactor, maybeDeferred(part.finish), "finish of a part", self.patience) is None
        else:
            assert part.fail(failure) is None, "fail returns None"
        assert feeder.errors == []

    async def finish(self) -> None:
        result = await soon(self.reactor, maybeDeferred(self.consumer.finish), "finish", self.patience)
        assert result is None, "finish fires with None"

    async def settled(self) -> None:
        """Nothing is said after the end."""
        await turns(self.reactor, 10)
        assert self.feeder.errors == []
        assert self.gone == [], "gone() fires only if the consumer can take no more"

    async def until(self, kept: bytes | None) -> None:
        """Taking back may take a moment."""
        deadline = self.reactor.seconds() + self.patience
        while (found := await self.read()) != kept:
            assert self.reactor.seconds() < deadline, f"a failed body left {short(found)}, not {short(kept)}"
            await deferLater(self.reactor, 0.01, bool)


def head_of(pieces: Sequence[bytes], length: int | None = None) -> Head:
    """The head of a body of these pieces, or of so many bytes."""
    length = sum(map(len, pieces)) if length is None else length
    fields = ((b"Content-Length", b"%d" % length), (b"ETag", b'"1"'))
    return Head("http://example.org/file", 200, fields, length, None, length)


@asynccontextmanager
async def trying(make: Make, patience: float) -> AsyncIterator[Trial]:
    """A trial with threads for who needs them, and the proof that nothing is left behind it."""
    from twisted.internet import reactor

    before = Belongings.now(reactor)
    workers = Workers(reactor)  # type: ignore[arg-type]  # the module is typed as a module
    async with make(reactor) as case:
        if IWorkerUser.providedBy(case.consumer):
            case.consumer.use(workers)
        yield Trial(reactor, case, patience)
        await soon(reactor, workers.close(), "the end of the consumer's threads", patience)
    await until_left(reactor, before, "by the consumer", patience)


FAILURES = {
    "an error": lambda: Failure(Truncated(1, 2, "http://example.org/file")),
    "a cancellation": lambda: Failure(CancelledError()),
}


def some(size: int, seed: int = 0) -> bytes:
    """Bytes that are not the same anywhere."""
    return random.Random(seed).randbytes(size)  # noqa: S311  # no secret
