"""A window of a body, and what the checks have seen of the bytes that have left it."""

from __future__ import annotations

from collections.abc import Iterable

from ..interfaces import IExpectation
from .seen import Seen
from .window import Window

__all__ = ["Backlog"]


class Backlog(Window):
    """
    Whoever is behind can go on without the window, as long as the checks see what is forgotten.

    They see nothing before somebody asks for it: for one reader that keeps up, every byte would be hashed for nothing.
    """

    def __init__(self, expect: Iterable[IExpectation]) -> None:
        """
        @param expect: what the whole body is expected to be.
        """
        self._expect = tuple(expect)
        super().__init__()

    def clear(self) -> None:
        super().clear()
        self._seen: Seen | None = None
        self._asked: tuple[int, Seen] | None = None  # where they stood at the offset asked for last

    def watch(self, *, whole: bool) -> Seen | None:
        """
        From now on the checks see what is forgotten.  Returns what they have seen; None: bytes were forgotten unseen.

        @param whole: no part of a file, which not all expectations are for.
        """
        if self._seen is None and self.start == 0:
            self._seen = Seen(each for each in self._expect if whole or each.partial)
        return self._seen

    def unwatch(self) -> None:
        """Nobody will have to go on without the window."""
        self._seen = self._asked = None

    def forget(self, to: int) -> None:
        """What is before this offset, or a little less."""
        for piece in self.drop(to):
            if self._seen is not None:
                self._seen.update(piece)

    def seen(self, to: int) -> Seen:
        """
        What the checks would have seen at this offset, which is here; they C{watch}.

        Ask in the order of offsets: then they are given no byte twice.
        """
        assert self._seen is not None
        at, seen = self.start, self._seen
        if self._asked is not None and at <= self._asked[0] <= to:
            at, seen = self._asked
        seen = seen.copy()
        while at < to:
            piece = self.read(at)[: to - at]
            seen.update(piece)
            at += len(piece)
        self._asked = to, seen
        return seen.copy()
