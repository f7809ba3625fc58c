"""A host that says that we are too many gets fewer connections, and more again when it does well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock

from pulp_dl import Attempt, Downloader, Head, Limits, Outcome, Proxy, Remote, Retries, Source, ToMemory
from pulp_dl.engine.pace import MOST, WINDOW, Pace
from pulp_dl.engine.slots import Slots
from pulp_dl.errors import BadStatus, ConnectFailed, DownloadError, NotFound, TimedOut, Truncated, Unavailable
from pulp_dl.interfaces import ISlot
from pulp_dl.testing import FaultServer, Request, Reset, Script, Wait, answer

URL = "http://a/f"


def broken(error: DownloadError, cause: Exception) -> DownloadError:
    error.__cause__ = cause
    return error


COMPLAINTS = [
    Unavailable(429),
    Unavailable(503),
    Unavailable(421),
    Unavailable(530),
    broken(ConnectFailed("no"), ConnectionLost()),
    broken(Truncated(1), ConnectionLost()),
]
NONE = [
    Unavailable(500),
    BadStatus(421),  # of HTTP, where it has another meaning
    NotFound(404),
    TimedOut("head", 3),
    ConnectFailed("no"),
    broken(ConnectFailed("no"), ConnectionDone()),
]


class Case:
    """One host, to which so many requests are under way."""

    def __init__(self, busy: int = 8, per_host: int = 8) -> None:
        self.clock = Clock()
        self.slots = Slots(100, per_host, self.clock)
        self.pace = Pace(self.slots, per_host, self.clock)
        self.held: list[Any] = []
        self.fill(busy)

    def fill(self, busy: int) -> None:
        """As many as may be, but no more than that."""
        requests: list[Deferred[ISlot]] = [self.slots.acquire(("a", 80)) for _ in range(busy - len(self.held))]
        self.held += [each.result for each in requests if each.called]
        for each in requests:
            if not each.called:
                each.addErrback(lambda _: None)
                each.cancel()

    def ended(
        self,
        error: DownloadError | None = None,
        url: str = URL,
        remote: Remote | None = None,
        seconds: float = 0.1,
    ) -> None:
        """One of them, which was asked so many seconds ago."""
        head = Head(url, 200) if error is None else None
        attempt = Attempt(Source(url), 0, 0, seconds, 0.1, 200 if error is None else None, error, None, head)
        self.pace.heard(attempt, remote or Remote())
        if self.held:
            self.held.pop().release()

    @property
    def most(self) -> int:
        return self.slots.most(("a", 80))


@pytest.mark.parametrize("error", COMPLAINTS, ids=repr)
def test_a_complaint_halves_what_is_open(error: DownloadError) -> None:
    case = Case()
    case.ended(error)

    assert case.most == 4


@pytest.mark.parametrize("error", [*NONE, None], ids=repr)
def test_other_ends_are_no_complaint(error: DownloadError | None) -> None:
    case = Case()
    case.ended(error)

    assert case.most == 8


def test_a_connection_that_was_reset_alone_was_not_one_of_too_many() -> None:
    case = Case(busy=0)
    case.ended(broken(Truncated(1), ConnectionLost()))
    assert case.most == 8

    case.ended(Unavailable(429))
    assert case.most == 1


def test_half_of_what_is_open_not_of_what_might_be() -> None:
    case = Case(busy=4, per_host=50)
    case.ended(Unavailable(503))

    assert case.most == 2


def test_those_that_were_under_way_at_once_are_one_complaint() -> None:
    case = Case()
    for _ in range(8):
        case.ended(Unavailable(503))
    assert case.most == 4

    case.fill(4)
    case.ended(Unavailable(503))
    assert case.most == 2


def test_what_is_asked_after_that_is_news_whatever_still_goes_on() -> None:
    """Seven long bodies are under way when an eighth request is refused."""
    case = Case()
    case.ended(Unavailable(503))
    assert case.most == 4

    case.clock.advance(10)
    case.ended(Unavailable(503))
    assert case.most == 2


def test_the_long_ones_are_old_news_when_they_end() -> None:
    case = Case()
    case.ended(Unavailable(503))
    case.clock.advance(10)
    for _ in range(7):
        case.ended(Unavailable(503), seconds=11)

    assert case.most == 4


def test_what_is_asked_after_that_and_goes_well_counts_whatever_still_goes_on() -> None:
    case = Case()
    case.ended(Unavailable(503))
    case.clock.advance(10)
    for _ in range(4):
        case.ended()

    assert case.most == 5


def test_one_is_always_left() -> None:
    case = Case()
    for _ in range(20):
        case.fill(8)
        case.ended(Unavailable(503))
    assert case.most == 1


def test_there_is_one_more_after_a_while_with_as_many_good_answers_as_connections() -> None:
    case = Case()
    for _ in range(8):
        case.ended(Unavailable(503))
    case.clock.advance(WINDOW)
    found = []
    for _ in range(4 + 5 + 6 + 7):
        case.ended()
        found.append(case.most)
        case.clock.advance(WINDOW)

    assert found == [4] * 3 + [5] * 5 + [6] * 6 + [7] * 7 + [8]


def test_many_good_answers_at_once_are_one_more() -> None:
    case = Case()
    for _ in range(8):
        case.ended(Unavailable(503))
    case.clock.advance(WINDOW)
    for _ in range(100):
        case.ended()

    assert case.most == 5


def test_another_host_is_not_concerned() -> None:
    case = Case()
    case.ended(Unavailable(503), "http://b/f")

    assert case.most == 8
    assert case.slots.most(("b", 80)) == 1


def test_it_is_the_host_that_has_said_so_after_a_redirect() -> None:
    case = Case()
    attempt = Attempt(Source("http://b/f"), 0, 0, 0.1, 0.0, None, Unavailable(503, "", URL))
    case.pace.heard(attempt, Remote())

    assert case.most == 4
    assert case.slots.most(("b", 80)) == 8


def test_what_is_behind_a_proxy_is_left_alone() -> None:
    case = Case()
    case.ended(Unavailable(503), "http://b/f", Remote(proxy=Proxy("http://a:80")))

    assert case.most == 8


def test_no_more_hosts_are_remembered_than_there_is_room_for() -> None:
    case = Case()
    case.ended(Unavailable(503))
    for number in range(MOST):
        case.ended(Unavailable(503), f"http://h{number}/f")

    assert case.most == 8
    assert case.slots.most(("h0", 80)) == 1


@given(
    st.lists(st.tuples(st.sampled_from([None, *COMPLAINTS, *NONE]), st.floats(0, 3), st.integers(1, 10)), max_size=60)
)
def test_whatever_is_told_there_is_always_one_and_never_more_than_the_limit(told: list[Any]) -> None:
    case = Case()
    for error, seconds, busy in told:
        case.fill(busy)
        before = case.most
        case.ended(error)
        case.clock.advance(seconds)
        assert 1 <= case.most <= 8
        assert case.most <= before + 1
        if error in NONE:
            assert case.most == before


# ---- over sockets


class Busy:
    """A server that turns away who comes while it serves so many."""

    def __init__(self, most: int, refusal: Script) -> None:
        self.most = most
        self.refusal = refusal
        self.serving = self.peak = self.served = self.refused = 0

    def __call__(self, request: Request) -> Script:
        if self.serving >= self.most:
            self.refused += 1
            return self.refusal
        self.serving += 1
        self.peak = max(self.peak, self.serving)
        return [Wait(0.02), self._done]

    def _done(self, request: Request) -> Script:
        self.serving -= 1
        self.served += 1
        return answer(request.path.encode())


async def fetch(server: FaultServer, downloader: Downloader, count: int) -> list[Outcome]:
    bodies = {server.url(f"/{number}"): ToMemory() for number in range(count)}

    def wanted() -> Iterator[Any]:
        yield from bodies.items()

    async with downloader.download_many(wanted(), concurrency=20) as outcomes:
        ended = [each async for each in outcomes]
    for url, body in bodies.items():
        assert body.data == url.rpartition("/")[2].join(["/", ""]).encode()
    return ended


def remote(*, adaptive: bool = True) -> Remote:
    limits = Limits(connections=20, per_host=16, adaptive=adaptive)
    return Remote(limits=limits, retries=Retries(count=200, base=0.02, cap=0.1))


REFUSALS = [answer(b"", 503), answer(b"", 429), answer(b"x" * 200_000, 503), Reset()]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["503", "429", "503 with a large body", "reset"])
async def test_a_server_that_is_too_busy_refuses_few_and_all_arrives(reactor: Any, refusal: Script) -> None:
    busy = Busy(4, refusal)
    async with FaultServer(reactor, busy) as server, Downloader(reactor, remote()) as downloader:
        ended = await fetch(server, downloader, 300)

    assert all(each.ok for each in ended)
    assert busy.refused <= 60


async def test_without_it_many_are_refused(reactor: Any) -> None:
    busy = Busy(4, answer(b"", 503))
    async with FaultServer(reactor, busy) as server, Downloader(reactor, remote(adaptive=False)) as downloader:
        ended = await fetch(server, downloader, 300)

    assert all(each.ok for each in ended)
    assert busy.refused > 300


async def test_when_it_is_well_again_it_is_asked_as_before(reactor: Any) -> None:
    busy = Busy(2, answer(b"", 503))
    limits = Limits(connections=6, per_host=4)
    settings = Remote(limits=limits, retries=Retries(count=200, base=0.02, cap=0.1))
    async with FaultServer(reactor, busy) as server, Downloader(reactor, settings) as downloader:
        await fetch(server, downloader, 20)
        assert busy.peak == 2
        busy.most, began = 100, reactor.seconds()
        while busy.peak < 4 and reactor.seconds() - began < 20:
            await fetch(server, downloader, 20)

    assert busy.peak == 4


async def test_a_healthy_server_is_asked_by_all_from_the_beginning(reactor: Any) -> None:
    busy = Busy(100, answer(b"", 503))
    async with FaultServer(reactor, busy) as server, Downloader(reactor, remote()) as downloader:
        await fetch(server, downloader, 50)

    assert busy.peak == 16
