"""What was given and what comes now, at the odd moments: never a wrong body, never one that lacks a piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import Digest, Limits, Remote, Report, Retries, Size, Source
from pulp_dl.engine.downloader import Downloader
from pulp_dl.engine.sharing import Sharing
from pulp_dl.errors import ConsumerFailed, DownloadError, NotResumable, TooLarge, Truncated
from pulp_dl.flow.workers import InlineLane, InlineWorkers
from pulp_dl.mirrors.interfaces import IVouching
from pulp_dl.mirrors.places import Places
from pulp_dl.model.source import Head, Span
from pulp_dl.testing import (
    Cut,
    Entity,
    FaultServer,
    MemoryFetcher,
    MemoryScheme,
    Nth,
    OnPath,
    Place,
    Recorder,
    Reset,
    RewindableRecorder,
    Send,
    answer,
    redirect,
    response_head,
)
from tests.sinks import Resumed

from .by_hand import URL, Answers, HandWritten, body, head

DATA = bytes(range(256)) * 800
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
PIECE = DATA[:1000]
A, B, C = URL, "memory://b/file", "memory://c/file"


def download(
    scheme: Any,
    source: Source | str,
    consumer: Any,
    *order: str,
    workers: Any = None,
    mirrors: Any = None,
    then: Callable[[], object] | None = None,
    **remote: Any,
) -> Report:
    """The report, or what was raised; C{then} is called when all stands still for the first time."""
    clock = Clock()
    mirrors = Places(order, under=A) if order else mirrors
    downloader = Downloader(clock, Remote(**remote), mirrors=mirrors, schemes=[scheme])
    downloader._shared.workers = workers or InlineWorkers()  # type: ignore[assignment]
    ends: list[Any] = []
    downloader.download(source, consumer).addBoth(ends.append)
    if then is not None:
        then()
    for _ in range(1000):
        if not ends:
            clock.advance(1)
    assert ends, "still running"
    assert clock.getDelayedCalls() == []
    if isinstance(ends[0], Failure):
        ends[0].raiseException()
    report: Report = ends[0]
    return report


# ---- a body from its beginning, for a consumer that cannot forget


def test_promise_2_wrong_bytes_that_a_response_has_never_pass_for_the_beginning_of_the_right_body() -> None:
    """The right body comes in one piece, so that its end is there before its beginning has been compared."""
    consumer = Recorder()
    memory = MemoryFetcher(
        {
            A: Place(b"!" + DATA[1:], None, drop_at=100_000, ranges=False),
            B: Place(DATA, None, ranges=False, chunk=len(DATA)),
        }
    )

    with pytest.raises(NotResumable):
        download(MemoryScheme(memory), Source(A, SHA), consumer, A, B)

    assert len(consumer.data) < len(DATA)
    assert not consumer.finished


def test_promise_3_a_place_with_less_than_a_response_has_does_not_keep_the_next_place_from_being_asked() -> None:
    consumer = Recorder()
    memory = MemoryFetcher(
        {
            A: Place(DATA, None, drop_at=100_000, ranges=False, length=False),
            B: Place(DATA[:10_000], None, ranges=False),
            C: Place(DATA, None, ranges=False),
        }
    )

    download(MemoryScheme(memory), Source(A, SHA), consumer, A, B, C)

    assert consumer.data == DATA
    assert memory.urls() == [A, B, C]


@pytest.mark.parametrize("other", [DATA + b"more", DATA[:-1]], ids=["grown", "shrunk"])
def test_promise_3_a_response_never_gets_another_number_of_bytes_than_it_was_told(other: bytes) -> None:
    """The file has changed, the server tells no length any more, and nothing is expected."""
    consumer = Recorder()
    memory = MemoryFetcher(
        {A: [Place(DATA, None, drop_at=100_000, ranges=False), Place(other, None, ranges=False, length=False)]}
    )

    with pytest.raises(DownloadError):
        download(MemoryScheme(memory), A, consumer, retries=Retries(count=1))

    assert len(consumer.data) < len(DATA) or not consumer.finished
    assert len(consumer.data) <= len(DATA)
    assert not consumer.finished


# ---- the rest of a body


def test_promise_3_a_part_that_ends_before_the_file_does_is_no_end_though_the_first_answer_told_no_total() -> None:
    consumer = Recorder()
    answers = Answers(
        body(head(), PIECE, error=Truncated(1000)),
        body(head(3000, Span(1000, 2000), length=1000), PIECE),
        body(head(3000, Span(2000, 3000), length=1000), PIECE),
    )

    download(answers, A, consumer)

    assert consumer.data == 3 * PIECE
    assert answers.asked == [None, Span(1000), Span(2000)]


def test_promise_3_a_part_of_a_file_whose_end_nobody_tells_is_not_joined() -> None:
    consumer = RewindableRecorder()
    answers = Answers(
        body(head(), PIECE, error=Truncated(1000)),
        body(head(None, Span(1000, 2000), length=1000), PIECE),
        body(head(), PIECE, PIECE, PIECE),
    )

    download(answers, A, consumer)

    assert consumer.data == 3 * PIECE
    assert answers.asked == [None, Span(1000), None]


def test_promise_3_a_server_that_ignores_if_range_and_tells_another_date_is_not_joined() -> None:
    days = ((b"Mon", 1), (b"Tue", 2), (b"Fri", 5))
    monday, tuesday, friday = (b"%s, %02d Jan 2024 00:00:00 GMT" % day for day in days)
    new = DATA[3000:6000]
    consumer = RewindableRecorder()
    old_head = head(3000, ETag=None, Last_Modified=monday, Date=friday)
    rest_head = head(3000, Span(1000, 3000), length=2000, ETag=None, Last_Modified=tuesday, Date=friday)
    new_head = head(3000, ETag=None, Last_Modified=tuesday, Date=friday)
    answers = Answers(
        body(old_head, PIECE, error=Truncated(1000, 3000)), body(rest_head, new[1000:]), body(new_head, new)
    )

    download(answers, A, consumer)

    assert consumer.data == new


@pytest.mark.parametrize("kind", [Recorder, RewindableRecorder])
@pytest.mark.parametrize("judged", [False, True])
async def test_promise_3_one_name_that_leads_to_two_places_is_no_proof_that_they_have_one_file(
    reactor: Any, kind: Any, judged: bool
) -> None:
    """As a redirector of mirrors does; their files have one date and one size, and so nginx gives them one ETag."""
    was, is_now = DATA[:200_000], DATA[:200_000] if judged else b"!" * 200_000
    consumer = kind()
    async with (
        FaultServer(reactor, {}) as redirector,
        FaultServer(reactor, OnPath({"/f": Nth([Cut(answer(Entity(was, b'"1"')), after=100_000), Reset()])})) as first,
        FaultServer(reactor, OnPath({"/f": answer(Entity(is_now, b'"1"'))})) as second,
        Downloader(reactor, Remote(retries=Retries(count=2, base=0.01))) as downloader,
    ):
        redirector.script = OnPath({"/f": Nth([redirect(first.url("/f")), redirect(second.url("/f"))])})
        source = Source(redirector.url("/f"), Digest("sha256", hashlib.sha256(was).hexdigest()) if judged else ())
        if kind is Recorder and not judged:
            with pytest.raises(NotResumable):
                await downloader.download(source, consumer)
            assert not consumer.finished
        else:
            await downloader.download(source, consumer)
            assert consumer.data == is_now
        assert second.requests[0].get(b"range") == b"bytes=100000-"
        assert (len(second.requests) == 1) is judged


async def test_promise_3_a_rest_that_tells_no_date_is_not_joined_by_the_date(reactor: Any) -> None:
    """It is asked for with If-Range first; whoever is asked once more for what is left does not say that again."""
    was, is_now = b"a" * 2_000_000, b"b" * 2_000_000
    dates = ((b"Last-Modified", b"Mon, 01 Jan 2024 00:00:00 GMT"), (b"Date", b"Tue, 02 Jan 2024 00:00:00 GMT"))
    whole = ((b"Content-Length", b"2000000"),)

    def rest(request: Any) -> Any:
        if request.get(b"if-range") or not request.get(b"range"):
            return (Send(response_head(200, whole)), Send(is_now))
        start = int(request.get(b"range")[6:].split(b"-")[0])
        fields = (
            (b"Content-Range", b"bytes %d-1999999/2000000" % start),
            (b"Content-Length", b"%d" % (2_000_000 - start)),
        )
        return (Send(response_head(206, fields)), Send(is_now[start:]))

    busy = Send(response_head(503, ((b"Content-Length", b"0"), (b"Retry-After", b"0"))))
    script = Nth([(Send(response_head(200, (*dates, *whole))), Send(was)), busy, rest])
    slow, quick = Recorder(reactor, pause_after=1), Recorder()
    async with FaultServer(reactor, script) as server:
        remote = Remote(retries=Retries(count=2, base=0.01))
        sharing = Sharing(Downloader(reactor, remote), reactor, window=200_000)
        left_behind = sharing.download(server.url("/f"), slow)
        await sharing.download(server.url("/f"), quick)
        slow.resume()
        with pytest.raises(NotResumable):
            await left_behind
        await sharing.close()

    assert quick.data == was
    assert not slow.finished
    assert {*slow.data} == {ord("a")}


def test_promise_3_no_digest_of_the_whole_stands_in_for_the_etag_that_the_rest_of_a_part_lacks() -> None:
    size = len(DATA)
    consumer = Recorder()
    answers = Answers(
        body(head(size, Span(0, 3000), length=3000), PIECE, error=Truncated(1000, 3000)),
        body(head(size, Span(1000, 3000), length=2000, ETag=None), DATA[5000:7000]),
        body(head(size, Span(0, 3000), length=3000), DATA[:3000]),
    )

    with pytest.raises(NotResumable):
        download(answers, Source(A, SHA, span=Span(0, 3000)), consumer, retries=Retries(count=1))

    assert consumer.data == PIECE
    assert not consumer.finished


# ---- bytes that came while the valve was closed


def test_promise_3_what_a_failed_attempt_left_does_not_follow_a_rewind() -> None:
    class Forgetful(RewindableRecorder):
        def rewind(self, head: Head) -> None:
            super().rewind(head)
            self.resume()  # there is room again

    new = DATA[100:3100]
    consumer = Forgetful(pause_after=1)
    answers = Answers(body(head(3000), PIECE, PIECE, error=Truncated(2000, 3000)), body(head(3000, ETag=b'"2"'), new))

    download(answers, Source(A, Digest("sha256", hashlib.sha256(new).hexdigest())), consumer)

    assert consumer.data == new


def test_promise_3_what_waited_for_the_checks_does_not_follow_a_rewind() -> None:
    class Full(InlineLane):
        def put(self, job: Any, weight: int) -> bool:
            super().put(job, weight)
            return True  # and never relieved

    class Workers(InlineWorkers):
        def lane(self, relieved: Any, failed: Any, limit: int | None = 0) -> InlineLane:
            return Full(failed)

    old, new = bytes(1 << 20), b"n" * (1 << 20)
    consumer = RewindableRecorder()
    answers = Answers(
        body(head(1 << 20), *[old[:65536]] * 12, error=Truncated(12 * 65536, 1 << 20)),
        HandWritten(head(1 << 20, ETag=b'"2"'), lambda written: written.write(new[:200_000])),
    )
    downloader = Downloader(Clock(), schemes=[answers])
    downloader._shared.workers = Workers()  # type: ignore[assignment]
    running = downloader.download(Source(A, Digest("sha256", hashlib.sha256(new).hexdigest())), consumer)
    downloader._reactor.advance(1)

    assert consumer.data == new[:200_000]
    running.addErrback(lambda _: None).cancel()


# ---- bytes of an earlier run


@pytest.mark.parametrize("total", [None, 1000])
def test_promise_3_more_bytes_of_an_earlier_run_than_are_expected_now_are_forgotten(total: int | None) -> None:
    new = DATA[5000:5500]
    consumer = Resumed(PIECE, head(total))
    answers = Answers(body(head(500, ETag=b'"2"'), new))

    download(answers, Source(A, (Size(500), Digest("sha256", hashlib.sha256(new).hexdigest()))), consumer)

    assert consumer.data == new
    assert answers.asked == [None]


@pytest.mark.parametrize(("expect", "limit"), [(Size(2000), None), ((), 2000)])
def test_promise_6_the_rest_of_an_earlier_run_is_limited_too(expect: Any, limit: int | None) -> None:
    consumer = Resumed(PIECE, head(2000 if limit is None else None))
    answers = Answers(body(head(2000, Span(1000, 2000)), *[PIECE] * 100))

    with pytest.raises(TooLarge):
        download(answers, Source(A, expect), consumer, limits=Limits(max_size=limit), retries=Retries(count=0))

    assert len(consumer.data) <= 2000


@implementer(IVouching)
class Late:
    """It is known only when the second place has answered what the file has to be."""

    def __init__(self) -> None:
        self.answers = 0

    def locate(self, source: Source, direct: object) -> list[Source]:
        return [source]

    def vouched(self, source: Source, place: Source, head: Head) -> list[Digest]:
        self.answers += 1
        return [Digest("sha256", hashlib.sha256(3 * PIECE).hexdigest())] if self.answers > 1 else []

    def record(self, attempt: object) -> None: ...


def test_promise_3_what_is_known_late_is_not_asked_of_a_body_of_which_some_has_been_read() -> None:
    consumer = Resumed(PIECE, head(3000))
    answers = Answers(
        body(head(3000, Span(1000, 3000), length=2000), PIECE, error=Truncated(2000, 3000)),
        body(head(3000, Span(2000, 3000), length=1000), PIECE),
    )

    report = download(answers, A, consumer, mirrors=Late())

    assert consumer.data == 3 * PIECE
    assert answers.asked == [Span(1000), Span(2000)]
    assert not report.validated


# ---- a protocol that misbehaves


def test_a_body_that_raises_after_it_has_registered_does_not_spoil_the_next_attempt() -> None:
    def fault(written: HandWritten) -> None:
        raise ZeroDivisionError

    consumer = Recorder()
    download(Answers(HandWritten(head(1000), fault), body(head(1000), PIECE)), A, consumer)

    assert consumer.data == PIECE


# ---- a consumer that misbehaves


def test_a_consumer_that_raises_while_its_producer_is_taken_away_is_told_of_the_end_all_the_same(
    logged_errors: Any,
) -> None:
    told: list[Failure] = []

    class Strange(Recorder):
        def fail(self, failure: Failure) -> None:
            told.append(failure)

    consumer = Strange(raises={"unregisterProducer": ZeroDivisionError()})
    with pytest.raises(Truncated):
        download(Answers(body(head(2000), PIECE, error=Truncated(1000, 2000))), A, consumer, retries=Retries(count=0))

    assert len(told) == 1
    assert logged_errors.flush(ConsumerFailed)


# ---- a rest that was put behind wrong bytes


@pytest.mark.parametrize("at", [1, 100_000, len(DATA) - 1, len(DATA)])
def test_promise_3_after_wrong_halves_the_place_that_was_asked_last_is_asked_for_all_of_it(at: int) -> None:
    """In one round: a good place that was only asked for a rest has not been asked yet."""
    consumer = RewindableRecorder()
    memory = MemoryFetcher({A: Place(b"!" + DATA[1:], drop_at=at), B: Place(DATA)})

    report = download(MemoryScheme(memory), Source(A, SHA), consumer, A, B, retries=Retries(count=0))

    assert consumer.data == DATA
    assert memory.urls() == ([A, B] if at == len(DATA) else [A, B, B])
    assert sum(each.received for each in report.attempts) == 2 * len(DATA)


def test_promise_3_the_same_holds_for_a_response_that_has_none_of_the_wrong_bytes() -> None:
    data, consumer = DATA[:60_000], Recorder()
    memory = MemoryFetcher({A: Place(b"!" + data[1:], drop_at=30_000), B: Place(data)})
    source = Source(A, Digest("sha256", hashlib.sha256(data).hexdigest()))

    download(MemoryScheme(memory), source, consumer, A, B, retries=Retries(count=0))

    assert consumer.data == data


def test_a_place_that_brought_all_of_a_wrong_body_is_not_asked_again_at_once() -> None:
    """It ignored that only the rest was wanted, so this is its own."""
    memory = MemoryFetcher({A: Place(DATA, drop_at=100), B: Place(DATA[:-1] + b"!", ranges=False), C: Place(DATA)})

    download(MemoryScheme(memory), Source(A, SHA), RewindableRecorder(), A, B, C, retries=Retries(count=0))

    assert memory.urls() == [A, B, C]
