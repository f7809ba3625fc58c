"""The right to hold open sockets: exact counts, fair order, nobody waits in vain."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pulp_dl.engine.slots import PATIENCE, Slots
from pulp_dl.interfaces import ISlot, ISlots


def got(request: Deferred[ISlot]) -> ISlot:
    """The slot of a request that was granted."""
    assert granted(request)
    return cast("ISlot", request.result)


def granted(request: Deferred[ISlot]) -> bool:
    return request.called


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_interfaces(clock: Clock) -> None:
    slots = Slots(1, 1, clock)
    verifyObject(ISlots, slots)
    verifyObject(ISlot, got(slots.acquire("a")))


def test_the_total_is_a_limit(clock: Clock) -> None:
    slots = Slots(2, 2, clock)
    first, second, third = (slots.acquire(host) for host in "abc")
    assert not granted(third)
    got(second).release()
    assert granted(third)
    assert first.called


def test_each_host_has_a_limit(clock: Clock) -> None:
    slots = Slots(10, 2, clock)
    one, _, three = (slots.acquire("a") for _ in range(3))
    assert not granted(three)
    got(one).release()
    assert granted(three)


def test_who_waits_for_a_full_host_is_in_nobodys_way(clock: Clock) -> None:
    slots = Slots(3, 1, clock)
    slots.acquire("a")
    blocked = slots.acquire("a")
    assert granted(slots.acquire("b"))
    assert not granted(blocked)


def test_those_who_can_go_go_in_the_order_of_asking(clock: Clock) -> None:
    slots = Slots(2, 2, clock)
    held = [got(slots.acquire("x")), got(slots.acquire("y"))]
    order: list[int] = []

    def noted(slot: ISlot, number: int) -> ISlot:
        order.append(number)
        return slot

    requests = [slots.acquire(host) for host in ("b", "a", "b", "c", "a")]
    for number, request in enumerate(requests):
        request.addCallback(noted, number)
    for slot in held:
        slot.release()
    for request in requests[:3]:
        got(request).release()
    assert order == [0, 1, 2, 3, 4]


def test_releasing_twice_is_releasing_once(clock: Clock) -> None:
    slots = Slots(1, 1, clock)
    slot = got(slots.acquire("a"))
    slot.release()
    slot.release()
    assert granted(slots.acquire("a"))
    assert not granted(slots.acquire("a"))


def test_thousands_who_wait_are_served_one_after_the_other(clock: Clock) -> None:
    """One who is served and is done at once does not serve the next from inside itself."""
    slots = Slots(1, 1, clock)
    slot = got(slots.acquire("a"))
    served: list[int] = []

    def use(slot: ISlot, number: int) -> None:
        served.append(number)
        slot.release()

    for number in range(5000):
        slots.acquire("a").addCallback(use, number)
    slot.release()
    assert served == [*range(5000)]


def test_cancelling_leaves_the_queue(clock: Clock) -> None:
    slots = Slots(1, 1, clock)
    slot = got(slots.acquire("a"))
    impatient, patient = slots.acquire("a"), slots.acquire("a")
    impatient.cancel()
    left = impatient.addErrback(lambda failure: failure.trap(CancelledError))
    slot.release()
    assert left.called
    assert granted(patient)


class TestTwoSockets:
    """Who needs two at a time has both or none."""

    def test_two_count_as_two(self, clock: Clock) -> None:
        slots = Slots(4, 3, clock)
        first = slots.acquire("a", 2)
        second = slots.acquire("a", 2)
        assert granted(first)
        assert not granted(second)  # one of the host is left
        assert granted(slots.acquire("b", 2))
        assert not granted(slots.acquire("c"))
        got(first).release()
        assert granted(second)

    @pytest.mark.parametrize(("total", "per_host"), [(1, 5), (5, 1), (1, 1)])
    def test_where_two_can_never_be_one_is_enough(self, clock: Clock, total: int, per_host: int) -> None:
        slots = Slots(total, per_host, clock)
        first, second = slots.acquire("a", 2), slots.acquire("a", 2)
        assert granted(first)
        assert not granted(second)
        got(first).release()
        assert granted(second)

    def test_small_requests_do_not_go_before_it_for_ever(self, clock: Clock) -> None:
        slots = Slots(2, 2, clock)
        held = [got(slots.acquire("a")), got(slots.acquire("b"))]
        both, behind = slots.acquire("c", 2), slots.acquire("d")
        held[0].release()
        assert not granted(behind)
        held[1].release()
        assert granted(both)
        got(both).release()
        assert granted(behind)

    def test_those_behind_go_when_it_leaves(self, clock: Clock) -> None:
        slots = Slots(2, 2, clock)
        slots.acquire("a")
        both, behind = slots.acquire("c", 2), slots.acquire("d")
        both.addErrback(lambda failure: failure.trap(CancelledError))
        both.cancel()
        assert granted(behind)

    def test_as_many_idle_sockets_are_closed_as_it_needs(self, clock: Clock) -> None:
        slots = Slots(3, 3, clock)
        evicted: list[int] = []
        for number in range(3):
            slot = got(slots.acquire("a"))

            def close(slot: ISlot = slot, number: int = number) -> None:
                evicted.append(number)
                slot.release()

            slot.park(close)
        assert granted(slots.acquire("b", 2))
        assert evicted == [0, 1]

    def test_an_idle_pair_makes_room_for_two(self, clock: Clock) -> None:
        slots = Slots(2, 2, clock)
        pair = got(slots.acquire("a", 2))
        pair.park(pair.release)
        assert granted(slots.acquire("b"))
        assert granted(slots.acquire("c"))

    def test_nobody_is_closed_for_one_half(self, clock: Clock) -> None:
        """Its own host has room for one only: another host's idle socket would be of no use to it."""
        slots = Slots(5, 5, clock)
        used = [got(slots.acquire("a", 2)), got(slots.acquire("a", 2))]
        other = got(slots.acquire("b"))
        evicted: list[ISlot] = []
        waits = slots.acquire("a", 2)
        other.park(lambda: evicted.append(other))
        assert evicted == []
        used[0].release()
        assert granted(waits)
        assert evicted == []

    def test_a_host_that_is_allowed_one_still_has_a_pair_when_nothing_else_is_open(self, clock: Clock) -> None:
        slots = Slots(3, 3, clock)
        slots.allow("a", 1)
        idle = got(slots.acquire("b", 2))
        idle.park(idle.release)
        got(slots.acquire("c"))
        first, second = slots.acquire("a", 2), slots.acquire("a", 2)
        assert granted(first), "what idles elsewhere was closed for it"
        assert not granted(second)
        got(first).release()
        assert granted(second)

    @given(wants=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2)), max_size=12), total=st.integers(1, 5))
    def test_all_are_served_in_whatever_mixture_and_the_limit_holds(
        self, wants: list[tuple[str, int]], total: int
    ) -> None:
        slots = Slots(total, total, Clock())
        served: list[int] = []
        held: list[tuple[ISlot, int]] = []

        def use(slot: ISlot, number: int, sockets: int) -> None:
            served.append(number)
            held.append((slot, min(sockets, total)))
            assert sum(each for _, each in held) <= total

        for number, (host, sockets) in enumerate(wants):
            slots.acquire(host, sockets).addCallback(use, number, sockets)
        while held:
            slot, _ = held.pop(0)
            slot.release()
        assert sorted(served) == [*range(len(wants))]


