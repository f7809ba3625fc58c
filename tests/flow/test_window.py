"""The newest bytes of a body, by their offsets."""

from __future__ import annotations

import sys
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.flow.window import SMALL, Window

steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from([1, 2, 100, SMALL - 1, SMALL, 3 * SMALL]) | st.integers(1, 9000)),
        st.tuples(st.just("drop"), st.sampled_from([0, 100]) | st.integers(0, 100)),
    ),
    max_size=150,
)


@given(steps)
def test_whatever_is_pushed_and_dropped_what_is_here_can_be_read_from_anywhere(steps: list[tuple[str, int]]) -> None:
    window, body, gone = Window(), b"", b""
    for step, number in steps:
        if step == "push":
            data = bytes((len(body) + at) * 7 % 251 for at in range(number))
            body += data
            window.push(data)
        else:
            to = window.start + window.size * number // 100
            gone += b"".join(window.drop(to))
            assert window.start <= to
            # Pieces stay whole, so it may be a little less; but no whole piece too much.
            assert window.start == to or to - window.start < len(window.read(window.start))
        assert body.startswith(gone)
        assert (window.start, window.end) == (len(gone), len(body))
    for begin in {window.start, (window.start + window.end) // 2, max(window.start, window.end - 1)}:
        read, at = b"", begin
        while at < window.end:
            piece = window.read(at)
            assert piece
            read, at = read + piece, at + len(piece)
        assert read == body[begin:]


def test_a_body_of_tiny_pieces_costs_no_more_than_its_size() -> None:
    window = Window()
    for _ in range(3 * SMALL):
        window.push(b"ab")
    assert len(window.drop(window.end)) <= 7


def test_what_is_forgotten_is_no_longer_in_memory() -> None:
    window, piece = Window(), bytes(SMALL)
    before = sys.getrefcount(piece)
    window.push(piece)
    window.push(bytes(SMALL))
    window.drop(SMALL)

    assert sys.getrefcount(piece) == before


def test_a_long_body_leaves_nothing_of_its_pieces() -> None:
    window, piece = Window(), bytes(SMALL)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            window.push(piece)
            window.drop(window.end - SMALL)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


def test_nor_does_one_of_which_much_was_forgotten_at_once() -> None:
    window, piece = Window(), bytes(SMALL)
    for _ in range(200):
        window.push(piece)
    window.drop(window.end)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            window.push(piece)
            window.drop(window.end - SMALL)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


def test_however_long_a_body_is_what_is_here_can_be_read() -> None:
    window = Window()
    for number in range(1000):
        window.push(bytes([number % 251]) * SMALL)
        window.drop(window.end - 3 * SMALL)
        for back in range(min(3, number + 1)):
            assert window.read(window.end - back * SMALL - 1) == bytes([(number - back) % 251])
        assert window.size == min(3, number + 1) * SMALL
