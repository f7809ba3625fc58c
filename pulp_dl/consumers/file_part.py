"""A part of a file that is being made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import DownloadError
from ..interfaces import IRewindable
from ..model.source import Head
from .queue import Queue

__all__ = ["FilePart"]


@implementer(IRewindable)
class FilePart:
    """What C{ToFile.part} returns: it shares the queue of the whole, and has a place in the file of its own."""

    _producer: Any = None
    _held = 0

    def __init__(
        self,
        queue: Queue,
        patch: Callable[[int, list[bytes], int], None],
        gone: Callable[[], Deferred[DownloadError]],
        start: int,
    ) -> None:
        """
        @param patch: called with an offset, pieces and how many bytes they have.
        """
        self._queue = queue
        self._patch = patch
        self.gone = gone
        self._start = self._offset = start
        self._pieces: list[bytes] = []

    def begin(self, head: Head) -> None:
        """The whole has a head."""

    def rewind(self, head: Head) -> None:
        self._offset, self._pieces, self._held = self._start, [], 0

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if not streaming:
            raise ValueError("a push producer is needed")
        self._producer = producer
        self._queue.enter(producer)

    def unregisterProducer(self) -> None:
        producer, self._producer = self._producer, None
        self._queue.leave(producer)

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= self._queue.worth:
            self._flush()

    def _flush(self) -> None:
        pieces, held, offset = self._pieces, self._held, self._offset
        self._pieces, self._held = [], 0
        if held:
            self._offset += held
            self._patch(offset, pieces, held)

    def finish(self) -> None:
        self._flush()

    def fail(self, failure: Failure) -> None:
        with suppress(DownloadError):  # the whole may be in trouble itself; then it tells
            self._flush()