class TestAllowed:
    """A host may have fewer than others for a while."""

    def test_no_more_than_that_are_opened(self, clock: Clock) -> None:
        slots = Slots(9, 4, clock)
        slots.allow("a", 2)
        requests = [slots.acquire("a") for _ in range(3)]
        assert [granted(each) for each in requests] == [True, True, False]
        assert all(granted(slots.acquire("b")) for _ in range(4))
        slots.allow("a", 3)
        assert granted(requests[2])

    def test_what_is_open_above_that_is_closed_when_it_idles(self, clock: Clock) -> None:
        slots = Slots(9, 4, clock)
        first, second, third = (got(slots.acquire("a")) for _ in range(3))
        first.park(first.release)
        slots.allow("a", 1)
        waiting = slots.acquire("a")
        assert slots.busy("a") == 2
        assert second.owed(waiting)
        second.park(second.release)
        assert slots.busy("a") == 1
        assert not third.owed(waiting)
        assert not granted(waiting)
        third.release()
        assert granted(waiting)

    def test_it_is_never_more_than_others_have(self, clock: Clock) -> None:
        slots = Slots(9, 2, clock)
        slots.allow("a", 7)
        assert [granted(slots.acquire("a")) for _ in range(3)] == [True, True, False]


class TestEviction:
    def test_nobody_waits_nobody_is_evicted(self, clock: Clock) -> None:
        slots = Slots(2, 2, clock)
        evicted: list[str] = []
        got(slots.acquire("a")).park(lambda: evicted.append("a"))
        assert granted(slots.acquire("a"))
        assert not evicted

    def test_the_oldest_idle_socket_of_any_host_makes_room_in_the_total(self, clock: Clock) -> None:
        slots = Slots(2, 2, clock)
        evicted: list[str] = []
        first, second = got(slots.acquire("a")), got(slots.acquire("b"))
        second.park(lambda: evicted.append("second"))
        first.park(lambda: evicted.append("first"))
        waiting = slots.acquire("c")
        assert evicted == ["second"]
        assert not granted(waiting)  # the socket is not closed yet
        second.release()
        assert granted(waiting)

    def test_a_full_host_gives_up_its_own_oldest_idle_socket(self, clock: Clock) -> None:
        slots = Slots(3, 2, clock)
        evicted: list[str] = []
        other = got(slots.acquire("b"))
        first, second = got(slots.acquire("a")), got(slots.acquire("a"))
        other.park(lambda: evicted.append("other"))
        first.park(lambda: evicted.append("first"))
        second.park(lambda: evicted.append("second"))
        waiting = slots.acquire("a")
        assert evicted == ["first"]
        first.release()
        assert granted(waiting)
        assert evicted == ["first"]

    def test_a_socket_that_becomes_idle_while_somebody_waits_is_evicted_at_once(self, clock: Clock) -> None:
        slots = Slots(1, 1, clock)
        slot = got(slots.acquire("a"))
        waiting = slots.acquire("b")
        slot.park(slot.release)
        assert granted(waiting)

    def test_one_who_waits_costs_one_socket(self, clock: Clock) -> None:
        slots = Slots(2, 2, clock)
        evicted: list[str] = []
        got(slots.acquire("a")).park(lambda: evicted.append("a"))
        got(slots.acquire("b")).park(lambda: evicted.append("b"))
        slots.acquire("c")
        assert evicted == ["a"]
        slots.acquire("d")
        assert evicted == ["a", "b"]

    def test_a_used_socket_is_not_evicted(self, clock: Clock) -> None:
        slots = Slots(1, 1, clock)
        evicted: list[str] = []
        slot = got(slots.acquire("a"))
        slot.park(lambda: evicted.append("a"))
        slot.unpark()
        slots.acquire("b")
        assert not evicted


