"""Several downloads to one path, and to paths that are each other's parts: none does harm to another one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.python.failure import Failure

from pulp_dl.consumers.file import ToFile
from pulp_dl.consumers.strays import forget, noted, strays
from pulp_dl.errors import DigestMismatch
from tests.consumers.disks import MIB, Call, Disk, Feed, head_of, names, pieces, without_unnamed_files
from tests.consumers.parts import BODY, BROKEN, HEAD, broken_off, offered, to_part

WRONG = Failure(DigestMismatch("sha256", "a", "b"))


def without_links(call: Call) -> None:
    """A file system on which a file has one name."""
    if call.name == "link":
        raise PermissionError(errno.EPERM, "no links")
    without_unnamed_files().before(call)


async def begun(reactor: Any, directory: Path, disk: Disk) -> Feed:
    """Nothing was there to go on with."""
    feed = Feed(reactor, to_part(directory, disk=disk))
    assert await feed.consumer.kept() is None
    return feed


def feed_some(feed: Feed) -> None:
    feed.begin(HEAD)
    for piece in pieces(BODY[:MIB]):
        feed.consumer.write(piece)


@pytest.mark.parametrize("first_ends_first", [False, True])
@pytest.mark.parametrize("lost_note", [False, True])
@pytest.mark.parametrize(
    "disk_before", [lambda call: None, without_unnamed_files().before], ids=["unnamed files", "none"]
)
async def test_of_two_that_begin_together_both_come_whole_and_nothing_is_left(
    reactor: Any, tmp_path: Path, disk_before: Callable[[Call], object], lost_note: bool, first_ends_first: bool
) -> None:
    """Whatever the first one is about to do when the second one begins."""
    moment, more = 0, True
    while more:
        directory = tmp_path / str(moment)
        directory.mkdir()
        if lost_note:
            await broken_off(reactor, directory, MIB)
            (directory / "file.part").unlink()
        disk = Disk(disk_before)
        first, second = await begun(reactor, directory, disk), await begun(reactor, directory, Disk(disk_before))
        more = begin_both(first, disk, second, moment)
        for feed in (first, second) if first_ends_first else (second, first):
            await feed.rest(pieces(BODY[MIB:]))
            assert (directory / "file").read_bytes() == BODY

        assert (first.gone, second.gone) == ([], [])
        assert names(directory) == ["file"]
        moment += 1
    assert moment > 10


def begin_both(first: Feed, disk: Disk, second: Feed, moment: int) -> bool:
    """The second one before the first one's call of this number to its disk; False if that has not so many."""
    left = moment
    without_second = disk.before

    def before(call: Call) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            feed_some(second)
        without_second(call)

    disk.before = before
    feed_some(first)
    disk.before = without_second
    if left >= 0:
        feed_some(second)
    return left < 0


@pytest.mark.parametrize("why", [BROKEN, WRONG])
async def test_who_comes_second_leaves_the_part_of_the_first_alone(reactor: Any, tmp_path: Path, why: Failure) -> None:
    """It is there to be gone on with if the first one breaks off, too."""
    first, second = await begun(reactor, tmp_path, Disk()), await begun(reactor, tmp_path, Disk())
    feed_some(first)
    feed_some(second)
    second.consumer.unregisterProducer()
    second.consumer.fail(why)

    assert names(tmp_path) == ["file.part", "file.part.json"]
    first.consumer.unregisterProducer()
    first.consumer.fail(BROKEN)
    assert (await offered(reactor, tmp_path))[1] == BODY[:MIB]


async def test_where_a_file_has_one_name_only_a_part_is_kept_all_the_same(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB, disk=Disk(without_links))

    assert names(tmp_path) == ["file.part", "file.part.json"]
    assert (await offered(reactor, tmp_path))[1] == BODY[:MIB]


async def test_a_part_that_came_between_is_left_alone(reactor: Any, tmp_path: Path) -> None:
    """It is somebody else's, and he knows nothing of notes."""

    def before(call: Call) -> None:
        if call.name == "link" and call.arguments[1].endswith(".part"):
            (tmp_path / "file.part").write_bytes(b"not ours")

    feed = await begun(reactor, tmp_path, Disk(before))
    feed_some(feed)
    await feed.rest(pieces(BODY[MIB:]))

    assert (tmp_path / "file").read_bytes() == BODY
    assert (tmp_path / "file.part").read_bytes() == b"not ours"
    assert names(tmp_path) == ["file", "file.part"]


# ---- strays


@pytest.mark.parametrize(
    "disk_before", [lambda call: None, without_unnamed_files().before], ids=["unnamed files", "none"]
)
async def test_nothing_that_a_download_is_at_work_on_is_a_stray(
    reactor: Any, tmp_path: Path, disk_before: Callable[[Call], object]
) -> None:
    """Neither is a note whose part is to come, nor a file that has a temporary name."""
    seen: set[str] = set()

    def before(call: Call) -> None:
        disk_before(call)
        if call.name in {"link", "rename", "writev"}:
            seen.update(names(tmp_path))
            assert [*strays(tmp_path)] == []
            forget(tmp_path / "file", lambda path: False)

    for part in (True, False):
        (tmp_path / "file").write_bytes(b"the one before")
        feed = Feed(reactor, ToFile("file", root=tmp_path, part=part, disk=Disk(before)))
        feed_some(feed)
        feed.consumer.rewind(HEAD)
        await feed.rest(pieces(BODY))

        assert (tmp_path / "file").read_bytes() == BODY
        assert names(tmp_path) == ["file"]
        assert ({"file.part", "file.part.json"} <= seen) is part
        assert any(name.endswith(".pulp-dl") for name in seen)
        seen.clear()


