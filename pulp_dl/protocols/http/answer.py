"""
One answer and its body.

Consumers are called from outside the parser only, and, unless the body is all there, from outside C{deliver} itself:
then whoever called it waits for its Deferred already, so that a consumer that cancels from inside C{write} is heard.
(A coroutine that has not come to its C{await} yet would not hear it.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IProtocol, IPushProducer
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

if TYPE_CHECKING:
    from .connection import HTTPConnection

__all__ = ["Answer"]


@implementer(IPushProducer)
class Answer:
    """
    The head of an answer; its body comes when C{deliver} is called, exactly once, unless it is C{abandon}ed.

    @ivar connection: where it came.  Once the body is complete, another request may use it.
    @ivar version: the minor version of HTTP: 0 or 1.
    @ivar status: from 200 to 599.
    @ivar phrase: the reason, as it was sent.
    @ivar pairs: the fields, as they were sent.
    @ivar length: bytes of the body by its framing (0 for HEAD, 204 and 304); None if that is not known before its end.
    @ivar proven: False if only the end of the connection is the end of the body: it may be cut, and nobody could tell.
    """

    __slots__ = (
        "_consumer",
        "_done",
        "_failure",
        "_held",
        "_kept",
        "_over",
        "_soon",
        "connection",
        "handing_over",
        "length",
        "pairs",
        "phrase",
        "proven",
        "status",
        "version",
    )

    def __init__(
        self,
        connection: HTTPConnection,
        version: int,
        status: int,
        phrase: bytes,
        pairs: tuple[tuple[bytes, bytes], ...],
        length: int | None,
        *,
        proven: bool,
    ) -> None:
        self.connection = connection
        self.version = version
        self.status = status
        self.phrase = phrase
        self.pairs = pairs
        self.length = length
        self.proven = proven
        self.handing_over = True  # the connection is telling of this head, and pumps after that
        self._kept = b""
        self._over = False  # the connection has nothing to do with this body any more
        self._failure: Failure | None = None
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None
        self._held = False
        self._soon: IDelayedCall | None = None

    @property
    def address(self) -> str:
        """Of the other end of its connection; empty if that has none."""
        return self.connection.address

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {'?' if self.length is None else self.length} bytes>"

    # for whoever asked

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        """
        Register as a push producer, write the body as it was sent, unregister.

        Fires with None when the body is complete; its connection serves others by then, or is closed.  Fails with
        L{Truncated}, L{ProtocolError}, or whatever the consumer raises; that aborts the connection.  No write comes
        after that.  Cancelling, and C{stopProducing}, abort at once and fail with C{CancelledError}.  What is
        all here is written before this returns.
        """
        if self._done is not None:
            raise RuntimeError("a body is delivered once")
        done: Deferred[None] = Deferred(self._cancelled)
        self._done = done
        self._consumer = consumer
        try:
            consumer.registerProducer(self, True)
        except Exception:
            self._give_up(Failure())
        else:
            if self._over:
                self.pump()
            elif not self.handing_over and self._consumer is not None:
                self._soon = self.connection.clock.callLater(0, self._begin)
        return done

    def deliverBody(self, protocol: IProtocol) -> None:
        """As C{IResponse} has it."""
        self.deliver(_Feeder(protocol)).addBoth(_tell, protocol, proven=self.proven)

    def abandon(self) -> None:
        """The body is not wanted.  If there is more of it to come, the connection is aborted."""
        if self._done is None:
            self._done = Deferred()
            self._abort()

    @property
    def wanted(self) -> bool:
        """Somebody takes the body."""
        return self._done is not None

    # a push producer for the consumer

    def pauseProducing(self) -> None:
        self._held = True
        if not self._over:
            self.connection.pause()

    def resumeProducing(self) -> None:
        self._held = False
        if not self._over:
            self.connection.resume()

    def stopProducing(self) -> None:
        if self._consumer is not None:
            self._give_up(Failure(CancelledError()))

    loseConnection = abortConnection = stopProducing  # for the protocol of deliverBody, whose transport this is

    # for the connection

    def arrived(self, data: bytes) -> None:
        """More of the body."""
        self._kept = self._kept + data if self._kept else data

    def ended(self, failure: Failure | None = None) -> None:
        """The body is complete, or will never be.  The connection is on its own from here on."""
        self._over = True
        self._failure = failure

    def pump(self) -> None:
        """Pass on what is here, if somebody takes it.  Not called inside the parser."""
        consumer = self._consumer
        if consumer is None:
            return
        if self._kept:
            data, self._kept = self._kept, b""
            try:
                consumer.write(data)
            except Exception:
                self._give_up(Failure())
                return
        if self._over and self._consumer is not None:
            self._finish(self._failure)

    # the rest

    def _begin(self) -> None:
        """The same, for one who took their time before they wanted the body; so the connection is paused."""
        self._soon = None
        self.pump()
        if not self._held and not self._over:
            self.connection.resume()

    def _give_up(self, failure: Failure) -> None:
        self._abort()
        self._finish(failure)

    def _cancelled(self, _: Deferred[None]) -> None:
        self._give_up(Failure(CancelledError()))

    def _abort(self) -> None:
        if not self._over:
            self._over = True
            self.connection.abort()

    def _finish(self, failure: Failure | None) -> None:
        consumer, self._consumer = self._consumer, None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if consumer is not None:
            try:
                consumer.unregisterProducer()
            except Exception:
                failure = failure or Failure()  # what came first counts
        assert self._done is not None
        if failure is None:
            self._done.callback(None)
        else:
            self._done.errback(failure)


@implementer(IConsumer)
class _Feeder:
    """A protocol that reads a body, as C{IResponse.deliverBody} takes it, in the place of a consumer."""

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._protocol.makeConnection(producer)

    def unregisterProducer(self) -> None:
        """C{connectionLost} tells."""

    def write(self, data: bytes) -> None:
        self._protocol.dataReceived(data)


def _tell(result: Failure | None, protocol: IProtocol, *, proven: bool) -> None:
    reason: Exception = ResponseDone() if proven else PotentialDataLoss()
    if result is not None:
        reason = ResponseFailed([result])
    protocol.connectionLost(Failure(reason))
