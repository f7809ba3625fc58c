"""HTTP for one Remote: asks, follows, judges, and hands over a body."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import deferLater
from zope.interface import implementer

from ...flow.running import Running
from ...interfaces import IAuthenticator, IBody, IFetcher, IShared
from ...model.remote import Remote
from ...model.source import Head, Source, Span, Validators
from .agent import Agent
from .client import Client
from .fields import RequestFields
from .login import Login
from .pool import HTTPConnectionPool
from .proxy import route
from .question import Found, Question
from .redirect import Trail

__all__ = ["HTTPFetcher"]

ORIGINS: Final = 64
"""Origins that are remembered with their addresses and trust; a remote may redirect to any number of hosts."""


@implementer(IFetcher)
class HTTPFetcher:
    """
    C{http:} and C{https:}.

    Connections are shared with those of the Downloader's other fetchers whose trust, identity and proxy are the same.
    """

    def __init__(self, reactor: Any, remote: Remote, shared: IShared) -> None:
        self.reactor = reactor
        self.remote = remote
        self._shared = shared
        self._pool: HTTPConnectionPool = shared.keep("http", lambda: HTTPConnectionPool(reactor, shared.slots))
        self.fields = RequestFields(remote)
        self._clients: dict[tuple[Any, bool], Client] = {}
        self._authenticator: IAuthenticator | None = None
        self._running = Running()
        self._bodies: set[_Body] = set()

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return self._ask("GET", source, span, same_as).addCallback(self._body)

    def head(self, source: Source) -> Deferred[Head]:
        return self._ask("HEAD", source, None, None).addCallback(_only_head)

    def close(self) -> Deferred[None]:
        if not self._running and not self._bodies:
            return succeed(None)
        self._running.cancel()
        for body in list(self._bodies):
            body.abandon()
        # Transports that are aborted close their sockets in the next turn.
        return deferLater(self.reactor, 0)

    def _ask(self, method: str, source: Source, span: Span | None, same_as: Validators | None) -> Deferred[Found]:
        try:
            asking = Question(self, method, source, span, same_as).ask()
        except Exception:
            return fail()
        return self._running.add(asking)

    def _body(self, found: Found) -> IBody:
        return _Body(self, found)

    # for its questions

    def client(self, trail: Trail) -> Client:
        """Who asks where the trail has come to."""
        key = trail.place.origin, trail.inside
        found = self._clients.get(key)
        if found is None:
            way = route(self.reactor, self.remote, trail.place, inside=trail.inside)
            found = Client(Agent(self.reactor, self._pool, way, self.remote.timeouts))
            if len(self._clients) >= ORIGINS:
                del self._clients[next(iter(self._clients))]
            self._clients[key] = found
        return found

    def login(self, method: str, url: str, trail: Trail, source: Source) -> Login | None:
        """Who proves who we are where the trail has come to; None if nobody has to."""
        authenticator: IAuthenticator
        if trail.own and source.auth is not None:
            authenticator = source.auth
        elif trail.inside and self.remote.auth is not None:
            if self._authenticator is None:
                self._authenticator = self.remote.auth.start(self._shared.direct)
            authenticator = self._authenticator
        else:
            return None
        return Login(authenticator, method.encode("ascii"), url)


@implementer(IBody)
class _Body:
    def __init__(self, fetcher: HTTPFetcher, found: Found) -> None:
        self.head, self._answer, self.public = found
        self.url = self.head.url
        self._fetcher = fetcher
        fetcher._bodies.add(self)

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        self._fetcher._bodies.discard(self)
        return self._fetcher._running.add(self._answer.deliver(consumer))

    def abandon(self) -> None:
        self._fetcher._bodies.discard(self)
        self._answer.abandon()


def _only_head(found: Found) -> Head:
    found.answer.abandon()
    return found.head
