"""What is known of one host, and of one directory there: numbers that heal with time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

from .breaker import Breaker, State

__all__ = ["HEAL", "Faded", "Host", "Standing"]

HEAL: Final = 300.0
"""Seconds in which half of a bad name is forgotten."""

NEW: Final = 1.0
"""Seconds after which an answer is late of a host of which nothing is known."""

LATE: Final = 0.1
"""Seconds by which an answer is late at least; less may be our own doing."""

_TICK: Final = 0.001  # seconds; less than that tells more of the clock than of the host
_NEWEST: Final = 0.3
"""How much of an average is the newest value."""


class Faded:
    """A number that halves all the time."""

    __slots__ = ("_at", "_clock", "_half", "_value")

    def __init__(self, clock: Callable[[], float], half: float, value: float = 0.0) -> None:
        self._clock = clock
        self._half = half
        self._value = value
        self._at = clock()

    @property
    def value(self) -> float:
        value: float = self._value * 0.5 ** (max(0.0, self._clock() - self._at) / self._half)
        return value if value > 0.001 else 0.0

    def add(self, amount: float) -> None:
        self._value, self._at = max(0.0, self.value + amount), self._clock()


class Host:
    """
    One host.

    @ivar latency: seconds to an answer, on average, or None; C{spread}: how far they are from that, on average.
    @ivar speed: bytes a second while the consumer was ready to take them, on average, or None.
    @ivar trouble: failures that are not forgotten yet.
    @ivar seen: when it was asked last.
    """

    __slots__ = ("_clock", "breaker", "latency", "seen", "speed", "spread", "trouble")

    def __init__(self, clock: Callable[[], float], heal: float) -> None:
        self._clock = clock
        self.latency: float | None = None
        self.spread = 0.0
        self.speed: float | None = None
        self.trouble = Faded(clock, heal)
        self.breaker = Breaker(clock)
        self.seen = clock()

    def waited(self, seconds: float) -> None:
        """So long it took to answer."""
        # As TCP knows when a packet is late (RFC 6298).
        known = self.latency
        self.spread = seconds / 2 if known is None else _mixed(self.spread, abs(seconds - known))
        self.latency, self.seen = _mixed(known, seconds), self._clock()

    def outrun(self, seconds: float) -> None:
        """It would have taken longer than that."""
        if seconds > (NEW if self.latency is None else self.latency):
            self.waited(seconds)

    @property
    def usual(self) -> float:
        """Seconds within which it answers, but for few times."""
        return NEW if self.latency is None else self.latency + max(LATE, 4 * self.spread)

    def brought(self, size: int, seconds: float) -> None:
        """So many bytes came in a time in which they could."""
        self.speed = _mixed(self.speed, size / max(seconds, _TICK))

    def dump(self) -> dict[str, Any]:
        """For C{restore}."""
        return {
            "latency": self.latency,
            "spread": self.spread,
            "speed": self.speed,
            "trouble": self.trouble.value,
            "seen": self._clock() - self.seen,
            "breaker": self.breaker.dump(),
        }

    def restore(self, state: dict[str, Any], ago: float, heal: float) -> None:
        """What was known so many seconds ago."""
        self.latency, self.speed = (_positive(state[name]) for name in ("latency", "speed"))
        self.spread = max(0.0, float(state["spread"]))
        self.trouble = Faded(self._clock, heal, float(state["trouble"]) * 0.5 ** (ago / heal))
        self.seen = self._clock() - float(state["seen"]) - ago
        self.breaker.restore(state["breaker"], ago)


def _positive(value: Any) -> float | None:
    return None if value is None else max(1e-6, float(value))


def _mixed(average: float | None, value: float) -> float:
    return value if average is None else average + _NEWEST * (value - average)


@frozen
class Standing:
    """
    How a place stands, for people and for metrics.

    @ivar host: scheme, host and port.
    @ivar cost: what its place in the order follows from: seconds that a file would take from there, as far as it is
        known, and more for each failure.
    @ivar latency: seconds to an answer, C{speed}: bytes a second; None if not known.
    @ivar trouble: recent failures of the host, fading; C{demerits}: recent wrong or missing files in this directory.
    @ivar circuit: C{"closed"}, C{"open"} or C{"half-open"}; C{wait}: seconds until it may be asked.
    """

    host: str
    cost: float
    latency: float | None
    speed: float | None
    trouble: float
    demerits: float
    circuit: State
    wait: float

    def __str__(self) -> str:
        known = [
            "not tried yet" if self.latency is None else f"answers in {self.latency * 1000:.0f} ms",
            *(() if self.speed is None else (f"{self.speed / 1e6:.1f} MB/s",)),
            *(() if not self.trouble else (f"{self.trouble:.1f} recent failures",)),
            *(() if not self.demerits else (f"{self.demerits:.1f} recent wrong or missing files here",)),
            *(() if self.circuit == "closed" and not self.wait else (f"circuit {self.circuit}",)),
            *(() if not self.wait else (f"left alone for {self.wait:.0f} s",)),
        ]
        return ", ".join(known)
