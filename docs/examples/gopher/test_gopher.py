from contextlib import asynccontextmanager

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineReceiver

from pulp_dl import Remote, Scheme, Source
from pulp_dl.errors import ConnectFailed
from pulp_dl.testing import FetcherCase, Sink, check_fetcher, sharing


class Server(LineReceiver):
    def lineReceived(self, line):
        self.transport.write(self.factory.files.get(line.decode(), b""))
        self.transport.loseConnection()


@asynccontextmanager
async def make(reactor):
    server = Factory.forProtocol(Server)
    server.files = {}
    port = reactor.listenTCP(0, server, interface="127.0.0.1")

    def serve(name, data):
        server.files[name] = data
        return f"gopher://127.0.0.1:{port.getHost().port}/9{name.replace(' ', '%20')}"

    async with sharing(reactor) as shared:
        fetcher = Scheme("gopher", "pulp_dl_gopher.GopherFetcher").fetcher(reactor, Remote(), shared)
        # It knows neither parts nor dates nor whether there is a file at all.
        yield FetcherCase(fetcher, serve, spans=False, validators=False)
    await port.stopListening()


class TestGopher(check_fetcher(make)):
    """Gopher keeps every promise of IFetcher."""

    async def test_whoever_comes_when_the_connection_has_gone_is_told(self):
        from twisted.internet import reactor

        async with make(reactor) as case:
            body = await case.fetcher.open(Source(case.serve("bear", b"brown")))
            body.transport.abortConnection()
            await deferLater(reactor, 0)
            with pytest.raises(ConnectFailed, match="it broke off"):
                await body.deliver(Sink()).addTimeout(5, reactor)
