"""The fetcher in memory does what its places say."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl.engine.slots import Slots
from pulp_dl.errors import ConnectFailed, NotFound, Truncated, Unavailable
from pulp_dl.interfaces import IFetcher, IScheme
from pulp_dl.model.remote import Remote
from pulp_dl.model.source import Head, Source, Span, Validators
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Sink, Verbatim

A = "memory://host/a"
B = "memory://host/b"
DATA = bytes(range(250)) * 10


def result(deferred: Deferred[Any]) -> Any:
    """What it has fired with."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    assert found, "it has not fired"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


def open_(fetcher: Any, url: str = A, *arguments: Any, **how: Any) -> Any:
    return result(fetcher.open(Source(url, **how), *arguments))


def get(fetcher: Any, url: str = A, *arguments: Any) -> tuple[int, bytes]:
    """Status and bytes."""
    body = open_(fetcher, url, *arguments)
    sink = Sink()
    assert result(body.deliver(sink)) is None
    return body.head.status, sink.data


def test_each_request_has_the_entry_of_its_number_and_the_last_one_stays() -> None:
    fetcher = MemoryFetcher({A: [Place(b"one"), Place(error=Unavailable(503)), Place(b"three")]})
    assert get(fetcher)[1] == b"one"
    with pytest.raises(Unavailable):
        get(fetcher)
    assert result(fetcher.head(Source(A))).length == 5
    assert get(fetcher)[1] == b"three"
    fetcher.places[A] = Place(b"changed")
    assert get(fetcher)[1] == b"changed"


def test_what_was_asked_is_kept() -> None:
    fetcher = MemoryFetcher({A: Place(DATA)})
    same = Validators(b'"1"')
    get(fetcher, A, Span(10), same)
    result(fetcher.head(Source(A)))
    with pytest.raises(NotFound):
        get(fetcher, B)
    assert [(asked.method, asked.url, asked.span, asked.same_as) for asked in fetcher.asked] == [
        ("GET", A, Span(10), same),
        ("HEAD", A, None, None),
        ("GET", B, None, None),
    ]
    assert fetcher.urls() == [A, A, B]


def test_a_body_breaks_where_it_is_told_to() -> None:
    fetcher = MemoryFetcher({A: [Place(DATA, drop_at=1500), Place(DATA, drop_at=0, drop_error=ConnectFailed("reset"))]})
    sink = Sink()
    with pytest.raises(Truncated) as caught:
        result(open_(fetcher).deliver(sink))
    assert (sink.data, sink.unregistered, caught.value.received) == (DATA[:1500], True, 1500)
    sink = Sink()
    with pytest.raises(ConnectFailed):
        result(open_(fetcher).deliver(sink))
    assert (sink.data, sink.unregistered, fetcher.running) == (b"", True, 0)


@pytest.mark.parametrize("drop_at", [None, 1500])
@pytest.mark.parametrize("length", [True, False])
def test_an_end_may_be_unproven_where_nothing_else_tells_it(drop_at: int | None, length: bool) -> None:
    fetcher = MemoryFetcher({A: Place(DATA, drop_at=drop_at, length=length, unproven=True)})
    sink = Sink()
    if length and drop_at is None:
        result(open_(fetcher).deliver(sink))
        assert sink.data == DATA
        return
    with pytest.raises(Truncated) as caught:
        result(open_(fetcher).deliver(sink))
    assert sink.data == DATA[:drop_at]
    assert (caught.value.received, caught.value.unproven) == (len(sink.data), not length)
    assert result(fetcher.head(Source(A))).status == 200


