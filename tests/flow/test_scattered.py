"""A pipe whose consumer is given other parts by others: how far the beginning goes."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pulp_dl import Digest, Source, Span, Timeouts
from pulp_dl.errors import ConsumerFailed, TooLarge, Truncated
from pulp_dl.flow.checks import INLINE
from pulp_dl.flow.joins import Ask
from pulp_dl.flow.scattered import Enough, Scattered
from pulp_dl.flow.workers import InlineWorkers
from tests.engine.anywhere import Anywhere
from tests.engine.by_hand import URL, HandWritten, body, head
from tests.flow.slow import Slow

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
        self.clock = Clock()
        self.consumer = Anywhere()
        self.interrupted: list[Any] = []
        self.pipe = Scattered(
            self.clock, SOURCE, self.consumer, InlineWorkers(), Timeouts(), None, self.interrupted.append
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


def test_how_fast_it_is_and_for_how_long_nothing_came() -> None:
    case = Case(None)
    assert (case.pipe.speed, case.pipe.silent) == (None, 0)
    written = HandWritten(head(1000), lambda _: None)
    running = case.take(written)
    case.clock.advance(2)
    assert (case.pipe.speed, case.pipe.silent) == (None, 2)
    written.write(DATA[:300])
    assert (case.pipe.speed, case.pipe.silent) == (150, 0)
    case.clock.advance(1)
    assert (case.pipe.speed, case.pipe.silent) == (100, 1)
    written.write(DATA[300:])
    case.clock.advance(1)
    written.end()

    assert running.called
    assert (case.pipe.speed, case.pipe.silent) == (250, 0)


def test_what_is_here_at_once_has_no_speed() -> None:
    case = Case(None)
    assert case.take(body(head(1000), DATA)).called
    assert case.pipe.speed is None


def test_a_digest_of_the_whole_judges_it() -> None:
    assert Case(None).pipe.judged
    assert not Scattered(Clock(), Source(URL), Anywhere(), InlineWorkers(), Timeouts(), None, print).judged


def test_without_others_it_is_as_any_other() -> None:
    case = Case(None)
    case.pipe.others = None
    assert case.take(body(head(1000), DATA)).called
    assert case.consumer.data == DATA


async def test_what_is_there_already_is_read_and_gone_on_behind() -> None:
    case = Case(None)
    with pytest.raises(Truncated):
        await case.take(body(head(1000), DATA[:100], error=Truncated(100, 1000)))
    case.consumer.data.extend(DATA[100:400])
    await case.pipe.skip(400, case.consumer)
    assert case.pipe.offset == case.pipe.outlet.given == case.consumer.at == 400
    assert case.pipe.ask(SOURCE).span == Span(400)

    case.consumer.data.extend(DATA[400:])
    await case.pipe.skip(1000, case.consumer)
    _, facts, _ = await case.pipe.finish()
    assert facts == {"sha256": hashlib.sha256(DATA).hexdigest()}


async def test_bytes_that_were_mended_are_judged_anew() -> None:
    case = Case(None)
    await case.take(body(head(1000), b"!" + DATA[1:]))
    case.consumer.data[:1] = DATA[:1]
    await case.pipe.again(case.consumer)
    await case.pipe.finish()

    assert case.consumer.kept == DATA


async def test_a_file_that_cannot_be_read_again_is_its_consumers_failure() -> None:
    case = Case(None)
    with pytest.raises(Truncated):
        await case.take(body(head(1000), DATA[:100], error=Truncated(100, 1000)))
    with pytest.raises(ConsumerFailed):
        await case.pipe.skip(400, case.consumer)


async def test_what_waits_to_be_checked_is_checked_before_what_is_read_again() -> None:
    data = DATA * 600
    source = Source(URL, Digest("sha256", hashlib.sha256(data).hexdigest()))
    consumer = Anywhere()
    pipe = Scattered(Clock(), source, consumer, Slow(), Timeouts(), None, print)
    ask = Ask(None, None, False)
    first = body(head(len(data)), data[:INLINE], data[INLINE : INLINE + 1000], error=Truncated(1, 2))
    await pipe.admit(first.head, source, ask)
    with pytest.raises(Truncated):
        await pipe.take(first)
    consumer.data.extend(data[INLINE + 1000 :])
    await pipe.skip(len(data), consumer)
    await pipe.finish()

    assert consumer.kept == data
