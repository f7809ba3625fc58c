"""A file of which a piece is wrong: that piece is fetched again, and nothing else."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from pulp_dl import (
    Digest,
    Downloader,
    Duplicates,
    Metalink,
    Pieces,
    Places,
    Progress,
    Remote,
    Retries,
    Scores,
    Size,
    Source,
    Timeouts,
    ToFile,
)
from pulp_dl.errors import ConnectFailed, ConsumerFailed, DigestMismatch, DownloadError, TimedOut, Truncated
from pulp_dl.testing import (
    Cut,
    Entity,
    FaultServer,
    MemoryFetcher,
    MemoryScheme,
    Nth,
    OnRange,
    Place,
    RewindableRecorder,
    answer,
)
from tests.consumers.disks import failing

KIB = 1024
PIECE = 64 * KIB
DATA = b"".join(number.to_bytes(4, "big") for number in range(200_000))  # 800 kB, 13 pieces
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
DIGESTS = [hashlib.sha1(DATA[at : at + PIECE]).hexdigest() for at in range(0, len(DATA), PIECE)]
PIECES = Pieces("sha1", PIECE, DIGESTS)
EXPECT = [Size(len(DATA)), SHA, PIECES]
A, B, C = "memory://a/file", "memory://b/file", "memory://c/file"


def wrong_at(*offsets: int, data: bytes = DATA) -> bytes:
    bad = bytearray(data)
    for at in offsets:
        bad[at] ^= 1
    return bytes(bad)


ONE = wrong_at(300_000)  # in the piece of number 4
SPAN = (4 * PIECE, 5 * PIECE)


def file_in(directory: Path) -> Any:
    return ToFile(directory / "file", durable=False)


async def fetch(reactor: Any, tmp_path: Path, places: dict[str, Any], **options: Any) -> tuple[Any, MemoryFetcher]:
    """What came of it (a report or an error), with all the rest done."""
    memory = MemoryFetcher(places, reactor)
    consumer = options.pop("consumer", None) or file_in(tmp_path)
    expect = options.pop("expect", EXPECT)
    remote = Remote(retries=Retries(count=options.pop("rounds", 0)))
    mirrors = Places(list(places), under=A, original=False)
    async with Downloader(reactor, remote, mirrors=mirrors, schemes=[MemoryScheme(memory)], **options) as downloader:
        try:
            end: Any = await downloader.download(Source(A, expect), consumer)
        except DownloadError as error:
            end = error
    assert memory.running == 0
    left = [each.name for each in tmp_path.iterdir()]
    assert left == ([] if isinstance(end, DownloadError) else ["file"])
    if left:
        assert (tmp_path / "file").read_bytes() == DATA
    return end, memory


def asked(memory: MemoryFetcher) -> list[tuple[str, Any]]:
    return [
        (each.source.place.host, None if each.span is None else (each.span.start, each.span.stop))
        for each in memory.asked
    ]


# ---- what is wrong is fetched again


async def test_only_the_piece_that_is_wrong_is_fetched_from_another_place(reactor: Any, tmp_path: Path) -> None:
    report, memory = await fetch(reactor, tmp_path, {A: Place(ONE), B: Place(DATA)})

    assert asked(memory) == [("a", None), ("b", SPAN)]
    assert sum(each.received for each in report.attempts) == len(DATA) + PIECE
    assert [(each.offset, each.received) for each in report.attempts] == [(0, len(DATA)), (SPAN[0], PIECE)]
    assert isinstance(report.attempts[0].error, DigestMismatch)
    assert report.validated
    assert (report.size, report.facts["sha256"], report.head.url) == (len(DATA), SHA.value, A)


async def test_pieces_side_by_side_are_one_request_and_the_last_one_is_short(reactor: Any, tmp_path: Path) -> None:
    bad = wrong_at(0, 3 * PIECE, 5 * PIECE - 1, len(DATA) - 1)
    report, memory = await fetch(reactor, tmp_path, {A: Place(bad), B: Place(DATA)})

    spans = [(0, PIECE), (3 * PIECE, 5 * PIECE), (12 * PIECE, len(DATA))]
    assert asked(memory) == [("a", None), *(("b", span) for span in spans)]
    assert sum(each.received for each in report.attempts) == len(DATA) + sum(stop - start for start, stop in spans)


async def test_the_same_place_is_asked_if_there_is_no_other(reactor: Any, tmp_path: Path) -> None:
    report, memory = await fetch(reactor, tmp_path, {A: [Place(ONE), Place(DATA)]})

    assert asked(memory) == [("a", None), ("a", SPAN)]
    assert len(report.attempts) == 2


async def test_a_place_that_fails_makes_room_for_the_next_and_what_came_stays(reactor: Any, tmp_path: Path) -> None:
    bad = wrong_at(0, 300_000, 600_000)
    b = [Place(DATA), Place(DATA, drop_at=1000), Place(DATA)]
    report, memory = await fetch(reactor, tmp_path, {A: Place(bad), B: b, C: Place(DATA)}, rounds=2)

    assert asked(memory) == [
        ("a", None),
        ("b", (0, PIECE)),
        ("b", SPAN),
        ("c", SPAN),
        ("c", (9 * PIECE, 10 * PIECE)),
    ]
    assert [type(each.error) for each in report.attempts] == [DigestMismatch, type(None), Truncated, *[type(None)] * 2]


async def test_a_piece_that_is_wrong_there_too_is_asked_for_elsewhere(reactor: Any, tmp_path: Path) -> None:
    report, memory = await fetch(reactor, tmp_path, {A: Place(ONE), B: Place(ONE), C: Place(DATA)})

    assert asked(memory) == [("a", None), ("b", SPAN), ("c", SPAN)]
    assert sum(each.received for each in report.attempts) == len(DATA) + 2 * PIECE


async def test_halves_that_do_not_belong_together_are_mended(reactor: Any, tmp_path: Path) -> None:
    report, memory = await fetch(reactor, tmp_path, {A: Place(ONE, drop_at=500_000), B: Place(DATA)})

    assert asked(memory) == [("a", None), ("b", (500_000, None)), ("a", SPAN), ("b", SPAN)]
    assert sum(each.received for each in report.attempts) == len(DATA) + 2 * PIECE


async def test_what_an_earlier_run_left_is_mended(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    memory = MemoryFetcher({A: Place(ONE, drop_at=700_000)}, reactor)
    async with Downloader(reactor, Remote(retries=Retries(count=0)), schemes=[MemoryScheme(memory)]) as downloader:
        with pytest.raises(Truncated):
            await downloader.download(A, ToFile(path, part=True))

    consumer = ToFile(path, part=True)
    report, memory = await fetch(reactor, tmp_path, {A: Place(DATA)}, consumer=consumer)

    assert asked(memory) == [("a", (700_000, None)), ("a", SPAN)]
    assert sum(each.received for each in report.attempts) == len(DATA) - 700_000 + PIECE


async def test_a_small_file_is_mended_too(reactor: Any, tmp_path: Path) -> None:
    body = b"abcdefgh"
    expect = [
        Digest("md5", hashlib.md5(body).hexdigest()),
        Pieces("sha256", 2, [hashlib.sha256(body[at : at + 2]).hexdigest() for at in range(0, 8, 2)]),
    ]
    memory = MemoryFetcher({A: [Place(b"abcdXfgh"), Place(body)]})
    async with Downloader(reactor, schemes=[MemoryScheme(memory)]) as downloader:
        await downloader.download(Source(A, expect), file_in(tmp_path))

    assert (tmp_path / "file").read_bytes() == body
    assert asked(memory) == [("a", None), ("a", (4, 6))]


async def test_progress_ends_where_the_file_does(reactor: Any, tmp_path: Path) -> None:
    progress = Progress()
    await fetch(reactor, tmp_path, {A: Place(ONE), B: Place(DATA)}, progress=progress)

    assert (progress.size, progress.brought, progress.done) == (len(DATA), len(DATA) + PIECE, 1)


# ---- else all is as it was


@pytest.mark.parametrize(
    ("b", "expect"),
    [
        (Place(DATA, ranges=False), EXPECT),
        (Place(DATA), EXPECT[:2]),
        # Their digests say that all is right, or that nothing is; they are too many or too few.
        (
            Place(DATA),
            [
                SHA,
                Pieces("sha1", PIECE, [hashlib.sha1(ONE[at:][:PIECE]).hexdigest() for at in range(0, len(ONE), PIECE)]),
            ],
        ),
        (Place(DATA), [SHA, Pieces("sha1", PIECE, ["0" * 40] * len(DIGESTS))]),
        (Place(DATA), [SHA, Pieces("sha1", PIECE, DIGESTS[:-1])]),
        (Place(DATA), [SHA, Pieces("sha1", PIECE, [*DIGESTS[:2], "0" * 40, *DIGESTS[3:]])]),
    ],
)
async def test_where_that_does_not_help_the_whole_is_read_from_another_place(
    reactor: Any, tmp_path: Path, b: Place, expect: Any
) -> None:
    report, memory = await fetch(reactor, tmp_path, {A: Place(ONE), B: b}, expect=expect)

    assert asked(memory)[-1] == ("b", None)
    assert report.attempts[-1].received == len(DATA)
    assert report.head.url == B


async def test_another_version_of_the_file_is_not_mended_piece_by_piece(reactor: Any, tmp_path: Path) -> None:
    other = bytes(byte ^ 1 for byte in DATA)
    report, memory = await fetch(reactor, tmp_path, {A: Place(other), B: Place(DATA)})

    assert asked(memory) == [("a", None), ("b", None)]
    assert len(report.attempts) == 2


async def test_another_size_there_is_another_file(reactor: Any, tmp_path: Path) -> None:
    report, memory = await fetch(reactor, tmp_path, {A: Place(ONE), B: Place(DATA + b"more"), C: Place(DATA)})

    assert asked(memory) == [("a", None), ("b", SPAN), ("c", SPAN)]
    assert report.attempts[1].received < PIECE


async def test_promise_1_what_is_right_nowhere_is_not_there(reactor: Any, tmp_path: Path) -> None:
    error, memory = await fetch(reactor, tmp_path, {A: Place(ONE), B: Place(ONE)}, rounds=1)

    assert isinstance(error, DigestMismatch)
    assert len(error.attempts) == len(memory.asked)
    assert all(each.error is not None for each in error.attempts)


async def test_a_consumer_without_random_access_is_given_the_whole(reactor: Any, tmp_path: Path) -> None:
    memory = MemoryFetcher({A: [Place(ONE), Place(DATA)]})
    consumer = RewindableRecorder()
    async with Downloader(reactor, Remote(retries=Retries(base=0.001)), schemes=[MemoryScheme(memory)]) as downloader:
        await downloader.download(Source(A, EXPECT), consumer)

    assert consumer.data == DATA
    assert asked(memory) == [("a", None), ("a", None)]


# ---- whatever they do

kinds = st.sampled_from(
    [
        Place(DATA),
        Place(DATA, ranges=False),
        Place(DATA, drop_at=70_000),
        Place(DATA, drop_at=10),
        Place(ONE),
        Place(wrong_at(0, 799_999)),
        Place(DATA[:-1]),
        Place(error=lambda: ConnectFailed("no")),
    ]
)


@given(st.lists(kinds, max_size=3), st.lists(kinds, min_size=1, max_size=3), st.booleans())
async def test_if_one_place_is_good_the_file_is_there_and_costs_no_more_than_without_pieces(
    first: list[Place], others: list[Place], one: bool
) -> None:
    from twisted.internet import reactor

    world = {A: Place(ONE) if one else [*first, others[0]], B: others, C: Place(DATA)}
    with TemporaryDirectory() as directory:
        report, _ = await fetch(reactor, Path(directory), world)

    assert not isinstance(report, DownloadError), report
    rejected = [each for each in report.attempts if isinstance(each.error, DigestMismatch) and each.status == 200]
    pieces = [each for each in report.attempts if each.status == 206 and each.received <= PIECE]
    aborted = [each for each in report.attempts if each.error is not None]
    price = len(DATA) * (1 + len(rejected)) + PIECE * len(pieces) + 256 * KIB * len(aborted)
    assert sum(each.received for each in report.attempts) <= price


# ---- ended from the side


async def test_promise_5_cancelled_while_a_piece_comes_nothing_is_left(reactor: Any, tmp_path: Path) -> None:
    memory = MemoryFetcher({A: Place(ONE), B: Place(DATA, stall_at=1000)}, reactor)
    mirrors = Places([A, B], under=A, original=False)
    async with Downloader(reactor, mirrors=mirrors, schemes=[MemoryScheme(memory)]) as downloader:
        running = downloader.download(Source(A, EXPECT), file_in(tmp_path))
        while len(memory.asked) < 2:
            await deferLater(reactor, 0.001, bool)
        assert asked(memory) == [("a", None), ("b", SPAN)]

        running.cancel()

        with pytest.raises(CancelledError):
            await running
        assert memory.running == 0
    assert list(tmp_path.iterdir()) == []


async def test_the_time_for_all_of_it_counts_for_the_pieces_too(reactor: Any, tmp_path: Path) -> None:
    memory = MemoryFetcher({A: Place(ONE), B: Place(DATA, stall_at=1000)}, reactor)
    mirrors = Places([A, B], under=A, original=False)
    remote = Remote(timeouts=Timeouts(total=1))
    async with Downloader(reactor, remote, mirrors=mirrors, schemes=[MemoryScheme(memory)]) as downloader:
        with pytest.raises(TimedOut) as caught:
            await downloader.download(Source(A, EXPECT), file_in(tmp_path))

    assert caught.value.phase == "total"
    assert asked(memory) == [("a", None), ("b", SPAN)]
    assert memory.running == 0
    assert list(tmp_path.iterdir()) == []


async def test_promise_9_a_disk_that_cannot_be_read_ends_the_download(reactor: Any, tmp_path: Path) -> None:
    memory = MemoryFetcher({A: Place(ONE), B: Place(DATA)}, reactor)
    consumer = ToFile(tmp_path / "file", disk=failing(errno.EIO, "pread", after=1))
    mirrors = Places([A, B], under=A, original=False)
    async with Downloader(reactor, mirrors=mirrors, schemes=[MemoryScheme(memory)]) as downloader:
        with pytest.raises(ConsumerFailed, match="Input/output error"):
            await downloader.download(Source(A, EXPECT), consumer)

    assert asked(memory) == [("a", None)]
    assert list(tmp_path.iterdir()) == []


# ---- over sockets


async def test_a_metalink_tells_the_pieces_and_a_mirror_has_the_right_one(reactor: Any, tmp_path: Path) -> None:
    good, bad = answer(Entity(DATA)), answer(Entity(ONE))
    async with FaultServer(reactor, {"/file": bad}) as a, FaultServer(reactor, {"/file": good}) as b:
        hashes = "".join(f"<hash>{each}</hash>" for each in DIGESTS)
        text = (
            '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="file">'
            f'<size>{len(DATA)}</size><hash type="sha-256">{SHA.value}</hash>'
            f'<pieces length="{PIECE}" type="sha-1">{hashes}</pieces>'
            f'<url priority="1">{a.url("/file")}</url><url priority="2">{b.url("/file")}</url></file></metalink>'
        )
        async with FaultServer(reactor, {"/file.meta4": answer(text.encode())}) as lists:
            metalink = Metalink(lists.url("/file.meta4"), original=False)
            async with Downloader(reactor) as direct:
                source = await metalink.wanted(Source(a.url("/file")), direct)
            async with Downloader(reactor, mirrors=Scores(metalink, explore=0)) as downloader:
                report = await downloader.download(source, ToFile(tmp_path / "file"))
        asked_b = [each.get(b"range") for each in b.requests]

    assert (tmp_path / "file").read_bytes() == DATA
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert asked_b == [b"bytes=%d-%d" % (SPAN[0], SPAN[1] - 1)]
    assert sum(each.received for each in report.attempts) == len(DATA) + PIECE


async def test_places_that_answers_tell_of_later_are_asked_too(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, answer(ONE)) as a, FaultServer(reactor, answer(DATA)) as c:
        told = ((b"Link", f"<{c.url('/file')}>; rel=duplicate".encode()),)
        async with FaultServer(reactor, Nth([answer(DATA[1:]), Cut(answer(DATA, headers=told), 9)])) as b:
            mirrors = Duplicates(Places([a.url(""), b.url("")]))
            async with Downloader(reactor, Remote(retries=Retries(count=0)), mirrors=mirrors) as downloader:
                report = await downloader.download(Source(a.url("/file"), EXPECT), ToFile(tmp_path / "file"))
            places = [each.url for each in report.attempts]
            assert places == [each.url("/file") for each in (a, b, a, b, c)]

    assert (tmp_path / "file").read_bytes() == DATA


async def test_a_piece_that_breaks_off_over_a_socket_is_asked_for_again(reactor: Any, tmp_path: Path) -> None:
    good = answer(Entity(DATA))
    script = Nth([answer(Entity(ONE)), OnRange(Cut(good, 1000), good), good])
    async with FaultServer(reactor, {"/file": script}) as server:
        async with Downloader(reactor, Remote(retries=Retries(base=0.01))) as downloader:
            report = await downloader.download(Source(server.url("/file"), EXPECT), ToFile(tmp_path / "file"))

    assert (tmp_path / "file").read_bytes() == DATA
    assert report.validated
