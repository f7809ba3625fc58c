"""A client that believes what the wire says, and nothing else: h11 judges where a body ends."""

from __future__ import annotations

from typing import Any

import h11
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["Client", "Seen", "ask", "connect", "request"]

ENOUGH = 1 << 22  # of a body that never ends, for h11


@define
class Seen:
    """
    What a client has seen of an answer.

    @ivar whole: it takes the body for complete.
    """

    status: int | None = None
    fields: list[tuple[bytes, bytes]] = field(factory=list)
    body: bytes = field(default=b"", repr=False)
    whole: bool = False

    def all(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name.lower().encode()]

    def get(self, name: str) -> bytes | None:
        return next(iter(self.all(name)), None)


class Client(Protocol):
    """
    One connection.

    @ivar raw: every byte that came.
    @ivar lost: fires with True if the connection ended in good order, with False if it was broken.
    """

    transport: Any

    def __init__(self) -> None:
        self.raw = bytearray()
        self.lost: Deferred[bool] = Deferred()
        self._answer: Deferred[Seen] | None = None
        self._seen = Seen()
        self._parts: list[bytes] = []

    def ask(self, raw: bytes) -> Deferred[Seen]:
        """Send a request; fires when its answer is whole, or broken off."""
        self.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=ENOUGH)
        method, target, *_ = raw.split(b" ", 2)
        self.http.send(h11.Request(method=method, target=target, headers=[("Host", "a"), ("Connection", "close")]))
        self.http.send(h11.EndOfMessage())
        self._seen, self._parts = Seen(), []
        self._answer = Deferred()
        self.transport.write(raw)
        return self._answer

    def dataReceived(self, data: bytes) -> None:
        self.raw += data
        if self._answer is not None:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            self.http.receive_data(data)
            while (event := self.http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    self._seen.status = event.status_code
                    self._seen.fields = event.headers.raw_items()
                elif isinstance(event, h11.Data):
                    self._parts.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    self._end(True)
                    return
                elif isinstance(event, h11.ConnectionClosed):
                    return
        except h11.RemoteProtocolError:
            self._end(False)

    def _end(self, whole: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            self._seen.body, self._seen.whole = b"".join(self._parts), whole
            answer.callback(self._seen)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        clean = reason.check(ConnectionDone) is not None
        if clean and self._answer is not None:
            self._feed(b"")
        self._end(False)
        self.lost.callback(clean)

    async def close(self) -> None:
        if not self.lost.called:
            self.transport.abortConnection()
        await self.lost


def request(path: str = "/f", *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request as most clients send it."""
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: a", *fields, "", ""]).encode()


async def connect(reactor: Any, port: int) -> Client:
    endpoint: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    client: Client = await endpoint.connect(Factory.forProtocol(Client))
    return client


async def ask(reactor: Any, port: int, *request_of: str, **how: str) -> Seen:
    """One request on a connection of its own; the arguments are those of L{request}."""
    client = await connect(reactor, port)
    try:
        return await client.ask(request(*request_of, **how))
    finally:
        await client.close()
