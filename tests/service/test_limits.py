"""Limits on what clients may do."""

from __future__ import annotations

import json
import re
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, Hold, Send, answer
from tests.servers import free_ports
from tests.service.running import ROOT, Streamer, ask, connect, open_request, rest_of, streamer, until

HELD = (Send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789"), Hold("rest"), Send(b"9876543210"))

pytestmark = pytest.mark.limit(40)


def talk(url: str, *pieces: bytes) -> bytes:
    """In a thread: all that is answered to what is sent."""
    with connect(url) as client:
        for piece in pieces:
            client.sendall(piece)
        found = b""
        try:
            while data := client.recv(65536):
                found += data
        except ConnectionResetError:
            pass
        return found


@pytest.mark.parametrize(("option", "limit"), [("--max-connections", "total"), ("--max-per-client", "client")])
async def test_who_is_one_too_many_is_told_so_and_served_when_there_is_room(
    option: str, limit: str, reactor: Any, tmp_path: Path
) -> None:
    async with (
        FaultServer(reactor, {"/held": HELD, "/a": answer(b"bear")}) as origin,
        streamer(reactor, "--passthrough", f"/={origin.url('/')}", option, 2, cwd=tmp_path) as running,
    ):
        first, second = [await open_request(running.url, "/held") for _ in range(2)]
        refused = await ask(running.url, "/a")
        metrics = (await ask(running.admin, "/metrics")).body.decode()
        origin.release("rest")
        bodies = [await rest_of(first), await rest_of(second)]

        async def room() -> bool:
            return "pulp_streamer_connections 0.0" in (await ask(running.admin, "/metrics")).body.decode()

        while not await room():
            pass
        served = await ask(running.url, "/a")

    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert refused.headers["Cache-Control"] == "no-store"
    assert f'pulp_streamer_refused_connections_total{{limit="{limit}"}} 1.0' in metrics
    assert bodies == [b"01234567899876543210"] * 2
    assert served.body == b"bear"


async def test_a_client_that_sends_its_head_slowly_is_cut(reactor: Any, tmp_path: Path) -> None:
    async with streamer(reactor, "--request-timeout", 0.4, cwd=tmp_path) as running:

        def drip() -> int:
            """Bytes that were taken until the end; each of them comes in time."""
            with connect(running.url) as client:
                client.settimeout(0.05)
                sent = 0
                for byte in b"GET / HTTP/1.1\r\nHost: here\r\nX-Patience: " + b"a" * 10_000:
                    try:
                        client.sendall(bytes([byte]))
                        sent += 1
                        if client.recv(1) == b"":
                            break
                    except TimeoutError:
                        continue
                    except OSError:
                        break
                return sent

        assert await deferToThread(drip) < 100


CLOCK = """
import os, time
real = time.time
time.time = lambda: real() + os.path.exists("late") * 86400 - os.path.exists("early") * 86400
"""


@pytest.mark.parametrize("way", ["serve", "twistd", "twist"])
async def test_limits_hold_whatever_becomes_of_the_systems_clock(reactor: Any, tmp_path: Path, way: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    path = f"{tmp_path}:{ROOT}"
    async with streamer(reactor, "--request-timeout", 1.5, cwd=tmp_path, way=way, PYTHONPATH=path) as running:
        request = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"

        def halves(name: str) -> bytes:
            """The answer to a request in whose middle the clock is set; without its end, if that does not come."""
            with connect(running.url) as client:
                client.settimeout(20)
                client.sendall(request[:9])
                time.sleep(0.2)
                (tmp_path / name).touch()
                client.sendall(request[9:20])
                time.sleep(0.2)
                client.sendall(request[20:] if name == "late" else b"")
                return client.recv(100)

        on_time = await deferToThread(halves, "late")
        cut = await deferToThread(halves, "early")

    assert on_time.startswith(b"HTTP/1.1 404")
    assert not cut.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: " + b"a" * 3000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"404"),
    ],
)
async def test_heads_and_targets_have_limits(request_: bytes, status: bytes, reactor: Any, tmp_path: Path) -> None:
    async with streamer(reactor, "--max-head", 2500, "--max-target", 1000, cwd=tmp_path) as running:
        got = await deferToThread(talk, running.url, request_)

    assert got.split(b" ")[1] == status


async def test_a_client_that_takes_nothing_is_cut(reactor: Any, tmp_path: Path) -> None:
    big = bytes(30_000_000)
    async with (
        FaultServer(reactor, {"/a": answer(big)}) as origin,
        streamer(reactor, "--passthrough", f"/={origin.url('/')}", "--patience", 0.4, cwd=tmp_path) as running,
    ):
        response = await open_request(running.url, "/a")
        await until(reactor, lambda: "took nothing" in running.log)
        body = await rest_of(response)

    assert body is None


