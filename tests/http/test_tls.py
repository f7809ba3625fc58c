"""TLS over loopback: whom a connection trusts, what it shows of itself, and what is said when it fails."""

from __future__ import annotations

import datetime as dt
import os
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapServerTLS
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http.tls import ChainError, creator, explain
from pulp_dl.protocols.http.tls_transport import Encrypted
from tests.needs import lacking

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


# ---- certificates that trustme does not make


def signed(
    ca: trustme.CA,
    names: list[x509.GeneralName],
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> bytes:
    """A key and its certificate, common name "localhost"; with no names there is no subjectAltName at all."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signer = load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    certificate = builder.sign(signer, hashes.SHA256())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return plain + certificate.public_bytes(Encoding.PEM)


def pem(leaf: trustme.LeafCert) -> bytes:
    return leaf.private_key_and_cert_chain_pem.bytes()


# ---- a server that remembers


@define
class Seen:
    """What one connection brought."""

    received: bytes = b""
    names: list[bytes | None] = field(factory=list)
    certificates: list[x509.Certificate] = field(factory=list)
    protocol: bytes | None = None
    lost: Deferred[None] = field(factory=Deferred)


@implementer(IOpenSSLServerConnectionCreator)
class Server:
    """Answers "welcome" to the first bytes, and tells what it saw."""

    def __init__(self, identity: bytes, clients: trustme.CA | None = None, **settings: Any) -> None:
        self.seen: list[Seen] = []
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        certificate, *chain = x509.load_pem_x509_certificates(identity)
        self.context.use_certificate(certificate)
        for each in chain:
            self.context.add_extra_chain_cert(each)
        self.context.use_privatekey(load_pem_private_key(identity, None))  # type: ignore[arg-type]  # TLS keys only
        self.context.set_alpn_select_callback(lambda _connection, offered: offered[0])
        if clients is not None:
            store = self.context.get_cert_store()
            assert store is not None
            root = x509.load_pem_x509_certificate(clients.cert_pem.bytes())
            store.add_cert(crypto.X509.from_cryptography(root))
            self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        for name, value in settings.items():
            getattr(self.context, name)(value)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self.context)
        connection.set_accept_state()
        return connection

    def protocol(self) -> Protocol:
        seen = Seen()
        self.seen.append(seen)

        class Remember(Protocol):
            def dataReceived(self, data: bytes) -> None:
                seen.received += data
                handle = self.transport.getHandle()  # type: ignore[union-attr]
                seen.names.append(handle.get_servername())
                own = handle.get_peer_certificate(as_cryptography=True)
                # On this side OpenSSL's chain begins behind the peer's own certificate.
                seen.certificates = [own, *handle.get_peer_cert_chain(as_cryptography=True)] if own else []
                seen.protocol = handle.get_alpn_proto_negotiated()
                assert self.transport is not None
                self.transport.write(b"welcome")

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                seen.lost.callback(None)

        return Remember()


class Client(Protocol):
    """Says hello at once; fires with the answer or fails with why the connection ended."""

    def __init__(self) -> None:
        self.answer: Deferred[bytes] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        if not self.answer.called:
            self.answer.callback(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answer.called:
            self.answer.errback(reason)
        self.lost.callback(None)


class Making(Factory):
    """A factory whose protocols this callable makes."""

    def __init__(self, make: Callable[[], Protocol]) -> None:
        self.make = make

    def buildProtocol(self, _address: object) -> Protocol:
        return self.make()


@define
class Network:
    """Servers on loopback, and connections to them."""

    reactor: Any
    ports: list[Any] = field(factory=list)

    async def serve(self, identity: bytes, clients: trustme.CA | None = None, **settings: Any) -> Server:
        server = Server(identity, clients, **settings)
        endpoint = wrapServerTLS(server, TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1"))
        self.ports.append(await endpoint.listen(Making(server.protocol)))
        return server

    async def talk(self, tls: TLS, host: str = "localhost") -> bytes:
        """Say hello to the last server as this host; its answer, or the reason why there is none."""
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.ports[-1].getHost().port)
        client = Client()
        await Encrypted(endpoint, creator(tls, host)).connect(Making(lambda: client))
        try:
            return await client.answer
        finally:
            transport: Any = client.transport
            if not client.lost.called:
                transport.abortConnection()
            await client.lost

    async def refused(self, tls: TLS, host: str = "localhost") -> Any:
        """The reason for which the same ends; nothing may come."""
        with pytest.raises(Exception) as caught:  # noqa: PT011  # the caller looks at it
            await self.talk(tls, host)
        return caught.value


@pytest.fixture
async def network(reactor: Any) -> Any:
    found = Network(reactor)
    yield found
    for port in found.ports:
        await port.stopListening()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def other() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def localhost(ca: trustme.CA) -> bytes:
    return pem(ca.issue_cert("localhost"))


@pytest.fixture(scope="module")
def alice(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert("alice@example.org")


def roots(*authorities: trustme.CA) -> bytes:
    return b"".join(each.cert_pem.bytes() for each in authorities)


def context(tls: TLS, host: str = "localhost") -> SSL.Context:
    """What the connections to a host are made of."""
    protocol: Any = None
    return creator(tls, host).clientConnectionForTLS(protocol).get_context()


# ---- trust


async def test_a_private_ca_is_not_trusted_by_default(network: Network, localhost: bytes) -> None:
    server = await network.serve(localhost)

    error = await network.refused(TLS())

    assert isinstance(error, ChainError)
    assert "give the CA as TLS.ca" in (explain(error) or "")
    await server.seen[0].lost
    assert server.seen[0].received == b""


async def test_a_private_ca_is_trusted_when_it_is_given(network: Network, ca: trustme.CA, localhost: bytes) -> None:
    server = await network.serve(localhost)

    assert await network.talk(TLS(ca=ca.cert_pem.bytes())) == b"welcome"
    assert server.seen[0].received == b"hello"


async def test_every_certificate_of_a_bundle_is_trusted(
    network: Network, ca: trustme.CA, other: trustme.CA, localhost: bytes
) -> None:
    tls = TLS(ca=roots(other, ca), system=False)

    for identity in (localhost, pem(other.issue_cert("localhost"))):
        await network.serve(identity)
        assert await network.talk(tls) == b"welcome"


async def test_another_ca_is_not_enough(network: Network, other: trustme.CA, localhost: bytes) -> None:
    await network.serve(localhost)

    assert isinstance(await network.refused(TLS(ca=roots(other))), ChainError)


async def test_an_intermediate_may_be_all_that_is_trusted(network: Network, ca: trustme.CA) -> None:
    """As with curl: what is given is trusted, even if its own issuer is unknown."""
    intermediate = ca.create_child_ca()
    await network.serve(pem(intermediate.issue_cert("localhost")))

    assert await network.talk(TLS(ca=roots(intermediate), system=False)) == b"welcome"


async def test_a_server_may_send_intermediates_but_has_to_send_all(network: Network, ca: trustme.CA) -> None:
    leaf = ca.create_child_ca().issue_cert("localhost")
    await network.serve(pem(leaf))
    assert await network.talk(TLS(ca=roots(ca))) == b"welcome"

    await network.serve(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes())

    assert "sends no intermediates" in (explain(await network.refused(TLS(ca=roots(ca)))) or "")


@pytest.mark.parametrize("private", [True, False])
async def test_the_system_and_a_private_ca_are_trusted_together(
    network: Network,
    ca: trustme.CA,
    other: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    private: bool,
) -> None:
    """SSL_CERT_FILE names the system's trust, as it does for OpenSSL."""
    other.cert_pem.write_to_path(str(tmp_path / "system.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    await network.serve(pem((ca if private else other).issue_cert("localhost")))

    assert await network.talk(TLS(ca=roots(ca))) == b"welcome"
    for tls, trusted in ((TLS(ca=roots(ca), system=False), private), (TLS(), not private)):
        if trusted:
            assert await network.talk(tls) == b"welcome"
        else:
            assert isinstance(await network.refused(tls), ChainError)


async def test_another_ssl_cert_file_is_not_overlooked(
    network: Network, ca: trustme.CA, other: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contexts are kept for reuse, but not beyond a change of what names the system's trust."""
    for number, authority in enumerate((ca, other)):
        path = tmp_path / f"{number}.pem"
        authority.cert_pem.write_to_path(str(path))
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        await network.serve(pem(authority.issue_cert("localhost")))
        assert await network.talk(TLS()) == b"welcome"


def system_roots() -> Iterator[x509.Certificate]:
    path = ssl.get_default_verify_paths().cafile
    if path is not None:
        for each in x509.load_pem_x509_certificates(Path(path).read_bytes()):
            if each.issuer == each.subject and each.not_valid_before_utc < NOW < each.not_valid_after_utc:
                yield each


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # some root in the bundle of Debian has none that is valid
def test_without_variables_the_bundle_of_the_distribution_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL in a wheel was built for paths that no machine has; the bundle is found all the same."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    root = next(system_roots(), None)
    if root is None:
        lacking("this machine has no bundle of CAs (ca-certificates)")

    store = context(TLS()).get_cert_store()

    assert store is not None
    crypto.X509StoreContext(store, crypto.X509.from_cryptography(root)).verify_certificate()


async def test_without_verification_anything_goes_and_the_name_is_still_sent(
    network: Network, other: trustme.CA
) -> None:
    server = await network.serve(
        pem(other.issue_cert("elsewhere.example", not_after=NOW - DAY, not_before=NOW - 2 * DAY))
    )

    assert await network.talk(TLS(verify=False), "files.example") == b"welcome"
    assert server.seen[0].names == [b"files.example"]


async def test_connections_with_and_without_verification_do_not_share_a_context(
    network: Network, localhost: bytes
) -> None:
    await network.serve(localhost)

    assert await network.talk(TLS(verify=False)) == b"welcome"
    assert isinstance(await network.refused(TLS(verify=True)), ChainError)


# ---- what a certificate has to say


async def test_a_certificate_is_for_its_own_names_only(network: Network, ca: trustme.CA, localhost: bytes) -> None:
    server = await network.serve(localhost)

    error = await network.refused(TLS(ca=roots(ca)), "files.example")

    assert isinstance(error, VerificationError)
    assert "for other hosts" in (explain(error) or "")
    await server.seen[0].lost
    assert server.seen[0].received == b""


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["127.0.0.1"], "127.0.0.1"),
        (["::1"], "::1"),
        (["fe80::1"], "fe80::1%25eth0"),
        (["*.example.org"], "files.example.org"),
        (["xn--bcher-kva.example"], "xn--bcher-kva.example"),
        (["files.example"], "files.example."),
        (["a.example", "b.example"], "b.example"),
    ],
)
async def test_names_and_addresses_that_match(network: Network, ca: trustme.CA, names: list[str], host: str) -> None:
    server = await network.serve(pem(ca.issue_cert(*names)))

    assert await network.talk(TLS(ca=roots(ca)), host) == b"welcome"
    assert server.seen[0].received == b"hello"


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["127.0.0.1"], "127.0.0.2"),
        (["::1"], "::2"),
        (["localhost"], "127.0.0.1"),
        (["127.0.0.1"], "localhost"),
        (["*.example.org"], "example.org"),
        (["*.example.org"], "a.b.example.org"),
        (["example.org"], "files.example.org"),
        (["files.example"], "files.example.attacker.example"),
        (["2130706433.example"], "2130706433"),
    ],
)
async def test_names_and_addresses_that_do_not_match(
    network: Network, ca: trustme.CA, names: list[str], host: str
) -> None:
    server = await network.serve(pem(ca.issue_cert(*names)))

    error = await network.refused(TLS(ca=roots(ca)), host)

    assert isinstance(error, VerificationError | CertificateError)
    assert explain(error) is not None
    await server.seen[0].lost
    assert server.seen[0].received == b""


