"""A place that does not answer is left for another one soon, over real sockets."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from pulp_dl import (
    Attempt,
    Basic,
    Digest,
    Downloader,
    Head,
    Limits,
    Places,
    Remote,
    Retries,
    Scores,
    Source,
    Timeouts,
    ToMemory,
)
from pulp_dl.errors import TimedOut
from pulp_dl.testing import Cut, FaultServer, Hold, Nth, OnPath, Wait, answer

DATA = bytes(range(256)) * 4000
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())


def scores_of(*servers: FaultServer) -> Scores:
    # No other place is asked beside one that is late: it is left.
    return Scores(Places([server.url("/") for server in servers], original=False), explore=0, hedge=0)


def know(scores: Scores, *servers: FaultServer) -> None:
    """They are fast; measured on a busy machine they might not be."""
    for server in servers:
        place = Source(server.url("/f"))
        scores.answered(place, Head(place.url, 200), 0.01)
        scores.record(Attempt(place, 0, len(DATA), 0.02, 0.02, 200, None))


async def timed(reactor: Any, downloader: Downloader, source: Source) -> tuple[Any, float, bytes]:
    began, body = reactor.seconds(), ToMemory()
    report = await downloader.download(source, body)
    return report, reactor.seconds() - began, body.data


async def test_a_place_that_does_not_answer_is_left_within_three_seconds_once_it_is_known(reactor: Any) -> None:
    async with FaultServer(reactor, Hold()) as one, FaultServer(reactor, answer(DATA)) as two:
        scores = scores_of(one, two)
        know(scores, one)
        async with Downloader(reactor, Remote(), mirrors=scores) as downloader:
            report, seconds, data = await timed(reactor, downloader, Source(one.url("/f"), SHA))

    assert data == DATA
    assert seconds < 8
    assert report.attempts[0].error.seconds == 1.5
    assert [type(each.error) for each in report.attempts] == [TimedOut, type(None)]
    assert report.attempts[0].phase == "head"


async def test_a_stall_in_the_body_is_healed_as_soon_and_no_byte_comes_twice(reactor: Any) -> None:
    stalls = Cut(answer(DATA), len(DATA) // 2, Hold())
    async with FaultServer(reactor, stalls) as one, FaultServer(reactor, answer(DATA)) as two:
        scores = scores_of(one, two)
        know(scores, one)
        async with Downloader(reactor, Remote(), mirrors=scores) as downloader:
            report, seconds, data = await timed(reactor, downloader, Source(one.url("/f"), SHA))

    assert data == DATA
    assert seconds < 8
    assert report.attempts[0].error.seconds == 1.5
    assert sum(each.received for each in report.attempts) == len(DATA)


@pytest.mark.limit(30)
async def test_a_place_that_is_slow_to_answer_and_has_no_other_beside_it_gets_the_usual_time(reactor: Any) -> None:
    script = OnPath({"/f": Nth([answer(DATA), Hold()])})
    remote = Remote(timeouts=Timeouts(head=2.5), retries=Retries(count=0))
    async with FaultServer(reactor, script) as one, Downloader(reactor, remote, mirrors=scores_of(one)) as downloader:
        source = Source(one.url("/f"), SHA)
        await timed(reactor, downloader, source)
        with pytest.raises(TimedOut) as caught:
            await timed(reactor, downloader, source)

    assert caught.value.seconds == 2.5


@pytest.mark.limit(30)
async def test_each_place_is_hurried_once_so_what_is_slow_everywhere_comes_all_the_same(reactor: Any) -> None:
    slow = (Wait(2.5), answer(DATA))
    remote = Remote(retries=Retries(count=1, base=0.01))
    async with FaultServer(reactor, slow) as one, FaultServer(reactor, slow) as two:
        scores = scores_of(one, two)
        know(scores, one, two)
        async with Downloader(reactor, remote, mirrors=scores) as downloader:
            report, _, data = await timed(reactor, downloader, Source(one.url("/f"), SHA))

    assert data == DATA
    assert len(report.attempts) == 3


async def test_where_there_are_credentials_the_time_for_an_answer_stays_and_they_are_sent(reactor: Any) -> None:
    async with FaultServer(reactor, answer(DATA)) as one, FaultServer(reactor, answer(DATA)) as two:
        remote = Remote(url=one.url("/"), auth=Basic("me", "secret"))
        async with Downloader(reactor, remote, mirrors=scores_of(one, two)) as downloader:
            for _ in range(2):
                await timed(reactor, downloader, Source(one.url("/f"), SHA))

    assert all(each.get(b"authorization") for each in one.requests)
    assert not any(each.get(b"authorization") for each in two.requests)


async def test_what_a_server_set_is_sent_back_by_whoever_asks_next(reactor: Any) -> None:
    """One jar, however short the time for an answer is."""
    script = Nth([answer(DATA, headers=((b"Set-Cookie", b"a=1"),)), answer(DATA)])
    async with FaultServer(reactor, script) as one, FaultServer(reactor, answer(DATA)) as two:
        scores = scores_of(one, two)
        async with Downloader(reactor, Remote(cookies=True), mirrors=scores) as downloader:
            await timed(reactor, downloader, Source(one.url("/f"), SHA))
            know(scores, one)
            for _ in range(2):
                await timed(reactor, downloader, Source(one.url("/f"), SHA))

    asked = [each.get(b"cookie") for each in one.requests]
    assert len(asked) > 1
    assert asked[1:] == [b"a=1"] * (len(asked) - 1)


async def test_requests_a_second_are_counted_together(reactor: Any) -> None:
    async with FaultServer(reactor, answer(DATA)) as one, FaultServer(reactor, answer(DATA)) as two:
        remote = Remote(limits=Limits(requests_per_second=5))
        async with Downloader(reactor, remote, mirrors=scores_of(one, two)) as downloader:
            began = reactor.seconds()
            for _ in range(6):
                await timed(reactor, downloader, Source(one.url("/f"), SHA))

    assert reactor.seconds() - began > 0.9


async def test_places_in_haste_share_the_connections_and_the_limits(reactor: Any) -> None:
    async with FaultServer(reactor, answer(DATA)) as one, FaultServer(reactor, answer(DATA)) as two:
        async with Downloader(reactor, Remote(), mirrors=scores_of(one, two)) as downloader:
            for _ in range(5):
                await timed(reactor, downloader, Source(one.url("/f"), SHA))

    assert one.connections.total + two.connections.total <= 2
