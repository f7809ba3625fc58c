"""Bytes that are not the ones that were meant are told of in few words, and soon, wherever the tests run."""

from __future__ import annotations

import pytest

from pulp_dl.testing.content import alike

WHOLE = bytes(range(256)) * 8192


@pytest.mark.parametrize("data", [None, b"", b"a", WHOLE])
def test_the_same_bytes_are_alike(data: bytes | None) -> None:
    alike(data, None if data is None else bytes(bytearray(data)))


@pytest.mark.parametrize(
    ("found", "meant", "said"),
    [
        (None, b"a", "there is nothing, not 1 bytes (b'a')"),
        (b"a", None, "there is 1 bytes (b'a'), not nothing"),
        (b"", b"a", "there is 0 bytes (b''), not 1 bytes (b'a')"),
        (b"abc", b"abd", "part at byte 2: b'c', not b'd'"),
        (b"abc", b"ab", "part at byte 2: b'c', not b''"),
        (WHOLE[:-1] + b"!", WHOLE, "part at byte 2097151: b'!', not b'\\xff'"),
    ],
)
def test_what_differs_is_told_with_its_place(found: bytes | None, meant: bytes | None, said: str) -> None:
    with pytest.raises(AssertionError) as caught:
        alike(found, meant)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_nothing_makes_pytest_write_all_of_a_difference() -> None:
    """As it does where C{CI} is set: of two large bodies that takes longer than anybody waits."""
    from _pytest.compat import running_on_ci

    assert not running_on_ci()
