"""A Downloader over a network in memory, with all that it leaves looked at in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import trustme
from attrs import frozen
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred

from pulp_dl import TLS, Downloader, Remote, Report, Retries, Source, ToMemory
from pulp_dl.testing import MemoryNetwork, Script, ServerTLS, Stage

CA = trustme.CA()
TRUST = TLS(ca=CA.cert_pem.bytes())
ONCE = Retries(count=0)

E = TypeVar("E", bound=BaseException)


def identity(*names: str) -> ServerTLS:
    """What a server of these names shows."""
    return ServerTLS(CA.issue_cert(*names).private_key_and_cert_chain_pem.bytes())


def asking(*names: str) -> ServerTLS:
    """The same, and it asks its clients for a certificate."""
    made = identity(*names)
    store = made.context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(CA._certificate))
    made.context.set_verify(SSL.VERIFY_PEER)
    return made


def client(name: str, **settings: Any) -> TLS:
    """A client with a certificate of its own."""
    return TLS(ca=CA.cert_pem.bytes(), cert=CA.issue_cert(name).private_key_and_cert_chain_pem.bytes(), **settings)


@frozen
class World:
    """A client and the servers that it may ask."""

    network: MemoryNetwork
    downloader: Downloader
    stages: list[Stage]

    def serve(self, host: str, script: Any, **how: Any) -> Stage:
        self.stages.append(self.network.serve(host, script, **how))
        return self.stages[-1]

    def fetch(self, source: Source | str, seconds: float = 3600) -> tuple[bytes, Report]:
        """The body, and what is told of it."""
        consumer = ToMemory()
        report: Report = self.network.result(self.downloader.download(source, consumer), seconds)
        return consumer.data, report

    def get(self, source: Source | str) -> bytes:
        return self.fetch(source)[0]

    def error(self, kind: type[E], source: Source | str, seconds: float = 3600) -> E:
        with pytest.raises(kind) as raised:
            self.fetch(source, seconds)
        return raised.value


@contextmanager
def world(remote: Remote | None = None, **settings: Any) -> Iterator[World]:
    """
    @param settings: of the Remote, if it is not given; nothing is tried again.
    """
    network = MemoryNetwork()
    downloader = Downloader(network, remote or Remote(**{"retries": ONCE, **settings}))
    made = World(network, downloader, [])
    yield made
    network.result(downloader.close())
    for stage in made.stages:
        network.result(stage.abort())
    network.run()
    assert network.connections == 0
    assert network.getDelayedCalls() == []


def fired(deferred: Deferred[Any]) -> list[Any]:
    """What it has fired with so far."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


__all__ = ["CA", "ONCE", "TRUST", "Script", "World", "asking", "client", "fired", "identity", "world"]
