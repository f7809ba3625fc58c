"""Small bodies in memory, and bodies that nobody wants."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import DownloadError, TooLarge
from ..interfaces import IRewindable
from ..model.numbers import is_whole
from ..model.source import Head

__all__ = ["LIMIT", "Discard", "ToMemory"]

LIMIT: Final = 16 * 1024 * 1024


@implementer(IRewindable)
class ToMemory:
    """
    Keep the body in memory: lists, metadata.

    @ivar head: the head that came with it.
    """

    head: Head | None
    _pieces: list[bytes]

    def __init__(self, limit: int = LIMIT) -> None:
        """
        @param limit: bytes; a larger body fails with L{TooLarge}, with its first byte if its head tells its length.
            (C{Limits.max_size} needs no byte for that.)
        """
        if not is_whole(limit) or limit < 0:
            raise ValueError(f"limit: {limit!r} is no number of bytes; give one, 0 or more")
        self._limit = limit
        self._forget(None)

    @property
    def data(self) -> bytes:
        """
        The body.

        @raise RuntimeError: there is none, because the download has not ended, or not well.
        """
        if not self._ended:
            raise RuntimeError("there is no body: the download has not ended well")
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """
        The body as text.

        @raise UnicodeDecodeError: it is in another encoding.
        """
        return self.data.decode(encoding, errors)

    def gone(self) -> Deferred[DownloadError]:
        return Deferred()

    def begin(self, head: Head) -> None:
        self._forget(head)
        if head.length is not None and head.length > self._limit:
            raise TooLarge(self._limit, head.url)

    def rewind(self, head: Head) -> None:
        self.begin(head)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise TooLarge(self._limit, None if self.head is None else self.head.url)
        self._pieces.append(data)

    def finish(self) -> None:
        self._ended = True

    def fail(self, failure: Failure) -> None:
        self._forget(None)

    def _forget(self, head: Head | None) -> None:
        self.head = head
        self._pieces = []
        self._size = 0
        self._ended = False


@implementer(IRewindable)
class Discard:
    """
    Keep nothing.

    @ivar size: bytes that came.
    @ivar head: the head that came with them.
    """

    def __init__(self) -> None:
        self.size = 0
        self.head: Head | None = None

    def gone(self) -> Deferred[DownloadError]:
        return Deferred()

    def begin(self, head: Head) -> None:
        self.head, self.size = head, 0

    def rewind(self, head: Head) -> None:
        self.begin(head)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.size += len(data)

    def finish(self) -> None:
        pass

    def fail(self, failure: Failure) -> None:
        pass
