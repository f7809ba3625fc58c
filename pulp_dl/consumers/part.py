"""Files that a later run can go on with."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from errno import EWOULDBLOCK
from functools import lru_cache, partial
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from attrs import asdict, evolve, field, frozen
from attrs.validators import ge, in_, instance_of, optional

from ..errors import ConsumerFailed
from ..model.fingerprint import fingerprint
from ..model.source import Head, Kept
from .atomic import NewFile, temporary_name
from .root import disk_error

__all__ = ["LARGEST_NOTE", "NOTE", "PART", "Note", "PartFile"]

PART: Final = ".part"
"""What is added to the name of a file for the bytes that are there so far."""

NOTE: Final = ".part.json"
"""And for what is known of them."""

CHECKPOINT: Final = 256 * 1024 * 1024
"""Bytes between two fsyncs of a large file: no more than this is lost when the machine goes down."""

STEP: Final = 16 * 1024 * 1024
"""And between two notes of what there is without a hole, while other parts are written further on."""

_PART = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_NOTE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_NOTE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
LARGEST_NOTE: Final = 512 * 1024  # bytes; a head has 128 KiB at most

_TEXT = instance_of(str)
_COUNT = [instance_of(int), ge(0)]


@frozen
class Note:
    """
    What is known of a part, as it is written beside it: enough to ask for the rest, and no secret.

    @ivar inode: of the part; so a file that got the part's name by chance is not taken for it.
    @ivar boot: of the machine.  When that is another one now, only what was synced is surely on the disk.
    @ivar synced: how many bytes that is.
    @ivar place: L{fingerprint} of the URL.
    @ivar solid: if something was written further on: how many bytes there are from the beginning without a hole.
    """

    inode: int = field(validator=_COUNT)
    boot: str = field(validator=_TEXT)
    synced: int = field(validator=_COUNT)
    place: str = field(validator=_TEXT)
    status: int = field(validator=_COUNT)
    length: int | None = field(validator=optional(_COUNT))
    total: int | None = field(validator=optional(_COUNT))
    etag: str | None = field(validator=optional(_TEXT))
    modified: str | None = field(validator=optional(_TEXT))
    date: str | None = field(validator=optional(_TEXT))
    format: int = field(default=1, validator=in_({1}))
    solid: int | None = field(default=None, validator=optional(_COUNT))

    @classmethod
    def of(cls, head: Head, inode: int) -> Note:
        known = head.validators
        return cls(
            inode=inode,
            boot=_boot(),
            synced=0,
            place=fingerprint(head.url),
            status=head.status,
            length=head.length,
            total=head.total,
            etag=_text(known.etag),
            modified=_text(known.modified),
            date=_text(known.date),
        )

    @classmethod
    def read(cls, data: bytes) -> Note | None:
        """None if this is not ours."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError, RecursionError):
            return None

    @property
    def head(self) -> Head:
        """What it stands for; C{url} is a fingerprint, of the headers there are only the validators."""
        texts = ((b"ETag", self.etag), (b"Last-Modified", self.modified), (b"Date", self.date))
        headers = tuple((name, text.encode("latin-1", "replace")) for name, text in texts if text is not None)
        return Head(self.place, self.status, headers, self.length, None, self.total)

    def useful(self, size: int) -> bool:
        """Can a file that has these first bytes be completed?"""
        total = self.total if self.total is not None else self.length
        return self.head.whole and size > 0 and (total is None or size <= total)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


