"""
A streamer answers HTTP clients with files that come by FTP or SFTP: ranges, HEAD and conditions are those of HTTP.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from pulp_dl import TLS, Digest, Downloader, Remote, Retries, Source
from pulp_dl.streamer import Content
from pulp_dl.testing import Data, Entity, FaultFTP, Nth, Request, Reset, Script, Send, reply
from tests.ftp.conftest import put
from tests.ftp.pyftpd import PyFTPd
from tests.ftp.vsftpd import Vsftpd
from tests.sshd import Sshd, running_sshd
from tests.streamer.importers import ByHeart

DATA = random.Random(3).randbytes(1_500_000)
SHA256 = Digest("sha256", hashlib.sha256(DATA).hexdigest())
Curl = Callable[..., Any]


@pytest.fixture
def curl(program: Callable[[str], str]) -> Curl:
    """Its exit code, and what it wrote."""

    async def run(*arguments: str) -> tuple[int, bytes]:
        done = await deferToThread(
            subprocess.run, [program("curl"), "--silent", "--fail", *arguments], capture_output=True, timeout=20
        )
        return done.returncode, done.stdout

    return run


@asynccontextmanager
async def streaming(reactor: Any, remote: Remote, files: dict[str, Any]) -> AsyncIterator[str]:
    """The URL of a streamer that has these files to give."""
    downloader = Downloader(reactor, remote)
    content = Content(reactor, ByHeart(downloader, files))
    port = reactor.listenTCP(0, content, interface="127.0.0.1")
    try:
        yield f"http://127.0.0.1:{port.getHost().port}"
    finally:
        await content.cut()
        await port.stopListening()
        await downloader.close()


@pytest.fixture
async def sshd(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Sshd]:
    program("sshd")
    async with running_sshd(reactor, tmp_path) as server:
        yield server


@pytest.fixture(params=["vsftpd", "vsftpd_tls", "vsftpd_v6", "pyftpd", "sshd"])
def origin(request: pytest.FixtureRequest) -> tuple[Remote, str]:
    """How the file is reached, and where it is."""
    server: Vsftpd | PyFTPd | Sshd = request.getfixturevalue(request.param)
    once = Retries(count=0)
    if isinstance(server, Sshd):
        put(server.files, "streamed", DATA)
        return Remote(ssh=server.ssh(), retries=once), server.url("streamed")
    put(server.root if isinstance(server, Vsftpd) else server.folder, "streamed", DATA)
    tls = TLS(ca=str(server.ca), system=False) if isinstance(server, Vsftpd) and server.tls else TLS()
    return Remote(tls=tls, retries=once), server.url("streamed")


async def test_curl_gets_what_it_asks_for(reactor: Any, curl: Curl, origin: tuple[Remote, str], tmp_path: Path) -> None:
    remote, url = origin
    async with streaming(reactor, remote, {"/f": Source(url, SHA256), "/g": Source(url)}) as base:
        assert await curl(f"{base}/f") == (0, DATA)
        for path in ("/f", "/g"):
            for asked, part in (("0-0", slice(0, 1)), ("100-199", slice(100, 200)), ("-100", slice(-100, None))):
                assert await curl("-r", asked, f"{base}{path}") == (0, DATA[part])
            assert await curl("-r", "1400000-", f"{base}{path}") == (0, DATA[1_400_000:])
        assert await curl("-r", "2000000-", "-w", "%{http_code}", f"{base}/g") == (22, b"416")

        code, head = await curl("--head", f"{base}/g")
        fields = dict(line.split(b": ", 1) for line in head.splitlines()[1:] if b": " in line)
        assert code == 0
        assert head.startswith(b"HTTP/1.1 200")
        assert fields[b"Content-Length"] == b"%d" % len(DATA)
        assert fields[b"Last-Modified"] == b"Sun, 09 Sep 2001 01:46:40 GMT"
        assert fields[b"Accept-Ranges"] == b"bytes"

        saved = tmp_path / "etag"
        assert await curl("--etag-save", str(saved), f"{base}/g") == (0, DATA)
        assert await curl("--etag-compare", str(saved), "-w", "%{http_code}", f"{base}/g") == (0, b"304")
        since = ["-H", "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT"]
        assert await curl(*since, "-w", "%{http_code}", f"{base}/g") == (0, b"304")
        since = ["-H", "If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT"]
        assert await curl(*since, f"{base}/g") == (0, DATA)
        etag = saved.read_text().strip()
        assert await curl("-r", "5-9", "-H", f"If-Range: {etag}", f"{base}/g") == (0, DATA[5:10])
        assert await curl("-r", "5-9", "-H", 'If-Range: "other"', f"{base}/g") == (0, DATA)


async def test_curl_resumes(reactor: Any, curl: Curl, origin: tuple[Remote, str], tmp_path: Path) -> None:
    remote, url = origin
    (tmp_path / "f").write_bytes(DATA[:1_000_000])
    async with streaming(reactor, remote, {"/g": Source(url)}) as base:
        assert (await curl("-C", "-", "-o", str(tmp_path / "f"), f"{base}/g"))[0] == 0
    assert (tmp_path / "f").read_bytes() == DATA


async def test_what_breaks_off_is_healed_behind_the_clients_back(reactor: Any, curl: Curl) -> None:
    """By REST, and the client notices nothing."""
    breaks: Script = (reply(150), Data((Send(DATA[:700_000]), Reset())), reply(226))
    server: FaultFTP

    def honest(request: Request) -> Script:
        return server.honest(request)

    async with FaultFTP(reactor, {"a": DATA}, {"RETR": Nth([breaks, honest])}) as server:
        remote = Remote(retries=Retries(count=1, base=0.01))
        async with streaming(reactor, remote, {"/f": Source(server.url("/a"))}) as base:
            assert await curl(f"{base}/f") == (0, DATA)
        (rest,) = [each.target for each in server.requests if each.method == "REST"]
        assert 0 < int(rest) <= 700_000


@pytest.mark.parametrize("asks", [(), ("-r", "500000-"), ("-r", "500000-1400000"), "if-range"])
async def test_promise_3_a_client_sees_no_good_end_of_a_part_of_another_file(
    reactor: Any, curl: Curl, asks: Any
) -> None:
    """Neither where the streamer joins it, nor where the client does."""
    old = Entity(DATA, modified=b"Sun, 09 Sep 2001 01:46:40 GMT")
    new = Entity(DATA[::-1], modified=b"Sun, 09 Sep 2001 01:46:41 GMT")
    breaks = [] if asks else [700_000]
    server: FaultFTP

    def publishing(request: Request) -> Script:
        if breaks:
            return (reply(150), Data((Send(DATA[: breaks.pop()]), Reset())), reply(226))
        server.files["a"] = new
        return server.honest(request)

    if asks == "if-range":
        asks = "-r", "500000-", "-H", f'If-Range: "{1_000_000_000:x}-{len(DATA):x}"'
    async with FaultFTP(reactor, {"a": old}, {"RETR": publishing}) as server:
        remote = Remote(retries=Retries(count=1, base=0.01))
        async with streaming(reactor, remote, {"/f": Source(server.url("/a"))}) as base:
            code, _ = await curl(*asks, f"{base}/f")
    assert code in {18, 56}


async def test_what_is_not_there_is_404_and_who_is_not_let_in_is_502(reactor: Any, curl: Curl) -> None:
    async with FaultFTP(reactor, {"a": DATA}, {"RETR a": reply(530)}) as server:
        files = {"/a": Source(server.url("/a")), "/b": Source(server.url("/b"))}
        async with streaming(reactor, Remote(retries=Retries(count=0)), files) as base:
            assert await curl("-w", "%{http_code}", f"{base}/b") == (22, b"404")
            assert await curl("-w", "%{http_code}", f"{base}/a") == (22, b"502")
