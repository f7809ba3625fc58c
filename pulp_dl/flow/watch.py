"""The clocks of a body: is anything coming, and fast enough?"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import TimedOut
from ..model.remote import Timeouts
from .timers import Call, Clock

__all__ = ["Watch"]

_ROUNDING = 1e-6  # seconds; sums of floats may come out a little short of a limit


class Watch:
    """
    Counts only the time in which the valve is open, so that a slow reader is never blamed on the server.

    One timer, set for the moment at which the first limit could be reached, and looked at again only then: a byte
    costs no timer.
    """

    _timer: Call | None = None
    _running = False
    _open = False
    _since: float  # when the valve opened last
    _elapsed = 0.0  # open time before that
    _fed_at = 0.0  # open time of the last byte
    _window_at = 0.0  # open time at which the low-speed window began
    _window_bytes = 0

    def __init__(self, clock: Clock, timeouts: Timeouts, expired: Callable[[TimedOut], None]) -> None:
        """
        @param expired: called once at most, with what ran out.
        """
        self._clock = clock
        self._timeouts = timeouts
        self._expired = expired

    def start(self, *, open_: bool) -> None:
        """The body begins to come; there is a watch for each."""
        self._running, self._open = True, open_
        self._since = self._clock.seconds()
        if open_:
            self._arm()

    def stop(self) -> None:
        """The body is at its end, one way or the other."""
        if self._running:
            self._elapsed = self.open_seconds
            self._running = self._open = False
            self._disarm()

    def close(self) -> None:
        """Stop, and forget whoever would be told."""
        self.stop()
        self._expired = _nobody

    def fed(self, size: int) -> None:
        """So many bytes came."""
        if self._running:
            self._window_bytes += size
            self._fed_at = self.open_seconds

    def turned(self, open_: bool) -> None:
        """The valve opened or closed."""
        if not self._running:
            return
        if open_:
            self._open, self._since = True, self._clock.seconds()
            self._arm()
        else:
            self._elapsed = self.open_seconds
            self._open = False
            self._disarm()

    @property
    def open_seconds(self) -> float:
        """How long the valve has been open since the body began."""
        return self._elapsed + self._clock.seconds() - self._since if self._open else self._elapsed

    @property
    def silent(self) -> float:
        """For how many of them no byte has come."""
        return self.open_seconds - self._fed_at

    def _arm(self) -> None:
        now, limits = self.open_seconds, self._timeouts
        soon = None if limits.idle is None else self._fed_at + limits.idle - now
        if limits.low_speed is not None:
            window = self._window_at + limits.low_speed_window - now
            soon = window if soon is None or window < soon else soon
        if soon is not None:
            self._timer = self._clock.callLater(max(0.0, soon), self._check)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        now, limits = self.open_seconds + _ROUNDING, self._timeouts
        if limits.idle is not None and now - self._fed_at >= limits.idle:
            self._expire(TimedOut("idle", limits.idle))
            return
        if limits.low_speed is not None and now - self._window_at >= limits.low_speed_window:
            if self._window_bytes < limits.low_speed * limits.low_speed_window:
                self._expire(TimedOut("low_speed", limits.low_speed_window))
                return
            self._window_at, self._window_bytes = now, 0
        self._arm()

    def _expire(self, error: TimedOut) -> None:
        self.stop()
        self._expired(error)


def _nobody(error: TimedOut) -> None:
    """Whoever is told of nothing more."""
