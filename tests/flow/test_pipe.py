"""The pipe by itself: what it asks for, what it joins, and how a pass ends; one attempt after the other, by hand."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import Digest, Measure, Size, Source, Span, Timeouts
from pulp_dl.errors import (
    ConsumerFailed,
    ConsumerGone,
    DigestMismatch,
    DownloadError,
    NotResumable,
    SizeMismatch,
    TimedOut,
    TooLarge,
    Truncated,
)
from pulp_dl.flow.checks import INLINE, REST
from pulp_dl.flow.joins import Ask
from pulp_dl.flow.pipe import Pipe
from pulp_dl.flow.tail import HOLD
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.interfaces import IResumable
from pulp_dl.model.fingerprint import fingerprint
from pulp_dl.model.source import Head, Kept
from pulp_dl.testing import Recorder, RewindableRecorder
from tests.engine.by_hand import URL, HandWritten, body, head
from tests.flow.slow import Slow

DATA = bytes(range(250)) * 12
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
PLACE, OTHER = Source(URL), Source("memory://b/file")
NEVER = Timeouts(idle=None, low_speed=None)


class Case:
    def __init__(self, *expect: Any, consumer: Any = None, **how: Any) -> None:
        self.clock = Clock()
        self.consumer: Any = RewindableRecorder() if consumer is None else consumer
        self.interrupted: list[DownloadError] = []
        timeouts, max_size = how.pop("timeouts", NEVER), how.pop("max_size", None)
        workers = how.pop("workers", None) or InlineWorkers()
        self.source = Source(URL, expect, **how)
        self.pipe = Pipe(self.clock, self.source, self.consumer, workers, timeouts, max_size, self.interrupted.append)
        self.asked: list[Ask] = []

    def begin(self, written: HandWritten, place: Source = PLACE) -> Deferred[None]:
        async def attempt() -> None:
            self.pipe.attempt()
            ask = self.pipe.ask(place)
            self.asked.append(ask)
            await self.pipe.admit(written.head, place, ask)
            await self.pipe.take(written)

        return Deferred.fromCoroutine(attempt())

    def attempt(self, written: HandWritten, place: Source = PLACE) -> None:
        """To its end; raises what it fails with."""
        result(self.begin(written, place))

    def broken(self, size: int = 1000, place: Source = PLACE, answer: Head | None = None) -> None:
        """An attempt that breaks off after so many bytes."""
        with pytest.raises(Truncated):
            self.attempt(body(answer or head(3000), DATA[:size], error=Truncated(size, 3000)), place)

    def expect(self, more: Any, answer: Head | None = None) -> None:
        """Of what the next attempt asks for and this answer begins."""
        ask = Ask(None, None, False) if answer is None else self.pipe.ask(PLACE)
        result(Deferred.fromCoroutine(self.pipe.expect((more,), ask, answer or head(3000))))

    def finish(self) -> Any:
        return result(Deferred.fromCoroutine(self.pipe.finish()))


def result(deferred: Deferred[Any]) -> Any:
    got: list[Any] = []
    deferred.addBoth(got.append)
    assert got, "still running"
    if isinstance(got[0], Failure):
        got[0].raiseException()
    return got[0]


def rest(at: int = 1000, **fields: bytes | None) -> HandWritten:
    return body(head(3000, Span(at, 3000), length=3000 - at, **fields), DATA[at:])


# ---- what it asks for


def test_before_a_byte_has_come_all_is_asked_for() -> None:
    assert Case().pipe.ask(PLACE) == Ask(None, None, False)
    case = Case(span=Span(5, 10))
    assert case.pipe.ask(PLACE) == Ask(Span(5, 10), None, False)
    with pytest.raises(Truncated):
        case.attempt(body(head(3000, Span(5, 10), length=5), error=Truncated(0, 5)))
    assert case.pipe.ask(PLACE) == Ask(Span(5, 10), None, False)


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
@pytest.mark.parametrize(
    ("answer", "expect", "here", "elsewhere"),
    [
        (head(3000), (SHA,), "if-range", "plain"),
        (head(3000), (), "if-range", None),
        (head(3000), (Size(3000),), "if-range", None),
        (head(3000, ETag=b'W/"1"'), (SHA,), "plain", "plain"),
        (head(3000, ETag=b'W/"1"'), (), None, None),
        (head(None), (SHA,), "if-range", None),
        (head(None, ETag=None), (SHA,), None, None),
    ],
)
def test_the_rest_is_asked_for_if_it_can_be_proven(
    make: Any, answer: Head, expect: Any, here: str | None, elsewhere: str | None
) -> None:
    case = Case(*expect, consumer=make())
    case.broken(1000, answer=answer)
    for place, how in ((PLACE, here), (OTHER, elsewhere)):
        wanted = {
            "if-range": Ask(Span(1000), answer.validators, True),
            "plain": Ask(Span(1000), None, True),
            None: Ask(None, None, False),
        }[how]
        assert case.pipe.ask(place) == wanted


def test_the_rest_of_a_part_ends_where_the_part_does_and_comes_from_its_place_only() -> None:
    case = Case(span=Span(500, 2000), consumer=Recorder())
    answer = head(3000, Span(500, 2000), length=1500)
    with pytest.raises(Truncated):
        case.attempt(body(answer, DATA[500:700], error=Truncated(200, 1500)))

    assert case.pipe.ask(PLACE) == Ask(Span(700, 2000), answer.validators, True)
    assert case.pipe.ask(OTHER) == Ask(Span(500, 2000), None, False)
    case.attempt(body(head(3000, Span(700, 2000), length=1300), DATA[700:2000]))
    case.finish()
    assert case.consumer.data == DATA[500:2000]


def test_of_a_part_that_has_all_come_nothing_is_left_to_be_asked_for() -> None:
    case = Case(span=Span(500, 2000), consumer=Recorder())
    answer = head(3000, Span(500, 2000), length=1500)
    with pytest.raises(Truncated):
        case.attempt(body(answer, DATA[500:2000], error=Truncated(1500, 1500)))

    assert case.pipe.ask(PLACE) == Ask(Span(500, 2000), None, False)


def test_what_waits_for_the_consumer_is_not_asked_for_again() -> None:
    case = Case(consumer=Recorder(pause_after=1, slack=5000))
    running = case.begin(body(head(3000), DATA[:1000], DATA[1000:1500], error=Truncated(1500, 3000)))
    assert case.pipe.valve.kept == 500
    assert case.pipe.ask(PLACE).span == Span(1500)
    with pytest.raises(Truncated):
        result(running)


def test_where_a_redirect_led_is_the_same_place_too() -> None:
    case = Case()
    case.broken()
    assert case.pipe.came_from(PLACE)
    assert not case.pipe.came_from(OTHER)

    led = Case()
    with pytest.raises(Truncated):
        led.attempt(body(head(3000), DATA[:10], error=Truncated(10, 3000)), OTHER)
    assert led.pipe.came_from(OTHER)
    assert led.pipe.came_from(PLACE)  # what answered
    assert not led.pipe.came_from(Source("memory://c/file"))


# ---- what it joins


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
def test_halves_that_are_proven_are_one_body(make: Any) -> None:
    case = Case(SHA, consumer=make())
    case.broken(1000)
    assert (case.pipe.received, case.pipe.offset, case.pipe.answered) == (1000, 1000, URL)
    case.attempt(rest(), OTHER)

    assert (case.pipe.received, case.pipe.offset) == (2000, 3000)
    given, facts, advisories = case.finish()
    assert (given, dict(facts), advisories) == (head(3000), {"sha256": SHA.value}, ())
    assert case.consumer.data == DATA
    assert case.consumer.finished


def test_a_body_may_break_off_as_often_as_it_likes() -> None:
    case = Case()
    case.broken()
    for at in (1000, 1500, 2000):
        with pytest.raises(Truncated):
            case.attempt(body(head(3000, Span(at, 3000), length=3000 - at), DATA[at:][:500], error=Truncated(1, 2)))
    assert [ask.span for ask in case.asked] == [None, Span(1000), Span(1500), Span(2000)]


def test_what_was_not_proven_is_read_from_its_beginning_the_next_time() -> None:
    case = Case()
    case.broken()
    with pytest.raises(NotResumable):
        case.attempt(rest(ETag=b'"2"'))
    assert case.pipe.ask(PLACE) == Ask(None, None, False)
    case.broken(200)
    assert case.consumer.data == DATA[:200]
    assert case.consumer.rewinds == 1
    assert case.pipe.ask(PLACE).span == Span(200)


def test_a_rest_may_turn_out_at_its_end_to_be_none() -> None:
    """Some protocols know only then.  It has come by then, and all is asked for anew."""
    case = Case()
    case.broken()
    with pytest.raises(NotResumable):
        case.attempt(body(head(3000, Span(1000, 3000), length=2000), DATA[1000:], error=NotResumable("changed")))
    assert case.pipe.ask(PLACE) == Ask(None, None, False)
    case.attempt(body(head(3000, ETag=b'"2"'), DATA[::-1]))
    case.finish()
    assert case.consumer.data == DATA[::-1]


def test_unless_a_digest_knows_better() -> None:
    case = Case(SHA)
    case.broken()
    case.attempt(body(head(3000, Span(1000, 3000), length=2000), DATA[1000:], error=NotResumable("changed")))
    case.finish()
    assert case.consumer.data == DATA


def test_a_rest_may_tell_how_long_the_file_is() -> None:
    case = Case()
    case.broken(1000, answer=head(None))
    with pytest.raises(Truncated):
        case.attempt(body(head(3000, Span(1000, 2000), length=1000), DATA[1000:2000], error=Truncated(1000, 2000)))
    with pytest.raises(Truncated):
        case.finish()
    assert case.pipe.head is not None
    assert case.pipe.head.total == 3000


def test_a_whole_answer_to_who_asked_for_the_rest_begins_again() -> None:
    case = Case()
    case.broken()
    case.attempt(body(head(3000, ETag=b'"2"'), DATA[::-1]))
    given, _, _ = case.finish()

    assert case.consumer.data == DATA[::-1]
    assert given.etag == case.consumer.head.etag == b'"2"'


def test_who_has_a_head_and_no_bytes_of_it_is_told_the_head_of_what_comes() -> None:
    case = Case()
    case.broken()
    for etag in (b'"2"', b'"3"'):
        with pytest.raises(Truncated):
            case.attempt(body(head(3000, ETag=etag), error=Truncated(0, 3000)))
        assert case.consumer.head.etag == etag
    case.attempt(body(head(2000, ETag=b'"4"'), DATA[:2000]))
    given, _, _ = case.finish()
    assert (given.total, given.etag) == (case.consumer.head.total, case.consumer.head.etag) == (2000, b'"4"')


PART = head(3000, Span(5, 10), length=5)


@pytest.mark.parametrize(
    ("first", "then", "same"),
    [
        (head(3000), head(3000), True),
        (head(3000), head(2999), False),
        (PART, PART, True),
        (PART, head(3000, Span(5, 10), length=5, ETag=b'"2"'), False),
        (PART, head(3001, Span(5, 10), length=5), False),
        (PART, head(3000), False),
    ],
)
def test_who_has_a_head_cannot_forget_it_and_pauses_gets_no_bytes_of_another_file(
    first: Head, then: Head, *, same: bool
) -> None:
    case = Case(consumer=Recorder(pause_after=0), span=first.span)
    with pytest.raises(Truncated):
        case.attempt(body(first, DATA[5:7], error=Truncated(2, 5)))
    assert (case.consumer.head, case.consumer.data) == (first, b"")
    if same:
        case.begin(body(then, DATA[5:10]))
        case.consumer.resume()
        assert case.consumer.data == DATA[5:10]
    else:
        with pytest.raises(NotResumable):
            case.attempt(body(then, DATA[5:10]))


@pytest.mark.parametrize(
    ("other", "joined"),
    [(DATA, True), (b"!" + DATA[1:], False), (DATA[:999] + b"!" + DATA[1000:], False), (DATA[:500], False)],
)
@pytest.mark.parametrize("told", [True, False])
def test_a_response_goes_on_only_if_the_same_bytes_come_again(other: bytes, joined: bool, told: bool) -> None:
    case = Case(consumer=Recorder())
    case.broken(1000, answer=head(None, ETag=None))

    def again() -> None:
        case.attempt(body(head(len(other) if told else None, ETag=None), other[:700], other[700:]))
        case.finish()

    if joined:
        again()
        assert case.consumer.data == DATA
    else:
        with pytest.raises(NotResumable):
            again()
        assert case.consumer.data == DATA[:1000]
        assert case.pipe.offset == 0


def test_a_response_may_be_brought_the_same_bytes_as_often_as_it_takes() -> None:
    """What it has is more each time."""
    case = Case(consumer=Recorder())
    answer = head(3000, ETag=None)
    for size in (1000, 1500, 2000):
        case.broken(size, answer=answer)
        assert case.consumer.data == DATA[:size]
    case.attempt(body(answer, DATA))
    case.finish()
    assert case.consumer.data == DATA


def test_what_is_held_back_of_a_whole_body_is_no_beginning_of_a_part() -> None:
    """A place that passes over the range, and breaks off; and another one, whose part has no digest."""
    case = Case(SHA, consumer=Recorder(), span=Span(500, 2000))
    case.broken(1000, answer=head(None, ETag=None))
    assert case.consumer.data == b""
    case.attempt(body(head(3000, Span(500, 2000), length=1500), DATA[500:2000]), OTHER)
    case.finish()
    assert case.consumer.data == DATA[500:2000]


def test_a_limit_holds_where_neither_answer_tells_the_size() -> None:
    case = Case(SHA, max_size=3000)
    case.broken(1000, answer=head(None))
    case.attempt(body(head(None, Span(1000, 3000), length=2000), DATA[1000:]))
    case.finish()
    assert case.consumer.data == DATA


def test_a_whole_answer_begins_a_body_and_a_rest_does_not() -> None:
    case = Case()
    assert case.pipe.begins(case.pipe.ask(PLACE), head(3000))
    case.broken()
    ask = case.pipe.ask(PLACE)
    assert ask.continues
    assert case.pipe.begins(ask, head(3000))
    assert not case.pipe.begins(ask, rest().head)


def test_who_pauses_as_soon_as_it_has_a_producer_loses_nothing() -> None:
    case = Case(consumer=Recorder(pause_after=0))
    running = case.begin(body(head(3000), DATA[:1000], DATA[1000:]))
    assert (case.consumer.head, case.consumer.data) == (head(3000), b"")
    case.consumer.resume()
    result(running)
    assert case.consumer.data == DATA


def test_what_a_response_has_is_known_though_a_thread_has_not_come_to_it() -> None:
    data = DATA * 100
    case = Case(consumer=Recorder(), workers=Slow())
    answer = head(len(data), ETag=None)
    with pytest.raises(Truncated):
        case.attempt(body(answer, data[:INLINE], data[INLINE:-9], error=Truncated(len(data) - 9, len(data))))
    case.attempt(body(answer, data))
    case.finish()
    assert case.consumer.data == data


def test_a_response_was_told_its_length_and_gets_no_other() -> None:
    for total in (2999, 3001):
        case = Case(consumer=Recorder())
        case.broken(1000, answer=head(3000, ETag=None))
        with pytest.raises(NotResumable, match=f"has {total} bytes here, it had 3000"):
            case.attempt(body(head(total, ETag=None), DATA))

    case = Case(consumer=Recorder())
    case.broken(1000, answer=head(3000, ETag=None))
    with pytest.raises(TooLarge):
        case.attempt(body(head(None, ETag=None), DATA, b"!"))
    assert len(case.consumer.data) <= 3000


def test_the_limit_holds_for_a_body_that_is_read_again() -> None:
    case = Case(consumer=Recorder(), max_size=2000)
    case.broken(1000, answer=head(None, ETag=None))
    with pytest.raises(TooLarge):
        case.attempt(body(head(None, ETag=None), DATA[:2000], DATA[2000:]))
    assert case.consumer.data == DATA[:2000]


def test_a_part_for_a_response_is_not_begun_again() -> None:
    case = Case(consumer=Recorder(), span=Span(0, 2000))
    answer = head(3000, Span(0, 2000), length=2000, ETag=None)
    with pytest.raises(Truncated):
        case.attempt(body(answer, DATA[:10], error=Truncated(10, 2000)))
    with pytest.raises(NotResumable, match="without a strong validator"):
        case.attempt(body(answer, DATA[:2000]))


# ---- how many bytes


def test_one_byte_too_many_ends_it_and_nothing_of_it_can_be_continued() -> None:
    case = Case(max_size=1000)
    with pytest.raises(TooLarge) as caught:
        case.attempt(body(head(None), DATA[:1000], DATA[1000:1001], DATA[1001:]))

    assert caught.value.url == URL
    assert case.consumer.data == DATA[:1000]
    assert case.pipe.ask(PLACE) == Ask(None, None, False)


@pytest.mark.parametrize(("expect", "answer"), [((), head(3000)), ((Size(3000),), head(None))])
def test_one_byte_too_few_is_truncation(expect: Any, answer: Head) -> None:
    case = Case(*expect)
    case.attempt(body(answer, DATA[:-1]))
    with pytest.raises(Truncated):
        case.finish()
    assert not case.consumer.finished


def test_it_is_complete_if_all_bytes_are_here_and_will_be_judged() -> None:
    for expect, size, complete in (((SHA,), 3000, True), ((SHA,), 2999, False), ((), 3000, False)):
        case = Case(*expect)
        assert not case.pipe.complete
        case.broken(size)
        assert case.pipe.complete is complete
    empty = Case(SHA)
    with pytest.raises(Truncated):
        empty.attempt(body(head(0), error=Truncated(0, 0)))
    assert not empty.pipe.complete


# ---- the end


def test_a_wrong_body_is_forgotten_and_a_response_lacks_its_end() -> None:
    bad = DATA[:-1] + b"!"
    case = Case(SHA, consumer=Recorder())
    case.attempt(body(head(3000), bad))
    with pytest.raises(DigestMismatch):
        case.finish()
    assert case.consumer.data == b""
    assert case.pipe.offset == 0

    case.attempt(body(head(3000), DATA))
    case.finish()
    assert case.consumer.data == DATA


def test_after_a_wrong_body_a_response_goes_on_with_the_right_one_if_they_begin_alike() -> None:
    data = DATA * 30
    case = Case(Digest("sha256", hashlib.sha256(data).hexdigest()), consumer=Recorder())
    case.attempt(body(head(len(data)), data[:-1] + b"!"))
    with pytest.raises(DigestMismatch):
        case.finish()
    assert case.consumer.data == data[: len(data) - HOLD]
    with pytest.raises(NotResumable):
        case.attempt(body(head(len(data)), b"!" + data[1:]))

    case.attempt(body(head(len(data)), data[:50], data[50:]))
    case.finish()
    assert case.consumer.data == data


def test_promise_2_what_a_response_has_already_does_not_make_its_end_come_earlier() -> None:
    data = DATA * 70
    case = Case(Digest("sha256", hashlib.sha256(data).hexdigest()), consumer=Recorder())
    answer = head(len(data), ETag=None)
    for wrong in (data[:140_000], data[:-1] + b"!"):
        with pytest.raises((Truncated, DigestMismatch)):
            case.attempt(body(answer, wrong[:100_000], wrong[100_000:]))
            case.finish()
        assert case.consumer.data == data[: min(len(wrong), len(data) - HOLD)]

    case.attempt(body(answer, data))
    case.finish()
    assert case.consumer.data == data


def test_the_last_piece_waits_until_the_consumer_takes_more() -> None:
    consumer = Recorder()
    case = Case(SHA, consumer=consumer, timeouts=NEVER)
    case.attempt(body(head(3000), DATA))
    case.pipe.valve.pauseProducing()
    finishing = Deferred.fromCoroutine(case.pipe.finish())
    assert consumer.data == b""
    case.pipe.valve.resumeProducing()
    result(finishing)
    assert consumer.data == DATA


def test_who_pauses_at_once_has_a_head_and_waits_for_the_only_piece() -> None:
    consumer = Recorder(pause_after=0)
    case = Case(SHA, consumer=consumer)
    case.attempt(body(head(3000), DATA))
    finishing = Deferred.fromCoroutine(case.pipe.finish())
    assert (consumer.head, consumer.data) == (head(3000), b"")
    consumer.resume()
    result(finishing)
    assert consumer.data == DATA


def test_who_leaves_before_the_last_piece_is_gone_and_who_cancels_is_heard() -> None:
    for leave in (True, False):
        case = Case(SHA, consumer=Recorder())
        case.attempt(body(head(3000), DATA))
        case.pipe.valve.pauseProducing()
        finishing = Deferred.fromCoroutine(case.pipe.finish())
        if leave:
            case.pipe.valve.stopProducing()
            assert [type(each) for each in case.interrupted] == [ConsumerGone]
            case.pipe.valve.resumeProducing()
        else:
            finishing.cancel()
        with pytest.raises(ConsumerGone if leave else CancelledError):
            result(finishing)
        assert case.consumer.data == b""
        case.pipe.close()


def test_who_leaves_with_the_last_piece_is_gone() -> None:
    class Leaving(Recorder):
        def write(self, data: bytes) -> None:
            super().write(data)
            self.producer.stopProducing()

    case = Case(SHA, consumer=Leaving())
    case.attempt(body(head(3000), DATA))
    with pytest.raises(ConsumerGone):
        case.finish()
    assert not case.consumer.finished


def test_all_bytes_are_enough_though_the_end_never_came() -> None:
    case = Case(SHA, consumer=Recorder(), timeouts=Timeouts(idle=10, low_speed=None))
    running = case.begin(waiting(head(3000), DATA))
    case.clock.advance(10)
    with pytest.raises(TimedOut):
        result(running)
    assert case.pipe.complete
    case.pipe.valve.hold("rate")
    finishing = Deferred.fromCoroutine(case.pipe.finish())
    case.pipe.valve.release("rate")
    result(finishing)

    assert case.consumer.data == DATA


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
def test_the_end_is_judged_though_a_thread_has_not_come_to_it(make: Any) -> None:
    data = DATA * 100
    case = Case(Digest("sha256", hashlib.sha256(data).hexdigest()), consumer=make(), workers=Slow())
    case.attempt(body(head(len(data)), data[:INLINE], data[INLINE:]))
    case.finish()
    assert case.consumer.data == data


def test_only_what_is_enforced_of_what_the_consumer_got_is_validation() -> None:
    case = Case(SHA)
    assert not case.pipe.validated
    case.attempt(body(head(3000), DATA))
    assert case.pipe.validated

    for expect in ((), (Measure(),), (Size(1, enforced=False),)):
        case = Case(*expect)
        case.attempt(body(head(3000), DATA))
        assert not case.pipe.validated


def test_more_may_be_expected_of_the_next_body() -> None:
    case = Case()
    case.broken()
    case.expect(Size(5))
    with pytest.raises(SizeMismatch):
        case.attempt(body(head(3000), DATA))
    case.expect(SHA)
    with pytest.raises(SizeMismatch):
        case.attempt(body(head(3000), DATA))


def test_more_may_be_expected_of_a_whole_body_that_comes_in_place_of_the_rest() -> None:
    case = Case()
    case.broken()
    assert case.pipe.ask(PLACE).continues
    case.expect(SHA, head(3000))
    case.attempt(body(head(3000), DATA[::-1]))
    with pytest.raises(DigestMismatch):
        case.finish()


def test_of_a_part_only_what_holds_for_parts_is_expected() -> None:
    case = Case(SHA, Measure("md5"), span=Span(0, 10))
    case.attempt(body(head(3000, Span(0, 10), length=10), DATA[:10]))
    _, facts, _ = case.finish()

    assert facts == {"md5": hashlib.md5(DATA[:10]).hexdigest()}


def test_when_it_has_failed_nothing_is_kept_and_the_consumer_knows() -> None:
    case = Case(consumer=Recorder(pause_after=1, slack=5000))
    running = case.begin(body(head(3000), DATA[:10], DATA[10:20], error=Truncated(20, 3000)))
    case.pipe.fail(Truncated(20, 3000))
    assert case.pipe.valve.kept == 0
    assert case.consumer.failure.check(Truncated)
    with pytest.raises(Truncated):
        result(running)
    case.pipe.close()
    assert case.clock.getDelayedCalls() == []


@pytest.mark.parametrize("most", [None, 1500, 5000])
@pytest.mark.parametrize("expect", [(), (Size(2500),), (Size(2000),)])
def test_what_a_rest_tells_of_the_size_bounds_it_too(expect: Any, most: int | None) -> None:
    """Its framing may not, and neither may the head before."""
    case = Case(*expect, max_size=most)
    with pytest.raises(Truncated):
        case.attempt(body(head(None), DATA[:1000], error=Truncated(1000)))
    with pytest.raises(TooLarge):
        case.attempt(body(head(2000, Span(1000, 2000)), DATA[1000:2500]))


# ---- an end that nobody has confirmed

LATER = Head(URL, 200, ((b"ETag", b'"1"'),))  # nobody tells how long it is


def ending(size: int, answer: Head = LATER, start: int = 0) -> HandWritten:
    """So many bytes of the file, and then an end that may be one."""
    return body(answer, DATA[start : start + size], error=Truncated(size, None, URL, unproven=True))


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
@pytest.mark.parametrize("expect", [(SHA,), (Size(3000),), (Size(3000), SHA)])
def test_an_end_that_nobody_has_confirmed_is_one_if_all_that_is_expected_has_come(make: Any, expect: Any) -> None:
    case = Case(*expect, consumer=make())
    case.attempt(ending(3000))
    case.finish()

    assert case.consumer.data == DATA
    assert case.consumer.finished


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
@pytest.mark.parametrize("expect", [(), (Measure(),), (Digest("sha256", SHA.value, enforced=False),), (Size(3001),)])
def test_it_is_none_if_nothing_shows_that(make: Any, expect: Any) -> None:
    case = Case(*expect, consumer=make())
    with pytest.raises(Truncated):
        case.attempt(ending(3000))


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
def test_what_no_digest_confirms_is_gone_on_with(make: Any) -> None:
    """Nothing that is held back has been let go, and nothing of it is counted twice."""
    case = Case(SHA, Measure("md5"), consumer=make())
    case.attempt(ending(1000))
    with pytest.raises(Truncated) as raised:
        case.finish()
    assert raised.value.unproven
    assert (case.pipe.offset, case.consumer.finished) == (1000, False)
    assert case.consumer.data == (b"" if make is Recorder else DATA[:1000])

    case.attempt(ending(2000, head(None, Span(1000, 3000)), 1000))
    _, facts, _ = case.finish()

    assert case.asked[1] == Ask(Span(1000), LATER.validators, True)
    assert case.consumer.data == DATA
    assert facts["md5"] == hashlib.md5(DATA).hexdigest()


def test_an_end_before_is_not_held_against_an_attempt() -> None:
    """The second one says that it is at its end: then it is, and wrong."""
    case = Case(Digest("sha256", "0" * 64))
    case.attempt(ending(3000))
    with pytest.raises(Truncated):
        case.finish()
    case.attempt(body(LATER, DATA), OTHER)
    with pytest.raises(DigestMismatch):
        case.finish()

    case = Case(Digest("sha256", "0" * 64))
    case.attempt(ending(3000))
    with pytest.raises(Truncated):
        case.finish()
    unchanged = Head(URL, 304, LATER.headers)
    case.pipe.attempt()
    result(Deferred.fromCoroutine(case.pipe.admit(unchanged, OTHER, case.pipe.ask(OTHER))))
    assert case.finish()[0] == unchanged


def test_whether_it_is_an_end_is_known_though_a_thread_has_not_come_to_it() -> None:
    data = DATA * 100
    case = Case(Digest("sha256", hashlib.sha256(data).hexdigest()), workers=Slow())
    case.attempt(body(LATER, data[:INLINE], data[INLINE:], error=Truncated(len(data), None, URL, unproven=True)))
    case.finish()
    assert case.consumer.data == data


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
def test_a_part_that_has_all_its_bytes_is_whole_however_it_ends(make: Any) -> None:
    part = Head(URL, 206, LATER.headers, None, Span(1000, 3000), 3000)
    for size in (1999, 2000):
        case = Case(SHA, consumer=make(), span=Span(1000))
        written = ending(size, part, 1000)
        if size < 2000:
            with pytest.raises(Truncated):
                case.attempt(written)
        else:
            case.attempt(written)
            case.finish()
            assert case.consumer.data == DATA[1000:]


def test_a_rest_that_has_more_than_it_says_is_not() -> None:
    case = Case()
    case.broken(1000)
    with pytest.raises(Truncated):
        case.attempt(ending(2000, Head(URL, 206, LATER.headers, None, Span(1000, 2000), 3000), 1000))


@pytest.mark.parametrize("expect", [(), (SHA,)])
def test_what_another_answer_has_said_of_the_size_proves_no_end(expect: Any) -> None:
    """It told so of a file that may have been changed since; a digest knows whether it was."""
    case = Case(*expect, consumer=Recorder())
    case.broken(1000, answer=head(3000, ETag=None))
    if not expect:
        with pytest.raises(Truncated):
            case.attempt(ending(3000), OTHER)
        return
    case.attempt(ending(3000), OTHER)
    case.finish()
    assert case.consumer.data == DATA


def test_a_body_that_is_read_again_may_be_cut_again() -> None:
    """What a client has is more than came of it; so it is not another file, and the rest is asked for."""
    case = Case(SHA, consumer=Recorder())
    with pytest.raises(Truncated):
        case.attempt(body(LATER, DATA, bytes(HOLD), error=Truncated(3000 + HOLD)))
    assert case.consumer.data == DATA
    case.attempt(ending(1000, Head(URL, 200)), OTHER)
    with pytest.raises(Truncated):
        case.finish()
    assert case.pipe.offset == 1000


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
def test_what_is_kept_for_who_pauses_is_judged_too(make: Any) -> None:
    large = DATA * 50  # more than is held back
    case = Case(Digest("sha256", hashlib.sha256(large).hexdigest()), consumer=make(pause_after=1))
    pieces = [large[at : at + 30_000] for at in range(0, len(large), 30_000)]
    running = case.begin(body(LATER, *pieces, error=Truncated(len(large), unproven=True)))
    assert case.consumer.paused
    assert not running.called
    case.consumer.resume()
    assert running.called
    case.finish()
    assert case.consumer.data == large


def test_who_leaves_while_the_rest_waits_ends_it() -> None:
    case = Case(SHA, consumer=RewindableRecorder(pause_after=1))
    running = case.begin(body(LATER, DATA[:1000], DATA[1000:], error=Truncated(3000, unproven=True)))
    case.consumer.producer.stopProducing()
    with pytest.raises(ConsumerGone):
        result(running)

    case = Case(SHA, consumer=RewindableRecorder(pause_after=1))
    running = case.begin(body(LATER, DATA[:1000], DATA[1000:], error=Truncated(3000, unproven=True)))
    running.cancel()
    with pytest.raises(CancelledError):
        result(running)


# ---- what ends an attempt from our side


def waiting(answer: Head, *pieces: bytes) -> HandWritten:
    """A body that brings these, and then nothing."""
    return HandWritten(answer, lambda written: written.write(*pieces))


def test_a_consumer_that_raises_ends_it_and_says_so() -> None:
    raised = ZeroDivisionError("x")
    case = Case(consumer=Recorder(raises={"write": raised}))
    with pytest.raises(ConsumerFailed, match="the consumer raised ZeroDivisionError: x") as caught:
        case.attempt(waiting(head(3000), DATA[:10], DATA[10:]))
    assert caught.value.__cause__ is raised
    case.consumer.check()  # it was given nothing more
    assert case.interrupted == []


def test_a_consumer_that_stops_ends_it_and_what_comes_then_is_not_wanted() -> None:
    case = Case()
    written = waiting(head(3000), DATA[:10])
    running = case.begin(written)
    case.pipe.valve.stopProducing()
    with pytest.raises(ConsumerGone):
        result(running)
    assert case.interrupted == []

    case.pipe.valve.stopProducing()  # while no body comes
    assert [type(each) for each in case.interrupted] == [ConsumerGone]


def test_a_consumer_that_stops_before_a_body_comes_is_heard_at_once() -> None:
    case = Case()
    case.pipe.valve.stopProducing()
    assert [type(each) for each in case.interrupted] == [ConsumerGone]


def test_a_consumer_that_stops_when_the_body_has_ended_and_waits_for_it_is_heard_at_once() -> None:
    case = Case(consumer=Recorder(pause_after=1, slack=5000))
    running = case.begin(body(head(3000), DATA[:10], DATA[10:]))
    case.pipe.valve.stopProducing()
    with pytest.raises(ConsumerGone):
        result(running)


def test_silence_ends_it_and_the_place_is_named() -> None:
    case = Case(timeouts=Timeouts(idle=10, low_speed=None))
    running = case.begin(waiting(head(3000), DATA[:10]))
    case.clock.advance(9)
    running.addErrback(lambda failure: failure)
    assert not running.called
    assert case.pipe.open_seconds == 9
    case.clock.advance(1)
    with pytest.raises(TimedOut) as caught:
        result(running)

    assert (caught.value.phase, caught.value.url) == ("idle", URL)
    assert case.clock.getDelayedCalls() == []


def test_time_in_which_the_consumer_takes_nothing_is_not_silence() -> None:
    case = Case(timeouts=Timeouts(idle=10, low_speed=None))
    written = waiting(head(3000), DATA[:10])
    running = case.begin(written)
    case.clock.advance(6)
    case.pipe.valve.hold("rate")
    case.clock.advance(100)
    case.pipe.valve.release("rate")
    case.clock.advance(3)
    assert case.pipe.open_seconds == 9
    written.write(DATA[10:])
    case.clock.advance(9)
    written.end()
    result(running)

    assert case.pipe.open_seconds == 18
    case.pipe.attempt()
    assert (case.pipe.open_seconds, case.pipe.received) == (0, 0)
    assert case.clock.getDelayedCalls() == []


def test_there_may_be_other_limits_for_some_bodies() -> None:
    case = Case(timeouts=Timeouts(idle=100, low_speed=None))
    for limits, seconds in ((Timeouts(idle=1, low_speed=None), 1), (None, 100)):
        case.pipe.limits = limits
        running = case.begin(waiting(head(3000), DATA[:10]))
        case.clock.advance(seconds - 0.1)
        assert not running.called
        case.clock.advance(0.2)
        with pytest.raises(TimedOut):
            result(running)


def test_checks_hear_that_the_consumer_pauses() -> None:
    """What waits to be a larger piece need not wait as long as the consumer."""
    slow = Slow()
    case = Case(SHA, workers=slow)
    case.pipe.valve.hold("consumer")  # before there are any
    case.pipe.valve.release("consumer")
    running = case.begin(waiting(head(INLINE + 10), bytes(INLINE), bytes(10)))
    assert slow.jobs == []
    case.pipe.valve.hold("consumer")
    case.clock.advance(REST)

    assert len(slow.jobs) == 1
    running.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    case.pipe.fail(CancelledError())
    assert slow.dropped == 1


# ---- bytes of an earlier run


@implementer(IResumable)
class Resumed(RewindableRecorder):
    """Has bytes of an earlier run."""

    def __init__(self, kept: bytes | None, answer: Head, **how: Any) -> None:
        super().__init__(**how)
        self.asked = 0
        self._kept = None if kept is None else Kept(len(kept), answer, lambda: iter([kept]))
        self.writes.extend([kept] if kept else [])

    def kept(self) -> Deferred[Kept | None]:
        self.asked += 1
        return succeed(self._kept)


def resuming(case: Case) -> Pipe:
    result(Deferred.fromCoroutine(case.pipe.resume(case.consumer)))
    return case.pipe


def kept_head(total: int | None = 3000, place: Source = PLACE) -> Head:
    return Head(fingerprint(place.url), 200, ((b"ETag", b'"1"'),), total, None, total)


def test_it_goes_on_behind_what_an_earlier_run_has_left() -> None:
    case = Case(SHA, consumer=Resumed(DATA[:1000], kept_head()))
    pipe = resuming(case)
    assert (pipe.offset, pipe.outlet.given, pipe.answered) == (1000, 1000, None)
    assert (pipe.came_from(PLACE), pipe.came_from(OTHER)) == (True, False)
    case.attempt(rest())
    case.finish()

    assert case.asked == [Ask(Span(1000), kept_head().validators, True)]
    assert case.consumer.data == DATA
    assert case.pipe.validated


def test_it_is_forgotten_when_a_body_begins_anew() -> None:
    case = Case(consumer=Resumed(DATA[:1000], kept_head()))
    resuming(case)
    case.attempt(body(head(3000, ETag=b'"2"'), DATA[::-1]))
    assert (case.pipe.answered, case.pipe.came_from(PLACE)) == (URL, True)
    case.finish()

    assert case.consumer.data == DATA[::-1]


@pytest.mark.parametrize("how", [{"span": Span(5)}, {"conditions": {"If-None-Match": '"1"'}}])
def test_who_wants_a_part_or_has_conditions_does_not_look(how: dict[str, Any]) -> None:
    case = Case(consumer=Resumed(DATA[:1000], kept_head()), **how)
    pipe = resuming(case)
    assert (pipe.offset, pipe.outlet.given) == (0, 0)
    assert case.consumer.asked == 0


@pytest.mark.parametrize("kept", [None, b""])
def test_nothing_is_nothing(kept: bytes | None) -> None:
    pipe = resuming(Case(consumer=Resumed(kept, kept_head())))
    assert (pipe.offset, pipe.outlet.given, pipe.head) == (0, 0, None)


@pytest.mark.parametrize(
    ("expect", "most", "total"),
    [((Size(999),), None, None), ((Size(2999),), None, 3000), ((), 2999, 3000)],
)
def test_what_is_of_no_use_any_more_is_not_gone_on_with_but_has_to_be_forgotten(
    expect: Any, most: int | None, total: int | None
) -> None:
    pipe = resuming(Case(*expect, max_size=most, consumer=Resumed(DATA[:1000], kept_head(total))))
    assert (pipe.offset, pipe.outlet.given) == (0, 1000)


@pytest.mark.parametrize("right", [True, False])
def test_more_may_be_expected_of_what_is_there_and_its_rest(*, right: bool) -> None:
    """The checks begin again, and see what is there."""
    data = DATA if right else b"!" + DATA[1:]
    case = Case(consumer=Resumed(data[:1000], kept_head()))
    pipe = resuming(case)
    assert pipe.begins(pipe.ask(PLACE), rest().head)
    case.expect(SHA, rest().head)
    assert (pipe.offset, pipe.outlet.given) == (1000, 1000)
    case.attempt(rest())
    assert not pipe.begins(case.asked[0], rest().head)
    if right:
        assert case.finish()[1] == {"sha256": SHA.value}
    else:
        with pytest.raises(DigestMismatch):
            case.finish()


def test_bytes_that_wait_for_the_consumer_have_been_read() -> None:
    """They may go through at any moment: what is there could not be looked at again without them."""
    case = Case(consumer=Resumed(DATA[:1000], kept_head(), pause_after=0))
    answer = head(3000, Span(1000, 3000), length=2000)
    resuming(case)
    running = case.begin(body(answer, DATA[1000:1500], error=Truncated(500, 2000)))
    assert (case.pipe.offset, case.pipe.valve.kept) == (1000, 500)
    assert not case.pipe.begins(case.pipe.ask(PLACE), rest(1500).head)

    with pytest.raises(Truncated):
        result(running)
    case.consumer.resume()
    case.attempt(rest(1500))
    case.finish()
    assert case.consumer.data == DATA


def test_what_is_there_may_turn_out_to_be_of_no_use_when_its_rest_has_been_asked_for() -> None:
    case = Case(consumer=Resumed(DATA[:1000], kept_head(None)))
    ask = resuming(case).ask(PLACE)
    case.expect(Size(999), rest().head)
    with pytest.raises(NotResumable, match="no part of what is expected"):
        result(Deferred.fromCoroutine(case.pipe.admit(rest().head, PLACE, ask)))
    assert case.pipe.ask(PLACE) == Ask(None, None, False)

    case.attempt(body(head(999), DATA[:999]))
    case.finish()
    assert case.consumer.data == DATA[:999]


def test_all_that_is_expected_may_be_there() -> None:
    case = Case(Size(1000), consumer=Resumed(DATA[:1000], kept_head(None)))
    assert resuming(case).offset == 1000


def test_what_it_raises_when_it_is_asked_is_its_own_failure() -> None:
    class Broken(Resumed):
        def kept(self) -> Deferred[Kept | None]:
            raise ZeroDivisionError("x")

    with pytest.raises(ConsumerFailed, match="ZeroDivisionError"):
        resuming(Case(consumer=Broken(None, kept_head())))
