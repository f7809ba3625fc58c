"""A place that is late is not waited for alone: another one is asked beside it, and the slower one is dropped."""

from __future__ import annotations

import hashlib
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import (
    Attempt,
    Digest,
    Downloader,
    Duplicates,
    Head,
    Limits,
    Places,
    Remote,
    Report,
    Retries,
    Scores,
    Size,
    Source,
    Timeouts,
    ToMemory,
)
from pulp_dl.engine.hedge import BURST
from pulp_dl.errors import ConnectFailed, NotFound, TimedOut, Unavailable
from pulp_dl.interfaces import IMirrors
from pulp_dl.testing import FaultServer, Hold, MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder, answer
from tests.clocks import until

DATA = bytes(range(256)) * 800  # 200 KiB: more than what is held back
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
A, B, C = (f"memory://{host}/file" for host in "abc")
GOOD = Place(DATA, chunk=8192)
LATE = GOOD.but(wait=3)


class Case:
    """Places in memory that usually answer within 0.11 s, on a clock that the test moves."""

    def __init__(
        self, places: dict[str, Any], *, known: str = "abc", wrap: Any = None, hedge: float = 0.05, **remote: Any
    ) -> None:
        self.clock = Clock()
        self.fetcher = MemoryFetcher(places, self.clock)
        hosts = dict.fromkeys(Source(url).place.base for url in places)
        mirrors = Places([*hosts], original=False)
        self.scores = Scores(mirrors, explore=0, hedge=hedge, clock=self.clock.seconds)
        for host in known:
            place = Source(f"memory://{host}/elsewhere")
            self.scores.answered(place, Head(place.url, 200), 0.01)
        self.downloader = Downloader(
            self.clock,
            Remote(**({"retries": Retries(count=0)} | remote)),
            mirrors=self.scores if wrap is None else wrap(self.scores),
            schemes=[MemoryScheme(self.fetcher, slots=True)],
        )

    def start(self, consumer: Any = None, url: str = A, **how: Any) -> tuple[Deferred[Report], list[Any]]:
        ends: list[Any] = []
        running = self.downloader.download(Source(url, SHA, **how), ToMemory() if consumer is None else consumer)
        running.addBoth(ends.append)
        return running, ends

    def wait(self, ends: list[Any]) -> Any:
        for _ in range(40_000):
            if ends:
                return ends[0].value if isinstance(ends[0], Failure) else ends[0]
            self.clock.advance(0.01)
        raise AssertionError("still running")

    def run(self, consumer: Any = None, **how: Any) -> Any:
        end = self.wait(self.start(consumer, **how)[1])
        assert self.fetcher.running == 0
        assert self.clock.getDelayedCalls() == []
        return end

    @property
    def asked(self) -> str:
        """The hosts, in the order in which they were."""
        return "".join(each.source.place.host for each in self.fetcher.asked)


def ends(end: Any) -> list[tuple[str, str]]:
    return [(each.source.place.host, each.phase) for each in end.attempts]


def failed(url: str) -> Attempt:
    return Attempt(Source(url), 0, 0, 1, 0.0, None, ConnectFailed("no"))


# ---- who is asked, and when


def test_a_place_that_is_later_than_usual_is_outrun_by_the_next_one() -> None:
    case, consumer = Case({A: LATE, B: GOOD}), Recorder()

    report = case.run(consumer)

    assert consumer.data == DATA
    assert ends(report) == [("a", "outrun"), ("b", "done")]
    assert report.attempts[0].seconds == pytest.approx(0.11, abs=0.02)
    assert report.attempts[1].seconds < 0.1, "since it was asked itself"
    assert report.seconds < 0.3
    assert case.asked == "ab"


def test_the_slower_one_is_dropped_at_once() -> None:
    case = Case({A: LATE, B: GOOD.but(every=1)})
    _, ends = case.start()
    case.clock.pump([0.1, 0.05])

    assert case.asked == "ab"
    assert case.fetcher.running == 1, "the body of b"
    case.wait(ends)


def test_who_answers_in_time_is_the_only_one_who_is_asked() -> None:
    case = Case({A: GOOD.but(wait=0.1), B: GOOD})
    case.run()

    assert case.asked == "a"


