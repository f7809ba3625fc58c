"""The promises of L{IBodyConsumer} and L{IRewindable} as tests, for any consumer."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import isawaitable
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ..errors import Truncated
from ..flow.workers import Workers
from ..interfaces import IBodyConsumer, IResumable, IRewindable, IWorkerUser
from ..model.source import Head
from .guard import PATIENCE, Belongings, soon, turns, until_left

__all__ = ["ConsumerCase", "check_consumer"]

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
class _Feeder:
    """
    Writes pieces as fast as it may, one in each turn of the reactor, and minds what the consumer says to it.

    @ivar pauses: how often it was paused.
    """

    def __init__(self, trial: _Trial) -> None:
        self._trial = trial
        self._registered = self.paused = False
        self.pauses = 0
        self.errors: list[str] = []

    def register(self) -> None:
        self._registered = True
        self._trial.consumer.registerProducer(self, True)

    def unregister(self) -> None:
        self._trial.consumer.unregisterProducer()
        self._registered = False

    async def feed(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            await self.ready()
            self._trial.consumer.write(piece)
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


class _Trial:
    """One case under test, with the reactor."""

    def __init__(self, reactor: Any, case: ConsumerCase, patience: float) -> None:
        self.reactor = reactor
        self.patience = patience
        self.consumer = case.consumer
        self.feeder = _Feeder(self)
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
        await self.start(head or _head(pieces))
        await self.feeder.feed(pieces)
        self.feeder.unregister()

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
            assert self.reactor.seconds() < deadline, f"a failed body left {_short(found)}, not {_short(kept)}"
            await deferLater(self.reactor, 0.01, bool)


def _short(data: bytes | None) -> str:
    return "nothing" if data is None else f"{len(data)} bytes ({data[:20]!r})"


def _head(pieces: Sequence[bytes], length: int | None = None) -> Head:
    length = sum(map(len, pieces)) if length is None else length
    fields = ((b"Content-Length", b"%d" % length), (b"ETag", b'"1"'))
    return Head("http://example.org/file", 200, fields, length, None, length)


@asynccontextmanager
async def _trying(make: Make, patience: float) -> AsyncIterator[_Trial]:
    from twisted.internet import reactor

    before = Belongings.now(reactor)
    workers = Workers(reactor)  # type: ignore[arg-type]  # the module is typed as a module
    async with make(reactor) as case:
        if IWorkerUser.providedBy(case.consumer):
            case.consumer.use(workers)
        yield _Trial(reactor, case, patience)
        await soon(reactor, workers.close(), "the end of the consumer's threads", patience)
    await until_left(reactor, before, "by the consumer", patience)


FAILURES = {
    "an error": lambda: Failure(Truncated(1, 2, "http://example.org/file")),
    "a cancellation": lambda: Failure(CancelledError()),
}


class ConsumerChecks:
    """What L{check_consumer} returns a subclass of."""

    _make: Make
    _patience: float

    def _trying(self) -> AbstractAsyncContextManager[_Trial]:
        return _trying(self._make, self._patience)

    async def test_an_empty_body_is_a_body(self) -> None:
        async with self._trying() as trial:
            await trial.body([])
            await trial.finish()
            assert await trial.read() == b""
            await trial.settled()

    async def test_a_large_body_is_kept_with_all_the_pauses_it_needs(self) -> None:
        async with self._trying() as trial:
            pieces = [_some(65536, number) for number in range(LARGE // 65536)]
            await trial.body(pieces)
            await trial.finish()
            assert await trial.read() == b"".join(pieces)
            await trial.settled()

    async def test_a_body_of_unknown_length_is_kept_too(self) -> None:
        async with self._trying() as trial:
            await trial.body([b"who knows ", b"how much"], Head("http://example.org/file", 200))
            await trial.finish()
            assert await trial.read() == b"who knows how much"
            await trial.settled()

    @pytest.mark.parametrize("size", [5, 300_000])
    async def test_nothing_is_to_be_seen_before_finish(self, size: int) -> None:
        async with self._trying() as trial:
            before = await trial.read()
            await trial.body([_some(size)])
            await turns(trial.reactor, 10)
            assert await trial.read() == before
            await trial.finish()
            assert await trial.read() == _some(size)

    @pytest.mark.parametrize("why", FAILURES)
    async def test_a_failure_before_the_first_byte_leaves_what_was_there(self, why: str) -> None:
        async with self._trying() as trial:
            before = await trial.read()
            trial.consumer.gone().addBoth(trial.gone.append)
            assert trial.consumer.fail(FAILURES[why]()) is None, "fail returns None"
            await trial.until(before)
            await trial.settled()

    @pytest.mark.parametrize("why", FAILURES)
    @pytest.mark.parametrize("size", [0, 5, 300_000])
    async def test_a_failure_in_the_middle_leaves_what_was_there(self, size: int, why: str) -> None:
        async with self._trying() as trial:
            before = await trial.read()
            data = _some(size)
            await trial.body([data[at : at + 65536] for at in range(0, size, 65536)], _head([], 10_000_000))
            assert trial.consumer.fail(FAILURES[why]()) is None, "fail returns None"
            await trial.until(before)
            await trial.settled()

    async def test_a_failure_right_after_much_was_written_leaves_what_was_there(self) -> None:
        async with self._trying() as trial:
            before = await trial.read()
            await trial.start(_head([], 10_000_000))
            trial.consumer.write(_some(1_000_000))
            trial.feeder.unregister()
            trial.consumer.fail(FAILURES["a cancellation"]())
            await trial.until(before)
            await trial.settled()

    async def test_what_is_rewound_is_forgotten(self) -> None:
        async with self._trying() as trial:
            if not IRewindable.providedBy(trial.consumer):
                return
            assert verifyObject(IRewindable, trial.consumer)
            await trial.start(_head([b"", b"forget me"]))
            trial.consumer.rewind(_head([_some(400_000)]))
            await trial.feeder.feed([_some(200_000), _some(200_000)])
            trial.consumer.rewind(_head([b"kept"]))
            await trial.feeder.feed([b"ke", b"pt"])
            trial.feeder.unregister()
            await trial.finish()
            assert await trial.read() == b"kept"
            await trial.settled()

    async def test_what_is_rewound_and_not_written_again_is_empty(self) -> None:
        async with self._trying() as trial:
            if not IRewindable.providedBy(trial.consumer):
                return
            await trial.start(_head([b"forget me"]))
            await trial.feeder.feed([b"forget me"])
            trial.consumer.rewind(_head([]))
            trial.feeder.unregister()
            await trial.finish()
            assert await trial.read() == b""
            await trial.settled()

    async def test_a_failure_after_a_rewind_leaves_what_was_there(self) -> None:
        async with self._trying() as trial:
            if not IRewindable.providedBy(trial.consumer):
                return
            before = await trial.read()
            await trial.start(_head([b"forget me"]))
            await trial.feeder.feed([_some(300_000)])
            trial.consumer.rewind(_head([b"forget me"]))
            await trial.feeder.feed([b"and me"])
            trial.feeder.unregister()
            trial.consumer.fail(FAILURES["an error"]())
            await trial.until(before)
            await trial.settled()

    async def _kept(self, pieces: list[int]) -> None:
        async with self._trying() as trial:
            written = [_some(size, number) for number, size in enumerate(pieces)]
            await trial.body(written)
            await trial.finish()
            assert await trial.read() == b"".join(written)
            await trial.settled()


def _some(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311  # no secret


def check_consumer(make: Make, *, patience: float = PATIENCE) -> type:
    """
    A test class for one kind of consumer; subclass it where pytest finds it::

        @asynccontextmanager
        async def make_to_s3(reactor):
            async with FakeS3(reactor) as s3:
                yield ConsumerCase(ToS3(s3, "key"), read=lambda: s3.get("key"))

        class TestToS3(check_consumer(make_to_s3)):
            "ToS3 keeps every promise of IBodyConsumer."

    An L{IRewindable} consumer is tested as such.

    @param make: called with the reactor for each test; an async context manager of a L{ConsumerCase}.
    @param patience: seconds after which something that should happen at once is taken for never.
    """

    class Checks(ConsumerChecks):
        _make = staticmethod(make)
        _patience = patience

        # Here, because hypothesis and pytest-twisted change the function: each test class needs one of its own.
        @given(pieces=st.lists(st.integers(1, 200_000), max_size=8))
        async def test_a_body_is_kept_byte_for_byte_whatever_its_pieces(self, pieces: list[int]) -> None:
            await self._kept(pieces)

    return Checks
