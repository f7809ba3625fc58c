"""
The body of an FTP transfer.

It is whole when the server says so (226), its connection was closed in good order, and it has the size that SIZE said:
each of them alone is known to lie.  Over TLS that size makes up for an end without close_notify; without it, what is
expected of the file may (C{Truncated.unproven}).  A part that ends before the file does is cut by us, at its last byte.
Some parts have to be proven after that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import DownloadError, ProtocolError, TLSFailed, Truncated
from ...flow.reading import ReadBody
from ...interfaces import IBody
from ...model.source import Head
from .replies import Reply, refusal
from .tls import explained

if TYPE_CHECKING:
    from .data import DataConnection
    from .fetcher import FTPFetcher
    from .session import Session

__all__ = ["Answer", "Body"]

AHEAD: Final = 65536
"""Bytes that come before anybody wants them: one receive buffer, so that a small file is all here by then."""


class Answer(ReadBody):
    """A head that has no body: 304 or 416.  No connection is used for it any more."""

    def _step(self) -> bool:
        self._end(None)
        return False

    def _release(self) -> None:
        """There is nothing to let go of."""


@implementer(IBody, IPushProducer)
class Body:
    """One transfer that the server has begun.  The fetcher keeps it until it is over."""

    def __init__(
        self,
        fetcher: FTPFetcher,
        session: Session,
        data: DataConnection,
        finished: Deferred[Reply],
        head: Head,
        *,
        public: bool,
        proof: Callable[[], Deferred[None]] | None = None,
    ) -> None:
        """
        @param finished: fires with the last reply to RETR.
        @param proof: called when all has come and the session may be asked again, or is lost.  What it fails with, the
            body fails with.
        """
        self.head = head
        self.url = head.url
        self.public = public
        self._fetcher = fetcher
        self._session = session
        self._data = data
        self._length = head.length
        span = head.span
        self._cut = span is not None and span.stop != head.total  # it ends before the file does
        self._received = 0
        self._kept = b""
        self._reply: Reply | None = None
        self._lost: DownloadError | None = None
        self._proof = proof
        self._proving: Deferred[None] | None = None
        self._over = False
        self._failure: Failure | None = None
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None
        self._held = False
        self._soon: Any = None
        fetcher.bodies.add(self)
        data.listen(self._arrived, self._check)
        finished.addCallbacks(self._replied, self._unreplied)

    # for whoever asked

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        """
        What is all here is written before this returns; else nothing is, so that whoever called it can cancel.
        """
        if self._done is not None:
            raise RuntimeError("a body is delivered once")
        done: Deferred[None] = Deferred(lambda _: self.stopProducing())
        self._done = done
        self._consumer = consumer
        try:
            consumer.registerProducer(self, True)
        except Exception:
            self._give_up(Failure())
        else:
            if self._over:
                self._pump()
            elif self._consumer is not None:
                self._soon = self._fetcher.reactor.callLater(0, self._begin)
        return done

    def abandon(self) -> None:
        if self._done is None:
            self._done = Deferred()
            self._abort()
            self._fetcher.bodies.discard(self)

    # a push producer for the consumer

    def pauseProducing(self) -> None:
        self._held = True
        self._data.pause()

    def resumeProducing(self) -> None:
        self._held = False
        if self._soon is None:
            self._pump()
            self._flow()

    def stopProducing(self) -> None:
        if self._consumer is not None:
            self._give_up(Failure(CancelledError()))

    # what comes

    def _begin(self) -> None:
        self._soon = None
        self._pump()
        self._flow()

    def _flow(self) -> None:
        if not self._held and not self._over:
            self._data.resume()

    def _arrived(self, data: bytes) -> None:
        if self._over:
            return
        left = None if self._length is None else self._length - self._received
        if left is not None and len(data) > left:
            if not self._cut:
                self._end(ProtocolError(f"more bytes came than the {self._length} that SIZE said", self.url))
                self._pump()
                return
            data = data[:left]
        self._received += len(data)
        self._kept = self._kept + data if self._kept else data
        if self._cut and self._received == self._length:
            self._end(None)
        elif (self._consumer is None or self._soon is not None) and len(self._kept) >= AHEAD:
            self._data.pause()
        self._pump()

    def _replied(self, reply: Reply) -> None:
        self._reply = reply
        if not self._over:
            self._check()
        elif self._session.lingered():
            self._leave()

    def _unreplied(self, failure: Failure) -> None:
        error = failure.value
        self._lost = error if isinstance(error, DownloadError) else ProtocolError("the transfer was cut", self.url)
        if not self._over:
            self._check()
        elif self._proof is not None:
            self._prove(self._proof)

    def _check(self) -> None:
        """Is there anything left to wait for?"""
        if self._over:
            return
        if self._lost is not None:
            self._end(self._broken(self._lost))
        elif self._reply is not None and not self._reply.good:
            self._session.refused(self._reply)
            self._end(self._broken(refusal(self._reply, self.url)))
        elif self._data.broken is not None:
            if isinstance(self._data.broken, SSL.Error) and not self._received:
                self._session.resume_otherwise()
            why = explained(self._data.broken)
            error: DownloadError = ProtocolError("the data connection broke", self.url)
            if why is not None:
                error = TLSFailed(f"data connection: {why}", self.url)
            error.__cause__ = self._data.broken
            self._end(self._broken(error) if why is None else error)
        elif self._reply is not None and self._data.ended:
            missing = self._length is not None and self._received != self._length
            unproven = self._length is None and not self._data.clean
            whole = not (missing or unproven)
            self._end(None if whole else Truncated(self._received, self._length, self.url, unproven=unproven))
        else:
            return
        self._pump()

    def _broken(self, cause: DownloadError) -> DownloadError:
        if self._length is None or self._received < self._length:
            error: DownloadError = Truncated(self._received, self._length, self.url)
        else:
            error = ProtocolError(f"all bytes came, but not a good end: {cause.message}", self.url)
        error.__cause__ = cause
        return error

    # the end

    def _end(self, error: DownloadError | None) -> None:
        """All has come, or never will."""
        self._over = True
        if error is not None:
            self._failure, self._proof = Failure(error), None
            self._session.abort()
            return
        if not self._data.ended:
            self._data.abort()
        if self._reply is None:
            self._session.linger()
        else:
            self._leave()

    def _leave(self) -> None:
        """The session may be asked something else."""
        if self._proof is None:
            self._session.done()
        else:
            self._prove(self._proof)

    def _prove(self, proof: Callable[[], Deferred[None]]) -> None:
        self._proof = None
        self._proving = proof()
        self._proving.addBoth(self._proven)

    def _proven(self, result: object) -> None:
        if self._proving is not None:  # and nobody has given up meanwhile
            self._proving = None
            self._failure = result if isinstance(result, Failure) else None
            self._pump()

    def _pump(self) -> None:
        """Pass on what is here, if somebody takes it."""
        if self._consumer is None or self._soon is not None:
            return
        if self._kept and not self._held:
            data, self._kept = self._kept, b""
            try:
                self._consumer.write(data)
            except Exception:
                self._give_up(Failure())
                return
        unproven = self._proof is not None or self._proving is not None
        if self._over and not unproven and self._consumer is not None and not self._kept:
            self._finish(self._failure)

    def _give_up(self, failure: Failure) -> None:
        self._abort()
        self._finish(failure)

    def _abort(self) -> None:
        self._proof, proving, self._proving = None, self._proving, None
        if proving is not None:
            proving.cancel()
        if not self._over:
            self._over = True
            self._session.abort()

    def _finish(self, failure: Failure | None) -> None:
        consumer, self._consumer = self._consumer, None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._fetcher.bodies.discard(self)
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
