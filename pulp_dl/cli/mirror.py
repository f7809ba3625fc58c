"""A directory that is to hold what a manifest lists."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfileobj
from stat import S_ISREG
from typing import TYPE_CHECKING, BinaryIO, Final

from ..consumers.atomic import temporary_name
from ..consumers.file import ToFile
from ..consumers.part import LARGEST_NOTE, NOTE, PART, Note
from ..consumers.root import SUFFIX
from ..consumers.strays import strays
from .outcome import DISK, Failed

if TYPE_CHECKING:
    from ..importers.file import Entry

__all__ = ["Mirror"]

LOCK: Final = ".lock" + SUFFIX
"""A name that no manifest can have."""


class Mirror:
    """
    The directory.  All methods block.
    """

    def __init__(self, directory: str, *, verify: bool) -> None:
        """
        @param verify: read what is there, in place of looking at its size only.
        """
        self._directory = Path(directory)
        self._verify = verify
        self._parts: set[str] = set()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """
        The directory is ours while the block lasts; it is made if it is missing, and what a killed run left is removed.

        @raise Failed: another run is at work in it, or it cannot be used.
        """
        path = self._directory / LOCK
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            fd = _locked(path)
        except BlockingIOError as error:
            raise Failed(
                "another pulp-dl sync is at work there; wait for its end", str(self._directory), DISK
            ) from error
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._clean()
            yield
        finally:
            with suppress(OSError):
                path.unlink()
            os.close(fd)

    def _failed(self, error: OSError) -> Failed:
        return Failed(error.strerror or str(error), str(error.filename or self._directory), DISK)

    def _clean(self) -> None:
        try:
            for stray in [*strays(self._directory)]:
                stray.unlink()
            self._parts = {*_parts(self._directory)}
        except OSError as error:
            raise self._failed(error) from error

    def has(self, entry: Entry) -> bool:
        """Whether this file is there already."""
        size, digest = entry.expected
        path = self._directory / entry.path
        try:
            found = path.lstat()
            if not S_ISREG(found.st_mode) or found.st_size != size:
                return False
            return not self._verify or _sha256(path) == digest
        except (OSError, ValueError):  # a name that the locale's encoding does not have: told by its consumer
            return False

    def consumer(self, entry: Entry) -> ToFile:
        """For a file that is not there; it goes on with what an earlier run left of it."""
        self._parts.discard(entry.path)
        return ToFile(entry.path, root=self._directory, part=True)

    def complete(self) -> None:
        """Every line of the manifest was read: whatever parts nobody asked for will never be."""
        for path in self._parts:
            part, beside = self._directory / (path + PART), self._directory / (path + NOTE)
            note = _note(beside)
            if note is None:  # a file of the manifest has come to stand there
                continue
            with suppress(OSError):
                if part.lstat().st_ino == note.inode:
                    part.unlink()
            with suppress(OSError):
                beside.unlink()

    def save(self, name: str, manifest: BinaryIO) -> None:
        """
        Put the manifest itself beside its files, when all of them are there.

        @raise Failed: the disk does not take it.
        """
        path, temporary = self._directory / name, self._directory / temporary_name(name)
        try:
            with temporary.open("xb") as new:
                manifest.seek(0)
                copyfileobj(manifest, new)
                new.flush()
                os.fsync(new.fileno())
            with suppress(FileNotFoundError):
                if S_ISREG(path.lstat().st_mode) and _sha256(path) == _sha256(temporary):
                    return
            temporary.replace(path)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            temporary.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _locked(path: Path) -> int:
    """A descriptor that holds the lock.  Whoever holds it unlinks the file, so it may be gone when we have it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.lstat()):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _parts(directory: Path) -> Iterator[str]:
    """Files that an earlier run began, as paths below the directory."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if name.endswith(NOTE) and _note(path) is not None:
                yield str(path.relative_to(directory)).removesuffix(NOTE)


def _note(path: Path) -> Note | None:
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return Note.read(file.read(LARGEST_NOTE))
    return None
