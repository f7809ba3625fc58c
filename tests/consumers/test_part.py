"""What came before a failure or a kill is offered again, and only what is surely the beginning of that file."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from pulp_dl.consumers.file import ToFile
from pulp_dl.consumers.part import PartFile
from pulp_dl.consumers.root import Place
from pulp_dl.consumers.strays import strays
from pulp_dl.errors import ConsumerFailed, DigestMismatch, SizeMismatch, TooLarge
from pulp_dl.flow.workers import Workers
from pulp_dl.model.fingerprint import fingerprint
from pulp_dl.model.source import Head, Span, Validators
from tests.consumers.disks import DATA, KIB, MIB, Call, Disk, Feed, head_of, names, order, pieces, without_unnamed_files
from tests.consumers.parts import BODY, BROKEN, HEAD, broken_off, offered, to_part


@pytest.mark.parametrize("disk", [Disk, without_unnamed_files])
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("why", [BROKEN, Failure(CancelledError())], ids=["error", "cancel"])
async def test_a_download_goes_on_where_another_one_broke_off(
    reactor: Any, workers: Workers, tmp_path: Path, why: Failure, durable: bool, disk: Any
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    await broken_off(reactor, tmp_path, MIB, why, durable=durable, disk=disk())
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file", "file.part", "file.part.json"]

    feed = Feed(reactor, to_part(tmp_path, durable=durable), workers)
    kept = await feed.consumer.kept()

    assert kept is not None
    assert kept.size == MIB
    assert kept.head.validators == Validators(b'"1"', b"then", b"now")
    assert (kept.head.status, kept.head.length, kept.head.total) == (200, len(BODY), len(BODY))
    assert kept.head.url == fingerprint(HEAD.url)
    assert b"".join(await workers.run(lambda: list(kept.pieces()))) == BODY[:MIB]
    feed.begin(kept.head)
    await feed.rest(pieces(BODY[kept.size :]))
    assert (tmp_path / "file").read_bytes() == BODY
    assert names(tmp_path) == ["file"]


async def test_promise_10_who_was_not_asked_what_is_kept_looks_for_it_in_a_thread(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    """Somebody else may have the part, and then it is waited for; a part of a file, for one, is not asked for that."""
    feed = Feed(reactor, to_part(tmp_path, durable=False), workers)
    feed.begin(head_of(b"small"))
    feed.consumer.write(b"small")
    ending = feed.finish()
    assert not ending.called
    await ending
    assert (tmp_path / "file").read_bytes() == b"small"


@pytest.mark.parametrize("rest", [BODY, b"small"])
async def test_what_was_kept_can_be_forgotten(reactor: Any, workers: Workers, tmp_path: Path, rest: bytes) -> None:
    await broken_off(reactor, tmp_path, MIB)
    feed = Feed(reactor, to_part(tmp_path), workers)
    assert await feed.consumer.kept() is not None

    feed.begin(HEAD)
    feed.consumer.rewind(head_of(rest))
    await feed.rest(pieces(rest[::-1]))

    assert (tmp_path / "file").read_bytes() == rest[::-1]
    assert names(tmp_path) == ["file"]


async def test_of_a_body_that_was_begun_again_nothing_but_the_new_bytes_and_their_head_are_kept(
    reactor: Any, tmp_path: Path
) -> None:
    for size in (MIB, 0):
        feed = Feed(reactor, to_part(tmp_path))
        feed.begin(HEAD)
        await feed.write(pieces(BODY))
        feed.consumer.rewind(head_of(BODY[::-1], "http://example.net/", ETag='"2"'))
        await feed.write(pieces(BODY[::-1][:size]))
        feed.consumer.fail(BROKEN)

        if size:
            kept, data = await offered(reactor, tmp_path)
            assert kept is not None
            assert data == BODY[::-1][:MIB]
            assert kept.head.etag == b'"2"'
            assert kept.head.url == fingerprint("http://example.net/")
        else:
            assert names(tmp_path) == []


@pytest.mark.parametrize("size", [10, MIB])
async def test_who_does_not_ask_begins_anew(reactor: Any, workers: Workers, tmp_path: Path, size: int) -> None:
    await broken_off(reactor, tmp_path, MIB)

    feed = Feed(reactor, to_part(tmp_path), workers)
    await feed.all(pieces(BODY[:size]))

    assert (tmp_path / "file").read_bytes() == BODY[:size]
    assert names(tmp_path) == ["file"]


@given(st.lists(st.tuples(st.integers(0, 700_000), st.booleans(), st.booleans()), max_size=5), st.booleans())
async def test_however_often_it_breaks_off_what_is_kept_is_how_the_body_begins(
    reactor: Any, tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, bool, bool]], durable: bool
) -> None:
    directory = tmp_path_factory.mktemp("runs")
    for number, (size, anew, mismatch) in enumerate([*runs, (len(BODY), False, False)]):
        last = number == len(runs)
        workers = Workers(reactor)
        feed = Feed(reactor, to_part(directory, durable=durable), workers)
        kept = await feed.consumer.kept()
        there = 0
        if kept is not None:
            there = kept.size
            assert b"".join(kept.pieces()) == BODY[:there]
        feed.begin(HEAD)
        if anew:
            feed.consumer.rewind(HEAD)
            there = 0
        await feed.write(pieces(BODY[there : there + size]))
        if last:
            await feed.finish()
        else:
            feed.consumer.unregisterProducer()
            feed.consumer.fail(Failure(SizeMismatch("size", 1, 2)) if mismatch else BROKEN)
        await workers.close()
        if mismatch:
            assert names(directory) == []

    assert (directory / "file").read_bytes() == BODY
    assert names(directory) == ["file"]


@pytest.mark.parametrize(
    "why", [DigestMismatch("sha256", "a", "b"), SizeMismatch("size", 1, 2), TooLarge(1)], ids=["digest", "size", "much"]
)
async def test_bytes_that_turned_out_wrong_are_not_kept(reactor: Any, tmp_path: Path, why: Exception) -> None:
    await broken_off(reactor, tmp_path, MIB, Failure(why))

    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "head",
    [
        Head("http://example.org/file", 206, (), MIB, Span(0, MIB), len(BODY)),
        Head("http://example.org/file", 200, (), MIB - 1, None, MIB - 1),
    ],
    ids=["a part", "longer than it says"],
)
async def test_what_is_no_beginning_of_a_file_is_not_kept(reactor: Any, tmp_path: Path, head: Head) -> None:
    await broken_off(reactor, tmp_path, MIB, head=head)

    assert names(tmp_path) == []


async def test_nothing_is_kept_of_a_body_of_which_nothing_came(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, 0)

    assert names(tmp_path) == []
    assert await offered(reactor, tmp_path) == (None, b"")


@pytest.mark.parametrize("size", [1, 10, 256 * 1024 - 1, 256 * 1024 + 1, MIB - 1])
async def test_what_came_is_kept_to_the_last_byte_however_little(reactor: Any, tmp_path: Path, size: int) -> None:
    await broken_off(reactor, tmp_path, size)

    assert names(tmp_path) == ["file.part", "file.part.json"]
    assert (await offered(reactor, tmp_path))[1] == BODY[:size]


async def test_a_small_body_comes_to_its_path_without_a_part(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    for durable in (True, False):
        disk = Disk()
        feed = Feed(reactor, to_part(tmp_path, durable=durable, disk=disk), workers)
        assert await feed.consumer.kept() is None
        await feed.all([b"data"])

        assert not [each for each in disk.calls if each.arguments[:1] in {("file.part",), ("file.part.json",)}]
    assert names(tmp_path) == ["file"]


async def test_no_secret_of_the_url_or_the_head_comes_to_the_disk(reactor: Any, tmp_path: Path) -> None:
    secrets = ["hunter2", "AKIA123", "s3cr3t", "secret=1", "example.org"]
    url = "http://user:hunter2@example.org/file?X-Amz-Signature=AKIA123&k=s3cr3t"

    await broken_off(reactor, tmp_path, MIB, head=Head(url, 200, HEAD.headers, len(BODY), None, len(BODY)))

    note = (tmp_path / "file.part.json").read_text()
    assert fingerprint(url) in note
    assert [each for each in secrets if each in note] == []
    assert stat.S_IMODE((tmp_path / "file.part.json").stat().st_mode) == 0o600


def test_a_fingerprint_tells_places_apart_but_not_signatures() -> None:
    url = "https://example.org/a?file=1&signature=abc"

    assert fingerprint(url) == fingerprint("https://example.org/a?file=1&signature=def")
    assert fingerprint(url) == fingerprint("https://me:pw@example.org/a?file=1&signature=abc")
    assert fingerprint(url) != fingerprint("https://example.org/a?file=2&signature=abc")
    assert fingerprint(url) != fingerprint("https://example.net/a?file=1&signature=abc")
    assert fingerprint(fingerprint(url)) == fingerprint(url)


@pytest.mark.parametrize(("code", "left"), [(errno.ENOSPC, ["file.part", "file.part.json"]), (errno.EIO, [])])
async def test_what_waits_for_the_disk_when_it_breaks_off_is_kept_if_the_disk_takes_it(
    reactor: Any, workers: Workers, tmp_path: Path, code: int, left: list[str]
) -> None:
    for fails in (False, True):
        go_on = threading.Event()
        written = 0

        def before(call: Call, go_on: threading.Event = go_on, fails: bool = fails) -> None:
            nonlocal written
            if call.name == "writev":
                assert go_on.wait(5)
                written += 1
                if fails and written == 2:
                    raise OSError(code, os.strerror(code))

        feed = Feed(reactor, to_part(tmp_path, disk=Disk(before)), workers)
        feed.begin(HEAD)
        await feed.write(pieces(BODY[:MIB]))
        feed.consumer.unregisterProducer()

        feed.consumer.fail(BROKEN)
        go_on.set()
        await workers.close()

        assert names(tmp_path) == (left if fails else ["file.part", "file.part.json"])
        assert len((await offered(reactor, tmp_path))[1]) == (0 if not names(tmp_path) else MIB // 4 if fails else MIB)
        assert feed.gone == []


# ---- a machine that went down


async def test_after_a_restart_of_the_machine_only_what_was_synced_is_offered(reactor: Any, tmp_path: Path) -> None:
    for synced, size in ((0, 0), (1000, 1000), (10 * MIB, MIB)):
        await broken_off(reactor, tmp_path, MIB)
        note = json.loads((tmp_path / "file.part.json").read_text())
        (tmp_path / "file.part.json").write_text(json.dumps(note | {"boot": "another", "synced": synced}))

        kept, data = await offered(reactor, tmp_path)

        assert (0 if kept is None else kept.size) == size
        assert data == BODY[:size]
        if size:
            # What is added from now on is of this boot.
            feed = Feed(reactor, to_part(tmp_path))
            await feed.consumer.kept()
            feed.begin(HEAD)
            await feed.write([BODY[size:MIB]])
            feed.consumer.fail(BROKEN)
            assert (await offered(reactor, tmp_path))[1] == BODY[:MIB]
        feed = Feed(reactor, to_part(tmp_path))
        await feed.consumer.kept()
        feed.begin(HEAD)
        feed.consumer.fail(Failure(TooLarge(1)))
        assert names(tmp_path) == []


async def test_the_note_is_on_the_disk_before_a_byte_is(reactor: Any, tmp_path: Path) -> None:
    disk = Disk()

    await Feed(reactor, to_part(tmp_path, disk=disk)).all(pieces(BODY[: 512 * KIB]))

    note = ["write", "sync", "name"]
    assert order(disk) == [*note, "name", "sync", "write", "write", "sync", "name", "sync"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_large_file_is_synced_and_noted_every_256_mib(tmp_path: Path, durable: bool) -> None:
    class Bottomless(Disk):
        def writev(self, fd: int, buffers: list[bytes]) -> int:
            self.calls.append(None)  # type: ignore[arg-type]  # between the others
            return sum(map(len, buffers))

    disk = Bottomless()
    file = PartFile(Place(str(tmp_path), (), "file"), durable=durable, disk=disk)
    file.open(HEAD)
    del disk.calls[:]
    noted = []
    for number in range(600):
        file.write([DATA])
        if disk.calls[-1] is not None:
            noted.append((number + 1, json.loads((tmp_path / "file.part.json").read_text())["synced"]))
            done = [each.name for each in disk.calls if each is not None]
            assert done.index("fsync") < done.index("rename"), "the bytes first, then what is said of them"
            del disk.calls[:]
    file.discard()

    assert noted == ([(256, 256 * MIB), (512, 512 * MIB)] if durable else [])
    assert names(tmp_path) == []


# ---- two at once


async def test_a_part_is_written_to_by_one_download_only(reactor: Any, tmp_path: Path) -> None:
    first = Feed(reactor, to_part(tmp_path))
    first.begin(HEAD)
    await first.write(pieces(BODY[:MIB]))

    second = Feed(reactor, to_part(tmp_path))
    assert await second.consumer.kept() is None
    assert [str(each) for each in second.gone] == [
        f"'{tmp_path}/file.part': another download is writing to it; wait for its end"
    ]
    second.consumer.fail(Failure(second.gone[0]))

    await first.rest(pieces(BODY[MIB:]))
    assert (tmp_path / "file").read_bytes() == BODY
    assert names(tmp_path) == ["file"]


async def test_who_asks_right_after_a_failure_waits_until_the_part_is_let_go(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    go_on = threading.Event()
    slow = Disk(lambda call: call.name != "writev" or go_on.wait(5))
    first = Feed(reactor, to_part(tmp_path, disk=slow), workers)
    first.begin(HEAD)
    await first.write(pieces(BODY[:MIB]))
    first.consumer.unregisterProducer()
    while "writev" not in slow.done:  # so it has the part
        await deferLater(reactor, 0.001, bool)
    disk = Disk()
    second = Feed(reactor, to_part(tmp_path, disk=disk), workers)

    first.consumer.fail(BROKEN)
    asking = second.consumer.kept()
    while "open" not in disk.done:
        await deferLater(reactor, 0.001, bool)
    go_on.set()
    kept = await asking

    assert second.gone == []
    assert kept is not None
    assert b"".join(kept.pieces()) == BODY[:MIB]
    second.consumer.fail(BROKEN)


@pytest.mark.parametrize("moment", ["ended", "replaced"])
async def test_a_part_that_changes_its_name_while_it_is_looked_at_is_not_offered(
    reactor: Any, tmp_path: Path, moment: str
) -> None:
    await broken_off(reactor, tmp_path, MIB)
    if moment == "replaced":
        (tmp_path / "file.part").rename(tmp_path / "ours")
        (tmp_path / "file.part").write_bytes(b"not ours")

    def before(call: Call) -> None:
        if call.name == "fstat" and not (tmp_path / "file").exists():
            (tmp_path / "file.part").rename(tmp_path / "file")
            if moment == "replaced":
                (tmp_path / "ours").rename(tmp_path / "file.part")

    feed = Feed(reactor, to_part(tmp_path, disk=Disk(before)))
    assert await feed.consumer.kept() is None
    feed.consumer.fail(BROKEN)

    assert (tmp_path / "file").read_bytes() == (BODY[:MIB] if moment == "ended" else b"not ours")


async def test_a_part_that_somebody_replaced_meanwhile_is_not_given_the_files_name(
    reactor: Any, tmp_path: Path
) -> None:
    feed = Feed(reactor, to_part(tmp_path))
    feed.begin(HEAD)
    await feed.write(pieces(BODY))
    (tmp_path / "other").write_bytes(b"not ours")
    (tmp_path / "other").replace(tmp_path / "file.part")

    with pytest.raises(ConsumerFailed, match="somebody put another file there") as raised:
        await feed.finish()
    feed.consumer.fail(Failure(raised.value))

    assert (tmp_path / "file.part").read_bytes() == b"not ours"
    assert not (tmp_path / "file").exists()


async def test_a_cancelled_question_lets_go_of_the_part(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB)
    feed = Feed(reactor, to_part(tmp_path), workers)

    asking = feed.consumer.kept()
    asking.cancel()
    with pytest.raises(CancelledError):
        await asking
    feed.consumer.fail(Failure(CancelledError()))
    await workers.close()

    assert (await offered(reactor, tmp_path))[1] == BODY[:MIB]


async def test_reading_what_was_kept_ends_when_the_download_does(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB)
    feed = Feed(reactor, to_part(tmp_path))
    kept = await feed.consumer.kept()
    assert kept is not None
    reading = kept.pieces()
    next(reading)

    feed.consumer.fail(Failure(CancelledError()))

    with pytest.raises(ConsumerFailed):
        next(reading)


async def test_a_part_that_became_shorter_is_not_taken_for_whole(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB)
    feed = Feed(reactor, to_part(tmp_path))
    kept = await feed.consumer.kept()
    assert kept is not None
    os.truncate(tmp_path / "file.part", 300 * KIB)

    with pytest.raises(ConsumerFailed, match="somebody made it shorter"):
        list(kept.pieces())
    feed.consumer.fail(BROKEN)


async def test_a_name_with_no_room_for_more_letters_comes_without_a_part(reactor: Any, tmp_path: Path) -> None:
    for size in (251, 255):
        feed = Feed(reactor, ToFile("x" * size, root=tmp_path, part=True))
        assert await feed.consumer.kept() is None
        await feed.all(pieces(BODY))

    assert names(tmp_path) == ["x" * 251, "x" * 255]


@pytest.mark.parametrize("size", [10, 2 * MIB])
async def test_the_file_has_the_mode_of_any_other(reactor: Any, tmp_path: Path, size: int) -> None:
    for mode in (None, 0o640):
        await Feed(reactor, to_part(tmp_path, mode=mode)).all(pieces(BODY[:size]))
        await Feed(reactor, ToFile(tmp_path / "plain", mode=mode)).all([b""])

        assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


async def test_a_note_without_its_part_is_a_stray_and_a_part_is_none(reactor: Any, tmp_path: Path) -> None:
    await broken_off(reactor, tmp_path, MIB)
    assert [*strays(tmp_path)] == []

    (tmp_path / "file.part").unlink()
    (tmp_path / "somebodys.part.json").write_text("{}")

    assert [*strays(tmp_path)] == [tmp_path / "file.part.json"]


# ---- parts further on


async def further_on(reactor: Any, directory: Path, why: Failure) -> None:
    """A download that failed when its first MiB had come, and some of the second."""
    workers = Workers(reactor)
    feed = Feed(reactor, to_part(directory), workers)
    await feed.consumer.kept()
    feed.begin(HEAD)
    await feed.write(pieces(BODY[:MIB]))
    part: Any = feed.consumer.part(MIB + 300 * KIB)
    part.write(BODY[MIB + 300 * KIB :])
    part.finish()
    await workers.close()
    feed.consumer.unregisterProducer()
    feed.consumer.fail(why)
    await workers.close()


async def test_of_what_came_further_on_only_what_follows_without_a_hole_is_kept(reactor: Any, tmp_path: Path) -> None:
    await further_on(reactor, tmp_path, BROKEN)

    kept, data = await offered(reactor, tmp_path)
    assert kept is not None
    assert (kept.size, data) == (MIB, BODY[:MIB])
    assert (tmp_path / "file.part").stat().st_size == MIB
    assert json.loads((tmp_path / "file.part.json").read_text())["solid"] is None


async def test_the_note_says_how_far_there_is_no_hole(reactor: Any, tmp_path: Path) -> None:
    file = PartFile(Place(str(tmp_path), (), "file"), durable=False)
    note = tmp_path / "file.part.json"

    def solid() -> Any:
        return json.loads(note.read_text())["solid"]

    file.open(HEAD)
    file.write([b"x" * MIB])
    assert solid() is None
    file.patch(0, [b"y"])
    assert solid() is None
    file.patch(40 * MIB, [b"y"])
    assert solid() == MIB
    for _ in range(16):
        file.write([b"x" * MIB])
    assert solid() == 17 * MIB
    file.seek(41 * MIB)
    assert solid() == 41 * MIB
    file.rewind(HEAD)
    assert solid() is None
    file.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [None, False, True])
def test_what_was_written_is_kept_for_who_asks_for_it(tmp_path: Path, keep: bool | None) -> None:
    file = PartFile(Place(str(tmp_path), (), "file"), durable=False)
    file.open(HEAD)
    file.write([BODY[:MIB]])
    file.discard(**{} if keep is None else {"keep": keep})

    assert names(tmp_path) == (["file.part", "file.part.json"] if keep else [])


def test_where_the_parts_name_is_somebody_elses_it_is_written_in_any_order_too(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"theirs")
    file = PartFile(Place(str(tmp_path), (), "file"), durable=False)
    file.open(HEAD)
    file.write([b"ab"])
    file.patch(4, [b"ef"])
    file.patch(2, [b"cd"])
    file.seek(6)
    file.write([b"gh"])
    file.finish([], HEAD)

    assert (tmp_path / "file").read_bytes() == b"abcdefgh"
    assert (tmp_path / "file.part").read_bytes() == b"theirs"
    assert names(tmp_path) == ["file", "file.part"]


async def test_nothing_more_is_looked_at_when_nobody_wants_to_see_it(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    reading, cancelled = threading.Event(), threading.Event()

    def before(call: Call) -> None:
        if call.name == "pread":
            reading.set()
            assert cancelled.wait(10)

    disk = Disk(before)
    feed = Feed(reactor, to_part(tmp_path, disk=disk), workers)
    feed.begin(HEAD)
    await feed.write(pieces(BODY))
    looking = feed.consumer.reread(0, len(BODY), len)
    while not reading.is_set():
        await deferLater(reactor, 0.001, bool)

    looking.cancel()
    cancelled.set()
    with pytest.raises(CancelledError):
        await looking
    feed.consumer.unregisterProducer()
    feed.consumer.fail(Failure(CancelledError()))
    await workers.close()

    assert disk.done.count("pread") == 1
    assert (tmp_path / "file.part").read_bytes() == BODY