async def test_several_listeners_one_of_them_with_tls_one_without_a_port(reactor: Any, tmp_path: Path) -> None:
    server_identity = trustme.CA().issue_cert("127.0.0.1")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    server_identity.private_key_pem.write_to_path(str(key))
    for pem in server_identity.cert_chain_pems:
        pem.write_to_path(str(chain), append=True)
    endpoints = (
        "tcp:0:interface=127.0.0.1",
        f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={chain}",
        f"unix:{tmp_path}/socket",
    )
    async with (
        FaultServer(reactor, answer(b"bear")) as origin,
        streamer(
            reactor,
            *(word for each in endpoints for word in ("--listen", each)),
            *("--admin", "tcp:0:interface=127.0.0.1", "--passthrough", f"/={origin.url('/')}"),
            cwd=tmp_path,
            listen=False,
        ) as running,
    ):
        facts = json.loads((await ask(running.admin, "/status?format=json")).body)
        plain, secure, local = facts["listening"]
        got = await ask(plain, "/a")

        def over_tls() -> bytes:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(connect(secure)) as client:
                client.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                found = b""
                while data := client.recv(65536):
                    found += data
                return found

        encrypted = await deferToThread(over_tls)

    assert got.body == b"bear"
    assert encrypted.endswith(b"\r\n\r\nbear")
    assert local == f"unix:{tmp_path}/socket"


async def test_an_address_that_is_taken_is_an_error_and_not_a_traceback(reactor: Any, tmp_path: Path) -> None:
    async with streamer(reactor, cwd=tmp_path) as running:
        port = running.url.rstrip("/").rpartition(":")[2]
        (tmp_path / "other").mkdir()
        listen = ("--listen", f"tcp:{port}:interface=127.0.0.1", "--admin", "")
        other = Streamer(reactor, *listen, cwd=tmp_path / "other", listen=False)
        code = await other.ended()

    assert code == 1
    assert "in use" in other.log
    assert "Traceback" not in other.log


async def test_a_request_that_comes_back_to_where_it_was_is_refused(reactor: Any, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    args = ("--listen", f"tcp:{port}:interface=127.0.0.1", "--admin", "tcp:0:interface=127.0.0.1")
    here = f"/=http://127.0.0.1:{port}/"
    async with streamer(reactor, *args, "--passthrough", here, cwd=tmp_path, listen=False) as running:
        got = await ask(running.url, "/f")

        assert got.status == 502
        assert running.log.count("it has been here before") == 1


async def test_a_request_that_a_redirect_leads_back_is_refused(reactor: Any, tmp_path: Path) -> None:
    """Our name in Via goes wherever a request goes: it is no secret, and a loop may lead by other origins."""
    (port,) = free_ports(1)
    args = ("--listen", f"tcp:{port}:interface=127.0.0.1", "--admin", "tcp:0:interface=127.0.0.1")
    back = answer(b"", 302, ((b"Location", b"http://127.0.0.1:%d/f" % port),))
    async with (
        FaultServer(reactor, {"/f": back}) as origin,
        streamer(reactor, *args, "--passthrough", f"/={origin.url('/')}", cwd=tmp_path, listen=False) as running,
    ):
        got = await ask(running.url, "/f")

        assert got.status == 502
        assert running.log.count("it has been here before") == 1
        assert len(origin.requests) == 1


async def test_a_request_that_went_by_others_is_known_again(reactor: Any, tmp_path: Path) -> None:
    async with (
        FaultServer(reactor, {"/f": answer(b"bear")}) as origin,
        streamer(reactor, "--passthrough", f"/={origin.url('/')}", cwd=tmp_path) as running,
    ):
        await ask(running.url, "/f")
        own = (origin.requests[0].get(b"via") or b"").decode().split()[1]
        for via in (f"1.1 {own}", f"1.1 a, 1.1 {own} (comment) , 1.0 b"):
            got = await ask(running.url, "/f", Via=via)
            assert (got.status, got.headers["Cache-Control"]) == (421, "no-store")
        assert (await ask(running.url, "/f", Via=f"1.1 {own}x, {own}")).status == 200
        assert len(origin.requests) == 2


async def test_who_is_asked_hears_where_a_request_has_been(reactor: Any, tmp_path: Path) -> None:
    async with (
        FaultServer(reactor, {"/f": answer(b"bear")}) as origin,
        streamer(reactor, "--passthrough", f"/={origin.url('/')}", cwd=tmp_path) as running,
    ):
        for fields in ({}, {"Via": "1.1 varnish, 1.0 squid"}):
            assert (await ask(running.url, "/f", **fields)).body == b"bear"
        own, passed = [request.get(b"via") or b"" for request in origin.requests]

    assert re.fullmatch(rb"1\.1 pulp_dl-[0-9a-f]{8}", own)
    assert passed == b"1.1 varnish, 1.0 squid, " + own
