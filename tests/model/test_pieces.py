"""Digests of the pieces of a file."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pulp_dl import Pieces, Source, Span
from pulp_dl.errors import DigestMismatch
from pulp_dl.interfaces import ICheck, IExpectation
from pulp_dl.model.pieces import Piecewise


def pieces_of(data: bytes, length: int, algorithm: str = "sha256") -> Pieces:
    parts = [data[at : at + length] for at in range(0, len(data), length)]
    return Pieces(algorithm, length, [hashlib.new(algorithm, each).hexdigest() for each in parts])


bodies = st.binary(max_size=200)


@example(b"abcdef", 4, [], [3])  # a piece that comes in two
@given(bodies, st.integers(1, 60), st.lists(st.integers(0, 199), max_size=5), st.lists(st.integers(1, 80)))
def test_whatever_is_wrong_is_found_however_it_comes(
    data: bytes, length: int, flipped: list[int], sizes: list[int]
) -> None:
    bad = bytearray(data)
    for at in flipped:
        if at < len(bad):
            bad[at] ^= 1
    found = bytes(bad)
    pieces = pieces_of(data, length)
    seen = Piecewise(pieces)

    rest = found
    for size in (*sizes, len(found)):
        seen.update(rest[:size])
        rest = rest[size:]
    seen.end()

    assert pieces.fits(len(data))
    wrong = [n for n in range(len(pieces.digests)) if found[n * length :][:length] != data[n * length :][:length]]
    assert seen.wrong == wrong
    spans = pieces.spans(seen.wrong, len(data))
    mended = found
    for span in spans:
        assert span.stop is not None
        mended = mended[: span.start] + data[span.start : span.stop] + mended[span.stop :]
    assert mended == data
    assert all(one.stop is not None and one.stop < other.start for one, other in pairwise(spans))


@given(bodies.filter(len), st.integers(1, 60), st.data())
def test_some_of_them_are_checked_alone(data: bytes, length: int, draw: st.DataObject) -> None:
    pieces = pieces_of(data, length)
    first = draw.draw(st.integers(0, len(pieces.digests) - 1))
    last = draw.draw(st.integers(first, len(pieces.digests) - 1))
    (span,) = pieces.spans(list(range(first, last + 1)), len(data))
    some = pieces.within(span)

    good, bad = some.start(), some.start()
    good.update(data[span.start : span.stop])
    bad.update(bytes([data[span.start] ^ 1]) + data[span.start + 1 : span.stop])

    assert (some.enforced, some.partial) == (True, True)
    assert good.verify() == {}
    with pytest.raises(DigestMismatch, match="sha256 of a piece") as caught:
        bad.verify()
    assert caught.value.expected == pieces.digests[first]


def test_of_several_that_are_wrong_the_first_is_told() -> None:
    check = pieces_of(b"aabbcc", 2).within(Span(0, 6)).start()
    check.update(b"aaxxyy")
    with pytest.raises(DigestMismatch) as caught:
        check.verify()

    assert caught.value.expected == hashlib.sha256(b"bb").hexdigest()
    assert caught.value.found == hashlib.sha256(b"xx").hexdigest()
    assert check.wrong == [1, 2]


@pytest.mark.parametrize("more", [b"x", b"xx", b"xxx", b"cc"])
@pytest.mark.parametrize("file", [b"aabb", b"aabbcc"])
def test_what_is_behind_the_last_one_is_wrong(file: bytes, more: bytes) -> None:
    """Also if the file goes on there, and with these bytes."""
    check = pieces_of(file, 2).within(Span(0, 4)).start()
    check.update(b"aabb" + more)
    with pytest.raises(DigestMismatch, match="no such piece"):
        check.verify()

    assert check.wrong[0] == 2


def test_a_last_one_that_is_short_counts_once() -> None:
    check = pieces_of(b"aab", 2).within(Span(0, 3)).start()
    check.update(b"aax")
    check.end()
    check.end()

    assert check.wrong == [1]


def test_what_is_enforced_is_not_for_the_caller_to_say() -> None:
    for kind in (Pieces, type(pieces_of(b"a", 1).within(Span(0)))):
        for name in ("enforced", "partial"):
            with pytest.raises(TypeError):
                kind("md5", 1, [], **{name: True})


def test_of_a_whole_body_they_say_nothing() -> None:
    pieces = pieces_of(b"abc", 2)
    check = pieces.start()
    check.update(b"xyz")

    assert verifyObject(IExpectation, pieces)
    assert verifyObject(ICheck, check)
    assert check.verify() == {}
    assert not pieces.enforced
    assert not pieces.partial


def test_they_are_values() -> None:
    assert Pieces("SHA-256", 3, ["A" * 64]) == Pieces("sha256", 3, ("a" * 64,))
    assert hash(Source("http://a/", Pieces("sha1", 1, ["0" * 40])).expect)
    assert "<1>" in repr(Pieces("sha1", 1, ["0" * 40]))
    assert [total for total in range(10) if pieces_of(b"abc", 2).fits(total)] == [3, 4]
    assert pieces_of(b"abcd", 2).within(Span(2)).digests == pieces_of(b"cd", 2).digests
    assert pieces_of(b"abcd", 2).within(Span(2)) == pieces_of(b"abcd", 2).within(Span(2, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sha256", 0, ["a" * 64]), "1 byte or more"),
        (("sha256", True, ["a" * 64]), "1 byte or more"),
        (("sha257", 1, ["a" * 64]), "unknown"),
        (("sha256", 1, ["a" * 63]), "hexadecimal digits"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, int, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pieces(*arguments)
