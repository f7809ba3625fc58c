"""Limits of time, of which there are many and nearly none is ever reached, on one timer of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.error import AlreadyCalled, AlreadyCancelled

__all__ = ["Call", "Clock", "Timers"]


_ROUNDING: Final = 1e-6  # seconds; sums of floats may come out a little short of a limit


class Call(Protocol):
    """What will be called, unless it is cancelled."""

    def cancel(self) -> None:
        """Do not call it."""


class Clock(Protocol):
    """What is needed of a reactor to limit a time."""

    def seconds(self) -> float:
        """Seconds since the epoch."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any) -> Call:  # noqa: A002  # its name
        """Call it in so many seconds."""


class Timers:
    """
    What a clock does, for calls that are cancelled as a rule: setting and cancelling one costs a tenth of what the
    reactor's own would.

    The reactor has a timer only while there is something to wait for.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        self._limits: dict[_Limit, None] = {}
        self._timer: Call | None = None
        self._due = 0.0  # when the timer fires: at the earliest limit, or before

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any) -> _Limit:  # noqa: A002
        """As C{IReactorTime.callLater}; what is returned can be cancelled."""
        due = self.seconds() + delay
        limit = _Limit(self, due, callable, args)
        self._limits[limit] = None
        if self._timer is None or due < self._due:
            self._set(due, delay)
        return limit

    def _set(self, due: float, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.callLater(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = max(self.seconds(), self._due) + _ROUNDING
        try:
            for limit in [limit for limit in self._limits if limit.due <= now]:
                if limit in self._limits:  # not cancelled by one before it
                    del self._limits[limit]
                    limit.called = True
                    limit.function(*limit.args)
        finally:
            if self._limits:
                due = min(limit.due for limit in self._limits)
                if self._timer is None or due < self._due:  # one of them may have set it
                    self._set(due, max(0.0, due - now))

    def forget(self, limit: _Limit) -> None:
        """It was cancelled."""
        del self._limits[limit]
        if not self._limits and self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Limit:
    __slots__ = ("_timers", "args", "called", "due", "function")

    def __init__(self, timers: Timers, due: float, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._timers: Timers | None = timers
        self.due = due
        self.function = function
        self.args = args
        self.called = False

    def cancel(self) -> None:
        timers, self._timers = self._timers, None
        if self.called:
            raise AlreadyCalled
        if timers is None:
            raise AlreadyCancelled
        timers.forget(self)
