"""The newest bytes of a body, to be read by several at their own pace."""

from __future__ import annotations

from bisect import bisect_right

__all__ = ["Window"]

SMALL = 4096
"""Pieces below this are put together: else a body of tiny pieces would take many times its size."""

SLACK = 64
"""Places of the lists that may be empty before they are closed up."""


class Window:
    """
    Bytes by their offsets in the body.

    @ivar start: the first byte that is here.
    @ivar end: one past the last byte that came.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The body begins again."""
        self.start = self.end = 0
        self._pieces: list[bytes] = []
        self._starts: list[int] = []
        self._first = 0  # of the lists; what is before it has gone

    @property
    def size(self) -> int:
        """How many bytes are here."""
        return self.end - self.start

    def push(self, data: bytes) -> None:
        """The next bytes of the body."""
        size = len(data)
        if size < SMALL and len(self._pieces) > self._first and len(self._pieces[-1]) < SMALL:
            self._pieces[-1] += data
        else:
            self._starts.append(self.end)
            self._pieces.append(data)
        self.end += size

    def read(self, at: int) -> bytes:
        """Some bytes from this offset on, which has to be here; one at least."""
        index = bisect_right(self._starts, at, self._first) - 1
        skipped, piece = at - self._starts[index], self._pieces[index]
        return piece[skipped:] if skipped else piece

    def drop(self, to: int) -> list[bytes]:
        """Forget what is before this offset, or a little less: pieces stay whole.  Returns what is forgotten."""
        index = bisect_right(self._starts, to, self._first) - 1 if to < self.end else len(self._pieces)
        if index <= self._first:
            return []
        gone = self._pieces[self._first : index]
        self.start += sum(map(len, gone))
        self._pieces[self._first : index] = [b""] * len(gone)
        self._first = index
        if index > SLACK and 2 * index > len(self._pieces):
            del self._pieces[:index], self._starts[:index]
            self._first = 0
        return gone
