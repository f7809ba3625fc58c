"""
What is worked round, as long as it has to be: each of these fails on the day when somebody has mended it.

None of it is about our code: where that is, and by which ticket it may go, docs/architecture.rst says.
"""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
import trustme
from treq.client import HTTPClient
from twisted.conch.ssh.filetransfer import FXP_STATUS, FileTransferClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import ClientCreator, Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.ftp import FTPClient
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, RedirectAgent
from twisted.web.http import HTTPFactory
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from pulp_dl.testing import Close, Data, FaultFTP, FaultServer, Reset, Send, ServerTLS, answer, reply
from tests.http.test_tls import signed

ROOT = Path(__file__).parent.parent


def rows() -> list[tuple[str, str]]:
    """File and test of each row of the page's table."""
    text = (ROOT / "docs" / "architecture.rst").read_text().partition("\nWhat is worked round\n")[2]
    return re.findall(r"^     - ``(\S+\.py)``\n     - ``(test_\w+)``$", text, re.MULTILINE)


def test_the_page_has_them_all() -> None:
    found = rows()
    assert {test for _, test in found} == {name for name in globals() if name.startswith("test_until_")}
    assert [place for place, _ in found if not (ROOT / "pulp_dl" / place).is_file()] == []


@implementer(IAgent)
class Agent:
    """Remembers the fields that it is asked with, and gives this answer."""

    def __init__(self, response: Any = None) -> None:
        self.fields: list[Headers] = []
        self._response = response

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        self.fields.append(headers)
        return Deferred() if self._response is None else succeed(self._response)


# ---- HTTP


def test_until_treq_takes_addresses_of_ipv6() -> None:
    with pytest.raises(UnicodeError, match="not allowed"):
        HTTPClient(Agent()).request("GET", "http://[::1]/")


def test_until_treq_can_leave_bodies_as_they_are() -> None:
    agent = Agent()
    HTTPClient(agent).request("GET", "http://a/", headers=Headers({"Accept-Encoding": ["identity"]}))
    assert agent.fields[0].getRawHeaders("Accept-Encoding") == ["identity", "gzip"]


def test_until_a_closed_producer_is_silent() -> None:
    """Of what the head came with, also who pauses before it hears anything is told."""
    from twisted.web._newclient import HTTP11ClientProtocol, Request

    class Pausing(Protocol):
        heard = b""

        def connectionMade(self) -> None:
            self.transport.pauseProducing()  # type: ignore[union-attr]

        def dataReceived(self, data: bytes) -> None:
            self.heard += data

    client: Any = HTTP11ClientProtocol()
    client.makeConnection(StringTransport())
    got: list[Any] = []
    client.request(Request(b"GET", b"/", Headers({"Host": ["a"]}), None)).addCallback(got.append)
    client.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    reader = Pausing()
    got[0].deliverBody(reader)

    assert reader.heard == b"hello"


def test_until_a_pool_has_a_limit(reactor: Any) -> None:
    @implementer(IStreamClientEndpoint)
    class Endpoint:
        dialled = 0

        def connect(self, factory: Any) -> Deferred[Any]:
            self.dialled += 1
            return Deferred()

    pool: Any = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = 1
    endpoint = Endpoint()
    for _ in range(3):
        pool.getConnection("a", endpoint)

    assert endpoint.dialled == 3


def test_until_a_redirect_lets_go_of_its_body() -> None:
    class Response:  # as much of one as it looks at
        code = 302
        headers = Headers({"Location": ["/b"]})
        let_go = False

        def deliverBody(self, protocol: Any) -> None:
            self.let_go = True

        abort = deliverBody

    response = Response()
    agent: Any = RedirectAgent(Agent(response), redirectLimit=1)
    agent.request(b"GET", b"http://a/").addErrback(lambda _: None)

    assert not response.let_go