@pytest.mark.parametrize("kind", ["an empty subjectAltName", "no subjectAltName"])
async def test_a_common_name_does_not_count(network: Network, ca: trustme.CA, kind: str) -> None:
    identity = pem(ca.issue_cert(common_name="localhost")) if kind.startswith("an empty") else signed(ca, [])
    server = await network.serve(identity)

    error = await network.refused(TLS(ca=roots(ca)))

    assert isinstance(error, CertificateError)
    assert "subjectAltName" in (explain(error) or "")
    await server.seen[0].lost
    assert server.seen[0].received == b""


async def test_an_address_in_a_dns_name_does_not_count(network: Network, ca: trustme.CA) -> None:
    await network.serve(signed(ca, [x509.DNSName("127.0.0.1"), x509.DNSName("localhost")]))

    assert explain(await network.refused(TLS(ca=roots(ca)), "127.0.0.1")) is not None


@pytest.mark.parametrize("names", [[x509.DNSName("localhost\0.attacker.example")], [x509.DNSName("*")]])
async def test_names_made_to_deceive_do_not_count(
    network: Network, ca: trustme.CA, names: list[x509.GeneralName]
) -> None:
    server = await network.serve(signed(ca, names))

    assert explain(await network.refused(TLS(ca=roots(ca)))) is not None
    await server.seen[0].lost
    assert server.seen[0].received == b""


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [(-2, -1, "has expired"), (1, 2, "not valid yet; check the clock")],
    ids=["past", "future"],
)
async def test_a_certificate_has_to_be_valid_now(
    network: Network, ca: trustme.CA, begin: int, end: int, words: str
) -> None:
    leaf = ca.issue_cert("localhost", not_before=NOW + begin * DAY, not_after=NOW + end * DAY)
    await network.serve(pem(leaf))

    error = await network.refused(TLS(ca=roots(ca)))

    assert isinstance(error, ChainError)
    assert error.depth == 0
    assert words in (explain(error) or "")


