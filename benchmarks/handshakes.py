"""
What a new TLS connection costs its client: CPU of this end alone, in memory, with nothing on the wire.

A context is built once for a remote; after that each new connection to a host resumes a session, where one is left.
"""

from __future__ import annotations

import ssl
from time import perf_counter, process_time
from typing import Any

import trustme
from OpenSSL import SSL

from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http.tls import creator

TIMES = 200
HOST = "repo.example.org"


class Nobody:
    """In the place of a transport."""

    def failVerification(self, reason: Any) -> None:
        raise reason.value


def cost(client: SSL.Connection, context: ssl.SSLContext) -> float:
    """Seconds of CPU that the client spent on one connection, from its making on."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    spent, done = 0.0, False
    while not done:
        began = perf_counter()
        try:
            client.do_handshake()
            done = True
        except SSL.WantReadError:
            pass
        incoming.write(client.bio_read(1 << 20))
        spent += perf_counter() - began
        try:
            server.do_handshake()
            server.write(b"x")
        except ssl.SSLWantReadError:
            pass
        began = perf_counter()
        client.bio_write(outgoing.read())
        spent += perf_counter() - began
    try:
        server.do_handshake()
        server.write(b"x")
    except ssl.SSLWantReadError:
        pass
    began = perf_counter()
    if data := outgoing.read():
        client.bio_write(data)
    client.recv(100)
    client.shutdown()
    return spent + perf_counter() - began


def main() -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(HOST).configure_cert(context)
    tls = TLS(ca=ca.cert_pem.bytes())
    nobody: Any = Nobody()

    began = process_time()
    creator(tls, HOST)
    print(f"context, once for a remote   {1000 * (process_time() - began):6.2f} ms")

    def each(name: str, make: Any) -> None:
        spent = 0.0
        for _ in range(TIMES):
            began = perf_counter()
            client = make()
            spent += perf_counter() - began + cost(client, context)
        print(f"{name:28} {1000 * spent / TIMES:6.2f} ms")

    each("connection, whole handshake ", lambda: creator(tls, HOST).clientConnectionForTLS(nobody))
    same = creator(tls, HOST)
    each("connection, session resumed", lambda: same.clientConnectionForTLS(nobody))


if __name__ == "__main__":
    main()
