"""
So much a second, for all who share it.

What may go is saved up in a bucket, which soon is full.  Whoever finds too little in it waits in a line; each time
there is enough for a portion, the first in the line has a turn, and goes to its end again if that was not all.  So
everybody gets the same, however much they have to bring, and who has little is done after a few turns.

One timer, and only while somebody waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from sys import maxsize
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..model.rate import Rate
from .valve import Valve

__all__ = ["PIECE", "TURN", "Allowance", "LimitedValve"]

TURN: Final = 0.04
"""
Seconds of the rate that make one turn.  The bucket holds three of them: one, what was left of the last one, and as much
again, so that nothing is lost if the reactor comes late.  After a rest that goes at once, and no more.
"""

PIECE: Final = 64 * 1024
"""Bytes that one turn lets through at most, one receive buffer."""

_OFTEN: Final = 0.01  # seconds between two looks at the line at least, for a high rate has many turns in that time
_SELDOM: Final = 1.0  # seconds at most, for the rate may have been changed
_ROUNDING: Final = 1e-6  # sums of floats may come out a little short


class Allowance:
    """Bytes or requests a second.  In any C{t} seconds no more go than C{rate * t} and a full bucket."""

    def __init__(self, clock: IReactorTime, rate: Rate, largest: int) -> None:
        """
        @param largest: what one turn may be at most.
        """
        self._clock = clock
        self._rate = rate
        self._largest = largest
        self._held = rate.per_second  # the rate that held since the last look
        self._looked = clock.seconds()
        self._saved = 0.0 if self._held is None else _room(self._held)
        self._line: OrderedDict[Callable[[int], int], int] = OrderedDict()
        self._serving = False
        self._timer: IDelayedCall | None = None

    def take(self, wanted: int) -> int:
        """Returns how much of this may go at once; nothing, if others wait."""
        if self._line or self._serving:
            return 0
        self._look()
        if self._held is None:
            return wanted
        taken = min(wanted, int(self._saved + _ROUNDING))
        self._saved -= taken
        return taken

    def wait(self, turn: Callable[[int], int], left: int = 0) -> None:
        """
        Get in line.

        @param turn: called once with how much may go; it goes, and C{turn} returns how much of it went.  It may get in
            line again.
        @param left: what the last turn did not use.  It is added to this one: else who brings one byte more than a
            portion would need two turns for it.
        """
        self._line[turn] = left
        self._set_timer()

    def leave(self, turn: Callable[[int], int]) -> None:
        """Leave the line, if in it."""
        self._line.pop(turn, None)
        if not self._line and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def turn(self) -> Deferred[None]:
        """Fires with None when one may go, in the order of asking.  Cancelling leaves the line."""
        if self.take(1):
            return succeed(None)
        waiting: Deferred[None] = Deferred(lambda _: self.leave(go))

        def go(_: int) -> int:
            waiting.callback(None)
            return 1

        self.wait(go)
        return waiting

    def _look(self) -> None:
        """What was saved since the last time, at the rate that held; and the rate that holds from now on."""
        now, rate = self._clock.seconds(), self._rate.per_second
        if self._held is not None:
            self._saved += max(0.0, now - self._looked) * self._held  # somebody may have set the clock back
        self._looked, self._held = now, rate
        if rate is not None:
            self._saved = min(self._saved, _room(rate))

    def _next(self) -> int:
        """How much the first in the line may have, when so much has been saved."""
        if self._held is None:
            return maxsize
        portion = max(1, min(self._largest, int(self._held * TURN)))
        left = next(iter(self._line.values()))
        return portion + min(left, portion - 1)  # which the bucket can hold

    def _set_timer(self) -> None:
        if self._timer is None and self._line and not self._serving:
            missing = 0.0 if self._held is None else (self._next() - self._saved) / self._held
            self._timer = self._clock.callLater(min(max(missing, _OFTEN), _SELDOM), self._serve)

    def _serve(self) -> None:
        self._timer = None
        self._look()
        self._serving = True
        try:
            while self._line:
                allowed = self._next()
                if self._held is not None and self._saved + _ROUNDING < allowed:
                    break
                turn, _ = self._line.popitem(last=False)
                went = turn(allowed)
                if self._held is not None:
                    self._saved -= went
        finally:
            self._serving = False
            self._set_timer()


class LimitedValve(Valve):
    """A valve that lets no more through than its allowance has.  Time that it waits is time in which it is closed."""

    def __init__(
        self,
        allowance: Allowance,
        clock: IReactorTime,
        sink: Callable[[bytes], None],
        stopped: Callable[[], None],
        turned: Callable[[bool], None] = lambda open_: None,
    ) -> None:
        super().__init__(clock, self._measured, stopped, turned)
        self._allowance = allowance
        self._let_through = sink
        self._has_turn = False
        self._left = 0  # of the turn that it has, or had last

    def _measured(self, data: bytes) -> None:
        size = len(data)
        allowed = min(size, self._left) if self._has_turn else self._allowance.take(size)
        self._left = max(0, self._left - allowed)
        if allowed < size:
            self.hold("rate")
            self.put_back(data[allowed:])
            self._allowance.wait(self._turn, self._left)
            data = data[:allowed]
        if data or not size:
            self._let_through(data)

    def _turn(self, allowed: int) -> int:
        self._has_turn, self._left = True, allowed
        try:
            self.release("rate")
        finally:
            self._has_turn = False
        return allowed - self._left

    def clear(self) -> None:
        super().clear()
        self._allowance.leave(self._turn)
        self.release("rate")


def _room(rate: float) -> float:
    """How much the bucket holds."""
    return max(1.0, rate * TURN) + 2 * rate * TURN
