"""What a killed process left, and what nobody will go on with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from .atomic import TEMPORARY
from .held import ANY, abandoned
from .note import LARGEST_NOTE, NOTE, PART, Note

__all__ = ["forget", "noted", "strays"]


def strays(directory: str | os.PathLike[str]) -> Iterator[Path]:
    """
    Files of ours below a directory that are of no use to anybody: those with a temporary name, and notes without a
    part.  Parts are not among them, nor what a download is at work on; and none begins to while it is yielded.

    Blocks; follows no symlink.
    """
    for path in _named(directory, TEMPORARY.fullmatch):
        with suppress(OSError), abandoned(path):
            yield path
    for path in _named(directory, _is_notes):
        with suppress(OSError), abandoned(path) as fd:
            # Only who holds the note knows that there is no part, and will be none.
            if _note(fd) is not None and not os.path.lexists(str(path).removesuffix(NOTE) + PART):
                yield path


def noted(directory: str | os.PathLike[str]) -> Iterator[Path]:
    """Files below a directory, be they there or not, beside which there is a note of ours."""
    for path in _named(directory, _is_notes):
        with suppress(OSError):
            if _note_at(path) is not None:
                yield Path(str(path).removesuffix(NOTE))


def forget(path: Path, spared: Callable[[Path], bool]) -> None:
    """
    Remove the part of a file, and its note.

    Whatever is no part or note of ours stays, what a download is at work on, and what is spared.
    """
    part, beside = Path(f"{path}{PART}"), Path(f"{path}{NOTE}")
    with suppress(OSError), abandoned(beside) as fd:
        note = _note(fd)
        if note is None:
            return
        try:
            with abandoned(part) as begun:
                if os.fstat(begun).st_ino == note.inode and not spared(part):
                    part.unlink()
        except BlockingIOError:
            return
        except OSError:  # the note has lost its part
            pass
        if not spared(beside):
            beside.unlink()


def _named(directory: str | os.PathLike[str], ours: Callable[[str], object]) -> Iterator[Path]:
    for where, _, names in os.walk(directory):
        for name in filter(ours, names):
            yield Path(where, name)


def _is_notes(name: str) -> bool:
    return name.endswith(NOTE) and name != NOTE


def _note_at(path: Path) -> Note | None:
    fd = os.open(path, ANY)
    try:
        return _note(fd) if S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def _note(fd: int) -> Note | None:
    return Note.read(os.read(fd, LARGEST_NOTE))
