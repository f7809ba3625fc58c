"""sftp:// from the command line: get, sync, and what is said when it does not go."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater

from tests.cli.command import Run, files, fill, refused, run
from tests.sshd import Sshd, new_key, running_sshd

pytestmark = pytest.mark.limit(40)

FILES = {"PULP_LEMMINGS": b"lemming" * 1000, "docs/a b.txt": b"den\n", "empty": b""}


@pytest.fixture(scope="module")
async def sshd(
    reactor: Any, tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]
) -> AsyncIterator[Sshd]:
    program("sshd")
    async with running_sshd(reactor, tmp_path_factory.mktemp("sshd")) as server:
        fill(server.files, FILES)
        yield server


@pytest.fixture
def known(sshd: Sshd) -> list[object]:
    return ["--ssh-key", sshd.key, "--known-hosts", sshd.known_hosts, "--no-ssh-agent"]


async def test_get(sshd: Sshd, known: list[object], tmp_path: Path) -> None:
    end = await run("get", *known, "-o", "here", sshd.url("docs/a b.txt"), cwd=tmp_path)

    assert (end.code, files(tmp_path)) == (0, {"here": b"den\n"}), end.err


async def test_a_fingerprint_a_passphrase_from_a_file_and_settings(sshd: Sshd, tmp_path: Path) -> None:
    """With the names of the options; the file of settings knows the remote."""
    key = new_key(tmp_path / "key", passphrase="open sesame")
    with (sshd.folder / "authorized_keys").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    command = ["ssh-keygen", "-lf", str(sshd.folder / "host_ed25519.pub")]
    fingerprint = subprocess.check_output(command, text=True).split()[1]
    (tmp_path / "word").write_text("open sesame\n")
    (tmp_path / "x.toml").write_text(
        f'[remotes.here]\nurl = "{sshd.url()}"\nssh-key = "key"\nssh-passphrase-file = "word"\n'
        f'ssh-agent = false\nhostpubsha256 = "{fingerprint}"\n'
    )
    end = await run("--config", "x.toml", "get", "--remote", "here", "empty", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "empty").read_bytes() == b""


async def test_sync_mirrors_a_repository_and_then_only_what_is_new(
    sshd: Sshd, known: list[object], tmp_path: Path
) -> None:
    url = sshd.url("PULP_MANIFEST")
    first = await run("sync", *known, "--json", "-d", "mirror", url, cwd=tmp_path)
    again = await run("sync", *known, "--json", "-d", "mirror", url, cwd=tmp_path)

    assert first.code == again.code == 0, first.err + again.err
    assert {name: data for name, data in files(tmp_path / "mirror").items() if name in FILES} == FILES
    assert (first.json["fetched"], again.json["fetched"], again.json["present"]) == (3, 0, 3)


async def test_sync_keeps_to_its_limits(sshd: Sshd, known: list[object], tmp_path: Path) -> None:
    """Of connections, as the server counts them; of requests, by the time that it takes."""
    before = len(sshd.log())
    limits = ["-j", 8, "--per-host", 1, "--limit-requests", 2]
    end = await run("sync", *known, *limits, "--json", "-d", "mirror", sshd.url("PULP_MANIFEST"), cwd=tmp_path)

    log = sshd.log()[before:]
    came = [found.start() for found in re.finditer("^Connection from", log, re.MULTILINE)]
    went = [found.start() for found in re.finditer("^(Disconnected from|Connection (closed|reset))", log, re.MULTILINE)]
    assert (end.code, end.json["fetched"]) == (0, 3), end.err
    assert came, log
    assert all(sum(left < at for left in went) == number for number, at in enumerate(came)), log
    assert end.json["seconds"] > 0.5  # four requests, of which a burst may bring two at once


async def test_a_run_that_was_killed_is_continued(sshd: Sshd, known: list[object], tmp_path: Path) -> None:
    """The half that is there is not asked for again."""
    data = bytes(range(256)) * 40_000
    url = sshd.put("large", data)
    run_of_it = ["get", *known, "--json", "--limit-rate", "2M", "-o", "large", url]
    first = await run(*run_of_it, "--max-time", "1", "--retries", "0", cwd=tmp_path)
    assert first.code == 4, first.err
    kept = (tmp_path / "large.part").stat().st_size
    assert kept > 0
    second = await run(*run_of_it, cwd=tmp_path, PULP_DL_LIMIT_RATE="100M")

    assert second.code == 0, second.err
    assert (tmp_path / "large").read_bytes() == data
    assert second.json["bytes"] <= len(data) - kept


async def test_a_mirror_that_was_killed_is_continued_and_what_is_listed_no_more_goes(
    reactor: Any, sshd: Sshd, known: list[object], tmp_path: Path
) -> None:
    """As with every protocol."""

    def listed(folder: Path) -> dict[str, bytes]:
        return {name: data for name, data in files(folder).items() if name != "PULP_MANIFEST"}

    kept = {"large": bytes(range(256)) * 8000, "a b": b"1", "x?y": b"2"}
    fill(sshd.files / "several", {**kept, "gone": b"3"})
    sync = ["sync", *known, "--json", "-d", "mirror", sshd.url("several/PULP_MANIFEST")]
    mirror = tmp_path / "mirror"
    part = mirror / "large.part"
    first = Run(*sync, "--limit-rate", "1M", cwd=tmp_path)
    while not (part.exists() and part.stat().st_size > 300_000):
        await deferLater(reactor, 0.01)
    first.kill()
    await first.ended()
    here = part.stat().st_size
    second = await run(*sync, cwd=tmp_path)
    assert second.code == 0, second.err
    assert second.json["bytes"] <= sum(map(len, kept.values())) + 1 - here
    assert listed(mirror) == {**kept, "gone": b"3"}

    (sshd.files / "several" / "gone").unlink()
    fill(sshd.files / "several", kept)
    third = await run(*sync, "--delete", cwd=tmp_path)
    assert third.code == 0, third.err
    assert (third.json["fetched"], third.json["deleted"]) == (0, 1)
    assert listed(mirror) == kept


async def test_a_server_that_is_not_known_says_what_to_do(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    command = ["get", "--ssh-key", sshd.key, "--known-hosts", tmp_path / "none", "--no-ssh-agent", sshd.url("empty")]
    end = await run(*command, cwd=tmp_path)

    assert end.code == 5
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> {tmp_path}/none" in end.err
    assert "SHA256:" in end.err


async def test_a_login_that_fails_and_a_file_that_is_not_there(sshd: Sshd, known: list[object], tmp_path: Path) -> None:
    stranger = new_key(tmp_path / "stranger")
    command = ["get", "--ssh-key", stranger, "--known-hosts", sshd.known_hosts, "--no-ssh-agent", sshd.url("empty")]
    end = await run(*command, cwd=tmp_path)
    assert end.code == 6
    assert "tried: the key; the server takes: publickey" in end.err

    end = await run("get", *known, sshd.url("missing"), cwd=tmp_path)
    assert end.code == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ssh-key", "missing"], "--ssh-key: 'missing': there is no such file"),
        (["--known-hosts", "missing"], "--known-hosts: 'missing': there is no such file"),
        (["--hostpubsha256", "12:34"], "--hostpubsha256: SHA256: and 43 characters are needed"),
        (["--ssh-passphrase", "x"], "anybody on this machine can read a command line"),
        (["--ssh-passphrase-file", "word"], "--ssh-passphrase-file: of no use without --ssh-key"),
    ],
)
def test_what_makes_no_sense_is_refused_by_the_name_of_the_option(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("word").write_text("x")
    end = refused("get", *options, "sftp://127.0.0.1/a")

    assert end.code == 2
    assert message in end.err
