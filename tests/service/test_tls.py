"""Clients that come over TLS: what they may offer, and what is not taken."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, answer
from tests.service.running import connect, streamer

pytestmark = pytest.mark.limit(40)


@asynccontextmanager
async def over_tls(reactor: Any, folder: Path) -> AsyncIterator[Callable[..., ssl.SSLSocket]]:
    """A streamer with a certificate of RSA, and what connects to it, as a context that is given sees fit."""
    authority = trustme.CA()
    identity = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    identity.private_key_and_cert_chain_pem.write_to_path(folder / "pem")
    listen = ("--listen", f"ssl:0:interface=127.0.0.1:privateKey={folder}/pem", "--admin", "tcp:0:interface=127.0.0.1")
    async with (
        FaultServer(reactor, answer(b"bear")) as origin,
        streamer(reactor, *listen, "--passthrough", f"/={origin.url('/')}", cwd=folder, listen=False) as running,
    ):

        def shake(prepare: Callable[[ssl.SSLContext], object]) -> ssl.SSLSocket:
            context = ssl.create_default_context()
            authority.configure_trust(context)
            prepare(context)
            return context.wrap_socket(connect(running.url), server_hostname="127.0.0.1")

        yield shake


def ask(client: socket.socket) -> bytes:
    with client:
        client.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        found = b""
        while data := client.recv(65536):
            found += data
        return found


@pytest.mark.parametrize("offered", [["h2", "http/1.1"], ["http/1.1"], ["http/1.0"], []])
async def test_a_client_may_offer_protocols_as_they_all_do(offered: list[str], reactor: Any, tmp_path: Path) -> None:
    def talk() -> tuple[str | None, bytes]:
        client = shake(lambda context: context.set_alpn_protocols(offered))
        return client.selected_alpn_protocol(), ask(client)

    async with over_tls(reactor, tmp_path) as shake:
        chosen, got = await deferToThread(talk)

    assert chosen == (offered[-1] if offered else None)
    assert got.endswith(b"\r\n\r\nbear")


def old(ciphers: str) -> Callable[[ssl.SSLContext], None]:
    def prepare(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)

    return prepare


async def test_what_has_no_forward_secrecy_or_a_padding_is_not_spoken(reactor: Any, tmp_path: Path) -> None:
    def refused(ciphers: str) -> bool:
        try:
            shake(old(ciphers)).close()
        except ssl.SSLError:
            return True
        return False

    weak = ["ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-SHA"]
    strong = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"]
    async with over_tls(reactor, tmp_path) as shake:
        found = await deferToThread(lambda: {each: refused(each) for each in weak + strong})

    assert found == {**dict.fromkeys(weak, True), **dict.fromkeys(strong, False)}
