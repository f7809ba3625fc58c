"""What a body has to be."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pulp_dl.errors import DigestMismatch, SizeMismatch, ValidationError
from pulp_dl.interfaces import ICheck, ICopyableCheck, IExpectation
from pulp_dl.model.expect import ALGORITHMS, Digest, Hashing, Measure, Size, Vouched

BODIES = st.lists(st.binary(max_size=40), max_size=6)
EVERY = pytest.mark.parametrize("algorithm", ALGORITHMS)


def hexadecimal(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data).hexdigest()


@pytest.mark.parametrize(
    ("expectation", "enforced", "partial"),
    [
        (Digest("sha256", "0" * 64), True, False),
        (Digest("sha256", "0" * 64, enforced=False), False, False),
        (Measure(), False, True),
        (Size(0), True, False),
        (Size(0, enforced=False), False, False),
        (Vouched("sha256", "0" * 64), True, False),
    ],
)
def test_each_keeps_the_contract(expectation: Any, enforced: bool, partial: bool) -> None:
    assert verifyObject(IExpectation, expectation)
    assert verifyObject(ICheck, expectation.start())
    assert expectation.start() is not expectation.start()
    assert (expectation.enforced, expectation.partial) == (enforced, partial)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Digest("sha256", "0" * 64, False),  # type: ignore[call-arg]
        lambda: Digest("sha256", "0" * 64, partial=True),  # type: ignore[call-arg]
        lambda: Size(5, False),  # type: ignore[call-arg]
        lambda: Size(5, partial=True),  # type: ignore[call-arg]
        lambda: Measure("sha256", enforced=True),  # type: ignore[call-arg]
        lambda: Measure("sha256", partial=False),  # type: ignore[call-arg]
        lambda: Vouched("sha256", "0" * 64, enforced=False),  # type: ignore[call-arg]
        lambda: Vouched("sha256", "0" * 64, partial=True),  # type: ignore[call-arg]
    ],
)
def test_that_it_is_not_enforced_is_said_by_name_and_the_rest_is_not_for_the_caller(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


@EVERY
@given(BODIES)
def test_a_body_in_whatever_pieces_has_its_digest(algorithm: str, pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    for value in (hexadecimal(algorithm, body), f" {hexadecimal(algorithm, body).upper()}\n"):
        check = Digest(algorithm, value).start()
        for piece in pieces:
            check.update(piece)
        assert check.verify() == {algorithm: hexadecimal(algorithm, body)}


@EVERY
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_another_body_has_another(algorithm: str, body: bytes, other: bytes) -> None:
    check = Digest(algorithm, hexadecimal(algorithm, body)).start()
    check.update(body)
    check.update(b"!" + other)

    with pytest.raises(DigestMismatch) as caught:
        check.verify()
    error = caught.value
    assert error.what == algorithm
    assert error.expected == hexadecimal(algorithm, body)
    assert error.found == hexadecimal(algorithm, body + b"!" + other)


def test_two_passes_know_nothing_of_each_other() -> None:
    digest = Digest("sha256", hexadecimal("sha256", b"abc"))
    first, second = digest.start(), digest.start()
    first.update(b"ab")
    second.update(b"abc")

    assert second.verify()
    with pytest.raises(DigestMismatch):
        first.verify()


@given(BODIES, BODIES)
def test_so_far_is_the_digest_of_what_came_and_more_may_follow(first: list[bytes], then: list[bytes]) -> None:
    """Two bodies begin alike if these are equal."""
    hashing = Hashing("sha256", None)
    for piece in first:
        hashing.update(piece)
    assert hashing.so_far() == hashlib.sha256(b"".join(first)).digest()
    for piece in then:
        hashing.update(piece)

    assert hashing.so_far() == hashlib.sha256(b"".join(first + then)).digest()
    assert hashing.verify() == {"sha256": hexadecimal("sha256", b"".join(first + then))}


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("SHA256", "sha256"), ("sha-256", "sha256"), ("SHA-512", "sha512"), ("sha3-256", "sha3_256"), ("MD5", "md5")],
)
def test_algorithms_have_several_spellings(name: str, algorithm: str) -> None:
    digest = Digest(name, hexadecimal(algorithm, b""))

    assert digest.algorithm == algorithm
    assert digest == Digest(algorithm, hexadecimal(algorithm, b""))
    assert digest.start().verify()
    assert Measure(name).start().verify() == {algorithm: hexadecimal(algorithm, b"")}


@pytest.mark.parametrize(
    "name", ["", "sha", "sha255", "crc32", "sha512/256", "sha512_256", "shake_128", "ripemd160", None, 256]
)
def test_an_unknown_algorithm_is_an_error_and_never_no_check(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^Digest\.algorithm: .* is unknown; use one of sha512, "):
        Digest(name, "0" * 64)
    with pytest.raises(ValueError, match=r"^Measure\.algorithm: .* is unknown"):
        Measure(name)


@pytest.mark.parametrize(
    "value", ["", "0" * 63, "0" * 65, "g" * 64, "0" * 40, "\u0661" * 64, "0x" + "0" * 62, "0 " * 32]
)
def test_a_digest_of_another_form_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^Digest\.value: a sha256 has 64 hexadecimal digits"):
        Digest("sha256", value)


@pytest.mark.parametrize("value", [None, b"0" * 64, 0])
def test_a_digest_is_text(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^Digest\.value: hexadecimal digits as str are needed"):
        Digest("sha256", value)


def test_equal_digests_are_equal() -> None:
    assert Digest("SHA256", "A" * 64) == Digest("sha256", "a" * 64)
    assert Digest("sha256", "a" * 64) != Digest("sha256", "a" * 64, enforced=False)


def test_measuring_expects_nothing() -> None:
    check = Measure().start()
    check.update(b"whatever")

    assert check.verify() == {"sha256": hexadecimal("sha256", b"whatever")}


@given(BODIES, st.integers(0, 300))
def test_a_size_is_exact(pieces: list[bytes], size: int) -> None:
    check = Size(size).start()
    for piece in pieces:
        check.update(piece)
    came = sum(map(len, pieces))
    if came == size:
        assert check.verify() == {"size": size}
        return

    with pytest.raises(SizeMismatch) as caught:
        check.verify()
    assert (caught.value.expected, caught.value.found) == (size, came)


def test_nothing_is_a_size() -> None:
    assert Size(0).start().verify() == {"size": 0}
    check = Size(0).start()
    check.update(b"x")
    with pytest.raises(SizeMismatch):
        check.verify()


@pytest.mark.parametrize("value", [-1, True, False, 1.0, "1", None])
def test_a_size_is_a_number_of_bytes(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^Size\.value: a size is a number of bytes, 0 or more"):
        Size(value)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_what_is_vouched_for_is_told_whatever_comes_and_proves_no_beginning(pieces: list[bytes]) -> None:
    check: Any = Vouched("SHA-256", "0A" * 32).start()
    for piece in pieces:
        check.update(piece)

    assert check.so_far() == b""  # which is the digest of nothing
    assert check.verify() == check.copy().verify() == {"sha256": "0a" * 32}


@given(BODIES, BODIES, st.sampled_from(["sha256", "md5", "blake2b"]))
def test_a_copy_of_a_check_goes_on_by_itself(first: list[bytes], rest: list[bytes], algorithm: str) -> None:
    whole = b"".join([*first, *rest])
    for expectation in (Digest(algorithm, hexadecimal(algorithm, whole)), Size(len(whole)), Measure(algorithm)):
        check = expectation.start()
        verifyObject(ICopyableCheck, check)
        assert ICopyableCheck.providedBy(check)
        for piece in first:
            check.update(piece)
        copy = check.copy()
        check.update(b"other bytes, and more of them")
        for piece in rest:
            copy.update(piece)

        assert set(copy.verify().values()) <= {hexadecimal(algorithm, whole), len(whole)}


def test_of_other_values_that_are_known_an_error_says_what_they_are_and_they_will_not_do() -> None:
    old, told = hashlib.sha256(b"old").hexdigest(), "an earlier version"
    digest = Digest("sha256", hashlib.sha256(b"new").hexdigest(), known={old: told})
    size = Size(5, known={3: told})

    for expectation in (digest, size):
        check = expectation.start()
        check.update(b"old")
        for each in (check, check.copy()):  # type: ignore[attr-defined]
            with pytest.raises(ValidationError, match=r": that of an earlier version$") as caught:
                each.verify()
            assert caught.value.known == told
            assert pickle.loads(pickle.dumps(caught.value)).known == told
    assert digest == Digest("sha256", digest.value)
    assert hash(size) == hash(Size(5))


@pytest.mark.parametrize("kind", [Digest, Vouched, Measure])
def test_an_unknown_algorithm_is_refused_by_the_name_of_its_field(kind: Any) -> None:
    arguments = () if kind is Measure else ("a" * 64,)
    with pytest.raises(ValueError, match=rf"^{kind.__name__}\.algorithm: 'sha999' is unknown; use one of sha512, "):
        kind("sha999", *arguments)
