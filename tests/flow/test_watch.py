"""Idle and low speed: the server's time counts, the reader's does not."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from pulp_dl import Timeouts
from pulp_dl.errors import TimedOut
from pulp_dl.flow.watch import Watch


def make(**limits: Any) -> tuple[Clock, Watch, list[TimedOut]]:
    clock, expired = Clock(), []
    switched_off: dict[str, Any] = {"idle": None, "low_speed": None}
    watch = Watch(clock, Timeouts(**switched_off | limits), expired.append)
    watch.start(open_=True)
    return clock, watch, expired


def test_no_byte_for_the_idle_time_is_told_once() -> None:
    clock, watch, expired = make(idle=10)

    clock.advance(9)
    watch.fed(1)
    clock.advance(9.9)
    assert expired == []
    clock.advance(0.2)

    assert [each.phase for each in expired] == ["idle"]
    watch.turned(False)
    watch.turned(True)
    assert clock.getDelayedCalls() == []


def test_a_closed_valve_stops_the_clock() -> None:
    clock, watch, expired = make(idle=10, low_speed=1000, low_speed_window=30)
    clock.advance(5)

    watch.turned(False)
    assert clock.getDelayedCalls() == []
    clock.advance(3600)
    watch.turned(True)
    clock.advance(4.9)
    assert expired == []
    clock.advance(0.2)

    assert [each.phase for each in expired] == ["idle"]


def test_drops_that_never_idle_but_stay_below_the_low_speed_are_told() -> None:
    clock, watch, expired = make(idle=10, low_speed=100, low_speed_window=30)

    for _ in range(31):
        watch.fed(99)
        clock.advance(1)

    assert [each.phase for each in expired] == ["low_speed"]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("missing", [0, 1])
def test_each_window_is_judged_by_its_own_bytes_and_to_the_byte(missing: int) -> None:
    clock, watch, expired = make(low_speed=100, low_speed_window=30)
    watch.fed(5000)
    clock.advance(30)
    watch.fed(3000 - missing)
    clock.advance(30.1)
    watch.stop()

    assert [each.phase for each in expired] == ["low_speed"] * missing


def test_the_low_speed_itself_is_fast_enough() -> None:
    clock, watch, expired = make(idle=10, low_speed=100, low_speed_window=30)

    for _ in range(300):
        watch.fed(100)
        clock.advance(1)
    watch.stop()

    assert expired == []
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("closed_at", [0, 3])
def test_open_seconds_count_what_the_valve_was_open(closed_at: int) -> None:
    clock, watch, _ = make()

    clock.advance(closed_at)
    watch.turned(False)
    clock.advance(100)
    watch.turned(True)
    clock.advance(2)
    watch.stop()
    clock.advance(100)

    assert watch.open_seconds == closed_at + 2


def test_a_byte_costs_no_timer() -> None:
    clock, watch, _ = make(idle=10)
    timers = clock.getDelayedCalls()

    for _ in range(100):
        watch.fed(1)

    assert clock.getDelayedCalls() == timers
    watch.stop()


def test_before_it_starts_nothing_is_counted_and_nothing_is_told() -> None:
    clock, expired = Clock(), []
    watch = Watch(clock, Timeouts(idle=10, low_speed=100, low_speed_window=30), expired.append)
    clock.advance(100)
    watch.fed(1)
    watch.turned(False)
    watch.turned(True)
    assert clock.getDelayedCalls() == []
    watch.stop()

    assert watch.open_seconds == watch.silent == 0
    assert clock.getDelayedCalls() == []


def test_a_body_that_begins_while_the_valve_is_closed_has_all_its_time_when_it_opens() -> None:
    clock, expired = Clock(), []
    clock.advance(100)
    watch = Watch(clock, Timeouts(idle=10, low_speed=None), expired.append)
    watch.start(open_=False)
    clock.advance(3600)
    assert clock.getDelayedCalls() == []
    watch.turned(True)
    clock.advance(9.9)

    assert expired == []
    assert watch.open_seconds == watch.silent == pytest.approx(9.9)
    watch.close()
    assert clock.getDelayedCalls() == []


def test_while_the_valve_is_closed_no_time_passes() -> None:
    clock, watch, _ = make(idle=100)
    clock.advance(2)
    watch.fed(1)
    clock.advance(3)
    watch.turned(False)
    clock.advance(1000)

    assert (watch.open_seconds, watch.silent) == (5, 3)
    watch.stop()
    assert (watch.open_seconds, watch.silent) == (5, 3)