class TestOwed:
    """Reuse keeps a place from those who asked earlier, but not for long."""

    def test_reuse_is_preferred_for_a_while(self, clock: Clock) -> None:
        slots = Slots(1, 1, clock)
        slot = got(slots.acquire("a"))
        slots.acquire("b")
        mine = slots.acquire("a")
        assert not slot.owed(mine)
        clock.advance(PATIENCE + 0.1)
        assert slot.owed(mine)

    def test_nobody_owes_to_those_who_asked_later(self, clock: Clock) -> None:
        slots = Slots(1, 1, clock)
        slot = got(slots.acquire("a"))
        mine = slots.acquire("a")
        slots.acquire("b")
        clock.advance(PATIENCE * 10)
        assert not slot.owed(mine)

    def test_nothing_is_owed_to_one_whom_this_place_would_not_serve(self, clock: Clock) -> None:
        slots = Slots(2, 1, clock)
        slot = got(slots.acquire("a"))
        slots.acquire("b")
        slots.acquire("b")  # waits for the other socket to b
        mine = slots.acquire("a")
        clock.advance(PATIENCE * 10)
        assert not slot.owed(mine)

    def test_one_place_at_a_time(self, clock: Clock) -> None:
        slots = Slots(2, 2, clock)
        first, second = got(slots.acquire("a")), got(slots.acquire("a"))
        slots.acquire("b")
        mine = slots.acquire("a")
        clock.advance(PATIENCE + 0.1)
        assert first.owed(mine)
        first.park(lambda: None)
        assert not second.owed(mine)

    def test_parking_what_is_owed_serves_the_one_who_waited(self, clock: Clock) -> None:
        slots = Slots(1, 1, clock)
        slot = got(slots.acquire("a"))
        waiting = slots.acquire("b")
        mine = slots.acquire("a")
        clock.advance(PATIENCE + 0.1)
        assert slot.owed(mine)
        slot.park(slot.release)
        assert granted(waiting)
        assert not granted(mine)

    def test_wanted_by_who_waits_for_the_same_host(self, clock: Clock) -> None:
        slots = Slots(10, 1, clock)
        slots.acquire("a")
        slots.acquire("a")
        assert not slots.wanted("a")
        clock.advance(PATIENCE + 0.1)
        assert slots.wanted("a")

    def test_wanted_by_who_waits_for_the_total(self, clock: Clock) -> None:
        slots = Slots(2, 2, clock)
        slots.acquire("a")
        slots.acquire("b")
        slots.acquire("c")
        clock.advance(PATIENCE + 0.1)
        assert slots.wanted("a")
        assert slots.wanted("b")

    def test_who_waits_for_another_host_that_is_full_is_not_served_by_this_one(self, clock: Clock) -> None:
        slots = Slots(2, 1, clock)
        slots.acquire("a")
        slots.acquire("b")
        slots.acquire("b")
        clock.advance(PATIENCE + 0.1)
        assert not slots.wanted("a")
        assert slots.wanted("b")


