"""file://, with the same contract as every protocol.  The disk is only ever touched from worker threads."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import (
    AuthFailed,
    DownloadError,
    NotFound,
    NotResumable,
    ProtocolError,
    RedirectRefused,
    Refused,
    Truncated,
    Unavailable,
)
from ..flow.reading import ReadBody
from ..interfaces import IBody, IFetcher, IShared, IWorkers
from ..model.remote import Remote
from ..model.source import Head, Source, Span, Validators
from .entity import Entity

__all__ = ["FileFetcher"]

PIECE: Final = 256 * 1024
_NO_FILE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_NO_RIGHT: Final = {errno.EACCES, errno.EPERM}
_NO_REGULAR_FILE: Final = {errno.EISDIR, errno.ENODEV, errno.ENXIO}


@implementer(IFetcher)
class FileFetcher:
    """Regular files of this machine.  A Remote's limits of time and its secrets mean nothing here."""

    def __init__(self, reactor: Any, remote: Remote, shared: IShared) -> None:
        self._workers = shared.workers
        self._opening: set[Deferred[Any]] = set()
        self._files: set[_File] = set()

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return self._track(self._open(source, span, same_as))

    def head(self, source: Source) -> Deferred[Head]:
        async def ask() -> Head:
            body = await self._open(source, None, None)
            body.abandon()
            return body.head

        return self._track(ask())

    def close(self) -> Deferred[None]:
        for opening in list(self._opening):
            opening.cancel()
        files = list(self._files)
        for file in files:
            file.stop()
        return gatherResults([file.closed() for file in files]).addCallback(lambda _: None)

    def _track(self, coroutine: Any) -> Deferred[Any]:
        opening: Deferred[Any] = Deferred.fromCoroutine(coroutine)
        self._opening.add(opening)

        def opened(result: Any) -> Any:
            self._opening.discard(opening)
            return result

        return opening.addBoth(opened)

    async def _open(self, source: Source, span: Span | None, same_as: Validators | None) -> _Body:
        if source.found and not (source.scope or "").startswith("file:"):
            raise RedirectRefused("a file: URL that a server names is not read", source.url)
        file = _File(self._workers, self._files.discard)
        self._files.add(file)
        try:
            entity = await file.open(source.place.path.encode("utf-8", "surrogateescape"))
            return _Body(file, entity.head(source.url, span, same_as, source.conditions))
        except BaseException as error:
            file.abort()
            if isinstance(error, OSError):
                raise _refusal(error, source.url) from error
            raise


class _File:
    """
    One descriptor.  It is used in one thread at a time, and closed when the last use is over: a number that a read is
    still using may not become somebody else's.

    @ivar stop: ends whoever uses it, and closes it.
    """

    def __init__(self, workers: IWorkers, gone: Callable[[_File], None]) -> None:
        self.stop: Callable[[], None] = self.abort
        self._workers = workers
        self._gone = gone
        self._descriptor: int | None = None
        self._etag: bytes | None = None
        self._busy = False
        self._aborted = False
        self._closed: Deferred[None] = Deferred()

    def open(self, path: bytes) -> Deferred[Entity]:
        """Fires with what is there; fails with C{OSError}."""

        def job() -> Entity:
            self._descriptor, entity = _opened(path)
            self._etag = entity.etag
            return entity

        return self._run(job)

    def read(self, size: int, offset: int, *, last: bool) -> Deferred[bytes | None]:
        """
        Fires with at most so many bytes; none at the end of the file.  Fails with C{OSError}.

        @param last: no other read follows; fires with None if the file was written since C{open}.
        """
        descriptor, etag = self._descriptor, self._etag
        assert descriptor is not None

        def job() -> bytes | None:
            data = os.pread(descriptor, size, offset)
            # A write changes the time before it changes a byte.
            changed = last and len(data) == size and _etag(os.fstat(descriptor)) != etag
            return None if changed else data

        return self._run(job)

    def abort(self) -> None:
        """Close, now or as soon as the worker has done with it.  May be called again."""
        self._aborted = True
        if self._busy or self._closed.called:
            return
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._gone(self)
        self._closed.callback(None)

    def closed(self) -> Deferred[None]:
        """Fires when the descriptor is closed."""
        waiting: Deferred[None] = Deferred()
        self._closed.addCallback(waiting.callback)
        return waiting

    def _run(self, job: Callable[[], Any]) -> Deferred[Any]:
        self._busy = True
        # Not the worker's own Deferred: cancelling that would leave us without word of the job's end.
        result: Deferred[Any] = Deferred(lambda _: None)

        def done(value: Any) -> None:
            self._busy = False
            if self._aborted:
                self.abort()
            if not result.called:
                result.callback(value)  # or errback, if it is a Failure

        self._workers.run(job).addBoth(done)
        return result


class _Body(ReadBody):
    def __init__(self, file: _File, head: Head) -> None:
        super().__init__(head)
        self._file = file
        file.stop = self.stopProducing
        self._data: bytes | None = None
        self._reading = False

    def _step(self) -> bool:
        if self._reading:
            return False
        if self._data is not None:
            data, self._data = self._data, None
            self._write(data)
        elif self._offset < self._stop:
            self._reading = True
            left = self._stop - self._offset
            reading = self._file.read(min(PIECE, left), self._offset, last=left <= PIECE)
            reading.addCallbacks(self._came, self._failed)
        else:
            self._end(None)
        return True

    def _came(self, data: bytes | None) -> None:
        self._reading = False
        if self._done is None:
            return
        if data is None:
            self._end(Failure(NotResumable("the file changed while it was read", self.url)))
            return
        if not data:
            received, expected = self._offset - self._start, self._stop - self._start
            self._end(Failure(Truncated(received, expected, self.url)))
            return
        self._offset += len(data)
        self._data = data
        self._flow()

    def _failed(self, failure: Failure) -> None:
        cause = failure.value
        if isinstance(cause, OSError):
            error = ProtocolError(f"the file cannot be read: {cause.strerror}", self.url)
            error.__cause__ = cause
            failure = Failure(error)
        self._end(failure)

    def _release(self) -> None:
        self._file.abort()


def _opened(path: bytes) -> tuple[int, Entity]:
    """Runs in a worker thread."""
    if b"\0" in path:
        raise FileNotFoundError(errno.ENOENT, "no file has a NUL in its name")
    # Not even opened: to open a device may do something, a FIFO may wait for ever.
    _check_kind(os.stat(path).st_mode)  # noqa: PTH116  # a Path would need a str
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        found = os.fstat(descriptor)
        _check_kind(found.st_mode)
        if not found.st_size and os.pread(descriptor, 1, 0) and not os.fstat(descriptor).st_size:
            raise OSError(errno.ENODEV, "it does not tell its size, as in /proc")  # it would seem to be empty
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, Entity(found.st_size, _etag(found), found.st_mtime)


def _etag(found: os.stat_result) -> bytes:
    return b'"%x-%x-%x"' % (found.st_ino, found.st_mtime_ns, found.st_size)


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a directory")
    if not stat.S_ISREG(mode):
        raise OSError(errno.ENODEV, "a device, a pipe or a socket")


def _refusal(error: OSError, url: str) -> DownloadError:
    why = error.strerror or type(error).__name__
    if error.errno in _NO_FILE:
        return NotFound(404, url=url, words=why)
    if error.errno in _NO_RIGHT:
        return AuthFailed(403, url=url, words=why)
    if error.errno in _NO_REGULAR_FILE:
        return Refused(f"this is no regular file: {why}", url)
    return Unavailable(503, url=url, words=f"the file cannot be read: {why}")
