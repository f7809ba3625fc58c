"""When a host is left alone, and when somebody may look after it again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pulp_dl.mirrors.breaker import COOLDOWN, LONGEST, Breaker


def made() -> tuple[Clock, Breaker]:
    clock = Clock()
    return clock, Breaker(clock.seconds, threshold=3)


def state(breaker: Breaker) -> str:
    return breaker.state


def opened() -> tuple[Clock, Breaker]:
    clock, breaker = made()
    for _ in range(3):
        assert breaker.ask() is None
        breaker.failed()
    return clock, breaker


def test_it_opens_after_three_failures_in_a_row() -> None:
    _, breaker = made()
    for end in (breaker.failed, breaker.failed, breaker.answered, breaker.failed, breaker.failed):
        assert breaker.ask() is None
        end()
    assert state(breaker) == "closed"
    breaker.failed()
    assert state(breaker) == "open"
    assert breaker.ask() == COOLDOWN


def test_one_probe_at_a_time_closes_it() -> None:
    clock, breaker = opened()
    clock.advance(COOLDOWN)

    assert state(breaker) == "half-open"
    assert breaker.ask() is None
    assert breaker.ask() == 1, "somebody is looking already"
    breaker.answered()
    assert state(breaker) == "closed"
    assert [breaker.ask() for _ in range(3)] == [None] * 3


def test_a_probe_that_fails_opens_it_for_longer_but_not_for_ever() -> None:
    clock, breaker = opened()
    waits = []
    for _ in range(8):
        clock.advance(breaker.wait)
        assert breaker.ask() is None
        breaker.failed()
        waits.append(breaker.wait)

    assert waits[:4] == [20, 40, 80, 160]
    assert waits[-1] == LONGEST


def test_a_probe_of_which_nothing_is_known_makes_room_for_another() -> None:
    clock, breaker = opened()
    clock.advance(COOLDOWN)
    assert breaker.ask() is None

    breaker.unknown()

    assert breaker.ask() is None


def test_who_asks_to_be_left_alone_is() -> None:
    clock, breaker = made()
    breaker.rest(7)
    clock.advance(3)

    assert breaker.ask() == 4
    breaker.rest(1)
    assert breaker.ask() == 4, "the longer one counts"
    clock.advance(4)
    assert breaker.ask() is None
    assert breaker.ask() is None, "it has not failed, so all may come"


def test_it_can_be_kept() -> None:
    clock, breaker = opened()
    later = Clock()
    later.advance(1000)
    again = Breaker(later.seconds)

    again.restore(breaker.dump(), ago=4)

    assert again.wait == COOLDOWN - 4
    later.advance(COOLDOWN - 4)
    assert state(again) == "half-open"
    assert clock.seconds() == 0


events = st.lists(st.sampled_from(["failed", "answered", "unknown", "rest", "advance"]), max_size=60)


@given(events)
def test_whatever_happens_it_lets_somebody_through_in_the_end(what: list[str]) -> None:
    clock, breaker = made()
    asked: Any = None
    for each in what:
        if each == "advance":
            clock.advance(11)
        elif each == "rest":
            breaker.rest(5)
        else:
            asked = breaker.ask()
            if asked is None:
                getattr(breaker, each)()
    clock.advance(LONGEST)
    assert breaker.ask() is None