async def test_a_certificate_of_a_client_is_none_of_a_server(network: Network, ca: trustme.CA) -> None:
    await network.serve(signed(ca, [x509.DNSName("localhost")], ExtendedKeyUsageOID.CLIENT_AUTH))

    assert "not for servers" in (explain(await network.refused(TLS(ca=roots(ca)))) or "")


async def test_a_name_in_a_certificate_cannot_write_to_the_terminal(network: Network, ca: trustme.CA) -> None:
    leaf = ca.issue_cert("localhost", organization_name="evil\n\x1b[2J", not_before=NOW - 2 * DAY, not_after=NOW - DAY)
    await network.serve(pem(leaf))

    assert (explain(await network.refused(TLS(ca=roots(ca)))) or "\n").isprintable()


# ---- our own certificate


async def test_a_server_that_wants_a_certificate_gets_ours(
    network: Network, ca: trustme.CA, alice: trustme.LeafCert, localhost: bytes
) -> None:
    server = await network.serve(localhost, ca)

    assert await network.talk(TLS(ca=roots(ca), cert=pem(alice))) == b"welcome"
    assert server.seen[0].certificates[0] == TLS(cert=pem(alice)).certificate


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
async def test_a_server_that_wants_a_certificate_refuses_none_and_wrong_ones(
    network: Network, ca: trustme.CA, other: trustme.CA, localhost: bytes, version: int
) -> None:
    server = await network.serve(localhost, ca, set_max_proto_version=version)

    none = await network.refused(TLS(ca=roots(ca)))
    wrong = await network.refused(TLS(ca=roots(ca), cert=pem(other.issue_cert("mallory@example.org"))))

    assert "wants a certificate of ours" in (explain(none) or "")
    assert "does not trust the CA of our certificate" in (explain(wrong) or "")
    assert all("TLS.cert" in (explain(each) or "") for each in (none, wrong))
    assert [seen.received for seen in server.seen] == [b"", b""]


