"""A file on the disk: whole and proven, or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EDQUOT, ENOSPC
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from ..errors import ConsumerFailed, DownloadError, Refused, TooLarge, ValidationError
from ..flow.workers import PIECE, InlineWorkers
from ..interfaces import IResumable, IRewindable, IWorkers, IWorkerUser
from ..model.source import Head, Kept
from .atomic import NewFile
from .part import PART, PartFile
from .root import disk_error, locate, obstacle

__all__ = ["ToFile"]

INLINE: Final = 64 * 1024
"""Bytes that are written in the reactor thread: that takes less time than to tell a thread."""

_NO_BODY = frozenset({304, 416})  # answers about a file that bring none; what is there stays


@implementer(IRewindable, IWorkerUser)
class ToFile:
    """
    Write the body to a path.

    The file is at its path when C{finish} has fired, and never before; what was there stays until then.  A symlink
    there is replaced, not followed.  Nothing else is left, whatever happens: while it is made, the file has no name.

    Failures of the disk are L{ConsumerFailed}, paths that are not allowed L{Refused}; both are told by C{gone} as soon
    as they are known, and that may be before a byte is asked for.

    @ivar path: where the file goes.
    """

    _workers: IWorkers = InlineWorkers()
    _lane: Any = None  # once there is one, the file is only touched there
    _file: NewFile | None = None
    _open = False  # or about to be, in the lane
    _head: Head | None = None
    _held = 0  # bytes in the pieces
    _worth = PIECE  # bytes that are worth a hand-over
    _producer: Any = None
    _paused = False
    _trouble: DownloadError | None = None
    _looked = False
    _over = False  # fail() was called

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
        if mode is not None and mode & ~0o777:
            raise ValueError(f"mode: {mode:#o} is more than permissions; use 0 to 0o777")
        self.path = os.fsdecode(path)
        self._options: dict[str, Any] = {"durable": durable, "mode": mode, "disk": disk}
        self._mtime = mtime
        self._part = part
        self._pieces: list[bytes] = []
        self._waiting: list[Deferred[DownloadError]] = []
        try:
            self._place = locate(path, root)
        except Refused as error:
            self._trouble = error
        else:
            self.path = self._place.path
        if part:
            alsoProvides(self, IResumable)

    def __repr__(self) -> str:
        return f"<ToFile {self.path!r}>"

    def use(self, workers: IWorkers) -> None:
        self._workers = workers

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
        if not self._options["disk"].access(self.path + PART, os.F_OK):
            self._options["looked"] = True
            return succeed(None)
        self._file = file = PartFile(self._place, **self._options)
        found: list[Kept | None] = []
        self._do(0, lambda: found.append(file.look()))

        def looked(_: None) -> Kept | None:
            self._open = found[0] is not None
            return found[0]

        def broken(failure: Failure) -> None:
            failure.trap(DownloadError)  # gone() tells what it is

        settled: Deferred[None] = self._lane.settled()
        return settled.addCallbacks(looked, broken)

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
        self._producer, self._paused = producer, False

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= self._worth:
            self._check()
            self._flush()

    def _flush(self) -> None:
        assert self._file is not None
        if not self._open:
            self._open = True
            self._do(0, self._file.open, self._head)
        pieces, held = self._take()
        full = self._do(held, self._file.write, pieces)
        self._worth = self._lane.piece
        if full and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def _relieved(self) -> None:
        self._paused = False
        if self._producer is not None:
            self._producer.resumeProducing()

    def rewind(self, head: Head) -> None:
        self._check()
        assert self._file is not None
        self._head = head
        self._take()
        if self._open:
            self._do(0, self._file.rewind, head)

    def _take(self) -> tuple[list[bytes], int]:
        taken = self._pieces, self._held
        self._pieces, self._held = [], 0
        return taken

    # the end

    def finish(self) -> Deferred[None] | None:
        self._check()
        assert self._head is not None
        assert self._file is not None
        head = self._head
        if head.status in _NO_BODY:
            self._discard(keep=True)
            return None
        modified = head.modified if self._mtime else None
        pieces, held = self._take()
        if self._lane is None and held <= INLINE and not self._options["durable"]:
            self._try(self._file.finish, pieces, head, modified)
            return None
        self._do(held, self._file.finish, pieces, head, modified)
        settled: Deferred[None] = self._lane.settled()
        return settled

    def fail(self, failure: Failure) -> None:
        self._over = True
        wrong = failure.check(ValidationError, TooLarge) is not None
        if self._part and self._pieces and not wrong and self._trouble is None:
            self._flush()  # what came is kept, to the last byte
        self._take()
        self._discard(keep=not wrong and (self._trouble is None or _is_full(self._trouble)))

    def _discard(self, *, keep: bool) -> None:
        if self._file is None:
            return
        discard = partial(self._file.discard, keep=keep)
        if self._lane is None:
            discard()
        else:
            if not (keep and self._part and self._trouble is None):
                self._lane.drop()
            self._lane.put(discard, 0)  # what is kept is what was put before

    # the disk and its troubles

    def _do(self, weight: int, job: Callable[..., object], *args: Any) -> bool:
        """On a worker thread, when all that was put before is done.  Returns True if it is enough for now."""
        if self._lane is None:
            self._lane = self._workers.lane(self._relieved, self._failed, None)
        full: bool = self._lane.put(partial(self._try, job, *args), weight)
        return full

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
