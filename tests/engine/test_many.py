"""Many downloads: lazily, bounded, in the order in which they end; and everything surfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock, LoopingCall
from twisted.python.failure import Failure

from pulp_dl import Outcome, Source
from pulp_dl.engine.many import Many
from pulp_dl.errors import DownloadError, NotFound


class Bench:
    """Downloads that the test ends by hand."""

    def __init__(self, items: Any, concurrency: int = 3) -> None:
        self.clock = Clock()
        self.running: dict[str, Deferred[Any]] = {}
        self.started: list[str] = []
        self.peak = 0
        self.many = Many(self.clock, self.download, items, concurrency)
        self.got: list[Any] = []
        self.over: list[Any] = []

    def download(self, source: Source, consumer: Any) -> Deferred[Any]:
        ending: Deferred[Any] = Deferred()
        self.running[source.url] = ending
        self.started.append(source.url)
        self.peak = max(self.peak, len(self.running))

        def ended(result: Any) -> Any:
            del self.running[source.url]
            return result

        return ending.addBoth(ended)

    def end(self, url: str, error: Exception | None = None) -> None:
        if error is None:
            self.running[url].callback(f"report of {url}")
        else:
            self.running[url].errback(error)
        self.turn()

    def turn(self) -> None:
        self.clock.pump([0] * 10)

    def close(self) -> None:
        closed: list[None] = []
        self.many.close().addCallback(closed.append)
        self.turn()
        assert closed == [None]

    def read(self, limit: int | None = None) -> None:
        """Iterate in the background, as a caller does."""

        async def go() -> None:
            async with self.many as outcomes:
                async for outcome in outcomes:
                    self.got.append(outcome)
                    if limit is not None and len(self.got) >= limit:
                        break

        self.reader = Deferred.fromCoroutine(go()).addBoth(self.over.append)
        self.turn()


def urls(count: int) -> Iterator[tuple[str, None]]:
    return ((f"memory://h/{number}", None) for number in range(count))


def test_no_item_is_taken_before_there_is_a_place_for_it() -> None:
    taken: list[int] = []

    def items() -> Iterator[Any]:
        for number in range(10):
            taken.append(number)
            yield f"memory://h/{number}", None

    bench = Bench(items(), concurrency=3)
    assert taken == []
    bench.read()
    assert taken == [0, 1, 2]
    bench.end("memory://h/1")
    assert taken == [0, 1, 2, 3]
    assert [each.source.url for each in bench.got] == ["memory://h/1"]
    bench.close()


def test_outcomes_come_in_the_order_in_which_downloads_end_failures_among_them() -> None:
    bench = Bench(urls(3))
    bench.read()

    bench.end("memory://h/2")
    bench.end("memory://h/0", NotFound(404))
    bench.end("memory://h/1")

    assert [(each.source.url[-1], each.ok) for each in bench.got] == [("2", True), ("0", False), ("1", True)]
    assert bench.over == [None]
    assert bench.clock.getDelayedCalls() == []


def test_the_tag_comes_back() -> None:
    artifact = object()
    bench = Bench([(Source("memory://h/0", tag=artifact), None)])
    bench.read()
    bench.end("memory://h/0")

    assert bench.got[0].tag is artifact


def test_a_slow_caller_slows_the_downloads() -> None:
    bench = Bench(urls(100), concurrency=2)
    bench.many.start()
    for _ in range(50):
        bench.turn()
        for url in tuple(bench.running):
            bench.end(url)

    assert len(bench.started) <= 4
    bench.close()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_error_in_the_callers_generator_surfaces_after_what_ran_has_ended(asynchronous: bool) -> None:
    def items() -> Iterator[Any]:
        yield "memory://h/0", None
        raise LookupError("the database is away")

    async def async_items() -> AsyncIterator[Any]:
        for item in items():
            yield item

    bench = Bench(async_items() if asynchronous else items())
    bench.read()
    assert not bench.over
    bench.end("memory://h/0")

    assert [each.ok for each in bench.got] == [True]
    assert bench.over[0].check(LookupError)


@pytest.mark.parametrize("item", ["memory://h/0", ("not a url", None), (1, 2, 3), None])
def test_an_item_that_is_none_is_an_error_not_silence(item: Any) -> None:
    bench = Bench([item])
    bench.read()

    assert isinstance(bench.over[0], Failure)


def test_a_fault_that_is_no_download_error_surfaces() -> None:
    bench = Bench(urls(1))
    bench.read()
    bench.end("memory://h/0", ZeroDivisionError())

    assert bench.over[0].check(ZeroDivisionError)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_leaving_the_block_cancels_what_runs_and_closes_the_generator(asynchronous: bool) -> None:
    closed: list[str] = []

    def items() -> Iterator[Any]:
        try:
            for number in range(1000):
                yield f"memory://h/{number}", None
        finally:
            closed.append("sync")

    async def async_items() -> AsyncIterator[Any]:
        try:
            for number in range(1000):
                yield f"memory://h/{number}", None
        finally:
            closed.append("async")

    bench = Bench(async_items() if asynchronous else items())
    bench.read(limit=1)
    bench.end("memory://h/1")

    assert bench.over == [None]
    assert bench.running == {}
    assert len(bench.started) <= 4
    assert closed == ["async" if asynchronous else "sync"]
    assert bench.clock.getDelayedCalls() == []


def test_cancelling_the_reader_ends_everything() -> None:
    bench = Bench(urls(100))
    bench.read()

    bench.reader.cancel()
    bench.turn()

    assert bench.over[0].check(CancelledError)
    assert bench.running == {}
    assert bench.clock.getDelayedCalls() == []


def test_closing_from_outside_is_told_to_the_reader() -> None:
    bench = Bench(urls(100))
    bench.read()
    closed: list[Any] = []

    bench.many.close().addBoth(closed.append)
    bench.turn()

    assert bench.over[0].check(CancelledError)
    assert closed == [None]


def test_closing_before_the_first_is_read_is_told_to_the_reader() -> None:
    bench = Bench(urls(100))
    bench.close()
    bench.read()

    assert bench.over[0].check(CancelledError)
    assert bench.started == []


def test_what_had_ended_when_the_block_was_left_can_be_told() -> None:
    bench = Bench(urls(100), concurrency=4)
    bench.read(limit=1)
    bench.running["memory://h/2"].callback("report")
    bench.running["memory://h/0"].errback(NotFound(404))
    bench.running["memory://h/1"].callback("report")
    bench.turn()

    assert [each.source.url for each in bench.got] == ["memory://h/2"]
    assert [(each.source.url, each.ok) for each in bench.many.untaken] == [
        ("memory://h/0", False),
        ("memory://h/1", True),
    ]
    bench.close()
    assert len(bench.many.untaken) == 2


def test_a_download_that_cannot_be_cancelled_any_more_is_told_and_one_that_was_is_not() -> None:
    """A file that is being renamed is there, whoever has left; what fails after a cancel may do so because of it."""
    ends: dict[str, Any] = {"memory://h/0": "report", "memory://h/1": DownloadError("x"), "memory://h/2": None}

    def download(source: Source, consumer: Any) -> Deferred[Any]:
        def cancelled(running: Deferred[Any]) -> None:
            end = ends[source.url]
            if end is not None:
                running.errback(end) if isinstance(end, Exception) else running.callback(end)

        return Deferred(cancelled)

    clock, items = Clock(), cast("Any", urls(3))
    many = Many(clock, download, items, 3)
    many.start()
    clock.pump([0] * 10)

    assert many.untaken == []

    many.close()
    clock.pump([0] * 10)

    assert [each.source.url for each in many.untaken] == ["memory://h/0"]


def test_outcomes_can_be_read_once() -> None:
    bench = Bench(urls(0))
    bench.read()
    assert bench.over == [None]
    with pytest.raises(RuntimeError, match="once"):
        bench.many.start()


@pytest.mark.parametrize("leaves", [False, True])
def test_several_callers_may_share_the_outcomes(leaves: bool) -> None:
    """As workers do; each outcome is for one of them, the end for all."""
    bench = Bench(urls(4), concurrency=1)
    bench.many.start()
    got: list[list[Any]] = [[], [], []]
    over: list[Any] = []

    async def work(mine: list[Any]) -> None:
        mine += [outcome async for outcome in bench.many]

    workers = [Deferred.fromCoroutine(work(mine)) for mine in got]
    for worker in workers:
        worker.addBoth(over.append)
    if leaves:
        workers[0].cancel()
        assert over.pop().check(CancelledError)
    for number in range(4):
        bench.turn()
        bench.end(f"memory://h/{number}")

    assert sum(map(len, got)) == 4
    assert over == [None] * (2 if leaves else 3)
    bench.close()
    assert bench.clock.getDelayedCalls() == []


async def test_downloads_that_have_ended_at_once_let_others_have_their_turn(reactor: Any) -> None:
    """Workers that await what has fired already go through the whole list in one turn of the reactor."""
    turns, told = 0, Counter[int]()

    def tick() -> None:
        nonlocal turns
        turns += 1

    report: Any = object()
    items: Any = urls(1000)
    ticking = LoopingCall(tick)
    ticking.clock = reactor
    ticking.start(0)
    async with Many(reactor, lambda source, consumer: succeed(report), items, 3) as outcomes:
        async for _ in outcomes:
            told[turns] += 1
    ticking.stop()

    assert told.total() == 1000
    assert max(told.values()) <= 6


def test_an_async_generator_is_asked_by_one_task_at_a_time() -> None:
    waiting: list[Deferred[None]] = []

    async def items() -> AsyncIterator[Any]:
        for number in range(3):
            gate: Deferred[None] = Deferred()
            waiting.append(gate)
            await gate
            yield f"memory://h/{number}", None

    bench = Bench(items())
    bench.read()
    for number in range(3):
        assert len(waiting) == number + 1
        waiting[number].callback(None)
        bench.turn()

    assert bench.started == ["memory://h/0", "memory://h/1", "memory://h/2"]
    bench.close()


@given(st.integers(0, 40), st.integers(1, 7), st.randoms(use_true_random=False))
def test_whatever_the_order_of_ends_every_item_has_one_outcome_and_the_limit_holds(
    count: int, concurrency: int, random: Any
) -> None:
    bench = Bench(urls(count), concurrency)
    bench.read()
    try:
        while bench.running:
            url = random.choice(sorted(bench.running))
            bench.end(url, random.choice([None, DownloadError("x")]))

        assert bench.over == [None]
    finally:
        bench.close()  # hypothesis may end an example early
    assert sorted(each.source.url for each in bench.got) == sorted(url for url, _ in urls(count))
    assert bench.peak <= concurrency
    assert all(isinstance(each, Outcome) for each in bench.got)