async def test_the_intermediates_of_our_certificate_are_sent(
    network: Network, ca: trustme.CA, localhost: bytes
) -> None:
    leaf = ca.create_child_ca().create_child_ca().issue_cert("alice@example.org")
    server = await network.serve(localhost, ca)

    assert await network.talk(TLS(ca=roots(ca), cert=pem(leaf))) == b"welcome"
    sent = [x509.load_pem_x509_certificate(each.bytes()) for each in leaf.cert_chain_pems]
    assert server.seen[0].certificates[:3] == sent
    without = TLS(ca=roots(ca), cert=leaf.cert_chain_pems[0].bytes(), key=leaf.private_key_pem.bytes())
    assert explain(await network.refused(without)) is not None


async def test_an_encrypted_key_is_used(
    network: Network, ca: trustme.CA, alice: trustme.LeafCert, localhost: bytes
) -> None:
    key = load_pem_private_key(alice.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"opensesame"))
    server = await network.serve(localhost, ca)

    tls = TLS(ca=roots(ca), cert=alice.cert_chain_pems[0].bytes(), key=locked, passphrase="opensesame")

    assert await network.talk(tls) == b"welcome"
    assert server.seen[0].certificates[0] == tls.certificate


async def test_our_certificate_goes_out_without_verification_too(
    network: Network, ca: trustme.CA, alice: trustme.LeafCert, localhost: bytes
) -> None:
    await network.serve(localhost, ca)

    assert await network.talk(TLS(cert=pem(alice), verify=False)) == b"welcome"


