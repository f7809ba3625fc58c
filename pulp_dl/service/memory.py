"""What a service has learnt of mirrors, written down every so often."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..engine.learnt import KeepingError, Learnt

__all__ = ["Memory"]

log = Logger()

EVERY: Final = 300.0
"""Seconds after which it is written down again."""


class Memory:
    """
    What was learnt, for as long as a service runs.

    It never blocks the reactor, and no trouble with the file is in anybody's way: it is told in the log, once.

    @ivar learnt: by those who answer now.
    """

    def __init__(self, reactor: Any, path: str | None) -> None:
        self._reactor = reactor
        self.learnt = Learnt(path)
        self._timer: Any = None
        self._writing = DeferredLock()
        self._told: str | None = None

    def load(self) -> None:
        """Read what was kept.  Blocks, so before anybody is answered."""
        try:
            self.learnt.load()
        except KeepingError as error:
            self._tell(error)

    def begin(self) -> None:
        """From now on it is written down."""
        self._timer = self._reactor.callLater(EVERY, self._again)

    def end(self) -> Deferred[None]:
        """Once more, and no more.  Fires with None when that is done; never fails."""
        if self._timer is None:
            return succeed(None)
        self._timer.cancel()
        self._timer = None
        return self._save()

    def _again(self) -> None:
        self.begin()
        if not self._writing.locked:
            self._save()

    def _save(self) -> Deferred[None]:
        pool, learnt, state = self._reactor.getThreadPool(), self.learnt, self.learnt.state()
        saving: Deferred[None] = self._writing.run(deferToThreadPool, self._reactor, pool, learnt.save, state)
        return saving.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(KeepingError) is None:
            log.failure("what was learnt of mirrors could not be kept", failure)
        else:
            self._tell(failure.value)

    def _tell(self, error: BaseException | None) -> None:
        if str(error) != self._told:
            self._told = str(error)
            log.warn("{error}", error=error)  # noqa: G010  # twisted.logger
