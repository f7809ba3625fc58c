"""Ctrl-C and SIGTERM: soon over, and told by the exit code."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

__all__ = ["Interrupted", "interruptible", "on_interrupt", "over"]

LAST: Final = 4
"""Seconds until the process ends in any case.  What has no name yet is then gone with it."""

MOMENT: Final = 0.01

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_hooks: list[tuple[Callable[[], object], Callable[[], object]]] = []


class Interrupted(BaseException):
    """
    A signal came.

    @ivar code: what the process ends with.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """
    In this block the first SIGINT or SIGTERM raises L{Interrupted} in the main thread; the next one ends all.  One that
    came while they were blocked does it, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = [(each, signal.signal(each, _interrupt)) for each in _SIGNALS]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    yield
    # Not after an exception: the process ends.
    for each, handler in before:
        signal.signal(each, handler)


@contextmanager
def on_interrupt(first: Callable[[], object], last: Callable[[], object]) -> Iterator[None]:
    """
    While the block lasts, both are called in the middle of anything, so neither may wait for a lock.

    @param first: called when the first signal comes.
    @param last: called when the process is about to end without leaving its blocks.
    """
    hook = first, last
    _hooks.append(hook)
    try:
        yield
    finally:
        _hooks.remove(hook)


def over(code: int) -> None:
    """
    It was told how the run ended, and the process is about to; a signal that comes now changes nothing of that.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for each in (*_SIGNALS, signal.SIGALRM):  # threads are waited for; whoever is in a hurry need not
        signal.signal(each, lambda *_: os._exit(code))
    atexit.register(_ignore)  # the interpreter puts the system's own in the place of a handler of Python


def _ignore() -> None:
    for each in (*_SIGNALS, signal.SIGALRM):
        signal.signal(each, signal.SIG_IGN)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    def now(again: int, _frame: FrameType | None) -> None:
        # The alarm ends what the first signal began; who presses Ctrl-C twice is told of the second.
        for _, last in _hooks:
            with suppress(Exception):
                last()
        os._exit(128 + (number if again == signal.SIGALRM else again))

    # An alarm, as no thread can be started here: the main thread may be starting one right now.
    for each in (*_SIGNALS, signal.SIGALRM):
        signal.signal(each, now)
    signal.alarm(LAST)
    _insist(number, now)
    for first, _ in _hooks:
        with suppress(Exception):  # the main thread may be printing right now, for instance
            first()
    raise Interrupted(number)


def _insist(number: int, last: Callable[[int, FrameType | None], object]) -> None:
    """Where nothing can be raised, as while an object is finalized, it is raised again a moment later."""

    def again(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, last)
        signal.alarm(LAST)
        raise Interrupted(number)

    def lost(unraisable: Any) -> None:
        if unraisable.exc_type is not Interrupted:
            before(unraisable)
            return
        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, MOMENT)

    before, sys.unraisablehook = sys.unraisablehook, lost
