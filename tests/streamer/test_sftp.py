"""A file that lies behind SSH, served over HTTP: curl sees what it would see of any HTTP server."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.parser import BytesParser
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from pulp_dl import Digest, Downloader, Places, Remote, Retries, Source, ToMemory
from pulp_dl.streamer import Content
from tests.cli.command import fill
from tests.cli.command import run as run_command
from tests.service.running import ask, streamer
from tests.sshd import Sshd, running_sshd
from tests.streamer.importers import ByHeart

DATA = random.Random(7).randbytes(2_000_003)

pytestmark = pytest.mark.limit(40)


@pytest.fixture(scope="module")
async def sshd(
    reactor: Any, tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]
) -> AsyncIterator[Sshd]:
    program("sshd")
    async with running_sshd(reactor, tmp_path_factory.mktemp("sshd")) as server:
        server.put("f", DATA)
        server.put("large", DATA * 10)
        yield server


@asynccontextmanager
async def served(reactor: Any, sshd: Sshd, *, expect: Any = ()) -> AsyncIterator[str]:
    remote = Remote(ssh=sshd.ssh(), retries=Retries(count=0))
    downloader = Downloader(reactor, remote)
    files = {f"/{name}": Source(sshd.url(name), expect) for name in ("f", "large", "missing")}
    importer = ByHeart(downloader, files)
    content = Content(reactor, importer)
    listening = reactor.listenTCP(0, content, interface="127.0.0.1")
    try:
        yield f"http://127.0.0.1:{listening.getHost().port}"
    finally:
        await content.cut()
        await listening.stopListening()
        await importer.close()


async def curl(program: Callable[[str], str], *words: str) -> tuple[int, Any, bytes]:
    """Status, fields and body; curl is content."""
    command = [program("curl"), "--silent", "--show-error", "--include", *words]
    ran = await deferToThread(subprocess.run, command, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    head, _, body = ran.stdout.partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    return int(line.split()[1]), BytesParser().parsebytes(fields), body


async def test_curl_gets_it_whole_and_its_head(reactor: Any, sshd: Sshd, program: Callable[[str], str]) -> None:
    expect = Digest("sha256", hashlib.sha256(DATA).hexdigest())
    async with served(reactor, sshd, expect=expect) as url:
        status, fields, body = await curl(program, f"{url}/f")
        assert (status, body) == (200, DATA)
        assert fields["Content-Length"] == str(len(DATA))
        modified = int((sshd.files / "f").stat().st_mtime)
        assert fields["Last-Modified"] == formatdate(modified, usegmt=True)

        status, fields, body = await curl(program, "--head", f"{url}/f")
        assert (status, fields["Content-Length"], body) == (200, str(len(DATA)), b"")


@pytest.mark.parametrize(
    ("range_", "part"),
    [("0-0", slice(0, 1)), ("100000-199999", slice(100_000, 200_000)), ("2000000-", slice(2_000_000, None)),
     ("-7", slice(-7, None))],
)  # fmt: skip
async def test_curl_gets_a_range(
    reactor: Any, sshd: Sshd, program: Callable[[str], str], range_: str, part: slice
) -> None:
    async with served(reactor, sshd) as url:
        status, fields, body = await curl(program, "--range", range_, f"{url}/f")

    start, stop, _ = part.indices(len(DATA))
    assert (status, body) == (206, DATA[part])
    assert fields["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"


async def test_a_range_behind_the_end_is_416(reactor: Any, sshd: Sshd, program: Callable[[str], str]) -> None:
    async with served(reactor, sshd) as url:
        status, fields, _ = await curl(program, "--range", "5000000-", f"{url}/f")

    assert status == 416
    assert fields["Content-Range"] == f"bytes */{len(DATA)}"


async def test_what_a_client_has_is_304(reactor: Any, sshd: Sshd, program: Callable[[str], str]) -> None:
    async with served(reactor, sshd) as url:
        _, fields, _ = await curl(program, "--head", f"{url}/f")
        for condition in (f"If-None-Match: {fields['ETag']}", f"If-Modified-Since: {fields['Last-Modified']}"):
            status, _, body = await curl(program, "--header", condition, f"{url}/f")
            assert (status, body) == (304, b"")
        status, _, body = await curl(program, "--header", 'If-None-Match: "other"', f"{url}/f")
        assert (status, body) == (200, DATA)


async def test_what_is_not_there_is_404(reactor: Any, sshd: Sshd, program: Callable[[str], str]) -> None:
    async with served(reactor, sshd) as url:
        status, _, _ = await curl(program, f"{url}/missing")

    assert status == 404


async def test_a_client_that_goes_on_gets_the_rest(
    reactor: Any, sshd: Sshd, program: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(DATA[:700_000])
    async with served(reactor, sshd) as url:
        command = [program("curl"), "--silent", "--continue-at", "-", "--output", str(tmp_path / "f"), f"{url}/f"]
        assert (await deferToThread(subprocess.run, command, check=False)).returncode == 0

    assert (tmp_path / "f").read_bytes() == DATA


async def test_a_slow_client_is_waited_for(reactor: Any, sshd: Sshd, program: Callable[[str], str]) -> None:
    """What it does not take is not asked for."""
    async with served(reactor, sshd) as url:
        status, _, body = await curl(program, "--limit-rate", "8M", f"{url}/large")

    assert (status, body) == (200, DATA * 10)


async def test_a_mirror_may_be_behind_ssh(reactor: Any, sshd: Sshd) -> None:
    """Where it lies is within the scope of the secrets; the source itself is somewhere else."""
    base = sshd.url().rstrip("/")
    remote = Remote(url=base, ssh=sshd.ssh(), retries=Retries(count=0))
    mirrors = Places([base], under="http://127.0.0.1:1/pub")
    sink = ToMemory()
    async with Downloader(reactor, remote, mirrors=mirrors) as downloader:
        await downloader.download("http://127.0.0.1:1/pub/f", sink)

    assert sink.data == DATA


async def test_a_repository_behind_ssh_is_published_and_served(reactor: Any, sshd: Sshd, tmp_path: Path) -> None:
    """The remote is in the settings, as every other."""
    fill(sshd.files, {"bear": b"bear\n" * 1000})
    settings = tmp_path / "settings.toml"
    settings.write_text(
        f'[remotes.here]\nurl = "{sshd.url()}"\nssh-key = "{sshd.key}"\nknown-hosts = "{sshd.known_hosts}"\n'
        "ssh-agent = false\n"
    )
    with_settings = ["--config", settings]
    publish = ["publish", "--remote", "here", "PULP_MANIFEST", "--at", "/files/", "--catalogue", "published.db"]
    end = await run_command(*with_settings, *publish, cwd=tmp_path)
    assert end.code == 0, end.err
    async with streamer(reactor, "--catalogue", "published.db", cwd=tmp_path, PULP_DL_CONFIG=str(settings)) as running:
        answer = await ask(running.url, "/files/bear")

    assert (answer.status, answer.body) == (200, b"bear\n" * 1000)
