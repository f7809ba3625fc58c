"""A file that is being stored is open a second time only for as long as somebody may read there."""

from __future__ import annotations

import os
from pathlib import Path

from pulp_dl.importers.growing import Growing


def test_what_is_opened_after_all_have_left_is_not_opened_twice(tmp_path: Path) -> None:
    """A worker thread may come to open the file when its download has been given up already."""
    growing = Growing(lambda call: call())
    growing.end()
    before = len(os.listdir("/proc/self/fd"))
    descriptor = growing.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    try:
        assert len(os.listdir("/proc/self/fd")) == before + 1
    finally:
        os.close(descriptor)


def test_while_somebody_reads_there_is_a_second_descriptor_and_then_none(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    growing = Growing(lambda call: call())
    descriptor = growing.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    growing.enter()
    growing.write(descriptor, b"bear")
    growing.end()
    os.close(descriptor)
    assert growing.read(4, 0) == b"bear"
    growing.leave()
    assert len(os.listdir("/proc/self/fd")) == before
