"""A clock that goes on evenly."""

from __future__ import annotations

from time import monotonic, time

from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock
from twisted.python import runtime

from pulp_dl.flow.steady import steady, wall


class Reactor(ReactorBase):
    """One that does nothing by itself."""

    def installWaker(self) -> None:
        pass

    def wakeUp(self) -> None:
        pass


def test_what_is_to_be_called_already_is_called_when_it_would_have_been() -> None:
    reactor = Reactor()
    assert reactor.seconds is runtime.seconds  # when this fails, Twisted counts evenly itself
    called: list[int] = []
    for delay in (1000, 0, 500):
        reactor.callLater(delay, called.append, delay)
    last = reactor.getDelayedCalls()[0]

    for _ in range(2):
        steady(reactor)

    assert abs(reactor.seconds() - monotonic()) < 1
    reactor.runUntilCurrent()
    assert called == [0]
    assert sorted(round(each.getTime() - reactor.seconds(), -1) for each in reactor.getDelayedCalls()) == [500, 1000]
    last.reset(200)
    assert round(last.getTime() - reactor.seconds()) == 200


def test_a_clock_that_somebody_chose_stays() -> None:
    clock = Clock()
    before = clock.seconds

    steady(clock)

    assert clock.seconds == before


def test_dates_are_compared_with_the_clock_on_the_wall() -> None:
    even, chosen = Reactor(), Clock()
    steady(even)
    chosen.advance(1_000_000_000)

    assert abs(wall(even) - time()) < 1
    assert abs(wall(Reactor()) - time()) < 1
    assert wall(chosen) == 1_000_000_000
