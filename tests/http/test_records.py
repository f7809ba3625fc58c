"""Records are read in two ways, by what pyOpenSSL promises and by what lies beneath; both read the same."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from pulp_dl.protocols.http.records import RECORD, read_directly, read_plainly, reader

IDENTITY = trustme.CA().issue_cert("h.example")
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
IDENTITY.configure_cert(CONTEXT)

both = pytest.mark.parametrize("read", [read_plainly, read_directly])


class Server:
    """Whoever sends records to C{client}, which has shaken hands."""

    def __init__(self) -> None:
        incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CONTEXT.wrap_bio(incoming, self._outgoing, server_side=True)
        self.client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.client.set_connect_state()
        for _ in range(3):
            with suppress(SSL.WantReadError):
                self.client.do_handshake()
            with suppress(SSL.WantReadError):
                incoming.write(self.client.bio_read(1 << 16))
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.goes()
        with suppress(SSL.WantReadError):
            self.client.recv(1)  # what is said after a handshake

    def sends(self, data: bytes) -> None:
        """In a record of its own."""
        self.tls.write(data)
        self.goes()

    def goes(self) -> None:
        if data := self._outgoing.read():
            self.client.bio_write(data)


class Promised:
    """A connection of which there is no more than pyOpenSSL promises."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._connection, name)


def test_this_pyopenssl_has_what_the_quick_way_takes() -> None:
    """Else each record costs half as much again, and nobody would see it."""
    connection = Server().client
    assert reader(connection) is read_directly
    promised: Any = Promised(connection)
    assert reader(promised) is read_plainly


@both
@given(st.lists(st.binary(min_size=1, max_size=40) | st.just(b"x" * RECORD), max_size=80))
def test_whatever_records_have_come_are_read(read: Callable[..., None], records: list[bytes]) -> None:
    server = Server()
    for each in records:
        server.sends(each)
    pieces: list[bytes] = []
    read(server.client, len(records), pieces)
    assert b"".join(pieces) == b"".join(records)
    assert all(pieces)

    with pytest.raises(SSL.WantReadError):
        read(server.client, 1, pieces)
    assert b"".join(pieces) == b"".join(records)


@both
def test_what_came_before_an_error_is_kept(read: Callable[..., None]) -> None:
    server = Server()
    server.sends(b"good")
    with suppress(ssl.SSLWantReadError):
        server.tls.unwrap()
    server.goes()
    pieces: list[bytes] = []
    with pytest.raises(SSL.ZeroReturnError):
        read(server.client, 3, pieces)
    assert pieces == [b"good"]


@both
def test_what_is_no_record_is_an_error(read: Callable[..., None]) -> None:
    server = Server()
    server.client.bio_write(b"\x17\x03\x03\x00\x20" + bytes(32))
    pieces: list[bytes] = []
    with pytest.raises(SSL.Error) as caught:
        read(server.client, 1, pieces)
    assert pieces == []
    assert not isinstance(caught.value, SSL.WantReadError)
