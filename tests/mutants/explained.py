"""Faults that no test notices, and why none has to."""

from __future__ import annotations

from typing import Final

__all__ = ["REASONS", "explained"]

SAME: Final = "it is no fault: it does the same"
UNREAD: Final = "what is there before it is set is never read"
SPEED: Final = "it only costs time or memory"
ROUNDING: Final = "sums of floats are rounded by more than that"

REASONS: Final[dict[str, dict[str, str]]] = {
    UNREAD: {},
}
"""Reason: file: changes, one a line, as C{python -m tests.mutants} says them."""


def explained(name: str, change: str) -> str | None:
    """Why this change of this file is none, or need not be noticed; None if nobody knows."""
    for reason, files in REASONS.items():
        if change in map(str.strip, files.get(name, "").splitlines()):
            return reason
    return None
