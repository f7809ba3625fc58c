"""
What is published, in an SQLite file: paths, what they have to be, and where they may be had.

No secret is in it: a remote has a name there, and whoever reads it knows what the name means.

Everything here blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from attrs import field, frozen

from ..model.entry import Entry
from .schema import CatalogueError

__all__ = ["POLICIES", "Ledger", "Listed", "Place", "Publication"]

BATCH: Final = 1000

POLICIES: Final = ("immediate", "on_demand", "streamed")
"""When a file is stored: before it is published, when somebody first asks for it, never."""


@frozen
class Place:
    """
    Where the files of a repository may be had.

    @ivar url: a directory, with a slash at its end and without secrets.
    @ivar remote: the name of the settings to use there; None for none.
    """

    url: str
    remote: str | None = None


def _base(value: str) -> str:
    if not value.startswith("/") or not value.endswith("/"):
        raise CatalogueError(f"{value!r} is no directory to publish at; it begins and ends with a slash")
    names = value[1:-1].split("/") if len(value) > 1 else []
    if not value.isprintable() or {"", ".", ".."} & {*names}:
        raise CatalogueError(f"{value!r} is no directory to publish at; its names are plain ones")
    return value


def _policy(value: str) -> str:
    if value not in POLICIES:
        raise CatalogueError(f"policy: {value!r} is unknown; use one of {', '.join(POLICIES)}")
    return value


@frozen
class Publication:
    """
    A repository as it was when it was published.

    @ivar base: the path that its files are below, such as C{"/files/"}.
    @ivar places: where they may be had, best first.
    @ivar published: seconds since the epoch.
    @ivar files: how many, and C{size}: bytes of all of them together.
    """

    base: str = field(converter=_base)
    policy: str = field(converter=_policy)
    places: tuple[Place, ...]
    published: float = 0.0
    files: int = 0
    size: int = 0


@frozen
class Listed:
    """
    A file of a publication.

    @ivar path: below the publication's base.
    @ivar href: its URL, relative to each of the publication's places; or an absolute one, which is taken for what a
        server named: it gets no secrets, unless it is of the origin of its place, and may not lead closer to us.
    @ivar others: pairs of algorithm and value of other digests.
    @ivar kept: it has a copy of its own with the catalogue, which stays as long as it is published.
    @ivar mutable: with the next publication there is another one, as of the list of the others.
    """

    path: str
    href: str
    size: int | None
    sha256: str | None
    others: tuple[tuple[str, str], ...] = ()
    kept: bool = False
    mutable: bool = False


class Ledger:
    """
    The questions and the changes.  Each method is one transaction.

    Readers never wait, not even for somebody who publishes, and see a publication before or after a change, never in
    between.
    """

    def __init__(self, connection: Any) -> None:
        """
        @param connection: one that was prepared, by C{schema.opened} or C{schema.prepare}.
        """
        self._connection = connection

    # changes

    def publish(self, publication: Publication, files: Iterable[Listed]) -> Publication:
        """
        Put a publication in place of the one that is at its base now.  Returns it, counted.

        @param files: read lazily, and held nowhere.  Of two with the same path the last one counts.
        @raise CatalogueError: it would be inside of another one, or around it; or a size is no size.  What was there
            stays.  The same holds for whatever C{files} raise.
        """
        with self.changing() as connection:
            self._check_alone(publication.base)
            connection.execute("DELETE FROM publications WHERE base = ?", (publication.base,))
            statement = "INSERT INTO publications (base, policy, published) VALUES (?, ?, ?)"
            values = publication.base, publication.policy, publication.published
            key = connection.execute(statement, values).lastrowid
            places = ((key, rank, place.url, place.remote) for rank, place in enumerate(publication.places))
            connection.executemany("INSERT INTO places VALUES (?, ?, ?, ?)", places)
            rows = ((key, *_row(each)) for each in files)
            while batch := [*islice(rows, BATCH)]:
                try:
                    connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", batch)
                except OverflowError:
                    raise CatalogueError("a file of more than 2**63 bytes") from None
            connection.execute(_COUNT, (key, key, key))
            found, *_ = self._publications("WHERE id = ?", key)
            return found

    def unpublish(self, base: str) -> bool:
        """Take a publication away.  False if there is none."""
        with self.changing() as connection:
            return bool(connection.execute("DELETE FROM publications WHERE base = ?", (base,)).rowcount)

    @contextmanager
    def changing(self) -> Iterator[Any]:
        """Nobody else changes anything while the block lasts."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
        except sqlite3.Error as error:
            raise CatalogueError(f"the catalogue cannot be changed: {error}") from error

    def _check_alone(self, base: str) -> None:
        """
        No repository is inside another: a client of the outer one would see a mix of both.
        """
        for (other,) in self._connection.execute("SELECT base FROM publications WHERE base <> ?", (base,)):
            if base.startswith(other) or other.startswith(base):
                raise CatalogueError(f"{base} cannot be published: {other} is, and neither may be inside the other")

    # questions

    def publications(self) -> list[Publication]:
        """All there are, in the order of their bases."""
        with self._reading():
            return [*self._publications("ORDER BY base")]

    def find(self, path: str) -> tuple[Publication, Listed]:
        """
        The file of this path.

        @raise KeyError: none is published there.
        """
        (found,) = self.find_all([path])
        if found is None:
            raise KeyError(path)
        return found

    def find_all(self, paths: Iterable[str]) -> list[tuple[Publication, Listed] | None]:
        """The files of these paths, all of the same moment; None for each where none is published."""
        with self._reading():
            around: tuple[int, Publication] | None = None
            found: list[tuple[Publication, Listed] | None] = []
            for path in paths:
                # The last one was asked for just now; and no other one is inside of it.
                if around is None or not path.startswith(around[1].base):
                    around = self._around(path)
                found.append(None if around is None else self._in(*around, path))
            return found

    def _in(self, key: int, publication: Publication, path: str) -> tuple[Publication, Listed] | None:
        names = path[len(publication.base) :]
        try:
            row = self._connection.execute(_FILE + " AND path = ?", (key, names)).fetchone()
        except UnicodeEncodeError:  # bytes that are no UTF-8, which no manifest can name
            return None
        return None if row is None else (publication, _listed(row))

    def directory(self, path: str) -> list[Entry]:
        """
        What is in a directory, in the order of names.

        @param path: it ends with a slash.
        @raise KeyError: there is no such directory.
        """
        with self._reading():
            found = self._around(path)
            entries = self._above(path) if found is None else self._inside(path, *found)
        if not entries:
            raise KeyError(path)
        return entries

    def keeps(self, sha256: str) -> bool:
        """Is a file with this digest one that the catalogue keeps itself?"""
        row = self._connection.execute("SELECT 1 FROM files WHERE sha256 = ? AND kept LIMIT 1", (sha256,)).fetchone()
        return row is not None

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Several questions about the same moment."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.rollback()
        except sqlite3.Error as error:
            raise CatalogueError(f"the catalogue cannot be read: {error}") from error

    def _around(self, path: str) -> tuple[int, Publication] | None:
        """
        The publication that a path belongs to.

        No base begins with another one.  So if one of them begins the path, no other one stands between it and the
        path in alphabetical order: that would have to begin with it.
        """
        try:
            row = self._connection.execute(_AROUND, (path,)).fetchone()
        except UnicodeEncodeError:  # bytes that are no UTF-8, which no manifest can name
            return None
        if row is None or not path.startswith(row[1]):
            return None
        return row[0], self._publication(row)

    def _publications(self, condition: str, *values: object) -> Iterator[Publication]:
        rows = self._connection.execute(f"{_PUBLICATIONS} {condition}", values).fetchall()
        return map(self._publication, rows)

    def _publication(self, row: Any) -> Publication:
        key, base, policy, published, files, size = row
        places = self._connection.execute("SELECT url, remote FROM places WHERE publication = ? ORDER BY rank", (key,))
        return Publication(base, policy, tuple(Place(*each) for each in places), published, files, size)

    def _above(self, path: str) -> list[Entry]:
        """The directories that lead to publications."""
        rows = self._connection.execute("SELECT base FROM publications ORDER BY base").fetchall()
        below = (base.removeprefix(path) for (base,) in rows if base.startswith(path))
        return [Entry(name) for name in dict.fromkeys(rest.partition("/")[0] + "/" for rest in below)]

    def _inside(self, path: str, key: int, publication: Publication) -> list[Entry]:
        """
        One level of the paths of a publication: a directory is jumped over, however much is in it.
        """
        start = path.removeprefix(publication.base)
        entries: list[Entry] = []
        after: str | None = start
        while after is not None:
            rows, after = self._connection.execute(_LEVEL, (key, after)), None
            for name, size in rows:
                if not name.startswith(start):
                    break
                first, slash, _ = name.removeprefix(start).partition("/")
                entries.append(Entry(first + slash, None if slash else size, publication.published))
                if slash:
                    after = f"{start}{first}0"  # which comes after all that begins with a slash
                    break
        return entries


