"""Jobs of one lane run in order, never two at once, and the reactor hears of them only when there is news."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from pulp_dl.flow.workers import BUDGET, LEAST, MOST, PIECE, InlineWorkers, Lane, Workers
from pulp_dl.interfaces import IWorkers

LIMIT = 100


def nothing() -> None:
    pass


def unexpected(failure: Failure) -> None:
    failure.raiseException()


@asynccontextmanager
async def working(reactor: Any, threads: int = 4) -> AsyncIterator[Workers]:
    workers = Workers(reactor, threads, name="test")
    try:
        yield workers
    finally:
        await workers.close()


def our_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "test worker"]


# ---- a lane, step by step


@define
class Step:
    """
    What a test does in the reactor thread.

    A job has steps of its own: they happen while it runs, as the reactor goes on meanwhile.
    """

    what: str
    weight: int = 0
    fails: bool = False
    meanwhile: list[Step] = field(factory=list)


class World:
    """A lane with one thread and a reactor that are moved by hand, and a plain account of what has to be so."""

    def __init__(self) -> None:
        self.turns: deque[Callable[[], bool]] = deque()
        self.words: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.lane = Lane(self.turns.append, self.tell, self.relieved, self.failed, LIMIT)
        self.put = 0
        self.waiting: dict[int, int] = {}  # number: weight, of the jobs that have not begun
        self.running: dict[int, int] = {}
        self.last = -1
        self.full = False
        self.errors = 0  # of jobs
        self.failures = 0  # that the reactor heard of
        self.broken = False
        self.settled: list[Deferred[None]] = []
        self.dropped: list[Deferred[None]] = []

    def tell(self, what: Callable[..., object], *arguments: Any) -> None:
        self.words.append((what, arguments))

    def relieved(self) -> None:
        assert self.full, "relieved without having been full"
        assert self.lane.backlog <= LIMIT // 2
        self.full = False

    def failed(self, failure: Failure) -> None:
        assert not self.broken, "failed twice"
        assert isinstance(failure.value, ZeroDivisionError)
        self.failures += 1
        self.broken = True
        self.full = False
        self.waiting.clear()

    def do(self, step: Step) -> None:
        match step.what:
            case "put":
                number, self.put = self.put, self.put + 1
                if not self.broken:
                    self.waiting[number] = step.weight
                full = self.lane.put(lambda: self.job(number, step), step.weight)
                assert full is (not self.broken and (self.full or self.account >= LIMIT))
                self.full = full
            case "settle":
                wanted = {*self.waiting, *self.running}
                self.settled.append(self.lane.settled().addBoth(self.check_settled, wanted))
            case "drop":
                self.waiting.clear()
                self.broken = self.full = False
                drop = self.lane.drop()
                assert not (self.running and drop.called), "dropped while a job runs"
                self.dropped.append(drop)
            case "turn" if self.turns and not self.running:
                turn = self.turns.popleft()
                if turn():
                    self.turns.append(turn)
            case "hear" if self.words:
                what, arguments = self.words.popleft()
                what(*arguments)
        assert self.lane.backlog == self.account

    @property
    def account(self) -> int:
        return sum(self.waiting.values()) + sum(self.running.values())

    def check_settled(self, result: Any, wanted: set[int]) -> None:
        if result is None:
            assert not wanted & {*self.waiting, *self.running}, "settled before all had run"
        else:
            assert result.check(CancelledError, ZeroDivisionError)

    def job(self, number: int, step: Step) -> None:
        assert not self.running, "two at once"
        assert self.last < number, "not in order"
        assert number in self.waiting, "this was dropped"
        self.last = number
        self.running[number] = self.waiting.pop(number)
        for each in step.meanwhile:
            self.do(each)
        del self.running[number]
        if step.fails:
            self.errors += 1
            raise ZeroDivisionError

    def rest(self) -> None:
        while self.turns or self.words:
            self.do(Step("turn"))
            self.do(Step("hear"))


STEPS = st.recursive(
    st.builds(Step, st.sampled_from(["settle", "drop", "turn", "hear", "hear", "turn"])),
    lambda inner: st.builds(
        Step,
        st.just("put"),
        st.integers(0, 120),
        st.sampled_from([False] * 9 + [True]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=6,
)


@given(st.lists(STEPS, max_size=40))
def test_a_lane_keeps_order_account_and_word_whatever_happens_meanwhile(steps: list[Step]) -> None:
    world = World()

    for step in steps:
        world.do(step)
    world.rest()

    assert world.waiting == {}
    assert not world.full, "the producer was left paused"
    assert all(each.called and each.result is None for each in world.settled + world.dropped)
    if not world.dropped:
        assert world.failures == world.errors <= 1
        assert world.broken or world.last == world.put - 1, "not all has run"


def test_full_at_the_limit_and_relieved_once_at_half_of_it() -> None:
    relieved: list[int] = []
    turns: list[Callable[[], bool]] = []
    lane = Lane(
        turns.append, lambda what, *arguments: what(*arguments), lambda: relieved.append(lane.backlog), unexpected
    )
    mib = 1024 * 1024
    seen: list[int] = []

    full = [lane.put(lambda: seen.append(len(relieved)), mib // 4) for _ in range(5)]
    turns.pop()()

    assert full == [False, False, False, True, True]
    assert seen == [0, 0, 0, 1, 1], "three of five quarters are done when half is left"
    assert relieved == [mib // 2]
    assert lane.put(nothing, 0) is False


class ByHand:
    """A lane with one thread and a reactor that are moved by hand; it is full at 100."""

    def __init__(self) -> None:
        self.turns: deque[Callable[[], bool]] = deque()
        self.words: deque[partial[object]] = deque()
        self.relieved = 0
        self.told: list[Failure] = []
        self.lane = Lane(self.turns.append, self.tell, self.relieve, self.told.append, LIMIT)

    def tell(self, what: Callable[..., object], *arguments: Any) -> None:
        self.words.append(partial(what, *arguments))

    def relieve(self) -> None:
        self.relieved += 1

    def turn(self) -> None:
        assert self.turns.popleft()() is False

    def hear(self) -> None:
        """All that has been told."""
        while self.words:
            self.words.popleft()()


def test_each_time_that_it_is_full_it_is_relieved() -> None:
    hand = ByHand()
    for count in (1, 2, 3):
        assert hand.lane.put(nothing, LIMIT) is True
        hand.turn()
        hand.hear()
        assert hand.relieved == count


def test_who_filled_it_again_before_the_word_came_is_relieved_later() -> None:
    hand = ByHand()
    hand.lane.put(nothing, LIMIT)
    hand.turn()
    assert hand.lane.put(nothing, LIMIT) is True
    hand.hear()
    assert hand.relieved == 0
    hand.turn()
    hand.hear()

    assert hand.relieved == 1


def test_who_drops_before_the_word_came_is_not_relieved() -> None:
    hand = ByHand()
    hand.lane.put(nothing, LIMIT)
    hand.turn()
    hand.lane.drop()
    hand.hear()

    assert hand.relieved == 0


def test_a_lane_that_broke_and_was_dropped_is_relieved_as_ever() -> None:
    """Also if the job that broke it would have relieved it."""
    hand = ByHand()
    assert hand.lane.put(lambda: 1 // 0, LIMIT) is True
    hand.turn()
    hand.hear()
    assert (len(hand.told), hand.relieved) == (1, 0)
    hand.lane.drop()
    hand.lane.put(nothing, LIMIT)
    hand.turn()
    hand.hear()

    assert hand.relieved == 1


def test_who_drops_while_a_job_fails_is_told_when_it_rests() -> None:
    hand = ByHand()
    dropped: list[Deferred[None]] = []

    def job() -> None:
        dropped.append(hand.lane.drop())
        raise ZeroDivisionError

    hand.lane.put(job, 1)
    hand.turn()
    assert not dropped[0].called
    hand.hear()

    assert dropped[0].called
    assert hand.told == []


def test_after_somebody_was_told_that_it_rests_nobody_waits() -> None:
    hand = ByHand()
    hand.lane.put(nothing, 1)
    settled = hand.lane.settled()
    hand.turn()
    hand.hear()
    assert settled.called
    hand.lane.put(nothing, 1)
    hand.turn()

    assert not hand.words


def test_the_reactor_hears_nothing_that_nobody_waits_for() -> None:
    turns: list[Callable[[], bool]] = []
    words: list[Callable[..., object]] = []
    lane = Lane(turns.append, lambda what, *_: words.append(what), nothing, unexpected, limit=100)

    for _ in range(99):
        lane.put(nothing, 1)
    assert turns.pop()() is False
    assert words == [], "it was not full, and nobody asked when it rests"

    for _ in range(200):
        lane.put(nothing, 1)
    assert turns.pop()() is False
    assert len(words) == 1, "relieved, however often it could be said before the reactor hears it"


def test_after_a_job_has_raised_nothing_is_run_though_the_reactor_has_not_heard_of_it() -> None:
    turns: list[Callable[[], bool]] = []
    words: list[partial[object]] = []
    ran: list[int] = []
    told: list[Failure] = []
    lane = Lane(turns.append, lambda what, *more: words.append(partial(what, *more)), nothing, told.append)
    lane.put(lambda: 1 // 0, 1)
    lane.put(lambda: ran.append(1), 1)

    assert turns.pop()() is False
    assert turns == []
    lane.put(lambda: ran.append(2), 1)
    words.pop()()

    assert [each.type for each in told] == [ZeroDivisionError]
    assert (turns, words, ran) == ([], [], [])
    assert lane.backlog == 0


# ---- real threads


async def test_the_workers_are_what_the_interface_says(reactor: Any) -> None:
    async with working(reactor) as workers:
        assert verifyObject(IWorkers, workers)
    assert verifyObject(IWorkers, InlineWorkers())


@given(st.lists(st.lists(st.integers(0, 3), max_size=20), min_size=1, max_size=6), st.integers(1, 4))
async def test_each_lane_runs_in_order_and_alone_whatever_the_others_do(
    reactor: Any, lanes: list[list[int]], threads: int
) -> None:
    at_once = most = 0
    lock = threading.Lock()
    busy = [threading.Lock() for _ in lanes]
    ran: list[list[int]] = [[] for _ in lanes]

    def job(lane: int, number: int) -> None:
        nonlocal at_once, most
        assert threading.current_thread() is not threading.main_thread()
        assert busy[lane].acquire(blocking=False), "two at once"
        with lock:
            at_once += 1
            most = max(most, at_once)
        ran[lane].append(number)
        with lock:
            at_once -= 1
        busy[lane].release()

    async with working(reactor, threads) as workers:
        made = [workers.lane(nothing, unexpected) for _ in lanes]
        for number in range(20):
            for index, weights in enumerate(lanes):
                if number < len(weights):
                    made[index].put(partial(job, index, number), weights[number])
        await gatherResults([lane.settled() for lane in made])

        assert [lane.backlog for lane in made] == [0] * len(lanes)
    assert ran == [list(range(len(weights))) for weights in lanes]
    assert most <= threads


async def test_a_lane_that_always_has_more_to_do_lets_others_have_their_turn(reactor: Any) -> None:
    other = threading.Event()
    endless = 0

    async with working(reactor, threads=1) as workers:
        greedy = workers.lane(nothing, unexpected)

        def again() -> None:
            nonlocal endless
            endless += 1
            if not other.is_set():
                greedy.put(again, 1)

        for _ in range(3):
            greedy.put(again, 1)
        modest = workers.lane(nothing, unexpected)
        modest.put(other.set, 1)
        await modest.settled()
        await greedy.settled()

    assert endless >= 3


@pytest.mark.parametrize("others", [0, 1, 3, 30, 200])
async def test_lanes_share_what_may_wait_and_those_that_have_gone_have_none_of_it(others: int, reactor: Any) -> None:
    """Whether the others are at work or rest: what is gathered for them, and what may come at once, is memory, too."""
    go = threading.Event()

    def full(lane: Lane) -> int:
        lane.put(go.wait, 0)
        weight = 1
        while not lane.put(nothing, 1024):
            weight += 1
        return weight * 1024

    async with working(reactor) as workers:
        gone = [workers.lane(nothing, unexpected, None) for _ in range(100)]
        del gone
        resting = [workers.lane(nothing, unexpected, None) for _ in range(others)]
        lane = workers.lane(nothing, unexpected, None)
        share = max(LEAST, min(MOST, BUDGET // (1 + others // 2)))
        assert lane.piece == max(PIECE, share // 8)
        assert 0 <= full(lane) - share < 1024
        go.set()
        await lane.settled()
        del resting


async def test_what_is_done_has_none_of_it_either(reactor: Any) -> None:
    workers = Workers(reactor, threads=1, name="test")
    for _ in range(20):
        await workers.run(nothing)
    await workers.close()

    assert workers.lane(nothing, unexpected, None).piece == MOST // 8


class Listening:
    """A reactor that counts what threads tell it."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.words = 0

    def callFromThread(self, *arguments: Any) -> None:
        self.words += 1
        self._reactor.callFromThread(*arguments)


