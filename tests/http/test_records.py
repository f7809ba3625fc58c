"""Records are read and written in two ways, by what pyOpenSSL promises and by what lies beneath; both do the same."""

from __future__ import annotations

import ssl
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from pulp_dl.protocols.http.records import FED, RECORD, SENT, Direct, Plain, records_of
from tests.given_out import given_out

IDENTITY = trustme.CA().issue_cert("h.example")
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
IDENTITY.configure_cert(CONTEXT)

both = pytest.mark.parametrize("way", [Plain, Direct])


class Server:
    """Whoever sends records to C{client}, which has shaken hands."""

    def __init__(self) -> None:
        self.incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CONTEXT.wrap_bio(self.incoming, self._outgoing, server_side=True)
        self.client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.client.set_connect_state()
        for _ in range(3):
            with suppress(SSL.WantReadError):
                self.client.do_handshake()
            with suppress(SSL.WantReadError):
                self.incoming.write(self.client.bio_read(1 << 16))
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.goes()
        with suppress(SSL.WantReadError):
            self.client.recv(1)  # what is said after a handshake

    def sends(self, data: bytes) -> None:
        """In a record of its own."""
        self.tls.write(data)
        self.goes()

    def encrypted(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._outgoing.read()

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
    assert type(records_of(connection)) is Direct
    promised: Any = Promised(connection)
    assert type(records_of(promised)) is Plain


@both
@given(st.lists(st.binary(min_size=1, max_size=40) | st.just(b"x" * RECORD), max_size=80))
def test_whatever_records_have_come_are_read(way: type[Plain], records: list[bytes]) -> None:
    server = Server()
    for each in records:
        server.sends(each)
    pieces: list[bytes] = []
    way(server.client).read(b"", len(records), pieces)
    assert b"".join(pieces) == b"".join(records)
    assert all(pieces)

    with pytest.raises(SSL.WantReadError):
        way(server.client).read(b"", 1, pieces)
    assert b"".join(pieces) == b"".join(records)


@both
@given(st.data())
def test_however_much_comes_at_once_all_of_it_is_read(way: type[Plain], data: st.DataObject) -> None:
    """Also a record that begins in what is fed now and ends in what comes next."""
    sizes = data.draw(st.lists(st.just(RECORD) | st.integers(1, RECORD), min_size=5, max_size=24))
    server = Server()
    records = way(server.client)
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    encrypted = [server.encrypted(each) for each in sent]
    stream, ends = b"".join(encrypted), [sum(map(len, encrypted[: n + 1])) for n in range(len(sizes))]
    cuts = data.draw(
        st.lists(st.integers(0, len(stream)) | st.sampled_from([*ends, min(FED + 1, len(stream))]), max_size=3)
    )
    pieces: list[bytes] = []
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        records.read(stream[start:end], sum(start < each <= end for each in ends), pieces)
        assert len(b"".join(pieces)) == sum(size for size, each in zip(sizes, ends, strict=True) if each <= end)
    assert b"".join(pieces) == b"".join(sent)
    with pytest.raises(SSL.WantReadError):
        records.read(b"", 1, pieces)


@both
def test_a_record_that_has_come_in_part_waits_with_openssl_wherever_it_was_cut(way: type[Plain]) -> None:
    server = Server()
    records = way(server.client)
    stream, pieces = server.encrypted(bytes(5 * RECORD)), []
    records.read(stream[: FED + 1], 3, pieces)
    assert len(b"".join(pieces)) == 3 * RECORD
    records.read(stream[FED + 1 :], 2, pieces)
    assert b"".join(pieces) == bytes(5 * RECORD)


@both
def test_when_fewer_records_come_than_were_looked_for_openssl_has_all_of_it(way: type[Plain]) -> None:
    """What was counted may have been none of data."""
    server = Server()
    records = way(server.client)
    stream = server.encrypted(bytes(10 * RECORD))
    pieces: list[bytes] = []
    with pytest.raises(SSL.WantReadError):
        records.read(stream[:-1], 10, pieces)
    records.read(stream[-1:], 1, pieces)
    assert b"".join(pieces) == bytes(10 * RECORD)


@both
def test_what_came_at_once_is_not_what_openssl_makes_room_for(way: type[Plain]) -> None:
    """It never gives that room back."""
    servers = [Server() for _ in range(20)]
    streams = [server.encrypted(bytes(16 * RECORD)) for server in servers]
    before = given_out()
    for server, stream in zip(servers, streams, strict=True):
        way(server.client).read(stream, 16, [])
    assert (given_out() - before) / len(servers) < 128 * 1024


@both
def test_what_came_before_an_error_is_kept(way: type[Plain]) -> None:
    server = Server()
    server.sends(b"good")
    with suppress(ssl.SSLWantReadError):
        server.tls.unwrap()
    server.goes()
    pieces: list[bytes] = []
    with pytest.raises(SSL.ZeroReturnError):
        way(server.client).read(b"", 3, pieces)
    assert pieces == [b"good"]


@both
def test_what_is_no_record_is_an_error(way: type[Plain]) -> None:
    server = Server()
    server.client.bio_write(b"\x17\x03\x03\x00\x20" + bytes(32))
    pieces: list[bytes] = []
    with pytest.raises(SSL.Error) as caught:
        way(server.client).read(b"", 1, pieces)
    assert pieces == []
    assert not isinstance(caught.value, SSL.WantReadError)


@both
@given(st.lists(st.binary(min_size=1, max_size=40) | st.just(b"x" * (RECORD + 9)), max_size=9))
def test_whatever_is_written_arrives(way: type[Plain], writes: list[bytes]) -> None:
    server = Server()
    records = way(server.client)
    for each in writes:
        rest = each
        while rest:
            taken = records.write(rest)
            assert 0 < taken <= RECORD
            rest = rest[taken:]
    while data := records.drain():
        assert len(data) <= SENT
        server.incoming.write(data)
    assert records.drain() == b""
    expected = b"".join(writes)
    arrived = b""
    while len(arrived) < len(expected):
        arrived += server.tls.read(RECORD)
    assert arrived == expected


@both
@given(st.lists(st.integers(min_value=1, max_value=200), max_size=9), st.binary(min_size=1, max_size=900))
def test_what_comes_in_pieces_is_fed_as_it_comes(way: type[Plain], cuts: list[int], data: bytes) -> None:
    server = Server()
    records = way(server.client)
    encrypted = server.encrypted(data)
    for cut in cuts:
        piece, encrypted = encrypted[:cut], encrypted[cut:]
        if piece:
            records.feed(piece)
    if encrypted:
        records.feed(encrypted)
    pieces: list[bytes] = []
    records.read(b"", 1, pieces)
    assert pieces == [data]


@both
def test_nothing_is_written_after_the_end(way: type[Plain]) -> None:
    server = Server()
    server.client.shutdown()
    records = way(server.client)
    assert records.drain()
    with pytest.raises(SSL.Error):
        records.write(b"more")
    assert records.drain() == b""


@both
def test_nothing_is_written_before_hands_are_shaken(way: type[Plain]) -> None:
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    connection.set_connect_state()
    records = way(connection)
    with pytest.raises(SSL.WantReadError):
        records.write(b"early")
    assert records.drain()[:1] == b"\x16"  # a handshake, RFC 8446 section 5.1
