"""What is known of a part, as it is written beside it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Final

from attrs import asdict, field, frozen
from attrs.validators import ge, in_, instance_of, optional

from ..model.fingerprint import fingerprint
from ..model.source import Head

__all__ = ["LARGEST_NOTE", "NOTE", "PART", "Note", "boot"]

PART: Final = ".part"
"""What is added to the name of a file for the bytes that are there so far."""

NOTE: Final = ".part.json"
"""And for what is known of them."""

LARGEST_NOTE: Final = 512 * 1024  # bytes; a head has 128 KiB at most

_TEXT = instance_of(str)
_COUNT = [instance_of(int), ge(0)]


@frozen
class Note:
    """
    What is known of a part, as it is written beside it: enough to ask for the rest, and no secret.

    @ivar inode: of the part; so a file that got the part's name by chance is not taken for it.
    @ivar boot: of the machine.  When that is another one now, only what was synced is surely on the disk.
    @ivar synced: how many bytes that is.
    @ivar place: L{fingerprint} of the URL.
    @ivar solid: if something was written further on: how many bytes there are from the beginning without a hole.
    """

    inode: int = field(validator=_COUNT)
    boot: str = field(validator=_TEXT)
    synced: int = field(validator=_COUNT)
    place: str = field(validator=_TEXT)
    status: int = field(validator=_COUNT)
    length: int | None = field(validator=optional(_COUNT))
    total: int | None = field(validator=optional(_COUNT))
    etag: str | None = field(validator=optional(_TEXT))
    modified: str | None = field(validator=optional(_TEXT))
    date: str | None = field(validator=optional(_TEXT))
    format: int = field(default=1, validator=in_({1}))
    solid: int | None = field(default=None, validator=optional(_COUNT))

    @classmethod
    def of(cls, head: Head, inode: int) -> Note:
        known = head.validators
        return cls(
            inode=inode,
            boot=boot(),
            synced=0,
            place=fingerprint(head.url),
            status=head.status,
            length=head.length,
            total=head.total,
            etag=_text(known.etag),
            modified=_text(known.modified),
            date=_text(known.date),
        )

    @classmethod
    def read(cls, data: bytes) -> Note | None:
        """None if this is not ours."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError, RecursionError):
            return None

    def text(self) -> bytes:
        """What L{read} reads."""
        return json.dumps(asdict(self), indent=1).encode("ascii")

    @property
    def head(self) -> Head:
        """What it stands for; C{url} is a fingerprint, of the headers there are only the validators."""
        texts = ((b"ETag", self.etag), (b"Last-Modified", self.modified), (b"Date", self.date))
        headers = tuple((name, text.encode("latin-1", "replace")) for name, text in texts if text is not None)
        return Head(self.place, self.status, headers, self.length, None, self.total)

    @property
    def is_old(self) -> bool:
        """Has the machine been started again since, as far as can be known?"""
        return not self.boot or self.boot != boot()

    def useful(self, size: int) -> bool:
        """Can a file that has these first bytes be completed?"""
        total = self.total if self.total is not None else self.length
        return self.head.whole and size > 0 and (total is None or size <= total)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


@lru_cache(1)
def boot() -> str:
    """Which run of the machine this is; empty if it does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
