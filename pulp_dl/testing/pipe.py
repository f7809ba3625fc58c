"""
A TCP connection in memory: two transports that behave as Twisted's do over a socket.

What one end writes waits in its own buffer, then on the wire (a window of bounded size), and reaches the other end in
segments of a given size, in turns of their own, while that end reads.  So backpressure, pauses in the middle of a
segment, resets that overtake what was not sent, and ends that a paused reader does not see are as they are in life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IProtocol, IPushProducer, ITCPTransport
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["MemoryTransport", "pipe"]

Address = IPv4Address | IPv6Address

HIGH_WATER = 65536
"""Bytes that may wait in a transport before it pauses its producer, as in Twisted."""

WINDOW = 262144
"""Bytes that the wire holds: the buffers of two kernels."""

RECEIVE = 65536
"""Bytes that are read at once, at most, unless the C{bufferSize} of a transport is set to others; as in Twisted."""


def pipe(
    turn: Callable[[Callable[[], None]], None], near: Address, far: Address, segments: Callable[[], Iterator[int]]
) -> tuple[MemoryTransport, MemoryTransport]:
    """
    Both ends of a new connection; each still wants its C{protocol}.

    @param turn: calls what it is given in a later turn.
    @param segments: makes an iterator of the sizes of the segments in one direction, without end.
    """
    ends = MemoryTransport(turn, near, far, segments()), MemoryTransport(turn, far, near, segments())
    ends[0].other, ends[1].other = ends[1], ends[0]
    return ends


@implementer(ITCPTransport, IConsumer, IPushProducer)
class MemoryTransport:
    """
    One end of a L{pipe}.

    @ivar written: bytes that were written to it so far.
    @ivar bufferSize: bytes that it reads at once, at most.
    @ivar on_lost: called when it is closed, after the protocol.
    """

    other: MemoryTransport
    protocol: IProtocol
    TLS = False
    bufferSize = RECEIVE

    def __init__(
        self, turn: Callable[[Callable[[], None]], None], host: Address, peer: Address, segments: Iterator[int]
    ) -> None:
        self._turn = turn
        self._host = host
        self._peer = peer
        self._segments = segments
        self.connected = True
        self.disconnecting = self.disconnected = False
        self.reading = True
        self.written = 0
        self._writing = False
        self.on_lost: Callable[[Failure], object] = bool
        self._buffer = bytearray()
        self._wire = bytearray()
        self._end: type[ConnectionDone | ConnectionLost] | None = None
        self._scheduled: set[str] = set()
        self.producer: Any = None
        self.streamingProducer = self.producerPaused = False

    # ---- writing

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"only bytes can be written, not {type(data).__name__}")
        if not self.connected or not data:
            return
        self.written += len(data)
        self._buffer += data
        if self.producer is not None and self.streamingProducer and len(self._buffer) > HIGH_WATER:
            self.producerPaused = True
            self.producer.pauseProducing()
        self._start()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def _start(self) -> None:
        self._writing = True
        self._soon(self._send)

    def _send(self) -> None:
        if not self.connected or not self._writing:
            return
        room = WINDOW - len(self._wire)
        if room > 0:
            self._wire += self._buffer[:room]
            del self._buffer[:room]
            self.other._soon(self.other._receive)
        if self._buffer:
            return
        self._writing = False
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self.producerPaused = False
            self.producer.resumeProducing()
        elif self.disconnecting:
            self._over(ConnectionDone, ConnectionDone())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError(f"a producer is registered already: {self.producer!r}")
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer, self.streamingProducer, self.producerPaused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
        if self.connected and self.disconnecting:
            self._start()

    # ---- reading

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self.reading = True
            self._soon(self._receive)

    def stopProducing(self) -> None:
        self.loseConnection()

    def _receive(self) -> None:
        """One read of what the other end has put on the wire."""
        if not self.connected or not self.reading:
            return
        wire = self.other._wire
        if wire:
            size = min(next(self._segments), self.bufferSize)
            data = bytes(wire[:size])
            del wire[:size]
            if self.other._writing:
                self.other._soon(self.other._send)
            self._soon(self._receive)
            try:
                self.protocol.dataReceived(data)
            except Exception as error:
                log.err()
                self._over(ConnectionLost, error)
        elif self.other._end is not None:
            self._over(ConnectionLost, self.other._end())

    # ---- ends

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._start()

    def abortConnection(self) -> None:
        if self.connected and not self.disconnected:
            self.disconnecting, self.reading = True, False
            self._buffer.clear()
            self._turn(lambda: self._over(ConnectionLost, ConnectionAborted()))

    def _over(self, tell: type[ConnectionDone | ConnectionLost], reason: BaseException) -> None:
        """This end is closed; the other end learns it when it has read what is on the wire."""
        if self.disconnected:
            return
        self.connected, self.disconnected, self.reading = False, True, False
        self._end = tell
        self._buffer.clear()
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        self.other._soon(self.other._receive)
        failure = Failure(reason)
        self.protocol.connectionLost(failure)
        self.on_lost(failure)

    def _soon(self, step: Callable[[], None]) -> None:
        name = step.__name__
        if name not in self._scheduled:
            self._scheduled.add(name)

            def run() -> None:
                self._scheduled.discard(name)
                step()

            self._turn(run)

    # ---- who and how

    def getHost(self) -> Address:
        return self._host

    def getPeer(self) -> Address:
        return self._peer

    def loseWriteConnection(self) -> None:
        """Half-closing is not played."""

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Segments are cut as the test says."""

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing is sent in vain."""
