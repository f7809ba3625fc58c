"""Bodies of files, and in what segments they arrive."""

from __future__ import annotations

from typing import Final, Self

from hypothesis import strategies as st

__all__ = ["EDGES", "Numbered", "Repeated", "bodies", "segmentations", "sizes"]

EDGES: Final = (0, 1, 2, 1023, 1024, 65535, 65536, 65537)
"""Sizes at which buffers begin or end."""

_HEX: Final = b"0123456789abcdef"


def sizes(max_size: int) -> st.SearchStrategy[int]:
    """Sizes up to this, those above all at which something ends."""
    return st.sampled_from([size for size in EDGES if size <= max_size]) | st.integers(0, min(max_size, 300))


def bodies(max_size: int = 70_000) -> st.SearchStrategy[bytes]:
    """Bodies of every size up to this, the edges of buffers above all; long ones repeat themselves."""
    return st.builds(Repeated, st.binary(min_size=1, max_size=8), sizes(max_size))


class Repeated(bytes):
    """So many bytes of the same ones over and over; hypothesis would choke on printing all of them."""

    seed: bytes

    def __new__(cls, seed: bytes, size: int) -> Self:
        made = super().__new__(cls, (seed * (size // len(seed) + 1))[:size])
        made.seed = seed
        return made

    def __repr__(self) -> str:
        times = len(self) // len(self.seed) + 1
        return bytes.__repr__(self) if len(self) < 20 else f"({self.seed!r} * {times})[:{len(self)}]"


class Numbered(bytes):
    """
    One version of a file: no two pieces of it are alike, and no byte is what another version has there.  So whatever is
    made of two of them, or of one with a piece left out or doubled, is none of them.

    @ivar version: 0 to 9.
    """

    version: int

    def __new__(cls, version: int, size: int) -> Self:
        numbers = b"".join(b"%08x" % at for at in range(size // 8 + 1))[:size]
        # Each version has digits of its own.
        digits = bytes(range(48 + 16 * version, 64 + 16 * version))
        made = super().__new__(cls, numbers.translate(bytes.maketrans(_HEX, digits)))
        made.version = version
        return made

    def __repr__(self) -> str:
        return f"Numbered({self.version}, {len(self)})"


def segmentations(size: int = 70_000) -> st.SearchStrategy[list[int]]:
    """
    Sizes of segments for a C{MemoryNetwork}, from a byte at a time to all at once.

    @param size: bytes that are to come; if they are many, not all of them come in tiny segments.
    """
    sizes = st.sampled_from([1, 2, 3, 7, 64, 1024, 65536]) | st.integers(1, size)
    return st.lists(sizes, min_size=1, max_size=6).map(lambda found: found if size <= 2000 else [*found, 65536])
