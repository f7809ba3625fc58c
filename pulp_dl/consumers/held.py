"""Who is at work on a file, so that nobody takes it for one that was left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Final

__all__ = ["abandoned", "hold"]

_ANY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def hold(fd: int) -> bool:
    """
    Hold a file until it is closed, however that happens; never waits.

    @return: False if somebody else holds it.  Where a file system has no locks, nobody does.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@contextmanager
def abandoned(path: Path) -> Iterator[int | None]:
    """
    Hold what somebody left, while the block lasts.

    The block gets a descriptor that the path leads to; or None if this is no file, cannot be opened, or somebody is at
    work on it.
    """
    try:
        fd = os.open(path, _ANY)
    except OSError:
        yield None
        return
    try:
        there = S_ISREG(os.fstat(fd).st_mode) and hold(fd)
        yield fd if there and _leads_to(path, fd) else None
    finally:
        os.close(fd)


def _leads_to(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False
