"""What counts as a number: to Python C{True} is 1, to who wrote it in place of one it is a mistake."""

from __future__ import annotations

from typing import TypeGuard

__all__ = ["is_number", "is_whole"]


def is_whole(value: object) -> TypeGuard[int]:
    """An int, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """An int or a float, and no bool.  NaN is one, too; it is out of every range that one compares it with."""
    return isinstance(value, int | float) and not isinstance(value, bool)
