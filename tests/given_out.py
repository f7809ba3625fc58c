"""What the C library has given out to this process, and to whoever works in it."""

from __future__ import annotations

import ctypes
import gc

__all__ = ["given_out"]


class _Mallinfo2(ctypes.Structure):
    """mallinfo(3)."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


def given_out() -> int:
    """Bytes that nobody has given back; those of OpenSSL are among them, small objects of Python's are not."""
    look = ctypes.CDLL(None).mallinfo2
    look.restype = _Mallinfo2
    gc.collect()
    found = look()
    return int(found.uordblks + found.hblkhd)  # of heaps, and mappings of their own