async def test_a_thousand_jobs_are_one_word_to_the_reactor(reactor: Any) -> None:
    listening = Listening(reactor)
    workers = Workers(listening, threads=1)  # type: ignore[arg-type]  # all of a reactor that they use
    lane = workers.lane(nothing, unexpected, limit=10_000)
    for _ in range(1000):
        lane.put(nothing, 1)

    await lane.settled()

    assert listening.words == 1
    await workers.close()


async def test_the_first_error_ends_a_lane_and_is_told_once(reactor: Any) -> None:
    told: list[Failure] = []
    ran: list[int] = []
    async with working(reactor) as workers:
        lane = workers.lane(nothing, told.append)
        for number in range(5):
            lane.put(partial(ran.append, number) if number < 2 else lambda: 1 // 0, 1)

        with pytest.raises(ZeroDivisionError):
            await lane.settled()

        assert [each.type for each in told] == [ZeroDivisionError]
        assert lane.put(lambda: ran.append(99), 10**9) is False
        with pytest.raises(ZeroDivisionError):
            await lane.settled()
        assert (ran, lane.backlog) == ([0, 1], 0)

        await lane.drop()
        lane.put(lambda: ran.append(100), 1)
        await lane.settled()
        assert ran == [0, 1, 100]
    assert len(told) == 1


async def test_what_is_dropped_is_not_run_and_what_runs_is_waited_for(reactor: Any) -> None:
    running, go_on = threading.Event(), threading.Event()
    ran: list[str] = []

    def slow() -> None:
        running.set()
        assert go_on.wait(5)
        ran.append("running")
        raise ZeroDivisionError  # nobody wants to know any more

    async with working(reactor) as workers:
        lane = workers.lane(nothing, unexpected)
        lane.put(slow, 1)
        lane.put(lambda: ran.append("waiting"), 1)
        settled = lane.settled()
        while not running.is_set():
            await deferLater(reactor, 0.001, nothing)

        dropped = lane.drop()
        lane.put(lambda: ran.append("afterwards"), 1)
        with pytest.raises(CancelledError):
            await settled
        assert not dropped.called
        go_on.set()
        await dropped

        assert ran == ["running", "afterwards"]


async def test_one_job_alone_gives_its_result_or_its_error(reactor: Any) -> None:
    async with working(reactor) as workers:
        assert await workers.run(threading.current_thread) is not threading.main_thread()
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)


