"""
What our connection takes for an answer, a reader of another kind reads as the same; where they part, ours is the one
that refuses, for a reason that is listed.
"""

from __future__ import annotations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pulp_dl.testing.strategies import lengths, wires
from tests.http.second_reader import Read, by_h11, by_us, cut
from tests.http.vectors import VECTORS, Vector

METHODS = st.sampled_from([b"GET", b"GET", b"HEAD"])

LENIENT: dict[bytes, str] = {}
"""Answers that ours reads and h11 refuses, and why that is right: so far there are none."""

STRICT = {
    "Content-Length can't be present": "both framings at once are how smuggling begins",
    "Transfer-Encoding can't be present": "the same, the other way round",
    "Content-Length overflow": "of a body that there is not: a number is wrong wherever it stands",
    "Duplicate Content-Length": "equal or not, no honest server sends two",
    "Invalid character in Content-Length": "a list of equal numbers is none",
    "Invalid character in chunk size": "the grammar has no blanks there",
    "Invalid character in chunk extensions": "h11 does not look at them",
    "Invalid header field char": "LF alone ends no line",
    "Invalid header value char": "h11 refuses NUL and line ends in a value, and no other control character",
    "Invalid response status": "LF alone ends no line",
    "Missing expected": "LF alone ends no line",
    "Unexpected whitespace after header value": "what is folded is read in different ways",
    "Data after `Connection: close`": "of an interim answer that says so, nothing follows",
    "a control character in the reason": "an error may show it to somebody",
    "this does not begin as an answer": "h11 takes versions from 0.0 to 9.9, and any status",
}
"""What ours refuses and h11 reads: how the refusals begin, and why they are right."""


@given(wire=wires(), method=METHODS, cuts=st.lists(st.integers(0, 1000), max_size=5))
def test_whatever_bytes_come_both_read_the_same_or_ours_refuses_for_a_listed_reason(
    wire: bytes, method: bytes, cuts: list[int]
) -> None:
    ours, theirs = by_us(*cut(wire, cuts), method=method), by_h11(wire, method)
    event("ours reads" if isinstance(ours, Read) else "ours refuses, h11 reads" if isinstance(theirs, Read) else "no")

    if isinstance(ours, Read):
        if isinstance(theirs, Read):
            assert (ours.status, ours.body) == (theirs.status, theirs.body)
        else:
            assert wire in LENIENT, theirs
    elif isinstance(theirs, Read):
        assert any(reason in ours for reason in STRICT), ours


@given(wire=wires(), method=METHODS, cuts=st.lists(st.integers(0, 1000), min_size=1, max_size=5))
def test_however_they_are_cut_they_are_read_the_same(wire: bytes, method: bytes, cuts: list[int]) -> None:
    """What was refused is refused, though perhaps for a reason that is seen earlier or later."""
    whole, pieces = by_us(wire, method=method), by_us(*cut(wire, cuts), method=method)
    if isinstance(whole, Read) and isinstance(pieces, Read):
        # What came behind the answer may have come too late to be seen: the connection is closed either way.
        assert (whole.status, whole.body) == (pieces.status, pieces.body)
    else:
        assert isinstance(whole, str) is isinstance(pieces, str)


@given(data=st.data())
def test_whatever_a_length_looks_like_the_body_has_it_or_nothing_is_read(data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=12), "body")
    fields = data.draw(lengths(len(body)), "fields")
    head = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    found = by_us(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)

    numbers = [value.strip(b" \t") for _, value in fields]
    if not numbers:
        assert found == Read(200, body)
    elif len(numbers) == 1 and numbers[0].isdigit() and int(numbers[0]) <= len(body):
        assert isinstance(found, Read)
        assert found.body == body[: int(numbers[0])]
        assert found.reused is (int(numbers[0]) == len(body))
    else:
        assert isinstance(found, str)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_answers_that_parsers_are_tried_with(vector: Vector) -> None:
    """However they are cut; and h11 sees it as we do, unless the table says why not."""
    wire = vector.wire
    ways = [[wire], [bytes([byte]) for byte in wire], *(cut(wire, [at]) for at in range(0, len(wire), 7))]
    found = [by_us(*segments, method=vector.method) for segments in ways]

    for each in found:
        if vector.body is None:
            assert isinstance(each, str)
        else:
            assert isinstance(each, Read), each
            assert (each.status, each.body) == (vector.status, vector.body)
    if vector.body is not None:
        assert found[0] == Read(vector.status, vector.body, vector.reused)
    theirs = by_h11(wire, vector.method)
    agrees = isinstance(theirs, Read) and (theirs.status, theirs.body) == (vector.status, vector.body)
    assert (agrees if vector.body is not None else isinstance(theirs, str)) is not bool(vector.h11), theirs


def test_no_name_stands_twice() -> None:
    assert len({vector.name for vector in VECTORS}) == len(VECTORS)
