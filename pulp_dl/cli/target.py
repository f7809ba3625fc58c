"""A file that the caller names, to be written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

from .outcome import DISK, Failed

__all__ = ["NOTHING", "check_directory", "check_target", "is_stdout", "make_directory", "refused", "write_whole"]

NOTHING: Final = "nothing can be made there; give another path"
_NO_DIRECTORY: Final = "this is no directory; give another path"

_STDOUTS: Final = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


def is_stdout(name: str) -> bool:
    """Whether that is what the caller means."""
    return name in _STDOUTS


def check_target(name: str) -> None:
    """
    Whether a file may take the place of what is there.

    @raise Failed: no: it is a device, a pipe or a socket, or a symlink to one.  That would be the end of
        C{/dev/stderr}, for everybody on this machine.
    """
    try:
        mode = Path(name).stat().st_mode
    except (OSError, ValueError):  # told by who writes to it
        return
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        raise Failed("a device, a pipe or a socket is there; give another path", name, DISK)


def make_directory(name: str) -> None:
    """
    Make it, and what it is in, if they are missing.

    @raise Failed: that cannot be done.
    """
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # which "File exists" would say as of something that is well
        raise Failed(_NO_DIRECTORY, name, DISK) from error
    except FileNotFoundError as error:  # as in /proc
        raise Failed(NOTHING, name, DISK) from error
    except OSError as error:
        raise refused(error, name) from error


def check_directory(name: str) -> None:
    """
    Whether one can look into it, if it is there.

    @raise Failed: no.
    """
    try:
        is_directory = S_ISDIR(Path(name).stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused(error, name) from error
    if not is_directory:
        raise Failed(_NO_DIRECTORY, name, DISK)
    if not os.access(name, os.R_OK | os.X_OK, effective_ids=True):
        raise Failed("we may not look into it; give a directory that belongs to this user", name, DISK)


def refused(error: OSError, name: str) -> Failed:
    """The disk does not take it, and why, with a remedy."""
    from ..consumers.root import reason

    return Failed(reason(error), name, DISK)


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """
    Write a file that takes its place when it is whole and on the disk.

    @raise Failed: it did not; what was there is there still.
    """
    from ..consumers.atomic import temporary_name
    from ..consumers.held import hold

    temporary = path.parent / temporary_name(path.name)
    try:
        with temporary.open("xb") as new:
            hold(new.fileno())
            new.writelines(pieces)
            new.flush()
            os.fsync(new.fileno())
        temporary.replace(path)
    except OSError as error:  # it may name the temporary one
        raise refused(error, str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
