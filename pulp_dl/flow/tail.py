"""The last piece of a body, held back until every check has passed."""

from __future__ import annotations

from collections import deque

__all__ = ["HOLD", "Tail"]

HOLD = 64 * 1024
"""Bytes that are held back at most."""


class Tail:
    """
    Keeps the newest bytes: one at least, L{HOLD} at most.  What goes in comes out, in order.

    Where it is known how many will come, only the last of them are kept; so large pieces need not be cut, which would
    copy every one.
    """

    def __init__(self, total: int | None = None) -> None:
        """
        @param total: bytes that will come, if that is known; more must not, and with less the body is no good.
        """
        self._free = 0 if total is None else max(0, total - HOLD)
        self._pieces: deque[bytes] = deque()
        self.size = 0

    def frees(self, size: int) -> bool:
        """Would this many more bytes let any go on?"""
        return self._free > 0 or self.size + size > HOLD

    def push(self, data: bytes) -> list[bytes]:
        """Take new bytes in; returns the older ones, which may go on."""
        free: list[bytes] = []
        if self._free:
            size = len(data)
            if size <= self._free:
                self._free -= size
                return [data]
            free.append(data[: self._free])
            data, self._free = data[self._free :], 0
        self._pieces.append(data)
        self.size += len(data)
        while self.size > HOLD:
            surplus = self.size - HOLD
            oldest = self._pieces.popleft()
            if len(oldest) > surplus:
                self._pieces.appendleft(oldest[surplus:])
                oldest = oldest[:surplus]
            self.size -= len(oldest)
            free.append(oldest)
        return free

    def held(self) -> tuple[bytes, ...]:
        """All that is held, and stays so."""
        return tuple(self._pieces)

    def pop(self) -> list[bytes]:
        """All that is held; nothing is held afterwards."""
        pieces, self._pieces, self.size = list(self._pieces), deque(), 0
        return pieces
