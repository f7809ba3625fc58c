"""A disk does what it is told, until it fails as it is told."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given

from pulp_dl.testing import DiskFault, FaultDisk
from pulp_dl.testing.strategies import disk_faults, filenames


def write(disk: FaultDisk, path: Path, data: bytes) -> int:
    """How many bytes it took."""
    fd = disk.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        return int(disk.writev(fd, [data[:2], data[2:]]))
    finally:
        disk.close(fd)


def test_it_is_a_disk(tmp_path: Path) -> None:
    assert write(FaultDisk(), tmp_path / "a", b"abcdef") == 6
    assert (tmp_path / "a").read_bytes() == b"abcdef"
    assert FaultDisk().O_CREAT == os.O_CREAT
    assert FaultDisk().access(tmp_path, os.R_OK)


def test_the_call_that_is_named_fails_and_no_other(tmp_path: Path) -> None:
    disk = FaultDisk(DiskFault(1, errno.ENOSPC))
    with pytest.raises(OSError, match="No space left") as caught:
        write(disk, tmp_path / "a", b"abcdef")
    assert caught.value.errno == errno.ENOSPC
    assert write(disk, tmp_path / "a", b"abcdef") == 6


def test_it_may_fail_for_good_and_be_mended(tmp_path: Path) -> None:
    disk = FaultDisk(DiskFault(1, errno.EIO, again=True))
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output"):
            write(disk, tmp_path / "a", b"abcdef")
    disk.heal()
    assert write(disk, tmp_path / "a", b"abcdef") == 6


def test_a_write_may_take_half_of_what_it_is_given(tmp_path: Path) -> None:
    assert write(FaultDisk(DiskFault(1, None)), tmp_path / "a", b"abcdef") == 3
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_a_descriptor_is_closed_whatever_that_says(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"):
        write(FaultDisk(DiskFault(2, errno.EIO)), tmp_path / "a", b"abcdef")


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_who_is_dead_has_what_was_written_and_does_nothing_more(tmp_path: Path, after: int) -> None:
    disk = FaultDisk()
    disk.crash(after)
    if after < 3:
        with pytest.raises(OSError, match="dead"):
            write(disk, tmp_path / "a", b"abcdef")
    else:
        write(disk, tmp_path / "a", b"abcdef")
        assert not disk.dead
    with pytest.raises(OSError, match="dead"):
        disk.unlink(tmp_path / "a")
    assert disk.dead
    assert (tmp_path / "a").exists() is (after > 0)
    assert not after or (tmp_path / "a").read_bytes() == (b"abcdef" if after > 1 else b"")
    disk.heal()
    with pytest.raises(OSError, match="dead"):
        disk.mkdir(tmp_path / "b")


@given(fault=disk_faults(), name=filenames())
def test_what_is_drawn_can_be_printed(fault: DiskFault, name: str) -> None:
    assert (
        eval(repr(fault), {"DiskFault": DiskFault, **{each: number for number, each in errno.errorcode.items()}})
        == fault
    )
    assert eval(repr(name)) == name
