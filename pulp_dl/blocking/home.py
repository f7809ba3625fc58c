"""
The reactor, as other threads see it.

It runs in a thread of its own, started once in a process, or wherever the process runs it already.  Callers wait for it
as with C{blockingCallFromThread}, which leaves these to us:

  - whoever stops waiting (Ctrl-C, a timeout, any exception) cancels what it waited for;
  - the reactor thread itself may not wait, it would be for ever;
  - nobody waits for a reactor that has stopped, or that runs only in the process this one was forked from.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final

import twisted.internet
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ReactorAlreadyRunning, ReactorNotRestartable
from twisted.python import threadable
from twisted.python.failure import Failure

from ..errors import TimedOut
from ..flow.steady import steady
from ..model.numbers import is_number

__all__ = ["GRACE", "Box", "Home", "ReactorStopped", "call", "check_timeout"]

SLICE: Final = 0.5
"""
Seconds of one wait on a lock.  An exception that another thread sets for this one (Dramatiq's limits of time do) comes
through only between two.
"""

GRACE: Final = 2.0
"""Seconds that what was cancelled has to end, before its caller goes on without it."""

Box = SimpleQueue[Any]
"""Where one thread waits for messages."""

_STOPPED: Final = object()
_NOTHING: Final = object()


class ReactorStopped(RuntimeError):
    """The reactor of this process has stopped.  It cannot be started again, so nothing can be downloaded any more."""


class Home:
    """One reactor that runs, and those who wait for it."""

    def __init__(self, reactor: Any = None) -> None:
        """
        @param reactor: None for the one of this process.
        """
        with _starting:
            self.reactor = _own_reactor() if reactor is None else reactor
            if _is_dead(self.reactor):
                raise RuntimeError("this reactor stayed behind when the process was forked; use reactor=None")
            _run(self.reactor)
        self._pid = os.getpid()
        self._waiting: set[Box] = set()
        self._stopping = False

    @property
    def usable(self) -> bool:
        """Whether a call would get an answer."""
        return bool(self._pid == os.getpid() and self.reactor.running and not self._stopping)

    def check(self) -> None:
        """Raise if waiting would be for ever."""
        if self._pid != os.getpid():
            raise RuntimeError("made before this process was forked; make a new one in this process")
        if not self.usable:
            raise ReactorStopped("the reactor has stopped")
        if threadable.isInIOThread():
            raise RuntimeError("the reactor thread would wait for itself; use pulp_dl.Downloader in it")

    def stop(self) -> None:
        """The reactor is about to stop: wake all who wait.  In the reactor thread."""
        self._stopping = True
        for box in tuple(self._waiting):
            box.put(_STOPPED)

    def tell(self, function: Callable[..., object], *args: object) -> None:
        """Have this called in the reactor thread, and do not wait."""
        self.reactor.callFromThread(function, *args)

    def take(self, box: Box, deadline: float | None = None) -> Any:
        """
        The next message.  Signals and exceptions for this thread interrupt it.

        @param deadline: on the monotonic clock; L{queue.Empty} is raised then.
        @raise ReactorStopped: there will be no message.
        """
        self._waiting.add(box)
        try:
            while True:
                seconds = SLICE if deadline is None else min(SLICE, deadline - monotonic())
                try:
                    message = box.get(timeout=max(0.0, seconds))
                except Empty:
                    # What came first is told first, so this is asked last.
                    if not self.usable:
                        raise ReactorStopped("the reactor stopped meanwhile") from None
                    if deadline is not None and monotonic() >= deadline:
                        raise
                else:
                    if message is _STOPPED:
                        raise ReactorStopped("the reactor stopped meanwhile")
                    return message
        finally:
            self._waiting.discard(box)

    def call(
        self, function: Callable[..., Any], *args: Any, timeout: float | None = None, url: str | None = None
    ) -> Any:
        """
        Call it in the reactor thread; wait for what it returns, or for the result of its Deferred.

        Whatever ends the waiting cancels the Deferred, and waits for its end for at most L{GRACE} seconds.

        @param url: what a L{TimedOut} is about.
        @raise TimedOut: it took longer than C{timeout} seconds.
        """
        self.check()
        check_timeout(timeout)
        box: Box = SimpleQueue()
        running: list[Deferred[Any]] = []

        def begin() -> None:
            running.append(maybeDeferred(function, *args))
            running[0].addBoth(box.put)

        try:
            self.tell(begin)
            result = self.take(box, None if timeout is None else monotonic() + timeout)
        except BaseException as interruption:
            self.tell(lambda: running[0].cancel() if running else None)
            result = self._last(box)
            if timeout is None or not isinstance(interruption, Empty):
                raise
            # What was finished in spite of it is finished: its file is there.
            if result is _NOTHING or isinstance(result, Failure):
                raise TimedOut("total", timeout, url) from None
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def _last(self, box: Box) -> Any:
        """What comes after a cancel."""
        deadline = monotonic() + GRACE
        while self.reactor.running and monotonic() < deadline:
            with suppress(Empty):
                message = box.get(timeout=0.1)
                if message is not _STOPPED:
                    return message
        return _NOTHING


def check_timeout(timeout: object) -> None:
    """
    @raise ValueError: it is neither None nor seconds.
    """
    if timeout is not None and not (is_number(timeout) and timeout < 1e9):
        raise ValueError(f"timeout: {timeout!r} is no number of seconds; give one, or None for no limit")


def call(function: Callable[..., Any], *args: Any, timeout: float | None = None, reactor: Any = None) -> Any:
    """
    Call a function in the reactor thread, and wait for its result, or for that of the Deferred it returns.

    For the odd thing that has to be done there, such as listening on a port.  An exception (Ctrl-C, too) that ends the
    waiting cancels the Deferred.

    @raise TimedOut: it took longer than C{timeout} seconds; it was cancelled.
    @raise ReactorStopped: the reactor has stopped, or stopped meanwhile.
    """
    return Home(reactor).call(function, *args, timeout=timeout)


# ---- one reactor for a process

_starting = threading.Lock()
_inherited: tuple[Any, bool] = (None, False)


def _forked() -> None:
    """In the child: the lock may be held by a thread that did not come along, and the reactor is the parent's."""
    global _starting, _inherited  # noqa: PLW0603  # a process has one reactor
    _starting = threading.Lock()
    reactor = sys.modules.get("twisted.internet.reactor")
    _inherited = reactor, getattr(reactor, "running", False)


os.register_at_fork(after_in_child=_forked)


def _is_dead(reactor: Any) -> bool:
    """
    True if it came along with a fork.

    If it ran, its thread did not come.  If it did not, it still shares its epoll and its waker with every process that
    has it, and each takes the others' events.  But one that runs now was started here on purpose: C{twistd} imports it,
    forks, and runs it.
    """
    if reactor.running and threadable.ioThread not in sys._current_frames():
        return True
    inherited, ran = _inherited
    return reactor is inherited and (ran or not reactor.running)


def _own_reactor() -> Any:
    """The reactor of this process; after a fork a fresh one, in the place where everybody imports it from."""
    global _inherited  # noqa: PLW0603  # as above
    from twisted.internet import reactor

    if not _is_dead(reactor):
        return reactor
    _inherited = reactor, True
    sys.modules.pop("twisted.internet.reactor", None)
    with suppress(AttributeError):
        del twisted.internet.reactor
    from twisted.internet import reactor as fresh  # importing it installs one

    return fresh


def _run(reactor: Any) -> None:
    """See to it that it runs: in a thread of our own, if nobody else does it."""
    if reactor.running:
        return
    steady(reactor)
    told: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            # Signals are the main thread's.
            reactor.run(installSignalHandlers=False)
        except BaseException as error:
            told.put(error)

    reactor.callWhenRunning(told.put, None)
    # A daemon: it is always in the middle of something when the interpreter ends.
    threading.Thread(target=run, name="pulp_dl reactor", daemon=True).start()
    error = told.get()
    if isinstance(error, ReactorAlreadyRunning):
        return  # another thread was faster
    if isinstance(error, ReactorNotRestartable):
        raise ReactorStopped("the reactor has stopped, and cannot be started again in this process") from error
    if error is not None:
        raise error
