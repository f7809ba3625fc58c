"""Limits of rate as values: numbers, or a Rate that may be changed."""

from __future__ import annotations

from typing import Any

import pytest

from pulp_dl import Limits, Rate, Remote

NO_RATES: list[Any] = [0, -1, 0.0, float("nan"), float("inf"), 1e18, "10", True, False, [1]]


@pytest.mark.parametrize("field", ["bytes_per_second", "requests_per_second"])
def test_a_limit_of_rate_is_a_positive_number_a_rate_or_none(field: str) -> None:
    kind: Any = Limits
    for value in (1, 0.5, 1e17, None, Rate(5), Rate()):
        assert getattr(kind(**{field: value}), field) is value
    for value in NO_RATES:
        with pytest.raises(ValueError, match=rf"^Limits\.{field}: .* is no positive number; give one, or None for no"):
            kind(**{field: value})


def test_a_rate_is_checked_when_it_is_made_and_when_it_is_changed() -> None:
    rate = Rate(5)
    for value in NO_RATES:
        with pytest.raises(ValueError, match=r"^Rate\.per_second: .* is no positive number; give one, or None for no"):
            Rate(value)
        with pytest.raises(ValueError, match=r"^Rate\.per_second: "):
            rate.per_second = value
    assert (rate.per_second, repr(rate)) == (5, "Rate(5)")
    rate.per_second = None
    assert repr(rate) == "Rate(None)"


def test_remotes_are_equal_if_their_rates_are_one() -> None:
    """A Rate is who it is: two that say the same today may be changed tomorrow."""
    rate = Rate(5)

    def remote(value: Any) -> Remote:
        return Remote(limits=Limits(bytes_per_second=value))

    assert remote(rate) == remote(rate)
    assert hash(remote(rate)) == hash(remote(rate))
    assert remote(rate) != remote(Rate(5))
    assert remote(5) == remote(5)
