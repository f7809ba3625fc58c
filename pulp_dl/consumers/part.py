"""Files that a later run can go on with."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from errno import EMLINK, ENOSYS, EOPNOTSUPP, EPERM
from functools import partial
from stat import S_ISREG
from typing import Any, Final

from attrs import evolve

from ..errors import ConsumerFailed
from ..model.source import Head, Kept
from .atomic import NewFile, temporary_name
from .held import hold
from .note import LARGEST_NOTE, NOTE, PART, Note, boot
from .root import disk_error

__all__ = ["PartFile"]

CHECKPOINT: Final = 256 * 1024 * 1024
"""Bytes between two fsyncs of a large file: no more than this is lost when the machine goes down."""

STEP: Final = 16 * 1024 * 1024
"""And between two notes of what there is without a hole, while other parts are written further on."""

_PART = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_NOTE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_NOTE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINKS = {EPERM, EOPNOTSUPP, ENOSYS, EMLINK}  # link(2): what file systems say where a file has one name only


class PartFile(NewFile):
    """
    A L{NewFile} that has the name C{NAME.part} while it is made, with a L{Note} beside it.

    A file of another origin that has one of these names is left alone, whenever it came there.  If it was there before,
    or another download is at work on them, the new file is made without a name.
    """

    def __init__(self, *args: Any, looked: bool = False, **kwargs: Any) -> None:
        """
        @param looked: somebody has looked already, and there was nothing.
        """
        super().__init__(*args, **kwargs)
        self._part = self._place.name + PART
        self._beside = self._place.name + NOTE
        self._note: Note | None = None  # there is one, and it speaks of our file
        self._noted: os.stat_result | None = None  # the file that it was read from or written to
        self._size = 0
        self._looked = looked

    def look(self) -> Kept | None:
        """
        Take what an earlier run left, and go on behind it; None if that is nothing.

        @raise ConsumerFailed: another download is writing to it.
        """
        self._looked = True
        self._enter()
        try:
            fd = self._disk.open(self._way + self._part, _PART, dir_fd=self._directory)
        except OSError:  # nothing, or nothing that we may go on with
            return None
        try:
            self._lock(fd)
            found = self._disk.fstat(fd)
            note = self._read_note()
            ours = note is not None and note.inode == found.st_ino and self._named(note)
            ours = ours and self._is_ours(found) and found.st_nlink == 1
        except BaseException:
            self._disk.close(fd)
            raise
        if note is None or not ours:
            self._disk.close(fd)
            return None
        size = found.st_size if note.solid is None else min(found.st_size, note.solid)
        if note.is_old:
            size = min(size, note.synced)
        if not note.useful(size):
            self._forget(note)
            self._disk.close(fd)
            return None
        self._fd, self._temporary, self._note, self._size = fd, self._part, note, size
        self._disk.ftruncate(fd, size)
        self._disk.lseek(fd, size, os.SEEK_SET)
        if note.is_old or note.solid is not None:
            self._write_note(evolve(note, boot=boot(), solid=None))
        return Kept(size, note.head, partial(self._read_again, size))

    def open(self, head: Head) -> None:
        if not self._looked and self.look() is not None:
            self.rewind(head)
        if self._fd >= 0:
            return
        self._enter()
        self._create()
        if self._free():
            self._take_names(head)

    def write(self, pieces: Sequence[bytes]) -> None:
        super().write(pieces)
        self._size += sum(map(len, pieces))
        if self._durable and self._note is not None and self._size - self._note.synced >= CHECKPOINT:
            self._disk.fsync(self._fd)
            self._write_note(evolve(self._note, boot=boot(), synced=self._size, solid=self._solid()))
        elif self._note is not None and self._note.solid is not None and self._size - self._note.solid >= STEP:
            self._write_note(evolve(self._note, solid=self._size))

    def _solid(self) -> int | None:
        assert self._note is not None
        return None if self._note.solid is None else self._size

    def patch(self, offset: int, pieces: Sequence[bytes]) -> None:
        if self._note is not None and self._note.solid is None and offset > self._size:
            self._write_note(evolve(self._note, solid=self._size))  # before there is a hole
        super().patch(offset, pieces)

    def seek(self, offset: int) -> None:
        super().seek(offset)
        self._size = offset
        if self._note is not None and self._note.solid is not None:
            self._write_note(evolve(self._note, solid=offset))

    def rewind(self, head: Head) -> None:
        super().rewind(head)
        self._size = 0
        if self._note is not None:
            self._write_note(Note.of(head, self._note.inode))

    def finish(self, pieces: Sequence[bytes], head: Head, modified: float | None = None) -> None:
        if not self._looked and self.look() is not None:
            self.rewind(head)
        super().finish(pieces, head, modified)

    def discard(self, *, keep: bool = False) -> None:
        """
        @param keep: leave what is there for a later run, if it can be of use.
        """
        note = self._note
        if note is not None and keep and note.solid is not None:
            with suppress(OSError):  # what the note says is true in any case
                self._disk.ftruncate(self._fd, self._size)
                self._write_note(evolve(note, solid=None))
        self._note = None
        if note is not None:
            if self._temporary == self._part:
                self._temporary = None  # this name is not unlinked unseen
            if not (keep and note.useful(self._size) and self._is_noted(note)):
                self._forget(note)
        super().discard()

    # the steps

    def _publish(self) -> None:
        if self._note is None:
            super()._publish()
            return
        if not self._named(self._note):
            raise ConsumerFailed(f"{self._place.path + PART!r}: somebody put another file there, or removed it")
        # The lock is held until it has its own name: nobody goes on with a file that is whole.
        self._move(self._part, self._place.name)
        self._temporary = None
        self._drop_note(self._note)
        self._note = None

    def _forget(self, note: Note) -> None:
        """The part first: a part without a note would never be taken for ours again."""
        with suppress(OSError):
            if self._named(note):
                self._disk.unlink(self._way + self._part, dir_fd=self._directory)
            self._drop_note(note)

    def _drop_note(self, note: Note) -> None:
        """If another file has its name by now, that stays."""
        if self._is_noted(note):
            self._unlink(self._beside)

    def _is_noted(self, note: Note) -> bool:
        """Is what is beside the part still our note?  Another may have got the inode of one that somebody removed."""
        if not self._is_there(self._beside, self._noted):
            return False
        there = self._read_note()
        return there is not None and there.inode == note.inode

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._disk.unlink(self._way + name, dir_fd=self._directory)

    def _free(self) -> bool:
        """Are both names to be had?  A note that has lost its part is removed."""
        if not self._nothing_at(self._part):
            return False
        try:
            fd = self._disk.open(self._way + self._beside, _OLD_NOTE, dir_fd=self._directory)
        except FileNotFoundError:
            return True
        except OSError:  # what is there is no file, or the name is too long
            return False
        try:
            found = self._disk.fstat(fd)
            lost = self._note_in(fd, found) is not None and hold(fd)
            # It is held until the part has its name, so only now it is known that there is none.
            if not (lost and self._nothing_at(self._part) and self._is_there(self._beside, found)):
                return False
            self._unlink(self._beside)
            return True
        finally:
            self._disk.close(fd)

    def _take_names(self, head: Head) -> None:
        """
        The note's first, since a part without a note would never be taken for ours again.  Whoever finds one of them
        taken makes the file without a name.
        """
        self._lock(self._fd)
        note = Note.of(head, self._disk.fstat(self._fd).st_ino)
        fd, temporary = self._new(0o600)
        try:
            self._fill(fd, note)
            hold(fd)
            self._name(fd, temporary, self._beside)
            temporary = None
            self._note, self._noted = note, self._disk.fstat(fd)
            if self._temporary is None:
                self._link(self._fd, self._part)
            else:
                self._move(self._temporary, self._part)
            self._temporary = self._part
        except FileExistsError:
            if self._note is not None:
                self._drop_note(self._note)
            self._note = None
            return
        finally:
            with suppress(OSError):
                if temporary is not None:
                    self._unlink(temporary)
            self._disk.close(fd)
        self._sync()

    def _name(self, fd: int, temporary: str | None, name: str) -> None:
        """Give a new file this name, unless something has it."""
        if temporary is None:
            self._link(fd, name)
            return
        way, directory = self._way, self._directory
        try:
            self._disk.link(way + temporary, way + name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._move(temporary, name)
        else:
            self._unlink(temporary)

    def _is_ours(self, found: os.stat_result) -> bool:
        """Nobody else can write to it."""
        return S_ISREG(found.st_mode) and found.st_uid == os.geteuid()

    def _nothing_at(self, name: str) -> bool:
        try:
            self._disk.lstat(self._way + name, dir_fd=self._directory)
        except FileNotFoundError:
            return True
        except OSError:  # too long a name
            return False
        return False

    def _is_there(self, name: str, file: os.stat_result | None) -> bool:
        """Does the name lead to this file?"""
        try:
            found = self._disk.lstat(self._way + name, dir_fd=self._directory)
        except OSError:
            return False
        return file is not None and os.path.samestat(found, file)

    def _named(self, note: Note) -> bool:
        """Does the part's name still lead to the file that the note speaks of?"""
        try:
            return bool(self._disk.lstat(self._way + self._part, dir_fd=self._directory).st_ino == note.inode)
        except FileNotFoundError:
            return False

    def _lock(self, fd: int) -> None:
        """Until it is closed, however that happens.  An earlier download of ours may be about to let go of it."""
        for _ in range(20):
            if hold(fd):
                return
            time.sleep(0.05)
        raise ConsumerFailed(f"{self._place.path + PART!r}: another download is writing to it; wait for its end")

    def _read_note(self) -> Note | None:
        try:
            fd = self._disk.open(self._way + self._beside, _OLD_NOTE, dir_fd=self._directory)
        except OSError:
            return None
        try:
            self._noted = self._disk.fstat(fd)
            return self._note_in(fd, self._noted)
        finally:
            self._disk.close(fd)

    def _note_in(self, fd: int, found: os.stat_result) -> Note | None:
        return Note.read(self._disk.read(fd, LARGEST_NOTE)) if self._is_ours(found) else None

    def _write_note(self, note: Note) -> None:
        """In the place of the one before, whole or not at all; in the place of nothing else."""
        self._note = note
        if not self._is_noted(note):
            return
        temporary = temporary_name(self._place.name)
        fd = self._disk.open(self._way + temporary, _NEW_NOTE, 0o600, dir_fd=self._directory)
        try:
            hold(fd)
            self._fill(fd, note)
            self._move(temporary, self._beside)
            self._noted = self._disk.fstat(fd)
        except BaseException:
            with suppress(OSError):
                self._unlink(temporary)
            raise
        finally:
            self._disk.close(fd)

    def _fill(self, fd: int, note: Note) -> None:
        data = memoryview(note.text())
        while data:
            data = data[self._disk.write(fd, data) :]
        if self._durable:
            self._disk.fsync(fd)

    def _sync(self) -> None:
        if self._durable:
            self._disk.fsync(self._directory)

    def _read_again(self, size: int) -> Iterator[bytes]:
        """For a worker thread; ends when the file is discarded."""
        try:
            yield from self.read(0, size)
        except OSError as error:
            raise disk_error(error, self._place.path + PART) from error
