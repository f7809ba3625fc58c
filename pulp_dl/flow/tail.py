"""The last piece of a body, held back until every check has passed."""

from __future__ import annotations

from collections import deque

__all__ = ["HOLD", "Tail"]

HOLD = 64 * 1024
"""Bytes that are held back at most."""


class Tail:
    """Keeps the newest bytes: one at least, L{HOLD} at most.  What goes in comes out, in order."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self.size = 0

    def push(self, data: bytes) -> list[bytes]:
        """Take new bytes in; returns the older ones, which may go on."""
        self._pieces.append(data)
        self.size += len(data)
        free: list[bytes] = []
        while self.size > HOLD:
            surplus = self.size - HOLD
            oldest = self._pieces.popleft()
            if len(oldest) > surplus:
                self._pieces.appendleft(oldest[surplus:])
                oldest = oldest[:surplus]
            self.size -= len(oldest)
            free.append(oldest)
        return free

    def pop(self) -> list[bytes]:
        """All that is held; nothing is held afterwards."""
        pieces, self._pieces, self.size = list(self._pieces), deque(), 0
        return pieces
