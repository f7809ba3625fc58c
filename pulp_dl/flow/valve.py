"""
The valve between a producer that comes and goes and a consumer that stays.

Whoever wants the flow to stop holds the valve for a reason of its own; the flow goes on when nobody holds it.  So the
consumer, a full queue of hashing and a limit of bytes a second never undo each other's pause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from zope.interface import implementer

from .timers import Call, Clock

__all__ = ["REST", "Valve"]

REST: Final = 5.0
"""Seconds for which a consumer takes nothing before that is told."""


@implementer(IConsumer, IPushProducer)
class Valve:
    """
    Upstream a consumer, downstream a push producer.

    Bytes that come although the valve is closed (a producer may finish its receive buffer: Twisted #9132) are kept and
    let through in order later.  Pull producers are driven by the clock, one piece a turn.

    @ivar rested: called each time that the consumer has taken nothing for another L{REST} seconds.
    """

    rested: Callable[[], None] | None = None

    # Each download has a valve, and most are never closed: what is held, or kept, is made when it is.
    _holders: frozenset[str] = frozenset()
    _kept: deque[bytes] | None = None

    _flushing = False
    _producer: Any = None
    _paused = False  # what the producer was told last
    _pull: Call | None = None
    _streaming = True
    _drained: Deferred[None] | None = None
    _rest: Call | None = None
    _closed = False

    def __init__(
        self,
        clock: Clock,
        sink: Callable[[bytes], None],
        stopped: Callable[[], None],
        turned: Callable[[bool], None] = lambda open_: None,
    ) -> None:
        """
        @param sink: where bytes go while the valve is open.
        @param stopped: called when downstream wants no more (C{stopProducing}).
        @param turned: called with True when the valve opens and False when it closes.
        """
        self._clock = clock
        self._sink = sink
        self._stopped = stopped
        self._turned = turned

    @property
    def open(self) -> bool:
        return not self._holders

    @property
    def wanted(self) -> bool:
        """The consumer takes bytes; whether others let any through is another matter."""
        return "consumer" not in self._holders

    # upstream: a consumer

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        self._producer, self._streaming, self._paused = producer, streaming, False
        if not streaming:
            self._ask_later()
        elif self._holders:
            self._pause()

    def unregisterProducer(self) -> None:
        self._producer = None
        if self._pull is not None:
            self._pull.cancel()
            self._pull = None

    def write(self, data: bytes) -> None:
        if self._holders or self._kept or self._flushing:
            if self._kept is None:
                self._kept = deque()
            self._kept.append(data)
        else:
            self._sink(data)

    # downstream: a push producer

    def pauseProducing(self) -> None:
        if self._rest is None and not self._closed:  # a timer that nobody would stop any more
            self._rest = self._clock.callLater(REST, self._rests)
        self.hold("consumer")

    def resumeProducing(self) -> None:
        self._wake()
        self.release("consumer")

    def _rests(self) -> None:
        self._rest = self._clock.callLater(REST, self._rests)
        if self.rested is not None:
            self.rested()

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def stopProducing(self) -> None:
        self._stopped()

    # the holders

    def hold(self, reason: str) -> None:
        """Stop the flow for this reason.  Holding twice is holding once."""
        if reason in self._holders:
            return
        self._holders |= {reason}
        if len(self._holders) == 1:
            self._turned(False)
            if self._producer is not None and self._streaming:
                self._pause()

    def release(self, reason: str) -> None:
        """This reason is gone; the flow goes on if it was the last one."""
        if reason not in self._holders:
            return
        self._holders -= {reason}
        if self._holders:
            return
        self._turned(True)
        self._flush()
        if self._holders or self._producer is None:
            return
        if not self._streaming:
            self._ask_later()
        elif self._paused:
            self._paused = False
            self._producer.resumeProducing()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def _flush(self) -> None:
        if self._flushing:
            return
        self._flushing = True  # the sink may hold and release again while it is given a piece
        try:
            while self._kept and not self._holders:
                self._sink(self._kept.popleft())
        finally:
            self._flushing = False
        if not self._kept and not self._holders and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def put_back(self, data: bytes) -> None:
        """For the sink, which holds the valve: it had too much of a piece.  This is the first to come again."""
        if self._kept is None:
            self._kept = deque()
        self._kept.appendleft(data)

    def drained(self, *, open_: bool = False) -> Deferred[None] | None:
        """
        None if nothing is kept; else fires with None when the last kept byte went through.

        @param open_: and the valve is open.
        """
        if not self._kept and not self._flushing and (self.open or not open_):
            return None
        if self._drained is None:
            self._drained = Deferred(self._undrained)
        return self._drained

    def _undrained(self, _: Deferred[None]) -> None:
        self._drained = None

    @property
    def kept(self) -> int:
        """Bytes that came and have not gone through."""
        return sum(map(len, self._kept or ()))

    def clear(self) -> None:
        """Forget what is kept: the bytes of an attempt that failed."""
        self._kept = None

    def close(self) -> None:
        """It leads nowhere any more: bytes are lost, and nobody is told of anything."""
        self._closed = True
        self.unregisterProducer()
        self._wake()
        self._kept = None
        self._sink = self._turned = _nobody
        self._stopped = _nothing

    def _ask_later(self) -> None:
        if self._pull is None:
            self._pull = self._clock.callLater(0, self._ask)

    def _ask(self) -> None:
        self._pull = None
        if self._producer is not None and not self._holders:
            self._producer.resumeProducing()
            if self._producer is not None:
                self._ask_later()


def _nobody(_: object) -> None:
    """Take what is for nobody."""


def _nothing() -> None:
    """Do nothing."""
