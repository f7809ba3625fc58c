"""
Files by their sha256, in a directory: C{ab/cdef...}.

The directory is all there is: no index that could be wrong after a crash, or in another process.  Several processes may
share it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import file_digest
from heapq import heappop, heappush
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, Final, NamedTuple, cast

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..consumers.around import Around
from ..consumers.atomic import TEMPORARY, NewFile
from ..consumers.file import ToFile
from ..consumers.root import locate
from ..errors import Refused
from ..flow.workers import InlineWorkers
from ..interfaces import IBodyConsumer, IRewindable, IWorkers, IWorkerUser
from ..model.source import Head
from .growing import Growing

__all__ = ["Store"]

log = Logger()

SLACK: Final = 16
"""One part in so many of the limit is left free each time, so that not every file has the directory looked through."""

STRAY: Final = 24 * 3600
"""Seconds after which a temporary name is nobody's any more.  (There are some only where files cannot be without.)"""

PIECE: Final = 1024 * 1024


def _in_this_thread(call: Callable[[], None]) -> None:
    """Nobody has workers."""
    call()


class _Found(NamedTuple):
    used: float
    size: int
    path: str


class Store:
    """
    A directory of files that were proven to have the digest that is their name.

    What the files' access times say is when they were last asked for.  (The system's own notes there do no harm: who
    reads a file uses it.)
    """

    def __init__(self, directory: str | os.PathLike[str], *, limit: int | None = None, durable: bool = True) -> None:
        """
        @param directory: made if it is missing.
        @param limit: bytes that all files together may have; those that nobody has asked for longest go first.  Each
            process keeps to it for itself, so several may go over it by a sixteenth each.  None for no limit.
        @param durable: a file counts as stored when it is on the disk (fsync).
        @raise OSError: the directory cannot be made.
        """
        self.directory = os.path.abspath(os.fspath(directory))  # noqa: PTH100  # what it is below this is ours
        Path(self.directory).mkdir(parents=True, exist_ok=True)
        self._durable = durable
        self._limit = limit
        self._slack = 0 if limit is None else limit // SLACK
        self._fresh = self._slack  # bytes that came since the directory was looked through; at first nobody knows
        self._evicting = False
        self._coming: dict[str, Growing] = {}
        self._finishing: dict[str, list[Deferred[None]]] = {}

    def __repr__(self) -> str:
        return f"<Store {self.directory!r}>"

    def path(self, sha256: str) -> str:
        """Where the file of this digest is, if it is there."""
        return f"{self.directory}/{sha256[:2]}/{sha256[2:]}"

    # all of these block

    def use(self, sha256: str, size: int | None = None) -> str | None:
        """
        The path of a file, if it is there; from now on it is the one that was used last.

        @param size: what it has to have; a file of another size was damaged, and is as good as none.
        """
        path = self.path(sha256)
        try:
            found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
            if not S_ISREG(found.st_mode) or size not in {None, found.st_size}:
                return None
            _touch(path, found)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warn("{path}: {error}; it is not used", path=path, error=error.strerror)  # noqa: G010  # a logger of Twisted
            return None
        return path

    def add(self, file: BinaryIO) -> tuple[str, int]:
        """
        Store what is in an open file, from its beginning on.  Returns its sha256 and its size.

        @raise OSError: the disk does not take it.
        """
        file.seek(0)
        sha256 = file_digest(cast("Any", file), "sha256").hexdigest()
        size = file.tell()
        if self.use(sha256, size) is None:
            file.seek(0)
            _copy(file, self.path(sha256), self.directory, durable=self._durable)
        return sha256, size

    def forget(self, wanted: Callable[[str], bool], grace: float) -> None:
        """
        Remove what is not wanted and was not used for so many seconds; who was told of a file has that long to open it.
        """
        latest = time.time() - grace
        for used, _, path in self._files():
            if used <= latest and not wanted("".join(path.rsplit("/", 2)[1:])):
                _remove(path)

    def evict(self) -> None:
        """Make room: remove what was not used longest, until all that is left is a little less than the limit."""
        if self._limit is None:
            return
        self._fresh = 0
        excess = sum(found.size for found in self._files()) - self._limit + self._slack
        # The oldest that are enough together, newest first; so memory does not grow with the directory.
        oldest: list[tuple[float, int, str]] = []
        weight = 0
        for used, size, path in self._files() if excess > 0 else ():
            heappush(oldest, (-used, size, path))
            weight += size
            while weight - oldest[0][1] >= excess:
                weight -= heappop(oldest)[1]
        for _, _, path in oldest:
            _remove(path)

    def _files(self) -> Iterator[_Found]:
        for directory in os.scandir(self.directory):
            if not directory.is_dir(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError), os.scandir(directory) as files:
                for file in files:
                    with suppress(FileNotFoundError):  # another process is at it, too
                        found = file.stat(follow_symlinks=False)
                        if not TEMPORARY.fullmatch(file.name):
                            yield _Found(found.st_atime, found.st_size, file.path)
                        elif found.st_mtime < time.time() - STRAY:
                            _remove(file.path)

    # for downloads

    def consumer(
        self, sha256: str, size: int | None = None, tell: Callable[..., object] = _in_this_thread
    ) -> IBodyConsumer | None:
        """
        What stores a body; None if it is too large for that, or if the same file is on its way already.

        The download has to expect this sha256, and to enforce it: a body becomes a file when its checks have passed.

        @param tell: has its argument called in the reactor thread.
        """
        if sha256 in self._coming or (self._limit is not None and (size or 0) > self._limit - self._slack):
            return None
        return _Storing(self, sha256, self._durable, Growing(tell))

    def growing(self, sha256: str) -> Growing | None:
        """A file that is on its way, if it can be read meanwhile."""
        growing = self._coming.get(sha256)
        return growing if growing is not None and growing.readable else None

    def settled(self, sha256: str) -> Deferred[None] | None:
        """None; or, if the file has come and is on its way to the disk, what fires with None when that is over."""
        if sha256 not in self._finishing:
            return None
        waiting: Deferred[None] = Deferred()
        self._finishing[sha256].append(waiting)
        return waiting

    def begin(self, sha256: str, growing: Growing) -> None:
        """A file begins to come."""
        self._coming[sha256] = growing

    def end(self, sha256: str, growing: Growing) -> None:
        """It is here, or does not come."""
        if self._coming.get(sha256) is growing:
            del self._coming[sha256]
        growing.end()

    def finish(self, sha256: str, growing: Growing, ending: Deferred[None], workers: IWorkers) -> Deferred[None]:
        """A file has come; C{ending} fires when the disk has it."""
        waiting = self._finishing.setdefault(sha256, [])

        def ended(result: Any) -> Any:
            self.end(sha256, growing)
            if self._finishing.get(sha256) is waiting:
                del self._finishing[sha256]
            told, waiting[:] = [*waiting], []
            for each in told:
                each.callback(None)
            return result

        return ending.addCallback(lambda _: self._stored(sha256, workers)).addBoth(ended)

    def _stored(self, sha256: str, workers: IWorkers) -> None:
        """Makes room in a worker thread, if it is time."""
        with suppress(OSError):
            path = self.path(sha256)
            found = os.stat(path)  # noqa: PTH116
            _touch(path, found)  # it has the time of its origin
            self._fresh += found.st_size
        if self._limit is None or self._evicting or self._fresh < self._slack:
            return
        self._evicting = True
        workers.run(self.evict).addErrback(
            lambda failure: log.failure("could not make room in {store}", failure, store=self)
        ).addCallback(self._evicted)

    def _evicted(self, _: object) -> None:
        self._evicting = False


