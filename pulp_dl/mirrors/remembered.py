"""What is remembered by names that others choose, and has an end."""

from __future__ import annotations

from typing import Final, TypeVar

__all__ = ["LONGEST", "MOST", "remember"]

T = TypeVar("T")

MOST: Final = 1000
"""Names that are remembered; the ones that were used longest ago are forgotten."""

LONGEST: Final = 2048
"""
Characters of a name that is remembered, which is more than the URLs of files that people serve have.  A list, or a
C{Link} of an answer, may name a place of fifty times that, and all of those would be more than the file of what was
learnt may hold.
"""


def remember(known: dict[str, T], name: str, value: T) -> T:
    """As the newest; the oldest is forgotten if there are too many, and a name that is too long is not remembered."""
    if len(name) <= LONGEST:
        known[name] = value
    if len(known) > MOST:
        del known[next(iter(known))]
    return value