def test_an_error_may_be_made_anew_for_each_request() -> None:
    fetcher = MemoryFetcher({A: Place(error=lambda: ConnectFailed("refused"))})
    errors = []
    for _ in range(2):
        with pytest.raises(ConnectFailed) as caught:
            get(fetcher)
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_a_body_stalls_until_it_is_released() -> None:
    fetcher = MemoryFetcher({A: Place(DATA, stall_at=1030), B: Place(DATA, stall_at=0)})
    sinks = [Sink(), Sink()]
    deliveries = [open_(fetcher, url).deliver(sink) for url, sink in zip((A, B), sinks, strict=True)]
    assert [sink.data for sink in sinks] == [DATA[:1030], b""]
    assert (fetcher.running, fetcher.peak) == (2, 2)
    fetcher.release(B)
    assert [delivery.called for delivery in deliveries] == [False, True]
    fetcher.release()
    assert [sink.data for sink in sinks] == [DATA, DATA]
    assert fetcher.running == 0


def test_an_answer_that_stalls_can_be_cancelled_or_released() -> None:
    fetcher = MemoryFetcher({A: Place(DATA, silent=True)})
    first, second = fetcher.open(Source(A)), fetcher.open(Source(A))
    assert (first.called, fetcher.running) == (False, 2)
    first.cancel()
    with pytest.raises(CancelledError):
        result(first)
    fetcher.release()
    result(second).abandon()
    assert fetcher.running == 0


def test_close_ends_what_stalls() -> None:
    fetcher = MemoryFetcher({A: Place(DATA, silent=True), B: Place(DATA, stall_at=5)})
    opening, delivery = fetcher.open(Source(A)), open_(fetcher, B).deliver(Sink())
    result(fetcher.close())
    for ended in (opening, delivery):
        with pytest.raises(CancelledError):
            result(ended)
    assert fetcher.running == 0
    fetcher.release()


def test_with_a_clock_everything_takes_its_time() -> None:
    clock = Clock()
    fetcher = MemoryFetcher({A: Place(b"abcd", chunk=2, wait=5, every=1)}, clock)
    opening = fetcher.open(Source(A))
    clock.advance(4)
    assert not opening.called
    clock.advance(1)
    sink = Sink()
    delivery = result(opening).deliver(sink)
    assert sink.data == b"ab"
    clock.advance(1)
    assert (sink.data, delivery.called) == (b"abcd", False)
    clock.advance(1)
    assert result(delivery) is None
    assert clock.getDelayedCalls() == []


def test_a_delivery_that_is_cancelled_while_it_waits_leaves_no_timer() -> None:
    clock = Clock()
    fetcher = MemoryFetcher({A: Place(DATA, every=1000)}, clock)
    opening = fetcher.open(Source(A))
    clock.advance(0)
    delivery = result(opening).deliver(Sink())
    delivery.cancel()
    with pytest.raises(CancelledError):
        result(delivery)
    assert clock.getDelayedCalls() == []


def test_a_place_may_lie_as_servers_do() -> None:
    strong = Validators(b'"old"')
    lies = {
        "ranges": Place(DATA, ranges=False),
        "trusting": Place(DATA, b'"new"', trusting=True),
        "honest": Place(DATA, b'"new"'),
        "416": Place(DATA, status=416),
        "304": Place(DATA, status=304),
    }
    fetcher = MemoryFetcher({f"memory://host/{name}": place for name, place in lies.items()})
    assert {name: get(fetcher, f"memory://host/{name}", Span(2490), strong) for name in lies} == {
        "ranges": (200, DATA),
        "trusting": (206, DATA[2490:]),
        "honest": (200, DATA),
        "416": (416, b""),
        "304": (304, b""),
    }


def test_a_weak_validator_never_brings_a_part() -> None:
    fetcher = MemoryFetcher({A: Place(DATA, b'W/"1"')})
    assert get(fetcher, A, Span(2490), Validators(b'W/"1"')) == (200, DATA)


def test_lengths_and_totals_are_told_as_the_place_says() -> None:
    fetcher = MemoryFetcher({A: [Place(DATA, length=False), Place(DATA, total=9), Place(DATA, total="*")]})
    assert (open_(fetcher).head.length, fetcher.running) == (None, 1)
    result(fetcher.close())
    heads = [open_(fetcher, A, Span(10)).head for _ in range(2)]
    assert [head.total for head in heads] == [9, None]
    assert [head.get(b"content-range") for head in heads] == [b"bytes 10-2499/9", b"bytes 10-2499/*"]
    result(fetcher.close())


