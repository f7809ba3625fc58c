"""What is under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed

__all__ = ["Running"]

T = TypeVar("T")


class _Cancellable(Protocol):
    def cancel(self) -> None:
        """End it."""


class Running:
    """The Deferreds that have not fired, of those that were added; and what has begun and not ended."""

    def __init__(self) -> None:
        self._deferreds: set[_Cancellable] = set()
        self._waiting: list[Deferred[None]] = []

    def add(self, deferred: Deferred[T]) -> Deferred[T]:
        """Keep it until it fires.  Returns it."""
        if not deferred.called or deferred.paused:  # paused: it waits for another one
            self._deferreds.add(deferred)
            deferred.addBoth(self._ended, deferred)
        return deferred

    def _ended(self, result: T, deferred: Deferred[T]) -> T:
        self.end(deferred)
        return result

    def begin(self, each: _Cancellable) -> None:
        """Keep what says itself when it has ended, which costs less than a callback."""
        self._deferreds.add(each)

    def end(self, each: _Cancellable) -> None:
        """It has ended."""
        self._deferreds.discard(each)
        if self._waiting and not self._deferreds:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    def ended(self) -> Deferred[None]:
        """Fires with None when none is under way; what its callers make of the last one is not waited for."""
        if not self._deferreds:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def __iter__(self) -> Iterator[_Cancellable]:
        """Those there are now; some may fire meanwhile."""
        return iter(tuple(self._deferreds))

    def __bool__(self) -> bool:
        return bool(self._deferreds)

    def cancel(self) -> None:
        """Cancel them all."""
        for each in self:
            each.cancel()
