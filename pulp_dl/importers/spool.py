"""A place on the disk for metadata, while it is read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Self

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from ..consumers.root import disk_error
from ..errors import ConsumerFailed, DownloadError, TooLarge
from ..flow.workers import InlineWorkers
from ..interfaces import IRewindable, IWorkers, IWorkerUser
from ..model.source import Head

__all__ = ["Spool"]


@implementer(IRewindable, IWorkerUser)
class Spool:
    """
    A consumer that keeps one body in a temporary file, so that its size costs no memory.

    The file never has a name, so that even a killed process leaves nothing.  Use it as a context manager, and call
    L{open} inside.
    """

    def __init__(self, limit: int | None = None) -> None:
        """
        @param limit: bytes; more fail with L{TooLarge}.  None for no limit.
        """
        self._limit = limit
        self._size = 0
        self._file: Any = tempfile.TemporaryFile()  # noqa: SIM115  # the block, or open()'s caller, closes it
        self._opened = False
        self._workers: IWorkers = InlineWorkers()
        self._lane: Any = None
        self._producer: Any = None
        self._paused = False
        self._trouble: DownloadError | None = None
        self._waiting: list[Deferred[DownloadError]] = []

    def use(self, workers: IWorkers) -> None:
        self._workers = workers

    def gone(self) -> Deferred[DownloadError]:
        gone: Deferred[DownloadError] = Deferred()
        if self._trouble is None:
            self._waiting.append(gone)
        else:
            gone.callback(self._trouble)
        return gone

    def begin(self, head: Head) -> None:
        self._check(head.length or 0)

    def rewind(self, head: Head) -> None:
        self._size = 0
        self._check(head.length or 0)
        self._do(0, self._forget)

    def _forget(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer, self._paused = producer, False

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        self._size += len(data)
        self._check(self._size)
        if self._do(len(data), self._file.write, data) and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def finish(self) -> Deferred[None] | None:
        self._check(self._size)
        self._do(0, self._file.flush)
        settled: Deferred[None] = self._lane.settled()
        return settled

    def fail(self, failure: Failure) -> None:
        self._waiting.clear()
        if self._lane is not None:
            self._lane.drop()

    def _check(self, size: int) -> None:
        if self._trouble is not None:
            raise self._trouble
        if self._limit is not None and size > self._limit:
            raise TooLarge(self._limit)

    def _do(self, weight: int, job: Callable[..., object], *args: Any) -> bool:
        if self._lane is None:
            self._lane = self._workers.lane(self._relieved, self._failed)
        full: bool = self._lane.put(lambda: self._try(job, *args), weight)
        return full

    def _try(self, job: Callable[..., object], *args: Any) -> None:
        try:
            job(*args)
        except OSError as error:
            raise disk_error(error, tempfile.gettempdir()) from error

    def _relieved(self) -> None:
        self._paused = False
        if self._producer is not None:
            self._producer.resumeProducing()

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        self._trouble = error if isinstance(error, DownloadError) else ConsumerFailed(f"temporary file: {error}")
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(self._trouble)

    def open(self) -> BinaryIO:
        """What came, from its beginning; the caller closes it."""
        self._opened = True
        self._file.seek(0)
        file: BinaryIO = self._file
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._opened:
            with suppress(OSError):  # it tries once more to write what a full disk has refused
                self._file.close()