async def test_our_certificate_is_not_shown_to_a_server_that_is_not_trusted(
    network: Network, ca: trustme.CA, other: trustme.CA, alice: trustme.LeafCert
) -> None:
    """Nor to one of another name: the name is checked before the handshake goes on."""
    shown: list[object] = []

    def remember(_connection: object, certificate: crypto.X509, *_rest: object) -> bool:
        shown.append(certificate)
        return True

    tls = TLS(ca=roots(ca), cert=pem(alice))
    for identity in (pem(other.issue_cert("localhost")), pem(ca.issue_cert("elsewhere.example"))):
        server = await network.serve(identity, ca)
        server.context.set_verify(SSL.VERIFY_PEER, remember)
        assert explain(await network.refused(tls)) is not None
        await server.seen[0].lost
    assert shown == []

    server = await network.serve(pem(ca.issue_cert("localhost")), ca)
    server.context.set_verify(SSL.VERIFY_PEER, remember)
    assert await network.talk(tls) == b"welcome"
    assert shown


async def test_the_public_half_shows_no_certificate(
    network: Network, ca: trustme.CA, alice: trustme.LeafCert, localhost: bytes
) -> None:
    server = await network.serve(localhost)
    server.context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    tls = TLS(ca=roots(ca), cert=pem(alice))

    await network.talk(tls)
    await network.talk(tls.public())

    assert [seen.certificates[:1] for seen in server.seen] == [[tls.certificate], []]


# ---- the handshake


async def test_the_name_is_sent_for_names_and_not_for_addresses(network: Network, ca: trustme.CA) -> None:
    """RFC 6066 section 3: no addresses, no trailing dot."""
    server = await network.serve(pem(ca.issue_cert("files.example", "127.0.0.1", "::1")))

    for host in ("files.example", "files.example.", "127.0.0.1", "::1"):
        await network.talk(TLS(ca=roots(ca)), host)

    assert [seen.names for seen in server.seen] == [[b"files.example"], [b"files.example"], [None], [None]]


async def test_http_1_1_is_all_that_is_offered(network: Network, ca: trustme.CA, localhost: bytes) -> None:
    offered: list[list[bytes]] = []

    def choose(_connection: object, protocols: list[bytes]) -> bytes:
        offered.append(protocols)
        return protocols[0]

    server = await network.serve(localhost, set_alpn_select_callback=choose)
    await network.talk(TLS(ca=roots(ca)))

    assert offered == [[b"http/1.1"]]
    assert server.seen[0].protocol == b"http/1.1"


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
async def test_a_good_connection_opens_no_door_for_the_next(
    network: Network, ca: trustme.CA, localhost: bytes, version: int
) -> None:
    """A resumed session skips all checks, and may have been another identity's: each host has its own."""
    server = await network.serve(localhost, set_max_proto_version=version)
    server.context.set_session_id(b"tests")

    for _ in range(2):
        assert await network.talk(TLS(ca=roots(ca))) == b"welcome"
        assert isinstance(await network.refused(TLS(ca=roots(ca)), "files.example"), VerificationError)


