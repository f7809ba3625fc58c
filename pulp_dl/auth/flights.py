"""One call for all who want its result at the same time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

__all__ = ["Flights"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Flights(Generic[K, T]):
    """Calls that are under way, each with all who wait for it."""

    def __init__(self) -> None:
        self._under_way: dict[K, _Flight[T]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._under_way

    def join(self, key: K, begin: Callable[[], Deferred[T]]) -> Deferred[T]:
        """
        Wait for the call of this key; there is one at a time.

        Fires, or fails, as the Deferred of C{begin} does.  Cancelling is one who waits no more; the call is cancelled
        when nobody does.
        """
        flight = self._under_way.get(key)
        if flight is not None:
            return flight.board()
        flight = self._under_way[key] = _Flight(lambda: self._under_way.pop(key))
        waiting = flight.board()
        flight.start(begin)
        return waiting


class _Flight(Generic[T]):
    def __init__(self, ended: Callable[[], object]) -> None:
        self._ended: Callable[[], object] | None = ended
        self._waiting: dict[Deferred[T], None] = {}
        self._running: Deferred[T] | None = None

    def board(self) -> Deferred[T]:
        waiting: Deferred[T] = Deferred(self._leave)
        self._waiting[waiting] = None
        return waiting

    def start(self, begin: Callable[[], Deferred[T]]) -> None:
        self._running = running = maybeDeferred(begin)
        running.addBoth(self._land)

    def _leave(self, waiting: Deferred[T]) -> None:
        self._waiting.pop(waiting, None)
        if not self._waiting and self._running is not None and self._ended is not None:
            self._end()
            self._running.cancel()

    def _end(self) -> None:
        """From now on another one may begin."""
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    def _land(self, result: T | Failure) -> None:
        self._end()
        while self._waiting:
            waiting = next(iter(self._waiting))  # who is told may send others away
            del self._waiting[waiting]
            if isinstance(result, Failure):
                waiting.errback(result)
            else:
                waiting.callback(result)
