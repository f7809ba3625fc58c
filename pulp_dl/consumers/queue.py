"""The way to the thread that writes a file: what is put goes in order, and who brings bytes pauses while it is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..flow.workers import PIECE, InlineWorkers
from ..interfaces import IWorkers

__all__ = ["Queue"]


class Queue:
    """
    That of one file.

    @ivar begun: something was put; from then on the file is only touched there.
    @ivar worth: bytes that are worth a hand-over.
    """

    begun = False
    worth = PIECE
    workers: IWorkers = InlineWorkers()
    _paused = False
    _lane: Any = None
    _producers: Sequence[Any] = ()

    def __init__(self, failed: Callable[[Failure], None]) -> None:
        """
        @param failed: called once when a job has raised.
        """
        self._failed = failed

    def enter(self, producer: Any) -> None:
        """This one brings bytes."""
        self._producers = [*self._producers, producer]
        if self._paused:
            producer.pauseProducing()

    def leave(self, producer: Any) -> None:
        """It brings no more."""
        self._producers = [each for each in self._producers if each is not producer]

    def put(self, weight: int, job: Callable[[], object]) -> None:
        """On a worker thread, when all that was put before is done."""
        if not self.begun:
            self._lane = self.workers.lane(self._relieved, self._failed, None)
            self.begun = True
        full: bool = self._lane.put(job, weight)
        self.worth = self._lane.piece
        if full and not self._paused:
            self._paused = True
            for each in self._producers:
                each.pauseProducing()

    def _relieved(self) -> None:
        self._paused = False
        for each in self._producers:
            if not self._paused and each in self._producers:  # what the first one brings may fill it again
                each.resumeProducing()

    def settled(self) -> Deferred[None]:
        """Fires with None when all that was put is done; fails with what a job raised."""
        waiting: Deferred[None] = self._lane.settled()
        return waiting

    def drop(self) -> None:
        """Forget what has not begun, for who brings no more."""
        self._lane.drop()
        self._paused = False  # nobody will be told that there is room again

    def close(self, _: object = None) -> None:
        """All is done.  From here on nothing leads from here to the file that leads here."""
        self.begun, self._lane, self._failed = False, None, _nobody


def _nobody(_: Failure) -> None:
    """Whom a failure concerns when all is done."""
