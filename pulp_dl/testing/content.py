"""Whether bytes are the ones that were meant, and in few words if not."""

from __future__ import annotations

__all__ = ["alike", "short"]

_SHOWN = 20


def alike(found: bytes | None, meant: bytes | None) -> None:
    """
    These are the same bytes, or C{AssertionError} that tells their lengths and where they part.

    A plain C{assert found == meant} is for short ones: where C{CI} is set in the environment, pytest writes all of the
    difference, and of two bodies of a megabyte that takes the better part of an hour.
    """
    if found == meant:
        return
    said = f"there is {short(found)}, not {short(meant)}"
    if found and meant:
        shared = min(len(found), len(meant))
        at = next((at for at in range(shared) if found[at] != meant[at]), shared)
        said += f"; they part at byte {at}: {found[at : at + _SHOWN]!r}, not {meant[at : at + _SHOWN]!r}"
    raise AssertionError(said)


def short(data: bytes | None) -> str:
    """How many there are, and how they begin."""
    return "nothing" if data is None else f"{len(data)} bytes ({data[:_SHOWN]!r})"
