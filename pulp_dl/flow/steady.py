"""Time that goes on evenly, whatever becomes of the clock on the wall."""

from __future__ import annotations

from time import monotonic, time
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.python import runtime

__all__ = ["steady", "wall"]


def steady(reactor: Any) -> None:
    """
    Have a reactor count its seconds by the monotonic clock, if it counts them by the system's.

    That is what Twisted does (its ticket 2424): a system clock that is set forward ends all that waits, and one that is
    set back has it wait for so much longer.  For reactors of our own processes only; whoever brings a reactor has
    chosen its clock.  What is to be called already is called when it would have been.
    """
    if reactor.seconds is not runtime.seconds:
        return
    ahead = monotonic() - reactor.seconds()
    reactor.seconds = monotonic
    for call in reactor.getDelayedCalls():
        if isinstance(call, DelayedCall):
            call.time += ahead
            call.seconds = monotonic


def wall(clock: Any) -> float:
    """
    Seconds since the epoch, to be compared with dates that others tell: those of the system, if this clock goes evenly;
    else what it says itself.
    """
    return time() if clock.seconds is monotonic else float(clock.seconds())
