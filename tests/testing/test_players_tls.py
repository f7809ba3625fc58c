"""Scripts are played over TLS too."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from twisted.internet.error import ConnectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates

from pulp_dl.testing import (
    Close,
    CutTLS,
    Hold,
    Reset,
    Send,
    ServerTLS,
)
from tests.testing.stages import Memory, World

BIG = bytes(range(256)) * 8000


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def trusting(ca: trustme.CA, host: str, identity: bytes | None = None) -> Any:
    root = Certificate.loadPEM(ca.cert_pem.bytes())
    own = None if identity is None else PrivateCertificate.loadPEM(identity)
    return optionsForClientTLS(host, trustRootFromCertificates([root]), own)


async def over_tls(world: World, ca: trustme.CA, script: Any) -> tuple[bytes, Any]:
    identity = ca.issue_cert("127.0.0.1", "host0").private_key_and_cert_chain_pem.bytes()
    stage = world.serve(script, tls=ServerTLS(identity))
    client = await world.connect(stage, trusting(ca, stage.host))
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    data = await world.wait(client.until(None))
    assert client.end is not None
    return data, client.end.type


async def test_over_tls_the_same_bytes_come(world: World, ca: trustme.CA) -> None:
    assert await over_tls(world, ca, [Send(BIG), Close()]) == (BIG, ConnectionDone)


async def test_cut_tls_is_told_from_close_and_brings_all_that_was_sent(world: World, ca: trustme.CA) -> None:
    data, end = await over_tls(world, ca, [Send(BIG), CutTLS()])
    assert data == BIG
    assert end is not ConnectionDone


async def test_reset_over_tls_brings_all_that_was_sent(world: World, ca: trustme.CA) -> None:
    data, end = await over_tls(world, ca, [Send(BIG), Reset()])
    assert data == BIG
    assert end is not ConnectionDone


async def test_close_over_tls_does_not_wait_for_a_client_that_does_not_answer(ca: trustme.CA) -> None:
    world = Memory()
    identity = ca.issue_cert("host0").private_key_and_cert_chain_pem.bytes()
    stage = world.serve([Hold(), Close()], tls=ServerTLS(identity))
    client = await world.connect(stage, trusting(ca, stage.host))
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    await world.settle()
    client.transport.pauseProducing()
    stage.release()
    await world.settle()
    assert world.network.connections == 1, "the client's end is open, the server's is not"
    await world.close()


async def test_the_clients_certificate_is_kept(world: World, ca: trustme.CA) -> None:
    identity = ca.issue_cert("127.0.0.1", "host0").private_key_and_cert_chain_pem.bytes()
    stage = world.serve([Send(b"in"), Close()], tls=ServerTLS(identity, clients=ca.cert_pem.bytes()))
    elmer = ca.issue_cert("elmer@example.org", common_name="elmer")
    client = await world.connect(stage, trusting(ca, stage.host, elmer.private_key_and_cert_chain_pem.bytes()))
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await world.wait(client.until(None)) == b"in"
    certificate: Any = stage.requests[0].certificate
    assert "CN=elmer" in certificate.subject.rfc4514_string()


async def test_without_the_certificate_that_is_asked_for_no_request_comes(world: World, ca: trustme.CA) -> None:
    identity = ca.issue_cert("127.0.0.1", "host0").private_key_and_cert_chain_pem.bytes()
    stage = world.serve([Send(b"in"), Close()], tls=ServerTLS(identity, clients=ca.cert_pem.bytes()))
    client = await world.connect(stage, trusting(ca, stage.host))
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await world.wait(client.until(None)) == b""
    assert stage.requests == []
