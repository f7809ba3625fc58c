"""A directory that is to hold what a manifest lists."""

from __future__ import annotations

import fcntl
import hashlib
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import ENOENT, EROFS
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from ..consumers.file import ToFile
from ..consumers.held import is_held
from ..consumers.note import NOTE, PART
from ..consumers.root import SUFFIX
from ..consumers.strays import forget, noted, strays
from ..importers.sums import sum_line
from .outcome import DISK, USAGE, Failed
from .target import NOTHING, make_directory, refused, write_whole

if TYPE_CHECKING:
    from ..importers.file import Entry
    from ..importers.paths import Paths

__all__ = ["Mirror"]

PIECE: Final = 256 * 1024

LOCK: Final = ".lock" + SUFFIX
"""A name that no manifest can have."""

_CAREFUL: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Whoever may write there can put anything in its place: nor is a pipe waited for."""


class Mirror:
    """
    The directory.  All methods block.
    """

    def __init__(self, directory: str, *, verify: bool = False, mtime: bool = False) -> None:
        """
        @param verify: read what is there, in place of looking at its size only.
        @param mtime: give each file that comes the time of last modification that its server tells.
        """
        self.directory = directory
        self._directory = Path(directory)
        self._verify = verify
        self._mtime = mtime
        self._is_inside = lru_cache(1024)(self._look_inside)  # a folder has many files
        self._parts: set[str] = set()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """
        The directory is ours while the block lasts; it is made if it is missing, and what a killed run left is removed.

        @raise Failed: another run is at work in it, or it cannot be used.
        """
        path = self._directory / LOCK
        make_directory(self.directory)
        try:
            fd = _locked(path)
        except BlockingIOError as error:
            raise Failed(
                "another pulp-dl sync is at work there; wait for its end", str(self._directory), DISK
            ) from error
        except OSError as error:
            raise self._unlocked(error, path) from error
        try:
            self._clean()
            yield
        finally:
            with suppress(OSError):
                path.unlink()
            os.close(fd)

    def _unlocked(self, error: OSError, path: Path) -> Failed:
        if error.errno == ENOENT:  # though the directory is there: as in /proc
            return Failed(NOTHING, str(self._directory), DISK)
        if error.errno != EROFS and os.path.lexists(path):
            return Failed("what is there is not ours to lock; remove it if no other run is at work", str(path), DISK)
        return refused(error, str(self._directory))

    def _failed(self, error: OSError) -> Failed:
        return refused(error, str(error.filename or self._directory))

    def _clean(self) -> None:
        with self._looking():
            for stray in strays(self._directory):
                if not stray.name.endswith(NOTE):  # which a manifest may list
                    stray.unlink()
            self._parts = {*_parts(self._directory)}

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """For what goes through all of it."""
        try:
            yield
        except OSError as error:
            raise self._failed(error) from error
        except RecursionError:
            raise Failed("its folders are nested too deep to be looked through", self.directory, DISK) from None

    def look(self, entry: Entry) -> Literal["right", "wrong", "missing"]:
        """What is there of this file.  What a symlink leads to, of the file or of a folder, is not there."""
        size, digest = entry.expected
        path = self._directory / entry.path
        try:
            found = path.lstat()
            if not S_ISREG(found.st_mode) or not self._is_inside(entry.path.rpartition("/")[0]):
                return "missing"
            # A part of another file may be as large as this one by chance.
            verify = self._verify or (entry.path.endswith(PART) and entry.path.removesuffix(PART) in self._parts)
            right = found.st_size == size and (not verify or _sha256(path) == digest)
        except (OSError, ValueError):  # a name that the locale's encoding does not have: told by its consumer
            return "missing"
        return "right" if right else "wrong"

    def _look_inside(self, folder: str) -> bool:
        parts = folder.split("/") if folder else []
        ways = ("/".join(parts[:number]) for number in range(1, len(parts) + 1))
        return all(S_ISDIR((self._directory / way).lstat().st_mode) for way in ways)

    def consumer(self, entry: Entry, with_part: Paths) -> ToFile:
        """
        For a file that is not there; it goes on with what an earlier run left of it.

        @param with_part: what manifests list with C{.part} in it.  What is to come to the place of this file's part, or
            of the note beside it, is not to find one there.
        """
        part = not (with_part.occupies(entry.path + PART) or with_part.occupies(entry.path + NOTE))
        if part:
            self._parts.discard(entry.path)
        return ToFile(entry.path, root=self._directory, part=part, mtime=self._mtime)

    def complete(self, listed: Container[str]) -> None:
        """Every line of the manifest was read: whatever parts nobody asked for will never be."""
        for path in self._parts:
            forget(self._directory / path, lambda file: str(file.relative_to(self._directory)) in listed)

    def save(self, name: str, manifests: Iterable[BinaryIO]) -> None:
        """
        Put the manifest itself beside its files, when all of them are there; of several that have this name, one that
        lists what all of them list.

        @raise Failed: the disk does not take it.
        """
        path = self._directory / name
        try:
            with suppress(FileNotFoundError):
                if S_ISREG(path.lstat().st_mode) and _sha256(path) == _digest(_joined(manifests)):
                    return
        except OSError as error:
            raise self._failed(error) from error
        write_whole(path, _joined(manifests))

    def save_sums(self, name: str, paths: Paths) -> None:
        """
        Write down the digests of all files, for C{sha256sum --check} in the directory.

        @raise Failed: the disk does not take it, or it would take the place of a file of the mirror.
        """
        if self.inside(name) in paths:
            raise Failed("the manifest lists a file of this name; give another --digest-file", name, USAGE)
        write_whole(Path(name), (sum_line(path, what.rpartition(" ")[2]) for path, what in paths))

    def inside(self, name: str) -> str:
        """A path as manifests have it; what is outside begins with C{..}."""
        place = Path(name)
        return os.path.relpath(place.parent.resolve() / place.name, self._directory.resolve())

    def spared(self, wanted: Container[str], names: Container[str]) -> Callable[[str], bool]:
        """
        What stays though no manifest lists it: the lock, these names, what an earlier run left of a wanted file, and
        what another one is at work on.
        """
        with self._looking():
            parts = {part + end for part in _parts(self._directory) if part in wanted for end in (PART, NOTE)}
        return lambda path: path == LOCK or path in names or path in parts or self._is_held(path)

    def ours(self) -> set[str]:
        """What an earlier run left, and will go in any case if nobody goes on with it."""
        with self._looking():
            useless = {str(path.relative_to(self._directory)) for path in strays(self._directory)}
            return useless | {part + end for part in _parts(self._directory) for end in (PART, NOTE)}

    def _is_held(self, path: str) -> bool:
        """A part, its note, or a file with a name of ours, of another process."""
        if path.endswith(NOTE) and is_held(self._directory / (path.removesuffix(NOTE) + PART)):
            return True
        return path.endswith((NOTE, PART, SUFFIX)) and is_held(self._directory / path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(pieces: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for each in pieces:
        found.update(each)
    return found.hexdigest()


def _joined(manifests: Iterable[BinaryIO]) -> Iterator[bytes]:
    """One after the other: lines may be repeated, and a path does not tell which of the manifests it came from."""
    ended = True
    for number, file in enumerate(manifests):
        file.seek(0)
        first = file.read(PIECE)
        if not ended:
            yield b"\n"
        for piece in chain((first.removeprefix(BOM_UTF8) if number else first,), iter(partial(file.read, PIECE), b"")):
            yield piece
            ended = piece.endswith(b"\n") if piece else ended


def _locked(path: Path) -> int:
    """A descriptor that holds the lock.  Whoever holds it unlinks the file, so it may be gone when we have it."""
    while True:
        fd = _opened(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.lstat()):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _opened(path: Path) -> int:
    """Another user who was killed has left a file that we may not write to; to hold its lock that is not needed."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | _CAREFUL, 0o666)
    except PermissionError as error:
        try:
            return os.open(path, os.O_RDONLY | _CAREFUL)
        except FileNotFoundError:  # then it is the directory where we may not write
            raise error from None


def _parts(directory: Path) -> Iterator[str]:
    """Files that an earlier run began, as paths below the directory."""
    return (str(path.relative_to(directory)) for path in noted(directory))
