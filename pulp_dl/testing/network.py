"""A network in memory, with its own clock: what takes a minute there takes none here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, repeat
from typing import Any, TypeVar

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError, UserError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import (
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IResolutionReceiver,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from .pipe import WINDOW, MemoryTransport, pipe
from .script import Script
from .stage import Stage

__all__ = ["MemoryNetwork"]

T = TypeVar("T")

_BUSY = 200_000
"""Turns after which something seems to be without end."""

_AT_ONCE = 1e-6
"""Seconds: a Cooperator asks for a hundredth of this when it means "in the next turn"."""


@implementer(IReactorTCP, IReactorPluggableNameResolver, IReactorFromThreads, IHostnameResolver)
class MemoryNetwork(Clock):
    """
    A reactor whose connections are in memory, for clients that go through C{HostnameEndpoint}::

        network = MemoryNetwork(segments=[1, 7, 1000])
        server = network.serve("example.org", {"/a": answer(b"hello")})
        body = network.result(fetcher.open(Source(server.url("/a"))))

    Nothing happens but in C{step}, C{run}, C{advance} and C{result}.  For TLS, give it as the C{clock}
    of C{wrapClientTLS} too.

    @ivar names: what a name resolves to: IP addresses.  C{serve} adds to it.
    @ivar silent: addresses at which nothing ever answers, not even with a refusal.
    """

    def __init__(self, segments: int | Sequence[int] | None = None) -> None:
        """
        @param segments: how many bytes arrive at once: always so many, or these sizes in turn; None: all there is.
        """
        super().__init__()
        self.names: dict[str, list[str]] = {}
        self.silent: set[str] = set()
        self.nameResolver: Any = self
        self._segments = segments
        self._turns: deque[Callable[[], Any]] = deque()
        self._listening: dict[tuple[str, int], Any] = {}
        self._ends: list[MemoryTransport] = []
        self._ports = cycle(range(49152, 65536))

    # ---- for tests

    def serve(
        self,
        host: str,
        script: Script | Mapping[str, Script],
        *,
        port: int | None = None,
        tls: IOpenSSLServerConnectionCreator | None = None,
        greeting: Script = (),
    ) -> Stage:
        """
        An HTTP server that does what its script says, as L{FaultServer} over sockets.

        @param host: a name, which then resolves to an address of its own, or an address.
        """
        port = port or (80 if tls is None else 443)
        stage = Stage(self, script, tls=tls, greeting=greeting, host=host, port=port)
        for address in self._home(host):
            self._listening[address, port] = stage.wrapped()
        return stage

    def unplug(self, stage: Stage) -> None:
        """From now on its port refuses; its connections stay."""
        for address in self._addresses(stage.host):
            self._listening.pop((address, stage.port), None)

    @property
    def connections(self) -> int:
        """Ends of connections that are not closed: two for each connection."""
        self._ends = [end for end in self._ends if not end.disconnected]
        return len(self._ends)

    def run(self) -> None:
        """
        Until nothing more happens without time going on.

        @raise RuntimeError: it seems to be without end.
        """
        for _ in range(_BUSY):
            if not self.step():
                return
        raise RuntimeError(f"still busy after {_BUSY} turns")

    def step(self) -> bool:
        """The next thing that happens without time going on.  Returns False if there is none."""
        if self._turns:
            self._turns.popleft()()
            return True
        call = self._next_call()
        if call is None or call > self.seconds() + _AT_ONCE:
            return False
        super().advance(max(0, call - self.seconds()))
        return True

    def advance(self, amount: float = 0) -> None:
        """Let so many seconds go by, with all that happens in them."""
        end = self.seconds() + amount
        self.run()
        while (call := self._next_call()) is not None and call <= end:
            super().advance(call - self.seconds())
            self.run()
        super().advance(max(0, end - self.seconds()))
        self.run()

    def result(self, deferred: Deferred[T], seconds: float = 3600) -> T:
        """
        What a Deferred fires with, or raises.  As much time goes by as that takes, and nothing happens after it.

        @raise AssertionError: it has not fired although nothing is left to happen, or not within so many seconds.
        """
        found: list[Any] = []
        deferred.addBoth(found.append)
        end = self.seconds() + seconds
        while not found:
            if self.step():
                continue
            call = self._next_call()
            if call is None or call > end:
                raise AssertionError(f"no result after {self.seconds():g} s; then {self.getDelayedCalls()}")
            super().advance(call - self.seconds())
        if isinstance(found[0], Failure):
            found[0].raiseException()
        result: T = found[0]
        return result

    # ---- for the code under test

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:  # noqa: A002
        self._turns.append(lambda: callable(*args, **kwargs))

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """
        As a server does that has a port of its own, such as C{FaultFTP(network, files, interface="ftp.example")}.

        @param interface: a name, which then resolves to an address of its own, or an address.
        """
        port = port or next(self._ports)
        places = [(address, port) for address in self._home(interface)]
        for place in places:
            if place in self._listening:
                raise CannotListenError(*place, "somebody listens there")
            self._listening[place] = factory
        return _Port(places[0], lambda: [self._listening.pop(place, None) for place in places])

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float | None = 30, bindAddress: Any = None
    ) -> IConnector:
        connector = _Connector(self, host, port, factory, timeout)
        connector.connect()
        return connector

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution(hostName)

        def tell() -> None:
            if not resolution.cancelled:
                for address in self._addresses(hostName):
                    resolutionReceiver.addressResolved(_address(address, portNumber))
                resolutionReceiver.resolutionComplete()

        resolutionReceiver.resolutionBegan(resolution)
        self._turns.append(tell)
        return resolution

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        before: IHostnameResolver = self.nameResolver
        self.nameResolver = resolver
        return before

    # ---- inside

    def turn(self, step: Callable[[], Any]) -> None:
        """Call this in a later turn."""
        self._turns.append(step)

    def link(self, address: str, port: int) -> tuple[MemoryTransport, Any] | None:
        """
        The client's end of a new connection, with the protocol of the server's end behind it; None: refused.
        """
        factory = self._listening.get((address, port))
        there = _address(address, port)
        protocol = None if factory is None else factory.buildProtocol(there)
        if protocol is None:
            return None
        near = _address("192.0.2.250" if isinstance(there, IPv4Address) else "2001:db8::250", next(self._ports))
        ours, theirs = pipe(self.turn, near, there, self._sizes)
        self._ends += (ours, theirs)
        theirs.protocol = protocol
        return ours, protocol

    def _sizes(self) -> Iterator[int]:
        if self._segments is None:
            return repeat(WINDOW)
        return repeat(self._segments) if isinstance(self._segments, int) else cycle(self._segments)

    def _home(self, host: str) -> list[str]:
        return self._addresses(host) or self.names.setdefault(host, [f"192.0.2.{len(self.names) + 1}"])

    def _addresses(self, host: str) -> list[str]:
        if host in self.names:
            return self.names[host]
        literal = isIPv6Address(host) or host.replace(".", "").isdigit()
        return [host] if literal else []

    def _next_call(self) -> float | None:
        calls = self.getDelayedCalls()
        return min(call.getTime() for call in calls) if calls else None


def _address(host: str, port: int) -> IPv4Address | IPv6Address:
    return IPv6Address("TCP", host, port) if isIPv6Address(host) else IPv4Address("TCP", host, port)


@implementer(IListeningPort)
class _Port:
    """Somebody listens."""

    def __init__(self, place: tuple[str, int], stop: Callable[[], object]) -> None:
        self._place = place
        self._stop = stop

    def startListening(self) -> None:
        """It does so from the beginning."""

    def stopListening(self) -> Deferred[None]:
        self._stop()
        return succeed(None)

    def getHost(self) -> Any:
        return _address(*self._place)


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


@implementer(IConnector)
class _Connector:
    """One attempt to connect."""

    def __init__(self, network: MemoryNetwork, host: str, port: int, factory: Any, timeout: float | None) -> None:
        self._network = network
        self._host = host
        self._port = port
        self._factory = factory
        self._timeout = timeout
        self._timer: Any = None
        self._connecting = False
        self._transport: MemoryTransport | None = None

    def connect(self) -> None:
        self._connecting = True
        self._factory.doStart()
        self._factory.startedConnecting(self)
        if self._host in self._network.silent:
            if self._timeout is not None:
                self._timer = self._network.callLater(self._timeout, self._failed, ConnectTimeout())
        else:
            self._network.turn(self._connected)

    def stopConnecting(self) -> None:
        if not self._connecting:
            raise RuntimeError("not connecting")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._failed(UserError())

    def disconnect(self) -> None:
        if self._connecting:
            self.stopConnecting()
        elif self._transport is not None:
            self._transport.loseConnection()

    def getDestination(self) -> Any:
        return _address(self._host, self._port)

    def _connected(self) -> None:
        if not self._connecting:
            return
        linked = self._network.link(self._host, self._port)
        if linked is None:
            self._failed(Refused())
            return
        self._connecting = False
        ours, server = linked
        self._transport = ours
        ours.on_lost = self._lost
        protocol = self._factory.buildProtocol(self.getDestination())
        ours.protocol = Protocol() if protocol is None else protocol
        server.makeConnection(ours.other)
        if protocol is None:
            ours.abortConnection()
        else:
            protocol.makeConnection(ours)

    def _lost(self, reason: Failure) -> None:
        self._factory.clientConnectionLost(self, reason)
        self._factory.doStop()

    def _failed(self, error: Exception) -> None:
        self._connecting = False
        self._factory.clientConnectionFailed(self, Failure(error))
        self._factory.doStop()
