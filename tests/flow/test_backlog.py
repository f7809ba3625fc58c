"""A window, and what the checks have seen of what has left it."""

from __future__ import annotations

import hashlib
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer

from pulp_dl.flow.backlog import Backlog
from pulp_dl.interfaces import ICopyableCheck, IExpectation
from pulp_dl.model.expect import Digest

BODY = bytes(range(256)) * 100


def came(sizes: list[int], *expect: IExpectation) -> Backlog:
    """A body of so many bytes, in such pieces."""
    backlog = Backlog(expect)
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        backlog.push(BODY[end - size : end])
    return backlog


@given(st.lists(st.integers(1, 6000), min_size=1, max_size=4), st.data())
def test_wherever_the_checks_go_on_they_have_seen_just_what_was_before(sizes: list[int], data: st.DataObject) -> None:
    backlog = came(sizes)
    to = data.draw(st.integers(0, sum(sizes)))
    at = data.draw(st.integers(to, sum(sizes)))
    assert backlog.watch(whole=True) is not None
    backlog.forget(to)

    assert backlog.seen(at).so_far() == ("sha256", hashlib.sha256(BODY[:at]).digest())
    assert backlog.size >= sum(sizes) - to


@given(st.lists(st.integers(1, 6000), min_size=1, max_size=4), st.data())
def test_in_whatever_order_it_is_asked_the_checks_have_seen_just_what_was_before(
    sizes: list[int], data: st.DataObject
) -> None:
    backlog = came(sizes)
    backlog.watch(whole=True)
    for offset in data.draw(st.lists(st.integers(0, sum(sizes)), max_size=5)):
        if data.draw(st.booleans()):
            backlog.forget(offset)
        at = max(offset, backlog.start)
        seen = backlog.seen(at)
        assert seen.so_far() == ("sha256", hashlib.sha256(BODY[:at]).digest())
        seen.update(b"what whoever asked has got besides")


@implementer(IExpectation)
class Counting:
    """How many bytes its checks have seen in all, of whichever pass."""

    enforced = partial = True
    bytes = 0

    def start(self) -> Counter:
        return Counter(self)


@implementer(ICopyableCheck)
class Counter:
    def __init__(self, all_of_them: Counting) -> None:
        self._all = all_of_them

    def update(self, data: bytes) -> None:
        self._all.bytes += len(data)

    def copy(self) -> Counter:
        return Counter(self._all)

    def verify(self) -> dict[str, object]:
        return {}


def test_promise_10_who_asks_in_the_order_of_offsets_has_no_byte_checked_twice() -> None:
    counting = Counting()
    backlog = came([5000] * 4, counting)
    backlog.watch(whole=True)
    for at in range(0, 20_000, 100):
        backlog.seen(at)
        backlog.seen(at)  # somebody else, who is as far

    assert counting.bytes == 19_900


def test_what_is_forgotten_unseen_is_never_made_up_for() -> None:
    backlog = came([5000, 5000])
    backlog.forget(5000)
    assert backlog.watch(whole=True) is None
    backlog.clear()
    assert backlog.watch(whole=True) is not None


def test_who_no_longer_watches_has_to_begin_again() -> None:
    backlog = came([5000, 5000])
    backlog.watch(whole=True)
    backlog.forget(5000)
    backlog.unwatch()
    assert backlog.watch(whole=True) is None


def test_a_part_is_not_held_to_what_is_expected_of_the_whole() -> None:
    digest = Digest("sha256", hashlib.sha256(BODY).hexdigest())
    for whole in (True, False):
        seen = came([5000], digest).watch(whole=whole)
        assert seen is not None
        assert seen.enforced is whole
