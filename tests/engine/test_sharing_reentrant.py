"""What consumers do from inside of their own methods: it hurts nobody else, and nobody gets a byte twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from pulp_dl import Downloader, Head, Source, Span
from pulp_dl.errors import CircuitOpen, ConsumerFailed
from pulp_dl.interfaces import IMirrors
from pulp_dl.mirrors.places import Places
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder

from .shared_case import BODY, URL, Case

SLOW = Place(BODY, b'"1"', every=0.01, chunk=4000)


class Doing(RewindableRecorder):
    """Does something inside of one of its methods, which it is told of first."""

    def __init__(self, inside: str, act: Callable[[Any], object], **how: Any) -> None:
        super().__init__(**how)
        self._inside, self._act = inside, act
        self.calls: list[str] = []

    def _did(self, name: str) -> None:
        self.calls.append(name)
        if name == self._inside:
            self._act(self)

    def begin(self, head: Head) -> None:
        super().begin(head)
        self._did("begin")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        self._did("registerProducer")

    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        self._did("unregisterProducer")

    def write(self, data: bytes) -> None:
        super().write(data)
        self._did("write")

    def rewind(self, head: Head) -> None:
        super().rewind(head)
        self._did("rewind")

    def fail(self, failure: Any) -> None:
        super().fail(failure)
        self._did("fail")


def flick(consumer: Recorder) -> None:
    consumer.pause()
    consumer.resume()


def test_who_pauses_and_goes_on_as_soon_as_it_has_a_producer_gets_no_piece_twice() -> None:
    case = Case(SLOW)
    clients = [case.get(Doing("registerProducer", flick)) for _ in range(2)]
    case.end(*clients)

    assert all(each.has_all() for each in clients)
    case.nothing_is_left()


def test_who_leaves_when_it_is_told_the_head_is_called_in_the_order_of_the_contract() -> None:
    case = Case(SLOW)
    leaving = Doing("begin", lambda consumer: client.leave())
    client, other = case.get(leaving), case.get(RewindableRecorder())
    case.end(client, other)

    assert leaving.calls == ["begin", "registerProducer", "unregisterProducer", "fail"]
    assert other.has_all()
    case.nothing_is_left()


def test_who_ends_another_one_while_it_is_rewound_hurts_nobody_else() -> None:
    bad = Place(BODY, None, every=0.01, chunk=4000, drop_at=20_000, ranges=False)
    other = "memory://b/f"
    case = Case({URL: bad, other: bad.but(drop_at=None)}, mirrors=Places([URL, other], under=URL), window=1_000_000)
    first = case.get(Doing("rewind", lambda consumer: second.leave()))
    second, third = (case.get(RewindableRecorder()) for _ in range(2))
    case.end(first, second, third)

    assert first.has_all()
    assert third.has_all()
    case.nothing_is_left()


def test_who_ends_another_one_as_it_goes_on_alone_hurts_nobody_else() -> None:
    """Nothing would prove the rest of this part, so all but one have to go on alone when it begins to come."""
    case = Case(SLOW.but(etag=None))
    inside = case.inner.download
    asked: list[Source] = []

    def once(source: Source, consumer: Any) -> Deferred[Any]:
        asked.append(source)
        return inside(source, consumer) if len(asked) == 1 else fail(CircuitOpen("not now", source.url))

    case.inner.download = once  # type: ignore[assignment]
    first, second, third = (case.get(source=Source(URL, span=(0, 100_000))) for _ in range(3))
    second.download.addBoth(lambda _: third.leave())
    case.end(first, second, third)

    assert first.consumer.data == BODY[:100_000]
    assert isinstance(second.error, CircuitOpen)
    case.nothing_is_left()


def test_what_keeps_and_cannot_forget_is_left_behind_when_the_body_begins_again(logged_errors: Any) -> None:
    kept = Recorder()
    case = Case([SLOW.but(data=BODY[:-1] + b"!"), SLOW], keep=lambda source: kept, window=1_000_000)
    client = case.get(RewindableRecorder())
    case.end(client)

    assert client.has_all()
    assert client.consumer.rewinds == 1
    assert kept.failure is not None
    assert kept.failure.check(ConsumerFailed)
    case.nothing_is_left()


def test_promise_6_what_is_counted_goes_although_somebody_takes_inside_of_its_write() -> None:
    case = Case(SLOW.but(chunk=16_000), keep=lambda source: RewindableRecorder())
    client = case.get(Doing("write", lambda each: flick(each) if len(each.writes) == 8 else None))
    (transfer,) = case.transfers()
    case.until(lambda: len(client.consumer.writes) == 8)

    assert case.sharing._held == transfer.size == 0
    case.end(client)
    case.nothing_is_left()


def test_who_pauses_and_goes_on_alone_in_its_first_write_asks_once() -> None:
    case, at_once = Case(SLOW), MemoryFetcher({URL: SLOW})
    consumer = Doing("write", lambda each: flick(each) if len(each.writes) == 2 else None, pause_after=1)
    fast, slow = case.get(RewindableRecorder()), case.get(consumer)
    case.end(fast)
    case.sharing.inner = Downloader(case.clock, schemes=[MemoryScheme(at_once)])
    had = slow.size
    consumer.resume()
    case.end(slow)

    assert slow.has_all()
    assert [each.span for each in at_once.asked] == [Span(had)]
    case.nothing_is_left()


@implementer(IMirrors)
class Lingering:
    """One place; the search for more of them takes its time to end for whoever is the second to ask."""

    def __init__(self) -> None:
        self.asked = 0
        self.ending: Deferred[None] = Deferred()

    async def locate(self, source: Source, direct: Any) -> AsyncIterator[Source]:
        self.asked += 1
        me = self.asked
        try:
            yield source
        finally:
            if me == 2:
                await self.ending

    def record(self, attempt: Any) -> None:
        pass


def test_promise_5_who_leaves_between_its_last_byte_and_its_report_leaves_nothing_behind() -> None:
    mirrors = Lingering()
    case = Case(SLOW, mirrors=mirrors)
    fast, slow = case.get(), case.get(Recorder(pause_after=1))
    case.end(fast)
    slow.consumer.resume()
    case.until(lambda: mirrors.asked == 2 and case.fetcher.running == 0)
    slow.consumer.pause()
    slow.leave()
    mirrors.ending.callback(None)
    closed: list[Any] = []
    case.sharing.close().addBoth(closed.append)

    assert closed == [None]
    case.nothing_is_left()
