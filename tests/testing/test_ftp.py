"""The FTP server that plays scripts is an honest one until a script says otherwise: curl is content with it."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread

from pulp_dl import Downloader, Remote, Retries, Source, ToMemory
from pulp_dl.errors import ConnectFailed
from pulp_dl.testing import (
    Close,
    Connections,
    Data,
    FaultFTP,
    Hold,
    MemoryNetwork,
    Nth,
    Port,
    Reset,
    Send,
    ServerTLS,
    reply,
)

BODY = bytes(range(256)) * 2000
Curl = Callable[..., Awaitable[tuple[int, bytes]]]


@pytest.fixture
def curl(program: Callable[[str], str]) -> Curl:
    """Its exit code, and what it wrote."""

    async def run(*arguments: str) -> tuple[int, bytes]:
        command = [program("curl"), "--silent", "--max-time", "5", *arguments]
        done = await deferToThread(subprocess.run, command, capture_output=True)
        return done.returncode, done.stdout

    return run


async def test_curl_gets_files_and_parts_of_them(reactor: Any, curl: Curl) -> None:
    async with FaultFTP(reactor, {"a": BODY, "deep/b": b"b", "empty": b""}) as server:
        assert await curl("--ftp-method", "nocwd", server.url("/a")) == (0, BODY)
        assert await curl("--ftp-method", "nocwd", server.url("/deep/b")) == (0, b"b")
        assert await curl("--ftp-method", "nocwd", server.url("/empty")) == (0, b"")
        assert await curl("--disable-epsv", server.url("/a")) == (0, BODY)
        assert await curl("-C", "100000", server.url("/a")) == (0, BODY[100_000:])
        assert (await curl("-r", "10-19", server.url("/a")))[1] == BODY[10:20]
        assert (await curl(server.url("/none")))[0] == 78
        code, head = await curl("--head", server.url("/a"))
        assert code == 0
        assert b"Content-Length: %d" % len(BODY) in head
        assert b"Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT" in head
        assert "PASV" in server.commands
        assert server.connections.peak == 2


@pytest.mark.parametrize("implicit", [False, True])
async def test_curl_gets_them_over_TLS(reactor: Any, curl: Curl, *, implicit: bool) -> None:
    identity = ServerTLS(trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    async with FaultFTP(reactor, {"a": BODY}, tls=identity, implicit=implicit) as server:
        url = server.url("/a") if implicit else server.url("/a").replace("ftps", "ftp")
        assert await curl("--insecure", "--ssl-reqd", url) == (0, BODY)
        assert "PROT P" in server.commands


async def test_scripts_take_the_place_of_what_is_honest(reactor: Any, curl: Curl, tmp_path: Path) -> None:
    scripts = {
        "RETR a": (reply(150), Data((Send(BODY[:1000]), Reset())), reply(226)),
        "RETR b": (reply(150), Data((Send(b"b"), Close())), reply(426)),
        "RETR c": Hold("never"),
        "PASS": Nth([reply(530, "not", "now"), reply(230)]),
        "PASV": Port(b"227 (10,0,0,1,%(high)d,%(low)d)\r\n"),
    }
    async with FaultFTP(reactor, {"a": BODY, "b": b"b", "c": b"c", "d": b"d"}, scripts) as server:  # type: ignore[arg-type]
        assert (await curl(server.url("/b")))[0] == 67
        assert (await curl(server.url("/a")))[0] != 0
        assert (await curl(server.url("/b")))[0] != 0
        passive = "--disable-epsv", "--ftp-skip-pasv-ip", "--dump-header", str(tmp_path / "said")
        assert await curl(*passive, server.url("/d")) == (0, b"d")
        assert b"227 (10,0,0,1," in (tmp_path / "said").read_bytes()
        assert (await curl("--max-time", "0.3", server.url("/c")))[0] == 28
        assert server.requests[0].method == "USER"
        assert server.requests[0].target == "anonymous"
        assert server.commands[1].startswith("PASS ")


async def test_a_client_that_cuts_a_transfer_is_told_426(reactor: Any, curl: Curl) -> None:
    async with FaultFTP(reactor, {"a": BODY * 20}) as server:
        assert (await curl("--max-filesize", "1", server.url("/a")))[0] == 63
        assert (await curl("-r", "0-9", server.url("/a")))[1] == BODY[:10]
        assert sum(each.cut for each in server.sessions.values()) == 1


def test_in_memory_it_listens_as_well() -> None:
    """At a name of its own, and on a port for each transfer, which is gone afterwards."""
    network = MemoryNetwork([1, 500])
    server = FaultFTP(network, {"a": BODY}, interface="ftp.example", port=21)
    with pytest.raises(CannotListenError):
        network.listenTCP(21, server, interface="ftp.example")
    downloader = Downloader(network)
    for _ in range(2):
        found = ToMemory()
        network.result(downloader.download("ftp://ftp.example/a", found))
        assert found.data == BODY
    assert server.url("/a") == "ftp://ftp.example:21/a"
    assert server.connections == Connections(1, 2, 3)
    assert not server.ports
    network.result(server.close())
    with pytest.raises(ConnectFailed):
        network.result(
            downloader.download(Source("ftp://ftp.example/a", remote=Remote(retries=Retries(count=0))), found)
        )
    network.result(downloader.close())
    network.run()
    assert network.connections == 0
    assert network.getDelayedCalls() == []
