"""A place on the disk for metadata, while it is read."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import BinaryIO, Self

from ..consumers.around import Around
from ..consumers.file import ToFile
from ..errors import TooLarge
from ..model.source import Head

__all__ = ["Spool"]


class Spool(Around):
    """
    A consumer that keeps one body in a temporary file, so that its size costs no memory.

    Use it as a context manager, and call L{open} inside: when the block is left, the file has no name any more.
    """

    def __init__(self, limit: int | None = None) -> None:
        """
        @param limit: bytes; more fail with L{TooLarge}.  None for no limit.
        """
        self._limit = limit
        self._size = 0
        self._folder = Path(tempfile.mkdtemp(prefix="pulp-dl-"))
        self._path = self._folder / "body"
        super().__init__(ToFile(self._path, durable=False))

    def begin(self, head: Head) -> None:
        self._check(head.length or 0)
        super().begin(head)

    def write(self, data: bytes) -> None:
        self._size += len(data)
        self._check(self._size)
        super().write(data)

    def rewind(self, head: Head) -> None:
        self._size = 0
        self._check(head.length or 0)
        super().rewind(head)

    def _check(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise TooLarge(self._limit)

    def open(self) -> BinaryIO:
        """What came, from its beginning; the caller closes it."""
        return self._path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            rmtree(self._folder)
