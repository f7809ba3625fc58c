"""What is held back: one byte at least, 64 KiB at most, and all of it comes out in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.flow.tail import HOLD, Tail


@given(st.lists(st.one_of(st.integers(1, 10), st.integers(1, 3 * HOLD)), max_size=30))
def test_whatever_the_pieces_the_newest_bytes_are_held_and_nothing_is_lost(sizes: list[int]) -> None:
    tail, released, sent = Tail(), b"", b""

    for number, size in enumerate(sizes):
        data = bytes([number % 251]) * size
        sent += data
        released += b"".join(tail.push(data))
        assert tail.size == min(len(sent), HOLD)
        assert b"".join(tail.held()) == sent[-tail.size :]
        assert len(released) == len(sent) - tail.size

    assert released + b"".join(tail.pop()) == sent
    assert tail.size == 0


@given(st.lists(st.one_of(st.integers(1, 10), st.integers(1, 3 * HOLD)), min_size=1, max_size=30))
def test_where_the_total_is_known_pieces_before_the_end_go_on_as_they_are(sizes: list[int]) -> None:
    total, sent, released = sum(sizes), 0, 0
    tail = Tail(total)

    for number, size in enumerate(sizes):
        data = bytes([number % 251]) * size
        sent += size
        free = tail.push(data)
        if sent <= total - HOLD:
            assert [id(each) for each in free] == [id(data)]
        released += sum(map(len, free))
        assert released == min(sent, max(0, total - HOLD))

    assert len(b"".join(tail.pop())) == min(total, HOLD)


@pytest.mark.parametrize("total", [None, 0, HOLD, HOLD + 1, HOLD + 2])
@pytest.mark.parametrize("before", [0, 1, HOLD - 1, HOLD])
@pytest.mark.parametrize("size", [1, 2, HOLD, HOLD + 1])
def test_what_would_free_something_is_known_before_it_comes(total: int | None, before: int, size: int) -> None:
    tail = Tail(total)
    if before:
        tail.push(bytes(before))
    assert tail.frees(size) is bool(tail.push(bytes(size)))