def test_a_place_of_which_nothing_is_known_has_a_second() -> None:
    case = Case({A: LATE, B: GOOD}, known="")
    report = case.run()
    assert report.attempts[0].seconds == pytest.approx(1, abs=0.02)

    case = Case({A: GOOD.but(wait=0.9), B: GOOD}, known="")
    case.run()
    assert case.asked == "a"


def test_the_first_one_may_still_be_first() -> None:
    case = Case({A: GOOD.but(wait=0.2), B: LATE})
    report = case.run()

    assert ends(report) == [("b", "outrun"), ("a", "done")]
    assert case.asked == "ab"


def test_if_the_first_one_fails_the_next_one_has_been_asked_already() -> None:
    broken = Place(error=lambda: ConnectFailed("no"), wait=0.5)
    case = Case({A: broken, B: GOOD.but(wait=0.6)})
    report = case.run()

    assert ends(report) == [("a", "connect"), ("b", "done")]
    assert case.asked == "ab"
    assert report.seconds < 0.9
    assert report.attempts[1].seconds == pytest.approx(0.6, abs=0.1)


def test_if_the_first_one_drops_out_the_next_one_has_been_asked_already() -> None:
    case = Case({A: Place(error=NotFound(404), wait=0.5), B: GOOD.but(wait=0.6), C: GOOD})
    report = case.run()

    assert ends(report) == [("a", "head"), ("b", "done")]
    assert case.asked == "ab"


def test_if_the_second_one_fails_the_first_one_is_waited_for() -> None:
    case = Case({A: GOOD.but(wait=0.5), B: Place(error=NotFound(404), wait=0.1)})
    report = case.run()

    assert ends(report) == [("b", "head"), ("a", "done")]
    assert report.attempts[0].seconds == pytest.approx(0.1, abs=0.02)
    assert case.asked == "ab"


def test_if_both_fail_each_is_asked_once_and_both_are_named() -> None:
    case = Case({A: Place(error=NotFound(404), wait=0.5), B: Place(error=NotFound(404), wait=0.1)})
    error = case.run()

    assert isinstance(error, NotFound)
    assert ends(error) == [("a", "head"), ("b", "head")]
    assert error.attempts[1].seconds == pytest.approx(0.1, abs=0.02)
    assert case.asked == "ab"


@pytest.mark.parametrize("bad", [GOOD.but(drop_at=0), GOOD.but(data=DATA[:-1]), GOOD.but(data=DATA + b"x"), Place(b"")])
def test_if_the_faster_one_brings_nothing_good_the_other_one_is_asked_again_at_once(bad: Place) -> None:
    case, consumer = Case({A: GOOD.but(wait=0.5), B: bad}), RewindableRecorder()
    report = case.run(consumer)

    assert consumer.data == DATA
    assert case.asked == "aba"
    assert report.attempts[0].outrun
    assert report.attempts[-1].error is None


def test_a_size_that_is_wrong_at_once_takes_out_who_announced_it_and_not_the_other() -> None:
    case, consumer = Case({A: GOOD.but(wait=0.5), B: Place(DATA * 2)}), Recorder()
    found: list[Any] = []
    running = case.downloader.download(Source(A, [SHA, Size(len(DATA))]), consumer)
    running.addBoth(found.append)
    case.wait(found)

    assert consumer.data == DATA
    assert case.asked == "aba"


# ---- what is learnt


def test_who_was_outrun_has_not_failed_but_is_known_to_take_longer() -> None:
    case = Case({A: LATE, B: GOOD})
    case.run()

    a, b = case.scores.standing([Source(A), Source(B)])
    assert (a.trouble, a.demerits, a.circuit) == (0, 0, "closed")
    assert a.latency is not None
    assert a.latency > 0.03
    assert b.latency is not None
    assert b.latency < 0.03
    case.run()
    assert case.asked == "abb", "who is faster comes first"


def test_who_was_asked_as_the_second_and_had_no_time_is_not_thought_to_be_fast() -> None:
    case = Case({A: GOOD.but(wait=0.13), B: LATE}, known="a")
    case.run()

    assert case.asked == "ab"
    assert [each.latency for each in case.scores.standing([Source(B)])] == [None]


