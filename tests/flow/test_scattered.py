"""A pipe whose consumer is given other parts by others: how far the beginning goes."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pulp_dl import Digest, Source, Span, Timeouts
from pulp_dl.errors import TooLarge, Truncated
from pulp_dl.flow.joins import Ask
from pulp_dl.flow.scattered import Enough, Scattered
from pulp_dl.flow.workers import InlineWorkers
from tests.engine.anywhere import Anywhere
from tests.engine.by_hand import URL, HandWritten, body, head

DATA = bytes(range(250)) * 4
SOURCE = Source(URL, Digest("sha256", hashlib.sha256(DATA).hexdigest()))


class Others:
    """Who brings everything from some offset on, as far as the test says."""

    def __init__(self, pipe: Scattered, begin: int | None, *next_: int | None) -> None:
        self.pipe = pipe
        self.begin = begin
        self.next = list(next_)
        self.told: list[Any] = []

    def came(self) -> None:
        self.told.append("came")

    def give_way(self) -> bool:
        if not self.next:
            return False
        self.begin = self.next.pop(0)
        return True

    def overtaken(self, to: int) -> None:
        self.told.append(to)

    def forget(self) -> None:
        self.told.append("forget")


class Case:
    def __init__(self, begin: int | None, *next_: int | None) -> None:
        self.consumer = Anywhere()
        self.interrupted: list[Any] = []
        self.pipe = Scattered(
            Clock(), SOURCE, self.consumer, InlineWorkers(), Timeouts(), None, self.interrupted.append
        )
        self.others = self.pipe.others = Others(self.pipe, begin, *next_)

    def take(self, body: HandWritten) -> Deferred[None]:
        async def take() -> None:
            await self.pipe.admit(body.head, SOURCE, Ask(None, None, False))
            await self.pipe.take(body)

        return Deferred.fromCoroutine(take())


async def test_it_ends_where_the_others_begin() -> None:
    case = Case(300)

    with pytest.raises(Enough):
        await case.take(body(head(1000), DATA[:200], DATA[200:500]))

    assert case.consumer.data == DATA[:300]
    assert case.pipe.offset == case.pipe.outlet.given == 300
    assert case.pipe.valve.kept == 0


async def test_what_was_kept_when_it_ends_is_for_nobody() -> None:
    case = Case(300)

    def script(written: HandWritten) -> None:
        written.write(DATA[:100])
        case.consumer.pause()
        written.write(DATA[100:400], DATA[400:600])
        case.consumer.full_at = 300
        case.consumer.resume()

    with pytest.raises(Enough):
        await case.take(HandWritten(head(1000), script))

    assert case.consumer.data == DATA[:300]
    assert case.pipe.valve.kept == 0


async def test_it_ends_there_though_nothing_more_comes() -> None:
    case = Case(300)

    with pytest.raises(Enough):
        await case.take(HandWritten(head(1000), lambda written: written.write(DATA[:300])))


async def test_where_nothing_is_there_yet_it_goes_on() -> None:
    case = Case(300, 400, None)

    await case.take(body(head(1000), DATA))

    assert case.consumer.data == DATA


async def test_what_is_more_than_the_file_is_too_much_whoever_brings_it() -> None:
    case = Case(None)
    with pytest.raises(TooLarge):
        await case.take(body(head(1000), DATA, b"more"))


async def test_what_was_kept_goes_on_over_what_others_have_brought() -> None:
    """For what is asked for meanwhile follows it."""
    case = Case(300)

    def script(written: HandWritten) -> None:
        written.write(DATA[:100])
        case.consumer.pause()
        written.write(DATA[100:400])
        written.end(Truncated(400, 1000))

    with pytest.raises(Truncated):
        await case.take(HandWritten(head(1000), script))
    ask = case.pipe.ask(SOURCE)
    assert ask.span == Span(400)
    case.consumer.resume()

    assert case.consumer.data == DATA[:400]
    assert case.others.told == ["came", 400]
    assert case.interrupted == []


async def test_before_the_consumer_forgets_others_are_told() -> None:
    case = Case(None)
    with pytest.raises(Truncated):
        await case.take(body(head(1000), DATA[:100], error=Truncated(100, 1000)))
    await case.take(body(head(1000), DATA))

    assert case.others.told == ["came", "forget", "came"]
    assert case.consumer.data == DATA
