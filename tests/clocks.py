"""Time that goes on, from one timer to the next, until something has happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pulp_dl.testing import MemoryFetcher


def until(clock: Clock, done: Callable[[], object]) -> None:
    for _ in range(20_000):
        if done():
            return
        due = min((call.getTime() for call in clock.getDelayedCalls()), default=clock.seconds() + 1)
        clock.advance(max(0.0, due - clock.seconds()))
    raise AssertionError("still running")


def end_of(running: Deferred[Any], clock: Clock, fetcher: MemoryFetcher) -> Any:
    """What it fires with, a failure or not; then nothing else is under way."""
    ends: list[Any] = []
    running.addBoth(ends.append)
    until(clock, lambda: ends)
    assert clock.getDelayedCalls() == []
    assert fetcher.running == 0
    return ends[0]