async def test_a_job_that_is_cancelled_runs_to_its_end_unheard(reactor: Any) -> None:
    go_on, ended = threading.Event(), threading.Event()

    def job() -> None:
        assert go_on.wait(5)
        ended.set()
        raise ZeroDivisionError

    async with working(reactor) as workers:
        running = workers.run(job)
        running.cancel()
        with pytest.raises(CancelledError):
            await running
        go_on.set()
    assert ended.is_set()


async def test_no_thread_before_it_is_needed_and_never_more_than_allowed(reactor: Any) -> None:
    async with working(reactor, threads=2) as workers:
        assert our_threads() == []
        await workers.run(nothing)
        assert len(our_threads()) == 1
        go_on = threading.Event()
        jobs = [workers.run(lambda: go_on.wait(5)) for _ in range(5)]
        assert [each.daemon for each in our_threads()] == [True, True]
        go_on.set()
        assert await gatherResults(jobs) == [True] * 5
    assert our_threads() == []


async def test_jobs_run_side_by_side_also_when_a_thread_is_idle(reactor: Any) -> None:
    async with working(reactor, threads=3) as workers:
        for count in (1, 2, 3):
            barrier = threading.Barrier(count)
            await gatherResults([workers.run(partial(barrier.wait, 5)) for _ in range(count)])
            assert count <= len(our_threads()) <= 3


