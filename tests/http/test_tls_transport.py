"""TLS of our own, against OpenSSL's server in memory: whatever way its records come, they arrive."""

from __future__ import annotations

import gc
import ssl
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http.connection import LARGE
from pulp_dl.protocols.http.records import RECORD
from pulp_dl.protocols.http.tls import creator
from pulp_dl.protocols.http.tls_transport import TLSTransport, wire
from pulp_dl.testing import ServerTLS
from tests.given_out import given_out

CA = trustme.CA()
IDENTITY = CA.issue_cert("h.example")
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
IDENTITY.configure_cert(CONTEXT)


class Layer:
    """A server's end of TLS, in memory."""

    def __init__(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        CONTEXT.maximum_version = version
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CONTEXT.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._open = False

    def heard(self, data: bytes) -> tuple[bytes, bytes]:
        """What it reads from this, and what it answers by itself."""
        self._incoming.write(data)
        read = b""
        with suppress(ssl.SSLWantReadError):
            if not self._open:
                self.tls.do_handshake()
                self._open = True
            while True:
                read += self.tls.read(1 << 20)
        return read, self._outgoing.read()

    def record(self, data: bytes) -> bytes:
        """These bytes in records of their own."""
        while data:
            data = data[self.tls.write(data) :]
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._outgoing.read()


@implementer(IHandshakeListener)
class Client(Protocol):
    """Keeps what comes."""

    early = b""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.exhausted: list[bool] = []
        self.silent: list[bool] = []
        self.shaken = 0
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        if self.early:
            self.transport.write(self.early)  # type: ignore[union-attr]

    def handshakeCompleted(self) -> None:
        self.shaken += 1

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)
        below = wire(self.transport)
        self.exhausted.append(below.emptied(drained=True) or below.silent())
        self.silent.append(below.silent())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.lost is None
        self.lost = reason


class Bottom(StringTransportWithDisconnection):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()  # type: ignore[no-untyped-call]  # of Twisted


class Pair:
    """A client over its TLS, and the server; C{turn} carries what either says."""

    def __init__(self, client: Client | None = None, *, trusted: bool = True, server: Any = None) -> None:
        self.client = client or Client()
        self.server = server or Layer()
        self.bottom = Bottom()
        tls = TLS(ca=(CA if trusted else trustme.CA()).cert_pem.bytes(), system=False)
        self.transport = TLSTransport(creator(tls, "h.example"), self.client)
        self.bottom.protocol = self.transport
        make_connection(self.transport, self.bottom)
        self.heard = b""

    def turn(self) -> None:
        said = self.bottom.value()
        self.bottom.clear()
        read, answer = self.server.heard(said)
        self.heard += read
        if answer and self.bottom.connected:
            self.transport.dataReceived(answer)

    def established(self) -> Pair:
        for _ in range(3):
            self.turn()
        assert self.client.shaken == 1
        return self


def make_connection(protocol: Any, transport: Any) -> None:
    protocol.makeConnection(transport)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]


@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=6),
    st.lists(st.integers(0, 1 << 20), max_size=12),
    st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]),
)
def test_in_whatever_pieces_records_come_all_of_them_arrive(
    sizes: list[int], at: list[int], version: ssl.TLSVersion
) -> None:
    pair = Pair(server=Layer(version)).established()
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    stream = b"".join(map(pair.server.record, sent))
    for piece in cut(stream, at):
        before = len(pair.client.pieces)
        pair.transport.dataReceived(piece)
        assert len(pair.client.pieces) <= before + 1  # what one read brought is one piece
    assert b"".join(pair.client.pieces) == b"".join(sent)
    assert pair.client.exhausted[-1]
    assert pair.transport.silent()


def test_a_record_that_has_come_in_part_is_seen() -> None:
    pair = Pair().established()
    first, second = pair.server.record(b"the answer"), pair.server.record(b"and what nobody asked for")
    for more in (1, 5, 20):
        pair.transport.dataReceived(first + second[:more])
        assert pair.client.exhausted[-1] is False
        assert not pair.transport.silent()
        pair.transport.dataReceived(second[more:])
        assert pair.client.exhausted[-1] is True
        first, second = pair.server.record(b"the answer"), pair.server.record(b"and what nobody asked for")