def test_conditions_of_a_client_are_honoured() -> None:
    fetcher = MemoryFetcher({A: Place(DATA)})
    for name, value, status in (
        ("If-None-Match", '"1"', 304),
        ("If-None-Match", '"0", W/"1"', 304),
        ("If-None-Match", '"2"', 200),
        ("If-Modified-Since", "Mon, 05 Jan 2026 00:00:00 GMT", 200),
    ):
        body = open_(fetcher, conditions={name: value})
        assert body.head.status == status
        body.abandon()


def test_an_answer_may_be_given_word_for_word() -> None:
    head = Head(A, 206, ((b"X", b"y"),), 3, Span(0, 3), 10)
    fetcher = MemoryFetcher({A: Verbatim(head, (b"ab", b"c"), ConnectFailed("reset"))})
    body, sink = open_(fetcher), Sink()
    assert body.head is head
    with pytest.raises(ConnectFailed):
        result(body.deliver(sink))
    assert sink.writes == [b"ab", b"c"]


def test_a_body_is_for_one_use() -> None:
    fetcher = MemoryFetcher({A: Place(DATA)})
    body = open_(fetcher)
    result(body.deliver(Sink()))
    with pytest.raises(RuntimeError):
        body.deliver(Sink())
    with pytest.raises(RuntimeError):
        body.abandon()
    body = open_(fetcher)
    body.abandon()
    with pytest.raises(RuntimeError):
        body.deliver(Sink())


def test_a_head_costs_no_body() -> None:
    fetcher = MemoryFetcher({A: Place(DATA, drop_at=0, stall_at=0)})
    assert result(fetcher.head(Source(A))).length == len(DATA)
    assert fetcher.running == 0


class Shared:
    """What a scheme's fetcher needs of it."""

    def __init__(self, connections: int) -> None:
        self.slots = Slots(connections, connections, Clock())


def test_a_scheme_is_one_fetcher_for_all_remotes() -> None:
    fetcher = MemoryFetcher({})
    scheme = MemoryScheme(fetcher, names=("gopher",))
    assert IScheme.providedBy(scheme)
    assert scheme.names == ("gopher",)
    shared: Any = Shared(1)
    assert scheme.fetcher(None, Remote(), shared) is scheme.fetcher(None, Remote(), shared) is fetcher


def test_with_slots_a_request_waits_for_one_and_gives_it_back() -> None:
    memory = MemoryFetcher({A: Place(DATA, stall_at=5), B: [Place(error=ConnectFailed("no")), Place(DATA)]})
    shared: Any = Shared(1)
    fetcher = MemoryScheme(memory, slots=True).fetcher(None, Remote(), shared)
    assert IFetcher.providedBy(fetcher)
    first = open_(fetcher).deliver(Sink())
    waiting: list[Deferred[Any]] = [fetcher.open(Source(B)), fetcher.open(Source(B)), fetcher.head(Source(B))]
    assert memory.urls() == [A]
    memory.release()
    result(first)
    with pytest.raises(ConnectFailed):
        result(waiting[0])
    assert (waiting[1].called, waiting[2].called) == (True, False)
    result(waiting[1]).abandon()
    assert result(waiting[2]).length == len(DATA)
    assert memory.running == 0
    result(fetcher.close())


class Fidgety(Sink):
    """Pauses and goes on inside of each write."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.pause()
        self.resume()


def test_a_consumer_that_goes_on_inside_of_each_write_does_not_nest() -> None:
    fetcher = MemoryFetcher({A: Place(DATA * 4, chunk=1)})
    sink = Fidgety()
    result(open_(fetcher).deliver(sink))
    assert sink.data == DATA * 4
