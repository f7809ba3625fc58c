"""A gate that many may wait at."""

from __future__ import annotations

from twisted.internet.defer import Deferred

__all__ = ["Gate"]


class Gate:
    """Closed at first.  Opening it lets all who wait go on; it stays open until it is closed."""

    def __init__(self) -> None:
        self._open = False
        self._waiting: list[Deferred[None]] = []

    def open(self) -> None:
        self._open = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def close(self) -> None:
        self._open = False

    def wait(self) -> Deferred[None] | None:
        """None if it is open, else fires with None when it opens.  Cancelling leaves."""
        if self._open:
            return None
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting
