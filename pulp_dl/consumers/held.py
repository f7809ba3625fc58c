"""Who is at work on a file, so that nobody takes it for one that was left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL, ENOENT, EWOULDBLOCK
from pathlib import Path
from stat import S_ISREG
from typing import Final

__all__ = ["ANY", "abandoned", "hold", "is_held"]

ANY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How to open what may be no file at all, or lead elsewhere, or belong to somebody else."""


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
def abandoned(path: Path) -> Iterator[int]:
    """
    Hold what is there while the block lasts, which gets a descriptor of it.

    @raise BlockingIOError: somebody else holds it.
    @raise OSError: no file is there, or it cannot be opened.
    """
    fd = os.open(path, ANY)
    try:
        found = os.fstat(fd)
        if not S_ISREG(found.st_mode):
            raise OSError(EINVAL, "no file")
        if not hold(fd):
            raise BlockingIOError(EWOULDBLOCK, "somebody holds it")
        if not os.path.samestat(path.lstat(), found):
            raise FileNotFoundError(ENOENT, "somebody moved it")
        yield fd
    finally:
        os.close(fd)


def is_held(path: Path) -> bool:
    """Whether somebody else is at work on it."""
    try:
        with abandoned(path):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False
