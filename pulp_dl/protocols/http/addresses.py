"""A name with many addresses: all of them are tried, and not all at once."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import directlyProvides, implementer, providedBy

__all__ = ["AT_ONCE", "Few"]

AT_ONCE: Final = 8
"""Sockets that may be about to connect for one connection."""

DELAY: Final = 0.3
"""Seconds after which C{HostnameEndpoint} tries another address, too."""


@implementer(IHostnameResolver)
class Few:
    """
    The reactor of one C{HostnameEndpoint} that connects once.  That never gives up an address: a name that has a
    hundred would be given a hundred sockets.  So each has to answer until L{AT_ONCE} later ones have begun; the last
    ones, which have not so many behind them, have all the time there is.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._left = 0  # addresses that were not tried
        self.nameResolver = self
        directlyProvides(self, providedBy(reactor), IHostnameResolver)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        counting: Any = _Counting(resolutionReceiver, self)
        resolver = self._reactor.nameResolver
        found: IHostResolution = resolver.resolveHostName(
            counting, hostName, portNumber, addressTypes, transportSemantics
        )
        return found

    def told(self) -> None:
        """There is one more address."""
        self._left += 1

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float | None = 30, bindAddress: Any = None
    ) -> Any:
        """As C{IReactorTCP.connectTCP}."""
        self._left -= 1
        if self._left >= AT_ONCE:
            timeout = AT_ONCE * DELAY
        return self._reactor.connectTCP(host, port, factory, timeout=timeout, bindAddress=bindAddress)


@implementer(IResolutionReceiver)
class _Counting:
    def __init__(self, receiver: IResolutionReceiver, few: Few) -> None:
        self._receiver: Any = receiver
        self._few = few

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        self._few.told()
        self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        self._receiver.resolutionComplete()