@given(st.lists(st.integers(0, 50_000), min_size=1, max_size=4))
def test_whatever_is_written_before_the_handshake_or_after_it_arrives_in_order(sizes: list[int]) -> None:
    client = Client()
    client.early = b"early"
    pair = Pair(client)
    pair.transport.writeSequence([b"too", b"!"])
    pair.established()
    for size in sizes:
        pair.transport.write(b"x" * size)
    pair.turn()
    assert pair.heard == b"earlytoo!" + b"x" * sum(sizes)


def test_a_write_goes_out_at_once() -> None:
    pair = Pair().established()
    pair.bottom.clear()
    pair.transport.write(b"GET /")
    assert pair.server.heard(pair.bottom.value())[0] == b"GET /"


def test_another_handshake_in_the_middle_is_gone_through_and_writes_wait_for_it() -> None:
    """Some servers ask for a certificate only when they have seen what is wanted (TLS 1.2)."""
    server = Renegotiating()
    pair = Pair(server=server).established()
    pair.transport.write(b"before")
    pair.turn()
    pair.transport.dataReceived(server.renegotiated())
    pair.transport.write(b"meanwhile")
    for _ in range(4):
        pair.turn()
    assert server.tls.total_renegotiations() == 1
    assert pair.heard == b"beforemeanwhile"
    pair.transport.dataReceived(server.record(b"welcome"))
    assert pair.client.pieces == [b"welcome"]


class Renegotiating:
    """A server's end that may begin another handshake."""

    def __init__(self) -> None:
        context = ServerTLS(IDENTITY.private_key_and_cert_chain_pem.bytes()).context
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        self.tls = SSL.Connection(context)
        self.tls.set_accept_state()

    def _said(self) -> bytes:
        said = b""
        with suppress(SSL.WantReadError):
            while True:
                said += self.tls.bio_read(1 << 20)
        return said

    def heard(self, data: bytes) -> tuple[bytes, bytes]:
        read = b""
        if data:
            self.tls.bio_write(data)
        with suppress(SSL.WantReadError):
            while True:
                read += self.tls.recv(1 << 20)
        return read, self._said()

    def renegotiated(self) -> bytes:
        assert self.tls.renegotiate()
        with suppress(SSL.WantReadError):
            self.tls.do_handshake()
        return self._said()

    def record(self, data: bytes) -> bytes:
        self.tls.send(data)
        return self._said()


# ---- memory


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_after_a_large_body_a_connection_that_idles_keeps_little(version: ssl.TLSVersion) -> None:
    """A body that is read in large pieces, for OpenSSL never gives back the room that such a piece once took."""
    pairs = [Pair(server=Layer(version)).established() for _ in range(20)]
    streams = [pair.server.record(bytes(4 * LARGE)) for pair in pairs]
    before = given_out()
    for pair, stream in zip(pairs, streams, strict=True):
        for at in range(0, len(stream), LARGE):
            pair.transport.dataReceived(stream[at : at + LARGE])
        assert sum(map(len, pair.client.pieces)) == 4 * LARGE
        pair.client.pieces.clear()
        assert pair.transport.silent()
    assert (given_out() - before) / len(pairs) < 128 * 1024


# ---- the ends


