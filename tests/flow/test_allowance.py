"""So much a second: never more, hardly less, the same for everybody, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from sys import maxsize
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from zope.interface import implementer

from pulp_dl.flow.allowance import PIECE, TURN, Allowance, LimitedValve
from pulp_dl.model.rate import Rate


def bucket(rate: float) -> float:
    """What may go at once after a rest."""
    return max(1.0, rate * TURN) + 2 * rate * TURN


@implementer(IPushProducer)
class Source:
    """A producer that writes one piece after the other, as long as it is not paused."""

    def __init__(self, world: World, valve: LimitedValve, pieces: list[bytes]) -> None:
        self._world, self._valve, self._pieces = world, valve, pieces
        self._paused = self._asked = False

    def resumeProducing(self) -> None:
        self._paused = False
        if not self._asked:
            self._asked = True
            self._world.clock.callLater(self._world.every, self._write)

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        raise AssertionError("nobody stops it")

    def _write(self) -> None:
        self._asked = False
        if self._paused:
            return
        if self._pieces:
            self._valve.write(self._pieces.pop(0))
            if not self._paused:
                self.resumeProducing()
        else:
            self._valve.unregisterProducer()


class World:
    """Downloads that share one allowance of bytes, on a clock that the test moves."""

    def __init__(self, rate: float | None, every: float = 0) -> None:
        """
        @param every: seconds from one piece to the next.
        """
        self.clock = Clock()
        self.every = every
        self.rate = Rate(rate)
        self.allowance = Allowance(self.clock, self.rate, PIECE)
        self.valves: list[LimitedValve] = []
        self.passed: list[tuple[float, int, bytes]] = []

    def valve(self) -> LimitedValve:
        number = len(self.valves)
        valve = LimitedValve(
            self.allowance,
            self.clock,
            lambda data: self.passed.append((self.clock.seconds(), number, data)),
            lambda: None,
        )
        self.valves.append(valve)
        return valve

    def bring(self, *pieces: bytes) -> LimitedValve:
        """A download of these pieces, from now on."""
        valve = self.valve()
        source = Source(self, valve, list(pieces))
        valve.registerProducer(source, True)
        source.resumeProducing()
        return valve

    def run(self, seconds: float, step: float = 0.001) -> None:
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(step)

    def run_out(self, step: float = 0.001) -> float:
        """Until nothing happens any more; returns when something went through last."""
        while self.clock.getDelayedCalls():
            self.clock.advance(step)
        return self.passed[-1][0]

    def got(self, number: int) -> bytes:
        return b"".join(data for _, whose, data in self.passed if whose == number)

    def sizes(self) -> list[int]:
        return [len(self.got(number)) for number in range(len(self.valves))]


# ---- never more, hardly less


@given(
    rate=st.one_of(st.integers(1, 100), st.integers(100, 10_000_000), st.floats(0.5, 1e6)),
    arrivals=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 3), st.integers(0, 300_000)), min_size=1, max_size=30),
    steps=st.lists(st.sampled_from([0.0005, 0.004, 0.03, 0.2, 1.5]), min_size=1, max_size=10),
)
def test_whatever_comes_when_no_more_goes_than_the_rate_and_a_full_bucket(
    rate: float, arrivals: list[tuple[float, int, int]], steps: list[float]
) -> None:
    """In any window from one passing to another; however late the reactor comes; and no byte twice or out of order."""
    world = World(rate)
    valves = [world.valve() for _ in range(4)]
    sent = [b""] * 4

    def arrive(whose: int, size: int) -> None:
        data = bytes((len(sent[whose]) + at) % 251 for at in range(min(size, int(3 * rate) + 2)))
        sent[whose] += data
        valves[whose].write(data)

    for when, whose, size in arrivals:
        world.clock.callLater(when, arrive, whose, size)
    for number in range(300):
        world.clock.advance(steps[number % len(steps)])

    for first, (begin, _, _) in enumerate(world.passed):
        total = 0
        for end, _, data in world.passed[first:]:
            total += len(data)
            assert total <= rate * (end - begin) + bucket(rate) + 1e-3
    for number in range(4):
        assert sent[number].startswith(world.got(number))


@given(
    st.one_of(st.integers(1, 1000), st.integers(1000, 5_000_000)),
    st.lists(st.floats(0.2, 1), min_size=1, max_size=4),
    st.sampled_from([0.0005, 0.003, 0.017, 0.035]),
)
def test_on_the_average_it_is_the_rate_itself(rate: int, parts: list[float], step: float) -> None:
    """Within 5 percent, over a few seconds, with any number of downloads, while the reactor is not too late."""
    world = World(rate)
    bodies = [bytes(int(rate * part * 4) + 4) for part in parts]
    for body in bodies:
        world.bring(*(body[at : at + PIECE] for at in range(0, len(body), PIECE)))

    took = world.run_out(step)

    total = sum(map(len, bodies))
    assert world.sizes() == [len(body) for body in bodies]
    assert (total - bucket(rate)) / rate <= took + 1e-6
    assert took <= total / rate * 1.05 + 1 / rate


def test_what_one_sets_going_inside_its_turn_is_not_beyond_the_rate() -> None:
    """A download may begin inside a write of another one."""
    world = World(1000)
    second = world.valve()

    def sink(data: bytes) -> None:
        world.passed.append((world.clock.seconds(), 1, data))
        if world.clock.seconds():
            second.write(bytes(70))

    first = LimitedValve(world.allowance, world.clock, sink, lambda: None)
    first.write(bytes(200))
    world.clock.advance(0.2)

    assert sum(len(data) for when, _, data in world.passed if when) <= bucket(1000)
    first.clear()
    second.clear()


def test_one_byte_a_second_is_a_rate() -> None:
    world = World(1)
    world.bring(b"bear")
    world.run(3.9)

    assert [(round(when), data) for when, _, data in world.passed] == [(0, b"b"), (1, b"e"), (2, b"a"), (3, b"r")]
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("rate", [1e12, 1e17, None])
def test_a_limit_that_nobody_reaches_holds_nobody_up(rate: float | None) -> None:
    world = World(rate)
    for _ in range(1000):
        valve = world.valve()
        valve.write(bytes(100_000))
        assert valve.open

    assert world.sizes() == [100_000] * 1000
    assert len(world.passed) == 1000, "a piece was cut"
    assert world.clock.getDelayedCalls() == []


def test_what_was_not_used_is_not_saved_up_for_ever() -> None:
    world = World(1000)
    world.clock.advance(3600)
    world.bring(bytes(3000))

    took = world.run_out() - 3600

    assert 2.8 <= took <= 3


def test_a_clock_that_is_set_back_neither_stops_nor_floods_it() -> None:
    world = World(1000)
    world.bring(bytes(500))
    world.run_out()
    world.clock.rightNow -= 3600
    begin = world.clock.seconds()
    world.bring(bytes(2000))

    assert 1.8 <= world.run_out() - begin <= 2.2


# ---- the same for everybody


@given(st.integers(2, 8), st.sampled_from([1000, 20_000, 1_000_000, 5_000_000]), st.data())
def test_whatever_pieces_they_bring_greedy_downloads_get_about_the_same(
    count: int, rate: int, data: st.DataObject
) -> None:
    world = World(rate)
    for _ in range(count):
        size = data.draw(st.integers(rate // 20, rate))  # one that brings less than a turn cannot use it
        world.bring(*[bytes(size)] * (5 * rate // size))

    world.run(4, 0.01)

    # Not to the byte: who has nothing to bring at the moment leaves the line, and who finds nobody in it need not wait.
    assert min(world.sizes()) >= 0.85 * max(world.sizes()) - 2 * bucket(rate)


def test_a_small_file_is_not_crowded_out_by_large_ones() -> None:
    world = World(100_000)
    for _ in range(5):
        world.bring(*[bytes(PIECE)] * 100)
    world.run(3)
    world.bring(bytes(4000))
    world.run(0.4)

    assert world.sizes()[5] == 4000


def test_a_file_that_is_one_of_many_small_ones_does_not_starve_large_ones() -> None:
    world = World(100_000)
    world.bring(*[bytes(PIECE)] * 100)
    for number in range(200):
        world.clock.callLater(number / 50, lambda: world.bring(bytes(1000)))

    world.run(4)

    assert min(world.sizes()[1:190]) == 1000
    assert world.sizes()[0] >= 4 * 100_000 - 200 * 1000 - 6000


def test_who_comes_anew_does_not_push_in() -> None:
    """Twice as much is wanted as may go, by files that each take less than a turn."""
    world = World(50_000)
    world.bring(*[bytes(PIECE)] * 100)
    for number in range(2000):
        world.clock.callLater(number / 1000, world.bring, bytes(50), bytes(50))

    world.run(2)

    assert world.sizes()[0] >= 12_000


def test_who_is_paused_by_its_consumer_is_in_nobodys_way() -> None:
    world = World(10_000)
    paused = world.bring(*[bytes(5000)] * 10)
    world.run(0.5)
    paused.pauseProducing()
    before = world.sizes()[0]
    world.bring(*[bytes(5000)] * 10)
    world.run(2)

    assert world.sizes()[0] == before
    assert world.sizes()[1] >= 19_000

    paused.resumeProducing()
    world.run_out()
    assert world.sizes() == [50_000, 50_000]


# ---- the valve


def test_waiting_for_the_rate_closes_the_valve() -> None:
    """So it is time in which nothing is expected of a server."""
    world, turned = World(1000), []
    valve = LimitedValve(world.allowance, world.clock, lambda data: None, lambda: None, turned.append)

    valve.write(bytes(200))
    assert (valve.open, valve.kept, turned) == (False, 80, [False])
    world.run(0.2)

    assert (valve.open, valve.kept, turned[-1]) == (True, 0, True)


def test_who_is_cleared_leaves_the_line() -> None:
    world = World(10)
    first, second = world.valve(), world.valve()
    first.write(bytes(5))
    second.write(bytes(5))

    first.clear()
    assert first.open
    assert len(world.clock.getDelayedCalls()) == 1
    second.clear()

    assert world.clock.getDelayedCalls() == []
    assert [len(data) for _, _, data in world.passed] == [1]


def test_so_does_who_is_closed() -> None:
    world = World(10)
    valve = world.valve()
    valve.write(bytes(5))
    assert world.clock.getDelayedCalls() != []
    valve.close()
    assert world.clock.getDelayedCalls() == []


def test_a_valve_that_is_cleared_inside_its_turn_lets_nothing_more_through() -> None:
    clock, got = Clock(), []

    def sink(data: bytes) -> None:
        got.append(data)
        if len(got) == 2:
            valve.clear()

    valve = LimitedValve(Allowance(clock, Rate(100), PIECE), clock, sink, lambda: None)
    valve.write(bytes(50))
    clock.advance(1)
    clock.advance(1)

    assert [len(each) for each in got] == [12, 4]
    assert clock.getDelayedCalls() == []


def test_an_empty_write_goes_through() -> None:
    world = World(10)
    world.valve().write(b"")

    assert [data for _, _, data in world.passed] == [b""]


# ---- changed while it holds


@pytest.mark.parametrize(("before", "after"), [(10, 100_000), (10, None), (0.001, 1e15)])
def test_a_rate_that_is_raised_is_heard_within_a_second(before: float, after: float | None) -> None:
    world = World(before)
    world.bring(bytes(20_000))
    world.run(2)

    world.rate.per_second = after
    took = world.run_out() - 2

    assert took <= 1.3
    assert world.sizes() == [20_000]


def test_a_rate_that_is_lowered_is_heard_at_once() -> None:
    world = World(1_000_000)
    world.bring(*[bytes(10_000)] * 1000)
    world.run(1)
    before = world.sizes()[0]

    world.rate.per_second = 1000
    world.run(4)

    assert 3800 <= world.sizes()[0] - before <= 4200


def test_a_limit_may_come_where_there_was_none() -> None:
    world = World(None, every=0.001)
    world.bring(*[bytes(1000)] * 3000)
    world.run(1)
    before = world.sizes()[0]
    assert 900_000 <= before <= 1_100_000

    world.rate.per_second = 10_000
    world.run(2)

    assert 19_000 <= world.sizes()[0] - before <= 21_000


# ---- one at a time


def asking(allowance: Allowance, count: int) -> tuple[list[Deferred[None]], list[int]]:
    went: list[int] = []

    def noted(number: int) -> Callable[[Any], None]:
        return lambda _: went.append(number)

    turns = [allowance.turn() for _ in range(count)]
    for number, turn in enumerate(turns):
        turn.addCallback(noted(number))
    return turns, went


def test_nothing_is_saved_while_there_is_no_limit() -> None:
    """Nor owed: who asks first when one has come waits for just one request's time."""
    clock, rate = Clock(), Rate(None)
    allowance = Allowance(clock, rate, 1)
    clock.advance(100)
    rate.per_second = 1
    turn = allowance.turn()
    clock.pump([0.1] * 9)
    assert not turn.called
    clock.pump([0.1] * 2)
    assert turn.called


