"""One fetch for many: who joins, who is too slow, who leaves, and what becomes of the others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from pulp_dl import Head, Measure, Size, Source, Span
from pulp_dl.engine.reader import PIECE
from pulp_dl.engine.transfer import LOOK
from pulp_dl.errors import ConsumerFailed, ConsumerGone, DigestMismatch, NotFound, NotResumable, Truncated
from pulp_dl.flow.window import SMALL
from pulp_dl.interfaces import ICheck, IExpectation, IWorkerUser
from pulp_dl.mirrors.places import Places
from pulp_dl.testing import Place, Recorder, RewindableRecorder

from .shared_case import BODY, SHA256, URL, Case

SLOW = Place(BODY, b'"1"', every=0.01, chunk=4000)
WRONG = BODY[:-1] + b"!"


def paused(after: int = 1) -> Recorder:
    return Recorder(pause_after=after)


# ---- one transfer


def test_whoever_comes_while_the_body_fits_the_window_gets_it_from_the_same_transfer() -> None:
    case = Case(SLOW, window=1_000_000)
    clients = []
    for _ in range(8):
        clients.append(case.get())
        case.turns(3)
    first_bytes = clients[-1].size
    case.end(*clients)

    assert all(each.has_all() for each in clients)
    assert case.spans == [None]
    assert first_bytes > 0  # what was there came at once
    case.nothing_is_left()


def test_a_client_that_is_too_late_for_the_window_has_its_own_fetch() -> None:
    case = Case(SLOW)
    first = case.get()
    case.until(lambda: first.size > 40_000)
    late = case.get()
    case.end(first, late)

    assert first.has_all()
    assert late.has_all()
    assert case.spans == [None, None]
    case.nothing_is_left()


@pytest.mark.parametrize(
    "other",
    [
        Source(URL),
        Source(URL, (SHA256, Size(len(BODY)))),
        Source(URL, SHA256, headers={"X-Who": "me"}),
        Source(URL, SHA256, span=(0, 10)),
        Source(URL, SHA256, conditions={"If-None-Match": '"2"'}),
        Source("memory://elmer:secret@a/f", SHA256),
        Source(URL + "?", SHA256),
        Source(URL, SHA256, found=True),
        Source(URL, SHA256, public=True),
        Source(URL, SHA256, scope="memory://b/"),
    ],
)
def test_other_questions_are_other_transfers(other: Source) -> None:
    case = Case({URL: SLOW, URL + "?": SLOW})
    one, two = case.get(), case.get(source=other)
    case.end(one, two)

    assert one.has_all()
    assert two.report.source is other
    assert len(case.fetcher.asked) == 2


def test_an_expectation_that_cannot_be_compared_has_its_own_fetch() -> None:
    class Unhashable(list[int]):
        enforced = partial = False

        def start(self) -> ICheck:
            return Measure().start()

    odd = implementer(IExpectation)(Unhashable)()
    case = Case(SLOW)
    clients = [case.get(source=Source(URL, odd)) for _ in range(2)]
    case.end(*clients)

    assert all(each.has_all() for each in clients)
    assert len(case.spans) == 2


def test_consumers_that_can_forget_share_with_each_other_and_are_rewound_together() -> None:
    case = Case([SLOW.but(data=WRONG), SLOW], window=1_000_000)
    files = [case.get(RewindableRecorder()) for _ in range(2)]
    response = case.get()
    case.until(lambda: files[0].size > 50_000)
    files.append(case.get(RewindableRecorder()))
    case.end(*files, response)

    assert all(each.has_all() for each in files)
    assert [each.consumer.rewinds for each in files] == [1, 1, 1]
    assert response.has_all()
    case.nothing_is_left()


def test_whoever_comes_just_after_a_rewind_does_not_wait_for_one_who_pauses() -> None:
    class PausesThen(RewindableRecorder):
        def rewind(self, head: Head) -> None:
            super().rewind(head)
            self.pause()

    case = Case([SLOW.but(data=WRONG), SLOW], window=1_000_000)
    pauses = case.get(PausesThen())
    case.until(lambda: pauses.consumer.rewinds)
    late = case.get(RewindableRecorder())
    case.end(late)

    assert late.has_all()
    assert len(case.spans) == 2
    pauses.consumer.resume()
    assert pauses.has_all()
    case.nothing_is_left()


def test_each_has_a_report_with_its_own_source() -> None:
    case = Case(SLOW)
    sources = [Source(URL, SHA256, tag=tag) for tag in "ab"]
    clients = [case.get(source=source) for source in sources]
    case.end(*clients)

    assert [each.report.source for each in clients] == sources
    assert all(each.report.size == len(BODY) and each.report.validated for each in clients)
    assert all(each.report.facts == {"sha256": SHA256.value} for each in clients)


def test_an_answer_without_a_body_is_for_all_who_asked_that() -> None:
    case = Case(Place(BODY, b'"1"', wait=0.01))
    source = Source(URL, conditions={"If-None-Match": '"1"'})
    clients = [case.get(source=source) for _ in range(3)]
    case.end(*clients)

    assert [each.report.head.status for each in clients] == [304] * 3
    assert len(case.spans) == 1
    case.nothing_is_left()


def test_an_empty_body_is_begun_and_finished() -> None:
    case = Case(Place(b"", wait=0.01))
    clients = [case.get(source=URL) for _ in range(3)]
    case.end(*clients)

    assert all(each.consumer.finished and each.consumer.head is not None for each in clients)
    case.nothing_is_left()


# ---- pace


def test_the_fastest_sets_the_pace_and_the_others_take_theirs() -> None:
    case = Case(SLOW, window=1_000_000)
    fast, slow = case.get(), case.get(paused(2))
    case.end(fast)

    assert fast.has_all()
    assert not slow.ends
    slow.consumer.resume()
    assert slow.has_all()  # the transfer ended long ago
    assert case.spans == [None]
    case.nothing_is_left()


def test_when_all_pause_so_does_the_server() -> None:
    case = Case(SLOW.but(every=0), window=1_000_000)
    clients = [case.get(paused(after)) for after in (2, 4)]
    (transfer,) = case.transfers()
    case.turns(50)
    first = [each.size for each in clients]
    case.turns(50)

    assert [each.size for each in clients] == first
    assert transfer.size == first[1]  # nothing comes that nobody takes
    assert first[1] < len(BODY) / 2
    late = case.get()
    case.end(late)
    assert late.has_all()
    for each in clients:
        each.consumer.resume()
        assert each.has_all()
    case.nothing_is_left()


def test_promise_6_no_more_is_kept_than_the_window() -> None:
    case = Case(SLOW.but(chunk=1000))
    clients = [case.get(), case.get(paused(5)), case.get(paused(50))]
    kept = 0
    for _ in range(400):
        case.turns()
        kept = max(kept, *(transfer.size for transfer in case.transfers()))

    assert 35_000 < kept <= 40_000 + 2 * SMALL
    assert clients[0].has_all()


def test_promise_6_one_reader_has_no_window_once_nobody_may_join() -> None:
    case = Case(SLOW)
    client = case.get()
    transfer = case.transfers()[0]
    case.until(lambda: client.size > 40_000)

    assert transfer.size == 0
    case.end(client)
    case.nothing_is_left()


def test_promise_6_what_is_kept_for_those_who_may_come_is_bounded_in_all() -> None:
    urls = [f"memory://a/{number}" for number in range(10)]
    case = Case(dict.fromkeys(urls, SLOW.but(chunk=1000)), spare=50_000, window=1_000_000)
    clients = [case.get(source=url) for url in urls]
    for _ in range(20):
        case.turns()
        assert case.sharing._held <= 50_000
    again = [case.get(source=url) for url in urls]
    case.end(*clients, *again)

    assert all(each.has_all() for each in (*clients, *again))
    assert 10 < len(case.spans) < 20  # the oldest were forgotten
    case.nothing_is_left()


def test_promise_6_a_smaller_window_keeps_less_for_those_who_may_come_too() -> None:
    urls = [f"memory://a/{number}" for number in range(10)]
    case = Case(dict.fromkeys(urls, SLOW.but(chunk=1000)), window=25_000)
    clients = [case.get(source=url) for url in urls]
    kept = 0
    for _ in range(20):
        case.turns()
        kept = max(kept, sum(transfer.size for transfer in case.transfers() if transfer.open))
    case.end(*clients)

    assert 40_000 < kept <= 50_000
    assert all(each.has_all() for each in clients)
    case.nothing_is_left()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        *(({"window": value}, f"window: {value!r} is no number of bytes") for value in (-1, 1.5, True, None, "8M")),
        *(({"spare": value}, f"spare: {value!r} is no number of bytes") for value in (-1, 1.5, True, "8M")),
        *(
            ({"keep_share": value}, f"keep_share: {value!r} is no share")
            for value in (-0.1, 1.1, float("nan"), True, None, "1")
        ),
    ],
)
def test_what_it_cannot_go_by_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Case(SLOW, **how)


@pytest.mark.parametrize("limits", [{"window": 0}, {"keep_share": 0}, {"keep_share": 1}])
def test_the_ends_of_the_ranges_are_in_them(limits: dict[str, Any]) -> None:
    case = Case(SLOW, **limits)
    clients = [case.get(), case.get(paused())]
    case.end(clients[0])
    clients[1].consumer.resume()
    case.end(*clients)

    assert all(each.has_all() for each in clients)
    case.nothing_is_left()


# ---- too slow


def test_a_reader_too_slow_for_the_window_goes_on_from_where_it_is() -> None:
    case = Case(SLOW)
    fast, slow = case.get(), case.get(paused(3))
    case.end(fast)

    assert fast.has_all()
    assert case.spans == [None]  # nothing is asked for while it takes nothing
    had = slow.size
    slow.consumer.resume()
    case.end(slow)

    assert slow.has_all()
    assert case.spans == [None, Span(had)]
    assert slow.report.facts == {"sha256": SHA256.value}
    assert slow.report.validated
    assert slow.report.size == len(BODY)
    case.nothing_is_left()


def test_promise_2_a_reader_that_goes_on_alone_holds_back_its_own_end() -> None:
    case = Case([SLOW, SLOW.but(data=WRONG)], retries=0)
    fast, slow = case.get(), case.get(paused(3))
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert fast.has_all()
    assert isinstance(slow.error, DigestMismatch)
    assert slow.size < len(BODY)
    assert slow.consumer.failure is not None
    case.nothing_is_left()


def test_promise_3_what_follows_a_wrong_rest_is_read_from_the_beginning_and_compared() -> None:
    case = Case([SLOW, SLOW.but(data=WRONG), SLOW])
    fast, slow = case.get(), case.get(paused(3))
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert slow.has_all()
    assert case.spans[2:] == [None]
    case.nothing_is_left()


@pytest.mark.parametrize("expect", [SHA256, ()])
def test_promise_3_without_ranges_the_whole_is_read_again_and_compared(expect: Any) -> None:
    case = Case(SLOW.but(ranges=False, etag=None))
    fast, slow = case.get(source=Source(URL, expect)), case.get(paused(3), source=Source(URL, expect))
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert slow.has_all()
    assert case.spans[-1] is None
    case.nothing_is_left()


@pytest.mark.parametrize("other", [BODY[::-1], BODY[:1000] + b"!" + BODY[1001:], BODY + b"!", BODY[:2000]], ids=len)
@pytest.mark.parametrize("length", [True, False])
def test_promise_3_a_file_that_changed_meanwhile_is_not_joined(other: bytes, *, length: bool) -> None:
    case = Case([SLOW, SLOW.but(data=other, etag=b'"2"', length=length)])
    fast, slow = case.get(source=URL), case.get(paused(3), source=URL)
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert fast.has_all()
    assert isinstance(slow.error, NotResumable)
    assert BODY.startswith(slow.consumer.data)
    case.nothing_is_left()


@pytest.mark.parametrize("had", [0, 1])
@pytest.mark.parametrize(("etag", "joined"), [(b'"2"', False), (b'W/"2"', True), (None, True)])
def test_promise_3_without_a_digest_another_etag_is_another_file_though_nothing_else_tells(
    had: int, etag: bytes | None, *, joined: bool
) -> None:
    case = Case([SLOW, SLOW.but(data=WRONG, etag=etag)], window=1_000_000)
    fast, slow = case.get(source=URL), case.get(paused(had), source=URL)
    case.end(fast)
    look(case)  # it has to go on alone
    slow.consumer.resume()
    case.end(slow)

    assert slow.consumer.head.etag == b'"1"'
    if joined:
        assert slow.consumer.data == WRONG
    else:
        assert isinstance(slow.error, NotResumable)
        assert BODY.startswith(slow.consumer.data)
    case.nothing_is_left()


def test_promise_3_without_a_digest_a_rest_is_asked_for_with_if_range() -> None:
    case = Case(SLOW)
    fast, slow = case.get(source=URL), case.get(paused(3), source=URL)
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert slow.has_all()
    assert case.fetcher.asked[-1].source.conditions == ((b"If-Range", b'"1"'),)
    assert case.spans[-1] is not None


def test_promise_3_a_digest_lets_the_rest_come_from_another_place() -> None:
    other = "memory://b/f"
    places = Places([URL, other], under=URL)
    case = Case({URL: [SLOW, Place(error=lambda: NotFound(404))], other: SLOW.but(etag=b'"9"')}, mirrors=places)
    fast, slow = case.get(), case.get(paused(3))
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert slow.has_all()
    assert case.fetcher.urls()[-1] == other
    assert case.spans[-1] is not None


def test_promise_3_without_a_digest_the_rest_may_not_come_from_another_place() -> None:
    other = "memory://b/f"
    places = Places([URL, other], under=URL)
    case = Case({URL: [SLOW, Place(error=lambda: NotFound(404))], other: SLOW}, mirrors=places)
    fast, slow = case.get(source=URL), case.get(paused(3), source=URL)
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert slow.has_all()  # it was compared with the whole
    assert case.spans[-1] is None


@pytest.mark.parametrize(("etag", "fetches"), [(b'"1"', 1), (None, 2)])
def test_a_part_that_is_too_large_for_the_window_is_shared_only_if_it_can_be_continued(
    etag: bytes | None, fetches: int
) -> None:
    span = Source(URL, SHA256, span=(1000, 170_000))
    case = Case(SLOW.but(etag=etag))
    clients = [case.get(source=span) for _ in range(2)]
    case.end(*clients)

    assert [each.consumer.data for each in clients] == [BODY[1000:170_000]] * 2
    assert len(case.spans) == fetches
    case.nothing_is_left()


def test_a_reader_too_slow_for_a_part_gets_the_rest_of_the_part() -> None:
    span = Source(URL, SHA256, span=(1000, 170_000))
    case = Case(SLOW)
    fast, slow = case.get(source=span), case.get(paused(3), source=span)
    case.end(fast)
    had = slow.size
    slow.consumer.resume()
    case.end(slow)

    assert slow.consumer.data == BODY[1000:170_000]
    assert slow.report.head.status == 206
    assert case.spans == [Span(1000, 170_000), Span(1000 + had, 170_000)]


def test_a_file_too_slow_for_the_window_goes_on_too_and_may_forget() -> None:
    case = Case([SLOW, SLOW.but(data=WRONG), SLOW])
    fast, slow = case.get(RewindableRecorder()), case.get(RewindableRecorder())
    case.until(lambda: slow.size)
    slow.consumer.pause()
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert slow.has_all()
    assert slow.consumer.rewinds == 1
    case.nothing_is_left()


def test_a_reader_that_goes_on_alone_pauses_its_own_server() -> None:
    case = Case(SLOW.but(every=0.001))
    fast, slow = case.get(), case.get(paused(3))
    case.end(fast)
    slow.consumer.resume()
    case.until(lambda: slow.size > 60_000)
    slow.consumer.pause()
    had = slow.size
    case.turns(500)
    assert slow.size == had
    slow.consumer.resume()
    case.end(slow)
    assert slow.has_all()


def test_the_end_waits_for_a_reader_that_pauses_just_before_it() -> None:
    case = Case(SLOW)
    fast, slow = case.get(), case.get(paused(3))
    case.end(fast)
    slow.consumer.resume()
    case.until(lambda: slow.size > len(BODY) - 66_000)
    slow.consumer.pause()
    case.turns(500)
    assert not slow.ends
    assert case.fetcher.running == 1 or slow.size == len(BODY) - 65_536
    slow.consumer.resume()
    case.end(slow)
    assert slow.has_all()
    case.nothing_is_left()


def test_a_check_that_cannot_be_copied_is_judged_by_the_whole() -> None:
    seen = []

    @implementer(ICheck)
    class Adding:
        def update(self, data: bytes) -> None:
            seen.append(len(data))

        def verify(self) -> dict[str, object]:
            return {}

    @implementer(IExpectation)
    class Odd:
        enforced = True
        partial = False

        def start(self) -> Adding:
            return Adding()

    source = Source(URL, (Odd(), SHA256))
    case = Case(SLOW)
    fast, slow = case.get(source=source), case.get(paused(3), source=source)
    case.end(fast)
    slow.consumer.resume()
    case.end(slow)

    assert slow.has_all()
    assert case.spans == [None, None]
    assert sum(seen) == 2 * len(BODY)


# ---- leaving


@pytest.mark.parametrize("how", ["cancel", "gone", "stop", "raise"])
def test_promise_5_who_leaves_hurts_nobody_else(how: str) -> None:
    case = Case(SLOW)
    leaver = case.get(Recorder(raises={"write": OSError("full")}, raise_at=5) if how == "raise" else None)
    stays = case.get()
    case.until(lambda: stays.size > 20_000)
    if how == "cancel":
        leaver.download.cancel()
    elif how == "gone":
        leaver.consumer.leave()
    elif how == "stop":
        leaver.consumer.producer.stopProducing()
    kinds: dict[str, type[Exception]] = {"cancel": CancelledError, "raise": ConsumerFailed}
    assert isinstance(leaver.error, kinds.get(how, ConsumerGone))
    if how != "cancel":
        assert leaver.consumer.failure.value is leaver.error
        assert str(leaver.error.url) == URL
    assert leaver.consumer.failure is not None
    case.end(stays)

    assert stays.has_all()
    assert len(case.spans) == 1
    case.nothing_is_left()


@pytest.mark.parametrize("how", ["cancel", "gone"])
@pytest.mark.parametrize("when", ["before the answer", "in the body", "paused"])
def test_promise_5_when_the_last_one_leaves_the_transfer_ends_at_once(how: str, when: str) -> None:
    case = Case(SLOW.but(wait=1))
    clients = [case.get(), case.get()]
    if when != "before the answer":
        case.until(lambda: clients[0].size > 20_000)
    if when == "paused":
        for each in clients:
            each.consumer.pause()
        case.turns(10)
    for each in clients:
        assert case.fetcher.running == 1
        if how == "cancel":
            each.download.cancel()
        else:
            each.consumer.leave()
        assert each.ends

    case.nothing_is_left()
    again = case.get()
    case.end(again)
    assert again.has_all()


def test_promise_5_a_client_that_left_before_it_asked_costs_no_request() -> None:
    case = Case(SLOW)
    consumer = Recorder()
    consumer.leave()
    client = case.get(consumer)

    assert isinstance(client.error, ConsumerGone)
    assert case.fetcher.asked == []
    case.nothing_is_left()


@pytest.mark.parametrize("how", ["cancel", "leave"])
def test_promise_5_a_reader_that_goes_on_alone_leaves_alone(how: str) -> None:
    case = Case(SLOW)
    fast, slow = case.get(source=URL), case.get(paused(3), source=URL)
    case.until(lambda: fast.size > 80_000)
    slow.consumer.resume()
    case.until(lambda: slow.size > 30_000)
    assert case.fetcher.running == 2
    slow.download.cancel() if how == "cancel" else slow.consumer.leave()
    assert slow.ends
    assert case.fetcher.running == 1
    case.end(fast)
    assert fast.has_all()
    case.nothing_is_left()


def test_promise_5_a_reader_may_leave_from_inside_of_its_write() -> None:
    class Leaving(Recorder):
        def write(self, data: bytes) -> None:
            super().write(data)
            client.download.cancel()

    case = Case(SLOW)
    client, other = case.get(Leaving()), case.get()
    case.end(other)
    assert isinstance(client.error, CancelledError)
    assert client.size == 0 or len(client.consumer.writes) == 1
    assert other.has_all()
    case.nothing_is_left()


def test_a_cancel_waits_for_a_consumer_that_makes_it_last() -> None:
    case = Case(SLOW)
    finishing: Deferred[None] = Deferred()
    client = case.get(Recorder(finishing=finishing))
    case.until(lambda: client.consumer.finished)
    client.download.cancel()
    assert not client.ends
    finishing.callback(None)
    assert client.has_all()
    case.nothing_is_left()


def test_a_consumer_that_cannot_make_it_last_fails_alone() -> None:
    case = Case(SLOW)
    bad, good = case.get(Recorder(raises={"finish": OSError("full")})), case.get()
    case.end(bad, good)
    assert isinstance(bad.error, ConsumerFailed)
    assert bad.consumer.failure is not None
    assert good.has_all()


def test_promise_5_closing_ends_all_and_the_downloader_inside() -> None:
    case = Case(SLOW)
    clients = [case.get(), case.get(paused(1)), case.get(RewindableRecorder())]
    case.until(lambda: clients[0].size > 100_000)
    clients[1].consumer.resume()
    ends: list[Any] = []
    case.sharing.close().addBoth(ends.append)
    case.sharing.close().addBoth(ends.append)
    case.turns(2)

    assert ends == [None, None]
    assert all(isinstance(each.error, CancelledError) for each in clients)
    late = case.get()
    assert isinstance(late.error, CancelledError)
    assert late.consumer.failure is not None
    assert len(case.fetcher.asked) <= 3
    case.nothing_is_left()


# ---- the transfer's death


@pytest.mark.parametrize("bad", [SLOW.but(drop_at=100_000, ranges=False, etag=None), SLOW.but(data=WRONG)])
def test_the_death_of_a_transfer_is_never_taken_for_its_end(bad: Place) -> None:
    case = Case(bad, retries=0, window=1_000_000)
    clients = [case.get(), case.get(paused(2))]
    case.end(*clients)

    assert all(isinstance(each.error, Truncated | DigestMismatch) for each in clients)
    assert not any(each.consumer.finished for each in clients)
    assert all(each.size < len(BODY) for each in clients)
    case.nothing_is_left()


def test_promise_9_each_has_an_error_of_its_own_with_all_attempts() -> None:
    case = Case(SLOW.but(error=lambda: Truncated(1, 2)), retries=1)
    clients = [case.get() for _ in range(3)]
    case.end(*clients)
    errors = [each.error for each in clients]

    assert len({id(each) for each in errors}) == 3
    assert [len(each.attempts) for each in errors] == [2, 2, 2]
    errors[0].add_note("mine")
    assert all("mine" not in each.__notes__ for each in errors[1:])


def test_a_transfer_that_is_healed_is_healed_for_all() -> None:
    case = Case([SLOW.but(drop_at=90_000), SLOW])
    clients = [case.get(), case.get(), case.get(paused(12))]
    case.end(clients[0], clients[1])
    clients[2].consumer.resume()
    case.end(clients[2])

    assert all(each.has_all() for each in clients)
    assert case.spans[:2] == [None, Span(90_000)]


def test_whoever_comes_after_a_death_begins_anew() -> None:
    case = Case([SLOW.but(error=lambda: NotFound(404)), SLOW])
    first = case.get()
    case.end(first)
    second = case.get()
    case.end(second)
    assert isinstance(first.error, NotFound)
    assert second.has_all()


# ---- one more that is no client


def test_what_is_to_be_kept_comes_with_the_first_transfer_of_a_whole_file() -> None:
    asked: list[Source] = []
    kept: list[Recorder] = []

    def keep(source: Source) -> Recorder:
        asked.append(source)
        kept.append(RewindableRecorder())
        return kept[-1]

    case = Case(SLOW, keep=keep)
    whole = Source(URL, SHA256)
    clients = [case.get(source=whole), case.get(source=Source(URL, SHA256, span=(0, 10))), case.get(source=whole)]
    case.end(*clients)

    assert asked == [whole]
    assert kept[0].finished
    assert kept[0].data == BODY
    case.nothing_is_left()


@pytest.mark.parametrize("method", ["begin", "write", "finish", "gone", "keep"])
def test_a_failure_of_what_keeps_hurts_no_client(method: str, logged_errors: Any) -> None:
    kept: list[Recorder] = []

    class Odd(Recorder):
        def gone(self) -> Any:
            self._raise("gone")
            return super().gone()

    def keep(source: Source) -> Recorder:
        if method == "keep":
            raise OSError("disk")
        kept.append(Odd(raises={method: OSError("disk")}, raise_at=3))
        return kept[-1]

    case = Case(SLOW, keep=keep)
    client = case.get()
    case.end(client)

    assert client.has_all()
    assert len(logged_errors.flush(OSError)) == (method == "keep")
    assert all(each.failure is not None for each in kept)
    case.nothing_is_left()


def test_what_keeps_does_not_pace_and_is_left_behind_when_it_is_slower_than_the_window() -> None:
    kept = [Recorder(pause_after=2)]
    case = Case(SLOW, keep=lambda source: kept[0])
    client = case.get()
    case.end(client)

    assert client.has_all()
    assert kept[0].failure is not None
    assert isinstance(kept[0].failure.value, ConsumerFailed)
    case.nothing_is_left()


def test_promise_6_when_all_clients_pause_what_keeps_gets_nothing_either() -> None:
    """A disk may be faster than any client, and what is between them would be kept in memory."""
    kept = [Recorder()]
    case = Case(SLOW, keep=lambda source: kept[0])
    client = case.get(paused(3))
    case.until(lambda: client.consumer.paused)
    had = len(kept[0].data)
    case.turns(200)

    assert len(kept[0].data) == had < len(BODY) / 2
    client.consumer.resume()
    case.end(client)
    assert client.has_all()
    assert kept[0].data == BODY
    case.nothing_is_left()


@pytest.mark.parametrize(("at", "stays"), [(60_000, False), (100_000, True)])
def test_when_the_last_client_leaves_what_keeps_has_the_rest_if_enough_has_come(at: int, stays: bool) -> None:
    kept = [Recorder()]
    case = Case(SLOW, keep=lambda source: kept[0])
    client = case.get()
    case.until(lambda: len(kept[0].writes) and len(kept[0].data) > at)
    client.download.cancel()
    assert isinstance(client.error, CancelledError)
    assert case.fetcher.running == int(stays)
    case.until(lambda: not case.fetcher.running)

    assert kept[0].finished is stays
    assert (kept[0].failure is None) is stays
    assert not stays or kept[0].data == BODY
    case.nothing_is_left()


def test_what_keeps_paces_when_it_is_alone() -> None:
    kept = [Recorder()]
    case = Case(SLOW, keep=lambda source: kept[0])
    client = case.get()
    case.until(lambda: client.size > 40_000 and len(kept[0].data) > 95_000)
    client.download.cancel()
    kept[0].pause()
    case.turns(200)
    had = len(kept[0].data)
    assert had < len(BODY) - 60_000
    kept[0].resume()
    case.until(lambda: kept[0].finished)
    assert kept[0].data == BODY
    case.nothing_is_left()


def test_promise_1_a_bad_body_is_not_kept() -> None:
    kept: list[Recorder] = []

    def keep(source: Source) -> Recorder:
        kept.append(Recorder())
        return kept[-1]

    case = Case(SLOW.but(data=WRONG), keep=keep, retries=0)
    client = case.get()
    case.end(client)
    assert isinstance(client.error, DigestMismatch)
    assert not kept[0].finished
    assert kept[0].failure is not None
    case.nothing_is_left()


def test_close_waits_for_what_is_being_made_to_last() -> None:
    finishing: Deferred[None] = Deferred()
    case = Case(SLOW, keep=lambda source: Recorder(finishing=finishing))
    client = case.get()
    case.end(client)
    ends: list[Any] = []
    case.sharing.close().addBoth(ends.append)
    assert client.has_all()
    assert ends == []
    finishing.callback(None)
    assert ends == [None]


# ---- the rest


def test_workers_are_given_to_all_who_want_them_before_anything_else() -> None:
    @implementer(IWorkerUser)
    class Using(Recorder):
        told: list[str]

        def __init__(self) -> None:
            super().__init__()
            self.told = []

        def use(self, workers: object) -> None:
            self.told.append("use")

        def gone(self) -> Any:
            self.told.append("gone")
            return super().gone()

    kept = [Using()]
    case = Case(SLOW, keep=lambda source: kept[0])
    clients = [case.get(Using())]
    case.turns(5)
    clients.append(case.get(Using()))
    case.end(*clients)
    assert [each.consumer.told for each in clients] == [["use", "gone"]] * 2
    assert kept[0].told == ["use", "gone"]


def test_a_head_is_asked_of_the_downloader_inside() -> None:
    case = Case(SLOW)
    ends: list[Any] = []
    case.sharing.head(URL).addBoth(ends.append)
    case.turns(3)
    assert ends[0].total == len(BODY)
    assert case.fetcher.asked[0].method == "HEAD"


# ---- slow ones that nobody is ahead of any more


PLAIN = SLOW.but(etag=None)  # nothing would prove a rest without a digest


def pair(case: Case, url: str = URL, expect: Any = SHA256, consumer: Any = None) -> Any:
    """One that takes all, and a slow one, which stalls unless told otherwise; the latter, and what keeps its bytes."""
    fast, slow = case.get(source=Source(url, expect)), case.get(consumer or paused(3), Source(url, expect))
    (transfer,) = (each for each in case.transfers() if each.source.url == url)
    case.end(fast)
    assert fast.has_all()
    return slow, transfer


def all_take_the_rest(case: Case, slow: list[Any]) -> None:
    for each in slow:
        each.consumer.resume()
    case.end(*slow)
    assert all(each.has_all() for each in slow)


def look(case: Case) -> None:
    case.turns(155, LOOK / 150)


def test_promise_6_who_stalls_does_not_keep_what_others_have_taken() -> None:
    case = Case(SLOW, window=1_000_000)
    slow, transfer = pair(case)
    look(case)

    assert transfer.size == 0
    assert case.sharing._held == 0
    assert case.spans == [None]  # nothing is asked for while it takes nothing
    had = slow.size
    slow.consumer.resume()
    case.end(slow)
    assert slow.has_all()
    assert case.spans == [None, Span(had)]
    assert slow.report.facts == {"sha256": SHA256.value}
    case.nothing_is_left()


def test_promise_6_who_stalls_near_the_end_keeps_only_that() -> None:
    case = Case(SLOW, window=1_000_000)
    near = [case.get(paused(29)) for _ in range(2)]
    far, transfer = pair(case)
    look(case)
    look(case)

    assert 0 < transfer.size <= PIECE + 4000
    for each in (*near, far):
        each.consumer.resume()
    case.end(*near, far)
    assert all(each.has_all() for each in (*near, far))
    assert len(case.spans) == 2
    case.nothing_is_left()


@pytest.mark.parametrize("window", [100_000, 1_000_000])
def test_promise_6_a_reader_that_its_partner_has_left_keeps_no_window(window: int) -> None:
    case = Case(SLOW, window=window)
    slow, fast = case.get(paused(3)), case.get()
    (transfer,) = case.transfers()
    case.until(lambda: fast.size > 80_000)
    if window < len(BODY):
        case.until(lambda: not transfer.open)
    fast.leave()
    look(case)

    assert transfer.size == 0
    assert case.fetcher.running == 0
    slow.consumer.resume()
    case.end(slow)
    assert slow.has_all()
    case.nothing_is_left()


def test_who_takes_what_is_there_at_its_own_pace_costs_no_second_request() -> None:
    case = Case(SLOW, window=1_000_000)
    slow, transfer = pair(case, consumer=Recorder(case.clock, pause_for=2))
    before = transfer.size
    look(case)
    assert before == len(BODY)
    assert PIECE < transfer.size < before  # what it has taken is not kept, once nobody may join
    case.turns(2, 1)
    assert case.sharing._held == transfer.size > PIECE
    case.until(lambda: slow.ends, 1)

    assert slow.has_all()
    assert case.spans == [None]
    case.nothing_is_left()


def test_who_only_drips_does_not_keep_it_either() -> None:
    case = Case(SLOW, window=1_000_000)
    slow, transfer = pair(case, consumer=Recorder(case.clock, pause_for=7))
    look(case)

    assert transfer.size == 0
    case.until(lambda: slow.ends, 1)
    assert slow.has_all()
    assert case.spans[0] is None
    assert case.spans[1] is not None
    case.nothing_is_left()


@pytest.mark.parametrize("spare", [0, 1_000_000])
def test_promise_3_where_no_rest_can_be_proven_a_slow_one_keeps_what_it_needs(spare: int) -> None:
    case = Case(PLAIN, window=1_000_000, spare=spare)
    slow, transfer = pair(case, expect=())
    for _ in range(5):
        look(case)

    assert len(BODY) - slow.size <= transfer.size <= len(BODY) - slow.size + 4000
    slow.consumer.resume()
    assert slow.has_all()
    assert case.spans == [None]
    case.nothing_is_left()


def test_promise_6_what_slow_ones_keep_is_bounded_in_all_after_the_window_has_moved_too() -> None:
    urls = [f"memory://a/{number}" for number in range(10)]
    case = Case(dict.fromkeys(urls, SLOW), window=150_000)
    pairs = [pair(case, url, consumer=paused(15)) for url in urls]

    assert 200_000 < sum(transfer.size for _, transfer in pairs) <= 300_000
    slow = [each for each, _ in pairs]
    all_take_the_rest(case, slow)
    case.nothing_is_left()


def test_who_is_behind_one_that_still_takes_is_not_sent_on_for_what_is_to_be_spared() -> None:
    case = Case(SLOW.but(every=1), window=1_000_000, spare=100_000)
    fast, slow = case.get(), case.get(paused(3))
    (transfer,) = case.transfers()
    case.until(lambda: fast.size > 105_000, 0.5)  # there were looks meanwhile
    assert not transfer.open
    slow.consumer.resume()
    case.end(fast, slow)

    assert fast.has_all()
    assert slow.has_all()
    assert case.spans == [None]
    case.nothing_is_left()


def test_after_a_rewind_it_is_looked_at_anew_how_much_is_taken() -> None:
    case = Case([SLOW.but(data=WRONG, every=1), SLOW], window=1_000_000)
    slow = case.get(RewindableRecorder(case.clock, pause_for=2))
    case.until(lambda: slow.consumer.rewinds, 0.5)
    fast = case.get(RewindableRecorder())
    case.end(fast)
    case.until(lambda: slow.ends, 0.5)

    assert slow.has_all()
    assert case.spans == [None, None]
    case.nothing_is_left()


def test_who_is_near_the_end_is_not_sent_on_even_if_nothing_is_to_spare() -> None:
    case = Case(SLOW, window=1_000_000, spare=0)
    slow, transfer = pair(case, consumer=paused(29))

    assert 0 < transfer.size <= PIECE + 4000
    slow.consumer.resume()
    assert slow.has_all()
    assert case.spans == [None]
    case.nothing_is_left()


def test_promise_6_what_waits_for_a_slow_disk_counts_too() -> None:
    kept = [Recorder(pause_after=2)]
    case = Case(SLOW, window=1_000_000, spare=50_000, keep=lambda source: kept[0])
    client = case.get()
    (transfer,) = case.transfers()
    case.until(lambda: client.size > 100_000)

    assert not transfer.open
    assert case.sharing._held == transfer.size > 90_000
    case.end(client)
    kept[0].resume()
    assert kept[0].data == BODY
    case.nothing_is_left()


def test_promise_6_what_slow_ones_keep_is_bounded_in_all_at_any_moment() -> None:
    urls = [f"memory://a/{number}" for number in range(10)]
    case = Case(dict.fromkeys(urls, SLOW), window=200_000)
    pairs = [pair(case, url) for url in urls]

    assert 300_000 < sum(transfer.size for _, transfer in pairs) <= 400_000
    slow = [each for each, _ in pairs]
    all_take_the_rest(case, slow)
    assert len(case.spans) == 10 + 8  # the newest two have taken what is there
    case.nothing_is_left()


def test_what_is_to_be_kept_gets_all_while_a_slow_client_goes_on_alone() -> None:
    kept = [Recorder(pause_after=20)]
    case = Case(SLOW, window=1_000_000, keep=lambda source: kept[0])
    slow, transfer = pair(case)
    look(case)
    look(case)

    assert not slow.ends
    kept[0].resume()
    assert kept[0].data == BODY
    assert transfer.size == 0
    slow.consumer.resume()
    case.end(slow)
    assert slow.has_all()
    case.nothing_is_left()


def test_promise_6_what_a_slow_one_kept_is_not_counted_once_only_what_keeps_is_left() -> None:
    kept, other = Recorder(), "memory://a/other"
    case = Case(
        {URL: SLOW, other: SLOW},
        window=1_000_000,
        spare=150_000,
        keep=lambda source: kept if source.url == URL else None,
    )
    slow, fast = case.get(paused(3)), case.get()
    (transfer,) = case.transfers()
    case.until(lambda: fast.size > 100_000)
    fast.leave()
    case.get(source=Source(other))
    (newer,) = {*case.transfers()} - {transfer}
    case.until(lambda: not transfer.open)

    assert transfer.size < 4000
    assert case.sharing._held == transfer.size + newer.size
    slow.consumer.resume()
    case.until(lambda: not case.sharing._running)
    assert kept.data == BODY
    assert slow.has_all()
    case.nothing_is_left()


@pytest.mark.parametrize("etag", [b'"1"', None])
def test_slow_ones_that_nothing_can_be_taken_from_do_not_shut_the_doors_of_others(etag: bytes | None) -> None:
    urls = [f"memory://a/{number}" for number in range(4)]
    case = Case({URL: SLOW, **dict.fromkeys(urls, SLOW.but(etag=etag))}, window=1_000_000, spare=250_000)
    slow = [pair(case, url, ())[0] for url in urls]
    first = case.get()
    case.until(lambda: first.size > 100_000)
    second = case.get()
    case.end(first, second)

    assert second.has_all()
    assert len(case.spans) == 5
    assert case.sharing._held <= 250_000
    all_take_the_rest(case, slow)
    case.nothing_is_left()


def test_promise_5_closing_ends_what_a_slow_one_keeps() -> None:
    case = Case(SLOW, window=1_000_000)
    slow, _ = pair(case)
    case.sharing.close()

    assert isinstance(slow.error, CancelledError)
    case.nothing_is_left()
