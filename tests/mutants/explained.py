"""Faults that no test notices, and why none has to."""

from __future__ import annotations

from typing import Final

__all__ = ["explained"]

REASONS: Final[dict[str, dict[str, str]]] = {}
"""Reason: file: changes, one a line, as C{python -m tests.mutants} says them."""


def explained(name: str, change: str) -> str | None:
    """Why this change of this file is none, or need not be noticed; None if nobody knows."""
    for reason, files in REASONS.items():
        if change in files.get(name, "").splitlines():
            return reason
    return None
