"""The state of the checks of a body can be copied, and each copy goes on by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from zope.interface import implementer

from pulp_dl import Digest, Measure, Size
from pulp_dl.errors import DigestMismatch, SizeMismatch
from pulp_dl.flow.seen import Seen
from pulp_dl.interfaces import ICheck, IExpectation


def sha(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest())


@implementer(IExpectation, ICheck)
class Uncopyable:
    enforced = False
    partial = False

    def start(self) -> Any:
        return self

    def update(self, data: bytes) -> None:
        raise AssertionError("nobody asks it")

    def verify(self) -> Mapping[str, object]:
        raise AssertionError("nobody asks it")


def test_a_copy_and_its_original_see_different_ends() -> None:
    first = Seen([sha(b"ab"), Size(2)])
    first.update(b"a")
    second = first.copy()
    first.update(b"b")
    second.update(b"cd")

    assert first.verify() == ({"sha256": sha(b"ab").value, "size": 2}, ())
    with pytest.raises(DigestMismatch):
        second.verify()
    assert second.so_far() == ("sha256", hashlib.sha256(b"acd").digest())
    assert (second.complete, second.enforced) == (True, True)


@pytest.mark.parametrize(
    ("expect", "algorithm"), [([], "sha256"), ([Size(1)], "sha256"), ([Size(1), Measure("sha512")], "sha512")]
)
def test_there_is_always_a_digest_of_what_came_so_far(expect: list[Any], algorithm: str) -> None:
    seen = Seen(expect)
    seen.update(b"a")

    assert seen.so_far() == (algorithm, hashlib.new(algorithm, b"a").digest())
    assert seen.copy().so_far() == seen.so_far()
    assert not Seen([]).verify()[0]


def test_what_is_only_advised_is_reported_and_the_rest_is_still_judged() -> None:
    seen = Seen([Size(5, enforced=False), Measure("md5")])
    seen.update(b"a")
    facts, advisories = seen.verify()

    assert facts == {"md5": hashlib.md5(b"a").hexdigest()}
    assert [type(each) for each in advisories] == [SizeMismatch]
    assert not seen.enforced
    assert Seen([Size(5), Size(1, enforced=False)]).enforced


def test_a_check_that_cannot_be_copied_makes_it_incomplete() -> None:
    seen = Seen([Uncopyable(), Size(1)])
    seen.update(b"a")

    assert not seen.complete
    assert not seen.copy().complete
    assert seen.copy().enforced
    assert seen.verify()[0] == {"size": 1}
