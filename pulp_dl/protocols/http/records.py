"""
What records hold, read from OpenSSL and given to it with little between.

C{recv} of pyOpenSSL makes room for each record, looks for an error that there is none of, and copies what came; whoever
wants sixteen records as one piece copies them once more.  Here all are read into one room and copied once: 4.8 us a
record of 16 KiB instead of 6.4, of which 4 are OpenSSL's own.  A short request costs 2 us instead of 4.

What comes is given to OpenSSL as it asks for it.  For the room where it keeps that grows to the most that was ever in
there, and a third more, and stays so for as long as the connection does: 256 KiB given at once are 340 KiB for each
connection that idles.

That takes what pyOpenSSL keeps to itself: C{Connection._ssl}, C{_into_ssl}, C{_from_ssl} and C{_raise_ssl_error}, and
the bindings beneath.  A test says whether they are still there; where they are not, what is promised it is.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL

__all__ = ["FED", "RECORD", "SENT", "Direct", "Plain", "records_of"]

RECORD: Final = 16 * 1024
"""Bytes that a record holds at most (RFC 8446 section 5.1)."""

_AT_ONCE: Final = 32
"""Records that there is room for; a server may send thousands of empty ones in one go."""

FED: Final = 64 * 1024
"""Bytes that OpenSSL is given at once."""

SENT: Final = 4 * 1024
"""Bytes that are taken at once of what is to be sent: more than a request has as a rule."""

try:
    from OpenSSL._util import ffi, lib

    _allocate: Any = ffi.new_allocator(should_clear_after_alloc=False)
    _able = hasattr(SSL.Connection, "_raise_ssl_error") and all(
        hasattr(lib, name)
        for name in ("SSL_read", "SSL_write", "SSL_get_error", "SSL_ERROR_WANT_READ", "BIO_read", "BIO_write")
    )
except (ImportError, AttributeError):  # a pyOpenSSL to come
    _able = False


class Plain:
    """One connection, by what pyOpenSSL promises."""

    def __init__(self, tls: SSL.Connection) -> None:
        self.tls: Any = tls

    def feed(self, data: bytes, at: int = 0) -> None:
        """This has come, and was given to OpenSSL up to there."""
        while at < len(data):
            at = self._feed_some(data, at)

    def _feed_some(self, data: bytes, at: int) -> int:
        """The next L{FED} bytes, or all if that is less; returns where the rest begins."""
        piece = data[at : at + FED]
        if piece:
            self.tls.bio_write(piece)
        return at + len(piece)

    def read(self, data: bytes, records: int, pieces: list[bytes]) -> None:
        """
        This has come; so many records, of it and of what was fed before, into this list.

        @raise SSL.Error: what OpenSSL says in place of one of them; what came before it is in the list.  It is a
            C{WantReadError} if some of them were none of data, and then OpenSSL has all that came.
        """
        fed = self._feed_some(data, 0)
        while records > 0:
            try:
                pieces.append(self.tls.recv(RECORD))
                records -= 1
            except SSL.WantReadError:
                if fed == len(data):
                    raise
                fed = self._feed_some(data, fed)
        self.feed(data, fed)

    def write(self, data: bytes) -> int:
        """
        Encrypt the beginning of this, which is not empty; returns how much of it.

        @raise SSL.Error: why it cannot be.  It is a C{WantReadError} in the middle of another handshake.
        """
        taken: int = self.tls.send(data)
        return taken

    def drain(self) -> bytes:
        """The next L{SENT} bytes of what is to be sent, or all of it if that is less."""
        try:
            data: bytes = self.tls.bio_read(SENT)
        except SSL.WantReadError:
            return b""
        return data


class Direct(Plain):
    """The same, by what lies beneath that."""

    def _feed_some(self, data: bytes, at: int) -> int:
        size = len(data) - at
        size = min(size, FED)
        if lib.BIO_write(self.tls._into_ssl, ffi.from_buffer(data) + at if at else data, size) != size:
            raise MemoryError("OpenSSL has no room for what came")
        return at + size

    def read(self, data: bytes, records: int, pieces: list[bytes]) -> None:
        fed = self._feed_some(data, 0)
        if records == 1 and fed == len(data):
            pieces.append(self._one())
            return
        connection, read = self.tls._ssl, lib.SSL_read
        while records > 0:
            batch = min(records, _AT_ONCE)
            records -= batch
            room, end = _allocate("char[]", batch * RECORD), 0
            try:
                while batch:
                    got = read(connection, room + end, RECORD)
                    if got > 0:
                        end += got
                        batch -= 1
                    elif fed < len(data) and lib.SSL_get_error(connection, got) == lib.SSL_ERROR_WANT_READ:
                        fed = self._feed_some(data, fed)
                    else:
                        self.tls._raise_ssl_error(connection, got)
            finally:
                if end:
                    pieces.append(ffi.unpack(room, end))
        if fed < len(data):
            self.feed(data, fed)

    def _one(self) -> bytes:
        """A small answer is one record; without what several need it takes half as long."""
        connection, room = self.tls._ssl, _allocate("char[]", RECORD)
        got = lib.SSL_read(connection, room, RECORD)
        if got <= 0:
            self.tls._raise_ssl_error(connection, got)
        data: bytes = ffi.unpack(room, got)
        return data

    def write(self, data: bytes) -> int:
        connection = self.tls._ssl
        taken: int = lib.SSL_write(connection, data, len(data))
        if taken <= 0:
            self.tls._raise_ssl_error(connection, taken)
        return taken

    def drain(self) -> bytes:
        room = _allocate("char[]", SENT)
        got = lib.BIO_read(self.tls._from_ssl, room, SENT)
        return ffi.unpack(room, got) if got > 0 else b""


def records_of(tls: SSL.Connection) -> Plain:
    """The quickest way to those of this one."""
    able = _able and all(hasattr(tls, name) for name in ("_ssl", "_into_ssl", "_from_ssl"))
    return Direct(tls) if able else Plain(tls)
