"""What a server says, for people."""

from __future__ import annotations

from typing import Final

__all__ = ["SHOWN", "printable"]

SHOWN: Final = 200
"""Characters of it."""


def printable(said: str | bytes) -> str:
    """Fit to be printed: on one line, without what moves a terminal's cursor, and not for ever."""
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    shown = "".join(each if each.isprintable() else "?" for each in text[:SHOWN])
    return shown if len(text) <= SHOWN else f"{shown}…"
