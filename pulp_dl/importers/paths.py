"""Which paths were named so far, however many they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from ..errors import ConsumerFailed

__all__ = ["Listed", "Paths"]


class Listed(NamedTuple):
    """
    Where a path was named first.

    @ivar what: what it stands for, as it was given to L{Paths.add}.
    @ivar line: the number of the line.
    @ivar origin: what the line is in.
    """

    what: str
    line: int
    origin: str


class Paths:
    """
    Paths, and what each of them stands for.

    They are kept on the disk, in a temporary database without a name, so that memory does not grow with them.  Use it
    as a context manager.  All methods raise L{ConsumerFailed} if the disk does not take it.
    """

    def __init__(self) -> None:
        # An empty name is a private file without a name, of which SQLite keeps a few pages in memory.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "CREATE TABLE paths (path BLOB PRIMARY KEY, what TEXT, line INTEGER, origin INTEGER) WITHOUT ROWID",
            "BEGIN",
        ):
            self._execute(statement)
        self._origins: list[str] = []

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise _refused(error) from error

    def add(self, path: str, what: str, line: int = 0, origin: str = "") -> Listed | None:
        """
        Note it, unless it is there already.

        @return: where it was named first, or None if that was now.
        """
        if not self._origins or self._origins[-1] != origin:
            self._origins.append(origin)
        row = _key(path), what, line, len(self._origins) - 1
        if self._execute("INSERT OR IGNORE INTO paths VALUES (?, ?, ?, ?)", row).rowcount:
            return None
        return self.get(path)

    def get(self, path: str) -> Listed | None:
        """Where it was named first, or None."""
        found = self._execute("SELECT what, line, origin FROM paths WHERE path = ?", (_key(path),)).fetchone()
        return None if found is None else Listed(found[0], found[1], self._origins[found[2]])

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        found = self._execute("SELECT 1 FROM paths WHERE path = ?", (_key(path),)).fetchone()
        return found is not None

    def occupies(self, path: str) -> bool:
        """Whether it was named, or anything in a folder of this name."""
        return path in self or self.holds(path)

    def holds(self, folder: str) -> bool:
        """Whether anything was named in a folder of this name."""
        key = _key(folder)
        within = key + b"/", key + b"0"  # the next byte
        found = self._execute("SELECT 1 FROM paths WHERE path > ? AND path < ? LIMIT 1", within)
        return found.fetchone() is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Each path and what it stands for, in the order of their bytes."""
        for path, what in self._execute("SELECT path, what FROM paths ORDER BY path"):
            yield path.decode("utf-8", "surrogatepass"), what

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _key(path: str) -> bytes:
    # A name on a disk need not be UTF-8; Python then has surrogates in it.
    return path.encode("utf-8", "surrogatepass")


def _refused(error: sqlite3.Error) -> ConsumerFailed:
    return ConsumerFailed(
        f"temporary database: {error}; make room for it, or name a directory that has room in SQLITE_TMPDIR or TMPDIR"
    )
