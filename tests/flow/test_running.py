"""What is under way: kept until it fires, cancelled together, and waited for."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from pulp_dl.flow.running import Running
from pulp_dl.flow.unhurried import unhurried


def test_what_has_fired_is_not_under_way() -> None:
    running = Running()
    done = succeed(1)

    assert running.add(done) is done
    running.add(fail(KeyError())).addErrback(lambda _: None)

    assert not running
    assert list(running) == []
    assert running.ended().called


def test_what_waits_for_another_one_is_under_way() -> None:
    running = Running()
    inner: Deferred[int] = Deferred()
    outer: Deferred[Any] = succeed(None)
    outer.addCallback(lambda _: inner)
    running.add(outer)
    assert list(running) == [outer]

    inner.callback(3)
    assert not running
    assert outer.result == 3


def test_its_result_goes_on_as_it_is() -> None:
    running = Running()
    got: list[Any] = []
    good: Deferred[int] = Deferred()
    bad: Deferred[int] = Deferred()
    for each in (good, bad):
        running.add(each).addBoth(got.append)
    good.callback(1)
    bad.errback(KeyError())

    assert got[0] == 1
    assert got[1].check(KeyError)


def test_its_end_is_told_when_the_last_one_has_ended_and_to_all_who_wait() -> None:
    running = Running()
    one: Deferred[None] = Deferred()
    two: Deferred[None] = Deferred()
    running.add(one)
    running.begin(two)
    ends = [running.ended(), running.ended()]

    one.callback(None)
    assert [each.called for each in ends] == [False, False]
    assert running
    running.end(two)
    assert [each.called for each in ends] == [True, True]
    running.end(two)  # which is no news

    running.begin(two)
    again = running.ended()
    assert not again.called
    running.end(two)
    assert again.called


def test_all_are_cancelled_though_some_end_with_others() -> None:
    running = Running()
    one: Deferred[None] = Deferred()
    two: Deferred[None] = Deferred(lambda _: one.callback(None))
    got: list[Any] = []
    for each in (two, one):
        running.add(each).addBoth(got.append)
    running.cancel()

    assert not running
    assert len(got) == 2


# ---- what must not be cut in half


def test_its_end_counts_and_not_who_cancels_meanwhile() -> None:
    job: Deferred[str] = Deferred()
    got: list[Any] = []
    waiting = Deferred.fromCoroutine(unhurried(job)).addBoth(got.append)
    for _ in range(3):
        waiting.cancel()
    assert got == []
    assert not job.called

    job.callback("done")
    assert got == ["done"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_its_failure_is_raised(cancelled: bool) -> None:
    job: Deferred[str] = Deferred()
    got: list[Any] = []

    async def wait() -> None:
        await unhurried(job)  # what it returns would be lost here

    waiting = Deferred.fromCoroutine(wait()).addBoth(got.append)
    if cancelled:
        waiting.cancel()
    job.errback(KeyError("x"))

    assert got[0].check(KeyError)
    assert not got[0].check(CancelledError)


def test_what_is_done_already_is_not_waited_for() -> None:
    got: list[Any] = []
    Deferred.fromCoroutine(unhurried(succeed(1))).addBoth(got.append)

    assert got == [1]
