"""
One HTTP/1.1 connection, one request at a time.

It is ours, and not Twisted's, for what that one cannot give: why the connection ended (FIN or RST), the fields as they
were sent, limits, an end at any moment even over TLS, and a right rule of reuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import ConnectFailed, DownloadError, ProtocolError, TimedOut
from ...flow.timers import Call, Clock
from .answer import Answer
from .ends import before_the_head, within_the_body
from .framing import Framing, Malformed
from .outbox import Outbox
from .tls_transport import TLSTransport, wire
from .wire import Wire

__all__ = ["Answer", "HTTPConnection"]

USUAL: Final = 64 * 1024
LARGE: Final = 256 * 1024
"""Bytes that are read at once, usually and of a large body; a MiB costs more again, for memory that comes and goes."""

STEADY: Final = 8 * 1024 * 1024
"""Bytes after which a reader that pauses, but never for long, is taken for a quick one."""

_IDLED: Final = (400, 408)
"""What servers say on a connection that idles for too long, before they close it (400: that there is no request)."""

LONG: Final = 0.1
"""Seconds; a pause that is longer is that of a slow reader."""


@implementer(IHandshakeListener)
class HTTPConnection(Protocol):
    """
    A connection goes through C{ready}, then any number of C{request}s, one after the other.

    After each answer it tells C{idle} if it may carry another request; else it closes itself.  In the end, when the
    socket is closed, it tells C{gone}, once.

    @ivar clock: the reactor.
    @ivar address: of the other end, as the factory was told of it; empty if it has none.
    @ivar silent: not one byte of an answer to the current request has come.  If the connection is C{reused}, the server
        may have closed it before it saw the request.
    """

    address = ""
    silent = True

    def __init__(
        self,
        clock: IReactorTime,
        idle: Callable[[HTTPConnection], None],
        gone: Callable[[HTTPConnection], None],
        timers: Clock | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        """
        @param timers: for limits of time; None for C{clock}.
        @param outbox: where requests wait for others to go out with; None, and they go out at once.
        """
        self.clock = clock
        self._timers: Clock = timers or clock
        self._tell_idle = idle
        self._tell_gone = gone
        self._outbox = outbox
        self._unsent = b""
        self._framing = Framing()
        self._requests = 0
        self._url = ""
        self._established = False
        self._aborted = False
        self._buffer = USUAL
        self._unpaused = 0  # bytes, heads included, that came since the last pause
        self._steady = 0  # and since the last long one
        self._paused_at = 0.0
        self._paused = False
        self._emptied = False  # in this turn all was read that had come
        self._lost: Failure | None = None
        self._error: DownloadError | None = None  # why it was given up
        self._wire: Wire | TLSTransport | None = None
        self._getting_ready: Deferred[None] | None = None
        self._asking: Deferred[Answer] | None = None
        self._limit: Call | None = None
        self._answer: Answer | None = None

    @property
    def reused(self) -> bool:
        """The current request is not the first one on this connection."""
        return self._requests > 1

    @property
    def alive(self) -> bool:
        """It was made, and its socket is not closed yet."""
        return self.transport is not None and self._lost is None

    def usable(self) -> bool:
        """
        While it idles: could it carry a request?

        Not if there is something to be read: the end, or what nobody asked for and would become the next answer.
        (Over TLS it may be a session ticket, though these come with the handshake; then that is all that is lost.)
        """
        if self._aborted or self._lost is not None:
            return False
        return self._emptied or self._wire is None or self._wire.silent()

    # getting ready

    def ready(self) -> Deferred[None]:
        """
        Fires with None when a request may be sent: at once over TCP, after the handshake over TLS.

        Fails with the reason, as the transport gave it, if the connection is lost before.  Cancelling aborts.
        """
        ready: Deferred[None] = Deferred(self._cancel_ready)
        if self._lost is not None:
            ready.errback(self._lost)
        elif self._established:
            ready.callback(None)
        else:
            self._getting_ready = ready
        return ready

    def _cancel_ready(self, _: Deferred[None]) -> None:
        self._getting_ready = None
        self.abort()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if self._aborted:
            transport.abortConnection()
            return
        self._wire = wire(transport)
        if not self._wire.tls:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        self._established = True
        ready, self._getting_ready = self._getting_ready, None
        if ready is not None:
            ready.callback(None)

    # asking

    def request(
        self, data: bytes, method: bytes, url: str, limit: float | None = None, *, explicit: bool = False
    ) -> Deferred[Answer]:
        """
        Ask, when nothing else is asked.

        Fires with an L{Answer} when its head has come, after interim ones; fails with L{ConnectFailed}, L{TLSFailed},
        L{ProtocolError} or, when it has not come in time, L{TimedOut}.  Cancelling aborts the connection at once.

        @param data: the head of the request as it goes on the wire.
        @param url: what errors name.
        @param limit: seconds until the head has to be here.
        @param explicit: nothing more is asked on this connection, unless the answer says that it is kept.
        """
        if self._asking is not None or self._answer is not None:
            raise RuntimeError("one request at a time")
        self._requests += 1
        self._url = url
        self.silent = True
        if self._lost is not None or self._aborted:
            return fail(ConnectFailed("the connection was closed before the request was sent", url))
        self._framing.expect(method, explicit=explicit)
        asking: Deferred[Answer] = Deferred(self._cancel_request)
        self._asking = asking
        if limit is not None:
            self._limit = self._timers.callLater(limit, self._late, limit)
        self._unsent = data
        if self._outbox is None:
            self._send()
        else:
            self._outbox.put(self._send)
        return asking

    def _send(self) -> None:
        unsent, wire = self._unsent, self._wire
        if not unsent or wire is None or self._aborted:
            return
        if self._requests == 1 and not wire.tls and not wire.silent():
            return  # it speaks first, and is read before anything else happens
        self._unsent = b""
        wire.send(unsent)

    def _cancel_request(self, asking: Deferred[Answer]) -> None:
        if self._asking is asking:
            self._no_longer_asking()
            self.abort()

    def _late(self, limit: float) -> None:
        self._limit = None
        self._give_up(TimedOut("head", limit, self._url))

    def _no_longer_asking(self) -> Deferred[Answer] | None:
        asking, self._asking = self._asking, None
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.cancel()
        return asking

    # the answer

    def dataReceived(self, data: bytes) -> None:
        if self._aborted:
            return
        asking, answer = self._asking, self._answer
        if answer is None and (asking is None or (self._unsent and self.reused)):
            self._unasked()
            return
        self.silent = False
        drained = len(data) < self._buffer
        framing = self._framing
        try:
            body = framing.feed(data)
        except Malformed as malformed:
            error = ProtocolError(str(malformed), self._url)
            error.__cause__ = malformed
            self._give_up(error)
            return
        if answer is None:
            if not framing.status:
                self._begun()
                return
            if framing.status >= 400 and self._crossed():
                self._unasked()
                return
            answer = self._begin()
        if body:
            answer.arrived(body)
        if framing.complete:
            self._complete(answer, drained=drained)
        elif body:
            self._came(len(data))
        # From here on the connection may be at work for somebody else.
        if asking is not None:
            self._hand_over(asking, answer)
        answer.pump()
        if self._answer is answer and not answer.wanted:
            self.pause()
        self._emptied = False

    def _begun(self) -> None:
        """A head is not complete yet."""
        if self._unsent:
            self._unasked()

    def _crossed(self) -> bool:
        """Was this said to one that idled for too long, before the server had this request?"""
        framing = self._framing
        return framing.status in _IDLED and self._requests > 1 and not framing.persistent

    def _unasked(self) -> None:
        """
        Whatever this is, it would become the answer to a request that has not gone out, or to the next one; or it is
        for one that did not come for too long, and has crossed ours.
        """
        self.silent = True
        self._give_up(ConnectFailed("the server sent something before it was asked", self._url))

    def _begin(self) -> Answer:
        framing = self._framing
        self._no_longer_asking()
        if self._unsent:  # who answers before the request went out does not hear it any more, nor another one
            self._unsent = b""
            framing.last()
        self._answer = answer = Answer(
            self,
            framing.version,
            framing.status,
            framing.reason,
            framing.pairs,
            framing.length,
            proven=not framing.until_close,
        )
        return answer

    def _hand_over(self, asking: Deferred[Answer], answer: Answer) -> None:
        if asking.called:
            answer.abandon()  # cancelled by what the pool set going
        else:
            asking.callback(answer)
        answer.handing_over = False

    def _came(self, size: int) -> None:
        self._unpaused += size
        self._steady += size
        if self._unpaused >= USUAL or self._steady > STEADY:
            self._read_at_once(LARGE)

    def _read_at_once(self, size: int) -> None:
        """
        A body of which one read has come without a pause, or a long way without a long one, is read in larger pieces:
        each goes the whole way to the consumer, which costs as much as hashing it.  A slow reader has no use for them,
        and would only keep them.
        """
        if size != self._buffer:
            self._buffer = size
            assert self._wire is not None
            self._wire.read_at_once(size)

    def _complete(self, answer: Answer, *, drained: bool) -> None:
        self._answer = None
        self._unpaused = self._steady = 0
        self._read_at_once(USUAL)
        answer.ended()
        self._emptied = self._wire is not None and self._wire.emptied(drained=drained)
        # What came with it would become the answer to the next request.
        if self._framing.reusable and self.usable():
            self.resume()
            self._tell_idle(self)
        else:
            self.abort()

    def _give_up(self, error: DownloadError) -> None:
        """Whoever waits hears of it when the socket is closed, so that they find its place free."""
        self._error = error
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self.abort()

    # the flow, for an answer that is not complete

    def pause(self) -> None:
        """Read nothing more.  What is in the receive buffer still comes."""
        if not self._paused and not self._aborted and self._lost is None:
            self._paused = True
            self._paused_at = self.clock.seconds()
            self._unpaused = 0
            if self._steady <= STEADY:
                self._read_at_once(USUAL)
            transport: Any = self.transport
            transport.pauseProducing()

    def resume(self) -> None:
        if self._paused and not self._aborted and self._lost is None:
            self._paused = False
            if self.clock.seconds() > self._paused_at + LONG:
                self._steady = 0
                self._read_at_once(USUAL)
            transport: Any = self.transport
            transport.resumeProducing()

    # the end

    def abort(self) -> None:
        """
        Close the socket at once: paused or not, and without waiting for a TLS peer to say goodbye.

        What is under way fails with C{CancelledError}.
        """
        if not self._aborted:
            self._aborted = True
            if self.alive:
                transport: Any = self.transport
                transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason
        unclean = False
        if self._wire is not None:
            unclean = self._wire.unclean
            self._wire.close()
            self._wire = None
        ready, self._getting_ready = self._getting_ready, None
        asking = self._no_longer_asking()
        answer, self._answer = self._answer, None
        # First of all, so that whoever hears of the end finds the place free.
        self._tell_gone(self)
        if ready is not None and not ready.called:
            ready.errback(reason)
        aborted = (self._error or CancelledError()) if self._aborted else None
        if asking is not None and not asking.called:
            asking.errback(aborted or before_the_head(reason.value, self._url, silent=self.silent))
        if answer is not None:
            error = aborted or within_the_body(reason.value, self._framing, self._url, unclean=unclean)
            answer.ended(None if error is None else Failure(error))
            answer.pump()
