"""slowhttptest: three hundred clients that take their time, in each of the ways that it knows."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, answer
from tests.service.running import streamer

from .result import Result

__all__ = ["slowhttptest"]

CONNECTIONS = 300
LIMIT = 20
"""Seconds that the streamer has patience here, so that a run sees the end of it."""

WAYS: Mapping[str, tuple[str, ...]] = {
    "-H": ("slow heads", "-i", "5", "-x", "24"),
    "-B": ("slow bodies", "-i", "5", "-s", "8192", "-x", "10"),
    "-R": ("thousands of ranges", "-a", "5", "-b", "3000"),
    "-X": ("slow readers", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"),
}
STAY = {"Whoever goes on taking something is not cut, however little that is.": ["-X"]}
"""Who may still be there, and why."""


async def slowhttptest(reactor: Any, folder: Path, _tools: Path) -> Result:
    program = shutil.which("slowhttptest")
    if program is None:
        raise FileNotFoundError("slowhttptest")
    said, wrong = [], []
    async with (
        FaultServer(reactor, answer(bytes(8_000_000))) as origin,
        streamer(
            reactor, "--passthrough", f"/={origin.url('/')}", "--max-per-client", 2 * CONNECTIONS,
            "--request-timeout", LIMIT, "--patience", LIMIT, cwd=folder,
        ) as running,
    ):  # fmt: skip
        for way, (name, *options) in WAYS.items():
            command = [program, way, "-c", str(CONNECTIONS), "-r", "100", "-l", str(2 * LIMIT), "-p", "3", *options]
            end = await deferToThread(
                subprocess.run, [*command, "-u", f"{running.url}f"], capture_output=True, text=True, check=False
            )
            seen = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", end.stdout)
            (seconds,) = re.findall(r"Test ended on ([0-9]+)", seen)
            (why,) = re.findall(r"Exit status: (.*)", seen)
            said.append(f'``{way}``, {name}: "{why.strip()}" after {seconds} s.')
            if re.search(r"service available: +NO", seen):
                wrong.append(f"{way}: there were times in which nobody else was answered")
            if way not in chain(*STAY.values()) and "No open connections left" not in seen:
                wrong.append(f"{way}: some are still there after {2 * LIMIT} s, twice their limit")
    if not any("nobody else" in each for each in wrong):
        said.append(f"Their limit is {LIMIT} s; whoever else asked meanwhile was answered within 3 s, always.")
    version = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    (number,) = re.findall(r"version ([0-9.]+)", version)
    return Result(suite=f"slowhttptest {number}", said=tuple(said), explained=STAY, wrong=tuple(wrong))
