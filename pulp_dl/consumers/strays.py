"""What a killed process left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from .atomic import TEMPORARY
from .note import LARGEST_NOTE, NOTE, PART, Note

__all__ = ["strays"]


def strays(directory: str | os.PathLike[str]) -> Iterator[Path]:
    """
    Files of ours below a directory that are of no use to anybody: those with a temporary name, and notes without a
    part.  Parts are not among them.

    Blocks; follows no symlink.  Only who knows that nobody is downloading to this directory may remove them.
    """
    for where, _, names in os.walk(directory):
        here = set(names)
        for name in names:
            alone = name.endswith(NOTE) and name.removesuffix(NOTE) + PART not in here
            if alone or TEMPORARY.fullmatch(name):
                path = Path(where, name)
                with suppress(OSError):
                    if S_ISREG(path.lstat().st_mode) and (not alone or _is_note(path)):
                        yield path


def _is_note(path: Path) -> bool:
    with path.open("rb") as file:
        return Note.read(file.read(LARGEST_NOTE)) is not None
