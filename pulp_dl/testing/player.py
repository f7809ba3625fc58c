"""
Plays scripts to HTTP clients.  It knows no reactor but the clock and the transport it is given, so it does the same
over sockets and in memory.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from struct import unpack
from termios import TIOCOUTQ
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.interfaces import IPullProducer, ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from .pipe import MemoryTransport
from .relay import Relay
from .script import Act, Close, CutTLS, Hold, Join, Request, Reset, Script, Send, StartTLS, Wait, acts

if TYPE_CHECKING:
    from .stage import Stage

_TURN = 100
"""Acts that need no waiting, before the reactor gets a turn: a script without end must not hold it up."""


@implementer(IPullProducer)
class Player(Protocol):
    """
    One connection.  It is a pull producer of its TCP transport, even under TLS: so it learns when all that was sent has
    left this process, and a step never overtakes the one before it.
    """

    transport: Any

    def __init__(self, stage: Stage, before: Player | None = None) -> None:
        """
        @param before: who played on this connection until now.
        """
        self._stage = stage
        self._before = before
        self._behind: Any = None
        self._clock = stage.clock
        self._received = b""
        self._skip = 0
        self._acts: Iterator[Act] | None = None
        self._timer: Any = None
        self._draining = False
        self._over = False
        self._queue_looks = 0

    # ---- the connection

    def connectionMade(self) -> None:
        self._wire = self.transport
        while bool(ISSLTransport.providedBy(self._wire)):
            self._wire = self._wire.transport
        with suppress(AttributeError):
            self._wire.setTcpNoDelay(True)
        self._wire.registerProducer(self, False)
        if self._before is None:
            self.number = self._stage.enter(self)
            self._greet()
        else:
            self.number, self._acts = self._before.number, self._before._acts
            self._stage.replace(self._before, self)
            self._next()

    def _greet(self) -> None:
        self._play(self._stage.greeting, Request("", ""))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._behind is not None:
            self._behind.connectionLost(reason)
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._acts = None
        self._stage.leave(self)

    @property
    def alive(self) -> bool:
        """False as soon as the peer has closed, even if this process has not yet been told."""
        if self._over:
            return False
        if isinstance(self._wire, MemoryTransport):
            return self._wire.other.connected
        handle = self._handle()
        # The first byte of struct tcp_info is the state; 1 is ESTABLISHED.
        return handle is None or bool(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1)

    def _handle(self) -> socket.socket | None:
        get = getattr(self._wire, "getHandle", None)
        handle = None if get is None else get()
        return handle if isinstance(handle, socket.socket) else None

    def reset(self) -> None:
        self._over = True
        self._acts = None
        self._wire.abortConnection()

    # ---- requests

    def dataReceived(self, data: bytes) -> None:
        if self._behind is not None:
            self._behind.dataReceived(data)
            return
        self._received += data
        self._next_request()

    def _next_request(self) -> None:
        if self._acts is not None or self._over:
            return
        skipped = min(self._skip, len(self._received))
        self._received, self._skip = self._received[skipped:], self._skip - skipped
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if self._skip or not found:
            return
        self._received = rest
        request = self._request(head + found)
        self._skip = int(request.get(b"content-length") or 0)
        self._stage.requests.append(request)
        self._play(self._stage.script, request)

    def _request(self, raw: bytes) -> Request:
        first, *lines = raw[:-4].split(b"\r\n")
        method, target, version = [*first.split(b" "), b"", b""][:3]
        pairs = tuple((name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines))
        tls: Any = self.transport if ISSLTransport.providedBy(self.transport) else None
        peer = None if tls is None else tls.getPeerCertificate()
        certificate = None if peer is None else peer.to_cryptography()
        request = Request(
            method.decode("latin-1"), target.decode("latin-1"), pairs, version, self.number, 0, raw, certificate
        )
        return evolve(request, nth=self._stage.count(request.host, request.path))

    # ---- the script

    def _play(self, script: Script, request: Request) -> None:
        self._acts = acts(script, request)
        self._next()

    def go_on(self) -> None:
        """What it waited for has come."""
        self._timer = None
        self._next()

    def resumeProducing(self) -> None:
        if self._draining:
            self._draining = False
            self._next()

    def stopProducing(self) -> None:
        """The connection is lost; C{connectionLost} tells."""

    def _next(self) -> None:
        for _ in range(_TURN):
            act = None if self._acts is None else next(self._acts, None)
            if act is None:
                self._acts = None
                return self._next_request()
            if self._do(act):
                return None
        self._wait(0)
        return None

    def _do(self, act: Act) -> bool:
        """True if the next act has to wait."""
        match act:
            case Send(b""):
                return False
            case Send(data):
                self._draining = True
                self._stage.bytes_sent += len(data)
                self.transport.write(data)
            case Wait(seconds):
                self._wait(seconds)
            case Hold(event):
                self._stage.hold(event, self)
            case Close():
                self._wire.unregisterProducer()
                self._over = True
                self.transport.loseConnection()
                if self._wire is not self.transport:
                    # TLS would wait for the peer's close_notify; this end is not so patient.
                    self._wire.loseConnection()
            case CutTLS():
                self._wire.unregisterProducer()
                self._over = True
                self._wire.loseConnection()
            case Reset():
                self._reset_when_sent()
            case StartTLS(tls):
                after = _Only(Player(self._stage, self))
                factory = TLSMemoryBIOFactory(tls, isClient=False, wrappedFactory=after, clock=self._clock)
                factory.noisy = False
                self._hand_over(factory.buildProtocol(None))
            case Join(host, port, first):
                self._hand_over(Relay(self._clock, host, port, first))
        return True

    def _hand_over(self, behind: Any) -> None:
        """From now on somebody else has this connection."""
        self._wire.unregisterProducer()
        early, self._received = self._received, b""
        self._behind = behind
        behind.makeConnection(self.transport)
        self._acts = None
        if early:
            behind.dataReceived(early)

    def _wait(self, seconds: float) -> None:
        self._timer = self._clock.callLater(seconds, self.go_on)

    def _reset_when_sent(self) -> None:
        """A reset throws away what the kernel has not sent yet, so that is given a moment to leave."""
        handle = self._handle()
        self._queue_looks += 1
        if handle is not None and self._queue_looks <= 200:
            (queued,) = unpack("i", ioctl(handle.fileno(), TIOCOUTQ, bytes(4)))
            if queued:
                self._timer = self._clock.callLater(0.005, self._again)
                return
        self.reset()

    def _again(self) -> None:
        self._timer = None
        self._reset_when_sent()


class _Only(Factory):
    """A factory of one protocol."""

    noisy = False

    def __init__(self, only: Protocol) -> None:
        self._only = only

    def buildProtocol(self, addr: object) -> Protocol:
        return self._only
