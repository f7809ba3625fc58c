"""Limits of rate, as downloads see them: real HTTP over a network in memory, and once over a socket."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Basic, Digest, Downloader, Limits, Rate, Remote, Retries, Source, Timeouts, ToMemory
from pulp_dl.errors import NotFound, TimedOut, Truncated
from pulp_dl.testing import (
    Cut,
    Entity,
    FaultServer,
    Hold,
    MemoryFetcher,
    MemoryNetwork,
    MemoryScheme,
    Nth,
    Place,
    Recorder,
    Send,
    Wait,
    answer,
    redirect,
    response_head,
)

DATA = bytes(range(250)) * 400  # 100 kB
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
BUSY = answer(b"later", 503)


class Case:
    """A Downloader, and a server that it reaches, in memory."""

    def __init__(self, script: Any, remote: Remote | None = None, **limits: Any) -> None:
        self.network = MemoryNetwork()
        self.server = self.network.serve("repo.example.org", script)
        self.remote = remote or Remote(limits=Limits(**limits))
        self.downloader = Downloader(self.network, self.remote)

    def start(self, path: str = "/a", consumer: Any = None, **facts: Any) -> Deferred[Any]:
        url = path if "://" in path else self.server.url(path)
        return self.downloader.download(Source(url, **facts), consumer or ToMemory())

    def ended(self, *running: Deferred[Any]) -> float:
        """All of them ended well; returns when."""
        for each in running:
            self.network.result(each)
        return self.network.seconds()

    def close(self) -> None:
        self.network.result(self.downloader.close())
        self.network.result(self.server.abort())
        self.network.run()
        assert self.network.connections == 0
        assert self.network.getDelayedCalls() == []


def timed(case: Case) -> list[float]:
    """When requests come to the server."""
    times: list[float] = []
    script = case.server.script

    def note(_: Any) -> Any:
        times.append(round(case.network.seconds(), 3))
        return script

    case.server.script = note
    return times


# ---- bytes


def test_a_body_takes_as_long_as_its_limit_says() -> None:
    case = Case(answer(DATA), bytes_per_second=10_000)

    assert 9.5 <= case.ended(case.start(expect=SHA)) <= 10.5
    case.close()


def test_downloads_share_one_limit_and_end_together() -> None:
    case = Case(answer(DATA), bytes_per_second=20_000)
    ends = []
    running = [case.start(f"/{number}", expect=SHA) for number in range(4)]
    for each in running:
        each.addCallback(lambda _: ends.append(case.network.seconds()))

    assert 19 <= case.ended(*running) <= 21
    assert min(ends) >= 18.5
    case.close()


def test_a_small_file_passes_large_ones() -> None:
    case = Case({"/large": answer(DATA), "/small": answer(b"bear")}, bytes_per_second=10_000)
    large = [case.start("/large") for _ in range(3)]
    case.network.advance(5)

    assert case.ended(case.start("/small")) <= 6
    case.ended(*large)
    case.close()


def test_who_gets_a_remote_of_its_own_gets_a_limit_of_its_own() -> None:
    """Equal ones are one, as they have one fetcher."""
    limited = Remote(limits=Limits(bytes_per_second=20_000))
    case = Case(answer(DATA), limited)
    same, other = evolve(limited), evolve(limited, auth=Basic("elmer", "wabbit"))

    assert 4.7 <= case.ended(case.start(), case.start(remote=other)) <= 5.3
    begin = case.network.seconds()
    assert 9.5 <= case.ended(case.start(), case.start(remote=same)) - begin <= 10.5
    case.close()


def test_remotes_with_the_same_rate_share_it() -> None:
    rate = Rate(20_000)
    one = Remote(limits=Limits(bytes_per_second=rate))
    case = Case(answer(DATA), one)

    assert 9.5 <= case.ended(case.start(), case.start(remote=evolve(one, auth=Basic("elmer", "wabbit")))) <= 10.5
    case.close()


def test_a_rate_is_changed_while_downloads_run() -> None:
    rate = Rate(5000)
    case = Case(answer(DATA), bytes_per_second=rate)
    running = case.start(expect=SHA)
    case.network.advance(10)

    rate.per_second = 25_000
    assert 11.5 <= case.ended(running) <= 13.5
    rate.per_second = None
    begin = case.network.seconds()
    assert case.ended(case.start(expect=SHA)) - begin < 0.1
    case.close()


def test_the_time_that_a_limit_takes_is_not_blamed_on_the_server() -> None:
    """One byte in ten seconds is below what is expected of a server, and its pauses are longer than it may have."""
    timeouts = Timeouts(idle=2, low_speed=1000, low_speed_window=3)
    case = Case(answer(b"bear"), Remote(timeouts=timeouts, limits=Limits(bytes_per_second=0.1)))

    report = case.network.result(case.start())

    assert case.network.seconds() >= 28
    (attempt,) = report.attempts
    assert attempt.open_seconds < 1
    case.close()


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        ([Send(response_head(200, ((b"Content-Length", b"90000"),))), Send(DATA[:5000]), Hold()], "idle"),
        (
            [
                Send(response_head(200, ((b"Content-Length", b"90000"),))),
                *[step for _ in range(90) for step in (Send(bytes(1000)), Wait(1.5))],
            ],
            "low_speed",
        ),
    ],
)
def test_a_server_that_is_slow_by_itself_is_still_blamed(script: Any, phase: str) -> None:
    timeouts = Timeouts(idle=5, low_speed=1000, low_speed_window=10)
    case = Case(script, Remote(timeouts=timeouts, retries=Retries(count=0), limits=Limits(bytes_per_second=10_000)))

    with pytest.raises(TimedOut) as caught:
        case.network.result(case.start())

    assert caught.value.phase == phase
    case.close()


def test_all_the_time_that_a_download_takes_counts_for_its_total() -> None:
    limited = Limits(bytes_per_second=1000)
    case = Case(answer(DATA), Remote(timeouts=Timeouts(total=5), limits=limited))

    with pytest.raises(TimedOut) as caught:
        case.network.result(case.start())

    assert (caught.value.phase, round(case.network.seconds(), 3)) == ("total", 5)
    case.close()


@pytest.mark.parametrize("close", [True, False])
def test_promise_5_who_waits_for_the_rate_leaves_nothing_when_it_is_ended(close: bool) -> None:
    case = Case(answer(DATA), bytes_per_second=1)
    consumers = [Recorder() for _ in range(3)]
    running = [case.start(f"/{number}", consumer) for number, consumer in enumerate(consumers)]
    case.network.advance(3)

    if close:
        case.network.result(case.downloader.close())
    for each in running:
        each.cancel()
        with pytest.raises(CancelledError):
            case.network.result(each)

    assert all(consumer.failure is not None for consumer in consumers)
    case.close()


def test_promise_6_what_waits_for_the_rate_is_a_receive_buffer_and_no_more() -> None:
    case = Case(answer(bytes(10_000_000)), bytes_per_second=100)
    running = case.start()
    case.network.advance(100)

    assert case.server.bytes_sent <= 500_000
    running.cancel()
    with pytest.raises(CancelledError):
        case.network.result(running)
    case.close()


@given(
    breaks=st.lists(st.integers(0, len(DATA)), max_size=3),
    rate=st.sampled_from([20_000, 100_000, 10_000_000]),
    chunk=st.sampled_from([500, 977, 65_536, 200_000]),
    rewindable=st.booleans(),
    etag=st.sampled_from([b'"1"', b'W/"1"', None]),
)
def test_whatever_breaks_off_meanwhile_the_right_bytes_come_once_and_in_order(
    breaks: list[int], rate: int, chunk: int, rewindable: bool, etag: bytes | None
) -> None:
    """What is kept back by the limit when an attempt breaks is neither lost nor brought twice."""
    honest = Place(DATA, chunk=chunk, etag=etag)
    clock = Clock()
    fetcher = MemoryFetcher({"memory://a/f": [*(honest.but(drop_at=at) for at in breaks), honest]}, clock)
    remote = Remote(limits=Limits(bytes_per_second=rate), retries=Retries(count=4, base=0.1))
    downloader = Downloader(clock, remote, schemes=[MemoryScheme(fetcher)])
    consumer: Any = ToMemory() if rewindable else Recorder()
    ends: list[Any] = []
    downloader.download(Source("memory://a/f", expect=SHA), consumer).addBoth(ends.append)
    for _ in range(10_000):
        if ends:
            break
        clock.advance(0.01)

    assert not isinstance(ends[0], Failure), ends[0]
    assert consumer.data == DATA
    assert clock.getDelayedCalls() == []


async def test_over_a_socket_it_is_the_rate_within_5_percent(reactor: Any) -> None:
    data = DATA * 10
    async with FaultServer(reactor, answer(data)) as server:
        async with Downloader(reactor, Remote(limits=Limits(bytes_per_second=500_000))) as downloader:
            begin = reactor.seconds()
            running = [downloader.download(server.url(f"/{number}"), ToMemory()) for number in range(2)]
            for each in running:
                await each

    took = reactor.seconds() - begin
    full = 0.12 * 500_000  # what may go at once
    assert (2 * len(data) - full) / 500_000 <= took <= 2 * len(data) / 500_000 * 1.05


# ---- requests


def test_requests_go_evenly_whoever_makes_them() -> None:
    """Downloads and questions for a head alike, over http and to all hosts."""
    case = Case(answer(b"x"), requests_per_second=4)
    times = timed(case)
    other = case.network.serve("cdn.example.org", case.server.script)
    asked: list[Deferred[Any]] = []
    for number in range(3):
        asked += [
            case.start(f"/{number}"),
            case.downloader.head(case.server.url("/")),
            case.start(other.url(f"/{number}")),
        ]

    for each in asked:
        case.network.result(each)

    assert times == pytest.approx([number / 4 for number in range(9)], abs=0.1)
    case.close()


def test_redirects_and_retries_are_requests() -> None:
    remote = Remote(limits=Limits(requests_per_second=0.5), retries=Retries(count=2, base=0.01))
    case = Case({"/a": redirect("/b"), "/b": Nth([BUSY, redirect("/c")]), "/c": answer(b"x")}, remote)
    times = timed(case)

    case.ended(case.start())

    assert [request.path for request in case.server.requests] == ["/a", "/b", "/a", "/b", "/c"]
    assert times == pytest.approx([0, 2, 4, 6, 8], abs=0.1)
    case.close()


def test_promise_4_who_waits_for_its_turn_holds_no_slot() -> None:
    """One connection, one request in ten seconds: another Remote's requests go on meanwhile."""
    slow = Remote(limits=Limits(connections=1, per_host=1, requests_per_second=0.1))
    case = Case(answer(b"x"), slow)
    case.ended(case.start())
    waiting = [case.start(f"/{number}") for number in range(3)]
    case.network.advance(1)

    free = case.start(remote=Remote())
    assert case.ended(free) < 1.1
    assert not any(each.called for each in waiting)

    assert 29 <= case.ended(*waiting) <= 31
    case.close()


