"""The files that are fetched, and what is known of them."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Entry(NamedTuple):
    name: str
    sha256: str
    size: int


def write(path: Path, data: bytes) -> Entry:
    path.write_bytes(data)
    return Entry(path.name, hashlib.sha256(data).hexdigest(), len(data))


def write_many(folder: Path, count: int, size: int) -> list[Entry]:
    rng = random.Random(5)
    return [write(folder / f"{size}-{number:05}.rpm", rng.randbytes(size)) for number in range(count)]


def write_big(path: Path, size: int) -> Entry:
    """One mebibyte again and again, so that it is there soon."""
    piece = random.Random(7).randbytes(MIB)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for offset in range(0, size, len(piece)):
            part = piece[: size - offset]
            digest.update(part)
            file.write(part)
    return Entry(path.name, digest.hexdigest(), size)


def write_sparse(path: Path, size: int) -> Entry:
    """Zeros that take no room, and something else around each GiB and at the end; without its digest."""
    with path.open("wb") as file:
        for edge in [*range(GIB, size, GIB), size]:
            file.seek(max(edge - 500, 0))
            file.write(os.urandom(min(500, edge)))
            if edge < size:
                file.write(os.urandom(500))
    return Entry(path.name, "", size)


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_list(path: Path, base: str, entries: Iterable[Entry]) -> None:
    """What C{clients/job.py} reads."""
    path.write_text("".join(f"{base}/{name}\t{sha256}\t{size}\t{name}\n" for name, sha256, size in entries))


def human(size: int) -> str:
    """C{10 KiB}."""
    power = next(power for power in (3, 2, 1, 0) if size >= 1 << 10 * power or not power)
    return f"{size / (1 << 10 * power):g} {('bytes', 'KiB', 'MiB', 'GiB')[power]}"
