"""
A body that is read ahead.

Many pieces are asked for before the first one is here, or a long way would make every file slow; how many, grows as
they come and shrinks when the consumer pauses, so that what is kept for somebody slow stays small.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.conch.ssh.filetransfer import ClientFile, SFTPError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import ProtocolError, Truncated
from ...interfaces import IBody
from ...model.source import Head
from .broken import Broken
from .pool import Lease

__all__ = ["AHEAD", "PIECE", "Body"]

PIECE: Final = 32 * 1024
"""Bytes to ask for at once: what every server gives (draft-ietf-secsh-filexfer-02 section 3)."""

AHEAD: Final = 64
"""Pieces that are asked for and not yet written, at most."""

_FIRST: Final = 8
_GATHERED: Final = 8
"""Pieces that are written as one, if they are there: a write has its price, whatever its size."""


class _Piece:
    """What was asked for; it is in the queue until all of it came and the consumer has it."""

    __slots__ = ("data", "last", "missing")

    def __init__(self, size: int) -> None:
        self.data = b""
        self.missing = size
        self.last = False  # nothing follows what it has


@implementer(IBody, IPushProducer)
class Body:
    """One open file of a server, and the lease under which it is read."""

    def __init__(
        self, lease: Lease, file: ClientFile | None, head: Head, gone: Callable[[Body], None], *, public: bool
    ) -> None:
        """
        @param file: None if there is nothing to be read.
        """
        self.head = head
        self.url = head.url
        self.public = public
        self._lease = lease
        self._file = file
        self._gone = gone
        self._start = self._offset = 0 if head.span is None else head.span.start
        self._stop = self._start + (head.length or 0)
        self._written = 0
        self._pieces: deque[_Piece] = deque()
        self._ahead = _FIRST
        self._paused = self._flowing = False
        self._ended = False
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None
        if file is None:
            lease.release()

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        done = self._done = Deferred(lambda _: self.stopProducing())
        try:
            consumer.registerProducer(self, True)
        except Exception:
            self._end(Failure())
        if self._ended:  # the fetcher was closed meanwhile
            self.stopProducing()
        self._flow()
        return done

    def abandon(self) -> None:
        self._end(None)

    def pauseProducing(self) -> None:
        self._paused = True
        self._ahead = _FIRST

    def resumeProducing(self) -> None:
        self._paused = False
        self._flow()

    def stopProducing(self) -> None:
        self._end(Failure(CancelledError()))

    def _flow(self) -> None:
        """Write what is there and ask for more, until there is something to wait for."""
        if self._flowing:  # resumed from inside a write: the loop below goes on
            return
        self._flowing = True
        try:
            while self._done is not None and not self._paused:
                self._ask()
                if not self._write():
                    break
        finally:
            self._flowing = False
        if self._done is not None and self._written == self._stop - self._start:
            self._end(None)

    def _ask(self) -> None:
        while self._done is not None and self._offset < self._stop and len(self._pieces) < self._ahead:
            # No further than what was announced: a log that grows is read as it was.
            piece = _Piece(min(PIECE, self._stop - self._offset))
            self._pieces.append(piece)
            self._read(piece, self._offset)
            self._offset += piece.missing

    def _read(self, piece: _Piece, offset: int) -> None:
        assert self._file is not None
        asked = self._lease.ask(self._file.readChunk(offset, piece.missing))
        asked.addCallbacks(self._came, self._failed, callbackArgs=(piece, offset), errbackArgs=(piece,))

    def _came(self, data: bytes, piece: _Piece, offset: int) -> None:
        if self._done is None:
            return
        if not 0 < len(data) <= piece.missing:
            self._end(
                Failure(ProtocolError("the server sends another number of bytes than it was asked for", self.url))
            )
            return
        piece.data = piece.data + data if piece.data else data
        piece.missing -= len(data)
        if piece.missing:  # a server may give less
            self._read(piece, offset + len(data))
            return
        if not self._paused and self._ahead < AHEAD:
            self._ahead += 1
        self._flow()

    def _write(self) -> bool:
        """Hand over what has come in order; False if there is nothing."""
        assert self._consumer is not None
        found: list[bytes] = []
        while self._pieces and not self._pieces[0].missing and len(found) < _GATHERED:
            found.append(self._pieces.popleft().data)
        short = not found and bool(self._pieces) and self._pieces[0].last
        if short:
            found.append(self._pieces.popleft().data)
        elif not found:
            return False
        data = found[0] if len(found) == 1 else b"".join(found)
        self._written += len(data)
        try:
            if data:
                self._consumer.write(data)
        except Exception:
            self._end(Failure())
        if short and self._done is not None:
            self._end(Failure(Truncated(self._written, self._stop - self._start, self.url)))
        return True

    def _failed(self, failure: Failure, piece: _Piece) -> None:
        if self._done is None:
            return
        cause = failure.value
        if isinstance(cause, EOFError):
            # It is shorter than it was said to be; pieces before this one may still be under way.
            piece.last = True
            self._offset = self._stop
            self._flow()
            return
        if isinstance(cause, Broken):
            error = cause.told(self.url)
            error.__cause__ = cause.__cause__
            failure = Failure(error)
        elif isinstance(cause, SFTPError):
            refused = ProtocolError(f"the file cannot be read: {cause.message} ({cause.code})", self.url)
            refused.__cause__ = cause
            failure = Failure(refused)
        self._end(failure)

    def _end(self, failure: Failure | None) -> None:
        done, self._done = self._done, None
        file, self._file = self._file, None
        self._ended = True
        self._pieces.clear()
        if file is not None:
            self._lease.ask(file.close()).addErrback(lambda _: None)
        self._lease.release()
        self._gone(self)
        if done is None:
            return
        assert self._consumer is not None
        try:
            self._consumer.unregisterProducer()
        except Exception:
            failure = failure or Failure()  # what came first counts
        if failure is None:
            done.callback(None)
        else:
            done.errback(failure)
