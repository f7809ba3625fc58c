"""Files that get their name when they are whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from errno import EINVAL, EISDIR, EOPNOTSUPP
from secrets import token_hex
from typing import Any, Final

from ..errors import ConsumerFailed
from ..model.source import Head
from .held import hold
from .root import SUFFIX, Place, open_directory

__all__ = ["TEMPORARY", "NewFile", "temporary_name"]

_NAMED: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNNAMED: Final = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
_NO_UNNAMED = {EOPNOTSUPP, EISDIR, EINVAL}  # open(2): what file systems without O_TMPFILE say
_OPEN_FILES = "/proc/self/fd"
_HAS_OPEN_FILES = os.access(_OPEN_FILES, os.X_OK)  # to ask each time would cost a tenth of what a small file does
_PIECES = 1024  # IOV_MAX
_READ = 256 * 1024

TEMPORARY: Final = re.compile(r"\..*\.[0-9a-f]{16}" + re.escape(SUFFIX), re.DOTALL)
"""What a L{temporary_name} looks like."""


def temporary_name(name: str) -> str:
    """A name that nobody can guess.  Not all of C{name}: it may be as long as names can be."""
    return f".{name[:40]}.{token_hex(8)}{SUFFIX}"


class NewFile:
    """
    A file in the making.  All methods block: call them in a worker thread, one at a time, or for little.

    It has no name while it is made (O_TMPFILE), so that even a killed process leaves nothing; where the file system
    cannot do that, or C{/proc} is not there, it has a L{temporary_name}.  Every method but C{discard} may raise
    C{OSError} or L{Refused}.
    """

    def __init__(self, place: Place, *, durable: bool = True, mode: int | None = None, disk: Any = os) -> None:
        """
        @param mode: the permissions, exactly; None for those that the umask (or the directory's ACL) leaves of 0666.
        @param disk: L{os}, or what stands for it in a test.
        """
        self._place = place
        self._durable = durable
        self._mode = mode
        self._disk = disk
        self._directory: int | None = None  # where names begin; None for those that begin at the root of the system
        self._way = ""  # what comes before a name then
        self._fd = -1
        self._temporary: str | None = None  # the name it has meanwhile, if any

    def open(self, head: Head) -> None:
        """Before the first C{write}."""
        self._enter()
        self._create()

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append these."""
        if len(pieces) > _PIECES:
            pieces = [b"".join(pieces)]
        missing = sum(map(len, pieces))
        if missing:
            missing -= self._disk.writev(self._fd, pieces)
        if missing:  # the disk is nearly full: the next write tells
            rest = memoryview(b"".join(pieces))[-missing:]
            while rest:
                rest = rest[self._disk.write(self._fd, rest) :]

    def patch(self, offset: int, pieces: Sequence[bytes]) -> None:
        """Write these there; where C{write} goes on does not change."""
        rest = memoryview(b"".join(pieces))
        while rest:
            written = self._disk.pwrite(self._fd, rest, offset)
            rest, offset = rest[written:], offset + written

    def seek(self, offset: int) -> None:
        """C{write} goes on there; all before is there."""
        self._disk.lseek(self._fd, offset, os.SEEK_SET)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """What is between these offsets, in order."""
        while start < stop:
            data = self._disk.pread(self._fd, min(_READ, stop - start), start)
            if not data:
                raise ConsumerFailed(f"{self._place.path!r}: somebody made it shorter")
            yield data
            start += len(data)

    def rewind(self, head: Head) -> None:
        """Forget what was written."""
        self._disk.lseek(self._fd, 0, os.SEEK_SET)
        self._disk.ftruncate(self._fd, 0)

    def finish(self, pieces: Sequence[bytes], head: Head, modified: float | None = None) -> None:
        """
        Append the last of it and put the file at its path, in place of what is there; open it first if need be.

        @param modified: the time of last modification that it shall have, in seconds since the epoch.
        """
        if self._fd < 0:
            NewFile.open(self, head)
        self.write(pieces)
        if self._mode is not None:
            self._disk.fchmod(self._fd, self._mode)
        if modified is not None:
            self._disk.utime(self._fd, (modified, modified))
        if self._durable:
            self._disk.fsync(self._fd)
        self._publish()
        if self._durable:
            self._disk.fsync(self._directory)
        self._close()

    def discard(self, *, keep: bool = False) -> None:
        """Take everything back.  Never raises; may be called at any time, and again."""
        if self._temporary is not None:
            with suppress(OSError):
                self._disk.unlink(self._way + self._temporary, dir_fd=self._directory)
        with suppress(OSError):
            self._close()

    # the steps

    def _enter(self) -> None:
        """
        Hold the directory open, so that nobody can bend the way to it and it can be synced; a fifth of a small file's
        price, so not where neither counts.
        """
        if self._directory is None and (self._durable or self._place.parents):
            self._directory = open_directory(self._place, self._disk, self._disk.fsync if self._durable else _no_sync)
        elif self._directory is None:
            self._way = self._place.base + "/"

    def _create(self) -> None:
        self._fd, self._temporary = self._new(0o666 if self._mode is None else self._mode)

    def _new(self, mode: int) -> tuple[int, str | None]:
        """A file that has no name; or, with its name, one that has a temporary one."""
        if _HAS_OPEN_FILES if self._disk is os else self._disk.access(_OPEN_FILES, os.X_OK):
            try:
                return self._disk.open(self._way or ".", _UNNAMED, mode, dir_fd=self._directory), None
            except OSError as error:
                if error.errno not in _NO_UNNAMED:
                    raise
        temporary = temporary_name(self._place.name)
        fd = self._disk.open(self._way + temporary, _NAMED, mode, dir_fd=self._directory)
        hold(fd)
        return fd, temporary

    def _publish(self) -> None:
        name = self._place.name
        if self._temporary is None:
            try:
                self._link(self._fd, name)
                return
            except FileExistsError:
                temporary = temporary_name(name)
            hold(self._fd)
            self._link(self._fd, temporary)
            self._temporary = temporary
        else:  # perhaps on a network, where only closing tells that there is no room
            # The copy holds it until it has its name.
            fd, self._fd = self._fd, self._disk.dup(self._fd)
            self._disk.close(fd)
        self._move(self._temporary, name)
        self._temporary = None

    def _move(self, old: str, new: str) -> None:
        way, directory = self._way, self._directory
        self._disk.rename(way + old, way + new, src_dir_fd=directory, dst_dir_fd=directory)

    def _link(self, fd: int, name: str) -> None:
        """Give an unnamed file a name that nothing has; open(2), O_TMPFILE."""
        # os.link() follows the first name only if a directory is given; for an absolute name any descriptor will do.
        beside = fd if self._directory is None else self._directory
        self._disk.link(f"{_OPEN_FILES}/{fd}", self._way + name, dst_dir_fd=beside)

    def _close(self) -> None:
        fd, directory = self._fd, self._directory
        self._fd, self._directory = -1, None
        try:
            if fd >= 0:
                self._disk.close(fd)
        finally:
            if directory is not None:
                self._disk.close(directory)


def _no_sync(fd: int) -> None:
    pass
