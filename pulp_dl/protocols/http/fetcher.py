"""HTTP for one Remote: asks, follows, judges, and hands over a body."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import deferLater
from zope.interface import implementer

from ...flow.running import Running
from ...interfaces import IAuthenticator, IBody, IFetcher, IShared
from ...model.remote import Remote
from ...model.source import Head, Source, Span, Validators
from .agent import Agent
from .answer import Answer
from .client import Client
from .fields import RequestFields, wanted
from .judge import announced, judge, make_head
from .login import Login
from .pool import HTTPConnectionPool
from .proxy import route
from .redirect import REDIRECTS, Trail

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
        self._reactor = reactor
        self._remote = remote
        self._shared = shared
        self._pool: HTTPConnectionPool = shared.keep("http", lambda: HTTPConnectionPool(reactor, shared.slots))
        self._turn = shared.requests(remote)
        self._fields = RequestFields(remote)
        self._clients: dict[tuple[Any, bool], Client] = {}
        self._authenticator: IAuthenticator | None = None
        self._running = Running()
        self._bodies: set[_Body] = set()

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return self._running.add(Deferred.fromCoroutine(self._open("GET", source, span, same_as)))

    def head(self, source: Source) -> Deferred[Head]:
        return self._running.add(Deferred.fromCoroutine(self._head(source)))

    def close(self) -> Deferred[None]:
        if not self._running and not self._bodies:
            return succeed(None)
        self._running.cancel()
        for body in list(self._bodies):
            body.abandon()
        # Transports that are aborted close their sockets in the next turn.
        return deferLater(self._reactor, 0)

    async def _open(self, method: str, source: Source, span: Span | None, same_as: Validators | None) -> _Body:
        self._fields.check(source)
        if same_as is not None and same_as.if_range is None:
            span = None  # nobody could prove that a part is one of the same file
        asked = wanted(source.conditions, span, same_as)
        trail = Trail(self._remote, source)
        challenged = False
        while True:
            if self._turn is not None:
                await self._turn()
            url = str(trail.place)
            login = self._login(method, url, trail, source)
            credentials = () if login is None else await login.authorize()
            fields = self._fields.select(source, credentials, inside=trail.inside)
            answer = await self._client(trail).request(method, url, (*fields, *asked))
            status = answer.status
            if status in REDIRECTS:
                # Its slot is back before the next request takes one.
                answer.abandon()
                trail.follow(answer.pairs)
                continue
            try:
                length = announced(answer.pairs) if method == "HEAD" else answer.length
                head = make_head(url, status, answer.pairs, length)
                if status == 401 and login is not None and not challenged:
                    challenged = True
                    answer.abandon()
                    if await login.challenged(head):
                        continue
                judge(
                    head,
                    span,
                    conditions=bool(source.conditions),
                    proxied=self._remote.proxy is not None,
                    now=self._reactor.seconds(),
                )
            except BaseException:
                answer.abandon()
                raise
            return _Body(self, head, answer, public=not trail.inside)

    async def _head(self, source: Source) -> Head:
        body = await self._open("HEAD", source, None, None)
        body.abandon()
        return body.head

    def _client(self, trail: Trail) -> Client:
        key = trail.place.origin, trail.inside
        found = self._clients.get(key)
        if found is None:
            way = route(self._reactor, self._remote, trail.place, inside=trail.inside)
            found = Client(Agent(self._reactor, self._pool, way, self._remote.timeouts))
            if len(self._clients) >= ORIGINS:
                del self._clients[next(iter(self._clients))]
            self._clients[key] = found
        return found

    def _login(self, method: str, url: str, trail: Trail, source: Source) -> Login | None:
        authenticator: IAuthenticator
        if trail.own and source.auth is not None:
            authenticator = source.auth
        elif trail.inside and self._remote.auth is not None:
            if self._authenticator is None:
                self._authenticator = self._remote.auth.start(self._shared.direct)
            authenticator = self._authenticator
        else:
            return None
        return Login(authenticator, method.encode("ascii"), url)


@implementer(IBody)
class _Body:
    def __init__(self, fetcher: HTTPFetcher, head: Head, answer: Answer, *, public: bool) -> None:
        self.head = head
        self.public = public
        self.url = head.url
        self._fetcher = fetcher
        self._answer = answer
        fetcher._bodies.add(self)

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        self._fetcher._bodies.discard(self)
        return self._fetcher._running.add(self._answer.deliver(consumer))

    def abandon(self) -> None:
        self._fetcher._bodies.discard(self)
        self._answer.abandon()
