"""
The loop and the pipe together, over places in memory: retries, resumes, joins, hold-back.

Each test names the promise it holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import Attempt, Digest, Limits, Measure, Remote, Report, Retries, Size, Source, Timeouts
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import (
    AuthFailed,
    ConnectFailed,
    ConsumerFailed,
    ConsumerGone,
    DigestMismatch,
    DownloadError,
    NotFound,
    NotResumable,
    ProtocolError,
    ProxyFailed,
    SizeMismatch,
    TimedOut,
    TooLarge,
    Truncated,
    Unavailable,
    UnsupportedScheme,
)
from pulp_dl.interfaces import IBodyConsumer, IDownloader, IMirrors
from pulp_dl.mirrors.places import Places
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder

DATA = bytes(range(256)) * 800  # 200 KiB: more than what is held back, less than what goes to threads
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
A, B, C = "memory://a/file", "memory://b/file", "memory://c/file"


class Case:
    """A Downloader over places in memory, on a clock that the test moves."""

    def __init__(self, places: dict[str, Any], order: Iterable[str] = (), **remote: Any) -> None:
        self.clock = Clock()
        self.fetcher = MemoryFetcher(places)
        mirrors = Places(order, under=A) if order else None
        self.downloader = Downloader(
            self.clock, Remote(**remote), mirrors=mirrors, schemes=[MemoryScheme(self.fetcher)]
        )

    def start(self, source: Source | str, consumer: IBodyConsumer) -> tuple[Deferred[Report], list[Any]]:
        ends: list[Any] = []
        running = self.downloader.download(source, consumer)
        running.addBoth(ends.append)
        return running, ends

    def run(self, source: Source | str, consumer: IBodyConsumer, seconds: float = 1000) -> Report:
        """The report, or what was raised."""
        _, ends = self.start(source, consumer)
        while not ends and seconds > 0:
            self.clock.advance(1)
            seconds -= 1
        assert ends, "still running"
        assert self.clock.getDelayedCalls() == []
        assert self.fetcher.running == 0
        if isinstance(ends[0], Failure):
            ends[0].raiseException()
        report: Report = ends[0]
        return report

    def spans(self) -> list[tuple[str, int | None]]:
        """Who was asked, from which byte on."""
        return [(each.url, None if each.span is None else each.span.start) for each in self.fetcher.asked]


def held(wanted: bytes, got: bytes) -> bool:
    """Is this a beginning that lacks at least one byte?"""
    return len(got) < len(wanted) and wanted.startswith(got)


# ---- one place


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
@pytest.mark.parametrize("size", [0, 1, 65536, 65537, len(DATA)])
def test_a_whole_body_is_given_once_and_in_order(make: Any, size: int) -> None:
    data = DATA[:size]
    consumer = make()

    report = Case({A: Place(data)}).run(
        Source(A, (Digest("sha256", hashlib.sha256(data).hexdigest()), Size(size)), tag="mine"), consumer
    )

    assert consumer.data == data
    assert consumer.finished
    assert (report.size, report.facts["size"], report.validated) == (size, size, True)
    assert report.source.tag == "mine"
    assert [each.error for each in report.attempts] == [None]


def test_with_nothing_expected_nothing_is_held_and_the_report_says_it_was_not_validated() -> None:
    consumer = Recorder()
    case = Case({A: Place(DATA, stall_at=1024)})
    running, ends = case.start(A, consumer)

    assert consumer.data == DATA[:1024]
    running.cancel()
    assert ends[0].check(CancelledError)

    report = Case({A: Place(DATA)}).run(A, Recorder())
    assert not report.validated


def test_a_measure_is_a_fact_and_expects_nothing() -> None:
    report = Case({A: Place(DATA)}).run(Source(A, Measure("sha256")), Recorder())

    assert report.facts == {"sha256": SHA.value}
    assert not report.validated


def test_an_advisory_expectation_is_reported_and_not_raised() -> None:
    report = Case({A: Place(DATA)}).run(Source(A, [Size(1, enforced=False), SHA]), RewindableRecorder())

    assert [type(each) for each in report.advisories] == [SizeMismatch]
    assert report.validated


def test_promise_2_a_consumer_that_cannot_rewind_never_gets_a_complete_body_that_failed_its_checks() -> None:
    bad = DATA[:-1] + b"!"
    consumer = Recorder()

    with pytest.raises(DigestMismatch):
        Case({A: Place(bad)}, retries=Retries(count=0)).run(Source(A, SHA), consumer)

    assert len(bad) - 65536 == len(consumer.data)
    assert held(bad, consumer.data)
    assert consumer.failure is not None
    assert not consumer.finished


@pytest.mark.parametrize("size", [1, 2, 65536])
def test_promise_2_a_small_body_is_judged_whole_before_begin(size: int) -> None:
    consumer = Recorder()

    with pytest.raises(DigestMismatch):
        Case({A: Place(b"x" * size)}, retries=Retries(count=0)).run(Source(A, SHA), consumer)

    assert consumer.head is None
    assert consumer.data == b""


def test_an_announced_size_that_is_wrong_fails_at_the_head_and_no_byte_is_read() -> None:
    consumer = RewindableRecorder()

    with pytest.raises(SizeMismatch):
        Case({A: Place(DATA)}, retries=Retries(count=0)).run(Source(A, Size(5)), consumer)

    assert consumer.head is None


def test_promise_6_no_byte_past_the_expected_size_is_given() -> None:
    consumer = RewindableRecorder()

    with pytest.raises(TooLarge):
        Case({A: Place(DATA, length=False, chunk=7)}).run(Source(A, Size(100)), consumer)

    assert len(consumer.data) <= 100


def test_promise_6_an_unexpected_body_stops_at_max_size() -> None:
    for length in (True, False):
        consumer = RewindableRecorder()

        with pytest.raises(TooLarge):
            Case({A: Place(DATA, length=length)}, limits=Limits(max_size=5000)).run(A, consumer)

        assert len(consumer.data) <= 5000


def test_size_0_is_a_size() -> None:
    with pytest.raises((SizeMismatch, TooLarge)):
        Case({A: Place(b"x", length=False)}, retries=Retries(count=0)).run(Source(A, Size(0)), Recorder())


def test_an_end_that_comes_too_early_is_truncation_though_the_framing_cannot_tell() -> None:
    with pytest.raises(Truncated):
        Case({A: Place(DATA[:100], length=False)}, retries=Retries(count=0)).run(Source(A, Size(200)), Recorder())


# ---- again, at the same place


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
@pytest.mark.parametrize("expect", [(), SHA])
def test_promise_3_same_place_a_body_that_broke_off_goes_on_at_the_offset_with_if_range(make: Any, expect: Any) -> None:
    consumer = make()
    case = Case({A: [Place(DATA, drop_at=100_000), Place(DATA)]})

    report = case.run(Source(A, expect), consumer)

    assert consumer.data == DATA
    assert case.spans() == [(A, None), (A, 100_000)]
    same_as = case.fetcher.asked[1].same_as
    assert same_as is not None
    assert same_as.if_range == b'"1"'
    assert consumer.rewinds == 0 if make is RewindableRecorder else True
    assert [each.received for each in report.attempts] == [100_000, 100_000 + 4800]


def test_promise_3_no_byte_is_fetched_twice_over_many_breaks() -> None:
    consumer = Recorder()
    case = Case({A: [Place(DATA, drop_at=30_000)] * 6 + [Place(DATA)]}, retries=Retries(count=10))

    report = case.run(Source(A, SHA), consumer)

    assert consumer.data == DATA
    assert sum(each.received for each in report.attempts) == len(DATA)


@pytest.mark.parametrize("etag", [b'W/"1"', None])
def test_promise_3_without_a_strong_validator_and_a_digest_a_file_is_read_again(etag: bytes | None) -> None:
    consumer = RewindableRecorder()
    case = Case({A: [Place(DATA, etag, drop_at=100_000), Place(DATA, etag)]})

    case.run(A, consumer)

    assert consumer.data == DATA
    assert case.spans() == [(A, None), (A, None)]
    assert consumer.rewinds == 1


@pytest.mark.parametrize("etag", [b'W/"1"', None])
def test_promise_3_without_a_strong_validator_a_response_goes_on_if_the_same_bytes_come_again(
    etag: bytes | None,
) -> None:
    consumer = Recorder()
    case = Case({A: [Place(DATA, etag, drop_at=100_000), Place(DATA, etag)]})

    case.run(A, consumer)

    assert consumer.data == DATA
    assert case.spans() == [(A, None), (A, None)]


@pytest.mark.parametrize("expect", [(), SHA])
def test_promise_3_a_response_is_cut_if_other_bytes_come_again(expect: Any) -> None:
    consumer = Recorder()
    other = b"!" + DATA[1:]
    case = Case({A: [Place(DATA, None, drop_at=100_000, ranges=False), Place(other, None, ranges=False)]})

    with pytest.raises((NotResumable, DigestMismatch)):
        case.run(Source(A, expect), consumer)

    assert DATA.startswith(consumer.data)
    assert not consumer.finished


def test_promise_3_an_entity_that_changed_between_attempts_is_never_mixed() -> None:
    new = DATA[::-1]
    consumer = RewindableRecorder()
    case = Case({A: [Place(DATA, b'"1"', drop_at=100_000), Place(new, b'"2"')]})

    case.run(A, consumer)

    assert consumer.data == new
    assert consumer.head is not None
    assert consumer.head.etag == b'"2"'


def test_promise_3_a_server_that_ignores_if_range_and_tells_another_etag_is_not_joined() -> None:
    new = DATA[::-1]
    consumer = RewindableRecorder()
    case = Case({A: [Place(DATA, b'"1"', drop_at=100_000), Place(new, b'"2"', trusting=True)]})

    case.run(A, consumer)

    assert consumer.data == new


def test_promise_3_a_rest_without_the_etag_that_was_asked_for_needs_a_digest() -> None:
    new = DATA[::-1]
    for expect, wanted in (((), new), (SHA, DATA)):
        consumer = RewindableRecorder()
        rest = new if expect == () else DATA
        case = Case({A: [Place(DATA, b'"1"', drop_at=100_000), Place(rest, None, trusting=True)]})

        case.run(Source(A, expect), consumer)

        assert consumer.data == wanted


def test_promise_3_416_to_a_resume_reads_again() -> None:
    consumer = RewindableRecorder()
    case = Case({A: [Place(DATA, drop_at=100_000), Place(DATA, status=416), Place(DATA)]})

    case.run(Source(A, SHA), consumer)

    assert consumer.data == DATA


def test_a_body_whose_last_byte_came_before_it_broke_needs_no_other_request() -> None:
    consumer = Recorder()
    case = Case({A: [Place(DATA, drop_at=len(DATA)), Place(b"never asked")]})

    case.run(Source(A, SHA), consumer)

    assert consumer.data == DATA
    assert len(case.fetcher.asked) == 1


def test_what_came_after_a_pause_before_the_break_is_not_fetched_again() -> None:
    consumer = Recorder(pause_after=1)
    case = Case({A: [Place(DATA, drop_at=100_000), Place(DATA)]})
    _, ends = case.start(Source(A, SHA), consumer)
    case.clock.advance(10)
    consumer.resume()
    case.clock.pump([1] * 10)

    assert consumer.data == DATA
    assert not isinstance(ends[0], Failure)
    assert sum(each.received for each in ends[0].attempts) == len(DATA)


# ---- in rounds


def test_rounds_wait_longer_each_time_and_end() -> None:
    case = Case({A: Place(error=lambda: ConnectFailed("refused"))}, retries=Retries(count=3, base=8, cap=1000))
    _, ends = case.start(A, Recorder())
    moments = []
    while not ends:
        if len(case.fetcher.asked) > len(moments):
            moments.append(case.clock.seconds())
        case.clock.advance(0.5)

    moments.append(case.clock.seconds())
    assert len(case.fetcher.asked) == 4
    assert 4 <= moments[1] - moments[0] <= 8.5
    assert 8 <= moments[2] - moments[1] <= 16.5
    assert 16 <= moments[3] - moments[2] <= 32.5
    error = ends[0].value
    assert len(error.attempts) == 4


def test_retry_after_is_honoured_and_capped() -> None:
    place = [
        Place(error=lambda: Unavailable(503, "", A, 20)),
        Place(error=lambda: ProxyFailed("", A, 429, retry_after=86400)),
        Place(DATA),
    ]
    case = Case({A: place}, retries=Retries(retry_after_cap=60))
    _, ends = case.start(A, Recorder())

    case.clock.advance(19.9)
    assert len(case.fetcher.asked) == 1
    case.clock.advance(0.2)
    assert len(case.fetcher.asked) == 2
    case.clock.advance(59.9)
    assert not ends
    case.clock.advance(0.2)
    assert ends


@pytest.mark.parametrize("error", [NotFound(404, "", A), AuthFailed(401, "", A), ConsumerFailed("full")])
def test_what_another_try_cannot_change_is_not_tried_again(error: DownloadError) -> None:
    case = Case({A: Place(error=error)})

    with pytest.raises(type(error)) as caught:
        case.run(A, Recorder())

    assert len(case.fetcher.asked) == 1
    assert len(caught.value.attempts) == 1


def test_promise_9_the_error_carries_the_url_every_attempt_and_a_note_for_each_place() -> None:
    case = Case(
        {A: Place(error=lambda: ConnectFailed("refused", A)), B: Place(error=lambda: NotFound(404, "", B))},
        order=[B, A],
        retries=Retries(count=1),
    )

    with pytest.raises(ConnectFailed) as caught:
        case.run(A, Recorder())

    assert caught.value.url == A
    assert [each.url for each in caught.value.attempts] == [B, A, A]
    assert len(caught.value.__notes__) == 2


@pytest.mark.parametrize("fault", [ZeroDivisionError, SystemExit])
def test_promise_9_what_a_protocol_raises_outside_of_the_tree_is_translated_and_another_place_is_asked(
    fault: Any,
) -> None:
    case = Case({A: Place(error=fault), B: Place(DATA)}, order=[A, B])

    report = case.run(Source(A, SHA), Recorder())

    first = report.attempts[0].error
    assert isinstance(first, ProtocolError)
    assert isinstance(first.__cause__, fault)


def test_not_found_is_the_verdict_only_if_every_place_said_so() -> None:
    case = Case({A: Place(error=lambda: AuthFailed(403, "", A))}, order=[B, A, C])

    with pytest.raises(AuthFailed):
        case.run(A, Recorder())
    with pytest.raises(NotFound):
        Case({}, order=[B, A, C]).run(A, Recorder())


def test_an_unknown_scheme_names_those_there_are() -> None:
    with pytest.raises(UnsupportedScheme, match="memory"):
        Case({}).run("gopher://a/b", Recorder())


# ---- other places


def test_before_the_first_byte_any_place_may_supply_the_file() -> None:
    consumer = Recorder()
    case = Case(
        {A: Place(DATA), B: Place(error=lambda: Unavailable(503, "", B)), C: Place(DATA, silent=False)}, order=[B, C]
    )

    report = case.run(Source(A, SHA), consumer)

    assert [each.url for each in report.attempts] == [B, C]
    assert consumer.head is not None
    assert consumer.head.url == C


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
def test_promise_3_another_place_goes_on_at_the_offset_if_a_digest_will_judge(make: Any) -> None:
    consumer = make()
    case = Case({A: Place(DATA, b'"a"', drop_at=100_000), B: Place(DATA, b'"b"')}, order=[A, B])

    case.run(Source(A, SHA), consumer)

    assert consumer.data == DATA
    assert case.spans() == [(A, None), (B, 100_000)]
    assert case.fetcher.asked[1].same_as is None


def test_promise_3_without_a_digest_another_place_is_read_from_the_beginning_and_compared() -> None:
    consumer = Recorder()
    case = Case({A: Place(DATA, drop_at=100_000), B: Place(DATA)}, order=[A, B])

    case.run(A, consumer)

    assert consumer.data == DATA
    assert case.spans() == [(A, None), (B, None)]


def test_promise_3_another_total_is_not_joined() -> None:
    consumer = RewindableRecorder()
    longer = DATA + b"more"
    sha = Digest("sha256", hashlib.sha256(longer).hexdigest())
    case = Case({A: Place(DATA, drop_at=100_000), B: Place(longer)}, order=[A, B])

    case.run(Source(A, sha), consumer)

    assert consumer.data == longer


def test_promise_3_wrong_bytes_joined_from_another_place_are_found_and_a_file_is_read_again() -> None:
    consumer = RewindableRecorder()
    wrong = DATA[:-1] + b"!"
    case = Case({A: [Place(DATA, drop_at=100_000), Place(DATA)], B: Place(wrong)}, order=[A, B])

    case.run(Source(A, SHA), consumer)

    assert consumer.data == DATA


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
def test_a_digest_mismatch_fails_over_to_the_next_place(make: Any) -> None:
    consumer = make()
    wrong = DATA[:-1] + b"!"  # the difference lies in what is held back
    case = Case({A: Place(wrong), B: Place(DATA)}, order=[A, B])

    report = case.run(Source(A, SHA), consumer)

    assert consumer.data == DATA
    assert [type(each.error) for each in report.attempts] == [DigestMismatch, type(None)]
    (refused, _) = report.attempts
    assert refused.error is not None
    assert str(refused.error).startswith(f"{refused.url}: sha256 is ")


def test_wrong_bytes_that_a_response_has_already_cannot_be_healed() -> None:
    consumer = Recorder()
    case = Case({A: Place(b"!" + DATA[1:]), B: Place(DATA)}, order=[A, B], retries=Retries(count=1))

    with pytest.raises(DownloadError):
        case.run(Source(A, SHA), consumer)

    assert not consumer.finished
    assert len(consumer.data) < len(DATA)


def test_a_mirror_list_is_read_lazily_and_its_own_fault_is_only_logged(logged_errors: Any) -> None:
    pulled: list[str] = []

    @implementer(IMirrors)
    class Lazy:
        def locate(self, source: Source, direct: object) -> Iterable[Source]:
            for url in (B, C, A):
                pulled.append(url)
                yield source.at(url)

        def record(self, attempt: object) -> None:
            raise RuntimeError("its own fault")

    case = Case({C: Place(DATA)})
    downloader = Downloader(
        case.clock,
        Remote(),
        mirrors=Lazy(),
        schemes=[MemoryScheme(case.fetcher)],
    )
    ends: list[Any] = []
    downloader.download(A, Recorder()).addBoth(ends.append)

    assert pulled == [B, C]
    assert ends[0].head.url == C
    assert logged_errors.flush(RuntimeError)


# ---- parts


def test_a_part_is_given_as_a_part_and_not_judged_by_the_digest_of_the_whole() -> None:
    consumer = Recorder()
    report = Case({A: Place(DATA)}).run(Source(A, SHA, span=(10, 20)), consumer)

    assert consumer.data == DATA[10:20]
    assert consumer.head is not None
    assert consumer.head.status == 206
    assert not report.validated


def test_promise_3_a_part_is_healed_at_the_same_place_with_a_strong_validator() -> None:
    consumer = Recorder()
    case = Case({A: [Place(DATA, drop_at=50_000), Place(DATA)]})

    case.run(Source(A, SHA, span=(10, 120_000)), consumer)

    assert consumer.data == DATA[10:120_000]
    assert case.spans() == [(A, 10), (A, 50_010)]


def test_promise_3_a_part_is_not_healed_elsewhere() -> None:
    consumer = Recorder()
    case = Case({A: Place(DATA, drop_at=50_000), B: Place(DATA)}, order=[A, B], retries=Retries(count=0))

    with pytest.raises(DownloadError):
        case.run(Source(A, SHA, span=(10, 120_000)), consumer)

    assert consumer.data == DATA[10:50_010]


def test_a_clients_conditions_are_sent_once_and_304_is_an_answer() -> None:
    consumer = Recorder()
    case = Case({A: [Place(error=lambda: ConnectFailed("x")), Place(DATA)]})
    case.run(Source(A, SHA, conditions={"If-None-Match": '"1"'}), consumer)
    assert [bool(each.source.conditions) for each in case.fetcher.asked] == [True, False]

    consumer = Recorder()
    case = Case({A: Place(DATA)})
    case.run(Source(A, SHA, conditions={"If-None-Match": '"1"'}), consumer)
    assert consumer.head is not None
    assert (consumer.head.status, consumer.data, consumer.finished) == (304, b"", True)


def test_416_to_a_clients_span_is_an_answer() -> None:
    consumer = Recorder()
    Case({A: Place(DATA)}).run(Source(A, span=(len(DATA) + 5, None)), consumer)

    assert consumer.head is not None
    assert (consumer.head.status, consumer.data, consumer.finished) == (416, b"", True)


# ---- time


def test_a_server_that_stalls_is_left_after_the_idle_time_and_the_body_goes_on() -> None:
    consumer = Recorder()
    case = Case({A: [Place(DATA, stall_at=100_000), Place(DATA)]}, timeouts=Timeouts(idle=5))

    report = case.run(Source(A, SHA), consumer)

    assert consumer.data == DATA
    first = report.attempts[0].error
    assert isinstance(first, TimedOut)
    assert (first.phase, first.url) == ("idle", A)


def test_a_slow_reader_is_never_blamed_on_the_server() -> None:
    consumer = Recorder(pause_after=1)
    case = Case({A: Place(DATA)}, timeouts=Timeouts(idle=5, low_speed=1000, low_speed_window=5))
    _, ends = case.start(A, consumer)

    case.clock.pump([1] * 3600)
    assert not ends
    consumer.resume()
    case.clock.pump([1] * 5)

    assert consumer.data == DATA
    assert len(case.fetcher.asked) == 1


def test_the_total_time_holds_over_all_attempts_and_waits() -> None:
    case = Case({A: Place(error=lambda: ConnectFailed("x"))}, timeouts=Timeouts(total=7), retries=Retries(count=100))
    consumer = Recorder()
    _, ends = case.start(A, consumer)

    case.clock.pump([0.5] * 13)
    assert not ends
    case.clock.pump([0.5] * 2)

    error = ends[0].value
    assert isinstance(error, TimedOut)
    assert error.phase == "total"
    assert error.attempts
    assert consumer.failure is not None
    assert case.clock.getDelayedCalls() == []


def test_the_total_time_is_not_measured_any_more_once_the_end_is_waited_for() -> None:
    """It came at once, all of it before C{download} has returned; only the mirrors take their time."""
    closing: Deferred[None] = Deferred()

    @implementer(IMirrors)
    class Slow:
        async def locate(self, source: Source, direct: IDownloader) -> AsyncIterator[Source]:
            try:
                yield source
            finally:
                await closing

        def record(self, attempt: Attempt) -> None: ...

    clock = Clock()
    scheme = MemoryScheme(MemoryFetcher({A: Place(DATA)}))
    remote = Remote(timeouts=Timeouts(total=7))
    ends: list[Any] = []
    Downloader(clock, remote, mirrors=Slow(), schemes=[scheme]).download(A, Recorder()).addBoth(ends.append)
    assert not ends
    assert clock.getDelayedCalls() == []
    closing.callback(None)

    assert isinstance(ends[0], Report)
    assert clock.getDelayedCalls() == []


# ---- the consumer


@pytest.mark.parametrize("when", ["open", "body", "paused", "waiting"])
def test_promise_5_cancelling_drops_all_at_once(when: str) -> None:
    places = {
        "open": Place(DATA, silent=True),
        "body": Place(DATA, stall_at=1000),
        "paused": Place(DATA),
        "waiting": Place(error=lambda: ConnectFailed("x")),
    }
    consumer = Recorder(pause_after=1) if when == "paused" else Recorder()
    case = Case({A: places[when]})
    running, ends = case.start(A, consumer)

    running.cancel()

    assert ends[0].check(CancelledError)
    assert consumer.failure is not None
    assert consumer.failure.check(CancelledError)
    assert case.fetcher.running == 0
    assert case.clock.getDelayedCalls() == []


@pytest.mark.parametrize("when", ["open", "body", "waiting"])
def test_promise_5_a_consumer_that_is_gone_ends_the_download_at_once(when: str) -> None:
    places = {
        "open": Place(DATA, silent=True),
        "body": Place(DATA, stall_at=1000),
        "waiting": Place(error=lambda: ConnectFailed("x")),
    }
    consumer = Recorder()
    case = Case({A: places[when]})
    _, ends = case.start(A, consumer)

    consumer.leave(ConsumerGone("the client left"))

    assert ends[0].check(ConsumerGone)
    assert consumer.failure is not None
    assert consumer.failure.check(ConsumerGone)
    assert case.fetcher.running == 0
    assert case.clock.getDelayedCalls() == []


def test_a_consumer_that_is_gone_before_it_began_costs_no_request() -> None:
    consumer = Recorder()
    consumer.leave(ConsumerGone("the client left"))
    case = Case({A: Place(DATA)})

    with pytest.raises(ConsumerGone):
        case.run(A, consumer)

    assert case.fetcher.asked == []
    assert consumer.failure is not None


def test_a_consumer_that_raises_ends_the_download_and_says_so() -> None:
    consumer = Recorder(raises={"write": LookupError("x")}, raise_at=3)
    case = Case({A: Place(DATA)})

    with pytest.raises(ConsumerFailed) as caught:
        case.run(A, consumer)

    assert caught.value.__cause__ is not None
    assert consumer.failure is not None
    assert len(case.fetcher.asked) == 1


def test_a_finish_that_fails_is_followed_by_fail() -> None:
    consumer = Recorder(raises={"finish": OSError("disk")})

    with pytest.raises(ConsumerFailed, match="disk"):
        Case({A: Place(DATA)}).run(A, consumer)

    assert consumer.failure is not None


def test_a_cancel_waits_for_a_finish_that_has_begun() -> None:
    ending: Deferred[None] = Deferred()
    consumer = Recorder(finishing=ending)
    running, ends = Case({A: Place(DATA)}).start(A, consumer)

    running.cancel()
    assert not ends
    ending.callback(None)

    assert isinstance(ends[0], Report)
    assert consumer.failure is None


@pytest.mark.parametrize("moment", ["begin", "registerProducer", "write", "rewind"])
def test_promise_5_a_cancel_from_inside_of_a_consumer_is_heard(moment: str) -> None:
    case = Case({A: [Place(DATA, None, drop_at=100_000), Place(DATA, None, stall_at=150_000)]})
    consumer = RewindableRecorder()
    running: list[Deferred[Any]] = []

    def cancel(*args: Any) -> None:
        original(*args)
        if running:
            running[0].cancel()

    original = getattr(consumer, moment)
    setattr(consumer, moment, cancel)
    ends: list[Any] = []
    case.fetcher.places[B] = Place(b"", silent=True)
    running.append(case.downloader.download(A, consumer))
    running[0].addBoth(ends.append)
    if moment != "rewind" and not ends:
        running[0].cancel()
    case.clock.pump([1] * 5)

    assert ends
    assert ends[0].check(CancelledError)
    assert case.fetcher.running == 0
    assert case.clock.getDelayedCalls() == []


@pytest.mark.parametrize("moment", ["begin", "registerProducer", "write"])
def test_promise_5_a_cancel_from_inside_of_the_first_write_does_not_wait_for_the_next_byte(moment: str) -> None:
    """It comes before anybody waits for the body, which is delivered already as far as it is there."""
    clock = Clock()
    fetcher = MemoryFetcher({A: Place(DATA, stall_at=1000)}, clock)
    consumer = Recorder()

    def cancel(*args: Any) -> None:
        original(*args)
        running.cancel()

    original = getattr(consumer, moment)
    setattr(consumer, moment, cancel)
    ends: list[Any] = []
    running = Downloader(clock, Remote(), schemes=[MemoryScheme(fetcher)]).download(A, consumer)
    running.addErrback(ends.append)
    clock.advance(0)

    assert ends[0].check(CancelledError)
    assert consumer.failure is not None
    assert fetcher.running == 0
    assert clock.getDelayedCalls() == []


def test_promise_5_a_consumer_that_is_gone_in_its_first_write_ends_the_download_at_once() -> None:
    """All of this is before C{download} has returned."""
    consumer = Recorder()
    consumer.write = lambda data: consumer.leave(ConsumerGone("enough"))
    case = Case({A: Place(DATA, stall_at=1000)})
    _, ends = case.start(A, consumer)

    assert ends[0].check(ConsumerGone)
    assert case.fetcher.running == 0
    assert case.clock.getDelayedCalls() == []


def test_a_cancel_from_inside_that_was_heard_does_not_cut_short_what_clears_away() -> None:
    listed: Deferred[None] = Deferred()
    closing: Deferred[None] = Deferred()
    closed: list[str] = []

    @implementer(IMirrors)
    class Careful:
        async def locate(self, source: Source, direct: IDownloader) -> AsyncIterator[Source]:
            await listed
            try:
                yield source
            finally:
                await closing
                closed.append("well")

        def record(self, attempt: Attempt) -> None: ...

    consumer = Recorder()
    consumer.write = lambda data: running.cancel()
    ends: list[Any] = []
    scheme = MemoryScheme(MemoryFetcher({A: Place(DATA)}))
    running = Downloader(Clock(), Remote(), mirrors=Careful(), schemes=[scheme]).download(A, consumer)
    running.addErrback(ends.append)
    listed.callback(None)
    assert not ends
    closing.callback(None)

    assert ends[0].check(CancelledError)
    assert closed == ["well"]


def test_promise_5_a_cancel_by_a_callback_of_what_is_waited_for_is_heard() -> None:
    listed: Deferred[list[Source]] = Deferred()

    @implementer(IMirrors)
    class Told:
        def locate(self, source: Source, direct: IDownloader) -> Deferred[list[Source]]:
            return listed.addCallback(self.told)

        def told(self, places: list[Source]) -> list[Source]:
            running.cancel()
            return places

        def record(self, attempt: Attempt) -> None: ...

    clock = Clock()
    fetcher = MemoryFetcher({A: Place(DATA, silent=True)}, clock)
    ends: list[Any] = []
    running = Downloader(clock, Remote(), mirrors=Told(), schemes=[MemoryScheme(fetcher)]).download(A, Recorder())
    running.addErrback(ends.append)
    listed.callback([Source(A)])

    assert ends[0].check(CancelledError)
    assert fetcher.running == 0
    assert clock.getDelayedCalls() == []


def test_promise_2_the_last_piece_waits_for_a_consumer_that_pauses() -> None:
    consumer = Recorder(pause_after=3)
    case = Case({A: Place(DATA, chunk=68_268)})
    _, ends = case.start(Source(A, SHA), consumer)
    assert not ends
    consumer.resume()

    assert not isinstance(ends[0], Failure)
    assert consumer.data == DATA


def test_an_error_that_two_downloads_share_has_the_history_of_each() -> None:
    shared = NotFound(404, "", A)
    case = Case({A: Place(error=shared), B: Place(error=shared)})
    _, one = case.start(A, Recorder())
    _, two = case.start(B, Recorder())

    assert [each.url for each in one[0].value.attempts] == [A]
    assert [each.url for each in two[0].value.attempts] == [B]


def test_a_mirror_list_without_an_end_is_not_read_for_ever() -> None:
    case = Case({})
    case.downloader = Downloader(
        case.clock,
        Remote(),
        mirrors=Endless(),  # type: ignore[arg-type]
        schemes=[MemoryScheme(case.fetcher)],
    )
    with pytest.raises(NotFound):
        case.run(A, Recorder())


class Endless:
    def locate(self, source: Source, direct: object) -> Iterable[Source]:
        while True:
            yield source

    def record(self, attempt: object) -> None: ...


@pytest.mark.parametrize("concurrency", [0, -1])
def test_no_place_at_all_is_a_mistake(concurrency: int) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        Case({}).downloader.download_many([], concurrency)


# ---- head and close


def test_head_costs_a_head_and_fails_over() -> None:
    case = Case({B: Place(DATA)}, order=[C, B])
    ends: list[Any] = []

    case.downloader.head(A).addBoth(ends.append)

    assert (ends[0].url, ends[0].length) == (B, len(DATA))
    assert {each.method for each in case.fetcher.asked} == {"HEAD"}


def test_promise_5_close_ends_what_runs_and_refuses_what_comes() -> None:
    case = Case({A: Place(DATA, stall_at=1000)})
    consumer = Recorder()
    _, ends = case.start(A, consumer)
    closed: list[Any] = []

    case.downloader.close().addBoth(closed.append)
    case.downloader.close().addBoth(closed.append)

    assert ends[0].check(CancelledError)
    assert closed == [None, None]
    assert case.fetcher.running == 0
    refused = Recorder()
    _, late = case.start(A, refused)
    assert late[0].check(CancelledError)
    assert refused.failure is not None
    assert refused.failure.check(CancelledError)


def test_promise_5_close_does_not_wait_for_what_callers_make_of_the_end() -> None:
    case = Case({A: Place(DATA, stall_at=1000)})
    running, _ = case.start(A, Recorder())
    running.addBoth(lambda _: case.downloader.close())
    closed: list[Any] = []

    case.downloader.close().addBoth(closed.append)

    assert closed == [None]
