"""Who downloads: a script in C{clients} for each, which takes what C{clients/job.py} says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from figures import Cost, Figures
from files import Entry, write_list
from machine import in_turns, module

HERE = Path(__file__).parent
SYSTEM = "/usr/bin/python3"


class Peer(NamedTuple):
    """
    @ivar version: a command that prints it.
    """

    script: str
    version: Sequence[str]
    python: str = sys.executable


PEERS = {
    "pulp_dl": Peer("pulp_dl_client.py", module("pulp_dl")),
    "aiohttp": Peer("aiohttp_plain.py", module("aiohttp")),
    "pulpcore pattern": Peer("aiohttp_pulpcore.py", module("aiohttp", "backoff")),
    "treq": Peer("treq_documented.py", module("treq")),
    "pycurl": Peer("pycurl_multi.py", module("pycurl")),
    "librepo": Peer("librepo_many.py", [SYSTEM, "-c", "import librepo; print(librepo.VERSION)"], SYSTEM),
    "curl": Peer("curl.py", ["curl", "--version"]),
    "aria2": Peer("aria2.py", ["aria2c", "--version"]),
    "wget2": Peer("wget2.py", ["wget2", "--version"]),
}


class Task(NamedTuple):
    """What a client is to do."""

    base: str
    entries: list[Entry]
    concurrency: int
    ca: Path | None = None
    fsync: bool = False


def fetch(peer: Peer, task: Task, folder: Path, into: Path) -> Cost:
    """
    Let it do that, in a process of its own.

    @param folder: where the list goes.
    @param into: where the files go; it is emptied before.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    listing = folder / "list"
    write_list(listing, task.base, task.entries)
    command = [peer.python, str(HERE / "clients" / peer.script), str(listing), str(into)]
    command += ["--concurrency", str(task.concurrency)]
    command += ["--ca", str(task.ca)] if task.ca else []
    command += ["--fsync"] if task.fsync else []
    measure = [sys.executable, "-S", "-E", str(HERE / "measure.py")]
    said = subprocess.run([*measure, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    wall, cpu, memory, code = said.stdout.decode().splitlines()[-1].split()
    if code != "0":
        raise SystemExit(f"{peer.script} failed: exit code {code}")
    here = {path.name: path.stat().st_size for path in into.iterdir()}
    if here != {entry.name: entry.size for entry in task.entries}:
        raise SystemExit(f"{peer.script} did not bring everything")
    return Cost(float(wall), float(cpu), float(memory))


class Turn(NamedTuple):
    """Who does this task beside each other, and where it is noted what that took."""

    title: str
    who: Sequence[str]
    task: Task
    costs: dict[str, list[Cost]]


def starting(task: Task, first: Entry, figures: Figures) -> Turn:
    """
    One small file, and else all as in this task.  Who imports or reads the trust only when there is something to do has
    done it then, too.
    """
    scheme = task.base.partition(":")[0]
    costs = figures.starts.setdefault(scheme, {})
    return Turn(f"start-up, {scheme}", figures.names, task._replace(entries=[first]), costs)


def rounds(peers: Mapping[str, Peer], count: int, turns: Sequence[Turn], folder: Path, into: Path) -> Iterator[None]:
    """
    Everything once, then again, so that what the machine does meanwhile happens to all of them; a step is a round.
    """
    for round_ in range(count):
        for title, who, task, costs in turns:
            for name in in_turns(round_, who):
                cost = fetch(peers[name], task, folder, into)
                costs.setdefault(name, []).append(cost)
                print(f"{round_ + 1}: {title}: {name}: {cost.wall:.2f} s", file=sys.stderr, flush=True)
        yield