_PUBLICATIONS: Final = "SELECT id, base, policy, published, files, size FROM publications"
_AROUND: Final = f"{_PUBLICATIONS} WHERE base <= ? ORDER BY base DESC LIMIT 1"
_FILE: Final = "SELECT path, href, size, sha256, others, kept, mutable FROM files WHERE publication = ?"
_LEVEL: Final = "SELECT path, size FROM files WHERE publication = ? AND path >= ? ORDER BY path"
_COUNT: Final = """
    UPDATE publications SET files = (SELECT count(*) FROM files WHERE publication = ?),
    size = (SELECT CAST(total(size) AS INTEGER) FROM files WHERE publication = ?) WHERE id = ?
"""


def _row(file: Listed) -> tuple[object, ...]:
    href = None if file.href == quote(file.path) else file.href
    others = " ".join(":".join(each) for each in file.others)
    return file.path, href, file.size, file.sha256, others or None, file.kept, file.mutable


def _listed(row: Any) -> Listed:
    path, href, size, sha256, others, kept, mutable = row
    digests: tuple[tuple[str, str], ...] = ()
    if others is not None:
        digests = tuple((algorithm, value) for algorithm, _, value in (each.partition(":") for each in others.split()))
    return Listed(path, quote(path) if href is None else href, size, sha256, digests, bool(kept), bool(mutable))