class _Storing(Around):
    """A file of a Store in the making.  It is read as it grows, so its bytes come in their order."""

    passed = (IRewindable, IWorkerUser)

    def __init__(self, store: Store, sha256: str, durable: bool, growing: Growing) -> None:
        # Any directory on the way is ours; its time is that of its origin, which clients see.
        super().__init__(ToFile(store.path(sha256), root=store.directory, durable=durable, mtime=True, disk=growing))
        self._growing = growing
        self._sha256 = sha256
        self._store = store
        self._workers: IWorkers = InlineWorkers()

    def use(self, workers: IWorkers) -> None:
        self._workers = workers
        super().use(workers)

    def begin(self, head: Head) -> None:
        if not head.whole:
            raise Refused("a part of a file is not stored")
        super().begin(head)
        self._growing.head = head
        self._store.begin(self._sha256, self._growing)

    def rewind(self, head: Head) -> None:
        if not head.whole:
            raise Refused("a part of a file is not stored")
        self._growing.head = head
        super().rewind(head)

    def finish(self) -> Deferred[None] | None:
        return self._store.finish(self._sha256, self._growing, super().finish() or succeed(None), self._workers)

    def fail(self, failure: Failure) -> None:
        self._store.end(self._sha256, self._growing)
        super().fail(failure)


def _touch(path: str, found: os.stat_result) -> None:
    os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        Path(path).unlink()


def _copy(file: BinaryIO, path: str, root: str, *, durable: bool) -> None:
    new, head = NewFile(locate(path, root), durable=durable), Head(Path(path).as_uri(), 200)
    try:
        new.open(head)
        while piece := file.read(PIECE):
            new.write([piece])
        new.finish([], head)
    finally:
        new.discard()
