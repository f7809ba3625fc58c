"""The two ends of a tunnel, joined: what comes at one goes out at the other."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Relay"]


class Relay(Protocol):
    """
    The near end.  It connects to the far one by itself; if nobody is there, the near one is reset.  When either ends,
    the other one ends in the same way.
    """

    transport: Any

    def __init__(self, clock: Any, host: str, port: int, first: bytes = b"") -> None:
        self._clock = clock
        self._place = host, port
        self._far = _Far(self)
        self._early = first
        self._connecting: Deferred[Any] | None = None

    def connectionMade(self) -> None:
        factory: Any = Factory.forProtocol(lambda: self._far)
        factory.noisy = False
        self._connecting = connecting = HostnameEndpoint(self._clock, *self._place).connect(factory)
        connecting.addCallbacks(self._joined, self._alone)

    def _alone(self, _: object) -> None:
        self._connecting = None
        if self.transport is not None:
            self.transport.abortConnection()

    def _joined(self, _: object) -> None:
        self._connecting = None
        near, far = self.transport, self._far.transport
        near.registerProducer(_Flow(far), True)
        far.registerProducer(_Flow(near), True)
        far.write(self._early)

    def dataReceived(self, data: bytes) -> None:
        if self._connecting is not None:
            self._early += data
        elif self._far.transport is not None:
            self._far.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport = None
        if self._connecting is not None:
            self._connecting.cancel()
        else:
            _end(self._far.transport, reason)

    def far_ended(self, reason: Failure) -> None:
        _end(self.transport, reason)


class _Far(Protocol):
    transport: Any

    def __init__(self, near: Relay) -> None:
        self._near = near

    def dataReceived(self, data: bytes) -> None:
        if self._near.transport is not None:
            self._near.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport = None
        self._near.far_ended(reason)


@implementer(IPushProducer)
class _Flow:
    """What one end sends to the other.  A transport that is lost would stop its producer in good order, always."""

    def __init__(self, transport: Any) -> None:
        self.pauseProducing = transport.pauseProducing
        self.resumeProducing = transport.resumeProducing

    def stopProducing(self) -> None:
        """The end tells."""


def _end(transport: Any, reason: Failure) -> None:
    if transport is None:
        return
    transport.unregisterProducer()
    if reason.check(ConnectionDone):
        transport.loseConnection()
    else:
        transport.abortConnection()
