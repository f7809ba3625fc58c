"""A coroutine that is run as one Deferred, with a cancel that is never lost."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, Self, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from ..flow.running import Running

__all__ = ["Task"]

T = TypeVar("T")


class Task(Deferred[T]):
    """
    Fires with what a coroutine returns, fails with what it raises.

    C{Deferred.fromCoroutine} fires at once when it is cancelled by what the coroutine itself has called, while the
    coroutine goes on.  This one asks C{interrupt}, and fires when the coroutine is at its end, not before.  (It also
    costs less than half.)
    """

    def __init__(
        self, coroutine: Coroutine[Deferred[Any], Any, T], interrupt: Callable[[CancelledError], None]
    ) -> None:
        """
        @param interrupt: called when the task is cancelled: to remember it, and to C{wake} the coroutine.
        """
        super().__init__()
        self._coroutine = coroutine
        self._interrupt = interrupt
        self._waiting: Deferred[Any] | None = None
        self._context = copy_context()
        self._running: Running | None = None
        self._woken = False  # by what it has called itself

    def kept_by(self, running: Running) -> Self:
        """Until it fires: C{running.add}, for less."""
        if not self.called:
            running.begin(self)
            self._running = running
        return self

    def start(self) -> None:
        """Run until it has to wait for something."""
        self._step(None)

    def _step(self, result: object) -> None:
        self._waiting = None
        try:
            if isinstance(result, Failure):
                waiting = self._context.run(result.throwExceptionIntoGenerator, self._coroutine)
            else:
                # What it waited for has the result, and hands it over.
                waiting = self._context.run(self._coroutine.send, None)
        except StopIteration as end:
            self._let_go()
            self.callback(end.value)
        except BaseException:
            self._let_go()
            self.errback(Failure())
        else:
            self._waiting = waiting
            waiting.addBoth(self._step)
            if self._woken:
                self.wake()

    def _let_go(self) -> None:
        if self._running is not None:
            self._running.end(self)

    def wake(self) -> None:
        """
        Cancel what it waits for; if it runs, what it has to wait for next.  Who calls from inside may be called by just
        that: a body is being delivered, and nobody waits for it yet.  So it is when what it waits for has fired, and
        calls this before it hands its result over: there is nothing left to cancel.
        """
        last = waiting = self._waiting
        while last is not None and last.called and isinstance(last.result, Deferred):
            last = last.result  # its own callback has returned this, and so it waits for that
        self._woken = last is None or last.called
        if waiting is not None:
            waiting.cancel()

    def calm(self) -> None:
        """It has heard of it, and clears away: what it waits for next is not cancelled."""
        self._woken = False

    def cancel(self) -> None:
        if self.called:
            super().cancel()  # what was made of it may be waiting for something
        else:
            self._interrupt(CancelledError())
