"""When a host is left alone: it failed too often, or it has asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

__all__ = ["Breaker"]

THRESHOLD: Final = 3
"""Failures in a row that open the circuit."""

COOLDOWN: Final = 10.0
"""Seconds for which it is open at first; twice as long each time that the probe fails."""

LONGEST: Final = 300.0

MOMENT: Final = 1.0
"""Seconds after which to ask again while somebody else's request is the probe."""

State = Literal["closed", "open", "half-open"]


class Breaker:
    """
    The circuit to one host.

    It is closed while the host answers.  After some failures in a row it opens: nobody asks.  After a while it is half
    open: one request is let through as a probe, and what becomes of it closes the circuit, or opens it for longer.
    """

    __slots__ = ("_clock", "_cooldown", "_failures", "_probing", "_threshold", "_until")

    def __init__(self, clock: Callable[[], float], threshold: int = THRESHOLD) -> None:
        self._clock = clock
        self._threshold = threshold
        self._failures = 0
        self._cooldown = 0.0  # for how long it was open last; 0: it is closed
        self._until = 0.0  # nobody asks before
        self._probing = False

    @property
    def state(self) -> State:
        if self.wait:
            return "open"
        return "half-open" if self._cooldown else "closed"

    @property
    def wait(self) -> float:
        """Seconds until somebody may ask, or 0."""
        return max(0.0, self._until - self._clock())

    def ask(self) -> float | None:
        """May somebody ask?  None: yes, and what becomes of it is told by one of the methods below; else seconds."""
        if self.wait:
            return self.wait
        if self._cooldown:
            if self._probing:
                return MOMENT
            self._probing = True
        return None

    def answered(self) -> None:
        """The host is there."""
        self._failures, self._cooldown, self._probing = 0, 0.0, False

    def failed(self) -> None:
        """It is not, or it is as if it were not."""
        probe, self._probing = self._probing, False
        self._failures += 1
        if probe:
            self._open(min(LONGEST, self._cooldown * 2))
        elif not self._cooldown and self._failures >= self._threshold:
            self._open(COOLDOWN)

    def unknown(self) -> None:
        """Whoever asked left before there was an answer."""
        self._probing = False

    def rest(self, seconds: float) -> None:
        """The host asks to be left alone (Retry-After)."""
        self._until = max(self._until, self._clock() + seconds)

    def _open(self, seconds: float) -> None:
        self._cooldown = seconds
        self.rest(seconds)

    def dump(self) -> dict[str, Any]:
        """For C{restore}."""
        return {"failures": self._failures, "cooldown": self._cooldown, "wait": self.wait}

    def restore(self, state: dict[str, Any], ago: float) -> None:
        """What was known so many seconds ago."""
        self._failures = int(state["failures"])
        self._cooldown = min(LONGEST, max(0.0, float(state["cooldown"])))
        self._until = self._clock() + min(float(state["wait"]), 3600.0) - ago
