"""TLS sessions: whose they are, how long they last, and what becomes of a server that cannot resume them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from OpenSSL import SSL

from pulp_dl.errors import TLSFailed
from pulp_dl.model.remote import Proxy
from pulp_dl.model.source import Source
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http.sessions import CHECKED, NotResumed, Sessions
from pulp_dl.protocols.http.tls import creator
from pulp_dl.testing import ESTABLISHED, FaultServer, OnConnect, ServerTLS, Tunnel, answer
from tests.http.conftest import MakeFetcher, trusting
from tests.servers import Nginx
from tests.sinks import read, turn

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@pytest.fixture(scope="module")
def identity(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert("127.0.0.1", "localhost")


class Server:
    """The standard library's TLS, in memory: it can tell whether a session was resumed."""

    def __init__(self, leaf: trustme.LeafCert, version: ssl.TLSVersion, clients: trustme.CA | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(self.context)
        self.context.maximum_version = version
        if clients is not None:
            clients.configure_trust(self.context)
            self.context.verify_mode = ssl.CERT_REQUIRED

    def meet(self, client: SSL.Connection, *, end: bool = True) -> bool:
        """A whole connection: was a session resumed?"""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self.context.wrap_bio(incoming, outgoing, server_side=True)
        done = {"client": False, "server": False}
        while not all(done.values()):
            for name, handshake in (("client", client.do_handshake), ("server", server.do_handshake)):
                try:
                    handshake()
                    done[name] = True
                except (SSL.WantReadError, ssl.SSLWantReadError):
                    pass
                move(client, incoming, outgoing)
        server.write(b"an answer, behind the tickets")
        move(client, incoming, outgoing)
        assert client.recv(100) == b"an answer, behind the tickets"
        if end:
            client.shutdown()
        assert server.session_reused is not None
        return server.session_reused


def move(client: SSL.Connection, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    try:
        while True:
            incoming.write(client.bio_read(65536))
    except SSL.WantReadError:
        pass
    if data := outgoing.read():
        client.bio_write(data)


class Judged:
    """What stands for the transport: it is told when a certificate is refused."""

    def __init__(self) -> None:
        self.refused: list[Any] = []

    def failVerification(self, reason: Any) -> None:
        self.refused.append(reason.value)


def client(made: Any) -> SSL.Connection:
    judged: Any = Judged()
    connection: SSL.Connection = made.clientConnectionForTLS(judged)
    return connection


@VERSIONS
def test_each_connection_resumes_the_session_of_one_before(
    ca: trustme.CA, identity: trustme.LeafCert, version: ssl.TLSVersion
) -> None:
    server, made = Server(identity, version), creator(trusting(ca), "localhost")

    assert [server.meet(client(made)) for _ in range(4)] == [False, True, True, True]


@VERSIONS
def test_a_connection_that_is_still_open_lends_its_session(
    ca: trustme.CA, identity: trustme.LeafCert, version: ssl.TLSVersion
) -> None:
    """Once: what comes of it is another one."""
    server, made = Server(identity, version), creator(trusting(ca), "localhost")
    first, second, third = (client(made) for _ in range(3))  # they begin together: there is nothing to resume

    assert [server.meet(each, end=False) for each in (first, second, third)] == [False, False, False]
    fourth, fifth = client(made), client(made)
    assert [server.meet(fourth), server.meet(fifth)] == [True, False]


@VERSIONS
def test_many_that_have_ended_leave_one_each(
    ca: trustme.CA, identity: trustme.LeafCert, version: ssl.TLSVersion
) -> None:
    server, made = Server(identity, version), creator(trusting(ca), "localhost")
    for each in [client(made) for _ in range(3)]:
        server.meet(each)

    assert [server.meet(each) for each in [client(made) for _ in range(4)]] == [True, True, True, False]


@VERSIONS
def test_sessions_belong_to_one_host_and_one_identity(
    ca: trustme.CA, identity: trustme.LeafCert, version: ssl.TLSVersion
) -> None:
    """Else a name would not be looked for, or somebody would be taken for somebody else."""
    alice = ca.issue_cert("alice@example.org").private_key_and_cert_chain_pem.bytes()
    server = Server(identity, version)
    assert not server.meet(client(creator(trusting(ca), "localhost")))

    others = [
        creator(trusting(ca), "127.0.0.1"),
        creator(trusting(ca), "localhost"),  # of another remote
        creator(trusting(ca, cert=alice), "localhost"),
        creator(trusting(ca, verify=False), "localhost"),
    ]
    assert [server.meet(client(each)) for each in others] == [False] * 4


@VERSIONS
def test_a_client_certificate_stays_with_its_session(
    ca: trustme.CA, identity: trustme.LeafCert, version: ssl.TLSVersion
) -> None:
    alice = ca.issue_cert("alice@example.org").private_key_and_cert_chain_pem.bytes()
    server, made = Server(identity, version, ca), creator(trusting(ca, cert=alice), "localhost")

    assert [server.meet(client(made)) for _ in range(3)] == [False, True, True]


@VERSIONS
def test_a_session_of_a_server_that_is_not_trusted_is_not_kept(
    ca: trustme.CA, identity: trustme.LeafCert, version: ssl.TLSVersion
) -> None:
    """However often it is tried, and although the transport closes it in good order."""
    server, made = Server(identity, version), creator(trusting(ca), "elsewhere.example")
    for _ in range(3):
        connection = client(made)
        with pytest.raises(SSL.Error) as raised:
            server.meet(connection)
        assert not isinstance(raised.value, NotResumed)
        with suppress(SSL.Error):
            connection.shutdown()


@VERSIONS
def test_another_server_that_knows_nothing_of_the_session_is_checked(
    ca: trustme.CA, identity: trustme.LeafCert, version: ssl.TLSVersion
) -> None:
    """It answers with a whole handshake, and all checks are made in it."""
    made = creator(trusting(ca), "localhost")
    stranger = Server(trustme.CA().issue_cert("localhost"), version)
    assert not Server(identity, version).meet(client(made))

    with pytest.raises(NotResumed):
        stranger.meet(client(made))


@VERSIONS
def test_from_time_to_time_everything_is_checked_again(
    ca: trustme.CA, identity: trustme.LeafCert, version: ssl.TLSVersion
) -> None:
    """Counted from the last whole handshake: a chain of sessions would never end."""
    now = 0.0
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    sessions, server = Sessions(context, lambda: now), Server(identity, version)

    def meet() -> bool:
        connection = sessions.connection()
        connection.set_connect_state()
        return server.meet(connection)

    found = []
    for moment in (0, CHECKED * 0.4, CHECKED * 0.8, CHECKED * 1.2, CHECKED * 1.6):
        now = moment
        found.append(meet())
    assert found == [False, True, True, False, True]


def test_what_cannot_be_resumed_is_asked_for_once_and_nobody_notices(
    ca: trustme.CA, identity: trustme.LeafCert
) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    sessions, server = Sessions(context), Server(identity, ssl.TLSVersion.TLSv1_3)
    connection = sessions.connection()
    connection.set_connect_state()
    server.meet(connection)
    connection = sessions.connection()
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    connection.bio_write(bytes([21, 3, 3, 0, 2, 2, 80]))  # an internal error
    with pytest.raises(NotResumed):
        connection.do_handshake()

    for _ in range(3):
        connection = sessions.connection()
        connection.set_connect_state()
        assert not server.meet(connection)


# ---- over sockets


@pytest.mark.parametrize("proxied", [False, True])
async def test_a_server_that_fails_to_resume_is_no_failure(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, identity: trustme.LeafCert, proxied: bool
) -> None:
    """
    OpenSSL's own does, if it asks for certificates and its sessions have no name: every other download would fail.
    Neither is a proxy's that does the same.
    """
    pem, root = identity.private_key_and_cert_chain_pem.bytes(), ca.cert_pem.bytes()
    tls = trusting(ca, cert=ca.issue_cert("alice@example.org").private_key_and_cert_chain_pem.bytes())
    close = answer(b"x", headers=((b"Connection", b"close"),))
    one, two = ServerTLS(pem, root), ServerTLS(pem, root)
    for each in (one, two):
        each.context.set_session_id(b"")
    async with FaultServer(reactor, OnConnect([ESTABLISHED, Tunnel()]), tls=one) as proxy:
        async with FaultServer(reactor, close, tls=two) as server:
            fetcher = fetching(tls=tls, proxy=Proxy(proxy.url("/"), tls=tls) if proxied else None)
            for _ in range(4):
                assert (await read(fetcher, server.url("/")))[1] == b"x"

            assert len(server.requests) == 4
            assert server.connections.total == 5


@pytest.mark.parametrize("proxied", [False, True])
async def test_nginx_resumes_our_sessions(
    reactor: Any, fetching: MakeFetcher, tmp_path: Path, program: Callable[[str], str], proxied: bool
) -> None:
    """
    A server that nobody here has written; it closes each connection after one answer.

    As a proxy it is one server for all origins.
    """
    nginx = Nginx.make(reactor, program("nginx"), tmp_path)
    configuration = tmp_path / "nginx" / "nginx.conf"
    text = configuration.read_text().replace("$http_range'", "$ssl_session_reused'")
    configuration.write_text(text.replace("keepalive_requests 100000", "keepalive_requests 1"))
    (nginx.root / "f").write_bytes(b"bear")
    await nginx.start()
    try:
        tls = TLS(ca=nginx.ca)
        fetcher = fetching(proxy=Proxy(nginx.https, tls=tls)) if proxied else fetching(tls=tls)
        for origin in "abcd":
            url = f"http://{origin}.example/f" if proxied else f"{nginx.https}f"
            assert (await read(fetcher, url))[1] == b"bear"
        served = nginx.served()
        while len(served) < 4:  # it writes a line after the answer
            await turn(reactor)
            served += nginx.served()
    finally:
        await nginx.stop()

    assert [each.range for each in served] == [".", "r", "r", "r"]
    assert len({each.connection for each in served}) == 4


async def test_a_refused_server_is_refused_again(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, identity: trustme.LeafCert
) -> None:
    """Also by whoever has talked to it before under another trust."""
    pem = identity.private_key_and_cert_chain_pem.bytes()
    async with FaultServer(reactor, answer(b"x", headers=((b"Connection", b"close"),)), tls=ServerTLS(pem)) as server:
        lax, strict = fetching(tls=TLS(verify=False)), fetching(tls=TLS())
        for _ in range(2):
            await read(lax, server.url("/"))
            with pytest.raises(TLSFailed):
                await strict.open(Source(server.url("/")))
