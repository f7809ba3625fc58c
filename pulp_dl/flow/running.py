"""What is under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

__all__ = ["Running"]

T = TypeVar("T")


class Running:
    """The Deferreds that have not fired, of those that were added."""

    def __init__(self) -> None:
        self._deferreds: set[Deferred[Any]] = set()

    def add(self, deferred: Deferred[T]) -> Deferred[T]:
        """Keep it until it fires.  Returns it."""
        if not deferred.called:
            self._deferreds.add(deferred)
            deferred.addBoth(self._ended, deferred)
        return deferred

    def _ended(self, result: T, deferred: Deferred[T]) -> T:
        self._deferreds.discard(deferred)
        return result

    def __iter__(self) -> Iterator[Deferred[Any]]:
        """Those there are now; some may fire meanwhile."""
        return iter(tuple(self._deferreds))

    def __bool__(self) -> bool:
        return bool(self._deferreds)

    def cancel(self) -> None:
        """Cancel them all."""
        for deferred in self:
            deferred.cancel()
