"""C{pulp-dl sync --delete}."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl.cli.outcome import Failed
from pulp_dl.cli.prune import Prune
from pulp_dl.importers.paths import Paths
from pulp_dl.testing import FaultServer, Hold, OnPath, answer
from tests.cli.command import Run, files, fill, refused, run
from tests.needs import lacking
from tests.servers import Nginx
from tests.terminal import Terminal

pytestmark = pytest.mark.limit(60)

WANTED = {"a": b"a", "deep/b": b"b", "deep/down/c": b"c", "d": b"d"}


def write(directory: Path, *paths: str) -> None:
    for path in paths:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(b"of no manifest")


@pytest.fixture
async def mirror(nginx: Nginx, tmp_path: Path) -> Path:
    """A mirror of WANTED."""
    fill(nginx.root, WANTED)
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)
    assert end.code == 0, end.err
    return tmp_path / "mirror"


def everything(directory: Path) -> set[str]:
    """Also what is no file, and empty directories."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


async def test_it_makes_the_directory_equal_to_the_manifest(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    write(mirror, "deep/old", "gone/with/all/of it")
    (mirror / "empty" / "as before").mkdir(parents=True)
    os.mkfifo(mirror / "pipe")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", "--json", cwd=tmp_path)

    assert end.code == 0, end.err
    assert files(mirror) == files(nginx.root)
    assert everything(mirror) == everything(nginx.root)
    # deep/old, gone/with/all/of it, three folders above it, two empty ones, the pipe
    assert end.json["deleted"] == 8
    assert ", 8 deleted; " in end.err


async def test_without_it_nothing_is_deleted(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    write(mirror, "mine")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--json", cwd=tmp_path)

    assert end.code == 0
    assert "deleted" not in end.json
    assert (mirror / "mine").exists()


async def test_what_a_symlink_leads_to_stays(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    write(tmp_path / "elsewhere", "file", "more/files")
    (mirror / "to file").symlink_to(tmp_path / "elsewhere" / "file")
    (mirror / "deep" / "to folder").symlink_to(tmp_path / "elsewhere")
    (mirror / "dangling").symlink_to("nowhere")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", cwd=tmp_path)

    assert end.code == 0, end.err
    assert files(mirror) == files(nginx.root)
    assert {*files(tmp_path / "elsewhere")} == {"file", "more/files"}


async def test_the_directory_itself_may_be_reached_by_a_symlink(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    write(mirror, "old")
    (tmp_path / "link").symlink_to(mirror)
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "link", "--delete", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "link").is_symlink()
    assert files(mirror) == files(nginx.root)


async def test_after_a_failure_nothing_is_deleted(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    write(mirror, "old")
    (mirror / "a").unlink()
    (nginx.root / "a").unlink()
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", cwd=tmp_path)

    assert end.code == 3
    assert (mirror / "old").exists()


async def test_with_a_bad_line_nothing_is_deleted(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    """It may have been the one that lists the file."""
    write(mirror, "old")
    with (nginx.root / "PULP_MANIFEST").open("a") as manifest:
        manifest.write("old,nonsense\n")
    url = f"{nginx.http}PULP_MANIFEST"
    dry = await run("sync", url, "-d", "mirror", "--delete", "--force", "-n", cwd=tmp_path)
    end = await run("sync", url, "-d", "mirror", "--delete", "--force", cwd=tmp_path)

    assert (dry.code, dry.out) == (7, "")
    assert end.code == 7
    assert (mirror / "old").exists()


async def test_an_interrupted_run_deletes_nothing(tmp_path: Path, reactor: Any) -> None:
    write(tmp_path / "mirror", "old", "kept")
    fill(tmp_path / "repository", {"kept": b"of no manifest", "silent": b"data", "more": b"x"})
    write(tmp_path / "mirror", "more")
    manifest = (tmp_path / "repository" / "PULP_MANIFEST").read_bytes()
    script = OnPath({"/PULP_MANIFEST": answer(manifest), "/silent": Hold(), "/more": answer(b"x")})
    async with FaultServer(reactor, script) as server:
        running = Run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--delete", cwd=tmp_path)
        while not any(each.path == "/silent" for each in server.requests):
            await deferLater(reactor, 0.01)
        running.kill(signal.SIGINT)
        end = await running.ended()

    assert end.code == 130, end.err
    assert (tmp_path / "mirror" / "old").exists()


# ---- what is in the way


@pytest.fixture
def trading_places(nginx: Nginx, tmp_path: Path) -> Path:
    """A mirror of a release before this one: files are where directories are now, and the other way round."""
    old, new = {"latest": b"1", "rel/x": b"2", "rel/y/z": b"3"}, {"latest/y": b"4", "rel": b"5", "linked/x": b"6"}
    fill(nginx.root, new | {f"{number}": b"x" for number in range(10)})
    mirror = tmp_path / "mirror"
    for path, data in (old | {f"{number}": b"x" for number in range(10)}).items():
        (mirror / path).parent.mkdir(parents=True, exist_ok=True)
        (mirror / path).write_bytes(data)
    write(tmp_path / "elsewhere", "x")
    (mirror / "linked").symlink_to(tmp_path / "elsewhere")
    return mirror


async def test_what_is_in_the_way_goes_before(nginx: Nginx, tmp_path: Path, trading_places: Path) -> None:
    (trading_places / "PULP_MANIFEST").mkdir()
    command = ["sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", "--json"]
    end = await run(*command, cwd=tmp_path)

    assert end.code == 0, end.err
    assert (end.json["fetched"], end.json["deleted"]) == (3, 7)
    assert files(trading_places) == files(nginx.root)
    assert everything(trading_places) == everything(nginx.root)
    assert {*files(tmp_path / "elsewhere")} == {"x"}


async def test_a_dry_run_shows_that_and_nothing_of_it_is_done(
    nginx: Nginx, tmp_path: Path, trading_places: Path
) -> None:
    before, url = everything(trading_places), f"{nginx.http}PULP_MANIFEST"
    dry = await run("sync", url, "-d", "mirror", "--delete", "-n", cwd=tmp_path)

    assert dry.code == 0, dry.err
    gone = {"latest", "rel/x", "rel/y/z", "rel/y/", "rel/", "linked"}
    assert {*dry.out.splitlines()} == {
        *(f"{nginx.http}{path}" for path in ("latest/y", "rel", "linked/x")),
        *(f"deleting {path}" for path in gone),
    }
    assert everything(trading_places) == before


async def test_only_what_is_in_the_way_goes_before(nginx: Nginx, tmp_path: Path, trading_places: Path) -> None:
    """If something fails then, the rest stays."""
    write(trading_places, "old")
    (nginx.root / "rel").unlink()
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", "--json", cwd=tmp_path)

    assert (end.code, end.json["fetched"], end.json["deleted"]) == (3, 2, 6), end.err
    assert (trading_places / "old").exists()


@pytest.mark.parametrize("why", ["a folder is listed, too", "a list of digests"])
async def test_where_nothing_can_come_whatever_goes_nothing_does(
    nginx: Nginx, tmp_path: Path, mirror: Path, why: str
) -> None:
    write(mirror, "deep/mine")
    more = ["--digest-file", "mirror/deep"] if why == "a list of digests" else []
    with (nginx.root / "PULP_MANIFEST").open("a") as manifest:
        manifest.write(f"{'none' if more else 'deep'},{'0' * 64},1\n")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", "--json", *more, cwd=tmp_path)

    assert not end.json["ok"]
    assert (mirror / "deep/mine").exists()


@pytest.mark.parametrize("why", ["too much", "a bad line", "not asked for"])
async def test_where_nothing_is_to_be_deleted_that_stays_too(
    nginx: Nginx, tmp_path: Path, trading_places: Path, why: str
) -> None:
    before = everything(trading_places)
    if why == "too much":
        write(trading_places, *(f"old{number}" for number in range(20)))
        before = everything(trading_places)
    if why == "a bad line":
        with (nginx.root / "PULP_MANIFEST").open("a") as manifest:
            manifest.write("nonsense\n")
    more = [] if why == "not asked for" else ["--delete"]
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", *more, "--json", cwd=tmp_path)

    assert end.code in {1, 8}
    assert everything(trading_places) == before
    if why == "not asked for":
        told = {each["path"]: each["message"].rpartition(": ")[2] for each in end.json["failures"]}
        assert told["rel"] == "a directory is there; remove it, or give --delete"
        assert told["latest/y"] == "a file is where a directory is needed; remove it, or give --delete"


# ---- too much


@pytest.mark.parametrize(("old", "code"), [(3, 0), (4, 1), (5, 1)])
async def test_half_of_the_files_do_not_go_unless_forced(
    nginx: Nginx, tmp_path: Path, mirror: Path, old: int, code: int
) -> None:
    """The manifest and the lock do not count."""
    names = [f"old/{number}" for number in range(old)]
    write(mirror, *names)
    before = files(mirror)
    fill(nginx.root, WANTED | {"new": b"new"})
    command = ["sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete"]
    end = await run(*command, cwd=tmp_path)

    assert end.code == code, end.err
    if code:
        assert f"--delete would remove {old} of the {4 + old} files there, so nothing was done" in end.err
        assert "--force" in end.err
        # Nor is anything fetched: or the next run would find that there are files enough that stay.
        assert files(mirror) == before

        forced = await run(*command, "--force", cwd=tmp_path)

        assert forced.code == 0, forced.err
    assert files(mirror) == files(nginx.root)


async def test_a_directory_of_somebody_else_is_not_emptied_by_chance(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {f"{number}": b"x" for number in range(20)})
    write(tmp_path / "documents", "thesis.tex")
    for _ in range(2):
        end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "documents", "--delete", cwd=tmp_path)

        assert end.code == 1
        assert "--delete would remove 1 of the 1 file there" in end.err
        assert {*files(tmp_path / "documents")} == {"thesis.tex"}


async def test_an_empty_manifest_deletes_nothing_unless_forced(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    fill(nginx.root, {})
    (nginx.root / "PULP_MANIFEST").write_text("# nothing\n\n")
    before, command = files(mirror), ["sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete"]
    end = await run(*command, cwd=tmp_path)

    assert end.code == 1
    assert "PULP_MANIFEST: it lists nothing, so nothing was done" in end.err
    assert files(mirror) == before

    forced = await run(*command, "--force", cwd=tmp_path)

    assert forced.code == 0, forced.err
    assert {*files(mirror)} == {"PULP_MANIFEST"}


async def test_where_nothing_would_go_there_is_nothing_to_refuse(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {})
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", cwd=tmp_path)

    assert end.code == 0, end.err


def test_force_alone_makes_no_sense() -> None:
    end = refused("sync", "http://h/PULP_MANIFEST", "-d", "mirror", "--force")

    assert (end.code, "--force is for --delete" in end.err) == (2, True)


# ---- looking only


async def test_a_dry_run_lists_what_would_go(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    write(mirror, "old/file", "od\x1bd")
    (mirror / "deep" / "empty").mkdir()
    (mirror / "d").unlink()
    before, url = everything(mirror), f"{nginx.http}PULP_MANIFEST"
    listed = await run("sync", url, "-d", "mirror", "--delete", "-n", cwd=tmp_path)
    counted = await run("sync", url, "-d", "mirror", "--delete", "-n", "--json", cwd=tmp_path)

    assert listed.code == 0, listed.err
    lines = listed.out.splitlines()
    assert lines[0] == f"{nginx.http}d"
    assert {*lines[1:]} == {"deleting old/file", "deleting old/", "deleting od\ufffdd", "deleting deep/empty/"}
    assert "1 to fetch, 3 already there, 4 to delete; " in listed.err
    assert (counted.json["wanted"], counted.json["deleted"]) == (1, 4)
    assert everything(mirror) == before


async def test_a_dry_run_tells_of_a_refusal_too(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    write(mirror, "1", "2", "3", "4")
    command = ["sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", "-n"]
    end = await run(*command, cwd=tmp_path)
    forced = await run(*command, "--force", cwd=tmp_path)

    assert (end.code, len(end.out.splitlines())) == (1, 4)
    assert "--force" in end.err
    assert (forced.code, forced.out) == (0, end.out)


async def test_a_dry_run_does_not_speak_of_the_part_of_a_wanted_file(
    slow_nginx: Nginx, tmp_path: Path, reactor: Any
) -> None:
    """Of one that nobody wants any more it does."""
    fill(slow_nginx.root, {"large": os.urandom(1_000_000), "small": b"s"})
    url, mirror = f"{slow_nginx.http}PULP_MANIFEST", tmp_path / "mirror"
    running = Run("sync", url, "-d", "mirror", cwd=tmp_path)
    while not ((mirror / "large.part").exists() and (mirror / "small").exists()):
        await deferLater(reactor, 0.01)
    running.kill()
    await running.ended()
    wanted = await run("sync", url, "-d", "mirror", "--delete", "-n", cwd=tmp_path)
    fill(slow_nginx.root, {"small": b"s", "other": b"o", "third": b"t"})
    (mirror / "other").write_bytes(b"o")
    (mirror / "third").write_bytes(b"t")
    unwanted = await run("sync", url, "-d", "mirror", "--delete", "-n", cwd=tmp_path)

    assert (wanted.code, wanted.out) == (0, f"{slow_nginx.http}large\n"), wanted.err
    assert {*unwanted.out.splitlines()} == {"deleting large.part", "deleting large.part.json"}


async def test_in_a_terminal_it_says_what_it_did(nginx: Nginx, tmp_path: Path, mirror: Path) -> None:
    write(mirror, "old/file")

    def look() -> tuple[int, str]:
        command = ["sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", "-v"]
        with Terminal.pulp_dl(command, tmp_path) as terminal:
            return terminal.exit_code(), terminal.screen

    code, screen = await deferToThread(look)

    assert code == 0, screen
    assert "deleted old/file\n" in screen
    assert "deleted old/\n" in screen
    assert "0 fetched, 4 already there, 2 deleted; " in screen


# ---- the disk


async def test_what_cannot_be_deleted_is_a_failure_and_the_others_go(
    nginx: Nginx, tmp_path: Path, mirror: Path
) -> None:
    write(mirror, "old", "kept/old")
    place = mirror / "kept" / "place"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=False).returncode:
        lacking("only root may mount a disk")
    try:
        end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", cwd=tmp_path)
    finally:
        subprocess.run(["umount", place], check=True)

    assert end.code == 8, end.err
    assert "mirror/kept/place/: Device or resource busy" in end.err
    assert "1 failed" in end.err
    assert not (mirror / "old").exists()
    assert not (mirror / "kept" / "old").exists()


async def test_folders_nested_without_end_are_a_failure_with_words(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"a"})
    (tmp_path / "mirror").mkdir()
    fd = os.open(tmp_path / "mirror", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", cwd=tmp_path)
    looked = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", "-n", cwd=tmp_path)
    await deferToThread(lambda: subprocess.run(["rm", "-r", tmp_path / "mirror"], check=True))

    assert [(each.code, "nested too deep" in each.err) for each in (end, looked)] == [(8, True)] * 2, end.err


NAMES = st.sampled_from(["a", "b", "c\udcff", "d e"])
TREES = st.sets(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=12)


@given(there=TREES, wanted=st.frozensets(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=8))
def test_whatever_is_there_what_is_wanted_stays_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, there: set[str], wanted: frozenset[str]
) -> None:
    root = tmp_path_factory.mktemp("mirror")
    for path in there:
        if not (root / path).is_dir() and not any((root / parent).is_file() for parent in Path(path).parents):
            write(root, path)
    with Paths() as listed:
        for path in wanted:
            listed.add(path, "")
        check_prune(root, wanted, Prune(str(root), listed, lambda path: False))


def check_prune(root: Path, wanted: frozenset[str], prune: Prune) -> None:
    before = {*files(root)}
    told = {*prune.going()}
    objection = prune.objection()
    failures: list[Failed] = []
    first = {*prune.clear(failures.append)}

    assert not failures
    assert first <= told
    for path in wanted:
        assert not any((root / parent).is_file() for parent in Path(path).parents if str(parent) not in wanted)
        assert not (root / path).is_dir() or any(each.startswith(f"{path}/") for each in wanted)

    gone = first | {*prune.run(failures.append)}

    assert not failures
    assert {*files(root)} == before & wanted
    assert gone == told
    assert {path for path in gone if not path.endswith("/")} == before - wanted
    assert (objection is None) is (not before - wanted or len(before - wanted) < len(before & wanted))
    assert not [path for path in root.rglob("*") if path.is_dir() and not any(path.iterdir())]
