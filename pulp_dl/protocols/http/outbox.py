"""
Requests that are made in one turn of the reactor go out together, in the next one.

To send costs most when somebody sleeps who has to be woken by it, and a server that is quick sleeps again before the
next request is ready; one that is woken for ten of them reads ten.  So there are fewer switches between us and it, on
either side of a network, for a wait that no network would show.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Outbox"]


class Outbox:
    """What is to be sent over the connections of one pool."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[Callable[[], None]] = []
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
        waiting, self._waiting = self._waiting, []
        for send in waiting:
            send()