@lru_cache(1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


class PartFile(NewFile):
    """
    A L{NewFile} that has the name C{NAME.part} while it is made, with a L{Note} beside it.

    A file of another origin that has one of these names is left alone; the new file is then made without a name.
    """

    def __init__(self, *args: Any, looked: bool = False, **kwargs: Any) -> None:
        """
        @param looked: somebody has looked already, and there was nothing.
        """
        super().__init__(*args, **kwargs)
        self._part = self._place.name + PART
        self._beside = self._place.name + NOTE
        self._note: Note | None = None  # there is one, and it speaks of our file
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
            ours = note is not None and note.inode == found.st_ino and self._is_ours(found) and self._named(note)
        except BaseException:
            self._disk.close(fd)
            raise
        if note is None or not ours:
            self._disk.close(fd)
            return None
        size = found.st_size if note.solid is None else min(found.st_size, note.solid)
        if note.boot != _boot():
            size = min(size, note.synced)
        if not note.useful(size):
            self._forget(note)
            self._disk.close(fd)
            return None
        self._fd, self._temporary, self._note, self._size = fd, self._part, note, size
        self._disk.ftruncate(fd, size)
        self._disk.lseek(fd, size, os.SEEK_SET)
        if note.boot != _boot() or note.solid is not None:
            self._write_note(evolve(note, boot=_boot(), solid=None))
        return Kept(size, note.head, partial(self._read_again, size))

    def open(self, head: Head) -> None:
        if not self._looked and self.look() is not None:
            self.rewind(head)
        if self._fd >= 0:
            return
        self._enter()
        self._create()
        if not self._free():
            return
        self._lock(self._fd)
        self._write_note(Note.of(head, self._disk.fstat(self._fd).st_ino))
        if self._temporary is None:
            self._link(self._part)
        else:
            self._move(self._temporary, self._part)
        self._temporary = self._part
        self._sync()

    def write(self, pieces: Sequence[bytes]) -> None:
        super().write(pieces)
        self._size += sum(map(len, pieces))
        if self._durable and self._note is not None and self._size - self._note.synced >= CHECKPOINT:
            self._disk.fsync(self._fd)
            self._write_note(evolve(self._note, boot=_boot(), synced=self._size, solid=self._solid()))
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
            if not (keep and note.useful(self._size)):
                self._forget(note)
        super().discard()

    # the steps

    def _publish(self) -> None:
        if self._note is None:
            super()._publish()
            return
        if not self._named(self._note):
            raise ConsumerFailed(f"{self._place.path + PART!r}: somebody put another file there")
        # The lock is held until it has its own name: nobody goes on with a file that is whole.
        self._move(self._part, self._place.name)
        self._temporary = None
        self._disk.unlink(self._way + self._beside, dir_fd=self._directory)
        self._note = None

    def _forget(self, note: Note) -> None:
        """The part first: a part without a note would never be taken for ours again."""
        with suppress(OSError):
            if self._named(note):
                self._disk.unlink(self._way + self._part, dir_fd=self._directory)
            self._disk.unlink(self._way + self._beside, dir_fd=self._directory)

    def _free(self) -> bool:
        """Are both names ours to use?"""
        try:
            self._disk.lstat(self._way + self._part, dir_fd=self._directory)
        except FileNotFoundError:
            pass
        except OSError:  # too long a name
            return False
        else:
            return False
        try:
            self._disk.lstat(self._way + self._beside, dir_fd=self._directory)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return self._read_note() is not None

    def _is_ours(self, found: os.stat_result) -> bool:
        """Nobody else can write to it or has put it there for us."""
        return S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1

    def _named(self, note: Note) -> bool:
        """Does the part's name still lead to the file that the note speaks of?"""
        try:
            return bool(self._disk.lstat(self._way + self._part, dir_fd=self._directory).st_ino == note.inode)
        except FileNotFoundError:
            return False

    def _lock(self, fd: int) -> None:
        """Until it is closed, however that happens.  An earlier download of ours may be about to let go of it."""
        for _ in range(20):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno != EWOULDBLOCK:  # this file system has no locks
                    return
                time.sleep(0.05)
            else:
                return
        raise ConsumerFailed(f"{self._place.path + PART!r}: another download is writing to it; wait for its end")

    def _read_note(self) -> Note | None:
        try:
            fd = self._disk.open(self._way + self._beside, _OLD_NOTE, dir_fd=self._directory)
        except OSError:
            return None
        try:
            if not self._is_ours(self._disk.fstat(fd)):
                return None
            return Note.read(self._disk.read(fd, LARGEST_NOTE))
        finally:
            self._disk.close(fd)

    def _write_note(self, note: Note) -> None:
        """Whole or not at all."""
        temporary = temporary_name(self._place.name)
        fd = self._disk.open(self._way + temporary, _NEW_NOTE, 0o600, dir_fd=self._directory)
        try:
            try:
                data = memoryview(json.dumps(asdict(note), indent=1).encode("ascii"))
                while data:
                    data = data[self._disk.write(fd, data) :]
                if self._durable:
                    self._disk.fsync(fd)
            finally:
                self._disk.close(fd)
            self._move(temporary, self._beside)
        except BaseException:
            with suppress(OSError):
                self._disk.unlink(self._way + temporary, dir_fd=self._directory)
            raise
        self._note = note

    def _sync(self) -> None:
        if self._durable:
            self._disk.fsync(self._directory)

    def _read_again(self, size: int) -> Iterator[bytes]:
        """For a worker thread; ends when the file is discarded."""
        try:
            yield from self.read(0, size)
        except OSError as error:
            raise disk_error(error, self._place.path + PART) from error
