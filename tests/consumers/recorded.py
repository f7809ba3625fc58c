"""
What a download did to its disk, call by call, and what a crash may leave of it.

A L{Recording} stands for L{os}.  L{crashes} does the calls again in another directory, up to any of them; and, because
a disk need not have what was not synced, also without what may have been lost:

  - bytes of a file that were not synced: none of them is there, or half of the last, or all;
  - names: those up to any moment after the last sync of their directory are there, in their order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

__all__ = ["Done", "Recording", "crashes", "failing_at"]

NAMES = {"link", "rename", "unlink", "mkdir"}
BYTES = {"writev", "write", "ftruncate"}
UNSEEN = {"lstat", "fstat", "access", "statvfs", "read", "pread", "close", "lseek"}
"""Calls that change nothing that a crash would leave."""

_FDS = ("dir_fd", "src_dir_fd", "dst_dir_fd")
_BY_FD = "/proc/self/fd/"


@frozen
class Done:
    """
    A call and what came of it.

    @ivar result: what it returned; None if it raised.
    """

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    result: Any = None
    failed: bool = False

    @property
    def makes_a_name(self) -> bool:
        return self.name in NAMES or (self.name == "open" and bool(self.arguments[1] & os.O_CREAT))


class Recording:
    """
    Stands for L{os} and remembers.

    @ivar before: called with the name and the arguments of each call, before it is done; it may raise.
    """

    def __init__(self, before: Callable[[str, tuple[Any, ...]], object] = lambda name, arguments: None) -> None:
        self.calls: list[Done] = []
        self.before = before

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if not callable(real):
            return real

        def do(*arguments: Any, **options: Any) -> Any:
            kept = tuple([*map(bytes, each)] if isinstance(each, list) else _kept(each) for each in arguments)
            try:
                self.before(name, arguments)
                result = real(*arguments, **options)
            except OSError:
                self.calls.append(Done(name, kept, options, failed=True))
                raise
            self.calls.append(Done(name, kept, options, result))
            return result

        return do


def _kept(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def failing_at(step: int, error: int, *, again: bool) -> Recording:
    """A disk on which the call of this number fails, and all later ones of its kind, if C{again}."""
    numbers, failed = count(), ""

    def before(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal failed
        number = next(numbers)
        if name == "access":  # which answers, and never raises
            return
        if number == step or (again and name == failed):
            failed = name
            if name == "close":
                os.close(arguments[0])  # which frees the descriptor, whatever it says
            raise OSError(error, os.strerror(error))

    return Recording(before)


def crashes(calls: list[Done], was: Path, now: Path, *, powerless: bool) -> Iterator[str]:
    """
    Each state in which C{now}, a new directory each time, is left; it has to be emptied by who asks for the next.

    @param was: the directory in which the calls were done.
    @param powerless: the machine went down, and not only the process.
    """
    for end in range(len(calls) + 1):
        if 0 < end < len(calls) and calls[end - 1].name in UNSEEN:
            continue
        if not powerless:
            _replay(calls[:end], was, now, end, "all")
            yield f"after {end} calls"
            continue
        # Names that a sync of their directory has made sure of; a sync of any counts for those made before it.
        sure = max((at + 1 for at in range(end) if _syncs_a_directory(calls, at)), default=0)
        named = [at for at in range(sure, end) if calls[at].makes_a_name]
        for names in sorted({sure, *(at + 1 for at in named)}):
            for data in ("none", "half", "all") if _unsynced(calls[:end]) else ("all",):
                _replay(calls[:end], was, now, names, data)
                yield f"after {end} calls, names up to {names}, {data} of the bytes that were not synced"


def _syncs_a_directory(calls: list[Done], at: int) -> bool:
    if calls[at].name != "fsync" or calls[at].failed:
        return False
    opened = [each for each in calls[:at] if each.name == "open" and each.result == calls[at].arguments[0]]
    flags = opened[-1].arguments[1]
    return bool(flags & os.O_DIRECTORY and flags & os.O_TMPFILE != os.O_TMPFILE)


def _replay(calls: list[Done], was: Path, now: Path, names: int, data: str) -> None:
    """
    @param names: those that were made by calls of lower numbers are there.
    @param data: how much of what was not synced.
    """
    lost: set[int] = set()
    for written in _unsynced(calls):
        lost.update(written if data == "none" else written[-1:] if data == "half" else ())
    again = _Again(was, now)
    try:
        for at, call in enumerate(calls):
            if call.failed:
                continue
            if call.name == "open":
                again.open(call, hidden=call.makes_a_name and at >= names)
            elif call.name == "dup":
                again.fds[call.result] = os.dup(again.fds[call.arguments[0]])
            elif call.name == "close":
                os.close(again.fds.pop(call.arguments[0]))
            elif (call.name in NAMES and at < names) or call.name == "lseek" or (call.name in BYTES and at not in lost):
                again.do(call)
            elif at in lost and data == "half" and call.name != "ftruncate":
                again.do(evolve(call, arguments=(call.arguments[0], _half(call.arguments[1]))))
    finally:
        for fd in again.fds.values():
            os.close(fd)


class _Again:
    """
    Does calls in another directory.

    @ivar fds: what descriptors are there now, by their old numbers.
    """

    def __init__(self, was: Path, now: Path) -> None:
        self._was = str(was)
        self._now = str(now)
        self.fds: dict[int, int] = {}

    def open(self, call: Done, *, hidden: bool) -> None:
        """
        @param hidden: its name is not there: nobody can see the file.
        """
        if hidden:
            self.fds[call.result] = os.open(self._now, os.O_WRONLY | os.O_TMPFILE)
        else:
            self.fds[call.result] = self.do(call)

    def do(self, call: Done) -> Any:
        options = {key: self.fds.get(value, value) if key in _FDS else value for key, value in call.options.items()}
        arguments: list[Any] = [self._name(each) if isinstance(each, str) else each for each in call.arguments]
        if call.name in BYTES or call.name == "lseek":
            arguments[0] = self.fds[arguments[0]]
        return getattr(os, call.name)(*arguments, **options)

    def _name(self, name: str) -> str:
        if name.startswith(_BY_FD):
            return f"{_BY_FD}{self.fds[int(name.removeprefix(_BY_FD))]}"
        return name.replace(self._was, self._now, 1)


def _unsynced(calls: list[Done]) -> list[list[int]]:
    """For each file the numbers of the calls that changed it and are not sure to be on the disk."""
    written: list[list[int]] = []
    by: dict[int, list[int]] = {}
    for at, call in enumerate(calls):
        if call.failed:
            continue
        if call.name == "open":
            by[call.result] = []
            written.append(by[call.result])
        elif call.name == "dup":
            by[call.result] = by[call.arguments[0]]
        elif call.name in BYTES:
            by[call.arguments[0]].append(at)
        elif call.name == "fsync":
            by[call.arguments[0]].clear()
    return [each for each in written if each]


def _half(data: Any) -> Any:
    whole = b"".join(data) if isinstance(data, list) else data
    half = whole[: len(whole) // 2]
    return [half] if isinstance(data, list) else half