async def test_what_was_kept_can_be_taken_away(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB)
    assert [*noted(tmp_path)] == [tmp_path / "file"]

    forget(tmp_path / "file", lambda path: path.name == "file.part")
    assert names(tmp_path) == ["file.part"]
    await left_of(reactor, tmp_path / "other")
    forget(tmp_path / "other" / "file", lambda path: path.name == "file.part.json")
    assert names(tmp_path / "other") == ["file.part.json"]
    forget(tmp_path / "other" / "file", lambda path: False)
    assert names(tmp_path) == ["file.part"]


@pytest.mark.parametrize("kind", [Path.mkdir, os.mkfifo, Path.touch])
async def test_what_is_no_part_is_not_taken_away_with_its_note(
    reactor: Any, tmp_path: Path, kind: Callable[[Path], object]
) -> None:
    await broken_off(reactor, tmp_path, MIB)
    (tmp_path / "file.part").rename(tmp_path / "ours")
    kind(tmp_path / "file.part")
    forget(tmp_path / "file", lambda path: False)

    assert (tmp_path / "file.part").exists()
    assert not (tmp_path / "file.part.json").exists()


async def left_of(reactor: Any, directory: Path) -> None:
    directory.mkdir()
    await broken_off(reactor, directory, MIB)


# ---- the note


async def put_for_the_note(reactor: Any, directory: Path) -> None:
    """As another download would."""
    await Feed(reactor, ToFile("file.part.json", root=directory)).all([b"a file like any other"])


def text_of_note(directory: Path) -> bytes:
    return (directory / "file.part.json").read_bytes()


async def test_a_file_that_took_the_place_of_the_note_stays_when_the_download_ends(
    reactor: Any, tmp_path: Path
) -> None:
    feed = await begun(reactor, tmp_path, Disk())
    feed_some(feed)
    await put_for_the_note(reactor, tmp_path)
    await feed.rest(pieces(BODY[MIB:]))

    assert (tmp_path / "file").read_bytes() == BODY
    assert text_of_note(tmp_path) == b"a file like any other"


@pytest.mark.parametrize("why", [BROKEN, WRONG])
async def test_a_file_that_took_the_place_of_the_note_stays_when_the_download_fails(
    reactor: Any, tmp_path: Path, why: Failure
) -> None:
    """And the part goes: nobody could go on with it."""
    feed = await begun(reactor, tmp_path, Disk())
    feed_some(feed)
    await put_for_the_note(reactor, tmp_path)
    feed.consumer.unregisterProducer()
    feed.consumer.fail(why)

    assert names(tmp_path) == ["file.part.json"]
    assert text_of_note(tmp_path) == b"a file like any other"


async def test_a_file_that_took_the_place_of_the_note_is_not_written_over(reactor: Any, tmp_path: Path) -> None:
    feed = await begun(reactor, tmp_path, Disk())
    feed_some(feed)
    await put_for_the_note(reactor, tmp_path)
    feed.consumer.rewind(HEAD)
    await feed.rest(pieces(BODY))

    assert (tmp_path / "file").read_bytes() == BODY
    assert text_of_note(tmp_path) == b"a file like any other"


async def test_a_note_that_somebody_removed_is_not_missed(reactor: Any, tmp_path: Path) -> None:
    feed = await begun(reactor, tmp_path, Disk())
    feed_some(feed)
    (tmp_path / "file.part.json").unlink()
    await feed.rest(pieces(BODY[MIB:]))

    assert (tmp_path / "file").read_bytes() == BODY
    assert names(tmp_path) == ["file"]


async def test_a_note_that_was_written_anew_goes_with_its_part(reactor: Any, tmp_path: Path) -> None:
    feed = await begun(reactor, tmp_path, Disk())
    feed_some(feed)
    before = text_of_note(tmp_path)
    feed.consumer.rewind(head_of(BODY, HEAD.url))
    assert json.loads(text_of_note(tmp_path)) != json.loads(before)
    await feed.rest(pieces(BODY))

    assert names(tmp_path) == ["file"]


async def test_a_note_that_got_the_inode_of_a_lost_one_stays_with_its_part(reactor: Any, tmp_path: Path) -> None:
    """File systems give a new file the number of one that was just removed."""
    others: list[Feed] = []

    def before(call: Call) -> None:
        moved = first_disk.done.count("rename") and not others
        if moved and call.name in {"lstat", "unlink"} and str(call.arguments[0]).endswith(".part.json"):
            others.append(Feed(reactor, to_part(tmp_path)))
            others[0].consumer.kept()
            feed_some(others[0])

    first_disk = Disk(before)
    first = await begun(reactor, tmp_path, first_disk)
    first.begin(HEAD)
    await first.rest(pieces(BODY))

    assert {"file.part", "file.part.json"} <= set(names(tmp_path))
    await others[0].rest(pieces(BODY[MIB:]))
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == BODY
