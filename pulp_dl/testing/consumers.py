"""Consumers that record what they are given, misbehave as they are told, and insist on the order of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConsumerGone, DownloadError
from ..interfaces import IBodyConsumer, IRewindable
from ..model.source import Head

__all__ = ["Misuse", "Recorder", "RewindableRecorder", "Sink"]


class Misuse(AssertionError):
    """A consumer was called in a way that its contract forbids."""


@implementer(IConsumer)
class Sink:
    """
    An L{IConsumer} for one body, such as C{IBody.deliver} wants.

    A call out of order raises L{Misuse}; whoever catches that does not hide it, for then C{data} and all other results
    raise it too.

    @ivar writes: what each C{write} brought.
    @ivar producer: while one is registered.
    @ivar paused: it has been told to pause.
    """

    def __init__(
        self,
        reactor: Any = None,
        *,
        pause_after: int | None = None,
        pause_for: float | None = None,
        speed: float | None = None,
        slack: int = 0,
        raises: Mapping[str, BaseException] | None = None,
        raise_at: int = 1,
    ) -> None:
        """
        @param reactor: an C{IReactorTime}, for what takes time.
        @param pause_after: after so many writes (0: at once) pause, until C{resume} is called.
        @param pause_for: pause for so many seconds after each write.
        @param speed: take so many bytes a second.
        @param slack: bytes that may still be written after a pause.  A body may bring one receive buffer, a pipe none.
        @param raises: what a method, by its name, raises.
        @param raise_at: which write, from 1, raises, if C{write} does.
        """
        self.writes: list[bytes] = []
        self.producer: Any = None
        self.paused = False
        self.unregistered = False
        self._reactor = reactor
        self._pause_after = pause_after
        self._pause_for = pause_for
        self._speed = speed
        self._slack = self._late = slack
        self._raises = dict(raises or {})
        self._raise_at = raise_at
        self._raised = False
        self._timer: Any = None
        self._misuse: Misuse | None = None

    @property
    def data(self) -> bytes:
        """All that was written."""
        self.check()
        return b"".join(self.writes)

    def check(self) -> None:
        """
        Nothing to say, if it was used well so far.

        @raise Misuse: it was not.
        """
        if self._misuse is not None:
            raise self._misuse

    def pause(self) -> None:
        """Take no more for now."""
        if self.producer is not None and not self.paused:
            self.paused = True
            self._late = self._slack
            self.producer.pauseProducing()

    def resume(self) -> None:
        """Go on."""
        self._timer = None
        if self.producer is not None and self.paused:
            self.paused = False
            self.producer.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._raise("registerProducer")
        self._insist(streaming, "the producer is no push producer")
        self._insist(self.producer is None and not self.unregistered, "a second producer")
        self.producer = producer
        if self._pause_after == 0:
            self.pause()

    def unregisterProducer(self) -> None:
        self._raise("unregisterProducer")
        self._insist(self.producer is not None, "unregisterProducer without a producer")
        self.producer = None
        self.unregistered = True
        self.paused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def write(self, data: bytes) -> None:
        self._insist(not self._raised, "write after a write that raised")
        if "write" in self._raises and len(self.writes) + 1 >= self._raise_at:
            self._raised = True
            self._raise("write")
        self._insist(self.producer is not None, "write without a producer")
        self._insist(isinstance(data, bytes) and bool(data), f"write of {data[:20]!r}, not of bytes")
        if self.paused:
            self._late -= len(data)
            self._insist(self._late >= 0, f"write of {len(data)} bytes after pauseProducing")
        self.writes.append(data)
        seconds = len(data) / self._speed if self._speed else self._pause_for
        if len(self.writes) == self._pause_after:
            self.pause()
        elif seconds is not None and not self.paused:
            self._timer = self._reactor.callLater(seconds, self.resume)
            self.pause()

    def _raise(self, method: str) -> None:
        if method in self._raises:
            raise self._raises[method]

    def _insist(self, condition: bool, what: str) -> None:
        if not condition:
            self._refuse(what)

    def _refuse(self, what: str) -> NoReturn:
        misuse = Misuse(f"{what} (after {len(self.writes)} writes)")
        self._misuse = self._misuse or misuse
        raise misuse


@implementer(IBodyConsumer)
class Recorder(Sink):
    """
    An L{IBodyConsumer} that cannot forget: for the engine it is as an HTTP response.

    All that a L{Sink} can be told goes here too; C{raises={"finish": OSError()}} is a full disk at the last moment.
    """

    def __init__(self, reactor: Any = None, *, finishing: Deferred[None] | None = None, **how: Any) -> None:
        """
        @param finishing: what C{finish} returns.
        """
        super().__init__(reactor, **how)
        self._finishing = finishing
        self._head: Head | None = None
        self._finished = self._finish_failed = False
        self._failure: Failure | None = None
        self._gone: list[Deferred[DownloadError]] = []
        self._left: DownloadError | None = None

    @property
    def head(self) -> Head | None:
        """The head it was given, the last one."""
        self.check()
        return self._head

    @property
    def finished(self) -> bool:
        """C{finish} was called, and did not raise."""
        self.check()
        return self._finished

    @property
    def failure(self) -> Failure | None:
        """What C{fail} was called with."""
        self.check()
        return self._failure

    def begin(self, head: Head) -> None:
        self._raise("begin")
        self._insist(self._head is None, "a second begin")
        self._insist(not self._ended, "begin after the end")
        self._head = head

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._insist(self._head is not None, "registerProducer before begin")
        self._insist(not self._ended, "registerProducer after the end")
        super().registerProducer(producer, streaming)

    def finish(self) -> Deferred[None] | None:
        self._insist(self.unregistered, "finish before unregisterProducer")
        self._insist(not self._ended, "finish after the end")
        try:
            self._raise("finish")
        except BaseException:
            self._finish_failed = True
            raise
        self._finished = True
        if self._finishing is not None:
            self._finishing.addErrback(self._unfinished)
        return self._finishing

    def fail(self, failure: Failure) -> None:
        self._insist(self._failure is None, "a second fail")
        self._insist(not self._finished, "fail after finish")
        self._insist(self.producer is None, "fail before unregisterProducer")
        self._insist(self._head is None or self.unregistered or "registerProducer" in self._raises, "fail after begin")
        self._failure = failure

    def gone(self) -> Deferred[DownloadError]:
        gone: Deferred[DownloadError] = Deferred()
        if self._left is not None:
            gone.callback(self._left)
        else:
            self._gone.append(gone)
        return gone

    def leave(self, error: DownloadError | None = None) -> None:
        """Take no more for good; C{gone} fires with this error, or with C{ConsumerGone}."""
        self._left = error or ConsumerGone("the client left")
        gone, self._gone = self._gone, []
        for each in gone:
            each.callback(self._left)

    @property
    def _ended(self) -> bool:
        return self._finished or self._finish_failed or self._failure is not None

    def _unfinished(self, failure: Failure) -> Failure:
        self._finished, self._finish_failed = False, True
        return failure


@implementer(IRewindable)
class RewindableRecorder(Recorder):
    """
    A L{Recorder} that can forget, as a file can.

    @ivar rewinds: how often it had to.
    """

    rewinds = 0

    def rewind(self, head: Head) -> None:
        self._raise("rewind")
        self._insist(self.producer is not None, "rewind without a producer")
        self.rewinds += 1
        self.writes.clear()
        self._head = head
