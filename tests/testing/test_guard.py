"""What the checks lean on: waiting that ends, and finding what is left."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from pulp_dl.testing.guard import Belongings, soon, until_left


async def test_what_comes_in_time_is_handed_on(reactor: Any) -> None:
    assert await soon(reactor, deferLater(reactor, 0, lambda: 5), "five", 5) == 5
    with pytest.raises(ZeroDivisionError):
        await soon(reactor, deferLater(reactor, 0, lambda: 1 // 0), "an error", 5)


async def test_what_is_late_is_an_error_and_is_not_heard_of_again(reactor: Any) -> None:
    late: Deferred[int] = Deferred()
    with pytest.raises(AssertionError, match=r"a miracle: nothing after 0\.01 s"):
        await soon(reactor, late, "a miracle", 0.01)
    late.errback(ZeroDivisionError())


async def test_what_is_left_is_named(reactor: Any) -> None:
    before = Belongings.now(reactor)
    timer = reactor.callLater(1000, bool)
    with pytest.raises(AssertionError, match=r"left behind by a test: \{'timers': 1\}"):
        await until_left(reactor, before, "by a test", 0.01)
    timer.cancel()
    await until_left(reactor, before, "by a test", 5)


async def test_what_goes_in_time_is_not_left(reactor: Any) -> None:
    before = Belongings.now(reactor)
    reactor.callLater(0.05, bool)
    await until_left(reactor, before, "by a test", 5)
