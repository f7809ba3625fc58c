"""A worker that has other things to do."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from pulp_dl.flow.checks import INLINE
from pulp_dl.flow.workers import InlineWorkers

__all__ = ["Slow"]


class Slow(InlineWorkers):
    """A lane that is full at once, and runs what it was given when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.dropped = 0
        self.piece = INLINE
        self.backlog = 0

    def lane(self, relieved: Any, failed: Any, limit: int | None = 0) -> Any:
        self.relieved, self.failed = relieved, failed
        return self

    def put(self, job: Any, weight: int) -> bool:
        self.jobs.append(job)
        return True

    def settled(self) -> Deferred[None]:
        for job in self.jobs:
            job()
        self.jobs.clear()
        self.relieved()
        return succeed(None)

    def drop(self) -> Deferred[None]:
        self.dropped += 1
        self.jobs.clear()
        return succeed(None)
