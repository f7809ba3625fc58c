"""Signals, as calls in the reactor."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["Signals"]


class Signals:
    """
    Takes SIGTERM, SIGINT and SIGHUP from the reactor, whose own way to end asks nobody twice.

    In another thread than the main one it does nothing: signals are the main thread's.
    """

    def __init__(self, reactor: Any, end: Callable[[int], object], reload: Callable[[], object]) -> None:
        self._reactor = reactor
        self._end = end
        self._reload = reload
        self._before: dict[int, Any] = {}
        self._wanted = False
        self._terminal = _has_terminal()

    def listen(self) -> None:
        """From when the reactor runs: it installs its own handlers when it begins."""
        self._wanted = True
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        if self._wanted and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                self._before[number] = signal.signal(number, self._came)

    def _came(self, number: int, _frame: FrameType | None) -> None:
        # A handler interrupts whatever runs; the reactor calls us when it is free, and wakes up for it.
        if number != signal.SIGHUP:
            self._reactor.callFromThread(self._end, number)
        elif self._terminal and not _has_terminal():
            # The older meaning: the terminal that we were begun in has been closed, and nobody could end us there.
            self._reactor.callFromThread(self._end, signal.SIGTERM)
        else:
            self._reactor.callFromThread(self._reload)

    def ignore(self) -> None:
        """Give them back."""
        self._wanted = False
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
