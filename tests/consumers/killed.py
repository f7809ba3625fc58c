"""
Downloads that are killed at every moment.

A program: for each step that a download takes on its disk, a process does the download and is killed right before that
step; then another one does it again.  Prints what was there each time, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any

from pulp_dl.consumers.file import ToFile
from pulp_dl.model.source import Kept
from tests.consumers.disks import DATA, Call, Disk, head_of, names, pieces, without_unnamed_files


def download(directory: Path, data: bytes, options: dict[str, Any], disk: Disk) -> int:
    """Returns how many bytes were kept from before."""
    there, scattered = 0, options.get("scattered", False)
    options = {name: value for name, value in options.items() if name != "scattered"}
    consumer = ToFile("a/file", root=directory, disk=disk, **options)
    head = head_of(data)
    if options.get("part"):
        asked: list[Kept | None] = []
        consumer.kept().addCallback(asked.append)  # without workers it has an answer at once
        if asked[0] is not None:
            there = asked[0].size
            assert b"".join(asked[0].pieces()) == data[:there]
    consumer.begin(head)
    middle = (there + len(data)) // 2 if scattered else len(data)
    for number, piece in enumerate(pieces(data[there:middle])):
        if number == 1 and scattered:
            part = consumer.part(middle)
            for other in pieces(data[middle:]):
                part.write(other)
            part.finish()
        consumer.write(piece)
    consumer.seek(len(data))
    consumer.finish()
    return there


def child(work: Callable[[], int]) -> int:
    """Do it in a process of its own; returns what it returned, or less than nothing: how it was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.write(writing, b"%d" % work())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    returned = os.read(reading, 20)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status <= 0, "it raised"
    return status or int(returned)


class Quick(Disk):
    """What was synced makes no difference to a process that is killed; it takes a step, but no time."""

    def fsync(self, fd: int) -> None:
        call = Call("fsync", (fd,), {})
        self.calls.append(call)
        self.before(call)


def kill_at(step: int, unnamed: bool) -> Disk:
    """A disk that takes so many steps, and then the process."""
    disk = Quick()
    fails = (Disk() if unnamed else without_unnamed_files()).before

    def before(call: Call) -> None:
        if len(disk.calls) > step:
            os.kill(os.getpid(), signal.SIGKILL)
        fails(call)

    disk.before = before
    return disk


def kills(directory: Path, size: int, old: bool, unnamed: bool, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    data = (DATA * (1 + size // len(DATA)))[:size]
    path = directory / "a/file"
    killed = True
    for step in count():
        if not killed:
            return
        path.parent.mkdir(parents=True)
        if old:
            path.write_bytes(b"old")
        ended = child(partial(download, directory, data, options, kill_at(step, unnamed)))
        killed = ended == -signal.SIGKILL
        content = path.read_bytes() if path.exists() else None
        state = {"killed": killed, "names": names(path.parent), "old": content == b"old", "new": content == data}
        state["resumed"] = child(partial(download, directory, data, options, Quick()))
        state["whole"] = path.read_bytes() == data
        state["left"] = names(path.parent)
        yield state
        rmtree(directory)


def main() -> None:
    directory, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
    sys.stdout.write(json.dumps([list(kills(directory / "place", *case)) for case in cases]))


if __name__ == "__main__":
    main()
