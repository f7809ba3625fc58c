"""What every client is told: which files, where to, how many at once, whom to trust."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Wanted(NamedTuple):
    """One line of the list."""

    url: str
    sha256: str
    size: int
    path: str


class Job(argparse.Namespace):
    """The command line of a client."""

    list: str
    into: str
    concurrency: int
    ca: str | None
    fsync: bool

    def wanted(self) -> Iterator[Wanted]:
        """The files, read lazily: url, sha256, size and name, with tabs between."""
        with Path(self.list).open() as lines:
            for line in lines:
                url, sha256, size, name = line.rstrip("\n").split("\t")
                yield Wanted(url, sha256, int(size), f"{self.into}/{name}")


def job() -> Job:
    parser = argparse.ArgumentParser()
    parser.add_argument("list")
    parser.add_argument("into")
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--ca")
    parser.add_argument("--fsync", action="store_true")
    return parser.parse_args(namespace=Job())
