"""What was learnt of mirrors, kept in a file from one process to the next."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from twisted.logger import Logger

from ..consumers.atomic import NewFile
from ..consumers.root import DIRECTORY, locate
from ..errors import DownloadError
from ..interfaces import IMirrors
from ..mirrors.merged import merged
from ..mirrors.scores import Scores
from ..model.source import Head

__all__ = ["KeepingError", "Learnt"]

log = Logger()

MOST: Final = 100
"""Lists of mirrors that one file tells of; what was not used for the longest goes first."""

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a file that is read or written; a thousand hosts of one list have a hundredth of that."""

PATIENCE: Final = 3.0
"""Seconds for which others may write before us.  They need a hundredth of that, unless somebody has stopped them."""

_CLOSED: Final = {"failures": 0, "cooldown": 0, "wait": 0}

State = Mapping[str, Any]


class KeepingError(Exception):
    """What was learnt cannot be read, or not be kept.  The message names the file, and says what to do."""


class Learnt:
    """
    The orders of a process that learn, by the names of what they put in order, and one file of all they have learnt.

    Several processes may have the same file: each writes what it has learnt beside what others have, and of one host
    what was learnt last.  No URL in it has a secret.  Circuits are not kept: who begins anew may find that the network
    is back.

    C{load} and C{save} block, the others do not.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, warn: Callable[[str], object] | None = None) -> None:
        """
        @param path: the file, which need not be there, or a symlink to it, which stays one; None for nowhere.
        @param warn: is told what of the file is of no use, for people; None for the log.
        """
        self.path = None if path is None else Path(path)
        with suppress(OSError, RuntimeError):  # who reads it tells
            if self.path is not None and self.path.is_symlink():
                self.path = self.path.resolve()
        self._warn = warn or _log
        self._kept: dict[str, Any] = {}
        self._living: dict[str, Scores] = {}

    def successor(self, path: str | os.PathLike[str] | None) -> Learnt:
        """For others who go on with what is known, and keep it there.  What they learn is theirs."""
        found = Learnt(path, self._warn)
        found._kept, found._living = {**self._kept}, {**self._living}
        return found

    def scores(self, name: str, mirrors: IMirrors, make: Callable[..., Scores] = Scores, **how: Any) -> Scores:
        """
        An order for these mirrors, which begins with what is known under this name.

        @param make: L{Scores}, or what is called as that is; C{how}: what else it takes.
        """
        made = make(mirrors, **how)
        before = self._living.get(name)
        known = None if before is None else before.to_json()
        if known is None and name in self._kept:
            known = json.dumps(self._kept[name])
        if known is not None:
            try:
                made.from_json(known)
            except ValueError as error:
                self._warn(f"what was kept of {name!r} is not used: {error}")
        self._living[name] = made
        return made

    def state(self) -> State:
        """What is to be saved, by name: all that was learnt since the beginning."""
        states = ((name, json.loads(each.to_json())) for name, each in self._living.items())
        return {name: state for name, state in states if state["hosts"]}

    def load(self) -> None:
        """
        Read what was kept.

        @raise KeepingError: there is a file, but not one of ours.
        """
        if self.path is not None:
            self._kept = {name: _begun_anew(state) for name, state in _read(self.path).items()}

    def save(self, state: State | None = None) -> None:
        """
        Write it down, as a whole or not at all; nobody else may read it.

        @param state: what C{state} has said; None: what it says now.
        @raise KeepingError: it was not written.  A file that is not ours stays as it is.
        """
        state = self.state() if state is None else state
        if self.path is None or not state:
            return
        with _alone(self.path):
            found = _read(self.path)
            for name, each in state.items():
                found[name] = merged(each, found[name]) if name in found else each
            _write(self.path, _dumped(found))


def _log(text: str) -> None:
    log.warn("{text}", text=text)  # noqa: G010  # twisted.logger


def _begun_anew(state: Any) -> Any:
    """As it is, with all circuits closed."""
    with suppress(KeyError, TypeError, AttributeError):
        hosts = {name: {**each, "breaker": _CLOSED} for name, each in state["hosts"].items()}
        return {**state, "hosts": hosts}
    return state


def _dumped(found: Mapping[str, Any]) -> bytes:
    """The lists that were used last and have room, the oldest first; no more than is read again."""
    ends = '{"version": 1, "mirrors": {', "}}"
    left, kept = LARGEST - sum(map(len, ends)), list[str]()
    for name in sorted(found, key=lambda name: _saved(found[name]), reverse=True)[:MOST]:
        text = f"{json.dumps(name)}: {json.dumps(found[name])}"
        size = len(text) + len(", ")  # it is ASCII
        if size <= left:  # else there may be room for others: what one list's server makes us learn is not their loss
            left -= size
            kept.insert(0, text)
    return ", ".join(kept).join(ends).encode()


def _saved(state: Any) -> float:
    saved = state.get("saved") if isinstance(state, dict) else None
    return saved if isinstance(saved, float) else 0.0


def _read(path: Path) -> dict[str, Any]:
    found: Any = None
    try:
        data = _bytes_of(path)
        if data is None:
            return {}
        found = json.loads(data)
    except OSError as error:
        raise KeepingError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        pass
    mirrors = found.get("mirrors") if isinstance(found, dict) and found.get("version") == 1 else None
    if not isinstance(mirrors, dict):
        raise KeepingError(f"{path}: this is not what was learnt of mirrors; delete it, or name another file")
    return mirrors


def _bytes_of(path: Path) -> bytes | None:
    """
    What is in a file of ours; None if there is none.

    @raise ValueError: it is none of ours.
    """
    try:
        # A pipe would make us wait for somebody.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(fd)
        if not S_ISREG(found.st_mode) or found.st_uid not in {0, os.geteuid()} or found.st_size > LARGEST:
            raise ValueError
        with open(fd, "rb", closefd=False) as file:
            return file.read(LARGEST)
    finally:
        os.close(fd)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """
    Nobody else reads and writes it meanwhile.  Its directory is what is locked, which is made: the file is a new one
    each time, and a lock beside it would be left there.
    """
    fd = -1
    try:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path.parent, DIRECTORY)
            _lock(fd)
        except OSError as error:
            raise _not_kept(path, error.strerror or str(error)) from error
        yield
    finally:
        if fd >= 0:
            os.close(fd)


def _lock(fd: int) -> None:
    """
    Until it is closed.

    @raise TimeoutError: somebody else has it, and keeps it.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:  # this file system has no locks for directories
                return None
        if time.monotonic() > until:
            raise TimeoutError(errno.ETIMEDOUT, "another process keeps its directory locked")
        time.sleep(0.02)


def _not_kept(path: Path, why: str) -> KeepingError:
    return KeepingError(f"{path}: what was learnt of mirrors is not kept: {why}")


def _write(path: Path, data: bytes) -> None:
    new: NewFile | None = None
    try:
        new = NewFile(locate(path), durable=False, mode=0o600)
        new.finish([data], Head(path.absolute().as_uri(), 200))
    except (OSError, DownloadError) as error:
        why = error.message if isinstance(error, DownloadError) else error.strerror or str(error)
        raise _not_kept(path, why) from error
    finally:
        if new is not None:
            new.discard()
