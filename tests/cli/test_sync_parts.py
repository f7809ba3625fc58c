"""C{sync}, where files of a manifest have the names of parts, and where somebody else is at work in the directory."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict

from pulp_dl.consumers.note import Note
from pulp_dl.model.source import Head
from pulp_dl.testing import FaultServer, Hold, OnPath, Script, Send, answer, response_head
from tests.cli.command import Run, files, fill, run
from tests.servers import Nginx
from tests.sinks import until

pytestmark = pytest.mark.limit(60)

LARGE = random.Random(1).randbytes(900_000)
NOTE = json.dumps(asdict(Note.of(Head("http://h/x", 200, ((b"ETag", b'"1"'),), 100, None, 100), 1))).encode()


def manifest(wanted: dict[str, bytes]) -> bytes:
    lines = (f"{path},{hashlib.sha256(data).hexdigest()},{len(data)}\n" for path, data in wanted.items())
    return "".join(lines).encode()


def held(data: bytes, event: str) -> list[Script]:
    """All but its end, until that is released."""
    head = response_head(200, ((b"Content-Length", b"%d" % len(data)), (b"ETag", b'"1"')))
    return [Send(head), Send(data[:600_000]), Hold(event), Send(data[600_000:])]


@pytest.fixture
async def server(reactor: Any) -> AsyncIterator[FaultServer]:
    async with FaultServer(reactor, answer()) as server:
        yield server


def serve(server: FaultServer, wanted: dict[str, bytes], **scripts: Script) -> None:
    server.script = OnPath(
        {f"/{path}": answer(data) for path, data in ({"PULP_MANIFEST": manifest(wanted)} | wanted).items()}
        | {f"/{path}": script for path, script in scripts.items()}
    )


# ---- names


@pytest.mark.parametrize(
    "wanted",
    [
        {"x.part.json": NOTE},
        {"x.part.json": NOTE, "x.part": b"a file"},
        {"a/x.part.json": NOTE, "a/x": b"a file"},
        {"x.part.json": NOTE, "x.part": b"a file", "x": LARGE},
    ],
    ids=["note", "note and part", "note and file", "all three"],
)
@pytest.mark.parametrize("options", [[], ["--delete", "--force"]])
async def test_a_file_of_the_manifest_that_is_a_note_stays(
    nginx: Nginx, tmp_path: Path, wanted: dict[str, bytes], options: list[str]
) -> None:
    fill(nginx.root, wanted)
    fetched = []
    for _ in range(3):
        end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--json", *options, cwd=tmp_path)

        assert end.code == 0, end.err
        assert files(tmp_path / "mirror") == files(nginx.root)
        fetched.append(end.json["fetched"])
    assert fetched == [len(wanted), 0, 0]


async def test_the_note_that_a_file_of_the_manifest_seems_to_be_does_not_stand_for_the_part_beside_it(
    nginx: Nginx, tmp_path: Path
) -> None:
    """Even if it says so."""
    mirror = tmp_path / "mirror"
    fill(mirror, {"x.part": b"a file"})
    note = json.dumps(json.loads(NOTE) | {"inode": (mirror / "x.part").stat().st_ino}).encode()
    fill(nginx.root, {"x.part": b"a file", "x.part.json": note})
    for _ in range(2):
        end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", cwd=tmp_path)

        assert end.code == 0, end.err
        assert files(mirror) == files(nginx.root)


@pytest.mark.parametrize("ending", [".part", ".part.json", ".part/y", ".part.json/y/z"])
@pytest.mark.parametrize("folder", ["", "a/b/"])
async def test_a_file_whose_part_would_be_in_the_way_of_another_file_comes_without_one(
    server: FaultServer, reactor: Any, tmp_path: Path, folder: str, ending: str
) -> None:
    mirror, wanted = tmp_path / "mirror", {f"{folder}x": LARGE, f"{folder}x{ending}": b'{"some": "json"}'}
    first, second = wanted
    scripts: dict[str, Script] = {first: held(LARGE, "first"), second: [Hold("second"), answer(wanted[second])]}
    serve(server, wanted, **scripts)
    running = Run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--retries", 0, cwd=tmp_path)
    await until(reactor, lambda: len(server.requests) == 3 and running.writes_below(mirror))
    server.release("second")
    await until(reactor, (mirror / second).is_file)
    server.release("first")
    end = await running.ended()

    assert end.code == 0, end.err
    assert files(mirror) == wanted | {"PULP_MANIFEST": manifest(wanted)}


async def test_what_an_earlier_run_left_of_such_a_file_gives_way(
    server: FaultServer, reactor: Any, tmp_path: Path
) -> None:
    """Also if it happens to be as large as the file that has its name."""
    mirror, wanted = tmp_path / "mirror", {"x": LARGE, "y": b"y"}
    serve(server, wanted, x=held(LARGE, "never"))
    running = Run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", cwd=tmp_path)
    await until(reactor, lambda: (mirror / "x.part").exists() and (mirror / "x.part").stat().st_size > 0)
    running.kill()
    await running.ended()
    wanted["x.part"] = bytes((mirror / "x.part").stat().st_size)
    serve(server, wanted)
    end = await run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", cwd=tmp_path)

    assert end.code == 0, end.err
    assert files(mirror) == wanted | {"PULP_MANIFEST": manifest(wanted)}


# ---- somebody else at work there


@pytest.mark.parametrize("options", [[], ["--delete", "--force"]])
@pytest.mark.parametrize("what", ["get", "sync"])
async def test_what_another_process_is_at_work_on_is_left_alone(
    server: FaultServer, reactor: Any, tmp_path: Path, what: str, options: list[str]
) -> None:
    """A C{get} to the mirror, and a mirror inside of it."""
    mirror, others = tmp_path / "mirror", {"large": LARGE}
    serve(server, others, large=held(LARGE, "end"))
    (mirror / "sub").mkdir(parents=True)
    url = server.url("/large" if what == "get" else "/PULP_MANIFEST")
    other = Run(what, url, "-d", "mirror/sub", "--retries", 0, cwd=tmp_path)
    await until(reactor, (mirror / "sub" / "large.part").exists)

    serve(server, {"small": b"s"})
    end = await run("sync", server.url("/PULP_MANIFEST"), "-d", "mirror", "--json", *options, cwd=tmp_path)
    assert (end.code, end.json["deleted"] if options else 0) == (0, 0), end.out
    assert (mirror / "sub" / "large.part").exists()
    server.release("end")
    end = await other.ended()

    assert end.code == 0, end.err
    assert (mirror / "sub" / "large").read_bytes() == LARGE
    assert [*mirror.glob("**/*.part*")] == []


@pytest.mark.parametrize("dry", [True, False])
async def test_parts_that_are_left_count_for_nothing_when_much_would_be_deleted(
    nginx: Nginx, tmp_path: Path, dry: bool
) -> None:
    """The manifest has changed since the first run, which was interrupted."""
    fill(nginx.root, {"a": b"a"})
    fill(tmp_path / "mirror", {"x.part": b"a part", ".x.0123456789abcdef.pulp-dl": b"of a run that was killed"})
    note = json.dumps(json.loads(NOTE) | {"inode": (tmp_path / "mirror/x.part").stat().st_ino})
    (tmp_path / "mirror" / "x.part.json").write_text(note)
    (tmp_path / "mirror" / "PULP_MANIFEST").unlink()
    more = ["-n"] if dry else []
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--delete", *more, cwd=tmp_path)

    assert end.code == 0, end.err
    assert dry or files(tmp_path / "mirror") == files(nginx.root)
