"""A deadline names its phase, whatever the cancelled Deferred makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError, DNSLookupError
from twisted.internet.task import Clock

from pulp_dl.errors import TimedOut
from pulp_dl.flow.deadline import deadline


def fired(d: Deferred[Any]) -> list[Any]:
    got: list[Any] = []
    d.addBoth(got.append)
    return got


@pytest.mark.parametrize("error", [DNSLookupError("x"), ConnectingCancelledError(None), None])
def test_it_times_out_whatever_cancelling_turns_into(error: Exception | None) -> None:
    clock = Clock()
    slow: Deferred[None] = Deferred(lambda d: None if error is None else d.errback(error))
    got = fired(deadline(slow, 5, clock, "connect", "http://user:secret@host/"))

    clock.advance(5)

    assert isinstance(got[0].value, TimedOut)
    assert (got[0].value.phase, got[0].value.url) == ("connect", "http://host/")


@pytest.mark.parametrize("seconds", [5, None])
def test_in_time_it_is_not_there(seconds: float | None) -> None:
    clock = Clock()
    waiting: Deferred[str] = Deferred()
    got = fired(deadline(waiting, seconds, clock, "head"))

    waiting.callback("answer")

    assert got == ["answer"]
    assert clock.getDelayedCalls() == []


def test_what_has_fired_needs_no_timer() -> None:
    class Unneeded(Clock):
        def callLater(self, *arguments: Any, **more: Any) -> Any:
            raise AssertionError("nobody needs it")

    clock = Unneeded()

    assert fired(deadline(succeed(1), 5, clock, "head")) == [1]
    assert fired(deadline(fail(KeyError("x")), 5, clock, "head"))[0].check(KeyError)


def test_what_has_fired_and_waits_for_another_one_is_not_done() -> None:
    clock = Clock()
    chained: Deferred[Any] = succeed(None)
    chained.addCallback(lambda _: Deferred())
    got = fired(deadline(chained, 5, clock, "head"))
    clock.advance(4.9)
    assert got == []
    clock.advance(0.1)

    assert got[0].check(TimedOut)


def test_its_own_failure_passes_as_it_is() -> None:
    clock = Clock()
    waiting: Deferred[None] = Deferred()
    got = fired(deadline(waiting, 5, clock, "head"))

    waiting.errback(KeyError("x"))

    assert got[0].check(KeyError)
    assert clock.getDelayedCalls() == []
