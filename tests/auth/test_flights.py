"""One call for all who want its result at the same time."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from pulp_dl.auth.flights import Flights

KEYS = st.sampled_from("ab")


class Flying(RuleBasedStateMachine):
    """Whoever comes, leaves or is answered, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.flights: Flights[str, int] = Flights()
        self.calls: dict[str, list[Deferred[int]]] = {"a": [], "b": []}
        self.waiting: dict[str, list[Deferred[int]]] = {"a": [], "b": []}
        self.got: dict[Deferred[int], list[Any]] = {}
        self.serial = 0

    def under_way(self, key: str) -> list[Deferred[int]]:
        return [call for call in self.calls[key] if not call.called]

    @rule(key=KEYS, at_once=st.booleans())
    def come(self, key: str, at_once: bool) -> None:
        waits = bool(self.under_way(key))

        def begin() -> Deferred[int]:
            assert not waits
            call: Deferred[int] = Deferred()
            self.calls[key].append(call)
            if at_once:
                call.callback(7)
            return call

        one = self.flights.join(key, begin)
        self.got[one] = []
        one.addBoth(self.got[one].append)
        if waits or not at_once:
            self.waiting[key].append(one)
        else:
            assert self.got[one] == [7]

    @precondition(lambda self: any(self.waiting.values()))
    @rule(key=KEYS, data=st.data())
    def leave(self, key: str, data: st.DataObject) -> None:
        if self.waiting[key]:
            one = data.draw(st.sampled_from(self.waiting[key]))
            self.waiting[key].remove(one)
            one.cancel()
            (failure,) = self.got[one]
            assert failure.check(CancelledError)

    @rule(key=KEYS, fails=st.booleans())
    def land(self, key: str, fails: bool) -> None:
        for call in self.under_way(key):
            self.serial += 1
            result: Any = Failure(KeyError(self.serial)) if fails else self.serial
            call.callback(result)
            for one in self.waiting[key]:
                (came,) = self.got[one]
                assert came is result or came == result
            self.waiting[key].clear()

    @invariant()
    def one_call_for_those_who_wait(self) -> None:
        for key, waiting in self.waiting.items():
            assert len(self.under_way(key)) == bool(waiting)
            assert (key in self.flights) == bool(waiting)
            assert all(self.got[one] == [] for one in waiting)


TestFlying = Flying.TestCase


def test_a_call_that_raises_fails_who_waits() -> None:
    def begin() -> Deferred[int]:
        raise KeyError

    flights: Flights[str, int] = Flights()
    got: list[Any] = []
    flights.join("a", begin).addErrback(lambda failure: got.append(failure.type))

    assert got == [KeyError]
    assert "a" not in flights


def test_who_is_answered_may_come_again_and_send_others_away() -> None:
    """From inside of the answer."""
    flights: Flights[str, int] = Flights()
    first: Deferred[int] = Deferred()
    second: Deferred[int] = Deferred()
    one, other = flights.join("a", lambda: first), flights.join("a", lambda: first)
    came: list[Any] = []

    def answered(_: int) -> None:
        other.cancel()
        flights.join("a", lambda: second).addCallback(came.append)

    one.addCallback(answered)
    other.addErrback(lambda failure: came.append(failure.type))
    first.callback(1)
    second.callback(2)

    assert came == [CancelledError, 2]
