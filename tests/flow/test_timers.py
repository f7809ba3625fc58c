"""Many limits of time on one timer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.task import Clock

from pulp_dl.flow.timers import Timers
from tests.flow.clocks import Strict

# Set one in so many seconds, cancel the one of this number, or let so many seconds pass.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 20)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("pass"), st.integers(0, 20)),
    ),
    max_size=60,
)


def play(steps: list[tuple[str, int]], clock: Clock, timers: Any) -> list[tuple[int, float]]:
    """What was called, and when; quarters of seconds, which floats can hold."""
    called: list[tuple[int, float]] = []
    calls: list[Any] = []
    for what, number in steps:
        if what == "set":
            mine = len(calls)
            calls.append(timers.callLater(number / 4, lambda mine=mine: called.append((mine, clock.seconds()))))
        elif what == "cancel" and calls:
            call = calls[number % len(calls)]
            with suppress(AlreadyCalled, AlreadyCancelled):
                call.cancel()
        elif what == "pass":
            clock.pump([0.25] * number)
    return sorted(called, key=lambda each: (each[1], each[0]))


@given(STEPS)
def test_whatever_is_set_and_cancelled_is_called_when_the_reactor_itself_would(steps: list[tuple[str, int]]) -> None:
    ours, theirs = Clock(), Clock()

    assert play(steps, ours, Timers(ours)) == play(steps, theirs, theirs)


@given(STEPS)
def test_whatever_happened_the_reactor_has_one_timer_while_something_waits_and_none_else(
    steps: list[tuple[str, int]],
) -> None:
    clock = Clock()
    timers = Timers(clock)
    play(steps, clock, timers)
    assert len(clock.getDelayedCalls()) <= 1

    clock.advance(100)
    assert clock.getDelayedCalls() == []


def test_when_the_last_one_is_cancelled_the_reactor_has_no_timer_any_more() -> None:
    clock = Clock()
    timers = Timers(clock)
    first, second = timers.callLater(1, print), timers.callLater(2, print)
    first.cancel()
    assert len(clock.getDelayedCalls()) == 1
    second.cancel()
    assert clock.getDelayedCalls() == []


def test_one_that_is_called_may_set_one_for_at_once() -> None:
    clock, called = Strict(), []
    timers = Timers(clock)
    timers.callLater(1, lambda: timers.callLater(0, called.append, "at once"))
    clock.advance(1)
    clock.advance(0)

    assert called == ["at once"]
    assert clock.getDelayedCalls() == []


def test_a_thousand_that_are_cancelled_cost_the_reactor_one() -> None:
    class Counting(Clock):
        set_by_reactor = 0

        def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> Any:  # noqa: A002  # its name
            self.set_by_reactor += 1
            return super().callLater(delay, callable, *args, **kw)

    clock = Counting()
    timers = Timers(clock)
    timers.callLater(60, print)

    for _ in range(1000):
        timers.callLater(60, print).cancel()

    assert clock.set_by_reactor == 1


def test_one_that_is_called_may_cancel_others_and_set_new_ones() -> None:
    clock = Clock()
    timers = Timers(clock)
    called: list[str] = []

    def first() -> None:
        second.cancel()
        timers.callLater(1, called.append, "third")

    timers.callLater(1, first)
    second = timers.callLater(1, called.append, "second")
    timers.callLater(1.5, called.append, "fourth")
    clock.advance(1)
    clock.advance(0.5)
    assert called == ["fourth"]
    clock.advance(0.5)

    assert called == ["fourth", "third"]
    assert clock.getDelayedCalls() == []


def test_what_was_called_or_cancelled_cannot_be_cancelled() -> None:
    clock = Clock()
    timers = Timers(clock)
    called, cancelled = timers.callLater(1, lambda: None), timers.callLater(2, lambda: None)
    clock.advance(1)
    cancelled.cancel()

    with pytest.raises(AlreadyCalled):
        called.cancel()
    with pytest.raises(AlreadyCancelled):
        cancelled.cancel()


def test_one_that_raises_takes_no_other_along() -> None:
    clock = Strict()
    timers = Timers(clock)
    called: list[str] = []

    def broken() -> None:
        raise RuntimeError

    timers.callLater(1, broken)
    timers.callLater(1, called.append, "other")
    timers.callLater(2, called.append, "later")
    with pytest.raises(RuntimeError):
        clock.advance(1)
    clock.advance(0)
    clock.advance(1)

    assert called == ["other", "later"]
