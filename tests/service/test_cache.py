"""nginx as a cache in front: it keeps what is whole, and never what was cut or failed."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from pulp_dl.testing import Close, FaultServer, Hold, Nth, Send, answer
from tests.service.running import ROOT, ask, open_request, rest_of, streamer, until

DATA = bytes(range(256)) * 400
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nCache-Control: max-age=3600\r\n\r\n" % (10 * len(DATA))
CUT = (Send(HEAD + 5 * DATA), Hold("cut"), Close())

pytestmark = pytest.mark.limit(40)


def configuration(folder: Path, port: int, streamer_url: str) -> str:
    """The page's own, with our ports, and what a test needs to run it alone."""
    page = (ROOT / "docs" / "howto" / "behind-a-cache.rst").read_text()
    block = page.partition(":caption: nginx.conf\n")[2].partition("\n\nVarnish")[0]
    lines = [line.removeprefix("   ") for line in block.splitlines() if not line or line.startswith("   ")]
    ours = "\n".join(lines).replace("/var/cache/nginx/pulp", f"{folder}/cache")
    ours = ours.replace("127.0.0.1:8751", streamer_url.removeprefix("http://").rstrip("/"))
    ours = ours.replace("listen 80;", f"listen 127.0.0.1:{port};")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{ours}\n}}"
    )


@asynccontextmanager
async def cache(reactor: Any, program: str, folder: Path, streamer_url: str) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir()
    (folder / "nginx.conf").write_text(configuration(folder, port, streamer_url))
    command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None, (folder / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        await until(reactor, answers)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        await deferToThread(process.wait)


async def test_a_cache_keeps_what_is_whole(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> None:
    nginx = program("nginx")
    headers = ((b"Cache-Control", b"max-age=3600"),)
    async with (
        FaultServer(reactor, {"/bear": answer(DATA, headers=headers)}) as origin,
        streamer(reactor, "--passthrough", f"/files={origin.url('/')}", cwd=tmp_path) as running,
        cache(reactor, nginx, tmp_path / "nginx", running.url) as front,
    ):
        answers = [await ask(front, "/files/bear") for _ in range(3)]
        asked = origin.requests

    assert {sha256(each.body).digest() for each in answers} == {sha256(DATA).digest()}
    assert [each.headers["X-Cache"] for each in answers] == ["MISS", "HIT", "HIT"]
    assert len(asked) == 1


async def test_a_cache_never_keeps_what_was_cut_or_failed(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    nginx = program("nginx")
    (tmp_path / "settings.toml").write_text("retries = 0\n")
    headers = ((b"Cache-Control", b"max-age=3600"),)
    good = answer(10 * DATA, headers=headers)
    script = {"/cut": Nth([CUT, good]), "/failed": Nth([answer(b"no", 503), good])}
    async with (
        FaultServer(reactor, script) as origin,
        streamer(
            reactor, "--config", "settings.toml", "--passthrough", f"/files={origin.url('/')}", cwd=tmp_path
        ) as running,
        cache(reactor, nginx, tmp_path / "nginx", running.url) as front,
    ):
        response = await open_request(front, "/files/cut")
        origin.release("cut")
        broken = await rest_of(response)
        seen = [await ask(front, "/files/failed"), await ask(front, "/files/failed")]
        whole = await ask(front, "/files/cut")

    assert (response.status, broken) == (200, None)
    assert [each.status for each in seen] == [503, 200]
    assert whole.headers["X-Cache"] != "HIT"
    assert whole.body == seen[1].body == 10 * DATA
