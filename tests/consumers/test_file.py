"""A file is at its path whole, or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from pulp_dl.consumers.file import ToFile
from pulp_dl.errors import ConsumerFailed, Truncated
from pulp_dl.flow.workers import Workers
from pulp_dl.interfaces import IResumable, IRewindable, IWorkerUser
from pulp_dl.model.source import Head
from tests.consumers.disks import (
    DATA,
    KIB,
    MIB,
    Disk,
    Feed,
    head_of,
    impossible,
    names,
    pieces,
    without_unnamed_files,
)

SIZES = [0, 1, 64 * KIB, 64 * KIB + 1, 256 * KIB, MIB]
BROKEN = Failure(Truncated(1, 2))


# ---- whole


@pytest.mark.parametrize("disk", [Disk, without_unnamed_files])
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("size", SIZES)
async def test_the_body_is_at_the_path_and_nothing_else_is_left(
    reactor: Any, workers: Workers, tmp_path: Path, size: int, durable: bool, disk: Any
) -> None:
    path = tmp_path / "file"

    for data in (DATA[:size], DATA[:size][::-1]):  # where nothing was, and in place of what was there
        feed = Feed(reactor, ToFile(path, durable=durable, disk=disk()), workers)
        await feed.all(pieces(data))

        assert path.read_bytes() == data
        assert names(tmp_path) == ["file"]
        assert feed.gone == []


async def test_small_files_take_no_thread_when_nothing_is_to_be_synced(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    before = threading.active_count()

    feed = Feed(reactor, ToFile(tmp_path / "file", durable=False), workers)
    feed.begin(head_of(DATA[: 64 * KIB]))
    await feed.write(pieces(DATA[: 64 * KIB], KIB))
    ended = feed.finish()

    assert ended.called
    assert threading.active_count() == before
    assert (tmp_path / "file").read_bytes() == DATA[: 64 * KIB]


async def test_it_is_what_the_interfaces_say(tmp_path: Path) -> None:
    assert verifyObject(IRewindable, ToFile(tmp_path / "file"))
    assert verifyObject(IWorkerUser, ToFile(tmp_path / "file"))
    assert not IResumable.providedBy(ToFile(tmp_path / "file"))
    assert verifyObject(IResumable, ToFile(tmp_path / "file", part=True))


async def test_without_workers_it_works_alone(reactor: Any, tmp_path: Path) -> None:
    await Feed(reactor, ToFile(tmp_path / "file")).all([DATA])

    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("status", [304, 416])
async def test_an_answer_without_a_body_leaves_what_is_there(
    reactor: Any, workers: Workers, tmp_path: Path, status: int
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    await Feed(reactor, ToFile(tmp_path / "file"), workers).all([], Head("http://example.org/", status))
    await Feed(reactor, ToFile(tmp_path / "new"), workers).all([], Head("http://example.org/", status))

    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


async def test_a_relative_path_is_meant_from_where_it_was_given(
    reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    consumer = ToFile("file", durable=False)
    monkeypatch.chdir(tmp_path / "there")

    await Feed(reactor, consumer).all([b"data"])

    assert consumer.path == str(tmp_path / "here/file")
    assert names(tmp_path) == ["here/file"]


# ---- or not at all


@pytest.mark.parametrize("disk", [Disk, without_unnamed_files])
@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("why", [BROKEN, Failure(CancelledError())], ids=["error", "cancel"])
async def test_a_failure_leaves_what_was_there_and_nothing_else(
    reactor: Any, workers: Workers, tmp_path: Path, size: int, old: bytes | None, why: Failure, disk: Any
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    feed = Feed(reactor, ToFile(path, disk=disk()), workers)
    feed.begin(head_of(None))
    await feed.write(pieces(DATA[:size]))
    feed.consumer.unregisterProducer()

    feed.consumer.fail(why)
    await workers.close()

    assert (path.read_bytes() if path.exists() else None) == old
    assert names(tmp_path) == (["file"] if old is not None else [])


async def test_while_it_comes_nothing_has_a_name(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    feed = Feed(reactor, ToFile(tmp_path / "file"), workers)
    feed.begin(head_of(DATA * 2))
    await feed.write(pieces(DATA * 2))
    await workers.run(bool)

    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"
    await feed.finish()
    assert (tmp_path / "file").read_bytes() == DATA * 2


@given(st.lists(st.one_of(st.integers(0, 300_000), st.none()), max_size=8), st.booleans())
async def test_only_what_came_after_the_last_rewind_is_kept(
    reactor: Any, tmp_path_factory: pytest.TempPathFactory, steps: list[int | None], durable: bool
) -> None:
    directory = tmp_path_factory.mktemp("rewind")
    workers = Workers(reactor)
    feed = Feed(reactor, ToFile(directory / "file", durable=durable), workers)
    feed.begin(head_of(None))
    expected = b""
    for number, step in enumerate(steps):
        if step is None:
            feed.consumer.rewind(head_of(None))
            expected = b""
        else:
            piece = bytes([number]) * step
            expected += piece
            await feed.write([piece])

    await feed.finish()
    await workers.close()

    assert (directory / "file").read_bytes() == expected
    assert names(directory) == ["file"]


async def test_when_two_write_to_one_path_one_of_them_is_there_whole(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    bodies = [bytes([each]) * MIB for each in range(4)]

    await gatherResults(
        [Deferred.fromCoroutine(Feed(reactor, ToFile(tmp_path / "file"), workers).all(pieces(body))) for body in bodies]
    )

    assert (tmp_path / "file").read_bytes() in bodies
    assert names(tmp_path) == ["file"]


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_five_thousand_that_wait_hold_nothing(tmp_path: Path) -> None:
    before = descriptors()

    waiting = [ToFile(f"{number}", root=tmp_path, part=number % 2 == 0) for number in range(5000)]
    told = [each.gone() for each in waiting]

    assert descriptors() == before
    assert not any(each.called for each in told)
    assert names(tmp_path) == []


# ---- how it looks


@pytest.mark.parametrize("make", [Disk, without_unnamed_files])
@pytest.mark.parametrize("size", [10, MIB])
async def test_its_mode_is_what_the_umask_leaves_or_what_was_asked_for(
    reactor: Any, workers: Workers, tmp_path: Path, size: int, make: Any
) -> None:
    found: dict[int | None, int] = {}
    old = os.umask(0o027)
    try:
        for mode in (None, 0o600, 0o666, 0o755):
            path = tmp_path / f"{mode}"
            await Feed(reactor, ToFile(path, mode=mode, disk=make()), workers).all(pieces(DATA[:size]))
            found[mode] = stat.S_IMODE(path.stat().st_mode)
    finally:
        os.umask(old)

    assert found == {None: 0o640, 0o600: 0o600, 0o666: 0o666, 0o755: 0o755}


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1777, -1])
def test_a_mode_is_permissions_and_nothing_more(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ValueError, match="mode"):
        ToFile(tmp_path / "file", mode=mode)


@pytest.mark.parametrize("mode", ["0644", 6.0, True])
def test_a_mode_is_a_number(tmp_path: Path, mode: Any) -> None:
    with pytest.raises(TypeError, match=r"^mode: .* is no number; give one such as 0o644"):
        ToFile(tmp_path / "file", mode=mode)


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("size", [10, MIB])
async def test_its_time_is_that_of_last_modified_if_that_is_wanted(
    reactor: Any, workers: Workers, tmp_path: Path, size: int, part: bool
) -> None:
    head = head_of(size, Last_Modified="Sun, 06 Nov 1994 08:49:37 GMT")
    began = time.time()

    await Feed(reactor, ToFile(tmp_path / "kept", mtime=True, part=part), workers).all(pieces(DATA[:size]), head)
    await Feed(reactor, ToFile(tmp_path / "now", part=part), workers).all(pieces(DATA[:size]), head)
    await Feed(reactor, ToFile(tmp_path / "unknown", mtime=True), workers).all([b""], head_of(0, Last_Modified="?"))

    assert (tmp_path / "kept").stat().st_mtime == 784111777
    assert (tmp_path / "now").stat().st_mtime >= began - 1
    assert (tmp_path / "unknown").stat().st_mtime >= began - 1


# ---- what stands there


async def test_a_symlink_at_the_path_is_replaced_and_not_followed(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_bytes(b"not ours")
    (tmp_path / "directory").mkdir()
    for target in ("elsewhere", "nowhere", "directory", "loop"):
        link = tmp_path / "loop"
        link.unlink(missing_ok=True)
        link.symlink_to(target)

        await Feed(reactor, ToFile(link), workers).all(pieces(DATA))

        assert not link.is_symlink()
        assert link.read_bytes() == DATA
    assert (tmp_path / "elsewhere").read_bytes() == b"not ours"
    assert names(tmp_path) == ["elsewhere", "loop"]


async def test_what_cannot_be_is_told_before_a_byte_is_asked_for(reactor: Any, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_bytes(b"")

    for path, root, remedy in (
        (tmp_path / "missing/file", None, "does not exist; make it"),
        (tmp_path / "file/file", None, "a file is where a directory is needed"),
        (tmp_path / "directory", None, "a directory is there"),
        ("directory", tmp_path, "a directory is there"),
        ("file/file", tmp_path, "a file is where a directory is needed"),
        ("file/deep/file", tmp_path, "a file is where a directory is needed"),
        ("file", tmp_path / "missing", "does not exist; make it"),
        ("file", tmp_path / "file", "a file is where a directory is needed"),
    ):
        error = await impossible(reactor, ToFile(path, root=root))

        assert isinstance(error, ConsumerFailed)
        assert remedy in str(error)
        assert str(path) in str(error)
        assert isinstance(error.__cause__, OSError)
    assert names(tmp_path) == ["file"]


async def test_a_directory_that_is_made_in_the_meantime_is_found(reactor: Any, tmp_path: Path) -> None:
    """That it was missing is not remembered."""
    path = tmp_path / "later/file"
    assert isinstance(await impossible(reactor, ToFile(path)), ConsumerFailed)
    path.parent.mkdir()

    await Feed(reactor, ToFile(path)).all([b"data"])

    assert path.read_bytes() == b"data"


async def test_what_is_no_file_is_not_replaced(reactor: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)

    for path in (tmp_path / "pipe", tmp_path / "socket", Path(os.devnull)):
        error = await impossible(reactor, ToFile(path))

        assert isinstance(error, ConsumerFailed)
        assert str(error) == f"{str(path)!r}: a device, a pipe or a socket is there; give another path"
    assert Path(os.devnull).is_char_device()


async def test_the_way_is_looked_at_once_for_each_download(reactor: Any, tmp_path: Path) -> None:
    disk = Disk()
    consumer = ToFile(tmp_path / "file", disk=disk)

    await Feed(reactor, consumer).all([b"data"])
    Feed(reactor, consumer)

    looked = [each for each in disk.calls if each.name == "access" and not each.arguments[0].startswith("/proc")]
    assert len(looked) == 2


async def test_a_directory_that_comes_to_stand_there_meanwhile_fails_and_is_left_alone(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    for durable in (True, False):
        feed = Feed(reactor, ToFile(tmp_path / "file", durable=durable), workers)
        feed.begin(head_of(4))
        await feed.write([b"data"])
        (tmp_path / "file").mkdir()

        with pytest.raises(ConsumerFailed, match="a directory is there") as raised:
            await feed.finish()
        feed.consumer.fail(Failure(raised.value))
        await workers.close()

        assert names(tmp_path) == []
        (tmp_path / "file").rmdir()


AS_NOBODY = """
import os, sys
from twisted.python.failure import Failure
from pulp_dl.consumers.file import ToFile
from pulp_dl.model.source import Head
if os.geteuid() == 0:
    os.setegid(65534), os.seteuid(65534)
