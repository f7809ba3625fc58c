"""C{pulp-dl sync}, against nginx."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl.cli.mirror import Mirror, _locked
from pulp_dl.consumers.atomic import temporary_name
from pulp_dl.consumers.note import Note
from pulp_dl.model.source import Head
from pulp_dl.testing import (
    Cut,
    FaultServer,
    Hold,
    OnPath,
    Repeat,
    Request,
    Reset,
    Script,
    Send,
    answer,
    response_head,
)
from tests.cli.command import MORTAL, Run, files, fill, refused, run
from tests.servers import Nginx

pytestmark = pytest.mark.limit(60)

SMALL = {f"{number % 7}/file {number}.iso": b"%d\n" % number * (number + 1) for number in range(300)}
ODD = {"grüße/50% #1?.iso": b"odd", "empty": b"", "a, b": b"comma", "x.part": b"a whole file", "y.part.json": b"{}"}


def but_manifest(directory: Path) -> dict[str, bytes]:
    return {path: data for path, data in files(directory).items() if path != "PULP_MANIFEST"}


async def test_it_mirrors_and_a_second_run_fetches_nothing(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, SMALL | ODD)
    url = f"{nginx.http}PULP_MANIFEST"
    first = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)

    assert first.code == 0, first.err
    assert first.json["fetched"] == len(SMALL | ODD)
    assert first.json["bytes"] == sum(map(len, (SMALL | ODD).values()))
    # The manifest too, so that the mirror can be mirrored; and nothing else, not even a lock.
    assert files(tmp_path / "mirror") == files(nginx.root)

    nginx.served()
    second = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)

    assert (second.code, second.json["fetched"], second.json["present"]) == (0, 0, len(SMALL | ODD))
    assert [each.path for each in nginx.served()] == ["/PULP_MANIFEST"]


@pytest.mark.parametrize(("options", "most"), [(["-j", "3"], 3), (["-j", "20", "--per-host", "4"], 4), ([], 10)])
async def test_never_are_there_more_connections_than_allowed(
    nginx: Nginx, tmp_path: Path, options: list[str], most: int
) -> None:
    """As the server counts them."""
    fill(nginx.root, SMALL)
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", *options, cwd=tmp_path)
    served = nginx.served()

    assert end.code == 0, end.err
    assert max(each.connections for each in served) <= most
    assert len({each.connection for each in served}) <= most


async def test_what_a_killed_run_had_is_not_fetched_again(nginx: Nginx, reactor: Any, tmp_path: Path) -> None:
    """SIGKILL half-way; run again it ends whole, and nothing else is left."""
    fill(nginx.root, SMALL)
    url, mirror = f"{nginx.http}PULP_MANIFEST", tmp_path / "mirror"
    running = Run("sync", url, "-d", "mirror", "-j", 2, cwd=tmp_path)
    while len([*mirror.glob("*/*.iso")]) < 50:
        await deferLater(reactor, 0.005)
    running.kill()
    await running.ended()
    there = {path for path, data in SMALL.items() if (mirror / path).exists()}

    assert 50 <= len(there) < len(SMALL)
    assert all((mirror / path).read_bytes() == SMALL[path] for path in there)

    nginx.served()
    end = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)

    assert (end.code, end.json["present"]) == (0, len(there)), end.err
    assert {each.path[1:] for each in nginx.served()} == {*SMALL, "PULP_MANIFEST"} - there
    assert files(mirror) == files(nginx.root)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_part_is_gone_on_with(slow_nginx: Nginx, reactor: Any, tmp_path: Path, number: signal.Signals) -> None:
    data = random.Random(1).randbytes(1_000_000)
    fill(slow_nginx.root, {"deep/down/large": data})
    url, part = f"{slow_nginx.http}PULP_MANIFEST", tmp_path / "mirror" / "deep" / "down" / "large.part"
    running = Run("sync", url, "-d", "mirror", cwd=tmp_path)
    while not (part.exists() and part.stat().st_size):
        await deferLater(reactor, 0.01)
    running.kill(number)
    await running.ended()
    size = part.stat().st_size

    assert size > 0
    assert not part.with_suffix("").exists()

    slow_nginx.served()
    end = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)
    last = slow_nginx.served()[-1]

    assert end.code == 0, end.err
    assert (last.status, last.size, last.range) == (206, len(data) - size, f"bytes={size}-")
    assert files(tmp_path / "mirror") == files(slow_nginx.root)


async def test_a_part_outlives_a_run_that_fails(reactor: Any, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(1_000_000)
    fill(tmp_path / "repository", {"large": data})
    manifest = (tmp_path / "repository" / "PULP_MANIFEST").read_bytes()
    broken, part = False, tmp_path / "mirror" / "large.part"

    def large(request: Request) -> Script:
        return Reset() if broken else Cut(answer(data), 600_000, Hold())

    async with FaultServer(reactor, OnPath({"/PULP_MANIFEST": answer(manifest), "/large": large})) as server:
        options = ["sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--retries", "0"]
        running = Run(*options, cwd=tmp_path)
        while not (part.exists() and part.stat().st_size):
            await deferLater(reactor, 0.01)
        running.kill()
        await running.ended()
        size, broken = part.stat().st_size, True
        end = await run(*options, cwd=tmp_path)

    assert end.code == 4, end.err
    assert part.stat().st_size == size


async def test_what_nobody_will_go_on_with_is_removed(nginx: Nginx, reactor: Any, tmp_path: Path) -> None:
    """Temporary files; parts of files that are not wanted any more, or that are there.  What is not ours stays."""
    url, mirror = f"{nginx.http}PULP_MANIFEST", tmp_path / "mirror"
    large = {"old": bytes(900_000), "there": bytes(900_000)}
    fill(nginx.root, large)
    for name, data in large.items():
        head = response_head(200, ((b"Content-Length", b"900000"), (b"ETag", b'"1"')))
        async with FaultServer(reactor, (Send(head), Send(data[:600_000]), Hold())) as server:
            running = Run("get", server.url(f"/{name}"), "-d", "mirror", cwd=tmp_path)
            while not (mirror / f"{name}.part").exists():
                await deferLater(reactor, 0.01)
            running.kill(signal.SIGTERM)
            await running.ended()
    (mirror / "there").write_bytes(large["there"])
    (mirror / temporary_name("old")).write_bytes(b"a stray")
    (mirror / "mine.part").write_bytes(b"not theirs")
    (mirror / "mine.part.json").write_bytes(b"{}")
    fill(nginx.root, {"there": large["there"]})
    end = await run("sync", url, "-d", "mirror", cwd=tmp_path)

    assert end.code == 0, end.err
    assert {*files(mirror)} == {"there", "mine.part", "mine.part.json", "PULP_MANIFEST"}


async def test_a_file_of_the_manifest_is_not_taken_for_a_part(nginx: Nginx, tmp_path: Path) -> None:
    wanted = {"old.part": b"a whole file"}
    fill(nginx.root, wanted)
    part, mirror = tmp_path / "mirror" / "old.part", tmp_path / "mirror"
    mirror.mkdir()
    part.write_bytes(b"the first bytes of old")
    note = Note.of(Head("http://h/old", 200, ((b"ETag", b'"1"'),), 100, None, 100), part.stat().st_ino)
    (mirror / "old.part.json").write_text(json.dumps(asdict(note)))
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)

    assert end.code == 0, end.err
    assert but_manifest(mirror) == wanted


async def test_a_file_that_is_nested_too_deep_for_a_note_is_a_file_like_any_other(nginx: Nginx, tmp_path: Path) -> None:
    wanted = {"deep.part.json": b"[" * 300_000}
    fill(nginx.root, wanted)
    for _ in range(2):
        end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)

        assert end.code == 0, end.err
        assert but_manifest(tmp_path / "mirror") == wanted


async def test_what_is_at_the_path_of_the_manifest_is_not_waited_for(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"a"})
    (tmp_path / "mirror").mkdir()
    os.mkfifo(tmp_path / "mirror" / "PULP_MANIFEST")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)

    assert end.code == 0, end.err
    assert files(tmp_path / "mirror") == files(nginx.root)


async def test_a_name_that_the_locale_does_not_have_is_a_failure_of_its_own(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"gr\u00fc\u00dfe": b"hello", "plain": b"text"})
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path, **locale)

    assert (end.code, files(tmp_path / "mirror")) == (2, {"plain": b"text"}), end.err
    assert "cannot be encoded as a name of a file" in end.err


async def test_verify_mends_what_has_the_right_size_only(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, SMALL)
    url, damaged = f"{nginx.http}PULP_MANIFEST", tmp_path / "mirror" / "0" / "file 7.iso"
    await run("sync", url, "-d", "mirror", cwd=tmp_path)
    damaged.write_bytes(b"x" * len(damaged.read_bytes()))
    quick = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)
    thorough = await run("sync", url, "-d", "mirror", "--json", "--verify", cwd=tmp_path)

    assert (quick.json["fetched"], thorough.json["fetched"]) == (0, 1)
    assert files(tmp_path / "mirror") == files(nginx.root)


async def test_what_has_another_size_is_fetched(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, SMALL)
    url, changed = f"{nginx.http}PULP_MANIFEST", tmp_path / "mirror" / "0" / "file 7.iso"
    await run("sync", url, "-d", "mirror", cwd=tmp_path)
    changed.write_bytes(b"longer than before" * 100)
    end = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path)

    assert end.json["fetched"] == 1
    assert files(tmp_path / "mirror") == files(nginx.root)


# ---- failures


async def test_it_goes_on_past_failures_and_lists_them(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, SMALL)
    (nginx.root / "1" / "file 1.iso").unlink()
    (nginx.root / "2" / "file 2.iso").unlink()
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--json", cwd=tmp_path)

    assert end.code == 3
    assert (end.json["fetched"], end.json["failed"]) == (298, 2)
    assert {each["path"] for each in end.json["failures"]} == {"1/file 1.iso", "2/file 2.iso"}
    assert "2 failed:\n" in end.err
    assert "1/file 1.iso: " in end.err
    # The manifest would promise what is not there.
    assert len(files(tmp_path / "mirror")) == 298


async def test_failures_of_several_kinds_are_1(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, SMALL)
    (nginx.root / "1" / "file 1.iso").unlink()
    (nginx.root / "2" / "file 2.iso").write_bytes(b"wrong")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--retries", 0, "--json", cwd=tmp_path)

    assert end.code == 1
    assert {each["error"] for each in end.json["failures"]} == {"NotFound", "SizeMismatch"}


async def test_fail_fast_stops_at_the_first(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, SMALL)
    (nginx.root / "0" / "file 0.iso").unlink()
    url = f"{nginx.http}PULP_MANIFEST"
    end = await run("sync", url, "-d", "mirror", "--fail-fast", "-j", 1, "--json", cwd=tmp_path)

    assert (end.code, end.json["fetched"], end.json["failed"]) == (3, 0, 1)
    assert len(nginx.served()) <= 3


async def test_fail_fast_stops_at_a_line_that_cannot_be_read(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, SMALL)
    manifest = nginx.root / "PULP_MANIFEST"
    manifest.write_text(f"nonsense\n{manifest.read_text()}")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--fail-fast", "--json", cwd=tmp_path)

    assert (end.code, end.json["fetched"], end.json["failed"]) == (7, 0, 1)
    assert [each.path for each in nginx.served()] == ["/PULP_MANIFEST"]


async def test_a_wrong_file_is_at_no_path(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"right", "b": b"right"})
    (nginx.root / "a").write_bytes(b"wrong")
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a").write_bytes(b"an older one")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--retries", 1, cwd=tmp_path)

    assert end.code == 7
    assert files(tmp_path / "mirror") == {"a": b"an older one", "b": b"right"}


async def test_bad_lines_are_named_and_the_others_fetched(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"good": b"good"})
    with (nginx.root / "PULP_MANIFEST").open("a") as manifest:
        manifest.write(f"../evil,{'0' * 64},3\n/etc/evil,{'0' * 64},3\nnonsense\n.lock.pulp-dl,{'0' * 64},0\n")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "deep/mirror", cwd=tmp_path)

    assert end.code == 7
    assert "PULP_MANIFEST: line 2 of the manifest: " in end.err
    assert "a path with '.' or '..': '../evil'" in end.err
    assert "line 4 of the manifest: " in end.err
    assert files(tmp_path / "deep") == {"mirror/good": b"good"}


async def test_a_symlink_leads_nowhere_else(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"out/file": b"data", "link": b"data"})
    (tmp_path / "mirror").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mirror" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mirror" / "link").symlink_to(tmp_path / "elsewhere" / "target")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)

    assert end.code == 2, end.err
    assert files(tmp_path / "elsewhere") == {}
    assert not (tmp_path / "mirror" / "link").is_symlink()


@pytest.mark.parametrize(
    ("code", "args"),
    [
        (3, ["{http}nothing", "-d", "mirror"]),
        (4, ["http://127.0.0.1:1/PULP_MANIFEST", "-d", "mirror", "--retries", "0"]),
        (5, ["{https}PULP_MANIFEST", "-d", "mirror"]),
        (6, ["{http}private/PULP_MANIFEST", "-d", "mirror"]),
        (8, ["{http}PULP_MANIFEST", "-d", "/dev/null/mirror"]),
        (8, ["{http}PULP_MANIFEST", "-d", "/dev/null"]),
        (8, ["{http}PULP_MANIFEST", "-d", "/proc/mirror"]),
    ],
)
async def test_without_a_manifest_or_a_directory_nothing_is_done(
    nginx: Nginx, tmp_path: Path, code: int, args: list[str]
) -> None:
    fill(nginx.root, {"a": b"a"})
    names = {"http": nginx.http, "https": nginx.https}
    end = await run("sync", *(each.format(**names) for each in args), cwd=tmp_path)

    assert end.code == code, end.err
    assert "Traceback" not in end.err
    assert "File exists" not in end.err  # which nobody can do anything with
    assert not (tmp_path / "mirror").exists() or files(tmp_path / "mirror") == {}


@pytest.mark.parametrize(
    "args", [["http://h/PULP_MANIFEST"], ["http://h/", "-d", "mirror"], ["nonsense", "-d", "mirror"]]
)
def test_what_makes_no_sense_is_2(args: list[str]) -> None:
    assert refused("sync", *args).code == 2


def test_the_url_of_a_directory_is_answered_with_what_a_manifest_is_called() -> None:
    """The first thing that somebody tries; and there is no -o here to give a name with."""
    end = refused("sync", "http://h/repository/", "-d", "mirror")

    assert "give the URL of its manifest, http://h/repository/PULP_MANIFEST perhaps" in end.err
    assert "-o" not in end.err


async def test_secrets_of_the_manifest_serve_its_files(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, SMALL)
    url = f"http://elmer:wabbit@{nginx.http[7:]}private/PULP_MANIFEST"
    end = await run("sync", url, "-d", "mirror", "-v", cwd=tmp_path)

    assert end.code == 0, end.err
    assert "wabbit" not in end.out + end.err
    assert len(but_manifest(tmp_path / "mirror")) == len(SMALL)


# ---- one at a time


async def test_two_runs_do_not_share_a_directory(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, Hold()) as server:
        first = Run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", cwd=tmp_path)
        while not server.requests:
            await deferLater(reactor, 0.01)
        second = await run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--json", cwd=tmp_path)

        assert second.code == 8
        assert "another pulp-dl sync is at work there" in second.err
        assert second.json["exit_code"] == 8

        first.kill(signal.SIGTERM)

        assert (await first.ended()).code == 143
        assert files(tmp_path / "mirror") == {}


async def test_the_lock_of_a_killed_run_is_no_lock(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"a"})
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / ".lock.pulp-dl").write_bytes(b"")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)

    assert end.code == 0, end.err
    assert {*files(tmp_path / "mirror")} == {"a", "PULP_MANIFEST"}


async def test_the_lock_of_another_user_who_was_killed_is_none(nginx: Nginx, tmp_path: Path) -> None:
    """It may be read; to hold a lock takes no more."""
    fill(nginx.root, {"a": b"a"})
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / ".lock.pulp-dl").touch(0o444)
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path, before=MORTAL)

    assert end.code == 0, end.err
    assert {*files(tmp_path / "mirror")} == {"a", "PULP_MANIFEST"}


async def test_who_may_only_read_a_lock_finds_it_held(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with Mirror(str(mirror)).lock():
        (mirror / ".lock.pulp-dl").chmod(0o444)
        end = await run("sync", "http://127.0.0.1:1/PULP_MANIFEST", "-d", "mirror", cwd=tmp_path, before=MORTAL)

    assert (end.code, "another pulp-dl sync is at work there" in end.err) == (8, True), end.err


@pytest.mark.parametrize("kind", ["symlink", "pipe", "none", "unreadable"])
async def test_what_else_stands_for_a_lock_is_not_followed_nor_waited_for(
    nginx: Nginx, tmp_path: Path, kind: str
) -> None:
    fill(nginx.root, {"a": b"a"})
    mirror, target = tmp_path / "mirror", tmp_path / "target"
    mirror.mkdir()
    target.touch(0o444)
    lock = mirror / ".lock.pulp-dl"
    if kind == "symlink":
        lock.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(lock, 0o444)
    elif kind == "unreadable":
        lock.touch(0)
    else:
        mirror.chmod(0o555)
    url = f"{nginx.http}PULP_MANIFEST"
    end = await run("sync", url, "-d", "mirror", "--retries", 0, cwd=tmp_path, before=MORTAL)

    assert end.code == (0 if kind == "pipe" else 8), end.err
    assert target.exists()


async def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    """Whoever holds it unlinks it at the end; what another one has opened by then is a lock on nothing."""
    path = tmp_path / "lock"
    holders = most = times = 0

    def contend() -> None:
        nonlocal holders, most, times
        while times < 100:
            try:
                fd = _locked(path)
            except BlockingIOError:
                continue
            holders += 1
            most = max(most, holders)
            os.sched_yield()
            holders -= 1
            times += 1
            path.unlink(missing_ok=True)
            os.close(fd)

    for ended in [deferToThread(contend) for _ in range(4)]:
        await ended

    assert most == 1


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("file", "this is no directory; give another path"),
        ("closed", "we may not write there; give a directory that belongs to this user"),
        ("below a file", "a file is where a directory is needed; give another path"),
    ],
)
async def test_a_dry_run_of_what_cannot_be_fails_as_the_run_would(
    nginx: Nginx, tmp_path: Path, kind: str, told: str
) -> None:
    fill(nginx.root, {"a": b"a"})
    mirror = tmp_path / "mirror"
    if kind == "closed":
        mirror.mkdir(0)
    else:
        mirror.touch()
    name = "mirror/below" if kind == "below a file" else "mirror"
    words = f"{nginx.http}PULP_MANIFEST", "-d", name, "--json"
    dry = await run("sync", "-n", *words, cwd=tmp_path, before=MORTAL)
    real = await run("sync", *words, cwd=tmp_path, before=MORTAL)

    assert (dry.code, real.code) == (8, 8), (dry, real)
    seen = told.replace("write there", "look into it")
    assert [each.json["failures"][0]["message"] for each in (dry, real)] == [seen, told]
    assert [each.json["failures"][0]["path"] for each in (dry, real)] == [name, name]


async def test_a_dry_run_needs_no_directory_and_nothing_that_it_may_write_to(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"a"})
    (tmp_path / "mirror").mkdir(0o555)
    for name in ("mirror", "none/at/all"):
        end = await run("sync", "-n", f"{nginx.http}PULP_MANIFEST", "-d", name, cwd=tmp_path, before=MORTAL)

        assert end.code == 0, end.err


# ---- the disk does not take it


async def test_a_directory_where_the_manifest_is_to_be_is_named(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"a"})
    for name in ("PULP_MANIFEST", "SUMS"):
        mirror = tmp_path / f"mirror of {name}"
        (mirror / name).mkdir(parents=True)
        words = "-d", mirror, "--digest-file", mirror / "SUMS", "--json"
        end = await run("sync", f"{nginx.http}PULP_MANIFEST", *words, cwd=tmp_path)
        failure = end.json["failures"][0]

        assert (end.code, failure["path"]) == (8, str(mirror / name))
        assert failure["message"] == "a directory is there; give another path"
        assert not [*mirror.glob(".*")]


async def test_a_directory_that_cannot_be_made_is_told_with_a_remedy(tmp_path: Path) -> None:
    end = await run("sync", "http://127.0.0.1:1/PULP_MANIFEST", "-d", "/proc/x", "--json", cwd=tmp_path)

    assert (end.code, end.json["failures"][0]["path"]) == (8, "/proc/x")
    assert end.json["failures"][0]["message"] == "nothing can be made there; give another path"


@pytest.mark.parametrize("kind", ["symlink", "directory", "another user's"])
async def test_what_stands_for_a_lock_is_told_with_a_remedy(tmp_path: Path, kind: str) -> None:
    lock = tmp_path / "mirror" / ".lock.pulp-dl"
    lock.parent.mkdir()
    if kind == "symlink":
        lock.symlink_to("x")
    elif kind == "directory":
        lock.mkdir()
    else:
        lock.touch(0)
    url = "http://127.0.0.1:1/PULP_MANIFEST"
    end = await run("sync", url, "-d", "mirror", "--json", cwd=tmp_path, before=MORTAL)

    assert (end.code, end.json["failures"][0]["path"]) == (8, "mirror/.lock.pulp-dl")
    told = "what is there is not ours to lock; remove it if no other run is at work"
    assert end.json["failures"][0]["message"] == told


# ---- interrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_it_soon_and_nothing_is_half_there(
    reactor: Any, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    data = bytes(1_000_000)
    fill(tmp_path / "repository", {"good": b"good", "stalls": data, "silent": data})
    manifest = (tmp_path / "repository" / "PULP_MANIFEST").read_bytes()
    head = response_head(200, ((b"Content-Length", b"1000000"), (b"ETag", b'"1"')))
    script = OnPath(
        {
            "/PULP_MANIFEST": answer(manifest),
            "/good": answer(b"good"),
            "/stalls": (Send(head), Repeat(Send(bytes(1000)), 600), Hold()),
            "/silent": Hold(),
        }
    )
    async with FaultServer(reactor, script) as server:
        running = Run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--json", cwd=tmp_path)
        mirror = tmp_path / "mirror"
        while not ((mirror / "good").exists() and (mirror / "stalls.part").exists()):
            await deferLater(reactor, 0.01)
        begun = time.monotonic()
        running.kill(number)
        end = await running.ended()

    assert end.code == code
    assert time.monotonic() - begun < 5
    assert {*files(mirror)} == {"good", "stalls.part", "stalls.part.json"}
    assert (mirror / "good").read_bytes() == b"good"
    assert (end.json["ok"], end.json["exit_code"]) == (False, code)


async def test_a_signal_ends_the_look_at_what_is_there(nginx: Nginx, tmp_path: Path, reactor: Any) -> None:
    """Also while a large file is being read."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with (mirror / "huge").open("wb") as file:
        file.truncate(50_000_000_000)
    (nginx.root / "PULP_MANIFEST").write_text(f"huge,{'0' * 64},50000000000\n")
    running = Run("sync", "--verify", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)
    while not nginx.served():
        await deferLater(reactor, 0.05)
    await deferLater(reactor, 0.2)
    begun = time.monotonic()
    running.kill(signal.SIGINT)
    end = await running.ended()

    assert end.code == 130
    assert time.monotonic() - begun < 5


# ---- looking only


async def test_a_dry_run_prints_what_it_would_fetch_and_touches_nothing(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a b": b"a", "c": b"c"})
    url = f"{nginx.http}PULP_MANIFEST"
    listed = await run("sync", "-n", url, "-d", "mirror", cwd=tmp_path)
    counted = await run("sync", "-n", url, "-d", "mirror", "--json", cwd=tmp_path)

    assert (listed.code, listed.out.splitlines()) == (0, [f"{nginx.http}a%20b", f"{nginx.http}c"])
    assert (counted.json["wanted"], counted.json["fetched"]) == (2, 0)
    assert not (tmp_path / "mirror").exists()

    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "c").write_bytes(b"c")
    again = await run("sync", "-n", url, "-d", "mirror", cwd=tmp_path)

    assert again.out.splitlines() == [f"{nginx.http}a%20b"]
    assert {*files(tmp_path / "mirror")} == {"c"}


async def test_quiet_is_silent(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"a"})
    end = await run("sync", "-q", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)

    assert (end.code, end.out, end.err) == (0, "", "")
