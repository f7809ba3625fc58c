"""
The control connection: Twisted's L{FTPClient}, whose queue of commands is kept, and what it gets wrong set right.

  - A reply ends where RFC 959 says, and has a size that it may not exceed (L{ReplyReader}).
  - Login is a matter of its own (L{pulp_dl.protocols.ftp.login}), so that what the server says to it is heard.
  - A connection that is lost says so to every later question; Twisted's never answers them.
  - No line that is sent can hold a control character, but for a tab, which ends nothing and may be part of a name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.ftp import CommandFailed, FTPClient
from twisted.python.failure import Failure
from zope.interface import implementer

from ...errors import ConnectFailed, DownloadError, ProtocolError, Refused, TLSFailed
from ...model.headers import CONTROL
from .replies import Reply, ReplyReader
from .tls import explained

__all__ = ["Client"]

MARKS: Final = 16
"""Preliminary replies (1yz) that may come before the one that ends a command."""


@implementer(IHandshakeListener)
class Client(FTPClient):
    """
    One control connection, before and after its login.

    @ivar url: what is asked for; errors name it.
    @ivar lost: why it is gone, or None.
    @ivar secret: what none of its errors may show, whoever repeats it.
    @ivar marked: called, once, with the next preliminary reply (1yz).
    """

    transport: Any
    MAX_LENGTH = 16 * 1024
    delimiter = b"\n"  # some servers forget the other half of a line end; C{sendLine} does not

    def __init__(self, url: str, gone: Callable[[Client], None] = lambda client: None) -> None:
        """
        @param url: what is asked for first; errors name it.
        @param gone: called when the socket is closed.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # the class has no annotations
        self.url = url
        self.lost: Failure | None = None
        self.marked: Callable[[Reply], None] | None = None
        self.secret = ""
        self._gone = gone
        self._reader = ReplyReader()
        self._marks = 0
        self._broken: DownloadError | None = None
        self._ready: Deferred[None] | None = None
        self._connected = False
        # Twisted listens for the greeting as for the answer to a command that was never sent.
        greeting: Deferred[Any] = Deferred()
        self.nextDeferred = greeting
        self._greeting = self._reply(greeting)
        self._greeted = False

    def __repr__(self) -> str:
        return "<FTP control connection>"

    def queueLogin(self, username: str, password: str) -> None:
        """Not by itself: see L{pulp_dl.protocols.ftp.login}."""

    # getting ready

    def ready(self) -> Deferred[None]:
        """
        Fires with None when words may be exchanged: after the handshake, if TLS comes first.  Fails with the reason, as
        the transport gave it, if the connection is lost before.  Cancelling aborts.
        """
        ready: Deferred[None] = Deferred(lambda _: self.abort())
        if self.lost is not None:
            ready.errback(self.lost)
        elif self._connected:
            ready.callback(None)
        else:
            self._ready = ready
        return ready

    def connectionMade(self) -> None:
        if not ISSLTransport.providedBy(self.transport):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        self._connected = True
        ready, self._ready = self._ready, None
        if ready is not None and not ready.called:
            ready.callback(None)

    def start_tls(self, creator: Any) -> None:
        """
        From here on everything is encrypted.

        @raise ProtocolError: there are words already which were not, and would pass for such that were.
        """
        unread = self.clearLineBuffer()  # type: ignore[no-untyped-call]
        if unread or self._reader.within:
            raise ProtocolError("the server, or somebody in between, spoke on before TLS had begun", self.url)
        self.transport.startTLS(creator)

    # questions and answers

    @property
    def usable(self) -> bool:
        """It may be asked something: it is there, and has not said what it was not asked."""
        return self.lost is None and self._broken is None

    def greeted(self) -> Deferred[Reply]:
        """What the server says first; asked once.  Fires and fails as C{ask}."""
        self._greeted = True
        return self._greeting

    def ask(self, command: bytes) -> Deferred[Reply]:
        """
        Fires with the L{Reply}, good or bad; fails with L{ConnectFailed}, L{ProtocolError} or L{TLSFailed} if the
        connection is lost.  Cancelling leaves the connection waiting for the reply: it is then of no more use.

        @raise Refused: a control character would end the command and begin another one.
        """
        if CONTROL.search(command):
            return fail(Refused("a control character in an FTP command; it would begin another one", self.url))
        if self.lost is not None:
            return fail(self._why())
        self._marks = 0
        return self._reply(self.queueStringCommand(command))  # type: ignore[no-untyped-call]

    def _reply(self, answer: Deferred[Any]) -> Deferred[Reply]:
        return answer.addCallbacks(self._answered, self._unanswered)

    def _answered(self, lines: list[str]) -> Reply:
        return Reply(int(lines[-1][:3]), tuple(lines), self.secret)

    def _unanswered(self, failure: Failure) -> Any:
        if isinstance(failure.value, CommandFailed):
            return self._answered(failure.value.args[0])
        return failure if self.lost is None else Failure(self._why())

    def sendLine(self, line: bytes) -> None:
        self.transport.write(line + b"\r\n")

    def lineReceived(self, line: bytes) -> None:
        if not self.usable:
            return  # one read may bring many lines
        try:
            reply = self._reader.feed(line.removesuffix(b"\r"))
            if reply is None:
                return
            if self.nextDeferred is None:
                # "421 Timeout", or something that would answer the next command.
                raise ProtocolError(f"the server said {reply.code} although nothing was asked")
            if reply.code < 200:
                self._mark(reply)
                return
        except ProtocolError as error:
            self._break(error)
            return
        self.response = list(reply.lines[:-1])
        super().lineReceived(f"{reply.lines[-1]:<4}".encode("latin-1"))  # type: ignore[no-untyped-call]

    def _mark(self, reply: Reply) -> None:
        self._marks += 1
        if self._marks > MARKS:
            raise ProtocolError(f"the server sent more than {MARKS} preliminary replies")
        marked, self.marked = self.marked, None
        if marked is not None:
            marked(reply)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._break(ProtocolError(f"the server sent a line of more than {self.MAX_LENGTH} bytes"))

    # the end

    def fail(self, error: object) -> None:
        """As in Twisted, it ends the connection; at once."""
        self.abort()

    def _break(self, error: ProtocolError) -> None:
        if self._broken is None:
            self._broken = error
            self.abort()

    def abort(self) -> None:
        """Close the socket at once.  What is under way fails.  May be called again."""
        if self.lost is None and self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self.marked = None
        # First of all, so that whoever hears of the end finds the place free.
        self._gone(self)
        ready, self._ready = self._ready, None
        if ready is not None and not ready.called:
            ready.errback(reason)
        if not self._greeted:
            self._greeting.addErrback(lambda _: None)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _why(self) -> DownloadError:
        assert self.lost is not None
        cause = self.lost.value
        why = explained(cause)
        error: DownloadError
        if self._broken is not None:
            error = type(self._broken)(self._broken.message, self.url)
        elif why is not None:
            error = TLSFailed(why, self.url)
        else:
            how = "the server closed" if isinstance(cause, ConnectionDone) else "something broke"
            error = ConnectFailed(f"{how} the control connection", self.url)
        error.__cause__ = cause if isinstance(cause, Exception | SSL.Error) else None
        return error
