"""Questions to a thread, as many at a time as wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["MOST", "Together"]

MOST: Final = 64
"""
Questions that are answered at once.  Each answer begins a download within the same turn of the reactor, at half a
millisecond; a thousand of them would keep everybody else waiting for half a second.
"""

K = TypeVar("K")
V = TypeVar("V")


class Together(Generic[K, V]):
    """
    The way to a thread and back costs several times what a look into an index does.  So while a thread looks,
    questions gather, and the next one takes them along, L{MOST} at most; who asks alone is not kept waiting for others.
    """

    def __init__(self, ask: Callable[[Sequence[K]], Deferred[Sequence[V | Exception]]]) -> None:
        """
        @param ask: fires with as many answers as there are questions; an exception is the failure of its question.
        """
        self._ask = ask
        self._asking = False
        self._waiting: list[tuple[K, Deferred[V]]] = []

    def ask(self, question: K) -> Deferred[V]:
        """Fires with its answer, or fails with its own failure or that of all.  Cancelling only stops listening."""
        answer: Deferred[V] = Deferred()
        self._waiting.append((question, answer))
        if not self._asking:
            self._next()
        return answer

    def _next(self) -> None:
        asked, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        self._asking = True

        def answered(found: Sequence[V | Exception] | Failure) -> None:
            self._asking = False
            if self._waiting:
                self._next()
            for number, (_, answer) in enumerate(asked):
                each = found.value if isinstance(found, Failure) else found[number]
                if isinstance(each, BaseException):
                    answer.errback(Failure(each))
                else:
                    answer.callback(each)  # type: ignore[arg-type]  # mypy takes V for something that may be None

        self._ask([question for question, _ in asked]).addBoth(answered)