HOSTS = ("a", "b", "c")


class Socket:
    """One of the model: it waits for a place, then has one."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.request: Deferred[ISlot]
        self.slot: ISlot


def counted(sockets: list[Socket]) -> Counter[str]:
    return Counter(socket.host for socket in sockets)


class Sockets(RuleBasedStateMachine):
    """
    Whatever is asked, cancelled, parked, used again and closed, in any order, and however many a host is allowed from
    then on: the limits hold, those who can go go in the order of asking, and nobody waits while there is a place, or
    while an idle socket could be closed for them.
    """

    waiting: list[Socket]
    used: list[Socket]
    parked: list[Socket]
    closing: list[Socket]

    @initialize(total=st.integers(1, 5), per_host=st.integers(1, 4), prompt=st.booleans())
    def begin(self, total: int, per_host: int, *, prompt: bool) -> None:
        self.total, self.per_host = total, per_host
        self.prompt = prompt  # does a socket close within its eviction, or later?
        self.slots = Slots(total, per_host, Clock())
        self.waiting, self.used, self.parked, self.closing = [], [], [], []
        self.most = dict.fromkeys(HOSTS, per_host)

    @property
    def open(self) -> Counter[str]:
        return counted(self.used + self.parked + self.closing)

    def limits(self) -> None:
        assert self.open.total() <= self.total
        assert all(count <= self.per_host for count in self.open.values())

    @rule(host=st.sampled_from(HOSTS), most=st.integers(1, 4))
    def allow(self, host: str, most: int) -> None:
        self.most[host] = min(most, self.per_host)
        self.slots.allow(host, most)

    @rule(host=st.sampled_from(HOSTS))
    def acquire(self, host: str) -> None:
        socket = Socket(host)
        self.waiting.append(socket)
        socket.request = self.slots.acquire(host)
        socket.request.addCallbacks(self.granted, lambda _: None, callbackArgs=(socket,))

    def granted(self, slot: ISlot, socket: Socket) -> None:
        able = [each for each in self.waiting if self.open[each.host] < self.most[each.host]]
        assert able[0] is socket, "somebody who could go was overtaken"
        self.waiting.remove(socket)
        self.used.append(socket)
        socket.slot = slot
        self.limits()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        socket = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(socket)
        socket.request.cancel()

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def park(self, data: Any) -> None:
        socket = data.draw(st.sampled_from(self.used))
        self.used.remove(socket)
        self.parked.append(socket)
        socket.slot.park(lambda: self.evict(socket))

    def evict(self, socket: Socket) -> None:
        assert self.waiting or self.over(socket.host), "nobody waits"
        assert next(each for each in self.parked if each.host == socket.host) is socket, "not the oldest"
        self.parked.remove(socket)
        if self.prompt:
            socket.slot.release()
        else:
            self.closing.append(socket)

    def over(self, host: str) -> bool:
        return self.open[host] - counted(self.closing)[host] > self.most[host]

    @precondition(lambda self: self.parked)
    @rule(data=st.data())
    def unpark(self, data: Any) -> None:
        socket = data.draw(st.sampled_from(self.parked))
        socket.slot.unpark()
        self.parked.remove(socket)
        self.used.append(socket)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close(self, data: Any) -> None:
        socket = data.draw(st.sampled_from(self.used + self.parked + self.closing))
        for sockets in (self.used, self.parked, self.closing):
            if socket in sockets:
                sockets.remove(socket)
        socket.slot.release()

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        if not hasattr(self, "slots"):
            return
        self.limits()
        closing, idle, wanted = counted(self.closing), counted(self.parked), counted(self.waiting)
        if self.open.total() < self.total:
            assert not [host for host in wanted if self.open[host] < self.most[host]], "there is a place"
        room = self.total - self.open.total() + closing.total()
        served = 0
        for host, many in wanted.items():
            here = self.most[host] - self.open[host] + closing[host]
            assert many <= here or not idle[host], "an idle socket of a full host stays open"
            served += min(many, max(0, here))
        assert not [host for host in idle if self.over(host)], "an idle socket stays open that is one too many"
        assert served <= room or not self.parked, "an idle socket stays open"

    def teardown(self) -> None:
        if not hasattr(self, "slots"):
            return
        while self.waiting:
            self.waiting.pop().request.cancel()
        for socket in self.used + self.parked + self.closing:
            socket.slot.release()
        for host in HOSTS:
            self.slots.allow(host, self.per_host)
        # Nothing is forgotten: the whole total can be had again.
        fresh = [self.slots.acquire(number) for number in range(self.total + 1)]
        assert [request.called for request in fresh] == [True] * self.total + [False]


TestSockets = Sockets.TestCase
TestSockets.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@given(hosts=st.lists(st.sampled_from(HOSTS)), total=st.integers(1, 4), per_host=st.integers(1, 4))
def test_all_who_ask_are_served_when_sockets_are_only_ever_parked(hosts: list[str], total: int, per_host: int) -> None:
    """Nobody has to close a socket on purpose: that others wait is enough."""
    slots = Slots(total, per_host, Clock())
    served: list[str] = []

    def use(slot: ISlot, host: str) -> None:
        served.append(host)
        slot.park(slot.release)

    for host in hosts:
        slots.acquire(host).addCallback(use, host)
    assert sorted(served) == sorted(hosts)
