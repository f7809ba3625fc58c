"""Ctrl-C and SIGTERM: soon over, and told by the exit code."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["Interrupted", "interruptible"]

LAST: Final = 4
"""Seconds until the process ends in any case.  What has no name yet is then gone with it."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


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
    """In this block SIGINT and SIGTERM raise L{Interrupted} in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = [(each, signal.signal(each, _interrupt)) for each in _SIGNALS]
    yield
    # Not after an exception: the process ends.
    for each, handler in before:
        signal.signal(each, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)  # the next one does not wait
    # An alarm, as no thread can be started here: the main thread may be starting one right now.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(128 + number))
    signal.alarm(LAST)
    raise Interrupted(number)
