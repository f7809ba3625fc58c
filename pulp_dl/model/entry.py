"""What is in a published directory."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Entry"]


@frozen
class Entry:
    """
    One file, or one directory.

    @ivar name: as it is, not encoded; a directory's ends in a slash.
    @ivar size: bytes, or None if that is unknown.
    @ivar modified: seconds since the epoch, or None.
    """

    name: str
    size: int | None = None
    modified: float | None = None
