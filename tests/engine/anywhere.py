"""A consumer in memory that takes bytes in any order, and minds who writes where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl.consumers.interfaces import IRandomAccess
from pulp_dl.errors import DownloadError
from pulp_dl.interfaces import IRewindable
from pulp_dl.model.source import Head


@implementer(IRewindable)
class Part:
    """
    A part of it.

    @ivar at: where its next byte belongs.
    """

    def __init__(self, whole: Anywhere, start: int) -> None:
        self.whole = whole
        self.start = self.at = start
        self.producer: Any = None
        self.late = False  # a write had begun before it could be told to pause

    def gone(self) -> Deferred[DownloadError]:
        return self.whole.gone()

    def begin(self, head: Head) -> None:
        pass

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        self.whole.parts.add(self)
        if self.whole.paused:
            self.late = True
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
        self.whole.parts.discard(self)

    def write(self, data: bytes) -> None:
        assert not self.whole.paused or self.late, "write while it is paused"
        self.late = False
        self.at = self.whole.put(self.at, data)

    def rewind(self, head: Head) -> None:
        self.at = self.start

    def finish(self) -> None:
        pass

    def fail(self, failure: Failure) -> None:
        pass


@implementer(IRandomAccess)
class Anywhere(Part):
    """
    The whole.

    @ivar kept: what there is after C{finish}.
    @ivar written: how often bytes were written, in all.
    @ivar full_at: it pauses when so many are.
    @ivar ends: how often C{finish} and C{fail} were called.
    """

    def __init__(self) -> None:
        super().__init__(self, 0)
        self.data = bytearray()
        self.kept: bytes | None = None
        self.head: Head | None = None
        self.parts: set[Part] = set()
        self.paused = False
        self.written = 0
        self.full_at: int | None = None
        self.ends: list[str] = []
        self.leaving: list[Deferred[DownloadError]] = []

    def gone(self) -> Deferred[DownloadError]:
        self.leaving.append(Deferred())
        return self.leaving[-1]

    def begin(self, head: Head) -> None:
        self.head = head

    def put(self, at: int, data: bytes) -> int:
        assert self.head is not None, "write before begin"
        assert not self.ends, "write after the end"
        stop = at + len(data)
        self.data.extend(bytes(max(0, stop - len(self.data))))
        self.data[at:stop] = data
        self.written += len(data)
        if self.written == self.full_at:
            self.pause()
        return stop

    def pause(self) -> None:
        self.paused = True
        for each in tuple(self.parts):
            each.producer.pauseProducing()

    def resume(self) -> None:
        self.paused = False
        for each in tuple(self.parts):
            if each.producer is not None:  # what comes to one may end another
                each.producer.resumeProducing()

    def rewind(self, head: Head) -> None:
        assert not self.parts - {self}, "somebody still brings a part of what is forgotten"
        self.head, self.at = head, 0
        self.data.clear()

    def part(self, start: int) -> Any:
        assert self.head is not None, "part before begin"
        return Part(self, start)

    def seek(self, offset: int) -> None:
        assert offset <= len(self.data)
        self.at = offset

    def reread(self, start: int, stop: int, see: Callable[[bytes], object]) -> Deferred[None]:
        assert stop <= len(self.data)
        try:
            see(bytes(self.data[start:stop]))
        except Exception:
            return fail(Failure())
        return succeed(None)

    def finish(self) -> None:
        assert not self.parts
        self.ends.append("finish")
        self.kept = bytes(self.data)

    def fail(self, failure: Failure) -> None:
        assert not self.parts, "somebody still brings a part of what has failed"
        self.ends.append("fail")
