"""
What the C library does with memory that is free again.

glibc gives the end of its heap back to the kernel when more than a threshold is free there, and asks for it again with
the next piece: for pieces of 256 KiB that go from one thread to another, twice for each MiB, and the kernel clears it
each time.  The threshold is twice the largest block that was mapped on its own and then freed (mallopt(3), at
M_MMAP_THRESHOLD), so one block that comes and goes sets it.  Other C libraries do as they do.
"""

from __future__ import annotations

from functools import cache

__all__ = ["keep_some"]

_BLOCK = 4 * 1024 * 1024


@cache
def keep_some() -> None:
    """For as long as the process lives, up to 8 MiB that are free stay with it; nothing is written to the block."""
    bytes(_BLOCK)
