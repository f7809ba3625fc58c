"""
TLS between a protocol and its transport, in the place of Twisted's C{TLSMemoryBIOProtocol}.

That one is made for all that TLS may carry.  Here a short request goes one way and a body comes back, and then most of
what it costs is spent on finding out that nothing is to be done: each write waits for another turn of the reactor, each
read ends with an exception that says that there is no more, and another one that there is nothing to send.  So here

  - bytes are encrypted and sent at once;
  - the records that come are counted by their headers (RFC 8446 section 5.1), and OpenSSL is asked once for each;
  - what one read of the socket brought is handed on as one piece;
  - whoever uses the connection can see whether all that came was read.

All else is as there: the handshake begins with the connection, an C{IHandshakeListener} hears when it is done, and what
is written before waits for it.  A close_notify of the other side is answered, and ends the connection in good order; an
end without one is a C{ConnectionLost}, and C{unclean}; what TLS itself fails with is the reason of C{connectionLost}.

Two things are left out.  C{loseConnection} waits for no goodbye of the other side (RFC 8446 section 6.1 asks for none),
and there is no C{registerProducer}, for what is sent here is short.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from attrs import frozen
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from .records import RECORD, SENT, records_of
from .wire import Wire

__all__ = ["Encrypted", "TLSTransport", "wire"]

_HEADER: Final = 5
_LONGEST: Final = RECORD + 2048  # what the oldest version allows an encrypted record to have


def wire(transport: Any) -> Wire | TLSTransport:
    """What bytes are sent over, and looked for, beneath a protocol with this transport."""
    return transport if isinstance(transport, TLSTransport) else Wire(transport)


@implementer(IStreamClientEndpoint)
@frozen
class Encrypted:
    """
    TLS with whom another endpoint leads to.

    C{connect} fires with the protocol that the factory made, whose handshake has begun; it fails as the other endpoint
    does.
    """

    endpoint: IStreamClientEndpoint
    creator: IOpenSSLClientConnectionCreator

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting: Deferred[Any] = self.endpoint.connect(_Encrypting(self.creator, protocolFactory))
        return connecting.addCallback(lambda transport: transport.protocol)


class _Encrypting(Factory):
    noisy = False

    def __init__(self, creator: IOpenSSLClientConnectionCreator, factory: IProtocolFactory) -> None:
        self._creator = creator
        self._factory = factory

    def buildProtocol(self, addr: IAddress | None) -> TLSTransport | None:
        protocol = self._factory.buildProtocol(addr)  # type: ignore[arg-type]  # as wrong as that of Factory itself
        return None if protocol is None else TLSTransport(self._creator, protocol)


@implementer(ITransport, IPushProducer)
class TLSTransport(Protocol):
    """
    Downwards a protocol, upwards a transport.

    @ivar protocol: whose transport this is.
    @ivar tls: it encrypts.
    @ivar unclean: TCP ended in good order; TLS did not say that this is the end.
    """

    tls = True
    unclean = False
    _established = False
    _over = False  # there is nothing to be read or written any more
    _reason: Failure | None = None  # why, if TLS knows it
    _size = 64 * 1024  # bytes that are read at once
    _drained = False  # there was room for more in the last read
    _unread = 0  # records that have come and that OpenSSL was not asked for; at least so many, never less
    _missing = 0  # bytes of a record whose beginning has come
    _header = b""  # the beginning of a header
    _unsent = b""  # what waits to be encrypted
    _last: Failure | None = None  # how TLS ended, while what came before that is handed on

    def __init__(self, creator: IOpenSSLClientConnectionCreator, protocol: IProtocol) -> None:
        self._creator = creator
        self.protocol = protocol

    # beneath: a protocol

    def connectionMade(self) -> None:
        self._below = wire(self.transport)
        able = True
        try:
            # mypy-zope: the interface names the class that this one stands in for.
            self._tls: SSL.Connection = self._creator.clientConnectionForTLS(self)  # type: ignore[arg-type]
            self._records = records_of(self._tls)
        except Exception:  # whatever a creator raises; the protocol hears of it as of every other end
            able, self._over, self._reason = False, True, Failure()
        self.protocol.makeConnection(self)
        if not able:
            self.abortConnection()
        elif not self._over:
            self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
        except SSL.Error:
            self._end(Failure())
        else:
            if self._reason is not None:  # found by one whom OpenSSL did not ask
                self._end(self._reason)
                return
            self._established = True
            self._encrypt()
            if IHandshakeListener.providedBy(self.protocol):
                self.protocol.handshakeCompleted()

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._drained = len(data) < self._size
        self._unread += self._count(data)
        if not self._established:
            self._records.feed(data)
            self._shake_hands()
            if not self._established:
                return
            data = b""
        pieces: list[bytes] = []
        unread, self._unread = self._unread, 0
        try:
            self._records.read(data, unread, pieces)
        except SSL.WantReadError:
            # Records of the handshake, or of one to come, were among those that were counted.
            self._flush()
        except SSL.Error:
            self._last = Failure()
        if self._unsent and not self._over:
            self._encrypt()
        if pieces:
            self.protocol.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        end, self._last = self._last, None
        if end is not None and not self._over:
            if end.check(SSL.ZeroReturnError):
                self.loseConnection()
            else:
                self._end(end)

    def _count(self, data: bytes) -> int:
        """How many records end in what came."""
        if self._header:
            data, self._header = self._header + data, b""
        size, at, ended = len(data), self._missing, 0
        if not at and size > _HEADER and size == _HEADER + (data[3] << 8 | data[4]):
            return 1  # as a small answer is
        if 0 < at <= size:
            ended = 1
        while size - at >= _HEADER:
            length = data[at + 3] << 8 | data[at + 4]
            at += _HEADER + length
            if at <= size or length > _LONGEST:  # no record at all, which OpenSSL will say
                ended += 1
        self._missing = 0
        if at > size:
            self._missing = at - size
        elif at < size:
            self._header = data[at:]
        return ended

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._over:
            self.unclean = self._below.unclean
            if reason.check(ConnectionDone):
                self.unclean = True
                reason = Failure(ConnectionLost())  # nobody said goodbye: what came may not be all
        self._over = True
        self._below.close()
        self.protocol.connectionLost(self._reason or reason)
        del self._creator, self.protocol  # which lead back here
        vars(self).pop("_tls", None)  # which does, too, if it could begin
        vars(self).pop("_records", None)

    # above: a transport

    def write(self, data: bytes) -> None:
        if self._over:
            return
        self._unsent += data
        if self._established:
            self._encrypt()

    send = write

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def _encrypt(self) -> None:
        """As much of what is unsent as can be, and send it."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._records.write(self._unsent) :]
        except SSL.WantReadError:
            pass  # in the middle of another handshake
        except SSL.Error:
            self._end(Failure())
            return
        self._flush()

    def _flush(self) -> None:
        """Send what OpenSSL has to say."""
        while data := self._records.drain():
            self._below.send(data)
            if len(data) < SENT:
                break

    def pauseProducing(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()

    def resumeProducing(self) -> None:
        transport: Any = self.transport
        transport.resumeProducing()

    def getPeer(self) -> IAddress:
        assert self.transport is not None
        return self.transport.getPeer()

    def getHost(self) -> IAddress:
        assert self.transport is not None
        return self.transport.getHost()

    def getHandle(self) -> SSL.Connection:
        """As C{ISystemHandle} has it."""
        return self._tls

    # what lies beneath, for whoever waits between two answers; as L{Wire} has it

    def close(self) -> None:
        """The socket is closed; C{connectionLost} has seen to it."""

    def read_at_once(self, size: int) -> None:
        self._size = size
        self._below.read_at_once(size)

    def silent(self) -> bool:
        return not (self._missing or self._header or self._last) and self._below.silent()

    def emptied(self, *, drained: bool) -> bool:
        # How much was read tells nothing here; how much of it was encrypted does.  And nothing may have come that was
        # not handed on: a part of a record, or the end.
        more = self._missing or self._header or self._last
        return not more and self._below.emptied(drained=self._drained)

    # the ends

    def failVerification(self, reason: Failure) -> None:
        """For whoever judges the certificate, inside the handshake: that has failed for this reason."""
        self._reason = reason

    def _end(self, reason: Failure) -> None:
        """TLS is at its end; say why, and close the socket, whatever that has to say then."""
        self._over = True
        self._reason = self._reason or reason
        self._flush()  # an alert
        assert self.transport is not None
        self.transport.loseConnection()

    def _say_goodbye(self) -> None:
        with suppress(SSL.Error):  # in the middle of a handshake
            self._tls.shutdown()

    def loseConnection(self) -> None:
        """Say goodbye and close the socket, without waiting for an answer."""
        if not self._over:
            self._say_goodbye()
            self._end(Failure(ConnectionDone()))

    stopProducing = loseConnection

    def abortConnection(self) -> None:
        """Close the socket at once, whatever is still to be sent or read."""
        if not self._over:
            self._over = True
            self._say_goodbye()  # to OpenSSL, which then lets go of its session
        transport: Any = self.transport
        transport.abortConnection()
