"""No path leads out of its root: not by its spelling, not by a symlink, not by one that is put there later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.python.failure import Failure

from pulp_dl.consumers.file import ToFile
from pulp_dl.errors import DownloadError, Refused
from pulp_dl.flow.workers import Workers
from tests.consumers.disks import DATA, MIB, Call, Disk, Feed, head_of, impossible, names, pieces

INSIDE = [
    "file",
    "a/file",
    "./file",
    "a//b/./file",
    "~",
    "~root/file",
    "..file",
    "a/...",
    "a\\..\\b",
    "\u00e9/\u2028",
    "-rf",
]
OUTSIDE = ["../file", "a/../../file", "a/../file", "..", "/etc/passwd", "//etc/passwd", "a/..", "/", "/../file"]
NO_FILES = ["", ".", "a/", "a/.", "a/b//"]
NO_NAMES = ["a\0b", "file\0", "\0", "\ud800", ".x.0123456789abcdef.pulp-dl", "a/x.pulp-dl"]


@pytest.mark.parametrize("path", INSIDE)
async def test_what_stays_inside_is_written_there(reactor: Any, tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()

    await Feed(reactor, ToFile(path, root=root)).all([b"data"])
    await Feed(reactor, ToFile(f"{root}/{path}", root=root)).all([b"again"])

    assert (root / path).read_bytes() == b"again"
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize("path", OUTSIDE + NO_FILES + NO_NAMES)
async def test_what_does_not_is_refused_before_a_byte_is_asked_for(reactor: Any, tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()

    error = await impossible(reactor, ToFile(path, root=root))

    assert isinstance(error, Refused)
    assert ascii(path)[1:-1] in ascii(str(error)).replace("\\\\", "\\")
    assert names(tmp_path) == []


@pytest.mark.parametrize("path", NO_FILES + NO_NAMES)
async def test_without_a_root_it_still_has_to_name_a_file(reactor: Any, path: str) -> None:
    assert isinstance(await impossible(reactor, ToFile(path)), Refused)


async def test_absolute_paths_have_to_begin_with_the_root_and_not_only_with_its_letters(
    reactor: Any, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "rooted").mkdir()

    assert isinstance(await impossible(reactor, ToFile(tmp_path / "rooted/file", root=tmp_path / "root")), Refused)
    for root in (
        f"{tmp_path}/root/",
        f"{tmp_path}/./root",
        f"{tmp_path}/rooted/../root",
        os.fsencode(tmp_path / "root"),
    ):
        await Feed(reactor, ToFile(tmp_path / "root/file", root=root, durable=False)).all([b"data"])
    assert names(tmp_path) == ["root/file"]


async def test_the_root_may_be_that_of_the_system_or_the_current_directory(
    reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    await Feed(reactor, ToFile(tmp_path / "a", root="/")).all([b"data"])
    await Feed(reactor, ToFile(f"{tmp_path}/b".lstrip("/"), root="/")).all([b"data"])
    await Feed(reactor, ToFile("c", root="")).all([b"data"])
    await Feed(reactor, ToFile("d/e", root=".")).all([b"data"])

    assert names(tmp_path) == ["a", "b", "c", "d/e"]


PARTS = st.sampled_from(["..", ".", "", "a", "b", "link", "file", "root", "..a", "\0", "x.pulp-dl", "~"])


@given(st.lists(PARTS, min_size=1, max_size=6), st.sampled_from(["", "/", "{root}/", "{root}", "{root}/../"]))
@example(["link", "file"], "")
async def test_whatever_the_path_nothing_outside_of_the_root_changes(
    reactor: Any, tmp_path_factory: pytest.TempPathFactory, parts: list[str], begin: str
) -> None:
    place = tmp_path_factory.mktemp("place")
    root = place / "root"
    (root / "a").mkdir(parents=True)
    (place / "out").mkdir()
    (root / "link").symlink_to(place / "out")
    (root / "a/b").symlink_to("../..")
    (place / "file").write_bytes(b"not ours")
    feed = Feed(reactor, ToFile(begin.format(root=root) + "/".join(parts), root=root, durable=False))

    try:
        await feed.all([b"data"])
    except DownloadError as error:
        feed.consumer.fail(Failure(error))

    assert (place / "file").read_bytes() == b"not ours"
    assert [each for each in names(place) if not each.startswith("root/")] == ["file"]


@pytest.mark.parametrize("path", ["link/file", "link/deep/file", "a/link/file"])
@pytest.mark.parametrize("target", ["out", "missing", "a"])
async def test_a_parent_that_is_a_symlink_is_refused_wherever_it_leads(
    reactor: Any, tmp_path: Path, path: str, target: str
) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    to = root / "a" if target == "a" else tmp_path / target
    (root / "link").symlink_to(to)
    (root / "a/link").symlink_to(to)

    error = await impossible(reactor, ToFile(path, root=root))

    assert isinstance(error, Refused)
    assert "'link' is a symlink" in str(error)


@pytest.mark.parametrize("size", [10, MIB])
@pytest.mark.parametrize("durable", [True, False])
async def test_a_parent_that_becomes_a_symlink_after_the_check_is_refused(
    reactor: Any, workers: Workers, tmp_path: Path, durable: bool, size: int
) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    feed = Feed(reactor, ToFile("a/file", root=tmp_path / "root", durable=durable), workers)
    feed.begin(head_of(size))
    (tmp_path / "root/a").rmdir()
    (tmp_path / "root/a").symlink_to(tmp_path / "out")

    with pytest.raises(Refused, match="'a' is a symlink") as raised:
        await feed.rest(pieces(DATA[:size]))
    feed.consumer.fail(Failure(raised.value))
    await workers.close()

    assert names(tmp_path / "out") == []


async def test_a_parent_that_becomes_a_symlink_while_bytes_come_changes_nothing(reactor: Any, tmp_path: Path) -> None:
    """The directory that was opened is the one that the file comes to, wherever that is now."""
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    feed = Feed(reactor, ToFile("a/file", root=tmp_path / "root"))
    feed.begin(head_of(DATA))
    await feed.write(pieces(DATA))
    (tmp_path / "root/a").rename(tmp_path / "root/moved")
    (tmp_path / "root/a").symlink_to(tmp_path / "out")

    await feed.finish()

    assert names(tmp_path) == ["root/moved/file"]


async def test_missing_directories_are_made_below_the_root_and_only_there(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    await Feed(reactor, ToFile("a/b/c/file", root=tmp_path), workers).all([b"data"])
    await Feed(reactor, ToFile("a/b/d/file", root=tmp_path, durable=False), workers).all([b"data"])
    error = await impossible(reactor, ToFile(tmp_path / "x/file"))

    assert names(tmp_path) == ["a/b/c/file", "a/b/d/file"]
    assert "does not exist" in str(error)


async def test_two_that_need_the_same_new_directory_do_not_disturb_each_other(reactor: Any, tmp_path: Path) -> None:
    def somebody_else(call: Call) -> None:
        if call.name == "mkdir":
            os.mkdir(*call.arguments, **call.options)  # by descriptor, as it is about to be made

    await Feed(reactor, ToFile("a/b/file", root=tmp_path, disk=Disk(somebody_else))).all([b"data"])

    assert names(tmp_path) == ["a/b/file"]


async def test_names_that_are_no_utf_8_are_names(reactor: Any, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe"

    await Feed(reactor, ToFile(path)).all([b"data"])
    await Feed(reactor, ToFile(b"\xfd", root=tmp_path)).all([b"data"])

    assert sorted(map(os.fsencode, names(tmp_path))) == [b"\xfd", b"\xff\xfe"]


async def test_a_name_that_is_too_long_is_told_with_the_remedy(reactor: Any, tmp_path: Path) -> None:
    for durable in (True, False):
        feed = Feed(reactor, ToFile("x" * 256, root=tmp_path, durable=durable))
        with pytest.raises(DownloadError, match=r"too long.*give a shorter one") as raised:
            await feed.all([b"data"])
        feed.consumer.fail(Failure(raised.value))
    await Feed(reactor, ToFile("y" * 255, root=tmp_path)).all([b"data"])
    await Feed(reactor, ToFile("y" * 255, root=tmp_path)).all([b"again"])

    assert names(tmp_path) == ["y" * 255]
