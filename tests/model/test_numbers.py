"""What counts as a number."""

from __future__ import annotations

from decimal import Decimal
from math import inf

import pytest

from pulp_dl.model.numbers import is_number, is_whole


@pytest.mark.parametrize(
    ("value", "whole", "number"),
    [
        (0, True, True),
        (-1, True, True),
        (10**30, True, True),
        (1.0, False, True),
        (inf, False, True),
        (True, False, False),
        (False, False, False),
        (None, False, False),
        ("1", False, False),
        (b"1", False, False),
        (1j, False, False),
        (Decimal(1), False, False),
    ],
)
def test_a_switch_and_a_text_are_no_numbers(value: object, whole: bool, number: bool) -> None:
    assert (is_whole(value), is_number(value)) == (whole, number)
