"""
What is left of the streamer without most of it: C{twisted.web} answering with what it has, with what our HTTP client
brings, or with what a download brings.  Nothing is checked, shared, looked up, logged or limited, and no client leaves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.web.http import HTTPChannel, HTTPFactory, Request
from zope.interface import implementer

from pulp_dl import Downloader, Limits, Remote, Source
from pulp_dl.engine.shared import Shared
from pulp_dl.interfaces import IBodyConsumer

reactor: Any = installed
BODY = bytes(10 * 1024)
REMOTE = Remote(limits=Limits(connections=100, per_host=100))


@implementer(IBodyConsumer)
class Answering:
    """Into a response, and no word more."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.write = request.write
        self.finish = request.finish

    def gone(self) -> Deferred[Any]:
        return Deferred()

    def begin(self, head: Any) -> None:
        announce(self._request, head.length)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass

    def fail(self, failure: Any) -> None:
        failure.printTraceback()


def announce(request: Request, length: int) -> None:
    request.setHeader(b"content-length", b"%d" % length)


def constant(origin: str) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        announce(request, len(BODY))
        request.write(BODY)
        request.finish()

    return answer


def client(origin: str) -> Callable[[Request], None]:
    fetcher = Shared(reactor, REMOTE, None).fetcher("http", REMOTE)

    def answer(request: Request) -> None:
        def opened(body: Any) -> Deferred[None]:
            announce(request, body.head.length)
            delivered: Deferred[None] = body.deliver(request)
            return delivered.addCallback(lambda _: request.finish())

        fetcher.open(Source(origin + request.path.decode())).addCallback(opened)

    return answer


def engine(origin: str) -> Callable[[Request], None]:
    downloader = Downloader(reactor, REMOTE)

    def answer(request: Request) -> None:
        downloader.download(Source(origin + request.path.decode()), Answering(request))

    return answer


class Factory(HTTPFactory):
    def log(self, request: Request) -> None:
        """Nothing."""


def main() -> None:
    port, origin, kind = sys.argv[1:]
    answer = {each.__name__: each for each in (constant, client, engine)}[kind](origin)

    class Answered(Request):
        def process(self) -> None:
            answer(self)

    HTTPChannel.requestFactory = Answered
    factory: Any = Factory(timeout=600)
    reactor.listenTCP(int(port), factory, interface="127.0.0.1", backlog=1000)
    reactor.run()


if __name__ == "__main__":
    main()
