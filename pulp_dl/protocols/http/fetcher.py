"""HTTP for one Remote: asks, follows, judges, and hands over a body."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import deferLater
from zope.interface import implementer

from ...errors import RedirectRefused
from ...flow.running import Running
from ...interfaces import IAuthenticator, IBody, IFetcher, IShared
from ...model.remote import Remote
from ...model.source import Head, Source, Span, Validators
from ...urls import URL
from ..spaces import Bounded, Homes, Space, found_here, literal, refusal
from ..unauthenticated import started
from .agent import Agent
from .answer import Answer
from .body import Body
from .client import Client
from .cookies import Cookies
from .fields import PUBLIC, RequestFields
from .gates import Gates
from .login import Login
from .pool import HTTPConnectionPool, PoolKey
from .proxy import Route, route
from .question import Question
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
        self._pool: HTTPConnectionPool = shared.keep(
            "http", lambda: HTTPConnectionPool(reactor, shared.slots, shared.timers)
        )
        self.turn = shared.requests(remote)
        self.fields = RequestFields(remote)
        self._clients: dict[Hashable, Client] = {}
        self._gates: Gates = shared.keep("gates", lambda: Gates(reactor))
        self._authenticator: IAuthenticator | None = None
        self.cookies = Cookies() if remote.cookies else None
        self.homes = Homes(reactor, remote, shared)
        self._who = _who(remote, self.cookies)
        self.running = Running()
        self.bodies: set[Body] = set()

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return self._ask("GET", source, span, same_as)

    def head(self, source: Source) -> Deferred[Head]:
        return self._ask("HEAD", source, None, None).addCallback(_only_head)

    def close(self) -> Deferred[None]:
        if not self.running and not self.bodies:
            return succeed(None)
        self.running.cancel()
        for body in list(self.bodies):
            body.abandon()
        # Transports that are aborted close their sockets in the next turn.
        return deferLater(self.reactor, 0)

    def _ask(self, method: str, source: Source, span: Span | None, same_as: Validators | None) -> Deferred[Any]:
        try:
            question = Question(self, method, source, span, same_as)
            asking = question.ask()
        except Exception:
            return fail()
        if self.remote.proxy is not None:
            asking.addErrback(question.behind)
        return asking

    # for its questions

    def client(self, trail: Trail) -> Client:
        """Who asks where the trail has come to."""
        key = trail.place.origin, trail.inside, trail.floor, trail.named, trail.who
        found = self._clients.get(key)
        if found is None:
            found = Client(Agent(self.reactor, self._pool, self._way(trail), self.remote.timeouts))
            if len(self._clients) >= ORIGINS:
                del self._clients[next(iter(self._clients))]
            self._clients[key] = found
        return found

    def _way(self, trail: Trail) -> Route:
        place, floor, reactor = trail.place, trail.floor, self.reactor
        proxy = self.remote.proxy_for(place)
        if floor is not None and proxy is None:
            reactor = Bounded(reactor, floor)
        elif floor is not None and proxy is not None:
            space = literal(place.host)
            if space is not None and space < floor:
                raise RedirectRefused(refusal(place.host, floor), str(place))
            if proxy.resolves:
                floor = None  # it finds the address; all that can be seen of it here is what the URL says of itself
        way = route(reactor, self.remote, place, inside=trail.inside, gates=self._gates, floor=floor)
        who = self._who if trail.inside else None
        if trail.who is not None:
            who = trail.who, who
        if trail.named:
            floor = None
        if who is None and floor is None:
            return way
        # A connection that the caller may have is none for whom a server has sent; and a server may keep in mind who
        # has proven something over a connection, so it is for nobody else.
        return evolve(way, key=PoolKey(way.key.host, (way.key.identity, floor, who)))

    def space_of_peer(self, place: URL, answer: Answer) -> Space:
        """Where an answer came from; through a proxy that finds the address itself as far as the URL tells."""
        space = literal(answer.address if found_here(self.remote, place) else place.host)
        return Space.PUBLIC if space is None else space

    def login(self, method: str, url: str, trail: Trail) -> Login | None:
        """Who proves who we are where the trail has come to; None if nobody has to."""
        authenticator: IAuthenticator
        if trail.auth is not None:
            authenticator = trail.auth
        elif trail.inside and self.remote.auth is not None:
            if self._authenticator is None:
                self._authenticator = started(self.remote.auth, self.remote, self._shared, url)
            authenticator = self._authenticator
        else:
            return None
        return Login(authenticator, method.encode("ascii"), url)


def _who(remote: Remote, cookies: Cookies | None) -> Hashable:
    """Who a server of the scope takes us for, but for the client certificate; None for anybody."""
    secret = tuple(pair for pair in remote.headers if pair[0].lower() not in PUBLIC)
    if remote.auth is None and not secret and cookies is None:
        return None
    try:
        hash(remote.auth)
    except TypeError:  # somebody's own; its Remote is kept, so its id stays its own
        return id(remote.auth), secret, cookies
    return remote.auth, secret, cookies


def _only_head(body: Body) -> Head:
    body.abandon()
    return body.head
