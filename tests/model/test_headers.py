"""Header fields: kept as they are, and never a way to write a request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pulp_dl.model.headers import find, header_pairs

TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcXYZ", min_size=1, max_size=12)
VALUE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20).map(lambda text: text.strip(" "))
SECRET = "Sesame77"


@given(st.lists(st.tuples(TOKEN, VALUE)))
def test_order_case_and_doubles_are_kept(fields: list[tuple[str, str]]) -> None:
    found = header_pairs(fields)

    assert [(name.decode(), value.decode()) for name, value in found] == fields
    assert header_pairs(found) == found
    assert header_pairs(iter(fields)) == found
    assert header_pairs([list(field) for field in fields]) == found  # type: ignore[misc]  # as JSON has them
    assert header_pairs(dict(fields)) == header_pairs(list(dict(fields).items()))


def test_blanks_round_a_value_are_no_part_of_it() -> None:
    assert header_pairs({"A": " \tb \tc\t "}) == ((b"A", b"b \tc"),)


@given(TOKEN, st.text(max_size=12), st.characters(categories=["Cc"]), st.text(max_size=12))
def test_whatever_stands_around_it_no_control_character_passes(
    name: str, before: str, control: str, after: str
) -> None:
    """A line end would end the field, and the request would go on as the value wants it."""
    assume(control != "\t")
    assume(ord(control) < 0x80)
    for fields in ({name: f"{before}{control}{after}"}, {f"{name}{control}": "x"}, {f"{control}{name}": "x"}):
        with pytest.raises(ValueError, match=r"^headers: "):
            header_pairs(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"Authorization": f"Bearer {SECRET}\r\nHost: evil"},
        {"Authorization": f"{SECRET}\n"},
        {"Authorization": f"{SECRET}\ud800"},
        {f"Authorization: Bearer {SECRET}": ""},
        {f"{SECRET}:": ""},
        {f"{SECRET}\udcff": "x"},
        {"": SECRET},
        [("Authorization", "Bearer", SECRET)],
        [f"Authorization: {SECRET}"],
        [SECRET],
        f"Authorization: {SECRET}",
        SECRET.encode(),
        [("Authorization", [SECRET])],
        [(SECRET,)],
    ],
)
def test_a_refusal_does_not_repeat_what_may_be_a_secret(fields: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^headers: ") as caught:
        header_pairs(fields)

    error = caught.value
    assert SECRET not in f"{error!r} {error.__cause__!r}"
    # A traceback shows no context that was suppressed.
    assert error.__context__ is None or error.__suppress_context__


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"a b": "c"}, "name of field 1"),
        ([("a", "b"), ("c:", "d")], "name of field 2"),
        ({"A": "b\nc"}, "the value of A holds a control character"),
        ({"A": 1}, "a value has to be str or bytes, not int"),
        ({1: "a"}, "a name has to be str or bytes, not int"),
        ({"A": None}, "a value has to be str or bytes, not NoneType"),
        (None, "not NoneType"),
        (5, "not int"),
        ("ab", "not str"),
        (["ab"], "a pair of name and value"),
        ([("a", "b", "c")], "a pair of name and value"),
    ],
)
def test_a_refusal_says_what_is_needed(fields: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match="headers: ") as caught:
        header_pairs(fields)

    assert words in str(caught.value)


def test_the_first_of_a_name_is_found_whatever_its_case() -> None:
    pairs = header_pairs([("X", "1"), ("ETag", '"a"'), ("etag", '"b"')])

    assert find(pairs, b"etag") == b'"a"'
    assert find(pairs, b"date") is None
