"""What a server says is shown on one line, whatever it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.protocols.said import SHOWN, printable


@given(st.text() | st.binary())
def test_it_can_be_printed(said: str | bytes) -> None:
    assert printable(said).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_can_be_printed_is_shown_as_it_is(said: str) -> None:
    assert printable(said[:SHOWN]) == printable(said[:SHOWN].encode()) == said[:SHOWN]


@given(st.integers(1, 10_000))
def test_it_has_an_end(more: int) -> None:
    assert printable(b"x" * (SHOWN + more)) == "x" * SHOWN + "…"