def test_a_goodbye_is_answered_and_ends_in_good_order() -> None:
    pair = Pair().established()
    pair.bottom.clear()
    pair.transport.dataReceived(pair.server.record(b"all") + pair.server.goodbye())
    assert pair.client.pieces == [b"all"]
    assert pair.client.lost is not None
    assert pair.client.lost.check(ConnectionDone)
    with pytest.raises((ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
        pair.server.heard(pair.bottom.value())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_is_handed_the_last_bytes_sees_that_a_goodbye_came_with_them(version: ssl.TLSVersion) -> None:
    """Or the next request would go to one who hears nothing any more."""
    pair = Pair(server=Layer(version)).established()
    pair.transport.dataReceived(pair.server.record(b"first"))
    pair.transport.dataReceived(pair.server.record(b"last") + pair.server.goodbye())

    assert pair.client.pieces == [b"first", b"last"]
    assert pair.client.exhausted == [True, False]
    assert pair.client.silent == [True, False]


def test_an_end_without_goodbye_is_a_connection_that_was_lost() -> None:
    for established in (True, False):
        pair = Pair()
        if established:
            pair.established().transport.dataReceived(pair.server.record(b"half"))
        pair.bottom.loseConnection()
        assert pair.client.lost is not None
        assert pair.client.lost.check(ConnectionLost)


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x17\x03\x03\xff\xff", b"\x00" * 100])
def test_garbage_ends_the_connection_and_says_why(garbage: bytes) -> None:
    pair = Pair().established()
    pair.transport.dataReceived(garbage)
    assert pair.client.pieces == []
    assert pair.client.lost is not None
    assert pair.client.lost.check(SSL.Error)


def test_a_record_that_was_changed_on_the_way_is_not_handed_on() -> None:
    pair = Pair().established()
    record = bytearray(pair.server.record(b"good") + pair.server.record(b"evil"))
    record[-1] ^= 1
    pair.transport.dataReceived(bytes(record))
    assert pair.client.pieces == [b"good"]
    assert pair.client.lost is not None
    assert pair.client.lost.check(SSL.Error)


def test_a_server_that_is_not_trusted_hears_of_it_and_reads_nothing() -> None:
    client = Client()
    client.early = b"secret"
    pair = Pair(client, trusted=False)
    pair.turn()
    assert client.lost is not None
    assert "verify failed" in str(client.lost.value)
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
        pair.server.heard(pair.bottom.value())
    assert pair.heard == b""
    assert client.shaken == 0


@implementer(IOpenSSLClientConnectionCreator)
class Unable:
    """Cannot even begin."""

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        raise ValueError("no such name")


def test_a_connection_that_tls_cannot_begin_on_is_closed_and_says_why() -> None:
    client = Client()
    client.early = b"GET"
    transport, bottom = TLSTransport(Unable(), client), StringTransportWithDisconnection()
    bottom.protocol = transport
    make_connection(transport, bottom)

    assert not bottom.connected
    assert bottom.value() == b""
    assert client.lost is not None
    assert client.lost.check(ValueError)


def test_who_judges_besides_openssl_is_heard_too() -> None:
    """Such as an info callback, whose verdict OpenSSL does not ask for."""
    pair = Pair()
    verdict = Failure(ValueError("not this one"))
    pair.transport.failVerification(verdict)
    for _ in range(3):
        with suppress(ssl.SSLError):
            pair.turn()
    assert pair.client.shaken == 0
    assert pair.client.lost is verdict


@pytest.mark.parametrize("end", [TLSTransport.abortConnection, TLSTransport.loseConnection, TLSTransport.stopProducing])
@pytest.mark.parametrize("when", ["made", "established"])
def test_after_an_end_of_our_own_nothing_is_read_or_written(end: Callable[[TLSTransport], None], when: str) -> None:
    pair = Pair()
    if when == "established":
        pair.established()
    end(pair.transport)
    assert pair.bottom.aborted is (end is TLSTransport.abortConnection)  # else what is unsent is waited for
    assert pair.client.lost is not None
    assert not pair.client.lost.check(SSL.Error)
    pair.bottom.clear()
    pair.transport.write(b"too late")
    if when == "established":
        pair.transport.dataReceived(pair.server.record(b"too late"))
    assert pair.bottom.value() == b""
    assert pair.client.pieces == []


def test_who_is_aborted_by_the_one_it_is_made_for_says_nothing() -> None:
    class Aborting(Client):
        def connectionMade(self) -> None:
            self.transport.abortConnection()  # type: ignore[union-attr]

    pair = Pair(Aborting())
    assert pair.bottom.value() == b""


def test_a_pause_is_the_sockets() -> None:
    pair = Pair().established()
    pair.transport.pauseProducing()
    assert pair.bottom.producerState == "paused"
    pair.transport.resumeProducing()
    assert pair.bottom.producerState == "producing"
    assert pair.transport.getPeer() == pair.bottom.getPeer()
    assert pair.transport.getHost() == pair.bottom.getHost()


def test_nothing_that_has_ended_waits_for_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        pair = Pair().established()
        pair.bottom.loseConnection()
        del pair.bottom.protocol
        ended = weakref.ref(pair.client)
        del pair
        assert ended() is None
    finally:
        gc.enable()


def test_a_fin_alone_is_told_from_all_other_ends() -> None:
    """Both may be somebody's who is between; but after a FIN all that was sent has come."""

    def ended(how: Callable[[Pair], object]) -> tuple[Any, bool]:
        pair = Pair().established()
        pair.transport.dataReceived(pair.server.record(b"half"))
        how(pair)
        assert pair.client.lost is not None
        return pair.client.lost.type, pair.transport.unclean

    assert ended(lambda pair: pair.bottom.loseConnection()) == (ConnectionLost, True)
    assert ended(lambda pair: pair.transport.connectionLost(Failure(ConnectionLost()))) == (ConnectionLost, False)
    assert ended(lambda pair: pair.transport.dataReceived(pair.server.goodbye())) == (ConnectionDone, False)
    assert ended(lambda pair: pair.transport.dataReceived(b"garbage" * 10)) == (SSL.Error, False)
    assert ended(lambda pair: pair.transport.loseConnection()) == (ConnectionDone, False)
    assert ended(lambda pair: pair.transport.abortConnection())[1] is False


# ---- layers


class Double:
    """TLS within TLS, and both handshakes are done."""

    def __init__(self) -> None:
        self.client, self.bottom = Client(), Bottom()
        self.inner = TLSTransport(creator(TLS(ca=CA.cert_pem.bytes()), "h.example"), self.client)
        self.outer = TLSTransport(creator(TLS(ca=CA.cert_pem.bytes()), "h.example"), self.inner)
        self.bottom.protocol = self.outer
        self.outside, self.inside = Layer(), Layer()
        make_connection(self.outer, self.bottom)
        for _ in range(6):
            said = self.bottom.value()
            self.bottom.clear()
            read, answer = self.outside.heard(said)
            if read and (within := self.inside.heard(read)[1]):
                answer += self.outside.record(within)
            if answer:
                self.outer.dataReceived(answer)
        assert self.client.shaken == 1


def test_a_fin_alone_is_told_through_every_layer() -> None:
    """A proxy that is reached over TLS may say goodbye, or not, where the server behind it has not."""

    def ended(how: Callable[[Double], object]) -> tuple[Any, bool]:
        double = Double()
        how(double)
        assert double.client.lost is not None
        return double.client.lost.type, double.inner.unclean

    assert ended(lambda double: double.bottom.loseConnection()) == (ConnectionLost, True)
    assert ended(lambda double: double.outer.dataReceived(double.outside.goodbye())) == (ConnectionLost, True)
    assert ended(lambda double: double.outer.connectionLost(Failure(ConnectionLost()))) == (ConnectionLost, False)
    assert ended(lambda double: double.outer.dataReceived(b"garbage" * 10)) == (SSL.Error, False)
    goodbye = ended(lambda double: double.outer.dataReceived(double.outside.record(double.inside.goodbye())))
    assert goodbye == (ConnectionDone, False)


def test_records_of_every_layer_are_seen() -> None:
    """A record in each of two records that came together: the outer layer hands on both, the inner one reads both."""
    double = Double()
    client, bottom, inner, outer = double.client, double.bottom, double.inner, double.outer
    outside, inside = double.outside, double.inside

    records = [outside.record(inside.record(data)) for data in (b"the answer", b"and what nobody asked for")]
    outer.dataReceived(records[0] + records[1][:9])
    assert (client.pieces, client.exhausted) == ([b"the answer"], [False])
    outer.dataReceived(records[1][9:])
    assert (client.pieces, client.exhausted) == ([b"the answer", b"and what nobody asked for"], [False, True])

    inner.read_at_once(12345)
    assert vars(bottom)["bufferSize"] == 12345


def test_the_largest_record_is_read_whole() -> None:
    pair = Pair().established()
    pair.transport.dataReceived(pair.server.record(b"x" * RECORD))
    assert pair.client.pieces == [b"x" * RECORD]
