"""Files that are not ours, and notes that are not true, do no harm to a download that keeps a part."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.flow.workers import Workers
from tests.consumers.disks import MIB, Feed, names, pieces
from tests.consumers.parts import BODY, HEAD, broken_off, offered, to_part


async def left_alone(reactor: Any, directory: Path, *left: str) -> None:
    """Nothing is offered, the file comes all the same, and so does a failure; what is there stays as it is."""
    before = {each: (os.lstat(directory / each).st_ino, (directory / each).read_bytes()) for each in left}

    assert await offered(reactor, directory) == (None, b"")
    await broken_off(reactor, directory, MIB)
    assert names(directory) == sorted(left)
    workers = Workers(reactor)
    await Feed(reactor, to_part(directory), workers).all(pieces(BODY))
    await workers.close()

    assert {each: (os.lstat(directory / each).st_ino, (directory / each).read_bytes()) for each in left} == before
    assert names(directory) == sorted(["file", *left])


async def test_a_file_that_happens_to_have_the_parts_name_is_left_alone(reactor: Any, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(BODY[:MIB])

    await left_alone(reactor, tmp_path, "file.part")


async def test_a_file_that_happens_to_have_the_notes_name_is_left_alone(reactor: Any, tmp_path: Path) -> None:
    (tmp_path / "file.part.json").write_text('{"name": "somebody\'s"}')

    await left_alone(reactor, tmp_path, "file.part.json")


@pytest.mark.parametrize("name", ["file.part", "file.part.json"])
@pytest.mark.parametrize("kind", [Path.mkdir, os.mkfifo])
async def test_what_is_no_file_is_left_alone(
    reactor: Any, workers: Workers, tmp_path: Path, name: str, kind: Callable[[Path], None]
) -> None:
    await broken_off(reactor, tmp_path, MIB)
    (tmp_path / name).unlink()
    kind(tmp_path / name)

    feed = Feed(reactor, to_part(tmp_path), workers)
    assert await feed.consumer.kept() is None
    await feed.all(pieces(BODY))

    assert (tmp_path / "file").read_bytes() == BODY
    assert not (tmp_path / name).is_file()
    assert (tmp_path / name).exists()


async def test_another_file_in_the_place_of_the_part_is_left_alone(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB)
    (tmp_path / "other").write_bytes(BODY[:MIB])
    (tmp_path / "other").replace(tmp_path / "file.part")

    await left_alone(reactor, tmp_path, "file.part", "file.part.json")


@pytest.mark.parametrize("which", ["file.part", "file.part.json"])
async def test_a_symlink_is_not_followed_to_a_part(reactor: Any, tmp_path: Path, which: str) -> None:
    await broken_off(reactor, tmp_path, MIB)
    (tmp_path / which).rename(tmp_path / "elsewhere")
    (tmp_path / which).symlink_to("elsewhere")

    await left_alone(reactor, tmp_path, "elsewhere", "file.part", "file.part.json")


async def test_a_part_that_has_another_name_is_left_alone(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB)
    os.link(tmp_path / "file.part", tmp_path / "copy")

    await left_alone(reactor, tmp_path, "copy", "file.part", "file.part.json")


async def test_a_part_that_another_user_planted_is_left_alone(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB)
    try:
        os.chown(tmp_path / "file.part", 65534, 65534)
    except PermissionError:  # only root can play another user
        (tmp_path / "file.part.json").unlink()
        await left_alone(reactor, tmp_path, "file.part")
    else:
        await left_alone(reactor, tmp_path, "file.part", "file.part.json")


async def test_a_file_of_the_notes_name_that_is_nested_too_deep_to_be_read_is_left_alone(
    reactor: Any, tmp_path: Path
) -> None:
    await broken_off(reactor, tmp_path, MIB)
    (tmp_path / "file.part.json").write_text("[" * 300_000)

    await left_alone(reactor, tmp_path, "file.part", "file.part.json")


NOTES = st.one_of(
    st.binary(max_size=50),
    st.recursive(
        st.none() | st.booleans() | st.integers(-2, 2**70) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.integers(-2, 2**70) | st.text(max_size=5)
            for name in ("synced", "boot", "place", "status", "length", "total", "etag", "modified", "date", "format")
        },
    ),
)


@given(NOTES)
async def test_whatever_stands_in_a_note_a_download_ends_well(
    reactor: Any, tmp_path_factory: pytest.TempPathFactory, written: Any
) -> None:
    directory = tmp_path_factory.mktemp("note")
    await broken_off(reactor, directory, MIB)
    note = directory / "file.part.json"
    if isinstance(written, dict) and {*written} <= {*json.loads(note.read_text())}:
        written = json.loads(note.read_text()) | written
    note.write_bytes(written if isinstance(written, bytes) else json.dumps(written).encode())

    workers = Workers(reactor)
    feed = Feed(reactor, to_part(directory), workers)
    kept = await feed.consumer.kept()
    feed.begin(HEAD)
    there = 0
    if kept is not None:
        there = kept.size
        assert there <= MIB
        assert b"".join(kept.pieces()) == BODY[:there]
    await feed.rest(pieces(BODY[there:]))
    await workers.close()

    assert (directory / "file").read_bytes() == BODY