class Turns:
    """Somebody in the line, and what came of it."""

    def __init__(self, rate: float | None, largest: int = PIECE) -> None:
        self.clock = Clock()
        self.allowance = Allowance(self.clock, Rate(rate), largest)
        self.allowance.take(maxsize)
        self.had: list[int] = []
        self.taken: list[int] = []

    def turn(self, allowed: int) -> int:
        self.taken.append(self.allowance.take(1000))
        self.had.append(allowed)
        return allowed


def test_a_turn_with_what_was_left_is_never_more_than_the_bucket_holds() -> None:
    """Else nobody would ever have it."""
    turns = Turns(1)
    turns.allowance.wait(turns.turn, left=1)
    turns.clock.pump([0.5] * 6)
    assert turns.had == [1]


def test_nobody_takes_from_the_bucket_inside_of_somebodys_turn() -> None:
    turns = Turns(100_000)
    turns.allowance.wait(turns.turn)
    turns.clock.advance(1)
    assert (len(turns.had), turns.taken) == (1, [0])


def test_it_is_looked_at_when_there_will_be_enough_and_no_sooner() -> None:
    turns = Turns(1)
    turns.allowance.wait(turns.turn)
    (timer,) = turns.clock.getDelayedCalls()
    assert timer.getTime() > 0.9


