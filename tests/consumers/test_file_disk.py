"""What a disk is asked for, on which thread and in which order; and what it refuses."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from pulp_dl import Downloader
from pulp_dl.consumers.file import ToFile
from pulp_dl.errors import ConsumerFailed
from pulp_dl.flow.workers import MOST, Workers
from pulp_dl.testing import FaultServer, Repeat, Send, answer, response_head
from tests.consumers.disks import (
    DATA,
    KIB,
    MIB,
    Call,
    Disk,
    DiskWithoutProc,
    Feed,
    failing,
    head_of,
    names,
    order,
    pieces,
    without_unnamed_files,
)
from tests.needs import lacking
from tests.sinks import turn

SIZES = [0, 1, 64 * KIB, 64 * KIB + 1, 256 * KIB, MIB]


# ---- on the disk


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("make", [Disk, without_unnamed_files])
async def test_it_is_synced_before_it_has_its_name_and_its_directory_afterwards(
    reactor: Any, workers: Workers, tmp_path: Path, make: Any, there: bool
) -> None:
    disk = make()
    fails, kinds = disk.before, []

    def before(call: Call) -> None:
        fails(call)
        if call.name == "fsync":
            kinds.append(stat.S_IFMT(os.fstat(call.arguments[0]).st_mode))

    disk.before = before
    path = tmp_path / "file"
    if there:
        path.write_bytes(b"old")

    await Feed(reactor, ToFile(path, disk=disk), workers).all(pieces(DATA))

    assert kinds == [stat.S_IFREG, stat.S_IFDIR]
    steps = order(disk)
    first, last = steps.index("sync"), len(steps) - 1
    assert set(steps[:first]) == {"write"}
    assert set(steps[first + 1 : last]) == {"name"}
    assert steps[last] == "sync"


async def test_a_temporary_name_is_a_new_file_and_no_symlink(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    disk = without_unnamed_files()

    await Feed(reactor, ToFile(tmp_path / "file", disk=disk), workers).all([b"data"])

    made = [each.arguments[1] for each in disk.calls if each.name == "open" and each.arguments[1] & os.O_CREAT]
    assert len(made) == 1
    assert all(flags & os.O_EXCL and flags & os.O_NOFOLLOW for flags in made)


async def test_every_descriptor_is_closed_in_a_program_that_is_started(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    disks = [Disk(), without_unnamed_files(), Disk()]

    await Feed(reactor, ToFile("a/b", root=tmp_path, disk=disks[0]), workers).all(pieces(DATA))
    await Feed(reactor, ToFile(tmp_path / "file", disk=disks[1]), workers).all([b"data"])
    await Feed(reactor, ToFile(tmp_path / "file", part=True, disk=disks[2]), workers).all(pieces(DATA))

    opened = [each.arguments[1] for disk in disks for each in disk.calls if each.name == "open"]
    assert len(opened) > 6
    assert all(flags & os.O_CLOEXEC for flags in opened)


async def test_directories_that_are_made_are_synced_too(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    disk = Disk()

    await Feed(reactor, ToFile("a/b/file", root=tmp_path, disk=disk), workers).all([b"data"])

    assert order(disk) == ["mkdir", "sync", "mkdir", "sync", "write", "sync", "name", "sync"]


async def test_nothing_is_synced_when_it_need_not_be_durable(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    disk = Disk()

    await Feed(reactor, ToFile("a/b/file", root=tmp_path, durable=False, disk=disk), workers).all(pieces(DATA))
    await Feed(reactor, ToFile("a/b/small", root=tmp_path, durable=False, disk=disk), workers).all([b"data"])

    assert "fsync" not in disk.done


async def test_the_reactor_thread_never_syncs_and_never_writes_more_than_64_kib(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    disk = Disk()

    for durable in (True, False):
        for size in SIZES:
            feed = Feed(reactor, ToFile(tmp_path / f"{size}{durable}", durable=durable, disk=disk), workers)
            await feed.all(pieces(DATA[:size]))

    here = [each for each in disk.calls if each.thread is threading.main_thread()]
    assert "writev" in {each.name for each in here}, "small ones are written here"
    assert not {"fsync", "ftruncate"} & {each.name for each in here}
    assert max(each.size for each in here) == 64 * KIB
    assert max(each.size for each in disk.calls) <= MIB + 64 * KIB


@pytest.mark.limit(30)
async def test_a_slow_disk_stops_the_producer_and_not_the_reactor(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    may_write = threading.Semaphore(0)
    taken = written = 0

    def slow(call: Call) -> None:
        nonlocal written
        if call.name == "writev":
            assert may_write.acquire(timeout=10), "the reactor does not turn while the disk is busy"
            written += call.size

    feed = Feed(reactor, ToFile(tmp_path / "file", disk=Disk(slow)), workers)
    feed.begin(head_of(None))
    for _ in range(10):
        while not feed.paused:
            feed.consumer.write(DATA[: 64 * KIB])
            taken += 64 * KIB
            assert taken - written <= MOST + 2 * MIB
        assert taken - written >= MOST - MIB
        while feed.paused:  # as long as it takes; one more piece at each turn of the reactor
            may_write.release()
            await deferLater(reactor, 0.01, bool)

    may_write.release(1000)
    await feed.write(pieces(DATA) * 50)
    await feed.finish()

    assert (tmp_path / "file").stat().st_size == taken + 50 * MIB


# ---- what fails


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize(
    ("operation", "size"),
    [
        ("open", 10),
        ("open", MIB),
        ("writev", 10),
        ("writev", MIB),
        ("fsync", 10),
        ("link", 10),
        ("link", MIB),
        ("fchmod", 10),
    ],
)
async def test_whatever_fails_on_the_disk_is_a_consumer_failed_that_leaves_nothing(
    reactor: Any, workers: Workers, tmp_path: Path, operation: str, size: int, code: int, durable: bool
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    consumer = ToFile(tmp_path / "file", mode=0o644, durable=durable, disk=failing(code, operation))
    feed = Feed(reactor, consumer, workers)
    feed.begin(head_of(size))

    if operation == "fsync" and not durable:
        await feed.rest(pieces(DATA[:size]))
        assert (tmp_path / "file").read_bytes() == DATA[:size]
        return
    with pytest.raises(ConsumerFailed) as raised:
        await feed.rest(pieces(DATA[:size]))
    consumer.fail(Failure(raised.value))
    await workers.close()

    assert str(tmp_path / "file") in str(raised.value)
    assert isinstance(raised.value.__cause__, OSError)
    assert raised.value.__cause__.errno == code
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("operation", ["rename", "close"])
async def test_so_is_what_fails_at_the_very_end_on_a_file_system_without_unnamed_files(
    reactor: Any, workers: Workers, tmp_path: Path, operation: str
) -> None:
    disk = without_unnamed_files()
    unnamed = disk.before

    def before(call: Call) -> None:
        unnamed(call)
        if call.name == operation:
            if operation == "close":
                os.close(call.arguments[0])
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    disk.before = before
    feed = Feed(reactor, ToFile(tmp_path / "file", disk=disk), workers)
    with pytest.raises(ConsumerFailed, match="the quota is used up; make room there") as raised:
        await feed.all([b"data"])
    feed.consumer.fail(Failure(raised.value))
    await workers.close()

    assert names(tmp_path) == []


async def test_a_disk_that_fails_while_bytes_flow_is_told_at_once(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    consumer = ToFile(tmp_path / "file", disk=failing(errno.EIO, "writev", after=1))
    feed = Feed(reactor, consumer, workers)
    feed.begin(head_of(None))

    with pytest.raises(ConsumerFailed):
        await feed.write(pieces(DATA) * 100)

    assert [type(each) for each in feed.gone] == [ConsumerFailed]
    with pytest.raises(ConsumerFailed):
        consumer.write(DATA)
    consumer.unregisterProducer()
    consumer.fail(Failure(feed.gone[0]))


def mount(directory: Path, options: str) -> bool:
    """A new file system there; False if we may not."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture(params=["disk", "limit"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory in which no file can have more than 512 KiB: a small disk, or a limit."""
    mounted = request.param == "disk" and mount(tmp_path, "size=512k")
    if request.param == "disk" and not mounted:
        lacking("no file system may be mounted here")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512 * KIB, before[1]))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if mounted:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("part", [True, False])