async def test_closing_waits_for_all_that_was_put_and_does_not_block_the_reactor(reactor: Any) -> None:
    go_on = threading.Event()
    ran: list[int] = []
    workers = Workers(reactor, threads=1, name="test")
    lane = workers.lane(nothing, unexpected)
    lane.put(lambda: go_on.wait(5), 1)
    for number in range(3):
        lane.put(partial(ran.append, number), 1)

    closing = workers.close()
    again = workers.close()
    await deferLater(reactor, 0, nothing)
    assert not closing.called
    go_on.set()
    await closing
    await again

    assert ran == [0, 1, 2]
    assert our_threads() == []
    await workers.close()


async def test_what_comes_after_closing_is_done_by_a_thread_that_ends_with_it(reactor: Any) -> None:
    workers = Workers(reactor, threads=1, name="test")
    await workers.close()

    for _ in range(2):
        assert await workers.run(lambda: "late") == "late"
        await workers.close()
        assert our_threads() == []

    go_on = threading.Event()
    jobs = [workers.run(lambda: go_on.wait(5)) for _ in range(3)]
    assert len(our_threads()) == 1
    go_on.set()
    assert await gatherResults(jobs) == [True] * 3
    await workers.close()
    assert our_threads() == []


def test_workers_that_nobody_closed_do_not_keep_the_interpreter_alive() -> None:
    forgetful = """
import threading
from twisted.internet import reactor
from pulp_dl.flow.workers import Workers
started = threading.Event()
workers = Workers(reactor)
workers.run(lambda: None)
workers.run(lambda: started.set() or threading.Event().wait())
assert started.wait(5)
"""
    subprocess.run([sys.executable, "-c", forgetful], check=True, timeout=10)


# ---- no threads


async def test_inline_workers_run_at_once_and_stop_at_the_first_error() -> None:
    workers = InlineWorkers()
    told: list[Failure] = []
    ran: list[int] = []
    lane = workers.lane(nothing, told.append)

    assert (lane.put(lambda: ran.append(1), 10**9), lane.backlog) == (False, 0)
    await lane.settled()
    lane.put(lambda: 1 // 0, 1)
    lane.put(lambda: ran.append(2), 1)
    with pytest.raises(ZeroDivisionError):
        await lane.settled()
    await lane.drop()
    lane.put(lambda: ran.append(3), 1)
    await lane.settled()

    assert ran == [1, 3]
    assert [each.type for each in told] == [ZeroDivisionError]
    assert await workers.run(lambda: "done") == "done"
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 // 0)
    await workers.close()
