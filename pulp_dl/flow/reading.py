"""
A body that is read: nobody sends it, its pieces are asked for.

A file, a file on its way into a store and a file behind SFTP differ in how a piece is had.  What they do for their
consumer is the same, and is here.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ..interfaces import IBody
from ..model.source import Head

__all__ = ["ReadBody"]


@implementer(IBody, IPushProducer)
class ReadBody:
    """
    The base of such bodies.  A subclass reads from C{_offset} to C{_stop}, no further: what grows meanwhile is not
    read beyond what was announced.

    It says what comes next (C{_step}) and what it lets go of (C{_release}); it calls C{_flow} when something came, and
    C{_end} when there will be no more.
    """

    def __init__(self, head: Head, *, public: bool = True) -> None:
        self.head = head
        self.url = head.url
        self.public = public
        self._start = self._offset = 0 if head.span is None else head.span.start
        self._stop = self._start + (head.length or 0)
        self._paused = self._flowing = self._ended = False
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None

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

    def resumeProducing(self) -> None:
        self._paused = False
        self._flow()

    def stopProducing(self) -> None:
        self._end(Failure(CancelledError()))

    # for subclasses

    def _step(self) -> bool:
        """Write what is here, ask for more, or end; False if there is nothing to do but wait."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of what is read from.  May be called more than once."""
        raise NotImplementedError

    def _flow(self) -> None:
        """Go on, until there is something to wait for."""
        if self._flowing:  # resumed from inside a write: the loop below goes on
            return
        self._flowing = True
        try:
            while self._done is not None and not self._paused and self._step():
                pass
        finally:
            self._flowing = False

    def _write(self, data: bytes) -> None:
        assert self._consumer is not None
        try:
            self._consumer.write(data)
        except Exception:
            self._end(Failure())

    def _end(self, failure: Failure | None) -> None:
        """All is written (None), or there will be no more.  Only the first call counts."""
        done, self._done = self._done, None
        self._ended = True
        self._release()
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