async def test_a_full_disk_ends_the_download_and_leaves_what_was_there(
    reactor: Any, workers: Workers, room: Path, durable: bool, part: bool
) -> None:
    (room / "file").write_bytes(b"old")
    feed = Feed(reactor, ToFile(room / "file", durable=durable, part=part), workers)
    feed.begin(head_of(10 * MIB))

    with pytest.raises(ConsumerFailed, match=r"make room there|raise the limit") as raised:
        await feed.rest(pieces(DATA) * 10)
    feed.consumer.unregisterProducer()
    feed.consumer.fail(Failure(raised.value))
    await workers.close()

    assert (room / "file").read_bytes() == b"old"
    assert [each for each in names(room) if ".part" not in each] == ["file"]
    if part and isinstance(raised.value.__cause__, OSError) and raised.value.__cause__.errno == errno.ENOSPC:
        assert 0 < (room / "file.part").stat().st_size <= 512 * KIB
    else:
        assert names(room) == ["file"]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_full_disk_ends_the_connection_at_once_and_is_no_reason_to_try_again(
    reactor: Any, room: Path, framing: Any
) -> None:
    (room / "file").write_bytes(b"old")
    endless = [Send(response_head(200)), Repeat(Send(DATA))]
    script = endless if framing == "close" else answer(DATA * 20, framing=framing)
    async with FaultServer(reactor, script) as server, Downloader(reactor) as downloader:
        with pytest.raises(ConsumerFailed, match=r"make room there|raise the limit"):
            await downloader.download(server.url("/f"), ToFile(room / "file"))
        await turn(reactor)

        assert server.connections.open == 0
        assert len(server.requests) == 1
    assert names(room) == ["file"]
    assert (room / "file").read_bytes() == b"old"


@pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("operation", ["open", "writev", "fsync", "link"])
async def test_so_does_one_that_is_broken(reactor: Any, tmp_path: Path, operation: str, code: int) -> None:
    to_write = os.O_WRONLY | os.O_RDWR
    broken = failing(code, operation, when=lambda call: operation != "open" or call.arguments[1] & to_write)
    async with FaultServer(reactor, answer(DATA * 4)) as server, Downloader(reactor) as downloader:
        with pytest.raises(ConsumerFailed) as raised:
            await downloader.download(server.url("/f"), ToFile(tmp_path / "file", disk=broken))

        assert isinstance(raised.value.__cause__, OSError)
        assert raised.value.__cause__.errno == code
        assert len(server.requests) == 1
    assert names(tmp_path) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Disk]:
    """A disk that is read-only, or says so where nobody may mount one."""
    mounted = mount(tmp_path, "ro")
    yield Disk() if mounted else failing(errno.EROFS, "open")
    if mounted:
        subprocess.run(["umount", str(tmp_path)], check=True)


async def test_a_read_only_file_system_is_named(reactor: Any, read_only: Disk, tmp_path: Path) -> None:
    feed = Feed(reactor, ToFile(tmp_path / "file", disk=read_only))

    with pytest.raises(ConsumerFailed, match="the file system is read-only; give another directory") as raised:
        await feed.all([b"data"])
    feed.consumer.fail(Failure(raised.value))

    assert names(tmp_path) == []


async def test_what_is_no_error_of_the_disk_is_told_as_a_failure_too(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    def confused(call: Call) -> None:
        if call.name == "writev":
            raise ZeroDivisionError("surprise")

    feed = Feed(reactor, ToFile(tmp_path / "file", disk=Disk(confused)), workers)
    feed.begin(head_of(None))
    with pytest.raises(ConsumerFailed, match="surprise"):
        await feed.write(pieces(DATA) * 100)
    feed.consumer.unregisterProducer()
    feed.consumer.fail(Failure(feed.gone[0]))


async def test_a_write_that_is_cut_short_by_the_system_is_gone_on_with(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    class Short(Disk):
        def writev(self, fd: int, buffers: list[bytes]) -> int:
            return os.write(fd, b"".join(buffers)[:1000])

        def write(self, fd: int, data: bytes) -> int:
            return os.write(fd, data[:10_000])

    await Feed(reactor, ToFile(tmp_path / "file", disk=Short()), workers).all(pieces(DATA))

    assert (tmp_path / "file").read_bytes() == DATA


async def test_a_body_in_thousands_of_pieces_is_written_whole(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    data = DATA[:5000]

    for durable in (True, False):
        await Feed(reactor, ToFile(tmp_path / "file", durable=durable), workers).all(pieces(data, 1))
        assert (tmp_path / "file").read_bytes() == data


@pytest.mark.parametrize("options", [{}, {"part": True}, {"durable": False}], ids=["plain", "part", "not durable"])
@pytest.mark.parametrize("size", [10, MIB])
@pytest.mark.parametrize("before", [None, b"old"])
async def test_without_proc_a_file_comes_by_way_of_a_temporary_name(
    reactor: Any, tmp_path: Path, before: bytes | None, size: int, options: dict[str, Any]
) -> None:
    """What has no name could not be given one."""
    if before is not None:
        (tmp_path / "file").write_bytes(before)
    await Feed(reactor, ToFile(tmp_path / "file", disk=DiskWithoutProc(), **options)).all(pieces(DATA[:size]))

    assert (tmp_path / "file").read_bytes() == DATA[:size]
    assert names(tmp_path) == ["file"]
