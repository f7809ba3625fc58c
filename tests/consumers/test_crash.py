"""
Crash consistency: whatever a process or a machine has done of a download when it goes down, the path holds nothing, the
old file, or exactly the new one.  And so it does whichever call fails.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from twisted.internet.defer import maybeDeferred
from twisted.python.failure import Failure

from pulp_dl.consumers.file import ToFile
from pulp_dl.consumers.strays import strays
from pulp_dl.errors import ConsumerFailed, DownloadError
from tests.consumers.disks import DATA, KIB, head_of, names, pieces
from tests.consumers.recorded import Recording, crashes, failing_at

OLD = b"old" * 1000


def finish(consumer: ToFile) -> None:
    """Without workers it has ended when it returns."""
    ended: list[Any] = []
    maybeDeferred(consumer.finish).addBoth(ended.append)
    if isinstance(ended[0], Failure):
        ended[0].raiseException()


def plain(consumer: ToFile, data: bytes) -> None:
    """From the beginning to the end; without workers everything happens at once."""
    consumer.begin(head_of(data))
    for piece in pieces(data):
        consumer.write(piece)
    finish(consumer)


def rewound(consumer: ToFile, data: bytes) -> None:
    """The first body was another one."""
    consumer.begin(head_of(data))
    for piece in pieces(bytes(300 * KIB)):
        consumer.write(piece)
    consumer.rewind(head_of(data))
    for piece in pieces(data):
        consumer.write(piece)
    finish(consumer)


def broken_off(consumer: ToFile, data: bytes) -> None:
    """It fails."""
    consumer.begin(head_of(data))
    for piece in pieces(data[: len(data) // 2]):
        consumer.write(piece)
    consumer.fail(Failure(DownloadError("it broke off")))


def gone_on_with(consumer: ToFile, data: bytes) -> None:
    """An earlier run has left a part."""
    kept: list[Any] = []
    consumer.kept().addCallback(kept.append)
    (found,) = kept
    there = 0
    if found is not None:
        there = found.size
        assert b"".join(found.pieces()) == data[:there]
    consumer.begin(head_of(data))
    for piece in pieces(data[there:]):
        consumer.write(piece)
    finish(consumer)


def nameless(recording: Recording) -> Recording:
    """On a file system that knows no O_TMPFILE."""
    inner = recording.before

    def before(name: str, arguments: tuple[Any, ...]) -> None:
        inner(name, arguments)
        if name == "open" and arguments[1] & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    recording.before = before
    return recording


WAYS: list[tuple[Callable[[ToFile, bytes], None], dict[str, Any]]] = [
    (plain, {}),
    (rewound, {}),
    (broken_off, {}),
    (plain, {"part": True}),
    (rewound, {"part": True}),
    (broken_off, {"part": True}),
    (gone_on_with, {"part": True}),
]
IDS = [f"{way.__name__}{'-part' if options else ''}" for way, options in WAYS]


def begin(directory: Path, old: bool, way: Any, data: bytes) -> Path:
    """A directory as it was before; returns the path."""
    (directory / "a").mkdir(parents=True)
    path = directory / "a/file"
    if old:
        path.write_bytes(OLD)
    if way is gone_on_with:
        broken_off(ToFile("a/file", root=directory, part=True, durable=False), data)
    return path


def recorded(directory: Path, way: Any, options: dict[str, Any], data: bytes, unnamed: bool) -> Recording:
    disk = Recording() if unnamed else nameless(Recording())
    way(ToFile("a/file", root=directory, disk=disk, **options), data)
    return disk


def is_right(path: Path, old: bool, data: bytes) -> bool:
    if not path.exists():
        return not old
    found = path.read_bytes()
    return found == data or (old and found == OLD)


@pytest.mark.parametrize("powerless", [False, True], ids=["process", "machine"])
@pytest.mark.parametrize("unnamed", [True, False], ids=["tmpfile", "named"])
@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
@pytest.mark.parametrize(("way", "options"), WAYS, ids=IDS)
def test_whatever_reached_the_disk_the_path_holds_nothing_the_old_or_the_new_file(
    tmp_path: Path, way: Any, options: dict[str, Any], old: bool, unnamed: bool, powerless: bool
) -> None:
    data = DATA[: 520 * KIB]
    was, now = tmp_path / "was", tmp_path / "now"
    begin(was, old, way, data)
    disk = recorded(was, way, options, data, unnamed)

    states, whole = 0, 0
    path = begin(now, old, way, data)
    for state in crashes(disk.calls, was, now, powerless=powerless):
        states += 1
        assert is_right(path, old, data), state
        whole += path.exists() and path.read_bytes() == data
        rmtree(now)
        begin(now, old, way, data)

    assert states > 5
    assert bool(whole) is (way is not broken_off)


@pytest.mark.parametrize("way", [plain, rewound])
def test_what_was_finished_is_there_whatever_happens_afterwards(tmp_path: Path, way: Any) -> None:
    """It was synced, all of it."""
    data = DATA[: 520 * KIB]
    was, now = tmp_path / "was", tmp_path / "now"
    begin(was, True, way, data)
    disk = recorded(was, way, {}, data, True)
    done = len(disk.calls)

    path = begin(now, True, way, data)
    for state in crashes(disk.calls, was, now, powerless=True):
        if state.startswith(f"after {done} calls"):
            assert path.read_bytes() == data, state
        rmtree(now)
        begin(now, True, way, data)


ERRORS = [errno.EIO, errno.EDQUOT]


@pytest.mark.parametrize("error", ERRORS, ids=[errno.errorcode[each] for each in ERRORS])
@pytest.mark.parametrize("again", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("unnamed", [True, False], ids=["tmpfile", "named"])
@pytest.mark.parametrize(("way", "options"), WAYS, ids=IDS)
def test_whichever_call_fails_the_path_holds_what_it_did(
    tmp_path: Path, way: Any, options: dict[str, Any], unnamed: bool, again: bool, error: int
) -> None:
    """Or the new file, if only the very last step failed; and what is left has names that can be told."""
    data = DATA[: 520 * KIB]
    for step in count():
        directory = tmp_path / str(step)
        path = begin(directory, True, way, data)
        disk = failing_at(step, error, again=again)
        if not unnamed:
            nameless(disk)
        consumer = ToFile("a/file", root=directory, disk=disk, **options)
        told: list[Exception] = []
        consumer.gone().addCallback(told.append)
        try:
            way(consumer, data)
        except DownloadError as raised:
            assert isinstance(raised, ConsumerFailed)
            consumer.fail(Failure(raised))
        assert is_right(path, True, data), step
        allowed = {"a/file", "a/file.part", "a/file.part.json"} if options else {"a/file"}
        if {*names(directory)} - allowed:
            # Only what could not be unlinked is left, and it is known for what it is.
            unlinks = [each for each in disk.calls if each.name == "unlink" and each.failed]
            assert unlinks
            assert {*names(directory)} - allowed <= {str(each.relative_to(directory)) for each in strays(directory)}
        rmtree(directory)
        if len(disk.calls) <= step:
            break
    assert step > 5
