"""FTP for one Remote: asks what is there, answers as HTTP would, and brings it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.task import deferLater
from zope.interface import implementer

from ...errors import BadStatus, NotFound, NotResumable, Refused
from ...flow.deadline import deadline
from ...flow.running import Running
from ...flow.steady import wall
from ...interfaces import IBody, IFetcher, IShared
from ...model.auth import Basic
from ...model.remote import Remote
from ...model.source import Head, Source, Span, Validators
from ...urls import URL
from ..credentials import Credentials
from ..endpoint import Dialled, reach
from ..entity import Entity
from ..spaces import Bounded, Homes, Space, inside
from .body import Body
from .login import ANONYMOUS, log_in
from .pool import Key, SessionPool
from .session import Session, Stale
from .target import path_of, uses_implicit_tls
from .tls import Protection
from .transfer import Transfer, look

__all__ = ["FTPFetcher"]

T = TypeVar("T")
Question = Callable[[Session, bytes], Coroutine[Any, Any, T]]
"""What is asked about the file of this name."""


@implementer(IFetcher)
class FTPFetcher:
    """
    C{ftp:} and C{ftps:}.

    Sessions are shared with those of the Downloader's other fetchers whose user and trust are the same.  Each counts as
    two of C{Limits.connections} and C{Limits.per_host}, so with a limit of ten, five files come at a time; where the
    limit is one, a session is let go with that.  C{Remote.headers} mean nothing here.
    """

    def __init__(self, reactor: Any, remote: Remote, shared: IShared) -> None:
        self.reactor = reactor
        self.remote = remote
        self.timers = shared.timers
        self._shared = shared
        self._pool: SessionPool = shared.keep("ftp", lambda: SessionPool(shared.slots, shared.timers))
        self._turn = shared.requests(remote)
        self._homes = Homes(reactor, remote, shared)
        self._credentials = Credentials(remote, shared)
        self._running = Running()
        self.bodies: set[Body] = set()

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        async def ask(session: Session, path: bytes) -> IBody:
            public = not inside(self.remote, source)
            return await Transfer(self, session, path, source, public=public).begin(span, same_as)

        return self._running.add(Deferred.fromCoroutine(self._ask(source, ask)))

    def head(self, source: Source) -> Deferred[Head]:
        async def run() -> Head:
            found = await self._ask(source, self._look)
            if found is not None:
                return found.head(source.url, None, None, source.conditions)
            # The server knows neither SIZE nor MDTM: only RETR tells whether there is anything.
            body = await self.open(source)
            body.abandon()
            return body.head

        return self._running.add(Deferred.fromCoroutine(run()))

    def prove(self, session: Session, source: Source, head: Head) -> Deferred[None]:
        """
        All of a part has come: is it of the file that C{head} speaks of?

        RETR knows no If-Range, and opens what is there by then.  That was this file, if it is still there.

        @param session: the one that brought the part; it is asked, if it can be.
        @return: fires with None if it is; fails with L{NotResumable} if not, else as C{head}.  Cancelling aborts.
        """

        async def run() -> None:
            try:
                found = await self._look_again(session, source)
            except NotFound:
                found = None
            if found is None or found.etag != head.etag:
                raise NotResumable("the file changed while a part of it came", source.url)

        return Deferred.fromCoroutine(run())

    def close(self) -> Deferred[None]:
        if not self._running and not self.bodies:
            return succeed(None)
        self._running.cancel()
        for body in list(self.bodies):
            body.abandon()
            body.stopProducing()
        # Transports that are aborted close their sockets in the next turn.
        return deferLater(self.reactor, 0)

    async def _look(self, session: Session, path: bytes) -> Entity | None:
        found = await look(session, path, wall(self.reactor))
        session.done()
        return found

    async def _look_again(self, session: Session, source: Source) -> Entity | None:
        if session.usable:
            session.reused = True
            with suppress(Stale):
                return await self._put(self._look, session, path_of(source.place), source.url)
        return await self._ask(source, self._look)

    async def _ask(self, source: Source, question: Question[T]) -> T:
        """Put a question in a session, and again in another one if the server had closed that."""
        place = source.place
        path = path_of(place)
        if self.remote.proxy_for(place) is not None:
            raise Refused(f"{place.scheme}: cannot go through this proxy; give Proxies that leave it out", source.url)
        trusted = inside(self.remote, source)
        if self._turn is not None:
            await self._turn()
        floor = await self._homes.floor(source) if source.found else None
        login = await self._login(source, inside=trusted)
        while True:
            session = await self._session(place, source.url, login, floor, inside=trusted)
            try:
                return await self._put(question, session, path, source.url)
            except Stale:
                pass  # a fresh one ends the loop

    async def _put(self, question: Question[T], session: Session, path: bytes, url: str) -> T:
        """
        @raise Stale: the server had closed this session.
        """
        session.use(url)
        asking = Deferred.fromCoroutine(question(session, path))
        try:
            return await deadline(asking, self.remote.timeouts.head, self.timers, "head", url)
        except BadStatus:
            session.done()  # it is in order: that was an answer
            raise
        except BaseException:
            session.abort()
            raise

    async def _login(self, source: Source, *, inside: bool) -> Basic:
        found = source.auth
        if found is None and inside:
            found = await self._credentials.of(source.url)
        return ANONYMOUS if found is None else found

    def _session(self, place: URL, url: str, login: Basic, floor: Space | None, *, inside: bool) -> Deferred[Session]:
        tls = None
        if place.scheme == "ftps":
            tls = self.remote.tls if inside else self.remote.tls.public()
        implicit = uses_implicit_tls(place)
        timeouts = self.remote.timeouts

        async def dial(session: Session) -> None:
            protection = session.protection = (
                None if tls is None else Protection(tls, place.host, resumes=session.resumes)
            )
            # The data connection goes where the control connection has gone.
            endpoint = reach(self.reactor if floor is None else Bounded(self.reactor, floor), place, None)
            if protection is not None and implicit:
                endpoint = wrapClientTLS(protection.control(), endpoint, clock=self.reactor)
            client: Any = None
            try:
                dialled = Dialled(endpoint, self.reactor, timeouts.connect, url, False)
                client = await dialled.connect(session)
                self._homes.learn(place, client.transport.getPeer().host)
            finally:
                session.connected(client)
            asking = Deferred.fromCoroutine(log_in(session.client, login, protection, implicit=implicit))
            await deadline(asking, timeouts.head, self.timers, "head", url)

        who = login.user, login.password
        # A session that the caller may have is none for whom a server has sent.
        key = Key((place.host, place.port), (place.scheme, place.host, place.port, who, tls, floor))
        return self._pool.take(key, url, dial)
