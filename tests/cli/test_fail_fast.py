"""C{sync --fail-fast} with several files under way: what it says of those that ended beside the first failure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pulp_dl.testing import Cut, FaultServer, Hold, OnPath, Script, answer
from tests.cli.command import Run, files, run
from tests.sinks import until

pytestmark = pytest.mark.limit(60)

FILES = {f"file{number}": random.Random(number).randbytes(20_000) for number in range(12)}


def manifest(wanted: dict[str, bytes]) -> bytes:
    lines = (f"{path},{hashlib.sha256(data).hexdigest()},{len(data)}\n" for path, data in wanted.items())
    return "".join(lines).encode()


@pytest.fixture
async def server(reactor: Any) -> AsyncIterator[FaultServer]:
    async with FaultServer(reactor, answer()) as server:
        yield server


@pytest.mark.parametrize("first", [0, 5, 9])
async def test_what_is_at_its_path_is_counted_whoever_ended_first(
    server: FaultServer, reactor: Any, tmp_path: Path, first: int
) -> None:
    scripts = {f"/{path}": [Hold("all"), answer(data)] for path, data in FILES.items()}
    scripts[f"/file{first}"] = [Hold("all"), answer(b"no", 404)]
    server.script = OnPath({"/PULP_MANIFEST": answer(manifest(FILES)), **scripts})
    running = Run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--fail-fast", "-j", 10, "--json", cwd=tmp_path)
    await until(reactor, lambda: len(server.requests) == 11)  # the manifest is one
    server.release("all")
    end = await running.ended()

    there = files(tmp_path / "mirror")
    whole = {path: data for path, data in there.items() if path in FILES}
    assert end.code == 3, end.err
    assert end.json["fetched"] == len(whole)
    assert end.json["bytes"] >= sum(map(len, whole.values()))
    assert [each["path"] for each in end.json["failures"]] == [f"file{first}"]
    assert (end.json["failed"], end.json["left"]) == (1, len(FILES) - 1 - len(whole))


async def test_what_was_given_up_has_not_failed_and_its_parts_are_named(
    server: FaultServer, reactor: Any, tmp_path: Path
) -> None:
    large = {path: 20 * data for path, data in FILES.items()}
    scripts: dict[str, Script] = {f"/{path}": Cut(answer(data), 300_000, Hold()) for path, data in large.items()}
    scripts["/file0"] = [Hold("all"), answer(b"no", 404)]
    server.script = OnPath({"/PULP_MANIFEST": answer(manifest(large)), **scripts})
    running = Run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--fail-fast", "-j", 3, cwd=tmp_path)
    parts = [tmp_path / "mirror" / f"file{number}.part" for number in (1, 2)]
    await until(reactor, lambda: all(path.exists() and path.stat().st_size for path in parts))
    server.release("all")
    end = await running.ended()

    assert end.code == 3
    assert end.err.splitlines()[0] == "1 failed:"
    assert end.err.splitlines()[-1].startswith("stopped at the first failure: 0 fetched, 1 failed, 11 left; ")
    assert end.err.endswith(f"; 2 parts are kept in {tmp_path}/mirror\n")
    assert len(end.err.splitlines()) == 3  # and nothing of the two that were cancelled


async def test_parts_of_files_that_were_not_come_to_stay(server: FaultServer, tmp_path: Path) -> None:
    """A line that cannot be read stops it, and so nobody has asked for what comes after that yet."""
    server.script = OnPath(
        {
            "/PULP_MANIFEST": answer(manifest(FILES)),
            **{f"/{path}": Cut(answer(data), 10_000) for path, data in FILES.items()},
        }
    )
    await run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--retries", 0, cwd=tmp_path)
    before = files(tmp_path / "mirror")
    assert len(before) == 2 * len(FILES)

    server.script = OnPath({"/PULP_MANIFEST": answer(b"nonsense\n" + manifest(FILES))})
    end = await run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--fail-fast", cwd=tmp_path)

    assert end.code == 7
    assert files(tmp_path / "mirror") == before


async def test_of_several_lines_that_cannot_be_read_the_first_has_failed(server: FaultServer, tmp_path: Path) -> None:
    """The others are left, as what comes after them, whatever they look like."""
    bad = b"nonsense\n../evil,nonsense,3\nnonsense again\n"
    server.script = OnPath({"/PULP_MANIFEST": answer(b"# a list\n\n" + bad + manifest(FILES))})
    url = server.url("/PULP_MANIFEST")
    end = await run("sync", url, "-d", "mirror", "--fail-fast", "--json", cwd=tmp_path)

    assert (end.code, end.json["fetched"], end.json["failed"]) == (7, 0, 1)
    assert "line 3 of the manifest" in end.json["failures"][0]["message"]
    assert end.json["left"] == len(FILES) + 2


@pytest.mark.parametrize("before", [0, 5])
async def test_a_dry_run_stops_there_too(server: FaultServer, tmp_path: Path, before: int) -> None:
    lines = manifest(FILES).splitlines(keepends=True)
    lines.insert(before, b"nonsense\n")
    server.script = OnPath({"/PULP_MANIFEST": answer(b"".join(lines))})
    end = await run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--fail-fast", "-n", cwd=tmp_path)

    assert end.code == 7
    assert len(end.out.splitlines()) == before
    last = end.err.splitlines()[-1]
    left = len(FILES) - before
    assert last.startswith(f"stopped at the first failure: {before} to fetch, 1 failed, {left} left; ")