async def test_tls_1_1_is_refused(network: Network, ca: trustme.CA, localhost: bytes) -> None:
    await network.serve(
        localhost,
        set_min_proto_version=SSL.TLS1_VERSION,
        set_max_proto_version=SSL.TLS1_1_VERSION,
        set_cipher_list=b"DEFAULT:@SECLEVEL=0",
    )

    assert "1.2 or later" in (explain(await network.refused(TLS(verify=False))) or "")


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 ftp ready\r\n", b"SSH-2.0-x\r\n"])
async def test_a_port_that_speaks_no_tls_is_named(network: Network, greeting: bytes) -> None:
    class Plain(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(greeting)
            self.transport.loseConnection()

    endpoint = TCP4ServerEndpoint(network.reactor, 0, interface="127.0.0.1")
    network.ports.append(await endpoint.listen(Making(Plain)))

    assert "no TLS is spoken on this port" in (explain(await network.refused(TLS())) or "")


async def test_many_connections_share_one_context_and_nothing_warns(
    network: Network, ca: trustme.CA, alice: trustme.LeafCert, localhost: bytes
) -> None:
    """Because pyOpenSSL forbids changing one that is in use; and nothing that it calls deprecated is used."""
    await network.serve(localhost, ca)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shared = {
            context(TLS(ca=roots(ca), cert=pem(alice)), host) for host in ("localhost", "files.example", "127.0.0.1")
        }
    assert len(shared) == 1
    assert await network.talk(TLS(ca=roots(ca), cert=pem(alice))) == b"welcome"
    others = (TLS(ca=roots(ca)), TLS(), TLS(verify=False), TLS(ca=roots(ca), cert=pem(alice), verify=False))
    assert len(shared | {context(each) for each in others}) == 5


async def test_refused_connections_do_not_spoil_those_that_share_their_context(
    network: Network, ca: trustme.CA, localhost: bytes
) -> None:
    await network.serve(localhost)
    tls = TLS(ca=roots(ca))

    assert isinstance(await network.refused(tls, "files.example"), VerificationError)
    assert await network.talk(tls) == b"welcome"


# ---- words


def alert(number: int) -> SSL.Error:
    """What OpenSSL raises for an alert of the other side."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    connection.bio_write(bytes([21, 3, 3, 0, 2, 2, number]))
    with pytest.raises(SSL.Error) as caught:
        connection.do_handshake()
    return caught.value


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (40, "refuses the handshake"),
        (42, "does not accept our certificate"),
        (43, "does not accept our kind of certificate"),
        (44, "our certificate is revoked"),
        (45, "our certificate has expired"),
        (46, "does not accept our certificate"),
        (48, "does not trust the CA of our certificate"),
        (49, "denies access"),
        (70, "1.2 or later"),
        (71, "ciphers"),
        (112, "does not know the host"),
        (116, "wants a certificate of ours"),
        (120, "HTTP/1.1"),
    ],
)
def test_every_alert_that_lasts_is_explained(number: int, words: str) -> None:
    """By the numbers of RFC 8446 section 6, through the OpenSSL that is installed."""
    assert words in (explain(Failure(alert(number))) or "")


@pytest.mark.parametrize("number", [10, 20, 22, 50, 80, 90])
def test_alerts_that_may_pass_are_not(number: int) -> None:
    """An internal error, a damaged record: another try may well succeed, so this is no verdict on trust."""
    assert explain(alert(number)) is None


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        ValueError("x"),
        SSL.SysCallError(-1, "Unexpected EOF"),
        SSL.ZeroReturnError(),
        SSL.Error(),
        None,
    ],
)
def test_what_is_no_failure_of_tls_has_no_explanation(error: object) -> None:
    assert explain(error) is None


# ---- with a terminal at hand


SCRIPT = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # now /dev/tty is there, which is where OpenSSL would ask
from pulp_dl.model.tls import TLS
try:
    TLS(cert=sys.argv[1], key=sys.argv[2])
except ValueError as error:
    sys.exit(str(error))
"""


def test_nobody_is_asked_for_a_passphrase(tmp_path: Path, alice: trustme.LeafCert) -> None:
    key = load_pem_private_key(alice.private_key_pem.bytes(), None)
    for name, form in (("pkcs8", PrivateFormat.PKCS8), ("rfc1421", PrivateFormat.TraditionalOpenSSL)):
        locked = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"opensesame"))
        (tmp_path / name).write_bytes(locked)
    alice.cert_chain_pems[0].write_to_path(str(tmp_path / "cert"))
    for name in ("pkcs8", "rfc1421"):
        ours, theirs = os.openpty()
        try:
            ended = subprocess.run(
                [sys.executable, "-c", SCRIPT, str(tmp_path / "cert"), str(tmp_path / name)],
                stdin=theirs,
                capture_output=True,
                start_new_session=True,
                timeout=20,
                check=False,
            )
            os.set_blocking(ours, False)
            with pytest.raises(BlockingIOError):
                os.read(ours, 100)
        finally:
            os.close(ours)
            os.close(theirs)
        assert b"TLS.passphrase: missing" in ended.stderr
        assert b"Enter" not in ended.stderr + ended.stdout
