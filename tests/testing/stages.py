"""One client and two worlds, sockets and memory: what is tested here is tested in both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from pulp_dl.testing import FaultServer, MemoryNetwork, Script, ServerTLS, Stage

__all__ = ["Client", "Memory", "Sockets", "World", "all_of"]


class Client(Protocol):
    """
    Says what it is told, and keeps what comes.

    @ivar end: why the connection ended, or None.
    """

    transport: Any

    def __init__(self) -> None:
        self._data = bytearray()
        self.segments: list[int] = []
        self.end: Failure | None = None
        self._waiting: list[tuple[int | None, Deferred[bytes]]] = []

    @property
    def data(self) -> bytes:
        return bytes(self._data)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        self.segments.append(len(data))
        self._tell()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end = reason
        self._tell()

    def until(self, size: int | None) -> Deferred[bytes]:
        """What came, as soon as there are so many bytes; None: when the connection has ended."""
        came: Deferred[bytes] = Deferred()
        self._waiting.append((size, came))
        self._tell()
        return came

    def _tell(self) -> None:
        for size, came in list(self._waiting):
            if self.end is not None or (size is not None and len(self._data) >= size):
                self._waiting.remove((size, came))
                came.callback(self.data)


class World:
    """
    A reactor with servers in it.

    @ivar reactor: an C{IReactorTCP} with time.
    """

    reactor: Any

    def __init__(self) -> None:
        self.clients: list[Client] = []

    def serve(self, script: Any, *, tls: ServerTLS | None = None, greeting: Script = ()) -> Stage:
        raise NotImplementedError

    async def wait(self, deferred: Deferred[Any]) -> Any:
        raise NotImplementedError

    async def settle(self) -> None:
        """Let everything happen that happens without time."""
        raise NotImplementedError

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let everything happen until this is so; in memory that is at once or never."""
        await self.settle()
        while not condition():
            assert isinstance(self, Sockets), "it is not so, and nothing is left to happen"
            await self.settle()

    async def connect(self, stage: Stage, tls: Any = None) -> Client:
        endpoint: Any = HostnameEndpoint(self.reactor, stage.host, stage.port)
        if tls is not None:
            endpoint = wrapClientTLS(tls, endpoint, clock=self.reactor)
        client: Client = await self.wait(endpoint.connect(Factory.forProtocol(Client)))
        self.clients.append(client)
        return client

    async def ask(self, stage: Stage, path: str = "/", fields: bytes = b"", method: bytes = b"GET") -> Client:
        """A client that has asked for this."""
        client = await self.connect(stage)
        client.transport.write(b"%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (method, path.encode(), fields))
        return client

    async def close(self) -> None:
        for client in self.clients:
            if client.end is None:
                client.transport.abortConnection()
                await self.wait(client.until(None))


class Sockets(World):
    """Loopback."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self.reactor = reactor
        self.servers: list[FaultServer] = []

    def serve(self, script: Any, *, tls: ServerTLS | None = None, greeting: Script = ()) -> Stage:
        server = FaultServer(self.reactor, script, tls=tls, greeting=greeting)
        self.servers.append(server)
        return server

    async def wait(self, deferred: Deferred[Any]) -> Any:
        return await deferred

    async def settle(self) -> None:
        for _ in range(20):
            await deferLater(self.reactor, 0.001, bool)

    async def close(self) -> None:
        await super().close()
        for server in self.servers:
            await server.close()


class Memory(World):
    """A L{MemoryNetwork}."""

    def __init__(self, segments: Any = None) -> None:
        super().__init__()
        self.reactor = self.network = MemoryNetwork(segments)
        self._names = iter(range(1000))

    def serve(self, script: Any, *, tls: ServerTLS | None = None, greeting: Script = ()) -> Stage:
        return self.network.serve(f"host{next(self._names)}", script, tls=tls, greeting=greeting)

    async def wait(self, deferred: Deferred[Any]) -> Any:
        return self.network.result(deferred)

    async def settle(self) -> None:
        self.network.run()

    async def close(self) -> None:
        await super().close()
        self.network.run()
        assert self.network.connections == 0


async def all_of(world: World, stage: Stage, path: str = "/", fields: bytes = b"") -> tuple[bytes, Any]:
    """All bytes until the connection ends, and how it ended."""
    client = await world.ask(stage, path, fields)
    data = await world.wait(client.until(None))
    assert client.end is not None
    return data, client.end.type
