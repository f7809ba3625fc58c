"""The tables of a catalogue, and the way to one."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OPTIONS", "CatalogueError", "opened", "prepare"]

APPLICATION: Final = 0x70756C70  # "pulp"
VERSION: Final = 2

PATIENCE: Final = 60
"""Seconds to wait for another process that writes."""

OPTIONS: Final = {"timeout": PATIENCE, "isolation_level": None}
"""For C{sqlite3.connect}: transactions begin where we say so, and nowhere else."""

_TABLES: Final = """
    CREATE TABLE publications (
        id INTEGER PRIMARY KEY,
        base TEXT NOT NULL UNIQUE,
        policy TEXT NOT NULL,
        published REAL NOT NULL,
        files INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE places (
        publication INTEGER NOT NULL REFERENCES publications ON DELETE CASCADE,
        rank INTEGER NOT NULL,
        url TEXT NOT NULL,
        remote TEXT,
        PRIMARY KEY (publication, rank)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE files (
        publication INTEGER NOT NULL REFERENCES publications ON DELETE CASCADE,
        path TEXT NOT NULL,
        href TEXT,
        size INTEGER,
        sha256 TEXT,
        others TEXT,
        kept INTEGER NOT NULL,
        mutable INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (publication, path)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kept ON files (sha256) WHERE kept;
"""

_UPGRADES: Final = {
    # What was published before is not told apart until it is published again.
    1: "ALTER TABLE files ADD COLUMN mutable INTEGER NOT NULL DEFAULT 0",
}
"""What makes a catalogue of this version one of the next."""


class CatalogueError(Exception):
    """The catalogue cannot be used, or does not take what it is to take; the message says what to do."""


def prepare(connection: Any) -> None:
    """
    Make a new connection ready, and the tables if there are none, or older ones.  Closes it if it is no good.

    @raise CatalogueError: this is no catalogue, or that of a newer pulp_dl.
    """
    try:
        _prepare(connection)
    except sqlite3.Error as error:
        connection.close()
        raise CatalogueError(f"this file is no catalogue that can be used: {error}") from error
    except BaseException:
        connection.close()
        raise


def _prepare(connection: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    if _version(connection) == VERSION:
        return
    connection.execute("PRAGMA journal_mode = WAL")  # so readers never wait; the file remembers it
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # somebody else may have been here meanwhile
        steps = [_UPGRADES[each] for each in range(version, VERSION)] if version else _TABLES.split(";")
        for statement in steps:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _version(connection: Any) -> int:
    """Of the tables that are there; 0 if there are none."""
    ((application,),) = connection.execute("PRAGMA application_id")
    ((version,),) = connection.execute("PRAGMA user_version")
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_schema")
    if application == 0 and tables == 0:
        return 0
    if application != APPLICATION:
        raise CatalogueError("this is a database, but no catalogue; give the catalogue another file")
    if version > VERSION:
        raise CatalogueError(f"this catalogue is of version {version}, and a newer pulp_dl made it; update this one,"
                             f" which knows version {VERSION}")  # fmt: skip
    return int(version)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """
    A connection of one's own, for a thread that may wait.

    @raise CatalogueError: it cannot be used.
    """
    try:
        connection = sqlite3.connect(path, **OPTIONS)  # type: ignore[call-overload]  # the options are those of adbapi, too
    except sqlite3.Error as error:
        raise CatalogueError(f"{path}: {error}") from error
    with closing(connection):
        try:
            prepare(connection)
        except CatalogueError as error:
            raise CatalogueError(f"{path}: {error}") from error.__cause__
        yield connection
