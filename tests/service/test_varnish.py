"""Varnish in front, with the page's own VCL."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from pulp_dl.testing import Close, FaultServer, Hold, Nth, Send, answer
from tests.needs import lacking
from tests.service.running import ROOT, ask, open_request, rest_of, streamer, until
from tests.snippets import blocks

DATA = bytes(range(256)) * 4000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nCache-Control: max-age=3600\r\n\r\n" % len(DATA)
CUT = (Send(HEAD + DATA[:500_000]), Hold("cut"), Close())
GOOD = answer(DATA, headers=((b"Cache-Control", b"max-age=3600"),))

pytestmark = pytest.mark.limit(60)


@asynccontextmanager
async def varnish(reactor: Any, program: str, folder: Path, streamer_url: str) -> AsyncIterator[str]:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        lacking("Varnish needs a C compiler")
    page = (ROOT / "docs" / "howto" / "behind-a-cache.rst").read_text()
    (vcl,) = [each.text for each in blocks(page) if each.options.get("caption") == "default.vcl"]
    port = streamer_url.rstrip("/").rpartition(":")[2]
    folder.mkdir()
    (folder / "default.vcl").write_text(vcl.replace('"8751"', f'"{port}"'))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        ours = probe.getsockname()[1]
    log = folder / "log"
    command = [program, "-F", "-j", "none", "-a", f"127.0.0.1:{ours}", "-f", str(folder / "default.vcl"),
               "-n", str(folder / "work"), "-s", "malloc,64m", "-T", "none"]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", ours)) == 0

    try:
        await until(reactor, answers)
        yield f"http://127.0.0.1:{ours}/"
    finally:
        process.terminate()
        await deferToThread(process.wait)


async def test_varnish_keeps_what_is_whole_and_never_what_was_cut_or_failed(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    varnishd = program("varnishd")
    (tmp_path / "settings.toml").write_text("retries = 0\n")
    script = {"/cut": Nth([CUT, GOOD]), "/failed": Nth([answer(b"no", 503), GOOD])}
    async with (
        FaultServer(reactor, script) as origin,
        streamer(
            reactor, "--config", "settings.toml", "--passthrough", f"/files={origin.url('/')}", cwd=tmp_path
        ) as running,
        varnish(reactor, varnishd, tmp_path / "varnish", running.url) as front,
    ):
        response = await open_request(front, "/files/cut")
        origin.release("cut")
        broken = await rest_of(response)
        seen = [await ask(front, f"/files/{name}") for name in ("failed", "failed", "cut", "cut", "failed")]
        asked = [each.target for each in origin.requests]

    assert (response.status, broken) == (200, None)
    assert [each.status for each in seen] == [503, 200, 200, 200, 200]
    assert all(each.body == DATA for each in seen[1:])
    assert sorted(asked) == ["/cut", "/cut", "/failed", "/failed"]
