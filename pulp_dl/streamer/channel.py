"""A client's connection: what may come in on it, and how long it may do nothing."""

from __future__ import annotations

import socket
import termios
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from fcntl import ioctl
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import tcp
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

from ..consumers.plain import PHRASES, Plain
from .path import printable

if TYPE_CHECKING:
    from .content import Content

__all__ = ["Asking", "Channel"]

log = Logger()

BUFFER: Final = 4096
"""Bytes that are read at once, of requests, and more than which make a transport ask for a pause."""

FULL: Final = BUFFER + 1

BODY: Final = 64 * 1024
"""Bytes of a request's body that are read, to be thrown away, before the client is told that it may keep the rest."""

NAME: Final = 256
"""Bytes of a field's name: Twisted keeps names, ten thousand of them and for as long as the process lives."""


class Asking(Request):
    """A request.  Its body goes nowhere: not to an origin, not to memory, not to a disk."""

    channel: Any
    _came = 0

    def __init__(self, channel: Any, queued: object = False) -> None:
        super().__init__(channel, queued)
        self._lost: list[Callable[[], object]] = []

    def when_lost(self, call: Callable[[], object]) -> None:
        """As C{notifyFinish}, for the case that the client leaves first."""
        self._lost.append(call)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # of Twisted
        lost, self._lost = self._lost, []
        for call in lost:
            call()

    def finish(self) -> None:
        super().finish()  # type: ignore[no-untyped-call]  # of Twisted
        self._lost.clear()

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > BODY:
            self.requestHeaders.removeHeader(b"expect")  # no "100 Continue" for that
            self.channel.refuse(413)

    def handleContentChunk(self, data: bytes) -> None:
        self._came += len(data)
        if self._came > BODY:
            self.channel.refuse(413)

    def parseCookies(self) -> None:
        """Nobody asks for them."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self.method, self.uri, self.clientproto = command, path, version
        self.channel.asked(self)


_Untyped: Any = HTTPChannel


class Channel(_Untyped):  # type: ignore[misc]  # nothing in Twisted's channel has types
    """
    HTTP/1 with one client.

    Whether a client takes what it is given is asked of the kernel: a socket may hold megabytes, which a slow client
    takes for minutes while nothing is seen to happen here.
    """

    factory: Content
    timeOut = None  # who keeps us waiting is looked at by the factory, for all channels at once
    maxHeaders = 128

    def __init__(self, factory: Content) -> None:
        super().__init__()
        self.factory = factory
        self.requestFactory = Asking
        # The limit of the target answers for itself; a line that is still longer cannot be read.
        self.totalHeadersSize = self.MAX_LENGTH = factory.answers.max_head
        self.busy = False  # with a request
        self._reading = False  # the head of one
        self._full = False  # the client has not taken what it was given
        self._empty = True  # nothing of ours is in the transport's buffer
        self._socket: socket.socket | None = None  # to send at once
        self._rest: deque[memoryview] = deque()  # for the transport, when it has nothing left
        self._done: Request | None = None  # answered, but for that
        self._closing = False
        self._unsent = 0
        self._since: float = factory.reactor.seconds()  # when it last got on

    def connectionMade(self) -> None:
        super().connectionMade()
        transport: Any = self.transport
        if isinstance(transport, tcp.Connection) and not ISSLTransport.providedBy(transport):
            self._socket = transport.getHandle()
            transport.bufferSize = BUFFER
        self._host = transport.getHost()
        self.factory.opened(self)

    def getHost(self) -> Any:
        """Each request asks, and the kernel would be asked each time."""
        return self._host

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._rest.clear()
        self._done = None
        self.factory.closed(self)

    # requests

    def dataReceived(self, data: bytes) -> None:
        if not (self.busy or self._reading):
            self._reading = True
            self._since = self.factory.reactor.seconds()
        super().dataReceived(data)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        if request.requestHeaders.hasHeader(b"expect"):
            self._empty = False  # Twisted is about to say "100 Continue", by the transport; nothing may overtake that
        keep: bool = super().checkPersistence(request, version)
        if keep and self.factory.is_draining:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return keep

    def asked(self, request: Asking) -> None:
        """All of a request is here."""
        if self._closing:
            return
        self.busy, self._reading = True, False
        self.factory.answer(request)

    def requestDone(self, request: Request) -> None:
        if self._rest:  # what comes next, Twisted's own answers too, comes behind it
            self._done = request
            return
        self.busy = False
        self._since = self.factory.reactor.seconds()
        super().requestDone(request)  # here the next one may begin

    def headerReceived(self, line: bytes) -> bool:
        if len(line) > NAME and line.find(b":") > NAME:
            self.refuse(431)
            return False
        good: bool = super().headerReceived(line)
        return good

    def lineLengthExceeded(self, line: bytes) -> None:
        # A request object is made when its first line has been read.
        self.refuse(431 if self.requests else 414)

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's own answer tells no length and no date, and a cache may keep it."""
        large = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        self.refuse(431 if large else 400)

    def refuse(self, status: int) -> None:
        """Answer what is no request for us, and read no more."""
        if self._closing:
            return
        plain = Plain(status)
        lines = [b"HTTP/1.1 %d %b\r\n" % (status, PHRASES[status]), b"Connection: close\r\n"]
        lines += [b"%b: %b\r\n" % pair for pair in plain.head()]
        self.transport.write(b"".join([*lines, b"\r\n", plain.text]))
        log.info("{status} for {client}", status=status, client=self._client)
        self._reading = False  # it is not that the client was too slow
        self.loseConnection()

    # answers

    def write(self, data: bytes) -> None:
        """
        The transport copies what it is given, which for a large body costs as much as receiving it, and for a small one
        two turns of the reactor; so what can be sent now is sent now.  And it is given no more than makes it full: of
        the rest, others who are sent the same have no copy either.
        """
        if self._rest:
            self._rest.append(memoryview(data))
        elif self._empty and self._socket is not None:
            self._rest.append(memoryview(data))
            self._send()
        else:
            self._empty = False
            self.transport.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.write(b"".join(iovec))

    def _send(self) -> None:
        """What is left, as far as the client takes it; what makes the transport full, if it does not."""
        assert self._socket is not None
        while self._rest and not self._full:  # what does not make it full, it may send without a word
            data = self._rest.popleft()
            if self._empty:
                with suppress(OSError):  # there is no room, or no client; the transport finds out which
                    data = data[self._socket.send(data) :]
                if not data:
                    continue
            if len(data) > FULL:
                self._rest.appendleft(data[FULL:])
            self._empty = False
            self.transport.write(bytes(data[:FULL]))

    # ends

    def loseConnection(self) -> None:
        if self._closing:
            return
        if self._reading:
            log.info("{client} is not waited for, or understood, any longer", client=self._client)
        self._closing, self._reading = True, False
        self._since = self.factory.reactor.seconds()
        super().loseConnection()

    def drain(self) -> None:
        """No more requests: close, now or when the one that runs is answered."""
        if not self.busy:
            self.loseConnection()
            return
        self.persistent = 0
        request = self.requests[0]
        if not request.startedWriting:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])

    # patience

    def pauseProducing(self) -> None:
        if not self._full:
            self._full = True
            self._since = self.factory.reactor.seconds()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._empty, self._full = True, False  # it asks for more when it has nothing left
        if self._rest:
            self._send()
            if self._full:
                return
        done, self._done = self._done, None
        if done is not None:
            self.requestDone(done)
        super().resumeProducing()

    def look(self, now: float) -> None:
        """Has the client got on?  Called from time to time."""
        behind = self._full or bool(self._rest)
        if self.busy and not behind:
            return  # it waits for us
        unsent = _unsent(self.transport)
        if unsent != self._unsent:
            self._unsent, self._since = unsent, now
            return
        stuck = behind or self._closing or unsent > 0
        limit = self.factory.answers.patience if stuck else self.factory.answers.idle
        if now - self._since < limit:
            return
        if stuck:
            log.info("{client} took nothing for {seconds:g} s and is cut", client=self._client, seconds=limit)
            self.transport.abortConnection()
        else:
            self.loseConnection()

    @property
    def _client(self) -> str:
        return printable(str(getattr(self.transport.getPeer(), "host", "a local client")).encode())


def _unsent(transport: Any) -> int:
    """Bytes that the client's machine has not acknowledged (SIOCOUTQ of tcp(7)); 0 where that cannot be asked."""
    answer = array("i", [0])
    try:
        ioctl(transport.fileno(), termios.TIOCOUTQ, answer)
    except (OSError, AttributeError, ValueError):
        return 0
    return answer[0]