def test_who_asked_whether_a_host_is_back_and_was_outrun_leaves_that_to_the_next() -> None:
    case = Case({A: LATE, B: Place(error=ConnectFailed("no"))})
    for _ in range(3):
        case.scores.record(failed(A))
        case.scores.record(failed(B))
    case.clock.advance(10)
    case.fetcher.places[B] = GOOD
    assert {each.circuit for each in case.scores.standing([Source(A), Source(B)])} == {"half-open"}

    assert ends(case.run()) == [("a", "outrun"), ("b", "done")]
    assert case.scores.refused(Source(A)) is None


# ---- when there is none


def test_it_can_be_switched_off() -> None:
    case = Case({A: LATE, B: GOOD}, hedge=0, timeouts=Timeouts(head=60))
    report = case.run()

    assert not any(each.outrun for each in report.attempts)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="from 0"):
        Scores(Places([]), hedge=share)


def test_one_place_alone_is_asked_once() -> None:
    case = Case({A: LATE})
    case.run()

    assert case.asked == "a"


def test_an_order_that_does_not_learn_knows_nothing_of_it() -> None:
    case = Case({A: LATE, B: GOOD})
    case.downloader = Downloader(
        case.clock, mirrors=Places(["memory://a", "memory://b"]), schemes=[MemoryScheme(case.fetcher)]
    )
    case.run()

    assert case.asked == "a"


def test_duplicates_around_it_change_nothing() -> None:
    case = Case({A: LATE, B: GOOD}, wrap=Duplicates)

    assert ends(case.run()) == [("a", "outrun"), ("b", "done")]


def test_who_has_bytes_waits_for_the_rest_of_them() -> None:
    case = Case({A: GOOD.but(drop_at=100_000), B: GOOD.but(wait=1), C: GOOD})
    case.run()

    assert case.asked == "ab"


def test_a_condition_is_put_to_one_place() -> None:
    case = Case({A: GOOD.but(wait=1), B: GOOD})
    case.run(conditions=((b"If-None-Match", b'"2"'),))

    assert case.asked == "a"


def test_who_counts_requests_has_no_more_of_them() -> None:
    case = Case({A: GOOD.but(wait=1), B: GOOD}, limits=Limits(requests_per_second=100))
    case.run()

    assert case.asked == "a"


def test_where_all_sockets_are_in_use_there_is_none() -> None:
    case = Case({A: GOOD.but(wait=1), B: GOOD}, limits=Limits(connections=1))

    assert ends(case.run()) == [("a", "done")]
    assert case.asked == "a"


def test_where_a_question_waits_for_a_socket_it_is_not_the_place_that_is_late() -> None:
    case = Case({A: GOOD.but(every=0.1), B: GOOD}, limits=Limits(connections=5, per_host=1))
    first, second = case.start(), case.start()
    case.wait(first[1])
    case.wait(second[1])

    assert case.asked == "aa"


def test_a_host_that_is_full_is_not_asked_beside_another() -> None:
    other = "memory://b/x/other"
    case = Case(
        {A: GOOD.but(wait=1), B: GOOD, other: GOOD.but(wait=0.1, every=1)}, limits=Limits(connections=5, per_host=1)
    )
    _, long = case.start(url="memory://a/x/other")
    case.clock.pump([0.05] * 4)
    assert case.asked == "ab", "which a does not have"
    _, short = case.start()

    assert ends(case.wait(short)) == [("a", "done")]
    assert case.asked == "aba"
    case.wait(long)


def test_a_host_that_is_left_alone_is_left_alone() -> None:
    case = Case({A: GOOD.but(wait=1), B: GOOD})
    for _ in range(3):
        case.scores.record(failed(B))
    case.run()

    assert case.asked == "a"


# ---- what ends it


def test_cancelling_drops_both() -> None:
    case = Case({A: LATE, B: LATE})
    running, found = case.start()
    case.clock.pump([0.1, 0.05])
    assert case.fetcher.running == 2
    running.cancel()

    assert found[0].check(CancelledError)
    assert case.fetcher.running == 0
    assert case.clock.getDelayedCalls() == []


def test_what_ends_both_is_told_of_both() -> None:
    case = Case({A: LATE, B: LATE}, timeouts=Timeouts(total=1))
    error = case.run()

    assert isinstance(error, TimedOut)
    assert [(each.source.place.host, type(each.error)) for each in error.attempts] == [("b", TimedOut), ("a", TimedOut)]
    assert {each.trouble for each in case.scores.standing([Source(A), Source(B)])} == {0}


