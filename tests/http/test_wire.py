"""What lies beneath TLS in TLS: all layers of it are looked at."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

import trustme
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http.tls import creator
from pulp_dl.protocols.http.wire import Wire


class Layer:
    """A server's end of TLS, in memory."""

    def __init__(self, ca: trustme.CA) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("h.example").configure_cert(context)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._open = False

    def heard(self, data: bytes) -> tuple[bytes, bytes]:
        """What it reads from this, and what it answers by itself."""
        self._incoming.write(data)
        read = b""
        with suppress(ssl.SSLWantReadError):
            if not self._open:
                self._tls.do_handshake()
                self._open = True
            read = self._tls.read(1 << 20)
        return read, self._outgoing.read()

    def record(self, data: bytes) -> bytes:
        """These bytes in a record of their own."""
        self._tls.write(data)
        return self._outgoing.read()


class Looking(Protocol):
    """Asks, with each piece that comes, whether there is more."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bool]] = []

    def dataReceived(self, data: bytes) -> None:
        self.found.append((data, Wire(self.transport).exhausted(drained=True)))


def test_records_of_every_layer_are_seen(ca: trustme.CA) -> None:
    """A record in each of two records that came together: the outer layer holds the second one, the inner nothing."""
    looking, bottom, clock = Looking(), StringTransport(), Clock()
    client: Any = Factory.forProtocol(lambda: looking)
    for _ in range(2):
        made = creator(TLS(ca=ca.cert_pem.bytes()), "h.example")
        client = TLSMemoryBIOFactory(made, isClient=True, wrappedFactory=client, clock=clock)
        client.noisy = False
    outer, outside, inside = client.buildProtocol(None), Layer(ca), Layer(ca)
    outer.makeConnection(bottom)
    for _ in range(6):  # two handshakes
        clock.advance(0)
        said = bottom.value()
        bottom.clear()
        read, answer = outside.heard(said)
        if read and (within := inside.heard(read)[1]):
            answer += outside.record(within)
        if answer:
            outer.dataReceived(answer)

    together = b"".join(outside.record(inside.record(data)) for data in (b"the answer", b"and what nobody asked for"))
    outer.dataReceived(together)
    assert looking.found == [(b"the answer", False), (b"and what nobody asked for", True)]

    Wire(looking.transport).read_at_once(12345)
    assert vars(bottom)["bufferSize"] == 12345
