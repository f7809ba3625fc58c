"""Waiting for what must not be cut in half."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


async def unhurried(d: Deferred[T]) -> T:
    """
    Wait for a Deferred to its end, whoever cancels meanwhile.

    Its result counts, not the cancel: a file that was renamed is there.
    """
    ends: list[T | Failure] = []
    waiting: Deferred[None] = Deferred()

    def ended(result: T | Failure) -> None:
        ends.append(result)
        if not waiting.called:
            waiting.callback(None)

    d.addBoth(ended)
    while not ends:
        try:
            await waiting
        except CancelledError:
            waiting = Deferred()
    result = ends[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
