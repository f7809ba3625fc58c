"""Pinned public keys, the least version, and what is said when nobody checks anything; against OpenSSL's and curl."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from pulp_dl.errors import TLSFailed
from pulp_dl.model.tls import TLS, pin_of
from pulp_dl.protocols.http.tls import ChainError, PinError, creator, explain
from pulp_dl.testing import FaultServer, ServerTLS, answer, redirect
from tests.http.conftest import MakeFetcher, trusting
from tests.sinks import read


class Server:
    """An identity, and its pin."""

    def __init__(self, ca: trustme.CA, *names: str) -> None:
        self.pem = ca.issue_cert(*names).private_key_and_cert_chain_pem.bytes()
        self.tls = ServerTLS(self.pem)
        self.pin = pin_of(x509.load_pem_x509_certificate(self.pem))


@pytest.fixture(scope="module")
def right(ca: trustme.CA) -> Server:
    return Server(ca, "127.0.0.1")


@pytest.fixture(scope="module")
def wrong(ca: trustme.CA) -> Server:
    return Server(ca, "127.0.0.1")


# ---- pins


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
@pytest.mark.parametrize("verify", [True, False])
async def test_a_key_that_is_pinned_is_taken_and_no_other(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, right: Server, wrong: Server, verify: bool, version: int
) -> None:
    """Whether certificates are checked or not; a server with another key hears nothing."""
    for server, good in ((right, True), (wrong, False)):
        identity = ServerTLS(server.pem)
        identity.context.set_max_proto_version(version)
        async with FaultServer(reactor, answer(b"x"), tls=identity) as served:
            fetcher = fetching(tls=trusting(ca, verify=verify, pins=right.pin))
            if good:
                assert (await read(fetcher, served.url("/")))[1] == b"x"
            else:
                with pytest.raises(TLSFailed) as raised:
                    await read(fetcher, served.url("/"))
                assert wrong.pin in raised.value.message
                assert "TLS.pins" in raised.value.message
                assert served.requests == []


async def test_one_of_several_pins_is_enough(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, right: Server, wrong: Server
) -> None:
    """So that the next key can be there before it is used."""
    async with FaultServer(reactor, answer(b"x"), tls=right.tls) as server:
        assert (await read(fetching(tls=trusting(ca, pins=[wrong.pin, right.pin])), server.url("/")))[1] == b"x"


async def test_a_pin_takes_the_place_of_no_check(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, right: Server
) -> None:
    """Without a CA, or with another name, the right key is not enough; with verify=False it is all there is."""
    async with FaultServer(reactor, answer(b"x"), tls=right.tls) as server:
        for tls, host in ((TLS(pins=right.pin), "127.0.0.1"), (trusting(ca, pins=right.pin), "localhost")):
            with pytest.raises(TLSFailed, match="certificate"):
                await read(fetching(tls=tls), server.url("/", host))
        assert server.requests == []
        assert (await read(fetching(tls=TLS(pins=right.pin, verify=False)), server.url("/", "localhost")))[1] == b"x"


async def test_a_pin_of_an_issuer_is_none_of_the_server(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, right: Server
) -> None:
    root = pin_of(x509.load_pem_x509_certificate(ca.cert_pem.bytes()))
    async with FaultServer(reactor, answer(b"x"), tls=right.tls) as server:
        with pytest.raises(TLSFailed, match=r"TLS\.pins"):
            await read(fetching(tls=trusting(ca, pins=root)), server.url("/"))


async def test_pins_hold_where_a_redirect_leads_too(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, right: Server, wrong: Server
) -> None:
    """Else, with verify=False, anybody could be there.  Where our certificate does not go, the pins do."""
    mine = ca.issue_cert("mine@example.org").private_key_and_cert_chain_pem.bytes()
    async with FaultServer(reactor, answer(b"x"), tls=wrong.tls) as other:
        async with FaultServer(reactor, redirect(other.url("/")), tls=right.tls) as first:
            for settings in ({}, {"verify": False}, {"cert": mine}):
                with pytest.raises(TLSFailed, match=r"TLS\.pins"):
                    await read(fetching(tls=trusting(ca, pins=right.pin, **settings)), first.url("/"))
            both = trusting(ca, pins=f"{right.pin};{wrong.pin}")
            assert (await read(fetching(tls=both), first.url("/")))[1] == b"x"
        assert len(other.requests) == 1


async def test_what_differs_in_its_pins_never_shares_a_connection(
    reactor: Any, fetching: MakeFetcher, ca: trustme.CA, right: Server, wrong: Server
) -> None:
    async with FaultServer(reactor, answer(b"x"), tls=right.tls) as server:
        await read(fetching(tls=trusting(ca)), server.url("/"))
        with pytest.raises(TLSFailed):
            await read(fetching(tls=trusting(ca, pins=wrong.pin)), server.url("/"))


async def test_curl_takes_and_refuses_the_same_pins(
    reactor: Any, ca: trustme.CA, right: Server, wrong: Server, tmp_path: Path, program: Callable[[str], str]
) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    curl = program("curl")
    async with FaultServer(reactor, answer(b"x"), tls=right.tls) as server:
        for pins, code in ((right.pin, 0), (wrong.pin, 90), (f"{wrong.pin};{right.pin}", 0)):
            command = [curl, "-s", "--cacert", "ca.pem", "--pinnedpubkey", pins, server.url("/")]
            ran = await deferToThread(subprocess.run, command, cwd=tmp_path, capture_output=True, check=False)

            assert ran.returncode == code


def test_a_wrong_pin_is_told_with_the_right_one() -> None:
    assert "sha256//xyz" in (explain(PinError("sha256//xyz")) or "")
    assert not isinstance(PinError("x"), ChainError | VerificationError)


# ---- the least version


async def test_the_least_version_is_kept(reactor: Any, fetching: MakeFetcher, ca: trustme.CA, right: Server) -> None:
    old = ServerTLS(right.pem)
    old.context.set_max_proto_version(SSL.TLS1_2_VERSION)
    async with FaultServer(reactor, answer(b"x"), tls=old) as server:
        assert (await read(fetching(tls=trusting(ca)), server.url("/")))[1] == b"x"
        with pytest.raises(TLSFailed, match=r"TLS\.minimum"):
            await read(fetching(tls=trusting(ca, minimum="1.3")), server.url("/"))
    async with FaultServer(reactor, answer(b"x"), tls=right.tls) as server:
        assert (await read(fetching(tls=trusting(ca, minimum="1.3")), server.url("/")))[1] == b"x"


# ---- nobody checks


@implementer(ILogObserver)
class Hearing:
    """What the log was told of connections that nobody checks."""

    def __init__(self) -> None:
        self.levels: list[str] = []

    def __call__(self, event: Any) -> None:
        if event["log_namespace"] == "pulp_dl" and event.get("event") == "unverified":
            self.levels.append(event["log_level"].name)


def test_verification_that_is_off_is_told_once() -> None:
    """Once for each trust, not for each connection, nor for who we are; a pin is a check, too."""
    hearing = Hearing()
    globalLogPublisher.addObserver(hearing)
    authority = trustme.CA()  # told of by no other test
    mine, issued = authority.cert_pem.bytes(), authority.issue_cert("elmer.example")
    cert, key = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
    try:
        for _ in range(3):
            creator(TLS(ca=mine, verify=False), "a.example")
            creator(TLS(ca=mine, verify=False), "b.example", ())
            creator(TLS(ca=mine, cert=cert, key=key, verify=False), "a.example")
        creator(TLS(ca=mine), "a.example")
        creator(TLS(ca=mine, verify=False, pins="sha256//" + "A" * 43 + "="), "a.example")
    finally:
        globalLogPublisher.removeObserver(hearing)

    assert hearing.levels == ["warn"]
