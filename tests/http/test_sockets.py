"""Connections over real sockets: FIN and RST, TLS, and ends that wait for nobody."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from pulp_dl.errors import TLSFailed, Truncated
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http.connection import Answer, HTTPConnection
from pulp_dl.protocols.http.outbox import Outbox
from pulp_dl.protocols.http.tls import creator
from pulp_dl.protocols.http.tls_transport import Encrypted
from pulp_dl.testing import Close, CutTLS, FaultServer, Hold, Reset, Script, Send, ServerTLS
from tests.http.lines import ASK, HELLO, OK, URL
from tests.sinks import Sink, turn, until


def listened(reactor: Any, told: list[str], outbox: Outbox | None) -> HTTPConnection:
    """A connection, and what it tells."""
    return HTTPConnection(
        reactor,
        lambda idle: told.append("idle" if idle.usable() else "of no use"),
        lambda _: told.append("gone"),
        outbox=outbox,
    )


async def connected(
    reactor: Any, server: Any, ca: trustme.CA | None = None, outbox: Outbox | None = None
) -> tuple[HTTPConnection, list[str]]:
    """A connection to a server, ready, and what it tells."""
    told: list[str] = []
    endpoint: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)
    if ca is not None:
        endpoint = Encrypted(endpoint, creator(TLS(ca=ca.cert_pem.bytes(), system=False), "localhost"))
    factory = Factory()
    factory.buildProtocol = lambda addr: listened(reactor, told, outbox)
    connection: HTTPConnection = await endpoint.connect(factory)
    await connection.ready()
    return connection, told


async def gone(reactor: Any, told: list[str], turns: int = 3) -> None:
    """It was told, without waiting for any peer."""
    for _ in range(turns):
        if "gone" in told:
            return
        await turn(reactor)
    raise AssertionError(f"still open after {turns} turns: {told}")


async def body_of(answer: Answer) -> bytes:
    sink = Sink()
    await answer.deliver(sink)
    return sink.data


def identity(ca: trustme.CA) -> bytes:
    return ca.issue_cert("localhost").private_key_and_cert_chain_pem.bytes()


@pytest.fixture
async def serve(reactor: Any, ca: trustme.CA) -> AsyncIterator[Callable[..., FaultServer]]:
    servers: list[FaultServer] = []

    def make(script: Script, *, tls: bool = False) -> FaultServer:
        servers.append(FaultServer(reactor, script, tls=ServerTLS(identity(ca)) if tls else None))
        return servers[-1]

    yield make
    for server in servers:
        await server.close()


class TestSockets:
    @pytest.mark.parametrize("tls", [False, True])
    async def test_one_connection_carries_many_requests(self, reactor: Any, serve: Any, ca: Any, tls: bool) -> None:
        server = serve(Send(HELLO), tls=tls)
        connection, told = await connected(reactor, server, ca if tls else None)
        for _ in range(20):
            answer = await connection.request(ASK, b"GET", URL)
            assert await body_of(answer) == b"hello"
        assert server.connections.total == 1
        assert [request.raw for request in server.requests] == [ASK] * 20
        connection.abort()
        await gone(reactor, told)

    @pytest.mark.parametrize("tls", [False, True])
    async def test_a_large_body_through_a_consumer_that_pauses(
        self, reactor: Any, serve: Any, ca: Any, tls: bool
    ) -> None:
        data = bytes(range(256)) * 8192
        server = serve(Send(OK + b"Content-Length: %d\r\n\r\n" % len(data) + data), tls=tls)
        connection, told = await connected(reactor, server, ca if tls else None)

        def pause(sink: Sink) -> None:
            producer = sink.producer
            producer.pauseProducing()
            reactor.callLater(0, producer.resumeProducing)

        sink = Sink(pause)
        await (await connection.request(ASK, b"GET", URL)).deliver(sink)
        assert sink.data == data
        assert told[0] == "idle"
        connection.abort()
        await gone(reactor, told)

    async def test_a_request_that_does_not_fit_into_the_socket(self, reactor: Any, serve: Any) -> None:
        """What is sent at once may be sent in part; the transport has the rest, in order."""
        ask = b"GET /a HTTP/1.1\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(6000)) + b"\r\n"
        server = serve(Send(HELLO))
        connection, told = await connected(reactor, server)
        for _ in range(2):
            answer = await connection.request(ask, b"GET", URL)
            assert await body_of(answer) == b"hello"
        assert [request.raw for request in server.requests] == [ask, ask]
        connection.abort()
        await gone(reactor, told)

    async def test_nor_is_it_overtaken_by_the_next_one(self, reactor: Any) -> None:
        """A server may answer before it has read all of a request."""
        first, second = ASK[:-2] + b"X: " + b"y" * 8_000_000 + b"\r\n\r\n", ASK
        hasty = Hasty()
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: hasty
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        connection, told = await connected(reactor, port.getHost())
        assert await body_of(await connection.request(first, b"GET", URL)) == b"hello"
        asking = connection.request(second, b"GET", URL)
        transport: Any = hasty.transport
        transport.resumeProducing()
        await until(reactor, lambda: len(hasty.received) == len(first + second))
        assert hasty.received == first + second
        transport.write(HELLO)
        assert await body_of(await asking) == b"hello"
        connection.abort()
        await gone(reactor, told)
        await hasty.lost
        await port.stopListening()

    async def test_FIN_ends_a_body_without_length_and_RST_does_not(self, reactor: Any, serve: Any) -> None:
        for end in (Close(), Reset()):
            connection, told = await connected(reactor, serve((Send(OK + b"Connection: close\r\n\r\nhello"), end)))
            sink = Sink()
            delivery = (await connection.request(ASK, b"GET", URL)).deliver(sink)
            if end == Close():
                await delivery
            else:
                with pytest.raises(Truncated) as caught:
                    await delivery
                assert isinstance(caught.value.__cause__, ConnectionLost)
            assert sink.data == b"hello"
            assert told == ["gone"]

    @pytest.mark.parametrize("tls", [False, True])
    @pytest.mark.parametrize("end", [Close(), Send(HELLO)], ids=["a FIN", "an answer to nothing"])
    async def test_what_is_in_the_kernel_makes_an_idle_connection_unusable(
        self, reactor: Any, serve: Any, ca: Any, end: Script, tls: bool
    ) -> None:
        """The reactor may be busy with something else when it comes, and when the connection is wanted."""
        server = serve((Send(HELLO), Hold(), end), tls=tls)
        connection, told = await connected(reactor, server, ca if tls else None)
        await body_of(await connection.request(ASK, b"GET", URL))
        assert connection.usable()
        transport: Any = connection.transport
        transport.pauseProducing()  # as if the reactor had not come to it
        server.release()
        await until(reactor, lambda: not connection.usable())
        assert told == ["idle"]
        connection.abort()
        await gone(reactor, told)

    async def test_who_has_spoken_before_the_request_goes_out_is_heard_and_not_asked(self, reactor: Any) -> None:
        """As one does that has no room for us, keeps the connection, and would answer the request as well."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            there = SimpleNamespace(port=listening.getsockname()[1])
            connection, told = await connected(reactor, there, outbox=Outbox(reactor))
            server, _ = listening.accept()
        with server:
            asking = connection.request(ASK, b"GET", URL)
            server.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")  # and is in our kernel by now
            answer = await asking
            assert answer.status == 503
            assert await body_of(answer) == b""
            await gone(reactor, told)
            assert told == ["gone"]
            with suppress(ConnectionResetError):
                assert server.recv(1) == b""

    async def test_tickets_that_come_before_the_request_goes_out_keep_nobody_from_asking(
        self, reactor: Any, ca: Any
    ) -> None:
        """They can be read over TLS, and are nothing that is said."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(context)
        clock = Clock()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            there = SimpleNamespace(port=listening.getsockname()[1])
            accepted: list[ssl.SSLSocket] = []

            def accept() -> None:
                accepted.append(context.wrap_socket(listening.accept()[0], server_side=True))

            thread = Thread(target=accept)
            thread.start()
            connection, told = await connected(reactor, there, ca, outbox=Outbox(clock))
            asking = connection.request(ASK, b"GET", URL)
            thread.join()  # its last flight, tickets and all, is in our kernel by now, and nobody has read it
        with accepted[0] as server:
            clock.advance(0)
            server.settimeout(5)
            assert server.recv(len(ASK)) == ASK
            asking.cancel()
            await gone(reactor, told)
        with pytest.raises(CancelledError):
            await asking

    @pytest.mark.parametrize("tls", [False, True])
    async def test_a_request_does_not_wait_for_what_went_before_it_to_be_acknowledged(
        self, reactor: Any, serve: Any, ca: Any, tls: bool
    ) -> None:
        """Which takes 40 ms, if the server has nothing to say: to the end of a handshake, to half a request."""
        server = serve(Send(HELLO), tls=tls)
        connection, told = await connected(reactor, server, ca if tls else None)
        transport: Any = connection.transport
        assert (transport.transport if tls else transport).getTcpNoDelay()
        connection.abort()
        await gone(reactor, told)

    @pytest.mark.parametrize("tls", [False, True])
    async def test_an_answer_to_nothing_that_comes_with_the_first_one(
        self, reactor: Any, serve: Any, ca: Any, tls: bool
    ) -> None:
        """A read that ends where the answer ends, because there is no room for more or a record is at its end."""
        head = OK + b"Content-Length: 65000\r\nX: %b\r\n\r\n"
        first = head % (b"x" * (65536 - 65000 - len(head) + 2)) + b"y" * 65000
        assert len(first) == 65536
        script: Script = Send(first + HELLO)
        if tls:
            first = OK + b"Content-Length: 16000\r\n\r\n" + b"y" * 16000
            script = (Send(first), Send(HELLO))  # each is a record
        server = serve((script, Hold()), tls=tls)
        connection, told = await connected(reactor, server, ca if tls else None)
        pausing: Any = connection.transport
        asking = connection.request(ASK, b"GET", URL)
        pausing.pauseProducing()
        await until(reactor, lambda: server.bytes_sent == len(first) + len(HELLO))
        for _ in range(3):
            await turn(reactor)  # it is in the kernel then
        pausing.resumeProducing()
        assert len(await body_of(await asking)) in {65000, 16000}
        await gone(reactor, told, turns=5)
        assert "idle" not in told
        assert not connection.usable()

    async def test_an_abort_within_the_first_answer(self, reactor: Any, serve: Any) -> None:
        connection, told = await connected(reactor, serve((Send(OK), Hold())))
        asking = connection.request(ASK, b"GET", URL)
        await until(reactor, lambda: not connection.silent)
        asking.cancel()
        with pytest.raises(CancelledError):
            await asking
        await gone(reactor, told)


class Hasty(Protocol):
    """A server that answers what it has not read, and reads on when it is told to."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        if not self.received:
            transport.write(HELLO)
            transport.pauseProducing()
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Mute(Protocol):
    """A TLS server that answers, and then neither reads nor says goodbye."""

    def __init__(self, sends: bytes) -> None:
        self._sends = sends
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(self._sends)
        transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class TestTLS:
    async def test_a_close_notify_ends_a_body_without_length_and_a_cut_does_not(
        self, reactor: Any, serve: Any, ca: trustme.CA
    ) -> None:
        for end in (Close(), CutTLS(), Reset()):
            server = serve((Send(OK + b"Connection: close\r\n\r\nhello"), end), tls=True)
            connection, told = await connected(reactor, server, ca)
            sink = Sink()
            delivery = (await connection.request(ASK, b"GET", URL)).deliver(sink)
            if end == Close():
                await delivery
            else:
                with pytest.raises(Truncated) as raised:
                    await delivery
                assert raised.value.unproven is (
                    end == CutTLS()
                )  # nobody can forge a close_notify, but either of these
                assert isinstance(raised.value.__cause__, ConnectionLost)
            assert sink.data == b"hello"
            assert told == ["gone"]

    @pytest.mark.parametrize("framing", [b"Content-Length: 6", b"Transfer-Encoding: chunked"])
    async def test_what_tells_its_end_itself_is_cut_by_whatever_comes_before_it(
        self, reactor: Any, serve: Any, ca: trustme.CA, framing: bytes
    ) -> None:
        body = b"5\r\nhello\r\n" if b"chunked" in framing else b"hello"
        for end in (Close(), CutTLS(), Reset()):
            server = serve((Send(OK + framing + b"\r\n\r\n" + body), end), tls=True)
            connection, _ = await connected(reactor, server, ca)
            sink = Sink()
            with pytest.raises(Truncated) as raised:
                await (await connection.request(ASK, b"GET", URL)).deliver(sink)
            assert sink.data == b"hello"
            assert not raised.value.unproven

    async def test_the_records_of_a_large_body_come_joined_and_none_is_lost(
        self, reactor: Any, serve: Any, ca: trustme.CA
    ) -> None:
        """TLS hands out 16 KiB at a time; whoever writes to a disk, and hashes, is better off with more."""
        data = bytes(range(256)) * 16384  # 4 MiB: 256 records
        writes: list[int] = []
        server = serve(Send(OK + b"Content-Length: %d\r\n\r\n" % len(data) + data), tls=True)
        connection, told = await connected(reactor, server, ca)
        for _ in range(2):
            sink = Sink(lambda sink: writes.append(len(sink.data)))
            await (await connection.request(ASK, b"GET", URL)).deliver(sink)
            assert sink.data == data
        assert len(writes) < 256
        assert server.connections.total == 1
        connection.abort()
        await gone(reactor, told)

    async def test_what_came_of_a_large_body_before_it_was_cut_is_delivered(
        self, reactor: Any, serve: Any, ca: trustme.CA
    ) -> None:
        data = bytes(range(256)) * 8192
        head = OK + b"Content-Length: %d\r\n\r\n" % (len(data) + 1)
        server = serve((Send(head + data), Close()), tls=True)
        connection, told = await connected(reactor, server, ca)
        sink = Sink()
        with pytest.raises(Truncated) as raised:
            await (await connection.request(ASK, b"GET", URL)).deliver(sink)
        assert sink.data == data
        assert f"{len(data)} of {len(data) + 1}" in str(raised.value)
        assert told == ["gone"]

    async def test_a_certificate_that_is_missing_fails_the_first_request(
        self, reactor: Any, serve: Any, ca: trustme.CA
    ) -> None:
        """In TLS 1.3 the server looks at it after our handshake is done."""
        server = FaultServer(reactor, Send(HELLO), tls=ServerTLS(identity(ca), clients=ca.cert_pem.bytes()))
        async with server:
            connection, told = await connected(reactor, server, ca)
            with pytest.raises(TLSFailed):
                await connection.request(ASK, b"GET", URL)
            assert told == ["gone"]

    @pytest.mark.parametrize("when", ["idle", "asking", "flowing", "paused", "registering"])
    async def test_a_mute_peer_does_not_hold_the_socket(self, reactor: Any, ca: trustme.CA, when: str) -> None:
        """Twisted's own C{loseConnection} would wait for its goodbye for ever; ours waits for nobody's."""
        sends = {"idle": HELLO, "asking": OK}.get(when, OK + b"Content-Length: 9\r\n\r\nhello")
        servers: list[Mute] = []

        def build(addr: object) -> Mute:
            servers.append(Mute(sends))
            return servers[-1]

        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = build
        port = reactor.listenTCP(
            0,
            TLSMemoryBIOFactory(ServerTLS(identity(ca)), isClient=False, wrappedFactory=factory),
            interface="127.0.0.1",
        )
        try:
            connection, told = await connected(reactor, port.getHost(), ca)
            asking = connection.request(ASK, b"GET", URL)
            if when == "asking":
                await until(reactor, lambda: not connection.silent)
            else:
                answer = await asking
                if when == "idle":
                    assert await body_of(answer) == b"hello"
                else:
                    got: Deferred[None] = Deferred()
                    sink = Sink(lambda sink: got.callback(None))
                    delivery = answer.deliver(sink)
                    if when != "registering":
                        await got
                    if when == "paused":
                        sink.producer.pauseProducing()
            connection.abort()
            await gone(reactor, told)
            if when == "asking":
                with pytest.raises(CancelledError):
                    await asking
            elif when != "idle":
                with pytest.raises(CancelledError):
                    await delivery
        finally:
            await port.stopListening()
            for server in servers:
                transport: Any = server.transport
                transport.abortConnection()
                await server.lost

    async def test_an_abort_within_the_handshake(self, reactor: Any, serve: Any, ca: trustme.CA) -> None:
        """The server is a TCP server that never says anything."""
        server = serve(())
        told: list[str] = []
        connections: list[HTTPConnection] = []

        def build(addr: object) -> HTTPConnection:
            connections.append(listened(reactor, told, None))
            return connections[0]

        factory = Factory()
        factory.buildProtocol = build
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)
        await Encrypted(endpoint, creator(TLS(ca=ca.cert_pem.bytes(), system=False), "localhost")).connect(factory)
        ready = connections[0].ready()
        await turn(reactor)
        assert not ready.called
        ready.cancel()
        with pytest.raises(CancelledError):
            await ready
        await gone(reactor, told)
