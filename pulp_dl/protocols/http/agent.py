"""
An C{IAgent} over connections of our own: it writes a request, takes a connection from the pool, and asks again when a
pooled one turns out to be dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from ...errors import DownloadError, Refused, TimedOut
from ...flow.steady import wall
from ...model.headers import CONTROL
from ...model.remote import Timeouts
from .answer import Answer
from .connection import HTTPConnection
from .endpoint import Dialled
from .fields import Fields
from .forwarded import failed, refused
from .pool import HTTPConnectionPool
from .proxy import Route

__all__ = ["URI", "Agent", "Sealed"]


class URI(bytes):
    """
    A URL for an L{Agent}, empty for all others: on the way there it is taken apart for cookies that nobody has, which
    costs as much as the rest of the way.
    """

    url: str

    def __new__(cls, url: str) -> Self:
        uri = super().__new__(cls)
        uri.url = url
        return uri


@implementer(IAgent)
class Agent:
    """Requests to one origin over the connections of one route."""

    def __init__(self, reactor: Any, pool: HTTPConnectionPool, route: Route, timeouts: Timeouts) -> None:
        self.reactor = reactor
        self.pool = pool
        self.timeouts = timeouts
        self.route = route
        self._always = Fields(((b"Host", route.host), *route.fields)).wire + b"Accept-Encoding: identity\r\n"

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        Ask for a URL of this route's origin.  Whatever C{Accept-Encoding} is given, C{identity} is sent: bodies are
        wanted as they are kept.

        Fires with an L{IResponse} that shows the status only; fails with L{DownloadError}; cancelling aborts.
        """
        if bodyProducer is not None:
            return fail(ValueError("a download sends no body"))
        url = uri.url if isinstance(uri, URI) else uri.decode("ascii")
        if not isinstance(headers, Fields):
            everything = () if headers is None else headers.getAllRawHeaders()
            headers = Fields(tuple((name, value) for name, values in everything for value in values))
        return self.ask(method, url, headers).addCallback(Sealed)

    def ask(self, method: bytes, url: str, fields: Fields) -> Deferred[Answer]:
        """The same, for one who may see all of the answer."""
        target = url[self.route.cut :].encode("ascii")
        if fields.broken or CONTROL.search(target):
            return fail(Refused("a control character in a request; it would end a field and begin another one", url))
        data = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, target, self._always, fields.wire)
        return _Exchange(self, method, url, data).begin()


class _Exchange:
    """
    One request and the head of its answer.

    Callbacks, not a coroutine: each request has one of these, and a coroutine costs as much as all the rest of it.
    """

    __slots__ = ("_agent", "_connection", "_data", "_method", "_url")

    def __init__(self, agent: Agent, method: bytes, url: str, data: bytes) -> None:
        self._agent = agent
        self._method = method
        self._url = url
        self._data = data

    def begin(self) -> Deferred[Answer]:
        agent, route = self._agent, self._agent.route
        # Waiting for a slot is no fault of the server: no clock runs here but that of the connecting itself.
        idle = agent.pool.take(route.key)
        if idle is not None:
            return self._ask(idle)
        dialled = Dialled(route.endpoint, agent.reactor, agent.timeouts.connect, self._url, route.proxied)
        return agent.pool.getConnection(route.key, dialled).addCallback(self._ask)

    def _ask(self, connection: HTTPConnection) -> Deferred[Answer]:
        self._connection = connection
        agent, proxied = self._agent, self._agent.route.proxied
        # tinyproxy, and whoever else relays bytes, says nothing of its own: what seems to be kept is a way to the first
        # server that was asked for, who would be told what is for the proxy, and for all others.
        answer = connection.request(self._data, self._method, self._url, agent.timeouts.head, explicit=proxied)
        return answer.addCallbacks(self._checked, self._again) if proxied else answer.addErrback(self._again)

    def _checked(self, answer: Answer) -> Answer:
        # What the proxy has made is no answer to us: nobody who follows, logs in or keeps cookies hears of it.
        try:
            refusal = refused(answer.status, answer.pairs, self._url, wall(self._agent.reactor))
            if refusal is not None:
                raise refusal
        except BaseException:
            answer.abandon()
            raise
        return answer

    def _again(self, failure: Failure) -> Deferred[Answer]:
        # The server may close an idle connection at any time, also in the moment that we use it (RFC 9112 section
        # 9.3.1).  It has not seen the request then, so this is no attempt.  A fresh one ends the loop.
        stale = self._connection.reused and self._connection.silent
        if stale and failure.check(DownloadError) and not failure.check(TimedOut):
            return self.begin()
        blamed = failed(failure.value, self._url) if self._agent.route.proxied else None
        if blamed is not None:
            raise blamed from failure.value
        return fail(failure)


@implementer(IResponse)
class Sealed:
    """
    An answer that shows no field: whoever is between us and our agent decodes nothing and keeps no cookie.

    @ivar answer: all of it.
    """

    request: Any = None
    previousResponse: Any = None
    headers: Headers

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    @property
    def version(self) -> tuple[bytes, int, int]:
        return b"HTTP", 1, self.answer.version

    @property
    def code(self) -> int:
        return self.answer.status

    @property
    def phrase(self) -> bytes:
        return self.answer.phrase

    @property
    def length(self) -> Any:
        return UNKNOWN_LENGTH if self.answer.length is None else self.answer.length

    def deliverBody(self, protocol: IProtocol) -> None:
        self.answer.deliverBody(protocol)

    def setPreviousResponse(self, response: IResponse) -> None:
        """There is none: redirects are followed above."""


class _NoFields(Headers):
    """There are none, and there will be none."""

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        return default

    def setRawHeaders(self, name: str | bytes, values: Sequence[str | bytes]) -> None:
        """Without effect: treq would write an empty Content-Encoding."""


Sealed.headers = _NoFields()
