"""The valve: one holder for each reason, nothing lost, nothing reordered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IConsumer, IPullProducer, IPushProducer
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pulp_dl.flow.valve import REST, Valve
from tests.flow.clocks import Strict


@implementer(IPushProducer)
class Push:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


@implementer(IPullProducer)
class Pull:
    """Writes a letter each time it is asked; ends after the last."""

    def __init__(self, valve: Valve, letters: bytes) -> None:
        self.valve, self.left = valve, letters

    def resumeProducing(self) -> None:
        if self.left:
            letter, self.left = self.left[:1], self.left[1:]
            self.valve.write(letter)
        else:
            self.valve.unregisterProducer()

    def stopProducing(self) -> None:
        self.left = b""


def make(clock: Clock | None = None) -> tuple[Valve, list[bytes], list[str]]:
    got: list[bytes] = []
    events: list[str] = []
    valve = Valve(
        clock or Clock(), got.append, lambda: events.append("stopped"), lambda open_: events.append(f"open={open_}")
    )
    return valve, got, events


def test_it_is_a_consumer_and_a_push_producer() -> None:
    valve, _, _ = make()

    assert verifyObject(IConsumer, valve)
    assert verifyObject(IPushProducer, valve)


def test_the_flow_goes_on_only_when_the_last_holder_lets_go() -> None:
    valve, _, events = make()
    producer = Push()
    valve.registerProducer(producer, streaming=True)

    valve.hold("rate")
    valve.pauseProducing()
    valve.release("rate")
    assert producer.calls == ["pause"]

    valve.resumeProducing()
    assert producer.calls == ["pause", "resume"]
    assert events == ["open=False", "open=True"]


def test_holding_twice_is_holding_once() -> None:
    valve, _, events = make()
    producer = Push()
    valve.registerProducer(producer, streaming=True)

    valve.hold("rate")
    valve.hold("rate")
    valve.release("rate")
    valve.release("rate")

    assert producer.calls == ["pause", "resume"]
    assert events == ["open=False", "open=True"]


def test_bytes_that_come_after_a_pause_are_kept_and_let_through_in_order() -> None:
    valve, got, _ = make()
    valve.registerProducer(Push(), streaming=True)

    valve.pauseProducing()
    valve.write(b"a")
    valve.write(b"b")
    assert (got, valve.kept) == ([], 2)

    valve.resumeProducing()
    valve.write(b"c")
    assert (got, valve.kept) == ([b"a", b"b", b"c"], 0)


def test_a_sink_that_pauses_while_kept_bytes_go_through_gets_no_more() -> None:
    got: list[bytes] = []

    def sink(data: bytes) -> None:
        got.append(data)
        valve.pauseProducing()

    valve = Valve(Clock(), sink, lambda: None)
    producer = Push()
    valve.registerProducer(producer, streaming=True)
    valve.write(b"a")
    valve.write(b"b")
    valve.write(b"c")
    assert got == [b"a"]

    valve.resumeProducing()

    assert got == [b"a", b"b"]
    assert producer.calls == ["pause"]


def test_a_producer_that_registers_while_the_valve_is_closed_is_paused() -> None:
    valve, _, _ = make()
    producer = Push()
    valve.hold("rate")

    valve.registerProducer(producer, streaming=True)

    assert producer.calls == ["pause"]


def test_drained_fires_when_the_last_kept_byte_went_through_though_the_producer_has_ended() -> None:
    valve, got, _ = make()
    valve.registerProducer(Push(), streaming=True)
    assert valve.drained() is None
    valve.pauseProducing()
    valve.write(b"a")
    valve.unregisterProducer()
    drained = valve.drained()
    assert drained is not None
    assert not drained.called

    valve.resumeProducing()

    assert drained.called
    assert got == [b"a"]


def test_with_nothing_kept_it_is_drained_and_who_needs_it_open_waits_for_that() -> None:
    valve, _, _ = make()
    assert valve.drained() is valve.drained(open_=True) is None
    valve.hold("consumer")

    assert valve.drained() is None
    opened = valve.drained(open_=True)
    assert opened is not None
    assert not opened.called
    valve.release("consumer")
    assert opened.called


def test_who_waits_until_it_is_drained_may_give_up_and_wait_again() -> None:
    valve, _, _ = make()
    valve.hold("rate")
    valve.write(b"a")
    first = valve.drained()
    assert first is not None
    first.addErrback(lambda failure: failure.trap(CancelledError)).cancel()

    second = valve.drained()
    assert second is not None
    assert not second.called
    valve.release("rate")
    assert second.called


def test_what_is_kept_can_be_forgotten() -> None:
    valve, got, _ = make()
    valve.hold("consumer")
    valve.write(b"a")
    valve.clear()
    assert valve.kept == 0

    valve.write(b"b")
    valve.release("consumer")
    assert got == [b"b"]


def test_a_pull_producer_is_asked_again_and_again_and_not_while_the_valve_is_closed() -> None:
    clock, got = Strict(), []

    def sink(data: bytes) -> None:
        got.append(data)
        if data == b"b":
            valve.pauseProducing()

    valve = Valve(clock, sink, lambda: None)
    producer = Pull(valve, b"abcd")
    valve.registerProducer(producer, streaming=False)
    clock.pump([0, 0, 0])
    assert got == [b"a", b"b"]
    assert producer.left == b"cd"

    valve.resumeProducing()
    clock.advance(0)
    assert got == [b"a", b"b", b"c", b"d"]
    assert clock.getDelayedCalls() == []


def test_a_piece_that_comes_while_a_kept_one_goes_through_follows_it() -> None:
    got: list[bytes] = []

    def sink(data: bytes) -> None:
        if data == b"a":
            valve.write(b"b")
        got.append(data)

    valve = Valve(Clock(), sink, lambda: None)
    valve.hold("rate")
    valve.write(b"a")
    valve.release("rate")

    assert got == [b"a", b"b"]


def test_a_sink_that_holds_and_releases_inside_a_piece_gets_the_next_one_after_it() -> None:
    got: list[bytes] = []

    def sink(data: bytes) -> None:
        valve.hold("checks")
        valve.release("checks")
        got.append(data)

    valve = Valve(Clock(), sink, lambda: None)
    valve.hold("rate")
    for piece in (b"a", b"b", b"c"):
        valve.write(piece)
    valve.release("rate")

    assert got == [b"a", b"b", b"c"]


def test_a_pull_producer_that_leaves_is_asked_no_more_and_the_next_one_is() -> None:
    clock, got = Clock(), []
    valve = Valve(clock, got.append, lambda: None)
    valve.registerProducer(Pull(valve, b"ab"), streaming=False)
    valve.unregisterProducer()
    assert clock.getDelayedCalls() == []

    valve.registerProducer(Pull(valve, b"cd"), streaming=False)
    clock.pump([0, 0, 0])

    assert got == [b"c", b"d"]
    assert clock.getDelayedCalls() == []


def test_a_consumer_that_takes_nothing_is_told_of_again_and_again_until_it_takes_more() -> None:
    clock, told = Clock(), []
    valve = Valve(clock, lambda data: None, lambda: None)
    valve.rested = lambda: told.append(clock.seconds())

    valve.pauseProducing()
    clock.advance(REST - 1)
    valve.pauseProducing()  # which is no news
    clock.advance(1)
    clock.advance(REST)
    valve.resumeProducing()
    clock.advance(REST)
    assert told == [REST, 2 * REST]
    assert clock.getDelayedCalls() == []

    valve.pauseProducing()
    clock.advance(REST)
    assert told == [REST, 2 * REST, 4 * REST]
    valve.close()
    assert clock.getDelayedCalls() == []


def test_a_consumer_that_takes_nothing_while_nobody_wants_to_know_is_no_mistake() -> None:
    clock = Clock()
    valve = Valve(clock, lambda data: None, lambda: None)
    valve.pauseProducing()
    clock.advance(REST)
    valve.resumeProducing()

    assert valve.open
    assert clock.getDelayedCalls() == []


def test_downstream_that_stops_is_heard() -> None:
    valve, _, events = make()

    valve.stopProducing()

    assert events == ["stopped"]


def test_a_consumer_that_pauses_after_the_end_is_watched_no_more() -> None:
    clock = Clock()
    valve = Valve(clock, lambda data: None, lambda: None)
    valve.close()
    valve.pauseProducing()

    assert not clock.getDelayedCalls()


def test_once_it_is_closed_bytes_are_lost_and_nobody_is_told_of_anything() -> None:
    valve, got, events = make()
    producer = Push()
    valve.registerProducer(producer, streaming=True)
    valve.hold("rate")
    valve.write(b"a")
    valve.close()
    assert valve.kept == 0

    valve.release("rate")
    valve.write(b"b")
    valve.stopProducing()

    assert got == []
    assert events == ["open=False"]
    assert producer.calls == ["pause"]


def test_two_producers_at_once_are_a_mistake() -> None:
    valve, _, _ = make()
    valve.registerProducer(Push(), streaming=True)

    with pytest.raises(RuntimeError, match="registered already"):
        valve.registerProducer(Push(), streaming=True)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["hold", "release"]), st.sampled_from("abc")),
        st.tuples(st.just("write"), st.binary(min_size=1, max_size=3)),
    )
)


@given(STEPS)
def test_whatever_is_held_and_released_every_byte_goes_through_once_and_in_order(
    steps: list[tuple[str, Any]],
) -> None:
    valve, got, _ = make()
    producer = Push()
    valve.registerProducer(producer, streaming=True)
    sent = b""
    holders: set[object] = set()
    for what, value in steps:
        if what == "write":
            sent += value
            before = len(got)
            valve.write(value)
            assert holders == set() or len(got) == before
        elif what == "hold":
            holders.add(value)
            valve.hold(str(value))
        else:
            holders.discard(value)
            valve.release(str(value))
        assert valve.open == (not holders)
    for value in tuple(holders):
        valve.release(str(value))

    assert b"".join(got) == sent
    assert producer.calls.count("pause") == producer.calls.count("resume")
