"""A window, and what the checks have seen of what has left it."""

from __future__ import annotations

import hashlib
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.flow.backlog import Backlog
from pulp_dl.model.expect import Digest, Size

BODY = bytes(range(256)) * 100


def came(sizes: list[int], *expect: Digest | Size) -> Backlog:
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
