"""Downloads over places of which something is known: failing fast, leaving slow ones, and never for a wrong reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import (
    Attempt,
    Digest,
    Downloader,
    Duplicates,
    Head,
    Places,
    Proxy,
    Remote,
    Report,
    Retries,
    Scores,
    Source,
    Timeouts,
    ToMemory,
)
from pulp_dl.errors import CircuitOpen, ConnectFailed, NotFound, TimedOut, Unavailable
from pulp_dl.testing import Close, MemoryFetcher, MemoryNetwork, MemoryScheme, Place, Recorder, Send, answer

DATA = bytes(range(256)) * 800  # 200 KiB: more than what is held back, less than what goes to threads
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
A, B, C = "memory://a/file", "memory://b/file", "memory://c/file"
GOOD = Place(DATA, chunk=8192, every=0.01)
DEAD = Place(error=lambda: ConnectFailed("refused"))


class Case:
    def __init__(self, places: dict[str, Any], order: Iterable[str] = (A, B), wrap: Any = None, **remote: Any) -> None:
        self.clock = Clock()
        self.fetcher = MemoryFetcher(places, self.clock)
        under = remote.pop("under", A)
        self.scores = Scores(
            Places(order, under=under, original=False), explore=0, clock=self.clock.seconds, chance=lambda: 0.5
        )
        self.downloader = Downloader(
            self.clock,
            Remote(**({"retries": Retries(count=4)} | remote)),
            mirrors=self.scores if wrap is None else wrap(self.scores),
            schemes=[MemoryScheme(self.fetcher)],
        )

    def start(self, consumer: Any = None, **how: Any) -> tuple[Deferred[Report], list[Any]]:
        ends: list[Any] = []
        running = self.downloader.download(Source(A, SHA, **how), consumer or ToMemory())
        running.addBoth(ends.append)
        return running, ends

    def wait(self, ends: list[Any], seconds: float = 400) -> tuple[Any, float]:
        """What it came to, and how long that took."""
        began = self.clock.seconds()
        while not ends and self.clock.seconds() - began < seconds:
            self.clock.advance(0.01)
        assert ends, "still running"
        return (ends[0].value if isinstance(ends[0], Failure) else ends[0]), self.clock.seconds() - began

    def run(self, consumer: Any = None, **how: Any) -> tuple[Any, float]:
        end = self.wait(self.start(consumer, **how)[1])
        assert self.fetcher.running == 0
        return end

    def measured(self, host: str) -> None:
        """This one is fast."""
        place = Source(host + "/elsewhere")
        self.scores.answered(place, Head(place.url, 200), 0.01)
        self.scores.record(Attempt(place, 0, len(DATA), 0.3, 0.3, 200, None))

    def run_beside(self) -> Any:
        """As C{run}, while others are still running."""
        return self.wait(self.start()[1])[0]

    def asked(self) -> str:
        """The hosts that were asked since the last time."""
        found = "".join(each.source.place.host for each in self.fetcher.asked)
        self.fetcher.asked.clear()
        return found


# ---- circuits


BOUND = b"\x00\x01" + bytes(6)
SQUID = (b"X-Squid-Error", b"ERR_CONNECT_FAIL 111")


class Gated:
    """Twenty files of two mirrors, a dead one and a good one, and a proxy."""

    def __init__(self, script: Any, proxy: Proxy, mirrors: list[str], greeting: Any = ()) -> None:
        network = MemoryNetwork()
        self.gate = network.serve("gate", script, port=3128, greeting=greeting)
        network.serve("good", answer(DATA))
        self.scores = Scores(Places(mirrors, original=False), explore=0, clock=network.seconds)
        downloader = Downloader(network, Remote(proxy=proxy), mirrors=self.scores)
        for number in range(20):
            network.result(downloader.download(Source(f"http://origin/{number}", SHA), ToMemory()))
        network.result(downloader.close())
        network.result(self.gate.abort())
        network.run()


@pytest.mark.parametrize("dead", [answer(b"no", 503, headers=(SQUID,)), answer(b"", 403, headers=(SQUID,)), Close()])
def test_a_dead_place_behind_a_proxy_is_asked_once_and_then_others_come_first(dead: Any) -> None:
    """As one that is reached directly: the proxy alone knows what became of it."""

    def script(request: Any) -> Any:
        return dead if "//dead/" in request.target else answer(DATA)

    case = Gated(script, Proxy("http://gate:3128"), ["http://dead", "http://good"])

    assert [request.target for request in case.gate.requests if "//dead/" in request.target] == ["http://dead/0"]
    assert len(case.gate.requests) == 21
    assert [each.circuit for each in case.scores.hosts] == ["closed", "closed"]


@pytest.mark.parametrize(
    ("proxy", "scheme", "greeting"),
    [("http", "https", ()), ("socks5h", "http", [Send(b"\x05\x00"), Send(b"\x05\x05" + BOUND), Close()])],
)
def test_so_is_one_to_which_there_is_no_tunnel(proxy: str, scheme: str, greeting: Any) -> None:
    gate = Proxy(f"{proxy}://gate:3128", direct="good")
    case = Gated(answer(b"no", 502), gate, [f"{scheme}://dead", "http://good"], greeting)

    assert case.gate.connections.total == 1


def test_a_dead_place_is_asked_once_and_then_others_come_first() -> None:
    case = Case({A: DEAD, B: GOOD})

    for _ in range(5):
        assert isinstance(case.run()[0], Report)

    assert case.asked() == "abbbbb"


def test_a_host_that_fails_again_and_again_is_not_asked_at_all() -> None:
    case = Case({A: DEAD}, [A], retries=Retries(count=0))
    for _ in range(3):
        assert isinstance(case.run()[0], ConnectFailed)

    error, seconds = case.run()

    assert isinstance(error, CircuitOpen)
    assert seconds == 0
    assert case.asked() == "aaa"
    assert error.retry_after == pytest.approx(10)
    assert [type(each.error) for each in error.attempts] == [CircuitOpen]
    assert error.attempts[0].phase == "head"


def test_whoever_has_time_waits_until_the_circuit_is_half_open() -> None:
    case = Case({A: [DEAD, DEAD, DEAD, GOOD]}, [A], retries=Retries(count=0))
    for _ in range(3):
        case.run()
    case.asked()
    case.downloader = Downloader(
        case.clock, Remote(retries=Retries(count=1)), mirrors=case.scores, schemes=[MemoryScheme(case.fetcher)]
    )

    report, seconds = case.run()

    assert isinstance(report, Report)
    assert 10 <= seconds < 11
    assert case.asked() == "a"


def test_one_probe_is_let_through_and_its_answer_closes_the_circuit() -> None:
    case = Case({A: [DEAD, DEAD, DEAD, GOOD.but(wait=2, every=1)]}, [A])
    case.downloader = Downloader(
        case.clock, Remote(retries=Retries(count=0)), mirrors=case.scores, schemes=[MemoryScheme(case.fetcher)]
    )
    for _ in range(3):
        case.run()
    case.clock.advance(10)
    case.asked()

    _, probe = case.start()
    assert isinstance(case.run_beside(), CircuitOpen)
    case.clock.advance(2)  # it answers; its body takes longer
    _, other = case.start()

    assert isinstance(case.wait(probe)[0], Report)
    assert isinstance(case.wait(other)[0], Report)
    assert case.asked() == "aa"


def test_a_probe_that_is_cancelled_makes_room_for_another() -> None:
    case = Case({A: [DEAD, DEAD, DEAD, GOOD.but(silent=True), GOOD]}, [A], retries=Retries(count=0))
    for _ in range(3):
        case.run()
    case.clock.advance(10)

    running, ends = case.start()
    running.cancel()
    assert ends[0].check(CancelledError)

    assert isinstance(case.run()[0], Report)


def test_retry_after_is_respected_and_another_place_is_asked_meanwhile() -> None:
    busy = Place(error=lambda: Unavailable(429, "", A, 30))
    case = Case({A: [busy, GOOD], B: GOOD})

    for _ in range(3):
        assert isinstance(case.run()[0], Report)
    assert case.asked() == "abbb"

    case = Case({A: [busy, GOOD]}, [A])
    report, seconds = case.run()
    assert isinstance(report, Report)
    assert 30 <= seconds < 31
    assert case.asked() == "aa"


def test_a_place_that_has_not_the_file_is_asked_later_for_its_neighbours() -> None:
    neighbour = "memory://b/other"
    case = Case(
        {A: Place(error=NotFound(404)), B: GOOD, "memory://a/other": GOOD, neighbour: GOOD},
        ["memory://a", "memory://b"],
        under=None,
    )

    case.run()
    ends: list[Any] = []
    case.downloader.download(Source("memory://a/other", SHA), ToMemory()).addBoth(ends.append)
    case.wait(ends)

    assert case.asked() == "abb"


def test_a_head_learns_too() -> None:
    case = Case({A: DEAD, B: GOOD})
    for _ in range(2):
        ends: list[Any] = []
        case.downloader.head(A).addBoth(ends.append)
        assert case.wait(ends)[0].total == len(DATA)

    assert case.asked() == "abb"
    assert case.scores.hosts[-1].latency is not None


def test_duplicates_around_it_change_nothing() -> None:
    case = Case({A: DEAD}, [A], wrap=Duplicates, retries=Retries(count=0))
    for _ in range(4):
        error, _ = case.run()

    assert isinstance(error, CircuitOpen)
    assert case.asked() == "aaa"


# ---- leaving a place


def received(report: Report) -> int:
    return sum(each.received for each in report.attempts)


def test_a_stall_is_healed_within_three_seconds_once_the_speed_is_known_and_no_byte_comes_twice() -> None:
    case = Case({A: [GOOD, GOOD.but(stall_at=100_000)], B: GOOD})
    case.run()
    consumer = Recorder()

    report, seconds = case.run(consumer)

    assert consumer.data == DATA
    assert seconds < 3
    assert received(report) == len(DATA)
    assert case.asked() == "aab"
    assert isinstance(report.attempts[0].error, TimedOut)


def test_a_stall_without_another_place_gets_the_usual_time() -> None:
    case = Case({A: [GOOD, GOOD.but(stall_at=100_000), GOOD]}, [A], timeouts=Timeouts(idle=20))
    case.run()

    _, seconds = case.run()

    assert 20 < seconds < 25


def test_a_place_that_has_become_slow_is_left() -> None:
    case = Case({A: [GOOD, GOOD.but(chunk=1024, every=0.1)], B: GOOD})
    case.run()

    report, seconds = case.run()

    assert 5 <= seconds < 6
    assert [type(each.error) for each in report.attempts] == [TimedOut, type(None)]
    assert received(report) == len(DATA)


def test_a_slow_place_is_left_though_nothing_is_known_yet() -> None:
    case = Case({A: GOOD.but(chunk=1024, every=0.1), B: GOOD})

    report, seconds = case.run()

    assert 5 <= seconds < 6
    assert received(report) == len(DATA)


def test_a_new_place_that_is_much_slower_than_others_is_left() -> None:
    case = Case({A: GOOD.but(chunk=1024, every=0.1), B: GOOD})
    case.measured("memory://elsewhere")

    report, seconds = case.run()

    assert 5 <= seconds < 6
    assert received(report) == len(DATA)


def test_if_all_are_slow_and_nothing_is_known_the_first_one_alone_is_left() -> None:
    slow = GOOD.but(chunk=1024, every=0.1)
    case = Case({A: slow, B: slow, C: slow}, [A, B, C], retries=Retries(count=1))

    report, _ = case.run()

    assert isinstance(report, Report)
    assert received(report) == len(DATA)
    assert len(report.attempts) == 2


def test_if_all_are_slow_it_comes_slowly_and_comes() -> None:
    slow = GOOD.but(chunk=1024, every=0.1)
    case = Case({A: [GOOD, slow], B: slow}, retries=Retries(count=1))
    case.run()
    case.measured("memory://b")

    report, _ = case.run()

    assert isinstance(report, Report)
    assert received(report) == len(DATA)
    assert len(report.attempts) == 3, "each was left once"


def test_a_consumer_that_is_slow_is_not_held_against_a_place() -> None:
    case = Case({A: GOOD, B: GOOD})
    case.run()
    before = case.scores.hosts[0]
    consumer = Recorder()
    _, ends = case.start(consumer)
    while not consumer.data:
        case.clock.advance(0.01)
    for _ in range(8):
        case.clock.advance(0.01)
        consumer.pause()
        case.clock.advance(20)
        consumer.resume()
    report, _ = case.wait(ends)

    assert isinstance(report, Report)
    assert len(report.attempts) == 1
    after = case.scores.hosts[0]
    assert after.host == before.host == "memory://a"
    assert after.trouble == 0
    assert after.speed is not None
    assert before.speed is not None
    assert after.speed > before.speed / 2


def test_without_scores_nothing_is_hurried() -> None:
    case = Case({A: [GOOD, GOOD.but(stall_at=100_000), GOOD], B: GOOD}, timeouts=Timeouts(idle=20))
    case.downloader = Downloader(
        case.clock,
        Remote(timeouts=Timeouts(idle=20)),
        mirrors=Places([A, B], under=A),
        schemes=[MemoryScheme(case.fetcher)],
    )
    case.run()

    assert case.run()[1] > 20
