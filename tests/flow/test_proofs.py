"""What proves that a rest belongs to what came before, and what is demanded of a body before it comes."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from pulp_dl import Digest, Measure, Size, Source, Span
from pulp_dl.errors import NotResumable, SizeMismatch, TooLarge
from pulp_dl.flow.demands import Demands
from pulp_dl.flow.joins import Ask, prove, same_place
from pulp_dl.flow.prefix import Prefix
from pulp_dl.model.pieces import Pieces
from pulp_dl.model.source import Head, Validators
from tests.engine.by_hand import URL, head

PLACE = Source(URL)
TAG, DAY = Validators(etag=b'"1"'), Validators(modified=b"Mon, 01 Jan 2024 00:00:00 GMT")
SHA = Digest("sha256", "0" * 64)


def rest(total: int | None = 3000, **fields: Any) -> Head:
    """An answer with the bytes from 1000 on."""
    return head(total, Span(1000, 3000), length=2000, **fields)


def proven(
    first: Head, other: Head, same_as: Validators | None, *, bounded: bool = False, judged: bool = False
) -> bool:
    try:
        prove(first, other, PLACE, Ask(Span(1000), same_as, True), bounded=bounded, judged=judged)
    except NotResumable as error:
        assert error.url == URL
        return False
    return True


@pytest.mark.parametrize(
    ("there", "here", "same_as", "joined"),
    [
        (3000, 3000, None, True),
        (3000, 3001, None, False),
        (3000, None, None, False),
        (None, 3000, None, False),
        # A strong validator proves it, though one of both does not tell how long the file is.
        (3000, 3000, TAG, True),
        (3000, 3001, TAG, False),
        (3000, None, TAG, True),
        (None, 3000, TAG, True),
    ],
)
def test_files_of_different_sizes_are_not_joined(
    there: int | None, here: int | None, same_as: Validators | None, joined: bool
) -> None:
    assert proven(head(there), rest(here), same_as, bounded=True, judged=True) is joined


@pytest.mark.parametrize(
    "other",
    [head(3000), Head(URL, 416, (), 0, None, 3000), Head(URL, 206, ()), Head(URL, 200, (), 1, Span(1000, 3000))],
)
def test_only_a_part_that_says_which_it_is_can_be_the_rest(other: Head) -> None:
    assert not proven(head(3000), other, TAG, bounded=True, judged=True)


def test_somebody_has_to_tell_where_a_file_ends() -> None:
    unbounded, part = head(None), Head(URL, 206, ((b"ETag", b'"1"'),), 1000, Span(0, 1000), None)

    assert not proven(unbounded, rest(None), TAG)
    assert proven(unbounded, rest(None), TAG, bounded=True)
    assert proven(unbounded, rest(3000), TAG)
    assert proven(part, rest(None), TAG)  # a part tells itself


def test_a_rest_of_another_version_is_not_joined_whatever_will_judge_it() -> None:
    assert not proven(head(3000), rest(ETag=b'"2"'), TAG, bounded=True, judged=True)
    assert proven(head(3000), rest(ETag=b'"2"'), None, bounded=True, judged=True)  # another place has its own


def test_a_rest_without_the_etag_that_was_asked_for_needs_a_judge() -> None:
    assert not proven(head(3000), rest(ETag=None), TAG)
    assert proven(head(3000), rest(ETag=None), TAG, judged=True)
    assert proven(head(3000), rest(ETag=None), DAY)
    assert proven(head(3000), rest(ETag=None), None)


# ---- the same bytes again


@pytest.mark.parametrize("cut", [1, 500, 999])
def test_a_beginning_is_known_by_all_of_its_bytes(cut: int) -> None:
    data = bytes(range(250)) * 4
    prefix = Prefix(1000, "sha256", hashlib.sha256(data).digest())
    for begins in (data, b"!" + data[1:], data[:-1] + b"!", data):
        assert prefix.left == 1000
        assert prefix.compare(begins[:cut])  # nothing is known of it yet
        assert prefix.left == 1000 - cut
        assert prefix.compare(begins[cut:]) is (begins == data)
        assert prefix.left == 0
        prefix.restart()


# ---- before a byte has come


def test_only_what_is_enforced_is_demanded() -> None:
    whole, part = head(10), Head(URL, 206, (), 5, Span(0, 5), 10)
    nothing = Demands([Size(5, enforced=False), Digest("sha256", "0" * 64, enforced=False), Measure()], None)
    assert (nothing.size, nothing.judged, nothing.enforced(whole), nothing.enforced(part)) == (
        None,
        False,
        False,
        False,
    )

    both = Demands([Size(5), SHA], None)
    assert (both.size, both.judged, both.enforced(whole), both.enforced(part)) == (5, True, True, False)
    assert not Demands([Size(5)], None).judged
    assert both.of([SHA]).size is None
    assert both.of([SHA]).judged

    piece = Pieces("md5", 5, ["0" * 32]).within(Span(0, 5))
    for expect in ([piece], [piece, SHA], [SHA, piece]):
        assert Demands(expect, None).enforced(part)


@pytest.mark.parametrize(
    ("answer", "size", "most", "measured"),
    [
        (head(10), None, None, 10),
        (head(10), 10, None, 10),
        (head(10), 11, None, SizeMismatch),
        (head(10), None, 10, 10),
        (head(10), None, 9, TooLarge),
        (head(None), None, None, None),
        (head(None), 7, None, 7),
        (head(None), 7, 5, 7),  # what is expected has been agreed to
        (head(None), None, 5, 5),
        # The total of a file counts, not what its framing says; without one, what the framing says.
        (Head(URL, 200, (), 10, None, None), 11, None, SizeMismatch),
        (Head(URL, 200, (), 10, None, None), 10, None, 10),
        (Head(URL, 206, (), 5, Span(3, 8), 10), None, None, 5),
        (Head(URL, 206, (), 5, Span(3, 8), 10), 10, 5, 5),
        (Head(URL, 206, (), 5, Span(3, 8), 10), 11, None, SizeMismatch),
        (Head(URL, 206, (), 5, Span(3, 8), None), 10, None, 5),
        (Head(URL, 206, (), 5, Span(3, 8), 10), None, 4, TooLarge),
        (Head(URL, 206, (), 5, Span(3, None), None), 10, 7, 7),
        (Head(URL, 304, (), None, None, 10), 11, None, None),
    ],
)
def test_how_many_bytes_may_come(answer: Head, size: int | None, most: int | None, measured: Any) -> None:
    demands = Demands([] if size is None else [Size(size)], most)
    if isinstance(measured, type):
        with pytest.raises(measured):
            demands.measure(answer)
    else:
        assert demands.measure(answer) == measured


@pytest.mark.parametrize(
    ("answer", "announced"),
    [
        (head(10), 10),
        (head(None), 7),
        (Head(URL, 206, (), 5, Span(3, 8), 10), 5),
        (Head(URL, 206, (), 5, Span(3, None), 10), None),
        (Head(URL, 304, (), None, None, 10), None),
    ],
)
def test_how_many_bytes_have_to_come(answer: Head, announced: int | None) -> None:
    assert Demands([Size(7)], None).announced(answer) == announced


@pytest.mark.parametrize(
    ("there", "here", "same"),
    [
        ("?Signature=1", "?Signature=2", True),
        ("", "?Signature=2", False),  # a signature may come with more
        ("?id=1", "?id=2", False),
        (";id=1", ";id=2", False),
        ("?id=1&Signature=1", "?id=1&Signature=2", True),
        ("?id=1&Signature=1", "?id=2&Signature=2", False),
        ("#one", "#two", True),
    ],
)
def test_only_a_signature_may_change_in_the_url_of_one_place(there: str, here: str, same: bool) -> None:
    """The rest of the query may say which file is meant; a part on the disk is told from another one so, too."""
    assert same_place(Head(URL + there, 200), Head(URL + here, 206)) is same
