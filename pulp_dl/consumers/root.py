"""Which file is meant, and the way to its directory that no symlink can bend."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, Final

from attrs import frozen

from ..errors import ConsumerFailed, DownloadError, Refused

__all__ = ["DIRECTORY", "SUFFIX", "Place", "disk_error", "locate", "obstacle", "open_directory", "reason"]

SUFFIX: Final = ".pulp-dl"
"""What the names of our temporary files end with."""

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_NOT_OURS = "we may not write there; give a directory that belongs to this user"
_REMEDIES = {
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
    errno.EROFS: "the file system is read-only; give another directory",
    errno.ENOSPC: "the disk is full; make room there",
    errno.EDQUOT: "the quota is used up; make room there",
    errno.EFBIG: "the file would be larger than is allowed there; raise the limit",
    errno.ENOENT: "its directory does not exist; make it",
    errno.ENOTDIR: "a file is where a directory is needed; give another path",
    errno.EISDIR: "a directory is there; give another path",
    errno.ENAMETOOLONG: "the name is too long for this file system; give a shorter one",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or download fewer at once",
    errno.ENFILE: "too many files are open on this machine",
}


def disk_error(error: OSError, path: str) -> ConsumerFailed:
    """What the system said, in words that name the path and a remedy.  Raise it from the error."""
    return ConsumerFailed(f"{path!r}: {reason(error)}")


def reason(error: OSError) -> str:
    """What the system said, with a remedy if there is one."""
    return _REMEDIES.get(error.errno or 0) or error.strerror or str(error)


@frozen
class Place:
    """
    Where a file goes.

    @ivar base: a directory that has to exist; it may be reached by symlinks, they are the caller's own.
    @ivar parents: directories below it, made if they are missing; none of them may be a symlink.
    @ivar name: the file's name in the last of them.
    """

    base: str
    parents: tuple[str, ...]
    name: str

    @property
    def path(self) -> str:
        return "/".join((self.base, *self.parents, self.name))


def locate(path: str | bytes | os.PathLike[Any], root: str | bytes | os.PathLike[Any] | None = None) -> Place:
    """
    The place of a path: anywhere, or inside C{root} if that is given.

    A relative path begins at C{root}, or at the directory that is the current one now.

    @raise Refused: the path leaves the root, names no file, or cannot be the name of one.
    """
    text = os.fsdecode(path)
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise Refused(f"{text!r}: this cannot be encoded as a name of a file") from None
    if "\0" in text:
        raise Refused(f"{text!r}: a name cannot hold a NUL")
    directory, slash, name = text.rpartition("/")
    if name in {"", ".", ".."}:
        raise Refused(f"{text!r}: this names a directory, not a file")
    if name.endswith(SUFFIX):
        raise Refused(f"{text!r}: names that end in {SUFFIX} are kept for temporary files")
    if root is None:
        return Place(_absolute(directory + slash), (), name)
    base = _absolute(os.fsdecode(root))
    if text.startswith("/"):
        below = base + "/"
        if not text.startswith(below):
            raise Refused(f"{text!r}: this is outside of {base or '/'!r}")
        directory = directory[len(below) :]
    parents = tuple(part for part in directory.split("/") if part not in {"", "."})
    if ".." in parents:
        raise Refused(f"{text!r}: '..' could lead out of {base or '/'!r}")
    return Place(base, parents, name)


def _absolute(directory: str) -> str:
    """Without a slash at its end; so the root of the system is the empty string."""
    return _normal(directory) if directory.startswith("/") else _normal(os.path.join(os.getcwd(), directory))  # noqa: PTH109, PTH118


@lru_cache(256)  # many files have one directory
def _normal(directory: str) -> str:
    return os.path.normpath(directory).rstrip("/")


def obstacle(place: Place, disk: Any = os) -> DownloadError | None:
    """
    What stands in the way, as far as it can be told without touching anything; None if nothing does.

    It saves the traffic.  It is no protection: that is L{open_directory}.
    """
    try:
        there = _existing(place, disk) if place.parents else place.base
        # access() raises nothing, which costs more than asking.
        if not disk.access(there + "/", os.W_OK | os.X_OK, effective_ids=True):
            code = errno.EROFS if disk.statvfs(there + "/").f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(code, os.strerror(code))
        if disk.access(place.path, os.F_OK):
            mode = disk.lstat(place.path).st_mode
            if S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, "a directory")
            if not (S_ISREG(mode) or S_ISLNK(mode)):
                return ConsumerFailed(f"{place.path!r}: a device, a pipe or a socket is there; give another path")
    except OSError as error:
        failed = disk_error(error, place.path)
        failed.__cause__ = error
        return failed
    except Refused as refused:
        return refused
    return None


def _existing(place: Place, disk: Any) -> str:
    """The last directory on the way that is there."""
    there = place.base
    for parent in place.parents:
        below = f"{there}/{parent}"
        try:
            mode = disk.lstat(below).st_mode
        except FileNotFoundError:
            break
        if S_ISLNK(mode):
            raise _bent(place, parent)
        if not S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a directory")
        there = below
    return there


def _bent(place: Place, parent: str) -> Refused:
    return Refused(f"{place.path!r}: {parent!r} is a symlink, which could lead out of {place.base or '/'!r}")


def open_directory(place: Place, disk: Any = os, made: Callable[[int], object] = lambda fd: None) -> int:
    """
    Open the directory of a place, step by step from its base, so that nobody can put a symlink in between.

    @param made: called with the descriptor of each directory in which another one was made.
    @raise Refused: a parent is a symlink.
    """
    fd: int = disk.open(place.base + "/", DIRECTORY)
    for parent in place.parents:
        fd = _step(place, parent, fd, disk, made)
    return fd


def _step(place: Place, parent: str, above: int, disk: Any, made: Callable[[int], object]) -> int:
    fd: int
    try:
        try:
            fd = disk.open(parent, DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another download needs it, too
                disk.mkdir(parent, dir_fd=above)
            made(above)
            fd = disk.open(parent, DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP} and S_ISLNK(disk.lstat(parent, dir_fd=above).st_mode):
            raise _bent(place, parent) from error
        raise
    finally:
        with suppress(OSError):  # it tells nothing of what was read there
            disk.close(above)
    return fd
