"""A consumer that takes nothing does not keep a connection for which others wait."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Digest, Limits, Remote, Source, Span
from pulp_dl.engine.downloader import Downloader
from pulp_dl.engine.slots import PATIENCE
from pulp_dl.errors import ConsumerGone, DownloadError
from pulp_dl.flow.valve import REST
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder

from .by_hand import URL, Answers, HandWritten, body, head

DATA = bytes(range(250)) * 800  # more than is held back
SHA256 = Digest("sha256", hashlib.sha256(DATA).hexdigest())
LARGE, SMALL = "memory://a/large", "memory://a/small"


class Case:
    """One connection, a slow client of a large file, and somebody who waits for a small one."""

    def __init__(self, place: Place, expect: Any = SHA256) -> None:
        self.clock = Clock()
        self.memory = MemoryFetcher({LARGE: place, SMALL: Place(b"small")}, self.clock)
        remote = Remote(limits=Limits(connections=1, per_host=1))
        self.downloader = Downloader(self.clock, remote, schemes=[MemoryScheme(self.memory, slots=True)])
        self.slow, self.quick = Recorder(pause_after=2), Recorder()
        self.ends: list[Any] = []
        self.running = self.downloader.download(Source(LARGE, expect), self.slow).addBoth(self.ends.append)
        self.advance(0.1)
        assert self.slow.paused

    def come(self) -> None:
        self.waiting = self.downloader.download(SMALL, self.quick)
        self.waiting.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def advance(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds / 0.01))

    @property
    def spans(self) -> list[Any]:
        return [each.span and each.span.start for each in self.memory.asked if each.url == LARGE]


@pytest.mark.parametrize(
    ("place", "expect"), [(Place(DATA, chunk=10_000), ()), (Place(DATA, chunk=500, etag=None, modified=None), SHA256)]
)
def test_who_waits_gets_the_connection_and_the_slow_one_its_rest_when_it_takes_more(place: Place, expect: Any) -> None:
    case = Case(place, expect)
    case.come()
    case.advance(PATIENCE + REST)

    assert case.quick.data == b"small"
    assert case.spans == [None]  # nothing is asked for a client that takes nothing

    case.advance(3 * REST)
    assert case.spans == [None]
    case.slow.resume()
    case.advance(1)

    assert case.ends[0].size == len(DATA)
    assert [each.error for each in case.ends[0].attempts] == [None]
    assert case.slow.finished
    assert case.slow.data == DATA
    assert sum(each.received for each in case.ends[0].attempts) == len(DATA)
    assert case.clock.getDelayedCalls() == []


def test_a_connection_for_which_nobody_waits_is_kept() -> None:
    case = Case(Place(DATA, chunk=10_000))
    case.advance(3 * REST)
    case.slow.resume()
    case.advance(1)

    assert case.slow.data == DATA
    assert case.spans == [None]


def test_a_short_rest_costs_no_connection() -> None:
    case = Case(Place(DATA, chunk=10_000))
    case.come()
    for _ in range(3):
        case.advance(REST - 1)
        case.slow.resume()
        case.slow.pause()

    assert case.quick.writes == []
    case.slow.resume()
    case.advance(1)
    assert case.slow.data == DATA
    assert case.spans == [None]


@pytest.mark.parametrize(
    "place", [Place(DATA, chunk=10_000, ranges=False, etag=None, modified=None), Place(DATA, chunk=500, length=False)]
)
def test_what_could_not_be_gone_on_with_is_kept(place: Place) -> None:
    """Nobody can tell that a rest would belong to what the client has, or where it would end."""
    case = Case(place, ())
    case.come()
    case.advance(3 * REST)

    assert case.quick.writes == []
    case.slow.resume()
    case.advance(1)
    assert case.slow.data == DATA
    assert case.quick.data == b"small"


class ByHand:
    """These answers, for a slow client; one holds the only connection of that host, and one waits for it."""

    def __init__(self, *given: HandWritten) -> None:
        clock = Clock()
        memory = MemoryFetcher({SMALL: Place(b"small", silent=True)}, clock)
        answers = self.answers = Answers(*given)

        class Both(MemoryScheme):
            def fetcher(self, reactor: Any, remote: Any, shared: Any) -> Any:
                fetcher = super().fetcher(reactor, remote, shared)
                slotted = fetcher.open
                fetcher.open = lambda source, *how: (
                    answers.open(source, *how) if source.url == URL else slotted(source, *how)
                )
                return fetcher

        remote = Remote(limits=Limits(connections=1))
        self.downloader = Downloader(clock, remote, schemes=[Both(memory, slots=True)])
        self.slow = Recorder(pause_after=1)
        self.ends: list[Any] = []
        for _ in range(2):
            self.downloader.download(SMALL, Recorder()).addErrback(lambda _: None)
        self.downloader.download(URL, self.slow).addBoth(self.ends.append)
        clock.pump([1] * 20)
        assert self.slow.data == b"x" * 1000
        self.slow.resume()
        self.downloader.close()


def test_whose_rest_is_here_already_has_nothing_to_yield() -> None:
    """It came after the pause, and the body is at its end; there is no rest to be asked for."""
    case = ByHand(body(head(3000), *[b"x" * 1000] * 3))

    assert case.ends[0].size == 3000
    assert len(case.answers.asked) == 1


def test_what_came_before_it_yielded_and_went_on_after_that_is_counted() -> None:
    first = HandWritten(head(3000), lambda written: written.write(*[b"x" * 1000] * 2))
    case = ByHand(first, body(head(3000, Span(2000, 3000)), b"x" * 1000))

    assert case.answers.asked == [None, Span(2000)]
    [attempt] = case.ends[0].attempts
    assert (attempt.offset, attempt.received) == (0, 3000)


def test_a_client_that_leaves_while_it_has_no_connection_ends_its_download() -> None:
    case = Case(Place(DATA, chunk=10_000))
    case.come()
    case.advance(PATIENCE + REST)
    case.slow.leave()

    [end] = case.ends
    assert isinstance(end, Failure)
    error: DownloadError = end.value  # type: ignore[assignment]  # checked next
    assert isinstance(error, ConsumerGone)
    assert case.slow.failure is not None
    assert case.clock.getDelayedCalls() == []


def test_a_download_that_is_cancelled_while_it_has_no_connection_ends() -> None:
    case = Case(Place(DATA, chunk=10_000))
    case.come()
    case.advance(PATIENCE + REST)
    case.running.cancel()

    assert case.ends[0].check(CancelledError)
    assert case.clock.getDelayedCalls() == []


def test_a_slow_client_waits_for_its_turn_when_it_takes_more() -> None:
    """And has the bytes that had come for it already."""
    case = Case(Place(DATA, chunk=10_000))
    case.come()
    case.advance(PATIENCE + REST)
    third = Recorder(pause_after=1)
    case.memory.places["memory://a/third"] = Place(DATA, chunk=10_000)
    case.downloader.download(Source("memory://a/third", SHA256), third).addErrback(lambda _: None)
    case.advance(0.1)
    assert third.paused
    case.slow.resume()
    case.advance(REST / 2)
    assert not case.ends
    case.advance(REST)

    assert case.slow.data == DATA
    third.resume()
    case.advance(1)
    assert third.data == DATA


def test_nothing_is_yielded_to_who_waits_for_another_host() -> None:
    """That is full, whatever becomes of this connection."""
    clock = Clock()
    stuck = Place(b"stuck", stall_at=2)
    memory = MemoryFetcher({LARGE: Place(DATA, chunk=10_000), "memory://b/1": stuck}, clock)
    remote = Remote(limits=Limits(connections=10, per_host=1))
    downloader = Downloader(clock, remote, schemes=[MemoryScheme(memory, slots=True)])
    slow = Recorder(pause_after=2)
    downloader.download(LARGE, slow)
    for _ in range(2):
        downloader.download("memory://b/1", Recorder()).addErrback(lambda _: None)
    clock.pump([0.1] * 200)
    slow.resume()
    clock.pump([0.1] * 10)

    assert slow.data == DATA
    assert memory.urls().count(LARGE) == 1
    downloader.close()


class Crowd(Case):
    """A client that pauses after each of its bits, and always somebody who waits."""

    def __init__(self, place: Place, expect: Any = SHA256) -> None:
        super().__init__(place, expect)
        while not self.ends and len(self.spans) < 60 and self.clock.seconds() < 1000:
            self.quick = Recorder()
            self.come()
            self.advance(PATIENCE + REST)
            self.slow.resume()
            self.advance(0.1)
            if not self.ends:
                self.slow.pause()


def test_connections_one_after_the_other_are_one_attempt() -> None:
    case = Crowd(Place(DATA, chunk=5_000, every=0.02))

    assert len(case.spans) > 5
    [attempt] = case.ends[0].attempts
    assert (attempt.offset, attempt.received, attempt.error, attempt.yielded) == (0, len(DATA), None, False)
    assert attempt.seconds == pytest.approx(case.clock.seconds(), abs=0.5)
    assert 0 < attempt.open_seconds < attempt.seconds / 5
    assert case.slow.data == DATA


@pytest.mark.parametrize(
    ("lie", "requests"),
    [
        ({"ranges": False}, 2),
        ({"ranges": False, "headers": ((b"Accept-Ranges", b"None"),)}, 1),
        ({"total": 5}, 3),  # a rest that does not fit, and the whole after that
    ],
)
def test_a_place_that_has_no_rest_is_read_once_more_at_most(lie: dict[str, Any], requests: int) -> None:
    case = Crowd(Place(DATA, chunk=5_000, every=0.02, **lie))

    assert case.ends[0].size == len(DATA)
    assert case.slow.data == DATA
    assert len(case.spans) == requests
    assert sum(each.received for each in case.ends[0].attempts) <= 2 * len(DATA)
