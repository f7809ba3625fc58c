"""What the command and the streamer learn of mirrors is kept for the next time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from pulp_dl.testing import Cut, FaultServer, Hold, OnPath, answer
from tests.cli.command import run
from tests.service.running import ask, streamer, until

pytestmark = pytest.mark.limit(60)

DATA = b"bear" * 50_000
DEAD = "http://127.0.0.1:1"


@frozen
class Mirrored:
    """A mirror that is not there and one that is, in this order, and a list of both."""

    good: FaultServer

    @property
    def listing(self) -> str:
        return self.good.url("/mirrors.txt?token=hunter2")

    def args(self, number: int = 1) -> list[str]:
        return [f"http://127.0.0.2:1/pub/f{number}", "--mirrorlist", self.listing]

    def settings(self, folder: Path, *lines: str) -> Path:
        file = folder / "settings.toml"
        remote = f'[remotes.pub]\nurl = "http://127.0.0.2:1/"\nmirrorlist = "{self.listing}"\n'
        file.write_text("\n".join([*lines, remote]))
        return file


@pytest.fixture
async def mirrored(reactor: Any) -> AsyncIterator[Mirrored]:
    files = {f"/pub/f{number}": answer(DATA) for number in range(5)}
    async with FaultServer(reactor, files) as good:
        listing = answer(f"{DEAD}\n{good.url('/')}\n".encode())
        manifest = answer(f"f1,{hashlib.sha256(DATA).hexdigest()},{len(DATA)}\n".encode())
        good.script = OnPath({**files, "/mirrors.txt": listing, "/pub/PULP_MANIFEST": manifest})
        yield Mirrored(good)


def state() -> Path:
    return Path(os.environ["XDG_STATE_HOME"], "pulp-dl", "mirrors.json")


def failures(err: str) -> int:
    return err.count("attempt failed: " + DEAD)


async def test_the_next_run_begins_where_it_went_well(mirrored: Mirrored, tmp_path: Path) -> None:
    first = await run("get", *mirrored.args(1), "-v", cwd=tmp_path)
    second = await run("get", *mirrored.args(2), "-v", cwd=tmp_path)

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert (failures(first.err), failures(second.err)) == (1, 0)
    assert stat.S_IMODE(state().stat().st_mode) == 0o600
    text = state().read_text()
    assert "hunter2" not in text
    assert len(json.loads(text)["mirrors"]) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["f1", "f2"]


async def test_a_place_whose_speed_is_known_from_before_is_left_sooner_when_it_stalls(
    mirrored: Mirrored, reactor: Any, tmp_path: Path
) -> None:
    """Of which nothing is known, it has five seconds."""
    async with FaultServer(reactor, {"/pub/f1": answer(DATA)}) as other:
        args = ["--mirrorlist", mirrored.good.url("/two.txt"), "--sha256", hashlib.sha256(DATA).hexdigest(), "-v"]
        listing = answer(f"{other.url('/')}\n{mirrored.good.url('/')}\n".encode())
        mirrored.good.script = OnPath({"/two.txt": listing, "/pub/f2": answer(DATA)})
        other.script = OnPath({"/pub/f1": answer(DATA), "/pub/f2": Cut(answer(DATA), 100_000, Hold())})
        for number in (1, 2):
            end = await run("get", f"http://127.0.0.2:1/pub/f{number}", *args, cwd=tmp_path)
            assert end.code == 0, end.err

        (seconds,) = re.findall(r"no byte of the body for ([\d.]+) s \(100000 bytes", end.err)
        assert 1.5 <= float(seconds) < 5
        assert (tmp_path / "f2").read_bytes() == DATA
        assert mirrored.good.requests[-1].get(b"range") == b"bytes=100000-"


async def test_a_run_that_fails_has_learnt_as_well(mirrored: Mirrored, tmp_path: Path) -> None:
    nowhere = ("http://127.0.0.2:1/other/none", "--mirrorlist", mirrored.listing)
    first = await run("get", *nowhere, "--retries", "0", "-v", cwd=tmp_path)
    second = await run("get", *mirrored.args(2), "-v", cwd=tmp_path)

    assert (first.code, second.code) == (4, 0)
    assert (failures(first.err), failures(second.err)) == (1, 0)


async def test_it_is_kept_where_one_says_or_nowhere(mirrored: Mirrored, tmp_path: Path) -> None:
    where = tmp_path / "made" / "state"
    for number, (option, seen) in enumerate([("", 1), (where, 1), (where, 0), ("", 1)]):
        end = await run("get", *mirrored.args(number), "-v", "--mirror-state", option, cwd=tmp_path)
        assert (end.code, failures(end.err)) == (0, seen)

    assert not state().exists()
    assert where.exists()


async def test_a_service_of_systemd_has_a_directory_for_it(mirrored: Mirrored, tmp_path: Path) -> None:
    end = await run("get", *mirrored.args(), "-o", "f", cwd=tmp_path, STATE_DIRECTORY=f"{tmp_path}/a:{tmp_path}/b")

    assert end.code == 0, end.err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "f"]
    assert not state().exists()


async def test_who_has_no_home_has_no_state(mirrored: Mirrored, tmp_path: Path) -> None:
    end = await run("get", *mirrored.args(), "-o", "f", cwd=tmp_path, XDG_STATE_HOME="relative")

    assert (end.code, "Warning" in end.err) == (0, False)
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("text", ["{", '{"version": 7}'])
async def test_a_file_that_is_not_ours_is_told_of_and_left_as_it_is(
    mirrored: Mirrored, tmp_path: Path, text: str
) -> None:
    (tmp_path / "state").write_text(text)
    loud = await run("get", *mirrored.args(1), "--mirror-state", "state", cwd=tmp_path)
    quiet = await run("get", *mirrored.args(2), "--mirror-state", "state", "-q", cwd=tmp_path)

    assert (loud.code, quiet.code) == (0, 0)
    assert loud.err.count("Warning: state: this is not what was learnt of mirrors; delete it, or name another") == 1
    assert quiet.err == ""
    assert (tmp_path / "state").read_text() == text


async def test_what_is_wrong_with_one_list_in_it_is_told_of_and_mended(mirrored: Mirrored, tmp_path: Path) -> None:
    for number, seen in ((1, False), (2, True), (3, False)):
        end = await run("get", *mirrored.args(number), cwd=tmp_path)
        assert end.code == 0, end.err
        assert ("Warning: what was kept of 'mirrorlist http" in end.err) is seen
        if number == 1:
            found = json.loads(state().read_text())
            (name,) = found["mirrors"]
            state().write_text(json.dumps({**found, "mirrors": {name: 3, "another": 4}}))

    assert json.loads(state().read_text())["mirrors"].keys() == {name, "another"}


async def test_one_that_cannot_be_written_is_told_of(mirrored: Mirrored, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    end = await run("get", *mirrored.args(), "--mirror-state", "file/state", cwd=tmp_path)

    assert end.code == 0
    assert "Warning: file/state: " in end.err


async def test_get_by_a_metalink_sync_and_publish_learn_and_explain_only_looks(
    mirrored: Mirrored, tmp_path: Path
) -> None:
    file = mirrored.settings(tmp_path, 'mirror-state = "state"')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    both = "".join(f"<url>{base}/pub/f2</url>" for base in (DEAD, mirrored.good.url("")))
    (elsewhere / "m").write_text(
        f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f2">{both}</file></metalink>'
    )

    async def at(*args: object) -> str:
        end = await run("--config", file, *args, cwd=elsewhere)
        assert end.code == 0, end.err
        return end.out + end.err

    remote = ("--remote", "pub", "pub/PULP_MANIFEST")
    assert f"1. {DEAD}/pub/PULP_MANIFEST: not tried yet" in await at("explain", "-n", *remote)
    assert failures(await at("sync", *remote, "-d", "d", "-v")) == 1
    before = (tmp_path / "state").read_bytes()
    assert "1. " + mirrored.good.url("/pub/PULP_MANIFEST") in await at("explain", "-n", *remote)
    assert (tmp_path / "state").read_bytes() == before
    assert failures(await at("sync", *remote, "-d", "e", "-v")) == 0
    assert failures(await at("publish", *remote, "--at", "/p/", "--catalogue", "c", "-v")) == 0
    assert [failures(await at("get", "--metalink", "m", "-v")) for _ in range(2)] == [1, 0]
    assert len(json.loads((tmp_path / "state").read_bytes())["mirrors"]) == 2


# ---- the streamer


async def refused(admin: str) -> float:
    """How bad the name of the mirror is that is not there."""
    found = json.loads((await ask(admin, "/status?format=json")).body)
    return sum(float(each["trouble"]) for each in found["mirrors"] if each["host"] == DEAD)


async def test_the_streamer_keeps_it_when_it_ends_and_when_its_settings_are_read_again(
    reactor: Any, mirrored: Mirrored, tmp_path: Path
) -> None:
    file = mirrored.settings(tmp_path, 'mirror-state = "state"')
    args = ("--config", file, "--passthrough", "/p=pub")
    async with streamer(reactor, *args, cwd=tmp_path) as running:
        assert (await ask(running.url, "/p/pub/f1")).body == DATA
        assert 0.9 < await refused(running.admin) <= 1
        running.signal(signal.SIGHUP)
        await until(reactor, lambda: "was read again" in running.log)
        # New orders know of it, and ask the good one.
        assert 0.9 < await refused(running.admin) <= 1
        assert (await ask(running.url, "/p/pub/f2")).body == DATA
        assert 0.9 < await refused(running.admin) <= 1
        assert not (tmp_path / "state").exists()
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o600
    assert "hunter2" not in (tmp_path / "state").read_text()
    async with streamer(reactor, *args, cwd=tmp_path) as running:
        assert 0.5 < await refused(running.admin) <= 1
        assert (await ask(running.url, "/p/pub/f1")).body == DATA
        assert 0.5 < await refused(running.admin) <= 1


async def test_a_catalogue_s_mirrors_are_kept_too(reactor: Any, mirrored: Mirrored, tmp_path: Path) -> None:
    file = mirrored.settings(tmp_path, 'mirror-state = "state"')
    published = ("publish", "--remote", "pub", "pub/PULP_MANIFEST", "--at", "/p/", "--catalogue", "c")
    end = await run("--config", file, *published, "--mirror-state", "", cwd=tmp_path)
    assert end.code == 0, end.err
    for _ in range(2):
        async with streamer(reactor, "--config", file, "--catalogue", "c", "--store", "", cwd=tmp_path) as running:
            assert (await ask(running.url, "/p/f1")).body == DATA
            found = json.loads((await ask(running.admin, "/status?format=json")).body)
            assert sum(each["host"] == DEAD for each in found["mirrors"]) == 1
            running.signal(signal.SIGTERM)
            assert await running.ended() == 0
        kept = json.loads((tmp_path / "state").read_text())["mirrors"]["catalogue pub"]["hosts"]
        assert 0 < kept[DEAD]["trouble"] <= 1


async def test_a_file_that_is_not_ours_is_in_no_streamer_s_way(
    reactor: Any, mirrored: Mirrored, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("{")
    file = mirrored.settings(tmp_path, 'mirror-state = "state"')
    async with streamer(reactor, "--config", file, "--passthrough", "/p=pub", cwd=tmp_path) as running:
        assert (await ask(running.url, "/p/pub/f1")).body == DATA
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0

        assert running.log.count("this is not what was learnt of mirrors") == 1
    assert (tmp_path / "state").read_text() == "{"