def test_who_does_not_want_its_turn_any_more_leaves_the_line() -> None:
    case = Case(answer(b"x"), requests_per_second=1)
    times = timed(case)
    case.ended(case.start())
    impatient, patient = case.start("/b"), case.start("/c")
    impatient.cancel()
    with pytest.raises(CancelledError):
        case.network.result(impatient)

    assert case.ended(patient) == pytest.approx(1, abs=0.1)
    assert [request.path for request in case.server.requests] == ["/a", "/c"]
    assert len(times) == 2
    case.close()


def test_closing_ends_those_who_wait_for_their_turn() -> None:
    case = Case(answer(b"x"), requests_per_second=0.001)
    waiting = [case.start() for _ in range(5)]
    case.ended(waiting.pop(0))

    case.network.result(case.downloader.close())
    for each in waiting:
        with pytest.raises(CancelledError):
            case.network.result(each)
    case.close()


def test_waiting_for_a_turn_is_not_the_head_timeout() -> None:
    case = Case(answer(b"x"), Remote(timeouts=Timeouts(head=1, connect=1), limits=Limits(requests_per_second=0.1)))

    assert 19 <= case.ended(*(case.start() for _ in range(3))) <= 21
    case.close()


def test_failures_are_told_as_ever() -> None:
    case = Case(
        {"/a": Nth([Cut(answer(Entity(DATA)), 50_000), answer(DATA)])}, bytes_per_second=50_000, requests_per_second=10
    )
    with pytest.raises(NotFound):
        case.network.result(case.start("/none"))
    report = case.network.result(case.start(expect=SHA))

    assert [type(each.error) for each in report.attempts] == [Truncated, type(None)]
    assert report.attempts[1].offset == 50_000
    case.close()
