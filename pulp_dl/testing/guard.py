"""Waiting that ends, and what is left behind: what the checks lean on, under whatever runs them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, TypeVar

from attrs import asdict, astuple, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

__all__ = ["PATIENCE", "Belongings", "soon", "turns", "until_left"]

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds after which something that should happen at once is taken for never."""

_DESCRIPTORS = Path("/proc/self/fd")


def soon(reactor: Any, deferred: Deferred[T], what: str, patience: float) -> Deferred[T]:
    """
    The same result, or C{AssertionError} if it does not come.

    A Deferred that does not come is left alone: cancelling may be the very thing that does not work.
    """
    outcome: Deferred[T] = Deferred(lambda _: deferred.cancel())

    def late() -> None:
        outcome.errback(AssertionError(f"{what}: nothing after {patience:g} s"))

    def came(result: T | Failure) -> None:
        if timer.active():
            timer.cancel()
            outcome.callback(result)  # or errback, if it is a Failure

    timer = reactor.callLater(patience, late)
    deferred.addBoth(came)
    return outcome


async def turns(reactor: Any, count: int) -> None:
    """Let the reactor turn so many times; sockets get their turn in each."""
    for _ in range(count):
        await deferLater(reactor, 0, bool)


@frozen
class Belongings:
    """How much this process holds."""

    sockets: int
    timers: int
    threads: int
    descriptors: int

    @classmethod
    def now(cls, reactor: Any) -> Belongings:
        return cls(
            len({*reactor.getReaders(), *reactor.getWriters()}),
            len(reactor.getDelayedCalls()),
            # The threads of the reactor's own pool idle for ever.
            len({*threading.enumerate()} - {*reactor.getThreadPool().threads}),
            len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.exists() else 0,
        )

    def minus(self, other: Belongings) -> Belongings:
        """What came to it since then."""
        return Belongings(*(now - then for now, then in zip(astuple(self), astuple(other), strict=True)))

    def plus(self, other: Belongings) -> Belongings:
        """Both."""
        return Belongings(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def beyond(self, other: Belongings) -> dict[str, int]:
        """What is more than there."""
        before = asdict(other)
        return {name: count - before[name] for name, count in asdict(self).items() if count > before[name]}


async def until_left(reactor: Any, before: Belongings, after: str, patience: float) -> None:
    """
    Wait until this process holds no more than it did.

    @raise AssertionError: it still does, after a while.
    """
    deadline = reactor.seconds() + patience
    await turns(reactor, 2)
    while left := Belongings.now(reactor).beyond(before):
        assert reactor.seconds() < deadline, f"left behind {after}: {left}"
        await deferLater(reactor, 0.01, bool)
