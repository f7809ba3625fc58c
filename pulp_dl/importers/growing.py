"""A file that is being stored, for those who want it meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

from ..model.source import Head

__all__ = ["Growing"]


class Growing:
    """
    Stands for L{os} while C{ToFile} makes a file (its C{disk}), and knows by that how much of it is there.

    The file has no name yet, so it is opened a second time, by way of the first descriptor.  What is there has passed
    the hold-back of its download; when all is there, it was proven to be right.

    @ivar head: what upstream says of the file.
    @ivar size: bytes that are there.
    @ivar over: there will be no more: all are there, or the rest will not come.
    """

    def __init__(self, tell: Callable[[Callable[[], None]], object]) -> None:
        """
        @param tell: has its argument called in the reactor thread.
        """
        self._tell = tell
        self._descriptor = -1  # of who writes
        self._reader = -1
        self._users = 1  # who writes is one
        self._lock = Lock()  # for who leaves last, and who opens too late
        self._waiting: set[Callable[[], object]] = set()
        self.head: Head | None = None
        self.size = 0
        self.over = False
        self.passes = 0  # it begins again with each

    # for the reactor thread

    @property
    def readable(self) -> bool:
        """Can it be read, and is it known how large it will be?"""
        known = self.head is not None and self.head.whole and self.head.total is not None
        return known and self._reader >= 0 and not self.over

    def enter(self) -> None:
        """One more reads it."""
        self._users += 1

    def leave(self) -> None:
        """One less."""
        with self._lock:
            self._users -= 1
            reader = -1
            if not self._users:
                reader, self._reader = self._reader, -1
        if reader >= 0:
            os.close(reader)

    def end(self) -> None:
        """Who writes has ended, one way or the other."""
        if not self.over:
            self.over = True
            self._told()
            self.leave()

    def call(self, waiting: Callable[[], object]) -> None:
        """When something has changed; once."""
        self._waiting.add(waiting)

    def forget(self, waiting: Callable[[], object]) -> None:
        """It need not be called."""
        self._waiting.discard(waiting)

    def _told(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            each()

    # for worker threads

    def read(self, size: int, offset: int) -> bytes:
        """Only between C{enter} and C{leave}."""
        return os.pread(self._reader, size, offset)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
        if flags & (os.O_WRONLY | os.O_RDWR) and self._reader < 0:
            self._descriptor = descriptor
            with suppress(OSError), self._lock:  # without /proc it is only stored
                if self._users:  # else it was given up while this thread was on its way
                    self._reader = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        return descriptor

    def writev(self, descriptor: int, pieces: Any) -> int:
        return self._wrote(descriptor, os.writev(descriptor, pieces))

    def write(self, descriptor: int, data: Any) -> int:
        return self._wrote(descriptor, os.write(descriptor, data))

    def ftruncate(self, descriptor: int, size: int) -> None:
        self.passes += 1
        self.size = 0
        os.ftruncate(descriptor, size)

    def _wrote(self, descriptor: int, size: int) -> int:
        if descriptor == self._descriptor:
            self.size += size
            if self._waiting:
                self._tell(self._told)
        return size
