"""On what something is measured, who is there to be measured, and whose turn it is."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

BUSY = 0.3  # of one core, in the minute before
T = TypeVar("T")


class Versioned(Protocol):
    @property
    def version(self) -> Sequence[str]: ...  # a command that prints it, and fails where there is no such thing


def described() -> str:
    """The machine, and how busy it is; a busy one is told of, as it takes wall time from whoever has two threads."""
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"The load of this machine is {load:.1f} already: ratios of CPU time will mean something, wall times"
              " and what is said of them little.", file=sys.stderr)  # fmt: skip
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{platform.machine()}, {os.cpu_count()} cores, {python}, load {load:.1f} when it began"


def present(wanted: Iterable[str], known: Mapping[str, Versioned]) -> dict[str, str]:
    """Versions by name; who is not installed is named and left out."""
    versions = {}
    for name in wanted:
        if name not in known:
            raise SystemExit(f"nobody is called {name!r}; there are {', '.join(known)}")
        found = _version(known[name].version)
        if found is None:
            print(f"{name} is not installed, and does not take part", file=sys.stderr)
        else:
            versions[name] = found
    return versions


def _version(command: Sequence[str]) -> str | None:
    try:
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    number = re.search(r"\d+(\.\w+)+", said.stdout + said.stderr)
    return number[0] if number and not said.returncode else None


def module(name: str, *others: str) -> list[str]:
    """A command that prints the version of a distribution of this Python, if the others are there too."""
    names = (name, *others)
    return [sys.executable, "-c", f"from importlib.metadata import version; print(*map(version, {names!r}))"]


def in_turns(round_: int, who: Sequence[T]) -> Iterator[T]:
    """Another one begins each round: what comes first or last may have an advantage."""
    for number in range(len(who)):
        yield who[(round_ + number) % len(who)]