os.chdir("/")
for path, root in ((sys.argv[1] + "/locked/file", None), ("locked/file", sys.argv[1]), ("locked/a/b", sys.argv[1])):
    consumer = ToFile(path, root=root)
    consumer.gone().addCallback(lambda error: print(type(error).__name__, error))
"""


def test_a_directory_that_is_not_ours_is_told_before_a_byte_is_asked_for(tmp_path: Path) -> None:
    """In a process that may not do everything, as root may."""
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.getuid() and not above.stat().st_mode & stat.S_IXOTH:
            above.chmod(above.stat().st_mode | stat.S_IXOTH)
        if above.name.startswith("pytest-of-"):
            break

    said = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(tmp_path)], check=True, capture_output=True, text=True, timeout=20
    ).stdout.splitlines()

    assert len(said) == 3
    for line in said:
        assert line.startswith(f"ConsumerFailed '{locked}/")
        assert "we may not write there; give a directory that belongs to this user" in line


# ---- again


async def test_who_brings_the_next_body_is_not_paused_for_the_one_before(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    go_on = threading.Event()
    consumer = ToFile(tmp_path / "file", disk=Disk(lambda call: call.name == "writev" and not go_on.wait(10)))
    first = Feed(reactor, consumer, workers)
    first.begin(head_of(None))
    while not first.paused:
        consumer.write(DATA)
    consumer.unregisterProducer()
    consumer.fail(BROKEN)

    second = Feed(reactor, consumer, workers)
    second.begin(head_of(DATA))
    assert not second.paused
    go_on.set()
    await second.rest(pieces(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert names(tmp_path) == ["file"]
