"""Memory that is free again stays with the process, in measure: in one of its own, which has done nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from pulp_dl.flow.heap import keep_some

class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks "
                                                    "fordblks keepcost".split()]

look = ctypes.CDLL(None).mallinfo2
look.restype = Mallinfo2
{prepared}
bytes(256 * 1024)
pieces = [bytes(256 * 1024) for _ in range({count})]
del pieces
print(look().keepcost)
"""


@pytest.mark.parametrize(
    ("prepared", "count", "least", "most"),
    [("", 24, 0, 1 << 20), ("keep_some()", 24, 5 << 20, 8 << 20), ("keep_some()", 80, 0, 8 << 20)],
    ids=["else it is given back", "it stays", "but not more"],
)
def test_what_is_free_at_the_end_of_the_heap(prepared: str, count: int, least: int, most: int) -> None:
    program = PROGRAM.format(prepared=prepared, count=count)
    kept = int(subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout)
    assert least <= kept <= most
