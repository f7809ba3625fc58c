"""
What records hold, read from OpenSSL with little between.

C{recv} of pyOpenSSL makes room for each record, looks for an error that there is none of, and copies what came; whoever
wants sixteen records as one piece copies them once more.  Here all are read into one room and copied once: 4.8 us a
record of 16 KiB instead of 6.4, of which 4 are OpenSSL's own.

That takes what pyOpenSSL keeps to itself: C{Connection._ssl} and C{_raise_ssl_error}, and the bindings beneath.  A test
says whether they are still there; where they are not, C{recv} it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL

__all__ = ["RECORD", "read_directly", "read_plainly", "reader"]

RECORD: Final = 16 * 1024
"""Bytes that a record holds at most (RFC 8446 section 5.1)."""

_AT_ONCE: Final = 32
"""Records that there is room for; a server may send thousands of empty ones in one go."""

Read = Callable[[SSL.Connection, int, list[bytes]], None]
"""
From this connection, so many records, into this list.

@raise SSL.Error: what OpenSSL says in place of one of them; what came before it is in the list.  It is a
    C{WantReadError} if some of them were none of data.
"""

try:
    from OpenSSL._util import ffi, lib

    _allocate: Any = ffi.new_allocator(should_clear_after_alloc=False)
    _able = hasattr(lib, "SSL_read") and hasattr(SSL.Connection, "_raise_ssl_error")
except (ImportError, AttributeError):  # a pyOpenSSL to come
    _able = False


def reader(tls: SSL.Connection) -> Read:
    """The quickest way to read from this one."""
    return read_directly if _able and hasattr(tls, "_ssl") else read_plainly


def read_plainly(tls: SSL.Connection, records: int, pieces: list[bytes]) -> None:
    """By what pyOpenSSL promises."""
    for _ in range(records):
        pieces.append(tls.recv(RECORD))  # noqa: PERF401  # a list that raises in the middle would leave nothing


def read_directly(tls: SSL.Connection, records: int, pieces: list[bytes]) -> None:
    """By what lies beneath that."""
    connection, read = tls._ssl, lib.SSL_read
    while records > 0:
        batch = min(records, _AT_ONCE)
        records -= batch
        room, end = _allocate("char[]", batch * RECORD), 0
        try:
            for _ in range(batch):
                got = read(connection, room + end, RECORD)
                if got <= 0:
                    tls._raise_ssl_error(connection, got)
                end += got
        finally:
            if end:
                pieces.append(ffi.buffer(room, end)[:])
