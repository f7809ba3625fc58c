"""
Requests that are made in one turn of the reactor go out together, in the next one.

To send costs most when somebody sleeps who has to be woken by it, and a server that is quick sleeps again before the
next request is ready; one that is woken for ten of them reads ten.  So there are fewer switches between us and it, on
either side of a network, for a wait that no network would show.

But not all of a crowd at once: what is asked together is answered together, and then so many downloads end in one turn
and so many begin in the next.  To Python's collector that is thousands of new objects, and it looks for garbage among
them again and again, where there is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["TOGETHER", "Outbox"]

TOGETHER: Final = 12
"""Requests of one turn at most; as many downloads have fewer objects than what the collector waits for (700)."""


class Outbox:
    """What is to be sent over the connections of one pool."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], None]] = deque()
        self._timer: IDelayedCall | None = None

    def put(self, send: Callable[[], None]) -> None:
        """Have it called, once and soon, after those that were put before.  It must not raise."""
        self._waiting.append(send)
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._empty)

    def close(self) -> None:
        """Nothing that waits is sent any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _empty(self) -> None:
        self._timer = None
        sending = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
        if self._waiting:
            self._timer = self._clock.callLater(0, self._empty)
        for send in sending:
            send()
