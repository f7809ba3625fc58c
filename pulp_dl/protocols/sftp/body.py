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
from twisted.python.failure import Failure

from ...errors import ProtocolError, Truncated
from ...flow.reading import ReadBody
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


class Body(ReadBody):
    """One open file of a server, and the lease under which it is read."""

    def __init__(
        self, lease: Lease, file: ClientFile | None, head: Head, gone: Callable[[Body], None], *, public: bool
    ) -> None:
        """
        @param file: None if there is nothing to be read.
        """
        super().__init__(head, public=public)
        self._lease = lease
        self._file = file
        self._gone = gone
        self._written = 0
        self._pieces: deque[_Piece] = deque()
        self._ahead = _FIRST
        if file is None:
            lease.release()

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self._ahead = _FIRST

    def _step(self) -> bool:
        self._ask()
        wrote = self._hand_over()
        if self._done is not None and self._written == self._stop - self._start:
            self._end(None)
        return wrote

    def _ask(self) -> None:
        while self._done is not None and self._offset < self._stop and len(self._pieces) < self._ahead:
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

    def _hand_over(self) -> bool:
        """Write what has come in order; False if there is nothing."""
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
        if data:
            self._write(data)
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

    def _release(self) -> None:
        file, self._file = self._file, None
        self._pieces.clear()
        if file is not None:
            self._lease.ask(file.close()).addErrback(lambda _: None)
        self._lease.release()
        self._gone(self)