# ---- how many there are


@implementer(IMirrors)
class Strangers:
    """Each file has two places of its own, of which nothing is known."""

    def locate(self, source: Source, direct: Any) -> Any:
        return [source, source.at(source.url.replace("//a", "//b"))]

    def record(self, attempt: Attempt) -> None: ...


def test_there_are_a_few_and_then_a_share_of_the_requests() -> None:
    clock = Clock()
    places = {f"memory://{host}{n}/f": place for host, place in (("a", LATE), ("b", GOOD)) for n in range(100)}
    fetcher = MemoryFetcher({**places}, clock)
    mirrors: Any = Strangers()
    downloader = Downloader(
        clock, mirrors=Scores(mirrors, explore=0, clock=clock.seconds), schemes=[MemoryScheme(fetcher)]
    )
    hedged = []
    for number in range(100):
        found: list[Any] = []
        downloader.download(Source(f"memory://a{number}/f", SHA), ToMemory()).addBoth(found.append)
        while not found:
            clock.advance(0.5)
        hedged.append(any(each.outrun for each in found[0].attempts))

    assert hedged[:BURST] == [True] * BURST
    assert BURST + 3 <= sum(hedged) <= BURST + 5


# ---- over sockets


def scores_of(*servers: FaultServer) -> Scores:
    scores = Scores(Places([server.url("/") for server in servers], original=False), explore=0)
    for server in servers:
        scores.answered(Source(server.url("/x")), Head(server.url("/x"), 200), 0.01)
    return scores


async def test_a_server_that_is_late_is_left_and_sees_its_connection_closed(reactor: Any) -> None:
    async with FaultServer(reactor, Hold()) as one, FaultServer(reactor, answer(DATA)) as two:
        async with Downloader(reactor, Remote(limits=Limits(per_host=1)), mirrors=scores_of(one, two)) as downloader:
            consumer, began = Recorder(), reactor.seconds()
            report = await downloader.download(Source(one.url("/f"), SHA), consumer)
            assert reactor.seconds() - began < 1.5, "sooner than it would have been given up"
            while one.connections.open:
                await deferLater(reactor, 0.005)

        assert consumer.data == DATA
        assert [each.phase for each in report.attempts] == ["outrun", "done"]
        assert (one.connections.total, two.connections.total) == (1, 1)
        assert (len(one.requests), len(two.requests)) == (1, 1)


async def test_there_are_never_more_sockets_than_the_limits_say(reactor: Any) -> None:
    async with FaultServer(reactor, Hold()) as one, FaultServer(reactor, answer(DATA)) as two:
        limits = Limits(connections=4, per_host=2)
        remote = Remote(limits=limits, retries=Retries(base=0.01))
        async with Downloader(reactor, remote, mirrors=scores_of(one, two)) as downloader:
            bodies = [Recorder() for _ in range(20)]

            def wanted() -> Any:
                for body in bodies:
                    yield Source(one.url("/f"), SHA), body

            async with downloader.download_many(wanted(), concurrency=10) as outcomes:
                ended = [each.ok async for each in outcomes]

    assert all(ended)
    assert len(ended) == 20
    assert all(body.data == DATA for body in bodies)
    assert one.connections.peak <= 2
    assert two.connections.peak <= 2


# ---- whatever the places do


RIGHT = b"".join(number.to_bytes(4, "big") for number in range(20_000))
WHOLE = [Digest("sha256", hashlib.sha256(RIGHT).hexdigest()), Size(len(RIGHT))]
waits = st.sampled_from([0, 0.05, 0.2, 0.5, 1.2, 4])
bodies = st.builds(
    Place,
    data=st.sampled_from([RIGHT, RIGHT, RIGHT[:-1] + b"!", RIGHT + b"more", b"!" + RIGHT[1:]]),
    etag=st.sampled_from([b'"1"', b'"2"', None]),
    drop_at=st.sampled_from([None, None, 0, 1, 40_000]),
    chunk=st.sampled_from([977, 16_384]),
    wait=waits,
)
refusals = st.builds(
    Place,
    error=st.sampled_from([lambda: ConnectFailed("no"), lambda: NotFound(404), lambda: Unavailable(503)]),
    wait=waits,
)
worlds = st.dictionaries(st.sampled_from("abcd"), st.lists(bodies | refusals, min_size=1, max_size=3), max_size=4)


