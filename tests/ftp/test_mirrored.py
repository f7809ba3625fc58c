"""C{pulp-dl} mirrors a repository by FTP as it does by HTTP: nothing twice, within its limits, going on with parts."""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater

from tests.cli.command import Run, files, fill, run
from tests.ftp.pyftpd import PyFTPd
from tests.ftp.vsftpd import Vsftpd

pytestmark = pytest.mark.limit(60)

SMALL = {f"{number % 7}/file {number}.iso": b"%d\n" % number * (number + 1) for number in range(60)}
ODD = {"grüße/50% #1?.iso": b"odd", "empty": b"", "a, b": b"comma", "a;type=a": b"type"}


@pytest.fixture
async def repository(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Vsftpd]:
    """A server of its own, because of its log."""
    server = Vsftpd.make(reactor, program("vsftpd"), tmp_path)
    await server.start()
    yield server
    await server.stop()


async def test_it_mirrors_and_a_second_run_fetches_nothing(repository: Vsftpd, tmp_path: Path) -> None:
    fill(repository.root, SMALL | ODD)
    url = repository.url("PULP_MANIFEST")
    first = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)
    assert first.code == 0, first.err
    assert first.json["fetched"] == len(SMALL | ODD)
    assert files(tmp_path / "mirror") == files(repository.root)
    commands = repository.commands()
    assert sum(each.startswith("RETR") for each in commands) == len(SMALL | ODD) + 1
    assert commands.count("USER anonymous") <= 5

    second = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)
    assert (second.code, second.json["fetched"], second.json["present"]) == (0, 0, len(SMALL | ODD))
    assert [each for each in repository.commands() if each.startswith("RETR")] == ["RETR PULP_MANIFEST"]


async def test_over_TLS_it_is_the_same(vsftpd_tls: Vsftpd, tmp_path: Path) -> None:
    """By a server that wants each data connection to go on with the session of the control connection."""
    fill(vsftpd_tls.root / "mirrored", SMALL)
    sync = ["sync", vsftpd_tls.url("mirrored/PULP_MANIFEST"), "-d", "mirror", "--json"]
    untrusted = await run(*sync, "--retries", "0", cwd=tmp_path)
    assert untrusted.code not in {0, 1}
    end = await run(*sync, "--cacert", vsftpd_tls.ca, cwd=tmp_path)
    assert (end.code, end.json["fetched"]) == (0, len(SMALL)), end.err
    assert files(tmp_path / "mirror") == files(vsftpd_tls.root / "mirrored")


async def test_what_is_listed_no_more_goes_if_it_is_asked_for(repository: Vsftpd, tmp_path: Path) -> None:
    fill(repository.root, SMALL | {"gone": b"gone"})
    sync = ["sync", repository.url("PULP_MANIFEST"), "-d", "mirror", "--json"]
    first = await run(*sync, cwd=tmp_path)
    assert first.code == 0, first.err
    (repository.root / "gone").unlink()
    fill(repository.root, SMALL)
    second = await run(*sync, "--delete", cwd=tmp_path)
    assert (second.code, second.json["fetched"], second.json["deleted"]) == (0, 0, 1), second.err
    assert files(tmp_path / "mirror") == files(repository.root)


@pytest.mark.parametrize(
    ("options", "sessions"), [(["-j", "4"], 2), (["-j", "1"], 1), (["-j", "9", "--per-host", "6"], 3)]
)
async def test_there_are_never_more_connections_than_allowed(
    repository: Vsftpd, tmp_path: Path, options: list[str], sessions: int
) -> None:
    fill(repository.root, SMALL)
    end = await run("sync", repository.url("PULP_MANIFEST"), "-d", "mirror", *options, cwd=tmp_path)
    assert end.code == 0, end.err
    assert files(tmp_path / "mirror") == files(repository.root)
    assert repository.commands().count("USER anonymous") <= sessions


async def test_a_server_that_takes_two_at_a_time_is_mirrored_by_two(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    server = Vsftpd.make(reactor, program("vsftpd"), tmp_path, more="max_per_ip=2\n")
    fill(server.root, SMALL)
    await server.start()
    try:
        url = server.url("PULP_MANIFEST")
        end = await run("sync", url, "-d", "mirror", "-j", "20", "--retries", "0", cwd=tmp_path)
    finally:
        await server.stop()
    assert end.code == 0, end.err
    assert files(tmp_path / "mirror") == files(server.root)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_part_is_gone_on_with(
    reactor: Any, program: Callable[[str], str], tmp_path: Path, number: signal.Signals
) -> None:
    server = Vsftpd.make(reactor, program("vsftpd"), tmp_path, more="anon_max_rate=2000000\n")
    data = random.Random(number).randbytes(4_000_000)
    fill(server.root, {"large": data})
    await server.start()
    try:
        url, part = server.url("PULP_MANIFEST"), tmp_path / "mirror" / "large.part"
        first = Run("sync", url, "-d", "mirror", cwd=tmp_path)
        while not (part.exists() and part.stat().st_size >= 1_000_000):
            await deferLater(reactor, 0.01)
        first.kill(number)
        await first.ended()
        size = part.stat().st_size
        server.commands()
        second = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)
        assert second.code == 0, second.err
        assert f"REST {size}" in server.commands()
    finally:
        await server.stop()
    assert files(tmp_path / "mirror") == files(server.root)


async def test_get_with_a_password(tmp_path: Path, pyftpd: PyFTPd) -> None:
    """In the URL, in a variable, and nowhere else."""
    (pyftpd.folder / "gotten").write_bytes(b"by elmer")
    url = pyftpd.url("gotten")
    end = await run("get", url, "-o", "a", "--user", "elmer", cwd=tmp_path, PULP_DL_PASSWORD="wabbit söup")
    assert end.code == 0, end.err
    end = await run("get", pyftpd.url("gotten", "elmer:wabbit%20s%C3%B6up@"), "-o", "b", cwd=tmp_path)
    assert end.code == 0, end.err
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"by elmer"
    end = await run("get", pyftpd.url("gotten", "elmer:wabbit%20stew@"), "-o", "c", cwd=tmp_path)
    assert end.code not in {0, 1}
    assert "530 Authentication failed" in end.err + end.out
    assert "stew" not in end.err + end.out