async def test_until_a_certificate_without_names_is_refused(reactor: Any, logged_errors: Any) -> None:
    """The stock verifier finds no name in it, says so to the log, and goes on."""
    ca = trustme.CA()
    options = optionsForClientTLS("localhost", trustRoot=Certificate.loadPEM(ca.cert_pem.bytes()))

    class Client(Protocol):
        def __init__(self) -> None:
            self.heard: Deferred[bytes] = Deferred()

        def connectionMade(self) -> None:
            self.transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")  # type: ignore[union-attr]

        def dataReceived(self, data: bytes) -> None:
            if not self.heard.called:
                self.heard.callback(data)

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            if not self.heard.called:
                self.heard.errback(reason)

    async with FaultServer(reactor, answer(b"hello"), tls=ServerTLS(signed(ca, []))) as server:
        endpoint = wrapClientTLS(options, TCP4ClientEndpoint(reactor, "127.0.0.1", server.port))
        client: Any = await endpoint.connect(Factory.forProtocol(Client))
        assert (await client.heard).startswith(b"HTTP/1.1 200")
        client.transport.abortConnection()
    assert logged_errors.flush(Exception)


def test_until_a_refusal_has_a_length() -> None:
    channel: Any = HTTPFactory().buildProtocol(None)
    wire = StringTransport()
    channel.makeConnection(wire)
    channel.dataReceived(b"nonsense\r\n\r\n")

    channel.connectionLost(Failure(ConnectionDone()))
    assert wire.value() == b"HTTP/1.1 400 Bad Request\r\n\r\n"


def test_until_long_names_are_forgotten() -> None:
    name = token_bytes(5_000).hex().encode()
    before = sys.getrefcount(name)
    Headers().hasHeader(name)
    assert sys.getrefcount(name) > before


async def test_until_a_quiet_factory_has_a_quiet_port(reactor: Any) -> None:
    class Nameless(Factory):
        noisy = False

    with capturedLogs() as events:
        await reactor.listenTCP(0, Nameless(), interface="127.0.0.1").stopListening()

    assert [text for each in events if "Nameless starting on" in (text := formatEvent(each))]


# ---- FTP


def asking(user: str = "anonymous") -> tuple[Any, StringTransport]:
    """Twisted's client, when it has said who it is."""
    client: Any = FTPClient(user, "secret")
    wire = StringTransport()
    client.makeConnection(wire)
    client.dataReceived(b"220 ready\r\n")
    return client, wire


def test_until_a_reply_ends_with_its_own_code() -> None:
    client, wire = asking()
    wire.clear()
    client.dataReceived(b"331-one\r\n230 is no end\r\n")
    assert wire.value() == b"PASS secret\r\n", "the answer to USER has not ended yet"


def test_until_a_user_is_one_line() -> None:
    _, wire = asking("a\r\nDELE b")
    assert wire.value() == b"USER a\r\nDELE b\r\n"


def test_until_a_dead_client_answers() -> None:
    client, _ = asking()
    client.connectionLost(Failure(ConnectionDone()))
    question = client.queueStringCommand("NOOP")
    assert not question.called
    question.addErrback(lambda failure: failure.trap(CancelledError))


async def test_until_a_transfer_that_was_reset_has_failed(reactor: Any) -> None:
    """And until there is a word for addresses of IPv6."""
    heard: list[bytes] = []

    class Body(Protocol):
        def dataReceived(self, data: bytes) -> None:
            heard.append(data)

    reset = (reply(150), Data((Send(b"hel"), Reset())), reply(226))
    async with FaultFTP(reactor, {"a": b"hello"}, {"RETR": reset, "QUIT": (reply(221), Close())}) as server:
        creator: Any = ClientCreator(reactor, FTPClient, passive=1)
        client = await creator.connectTCP("127.0.0.1", server.port)
        await client.retrieveFile("a", Body())
        assert b"".join(heard) in {b"hel", b""}
        assert {"PASV", "EPSV"} & {command.split()[0] for command in server.commands} == {"PASV"}
        client.transport.abortConnection()


# ---- SFTP


def test_until_an_answer_that_cannot_be_read_ends_the_connection(logged_errors: Any) -> None:
    client: Any = FileTransferClient()
    wire = StringTransport()
    client.makeConnection(wire)
    asked = client.openDirectory("/")
    packet = struct.pack("!BL", FXP_STATUS, 0) + b"\0"
    client.dataReceived(struct.pack("!L", len(packet)) + packet)

    assert logged_errors.flush(struct.error)
    assert not wire.disconnecting
    assert not asked.called
