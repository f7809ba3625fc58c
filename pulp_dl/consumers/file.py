"""A file on the disk: whole and proven, or not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from errno import EDQUOT, ENOSPC
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from ..errors import ConsumerFailed, DownloadError, Refused, TooLarge, ValidationError
from ..interfaces import IResumable, IWorkers, IWorkerUser
from ..model.numbers import is_whole
from ..model.source import Head, Kept
from .atomic import NewFile
from .file_part import FilePart
from .interfaces import IRandomAccess
from .note import PART
from .part import PartFile
from .queue import Queue
from .root import disk_error, locate, obstacle

__all__ = ["ToFile"]

INLINE: Final = 64 * 1024
"""Bytes that are written in the reactor thread: that takes less time than to tell a thread."""

LOOK: Final = 4 * 1024 * 1024
"""Bytes that are read again in one go, at least."""

_NO_BODY = frozenset({304, 416})  # answers about a file that bring none; what is there stays


@implementer(IRandomAccess, IWorkerUser)
class ToFile:
    """
    Write the body to a path.

    The file is at its path when C{finish} has fired, and never before; what was there stays until then.  A symlink
    there is replaced, not followed.  Nothing else is left, whatever happens: while it is made, the file has no name.

    Failures of the disk are L{ConsumerFailed}, paths that are not allowed L{Refused}; both are told by C{gone} as soon
    as they are known, and that may be before a byte is asked for.

    @ivar path: where the file goes.
    """

    _file: NewFile | None = None
    _open = False  # or about to be, in the queue
    _head: Head | None = None
    _held = 0  # bytes in the pieces
    _producer: Any = None
    _refused: Refused | None = None  # for good
    _trouble: DownloadError | None = None
    _looked = False
    _over = False  # fail() was called
    _before: NewFile | None = None  # of a download that failed, for which there may be something to do

    def __init__(
        self,
        path: str | bytes | os.PathLike[Any],
        *,
        root: str | bytes | os.PathLike[Any] | None = None,
        durable: bool = True,
        mode: int | None = None,
        mtime: bool = False,
        part: bool = False,
        disk: Any = os,
    ) -> None:
        """
        @param root: a directory that the path has to stay in, by its spelling and by its symlinks; relative paths begin
            there.  Directories that are missing below it are made.
        @param durable: C{finish} waits until the file is on the disk (fsync), so that it survives a power failure.
        @param mode: the file's permissions, exactly; None for 0666 less the umask.
        @param mtime: set the file's time from Last-Modified.
        @param part: keep what came in C{PATH.part} when the download fails or the process is killed, with a note in
            C{PATH.part.json}, so that another C{ToFile} with C{part} can go on there: it is an L{IResumable}.  Both
            are removed when the bytes turn out wrong.
        @param disk: L{os}, or what stands for it in a test.
        """
        if mode is not None and not is_whole(mode):
            raise TypeError(f"mode: {mode!r} is no number; give one such as 0o644, or None for what the umask leaves")
        if mode is not None and mode & ~0o777:
            raise ValueError(f"mode: {mode:#o} is more than permissions; use 0 to 0o777")
        self._options: dict[str, Any] = {"durable": durable, "mode": mode, "disk": disk}
        self._mtime = mtime
        self._part = part
        self._pieces: list[bytes] = []
        self._queue = Queue(self._failed)
        self._waiting: list[Deferred[DownloadError]] = []
        try:
            self._place = locate(path, root)
        except Refused as error:
            self.path = os.fsdecode(path)
            self._refused = self._trouble = error
        else:
            self.path = self._place.path
        if part:
            alsoProvides(self, IResumable)

    def __repr__(self) -> str:
        return f"<ToFile {self.path!r}>"

    def use(self, workers: IWorkers) -> None:
        if self._over or self._head is not None:
            self._again(workers)
        self._queue.workers = workers

    def _again(self, workers: IWorkers) -> None:
        """Another download.  What is still to be done for the one before goes first."""
        self._before = self._file if self._queue.begun else None
        self._file = self._head = None
        self._trouble = self._refused  # there may be room now
        self._over = self._open = self._looked = False
        self._options.pop("looked", None)
        if not self._queue.begun or self._queue.workers is not workers:
            self._queue = Queue(self._failed)

    def gone(self) -> Deferred[DownloadError]:
        self._look()
        waiting: Deferred[DownloadError] = Deferred()
        if self._trouble is None:
            self._waiting.append(waiting)
        else:
            waiting.callback(self._trouble)
        return waiting

    def kept(self) -> Deferred[Kept | None]:
        self._look()
        if self._trouble is not None:
            return succeed(None)
        # Unless something is still to be done for a download before, which may make one.
        if not self._queue.begun and not self._options["disk"].access(self.path + PART, os.F_OK):
            self._options["looked"] = True
            return succeed(None)
        self._file = file = PartFile(self._place, **self._options)
        found: list[Kept | None] = []
        self._put(0, lambda: found.append(file.look()))

        def looked(_: None) -> Kept | None:
            self._open = found[0] is not None
            return found[0]

        def broken(failure: Failure) -> None:
            failure.trap(DownloadError)  # gone() tells what it is

        return self._queue.settled().addCallbacks(looked, broken)

    # the body

    def begin(self, head: Head) -> None:
        self._look()
        self._check()
        self._head = head
        if self._file is None:
            self._file = (PartFile if self._part else NewFile)(self._place, **self._options)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if not streaming:
            raise ValueError("a push producer is needed")
        self._producer = producer
        self._queue.enter(producer)

    def unregisterProducer(self) -> None:
        if self._producer is not None:
            self._queue.leave(self._producer)
            self._producer = None

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= self._queue.worth:
            self._check()
            self._flush()

    def _flush(self) -> None:
        assert self._file is not None
        self._begin()
        pieces, held = self._take()
        self._put(held, self._file.write, pieces)

    def _begin(self) -> None:
        assert self._file is not None
        if not self._open:
            self._open = True
            self._put(0, self._file.open, self._head)

    def rewind(self, head: Head) -> None:
        self._check()
        assert self._file is not None
        self._head = head
        self._take()
        if self._open:
            self._put(0, self._file.rewind, head)

    def _take(self) -> tuple[list[bytes], int]:
        taken = self._pieces, self._held
        self._pieces, self._held = [], 0
        return taken

    # in any order

    def part(self, start: int) -> FilePart:
        return FilePart(self._queue, self._patch, self.gone, start)

    def _patch(self, offset: int, pieces: list[bytes], held: int) -> None:
        self._check()
        assert self._file is not None
        if not self._over:
            self._flush()  # what came before may have been for the same place
            self._put(held, self._file.patch, offset, pieces)

    def seek(self, offset: int) -> None:
        assert self._file is not None
        self._flush()
        self._put(0, self._file.seek, offset)

    def reread(self, start: int, stop: int, see: Callable[[bytes], object]) -> Deferred[None]:
        self._check()
        assert self._file is not None
        self._flush()
        file, seen = self._file, _Seen(see)
        step = max(LOOK, (stop - start) // 1000)
        for at in range(start, stop, step):
            self._put(0, lambda at=at: seen.all(file.read(at, min(stop, at + step))))
        return self._queue.settled().addCallbacks(seen.end, seen.drop)

    # the end

    def finish(self) -> Deferred[None] | None:
        self._check()
        assert self._head is not None
        assert self._file is not None
        head = self._head
        if head.status in _NO_BODY:
            self._discard(keep=True)
            self._waiting = []
            return None
        modified = head.modified if self._mtime else None
        pieces, held = self._take()
        quick = not self._queue.begun and held <= INLINE and not self._options["durable"]
        if quick and (not self._part or self._options.get("looked")):  # else it may have to wait for a lock
            self._try(self._file.finish, pieces, head, modified)
            self._ended(None)
            return None
        self._put(held, self._file.finish, pieces, head, modified)
        return self._queue.settled().addCallback(self._ended)

    def _ended(self, _: None) -> None:
        self._queue.close()
        self._waiting = []

    def fail(self, failure: Failure) -> None:
        self._over = True
        self._waiting = []
        wrong = failure.check(ValidationError, TooLarge) is not None
        if self._part and self._pieces and not wrong and self._trouble is None:
            self._flush()  # what came is kept, to the last byte
        self._take()
        self._discard(keep=not wrong and (self._trouble is None or _is_full(self._trouble)))

    def _discard(self, *, keep: bool) -> None:
        files = [each for each in (self._before, self._file) if each is not None]
        if files and self._queue.begun and not (keep and self._part and self._trouble is None):
            self._queue.drop()
        for file in files:
            if self._queue.begun:
                self._queue.put(0, partial(file.discard, keep=keep))  # what is kept is what was put before
            else:
                file.discard(keep=keep)

    # the disk and its troubles

    def _put(self, weight: int, job: Callable[..., object], *args: Any) -> None:
        self._queue.put(weight, partial(self._try, job, *args))

    def _try(self, job: Callable[..., object], *args: Any) -> None:
        try:
            job(*args)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, DownloadError):
            error = ConsumerFailed(f"{self.path!r}: {type(error).__name__}: {error}")
            error.__cause__ = failure.value
        self._trouble = error
        if self._over:  # while it was still writing what is to be kept
            self._discard(keep=_is_full(error))
            return
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(error)

    def _look(self) -> None:
        if self._trouble is None and not self._looked:
            self._looked = True
            self._trouble = obstacle(self._place, self._options["disk"])

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble


def _is_full(trouble: DownloadError) -> bool:
    """What is there is right, and somebody may make room for the rest."""
    return isinstance(trouble.__cause__, OSError) and trouble.__cause__.errno in {EDQUOT, ENOSPC}


class _Seen:
    """What somebody sees of a file; what he raises is no trouble of the disk."""

    def __init__(self, see: Callable[[bytes], object]) -> None:
        self._see = see
        self._failure: Failure | None = None
        self._dropped = False  # nobody wants to see more; read in the thread

    def all(self, pieces: Iterator[bytes]) -> None:
        for piece in () if self._dropped or self._failure is not None else pieces:
            try:
                self._see(piece)
            except Exception:
                self._failure = Failure()
            if self._dropped or self._failure is not None:
                break

    def drop(self, failure: Failure) -> Failure:
        self._dropped = True
        return failure

    def end(self, _: object) -> None:
        if self._failure is not None:
            self._failure.raiseException()