class Watched:
    """The slots of a Downloader, and how many were taken at once."""

    def __init__(self, slots: Any) -> None:
        self._slots = slots
        self._open: Counter[Any] = Counter()
        self.peak = self.peak_of_host = 0

    def acquire(self, host: Any, sockets: int = 1) -> Any:
        return self._slots.acquire(host, sockets).addCallback(self._got, host)

    def _got(self, slot: Any, host: Any) -> Any:
        self._open[host] += 1
        self.peak = max(self.peak, self._open.total())
        self.peak_of_host = max(self.peak_of_host, self._open[host])
        return SimpleNamespace(release=lambda: self._release(slot, host))

    def _release(self, slot: Any, host: Any) -> None:
        self._open[host] -= 1
        slot.release()


@frozen
class WatchedScheme(MemoryScheme):
    seen: list[Watched] = field(factory=list)

    def fetcher(self, reactor: Any, remote: Remote, shared: Any) -> Any:
        self.seen.append(Watched(shared.slots))
        return super().fetcher(reactor, remote, cast("Any", SimpleNamespace(slots=self.seen[-1])))


@given(
    world=worlds, good=st.sampled_from("abcd"), wait=waits, downloads=st.integers(1, 6), connections=st.integers(1, 4)
)
def test_exactly_the_right_bytes_arrive_within_the_limits_and_nothing_is_left(
    world: dict[str, Any], good: str, wait: float, downloads: int, connections: int
) -> None:
    clock = Clock()
    world[good] = Place(RIGHT, chunk=16_384, wait=wait)
    fetcher = MemoryFetcher({f"memory://{host}/f": place for host, place in world.items()}, clock)
    scores = Scores(
        Places([f"memory://{host}" for host in world], original=False), clock=clock.seconds, chance=lambda: 0.5
    )
    remote = Remote(limits=Limits(connections=connections, per_host=2), retries=Retries(count=6))
    scheme = WatchedScheme(fetcher, slots=True)
    downloader = Downloader(clock, remote, mirrors=scores, schemes=[scheme])
    consumers = [RewindableRecorder() for _ in range(downloads)]
    found: list[Any] = []
    for consumer in consumers:
        downloader.download(Source(f"memory://{good}/f", WHOLE), consumer).addBoth(found.append)
    until(clock, lambda: len(found) == downloads)

    assert not [each for each in found if isinstance(each, Failure)]
    assert all(consumer.data == RIGHT and consumer.finished for consumer in consumers)
    assert fetcher.running == 0
    assert clock.getDelayedCalls() == []
    for watched in scheme.seen:
        assert watched.peak <= connections
        assert watched.peak_of_host <= 2
    attempts = [each for report in found for each in report.attempts]
    assert sum(each.outrun for each in attempts) <= BURST + 0.05 * len(attempts)


def test_who_has_given_its_connection_to_others_goes_on_where_its_bytes_came_from() -> None:
    """And not at the place that was outrun, whose file is another one."""
    silent = Place(b"small", silent=True)
    others = {f"memory://{host}/small": silent for host in "ab"}
    case = Case({A: LATE.but(etag=b'"2"'), B: GOOD, **others}, known="ab", limits=Limits(connections=2))
    slow = Recorder(pause_after=2)
    ends: list[Any] = []
    case.downloader.download(A, slow).addBoth(ends.append)
    while not slow.paused:
        case.clock.advance(0.01)
    assert case.asked == "ab"
    for _ in range(3):  # more than there is room for
        case.downloader.download("memory://a/small", ToMemory()).addErrback(lambda _: None)
    case.clock.pump([0.1] * 80)
    case.fetcher.release()
    slow.resume()
    for _ in range(40):
        case.clock.pump([0.1] * 10)
        case.fetcher.release()

    assert slow.data == DATA
    assert ends[0].size == len(DATA)
    [rest] = [each for each in case.fetcher.asked if each.span is not None]
    assert rest.url == B
    case.downloader.close()
