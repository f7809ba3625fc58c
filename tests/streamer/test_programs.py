"""The clients and origins of others: exit codes tell whether they take a body for whole."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl import Downloader, Remote, Retries, Source
from pulp_dl.streamer import Content
from pulp_dl.testing import Close, Cut, answer
from tests.servers import Nginx
from tests.streamer.importers import ByHeart
from tests.streamer.serving import serving, sha256, until

DATA = bytes(range(250)) * 4000
ROOT = Path(__file__).parent.parent.parent
LARGE = 1024 * 1024 * 1024

CURL = {"HTTP/1.1": ["--http1.1"], "HTTP/1.0": ["--http1.0"], "ranges": ["--range", "5-500000"]}
WGET = ["--quiet", "--tries=1"]


async def run(*command: str) -> tuple[int, bytes]:
    ran = await deferToThread(subprocess.run, command, capture_output=True, check=False)
    return ran.returncode, ran.stdout


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("how", CURL)
async def test_curl_fails_when_the_body_does(
    reactor: Any, program: Callable[[str], str], how: str, framing: Any
) -> None:
    """Neither 0 nor, in ranges, a part that is too short: and with a right body, 0."""
    good, bad = answer(DATA, framing=framing), answer(DATA[:-1] + b"!", framing=framing)
    once = Remote(retries=Retries(count=0))
    scripts = {"/good": good, "/bad": bad, "/cut": Cut(good, 400_000, Close())}
    expect = sha256(DATA)
    async with serving(
        reactor, scripts, lambda origin: {path: Source(origin.url(path), expect) for path in scripts}, remote=once
    ) as served:
        curl = [program("curl"), "--silent", *CURL[how]]
        part = slice(5, 500_001) if how == "ranges" else slice(None)
        assert await run(*curl, served.url("/good")) == (0, DATA[part])
        for path in ["/cut"] if how == "ranges" else ["/cut", "/bad"]:
            code, came = await run(*curl, served.url(path))
            assert code in {18, 56}
            assert DATA[part].startswith(came)
            assert came != DATA[part]


async def test_wget_fails_when_the_body_does_and_gets_it_whole_when_it_asks_again(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    scripts = {"/good": answer(DATA), "/bad": answer(DATA[:-1] + b"!"), "/cut": Cut(answer(DATA), 400_000, Close())}
    once = Remote(retries=Retries(count=0))
    async with serving(
        reactor,
        scripts,
        lambda origin: {path: Source(origin.url(path), sha256(DATA)) for path in scripts},
        remote=once,
    ) as served:
        wget = [program("wget"), *WGET, f"--output-document={tmp_path / 'f'}"]
        assert (await run(*wget, served.url("/good")))[0] == 0
        assert (tmp_path / "f").read_bytes() == DATA
        assert (await run(*wget, served.url("/bad")))[0] == 4
        assert (await run(*wget, served.url("/cut")))[0] == 4
        assert (await run(*wget, served.url("/none")))[0] == 8


async def test_nginx_is_an_origin_like_any_other(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> None:
    nginx = Nginx.make(reactor, program("nginx"), tmp_path)
    (nginx.root / "f").write_bytes(DATA)
    await nginx.start()
    downloader = Downloader(reactor)
    importer = ByHeart(downloader, {"/f": Source(nginx.http + "f", sha256(DATA)), "/g": Source(nginx.http + "f")})
    content = Content(reactor, importer)
    port = reactor.listenTCP(0, content, interface="127.0.0.1")
    url = f"http://127.0.0.1:{port.getHost().port}"
    try:
        curl = [program("curl"), "--silent", "--fail"]
        assert await run(*curl, f"{url}/f") == (0, DATA)
        assert await run(*curl, "-r", "100-199", f"{url}/f") == (0, DATA[100:200])
        assert await run(*curl, "-r", "-100", f"{url}/f") == (0, DATA[-100:])
        assert await run(*curl, "-r", "2000000-", "-w", "%{http_code}", f"{url}/f") == (22, b"416")
        assert (await run(*curl, "--head", f"{url}/f"))[0] == 0
        saved = tmp_path / "etag"
        assert await run(*curl, "--etag-save", str(saved), f"{url}/g") == (0, DATA)
        code, seen = await run(*curl, "--etag-compare", str(saved), "-w", "%{http_code}", f"{url}/g")
        assert (code, seen) == (0, b"304")
        served = [(each.method, each.status, each.size) for each in nginx.served()]
        assert [each for each in served if each[0] == "HEAD"] == [("HEAD", 200, 0)]
        assert [(status, size) for method, status, size in served if method == "GET"] == [
            (200, len(DATA)), (206, 100), (206, 100), (416, served[3][2]), (200, len(DATA)), (304, 0)
        ]  # fmt: skip
    finally:
        await content.cut()
        await port.stopListening()
        await downloader.close()
        await nginx.stop()


@pytest.mark.parametrize("where", ["ssl", "unix"])
async def test_clients_may_come_over_tls_and_over_a_socket_in_the_file_system(
    reactor: Any, program: Callable[[str], str], tmp_path: Path, where: str
) -> None:
    identity = trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem
    identity.write_to_path(tmp_path / "pem")
    path = tmp_path / "socket"
    description = {"ssl": f"ssl:0:privateKey={tmp_path}/pem:interface=127.0.0.1", "unix": f"unix:{path}"}
    scripts = {"/good": answer(DATA), "/bad": answer(DATA[:-1] + b"!"), "/cut": Cut(answer(DATA), 400_000, Close())}
    async with serving(
        reactor,
        scripts,
        lambda origin: {path: Source(origin.url(path), sha256(DATA)) for path in scripts},
        remote=Remote(retries=Retries(count=0)),
    ) as served:
        port: Any = await serverFromString(reactor, description[where]).listen(served.content)
        if where == "ssl":
            curl, url = ["--insecure"], f"https://127.0.0.1:{port.getHost().port}"
        else:
            curl, url = ["--unix-socket", str(path)], "http://a"
        try:
            for version in ("--http1.1", "--http1.0"):
                command = [program("curl"), "--silent", "--show-error", version, *curl]
                assert await run(*command, f"{url}/good") == (0, DATA)
                for bad in ("bad", "cut"):
                    code, came = await run(*command, f"{url}/{bad}")
                    assert code != 0
                    assert len(came) < len(DATA)
            assert served.told.over[0].client == ("127.0.0.1" if where == "ssl" else "local")
        finally:
            await port.stopListening()


@pytest.mark.limit(60)
async def test_a_large_file_goes_through_flat_memory_to_quick_and_to_stalled_clients(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    nginx = Nginx.make(reactor, program("nginx"), tmp_path)
    with (nginx.root / "f").open("wb") as file:
        file.truncate(LARGE)
    await nginx.start()
    digest = await deferToThread(_zeros, LARGE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests/streamer/in_a_process.py"), nginx.http + "f", digest]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout is not None
        port = int(await deferToThread(process.stdout.readline))
        measured = psutil.Process(process.pid)
        warm = await run("curl", "-s", "-r", "0-0", f"http://127.0.0.1:{port}/f")
        assert warm == (0, b"\0")
        before = measured.memory_info().rss
        stalled = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        for each in stalled:
            each.sendall(b"GET /f HTTP/1.1\r\nHost: a\r\n\r\n")
        peak: list[int] = []
        quick = run("bash", "-c", f"curl -s --limit-rate 250M http://127.0.0.1:{port}/f | sha256sum")
        done: list[Any] = []
        Deferred.fromCoroutine(quick).addBoth(done.append)
        while not done:
            peak.append(measured.memory_info().rss)
            await deferLater(reactor, 0.05)

        assert done == [(0, f"{digest}  -\n".encode())]
        assert max(peak) - before < 24 * 1024 * 1024
        for each in stalled:
            each.close()
        # Its port is left, and what idles towards nginx.
        await until(reactor, lambda: sum(each.laddr.port == port for each in measured.net_connections()) == 1)
    finally:
        process.terminate()
        await deferToThread(process.communicate)
        await nginx.stop()


def _zeros(size: int) -> str:
    found = hashlib.sha256()
    for _ in range(size // 65_536):
        found.update(bytes(65_536))
    return found.hexdigest()
