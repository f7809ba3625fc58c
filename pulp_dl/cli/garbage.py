"""Python's collector, in a process that is ours; a library has no business with somebody else's."""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["look_less_often"]

YOUNG: Final = 10_000
"""
Objects that are made before the collector looks at them.  Fifty downloads are made of some four thousand, which begin
and end together, and none of which is garbage; at the usual 700 looking at them is an eighth of their price.
"""


def look_less_often() -> None:
    """For good."""
    gc.set_threshold(YOUNG)
