"""A large file that comes from several places at once."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import (
    Attempt,
    Digest,
    Downloader,
    Head,
    Limits,
    Pieces,
    Places,
    Progress,
    Rate,
    Remote,
    Report,
    Retries,
    Scores,
    Segments,
    Size,
    Source,
    Span,
    Timeouts,
)
from pulp_dl.errors import (
    CircuitOpen,
    ConnectFailed,
    ConsumerFailed,
    DigestMismatch,
    DownloadError,
    NotFound,
    NotResumable,
    TimedOut,
    Truncated,
)
from pulp_dl.interfaces import IFetcher, IMirrors, IScheme
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder
from pulp_dl.testing.checks import ConsumerCase, check_consumer

from .anywhere import Anywhere
from .by_hand import HandWritten

DATA = b"".join(number.to_bytes(4, "big") for number in range(50_000))  # 200 kB
TOTAL = len(DATA)
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
A, B, C, D = (f"memory://{host}/file" for host in "abcd")
OFTEN = Segments(least=1, places=4, piece=4096)
FAST = Place(DATA, chunk=1000, every=0.1)  # 10 kB a second: 20 seconds
SLOW = Place(DATA, chunk=1000, every=0.9)


class Case:
    """One download on a clock that the test moves."""

    def __init__(self, places: dict[str, Any], consumer: Any = None, expect: Any = SHA, **remote: Any) -> None:
        self.clock = Clock()
        self.memory = MemoryFetcher(places, self.clock)
        slots, wrap = remote.pop("slots", False), remote.pop("wrap", None)
        source = remote.pop("source", None) or Source(A, expect)
        options: dict[str, Any] = {"segments": OFTEN, "retries": Retries(count=1)} | remote
        mirrors: Any = Places([url for url in places if "file" in url], under=A, original=False)
        self.downloader = Downloader(
            self.clock,
            Remote(**options),
            mirrors=mirrors if wrap is None else wrap(mirrors),
            schemes=[MemoryScheme(self.memory, slots=slots)],
        )
        self.consumer = Anywhere() if consumer is None else consumer
        self.ends: list[Any] = []
        self.most = 0  # requests that were under way at once
        self.running = self.downloader.download(source, self.consumer)
        self.running.addBoth(self.ends.append)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self._advance()

    def _advance(self) -> None:
        self.clock.advance(0.05)
        self.most = max(self.most, self.memory.running)

    def until(self, most: float = 300) -> float:
        """After how many seconds it has ended, whatever others do."""
        while not self.ends and self.clock.seconds() < most:
            self._advance()
        assert self.ends, "still running"
        return self.clock.seconds()

    def run(self, most: float = 300) -> tuple[Any, float]:
        """What came of it (a report or an error), and after how many seconds."""
        self.until(most)
        assert self.memory.running == 0
        assert self.clock.getDelayedCalls() == []
        end = self.ends[0]
        if isinstance(end, Failure):
            assert self.consumer.ends == ["fail"]
            return end.value, self.clock.seconds()
        assert self.consumer.kept == DATA
        assert self.consumer.ends == ["finish"]
        return end, self.clock.seconds()

    @property
    def asked(self) -> str:
        return "".join(each.source.place.host for each in self.memory.asked)


def came(report: Report) -> dict[str, int]:
    """Bytes that each place has brought."""
    found: dict[str, int] = {}
    for each in report.attempts:
        host = each.source.place.host
        found[host] = found.get(host, 0) + each.received
    return found


def bad(*offsets: int) -> bytes:
    wrong = bytearray(DATA)
    for at in offsets:
        wrong[at] ^= 1
    return bytes(wrong)


@asynccontextmanager
async def anywhere(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    consumer = Anywhere()
    yield ConsumerCase(consumer, lambda: consumer.kept)


class TestAnywhere(check_consumer(anywhere)):  # type: ignore[misc]  # the class is made at run time
    """What stands for a file here keeps every promise of one."""


# ---- faster


def test_two_places_need_half_of_the_time() -> None:
    report, seconds = Case({A: FAST, B: FAST}).run()

    assert seconds < 12.5
    brought = came(report)
    assert sum(brought.values()) <= TOTAL + 4000
    assert brought["b"] > 0.4 * TOTAL
    assert (report.size, report.facts["sha256"], report.validated) == (TOTAL, SHA.value, True)
    assert report.head.url == A


def test_four_places_need_about_a_quarter() -> None:
    report, seconds = Case({A: FAST, B: FAST, C: FAST, D: FAST}).run()

    assert seconds < 8
    assert set(came(report)) == set("abcd")


def test_a_slow_place_brings_less_and_keeps_nobody_waiting() -> None:
    report, seconds = Case({A: FAST, B: SLOW}).run()

    assert seconds < 20.5
    assert came(report)["b"] < 0.15 * TOTAL
    assert len(report.attempts) == 3


def test_a_slow_first_place_is_helped_most() -> None:
    report, seconds = Case({A: SLOW, B: FAST}).run()

    assert seconds < 24
    assert came(report)["a"] < 0.2 * TOTAL


def test_each_byte_is_written_once() -> None:
    case = Case({A: FAST, B: FAST, C: SLOW})
    case.run()

    assert case.consumer.written == TOTAL


# ---- only where it is worth it


@pytest.mark.parametrize(
    ("why", "how"),
    [
        ("nobody wants it", {"segments": None}),
        ("it is small", {"segments": Segments(least=TOTAL + 1)}),
        ("nothing would tell whether it is right", {"expect": Size(TOTAL)}),
        ("a digest is only reported", {"expect": Digest("sha256", SHA.value, enforced=False)}),
        ("a consumer takes bytes in their order only", {"consumer": RewindableRecorder()}),
        ("it is a response", {"consumer": Recorder()}),
        ("all share one rate", {"limits": Limits(bytes_per_second=Rate(1e9))}),
        ("a part of the file is wanted", {"source": Source(A, SHA, span=(0, TOTAL - 1))}),
    ],
)
def test_else_it_comes_from_one_place(why: str, how: Any) -> None:
    case = Case({A: FAST, B: FAST}, **how)
    while not case.ends and case.clock.seconds() < 100:
        case.clock.advance(0.05)

    assert isinstance(case.ends[0], Report)
    assert case.asked == "a"


def test_what_is_here_in_a_moment_needs_no_help() -> None:
    case = Case({A: Place(DATA, chunk=5000, every=0.05), B: FAST})  # 2 seconds
    case.run()

    assert case.asked == "a"


def test_places_of_one_host_are_one_place() -> None:
    case = Case({A: FAST, "memory://a/other/file": FAST})
    case.run()

    assert case.asked == "a"


def test_a_piece_that_is_not_worth_a_request_is_not_asked_for() -> None:
    case = Case({A: FAST, B: FAST}, segments=Segments(least=1, piece=TOTAL))
    case.run()

    assert case.asked == "a"


def test_no_more_places_than_allowed_help_at_once() -> None:
    case = Case({A: FAST, B: FAST, C: FAST, D: FAST}, segments=Segments(least=1, places=2, piece=4096))
    case.run()

    assert set(case.asked) == {"a", "b"}
    assert case.most == 2


def test_promise_4_those_who_wait_for_a_socket_come_first() -> None:
    world = {A: FAST, B: FAST, "memory://x/1": FAST.but(data=DATA[:50_000]), "memory://x/2": FAST}
    case = Case(world, slots=True, limits=Limits(connections=2))
    case.downloader.download("memory://x/1", Anywhere())
    case.wait(3)  # a helper would have had its turn
    case.downloader.download("memory://x/2", Anywhere())

    case.wait(18)
    assert case.asked == "axx"
    assert case.consumer.kept == DATA
    case.wait(10)


def test_promise_4_who_helps_gives_its_socket_to_those_who_wait_and_comes_back() -> None:
    world = {A: FAST, B: FAST, C: FAST, "memory://x/1": Place(b"small", chunk=5)}
    case = Case(world, slots=True, limits=Limits(connections=3))
    case.wait(3)
    assert case.asked == "abc"
    small = Anywhere()
    case.downloader.download("memory://x/1", small)

    case.wait(2.5)
    assert small.kept == b"small"
    report, seconds = case.run()

    assert seconds < 12
    assert case.asked[:4] == "abcx"
    assert case.asked[4] in "bc"
    assert sum(came(report).values()) <= TOTAL + 4000


def test_who_waits_for_another_host_than_that_of_a_helper_gets_nothing_of_it() -> None:
    full = {f"memory://x/{number}": FAST for number in range(2)}
    case = Case({A: FAST, B: FAST} | full, slots=True, limits=Limits(connections=10, per_host=1))
    case.wait(3)
    for url in full:
        case.downloader.download(url, Anywhere())

    assert case.until() < 12.5
    assert case.asked.count("b") == 1
    case.wait(50)


def test_a_helper_that_waits_for_its_turn_is_not_given_up() -> None:
    world = {A: FAST, B: FAST, C: FAST, "memory://b/other": FAST.but(data=DATA[:50_000])}
    case = Case(world, slots=True, limits=Limits(connections=10, per_host=1))
    case.downloader.download("memory://b/other", Anywhere())  # for five seconds
    report, seconds = case.run()

    assert seconds < 11
    assert came(report)["b"] > 0.1 * TOTAL


def test_where_the_consumer_is_what_is_slow_nobody_helps() -> None:
    case = Case({A: FAST, B: FAST})
    case.wait(0.5)
    case.consumer.pause()
    case.wait(5)
    assert case.asked == "a"

    case.consumer.resume()
    case.run()
    assert set(case.asked) == {"a", "b"}


def used_to_slow_places(scores: Scores) -> Scores:
    """Ours would be left for others, if nobody knew that others are no faster."""
    scores.record(Attempt(Source("memory://elsewhere/f"), 0, TOTAL, 20, 20, 200, None))
    return scores


def test_a_place_that_is_to_be_left_alone_is_not_asked() -> None:
    def scored(mirrors: Any) -> Scores:
        scores = used_to_slow_places(Scores(mirrors, explore=0, clock=lambda: 0.0, chance=lambda: 0.5))
        for _ in range(3):
            scores.record(Attempt(Source(B), 0, 0, 0.1, 0, None, ConnectFailed("no")))
        return scores

    case = Case({A: FAST, B: FAST}, wrap=scored)
    report, _ = case.run()

    assert case.asked == "a"
    assert [type(each.error) for each in report.attempts] == [CircuitOpen, type(None)]


def test_what_is_alone_later_is_helped_then() -> None:
    case = Case(
        {A: FAST, B: FAST, "memory://x/1": Place(DATA, chunk=1000, every=0.05)},
        slots=True,
        limits=Limits(connections=2),
    )
    case.downloader.download("memory://x/1", Anywhere())
    _, seconds = case.run()

    assert 14 < seconds < 18
    assert set(case.asked) == {"a", "b", "x"}


@implementer(IMirrors)
class Listed:
    """
    A list that is read lazily.

    @ivar read: places that were read.
    @ivar left: somebody who waited for more has gone.
    """

    def __init__(self, *places: Any) -> None:
        self.places = places
        self.read: list[str] = []
        self.left = False

    async def locate(self, source: Source, direct: Any) -> AsyncIterator[Source]:
        for each in self.places:
            if isinstance(each, Exception):
                raise each
            if isinstance(each, Deferred):
                try:
                    await each
                except CancelledError:
                    self.left = True
                    raise
            else:
                self.read.append(each)
                yield source.at(each)

    def record(self, attempt: Attempt) -> None:
        """Nothing is learnt."""


def test_a_list_is_read_no_further_than_somebody_is_wanted() -> None:
    mine = Listed(A, B)
    case = Case({A: Place(DATA, chunk=20_000, every=0.05), B: FAST}, wrap=lambda _: mine)
    case.run()

    assert mine.read == [A]


def test_the_body_comes_while_a_list_is_still_read() -> None:
    waiting: Deferred[None] = Deferred()
    case = Case({A: FAST, B: FAST}, wrap=lambda _: Listed(A, waiting, B))
    case.wait(3)
    assert case.consumer.written > 20_000
    assert case.asked == "a"

    waiting.callback(None)
    _, seconds = case.run()

    assert case.asked[:2] == "ab"
    assert seconds < 14


def test_promise_5_a_list_that_never_ends_is_left_when_the_file_is_there() -> None:
    mine = Listed(A, Deferred(), B)
    case = Case({A: FAST, B: FAST}, wrap=lambda _: mine)
    report, seconds = case.run()

    assert seconds < 21
    assert len(report.attempts) == 1
    assert mine.left


def test_a_place_is_not_lost_because_it_is_looked_for_by_two() -> None:
    waiting: Deferred[None] = Deferred()
    case = Case({A: FAST.but(drop_at=30_000), B: FAST}, wrap=lambda _: Listed(A, waiting, B))
    case.wait(4)  # the first place has broken off, and the next one is not known yet
    assert not case.ends

    waiting.callback(None)
    report, _ = case.run()

    assert came(report) == {"a": 30_000, "b": TOTAL - 30_000}


def test_mirrors_that_could_not_be_fetched_do_not_end_what_comes() -> None:
    report, _ = Case({A: FAST, B: FAST}, wrap=lambda _: Listed(A, NotFound(404))).run()

    assert came(report) == {"a": TOTAL}


def test_a_fault_of_the_mirrors_does_not_end_what_comes(logged_errors: Any) -> None:
    report, _ = Case({A: FAST, B: FAST}, wrap=lambda _: Listed(A, ValueError("a fault"))).run()

    assert came(report) == {"a": TOTAL}
    assert logged_errors.flush(DownloadError)


def test_a_fault_of_the_mirrors_ends_it_where_another_place_is_needed(logged_errors: Any) -> None:
    error, _ = Case({A: FAST.but(drop_at=30_000)}, wrap=lambda _: Listed(A, ValueError("a fault"))).run()

    assert isinstance(error, DownloadError)
    assert "the mirrors raised ValueError" in str(error)
    assert logged_errors.flush(DownloadError)


# ---- whatever happens


def test_a_place_that_breaks_off_makes_room_for_another_and_what_came_stays() -> None:
    case = Case({A: FAST, B: FAST.but(drop_at=30_000), C: FAST}, segments=Segments(least=1, places=2, piece=4096))
    report, seconds = case.run()

    assert seconds < 13
    assert sum(came(report).values()) <= TOTAL + 4000
    assert came(report)["b"] == 30_000


@pytest.mark.parametrize(
    "place",
    [
        Place(error=lambda: ConnectFailed("no")),
        Place(DATA, ranges=False),
        Place(DATA + b"more"),
        Place(DATA, total=TOTAL + 1),
        Place(DATA, silent=True),
        Place(DATA, stall_at=0),
    ],
)
def test_a_place_that_cannot_help_is_left(place: Place) -> None:
    case = Case({A: FAST, B: place, C: FAST}, segments=Segments(least=1, places=2, piece=4096))
    report, seconds = case.run()

    assert seconds < 15
    assert came(report).get("b", 0) <= 2048
    assert came(report)["c"] > 0.3 * TOTAL


def test_a_place_that_falls_silent_loses_what_it_had_left() -> None:
    report, seconds = Case({A: FAST, B: FAST.but(stall_at=20_000)}).run()

    assert seconds < 20
    assert came(report)["b"] == 20_000


def test_the_first_place_falls_silent_and_others_bring_the_rest() -> None:
    report, seconds = Case({A: FAST.but(stall_at=50_000), B: FAST}).run()

    assert seconds < 19
    assert sum(came(report).values()) == TOTAL


def test_the_first_place_breaks_off_and_helpers_go_on() -> None:
    report, seconds = Case({A: FAST.but(drop_at=30_000), B: FAST, C: FAST}).run()

    assert seconds < 10
    assert sum(came(report).values()) <= TOTAL + 6000


def test_if_all_helpers_fail_it_comes_as_it_would_have() -> None:
    case = Case({A: FAST, B: FAST.but(drop_at=1000), C: FAST.but(drop_at=2000)})
    report, seconds = case.run()

    assert seconds < 21
    assert sum(came(report).values()) == TOTAL
    assert [type(each.error).__name__ for each in report.attempts] == [
        "Truncated",
        "Truncated",
        *["NoneType"] * (len(report.attempts) - 2),
    ]


def test_what_some_have_brought_stays_if_nobody_can_help_any_more() -> None:
    world = {A: [FAST, Place(error=lambda: ConnectFailed("no")), FAST], B: FAST.but(drop_at=30_000)}
    report, _ = Case(world).run()

    assert [each.offset for each in report.attempts] == [105_000, 135_000, 0]
    assert sum(came(report).values()) == TOTAL


def test_a_first_place_without_ranges_is_no_loss() -> None:
    report, seconds = Case({A: FAST.but(ranges=False), B: FAST}).run()

    assert seconds < 13
    assert sum(came(report).values()) <= TOTAL + 4000


@pytest.mark.parametrize("trusting", [False, True])
def test_a_first_place_that_has_another_version_now_does_not_help(*, trusting: bool) -> None:
    report, _ = Case({A: [FAST, FAST.but(etag=b'"other"', trusting=trusting)], B: SLOW}).run()

    (failed,) = [each for each in report.attempts if each.error is not None]
    assert isinstance(failed.error, NotResumable)
    assert failed.received <= 1000


def test_a_place_that_only_went_on_is_not_held_to_what_another_one_has_said() -> None:
    world = {A: FAST.but(drop_at=30_000), B: FAST.but(etag=b'"b"'), C: FAST.but(etag=b'"c"')}
    case = Case(world)
    report, _ = case.run()

    assert case.asked.count("b") > 1
    assert all(each.same_as is None for each in case.memory.asked)
    assert [type(each.error) for each in report.attempts if each.error is not None] == [Truncated]


def test_helpers_are_asked_as_the_download_itself_would_be() -> None:
    clock = Clock()
    memory = MemoryFetcher({A: FAST, B: FAST}, clock)
    remotes: list[tuple[str, Remote]] = []

    @implementer(IScheme)
    class Asking:
        names = ("memory",)

        def fetcher(self, reactor: Any, remote: Remote, shared: Any) -> Any:
            @implementer(IFetcher)
            class Fetcher:
                head, close = memory.head, memory.close

                def open(self, source: Source, *asked: Any) -> Any:
                    remotes.append((source.url, remote))
                    return memory.open(source, *asked)

            return Fetcher()

    @implementer(IMirrors)
    class Mine:
        def locate(self, source: Source, direct: Any) -> Any:
            return [source, Source(B)]

        def record(self, attempt: Attempt) -> None:
            pass

    own = Remote(segments=OFTEN, headers={"X-Own": "1"})
    downloader = Downloader(clock, mirrors=Mine(), schemes=[Asking()])
    ends: list[Any] = []
    downloader.download(Source(A, SHA, remote=own), Anywhere()).addBoth(ends.append)
    for _ in range(400):
        clock.advance(0.05)

    assert isinstance(ends[0], Report)
    assert {url for url, _ in remotes} == {A, B}
    assert {dict(remote.headers).get(b"X-Own") for _, remote in remotes} == {b"1"}


def test_whatever_was_written_is_forgotten_before_the_whole_is_read_again() -> None:
    first = FAST.but(drop_at=30_000)
    report, _ = Case({A: first, B: FAST.but(ranges=False), C: FAST.but(ranges=False), D: FAST.but(ranges=False)}).run()

    assert report.head.url == B


@pytest.mark.parametrize("retries", [0, 1])
def test_wrong_bytes_of_a_helper_cost_one_more_read_of_the_whole(retries: int) -> None:
    case = Case({A: FAST, B: FAST.but(data=bad(150_000))}, retries=Retries(count=retries))
    report, _ = case.run()

    (failed,) = [each for each in report.attempts if each.error is not None]  # the one that all have brought
    assert isinstance(failed.error, DigestMismatch)
    assert sum(came(report).values()) <= 2 * TOTAL + 4000
    whole = report.attempts[-1]
    assert (whole.source.url, whole.status, whole.received) == (A, 200, TOTAL)


def test_a_good_first_place_is_not_given_up_for_wrong_bytes_of_a_helper() -> None:
    away = Place(error=lambda: ConnectFailed("no"))
    report, _ = Case({A: FAST, B: FAST.but(data=bad(150_000)), C: away}, retries=Retries(count=4)).run()

    assert (report.attempts[-1].source.url, report.attempts[-1].received) == (A, TOTAL)


def test_a_first_place_that_is_wrong_itself_is_asked_for_the_whole_once() -> None:
    case = Case({A: FAST.but(data=bad(0)), B: FAST}, retries=Retries(count=0))
    report, _ = case.run()

    assert sum(came(report).values()) <= 3 * TOTAL + 4000
    assert report.attempts[-1].source.url == B


def test_wrong_bytes_of_a_helper_are_mended_where_pieces_are_known() -> None:
    digests = [hashlib.sha256(DATA[at : at + 10_000]).hexdigest() for at in range(0, TOTAL, 10_000)]
    case = Case({A: FAST, B: FAST.but(data=bad(150_000))}, expect=[SHA, Pieces("sha256", 10_000, digests)])
    report, _ = case.run()

    assert sum(came(report).values()) <= TOTAL + 20_000 + 4000


def test_nobody_is_blamed_for_a_wrong_body_that_several_have_brought() -> None:
    scores: list[Scores] = []

    def scored(mirrors: Any) -> Scores:
        scores.append(Scores(mirrors, explore=0, clock=lambda: 0.0, chance=lambda: 0.5))
        return scores[0]

    case = Case({A: FAST, B: [FAST.but(data=bad(150_000)), FAST]}, wrap=scored)
    report, _ = case.run()

    assert isinstance(report.attempts[-2].error, DigestMismatch)
    assert [each.demerits for each in scores[0].standing([Source(A), Source(B)])] == [0, 0]


class Remembering(Listed):
    """Remembers what was told."""

    def __init__(self, *places: Any) -> None:
        super().__init__(*places)
        self.told: list[Attempt] = []

    def record(self, attempt: Attempt) -> None:
        self.told.append(attempt)


def test_all_bytes_are_there_although_the_attempt_failed_and_nobody_is_asked_any_more() -> None:
    mine = Remembering(A, B)
    away = Place(error=lambda: NotFound(404))
    report, seconds = Case({A: FAST.but(drop_at=TOTAL), B: away}, wrap=lambda _: mine).run()

    assert seconds < 21
    assert [(each.source.url, type(each.error)) for each in mine.told] == [(B, NotFound), (A, Truncated)]
    assert report.attempts == tuple(mine.told)


@pytest.mark.parametrize("scored", [False, True])
def test_the_seconds_of_an_attempt_are_those_of_all_its_bodies(*, scored: bool) -> None:
    mine = Remembering(A, B)
    # Both have left, so the first place is asked for the rest in the same attempt.
    world = {A: [FAST, FAST.but(drop_at=1000), FAST.but(every=0.05)], B: FAST.but(drop_at=50_000)}
    scores = used_to_slow_places(Scores(mine, explore=0, chance=lambda: 0.5))
    mine.told.clear()
    case = Case(world, wrap=lambda _: scores if scored else mine)
    report, seconds = case.run()

    first = report.attempts[-1]
    assert first.received == TOTAL - 51_000
    assert first.seconds == pytest.approx(seconds, abs=0.1)
    assert first.open_seconds == pytest.approx(10.5 + 44_000 / 20_000, abs=1)
    assert (first.waited or 0) == pytest.approx(0, abs=0.1)


# ---- pauses and ends


def test_promise_6_all_pause_while_the_consumer_does() -> None:
    case = Case({A: FAST, B: FAST, C: FAST}, timeouts=Timeouts(idle=5))
    case.wait(3)
    assert case.memory.running == 3

    case.consumer.pause()
    case.wait(1)
    before = case.consumer.written
    case.wait(20)
    assert case.consumer.written == before
    case.consumer.resume()

    report, seconds = case.run()
    assert seconds < 33
    assert all(each.error is None for each in report.attempts)


def test_promise_5_cancelled_all_are_dropped_at_once() -> None:
    case = Case({A: FAST, B: FAST, C: FAST})
    case.wait(3)
    assert case.memory.running == 3

    case.running.cancel()

    assert case.memory.running == 0
    error, _ = case.run()
    assert isinstance(error, CancelledError)


def test_promise_5_cancelled_by_what_takes_the_first_bytes_of_a_part_it_ends_after_that_part() -> None:
    """So early that nobody waits for more of it yet."""

    class Cancels(Anywhere):
        def put(self, at: int, data: bytes) -> int:
            stop = super().put(at, data)
            if at >= 50_000:
                case.running.cancel()
            return stop

    case = Case({A: FAST, B: FAST.but(stall_at=1000)}, Cancels())
    case.wait(2)

    error, seconds = case.run()
    assert isinstance(error, CancelledError)
    assert seconds == pytest.approx(2)


@pytest.mark.parametrize("seconds", [0.5, 3, 10.8, 11.2])
def test_the_time_for_all_of_it_is_up(seconds: float) -> None:
    error, ended = Case({A: FAST, B: FAST}, timeouts=Timeouts(total=seconds)).run()

    assert isinstance(error, TimedOut)
    assert error.phase == "total"
    assert ended == pytest.approx(seconds, abs=0.1)


def test_a_consumer_that_is_gone_ends_all() -> None:
    case = Case({A: FAST, B: FAST, C: FAST})
    case.wait(3)
    case.consumer.leaving[0].callback(ConsumerFailed("the disk is full"))

    assert case.memory.running == 0
    assert isinstance(case.run()[0], ConsumerFailed)


@pytest.mark.parametrize("what", ["part", "reread", "seek"])
def test_a_consumer_that_raises_ends_all(what: str) -> None:
    case = Case({A: FAST, B: FAST})

    def raising(*_: Any) -> Any:
        raise OSError("no")

    setattr(case.consumer, what, raising)
    error, _ = case.run()

    assert isinstance(error, ConsumerFailed)


@implementer(IFetcher, IScheme)
class ByHand:
    """The first answer is written by hand."""

    names = ("memory",)

    def __init__(self, answer: HandWritten, memory: MemoryFetcher) -> None:
        self._answers = [answer]
        self._memory = memory
        self.head = memory.head
        self.close = memory.close

    def fetcher(self, reactor: Any, remote: Any, shared: Any) -> Any:
        return self

    def open(self, source: Source, span: Any = None, same_as: Any = None) -> Deferred[Any]:
        return succeed(self._answers.pop()) if self._answers else self._memory.open(source, span, same_as)


def beginning(body: HandWritten) -> None:
    body.write(DATA[:50_000])


@pytest.mark.parametrize("helper", [FAST, SLOW])
def test_bytes_that_were_kept_go_on_over_those_of_a_helper(helper: Place) -> None:
    clock, consumer, progress = Clock(), Anywhere(), Progress()
    written = HandWritten(Head(A, 200, (), TOTAL, None, TOTAL), beginning)
    memory = MemoryFetcher({A: FAST, B: helper}, clock)
    mirrors = Places([A, B], under=A, original=False)
    schemes = [ByHand(written, memory)]
    downloader = Downloader(clock, Remote(segments=OFTEN), mirrors=mirrors, schemes=schemes, progress=progress)
    ends: list[Any] = []
    downloader.download(Source(A, SHA), consumer).addBoth(ends.append)
    for _ in range(45):
        clock.advance(0.05)
    assert [(each.url, each.span) for each in memory.asked] == [(B, Span(125_000, TOTAL))]
    assert len(consumer.data) > 125_000

    consumer.pause()
    written.write(DATA[50_000:130_000])
    written.end(Truncated(130_000, TOTAL))
    consumer.resume()
    for _ in range(2000):
        clock.advance(0.05)

    assert isinstance(ends[0], Report)
    assert memory.asked[1].span == Span(130_000)
    assert all(each.span is not None and each.span.start >= 130_000 for each in memory.asked[1:])
    assert consumer.kept == DATA
    assert clock.getDelayedCalls() == []
    assert progress.size == TOTAL
    assert progress.brought == sum(each.received for each in ends[0].attempts)


def test_promise_5_it_ends_when_the_last_helper_has() -> None:
    """Some protocols take their time to let go."""
    clock = Clock()

    class Late(Deferred[Any]):
        def cancel(self) -> None:
            clock.callLater(1, self.errback, CancelledError())

    class Lingering(ByHand):
        def open(self, source: Source, span: Any = None, same_as: Any = None) -> Deferred[Any]:
            return super().open(source, span, same_as) if self._answers else Late()

    written = HandWritten(Head(A, 200, (), TOTAL, None, TOTAL), beginning)
    scheme = Lingering(written, MemoryFetcher({}))
    mirrors = Places([A, B], under=A, original=False)
    downloader = Downloader(clock, Remote(segments=OFTEN), mirrors=mirrors, schemes=[scheme])
    ends: list[Any] = []
    running = downloader.download(Source(A, SHA), Anywhere())
    running.addErrback(lambda failure: ends.append((failure.type, clock.seconds())))
    for _ in range(30):
        clock.advance(0.05)

    running.cancel()
    assert not ends
    clock.advance(1)

    assert ends == [(CancelledError, pytest.approx(2.5))]


def test_promise_9_if_nothing_helps_all_attempts_are_told() -> None:
    case = Case({A: FAST.but(data=bad(0)), B: FAST.but(data=bad(1))}, retries=Retries(count=0))
    error, _ = case.run()

    assert isinstance(error, DigestMismatch)
    assert sum(each.received for each in error.attempts) <= 3 * TOTAL + 4000  # together, and each alone
    assert {each.source.place.host for each in error.attempts} == {"a", "b"}


def test_what_brings_more_than_it_should_at_once_ends_at_once_although_nothing_follows() -> None:
    """Else it would still bring a part of what is forgotten when the whole has to come from another place."""
    first = Place(DATA, etag=b'"1"', chunk=65_536, every=0.01, stall_at=40_001)
    helps = [Place(DATA, chunk=65_536, every=0.01, stall_at=40_000), FAST.but(ranges=False)]
    case = Case({A: [first, FAST], B: helps, C: FAST}, retries=Retries(count=4), timeouts=Timeouts(idle=10))

    report, _ = case.run()

    assert isinstance(report, Report), report


# ---- whatever they do

BODIES = {"right": DATA, "wrong": bad(70_000), "short": DATA[:-1]}
breaks = st.one_of(st.none(), st.none(), st.integers(0, TOTAL))
places = st.fixed_dictionaries(
    {
        "data": st.sampled_from(["right", "right", *BODIES]),  # a whole body would be a long report
        "etag": st.sampled_from([b'"1"', b'"2"', None]),
        "ranges": st.sampled_from([True, True, True, False]),
        "drop_at": breaks,
        "stall_at": breaks,
        "chunk": st.sampled_from([977, 1000, 65_536]),
        "every": st.sampled_from([0.01, 0.1, 1]),
    }
)
scripts = st.lists(places, min_size=1, max_size=3)
pauses = st.lists(st.integers(1, 400), max_size=4)


STALLS = {"data": "right", "etag": b'"1"', "ranges": True, "drop_at": None, "stall_at": 1, "chunk": 977, "every": 0.01}


@given(st.lists(scripts, min_size=1, max_size=3), st.integers(0, 3), st.sampled_from([0.01, 0.1]), pauses)
@example([[STALLS, {**STALLS, "stall_at": None}]], 0, 0.1, [99, 310])  # all has come while the consumer pauses
def test_if_one_place_is_good_the_file_is_there_and_nothing_is_left(
    world: list[list[dict[str, Any]]], at: int, every: float, pauses: list[int]
) -> None:
    made = [[Place(**{**each, "data": BODIES[each["data"]]}) for each in script] for script in world]
    made.insert(at, [Place(DATA, chunk=1000, every=every)])
    case = Case(dict(zip((A, B, C, D), made, strict=False)), retries=Retries(count=4), timeouts=Timeouts(idle=10))
    for ticks in pauses:
        case.wait(ticks / 20)
        if not case.ends and case.consumer.head is not None:
            case.consumer.pause()
            case.wait(ticks / 20)
            case.consumer.resume()

    report, _ = case.run(most=5000)

    assert isinstance(report, Report), report
    rejected = [each for each in report.attempts if isinstance(each.error, DigestMismatch)]
    again = [each for each in report.attempts if each.status == 200 and each.offset == 0]
    assert sum(came(report).values()) <= TOTAL * (len(rejected) + len(again)) + 70_000 * len(report.attempts)