def test_who_waits_without_a_limit_waits_for_a_moment() -> None:
    turns = Turns(None)
    turns.allowance.wait(turns.turn)
    turns.clock.advance(0.02)
    assert turns.had == [maxsize]


def test_requests_go_in_the_order_of_asking_and_evenly() -> None:
    clock = Clock()
    _, went = asking(Allowance(clock, Rate(5), 1), 10)
    counts = []
    for _ in range(20):
        counts.append(len(went))
        clock.advance(0.1)

    assert went == [*range(10)]
    assert counts == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10]
    assert clock.getDelayedCalls() == []


@given(
    rate=st.one_of(st.floats(0.1, 5), st.integers(5, 3000)),
    asked=st.lists(st.tuples(st.floats(0, 5), st.booleans()), min_size=1, max_size=50),
    steps=st.lists(st.sampled_from([0.002, 0.02, 0.3]), min_size=1, max_size=5),
)
def test_whenever_they_ask_and_whoever_leaves_no_more_go_than_the_rate(
    rate: float, asked: list[tuple[float, bool]], steps: list[float]
) -> None:
    clock = Clock()
    allowance = Allowance(clock, Rate(rate), 1)
    went: list[float] = []
    left: list[Deferred[None]] = []

    def ask(leaves: bool) -> None:
        turn = allowance.turn()
        waits = not turn.called
        turn.addCallbacks(lambda _: went.append(clock.seconds()), lambda failure: failure.trap(CancelledError))
        if leaves and waits:
            clock.callLater(0.1, turn.cancel)
            left.append(turn)

    for when, leaves in asked:
        clock.callLater(when, ask, leaves)
    number = 0
    while clock.getDelayedCalls():
        clock.advance(steps[number % len(steps)])
        number += 1

    assert len(asked) - len(left) <= len(went) <= len(asked)
    assert went == sorted(went)
    for first, begin in enumerate(went):
        for count, end in enumerate(went[first:], 1):
            assert count <= rate * (end - begin) + bucket(rate) + 1e-3


def test_who_leaves_is_not_waited_for() -> None:
    clock = Clock()
    turns, went = asking(Allowance(clock, Rate(1), 1), 4)
    turns[1].addErrback(lambda failure: failure.trap(CancelledError))
    turns[1].cancel()
    clock.advance(1.1)

    assert went == [0, 2]
    turns[3].addErrback(lambda failure: failure.trap(CancelledError))
    turns[3].cancel()
    assert clock.getDelayedCalls() == []


def test_thousands_who_wait_are_served_and_may_ask_again() -> None:
    clock = Clock()
    allowance = Allowance(clock, Rate(100_000), 1)
    turns, went = asking(allowance, 5000)
    again: list[None] = []
    turns[-1].addCallback(lambda _: allowance.turn().addCallback(again.append))
    for _ in range(20):
        clock.advance(0.01)

    assert went == [*range(5000)]
    assert again == [None]
