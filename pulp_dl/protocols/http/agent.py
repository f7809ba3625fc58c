"""
An C{IAgent} over connections of our own: it writes a request, takes a connection from the pool, and asks again when a
pooled one turns out to be dead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocol
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from ...errors import DownloadError, Refused, TimedOut
from ...flow.deadline import deadline
from ...model.remote import Timeouts
from .answer import Answer
from .connection import HTTPConnection
from .endpoint import Dialled
from .pool import HTTPConnectionPool
from .proxy import Route

__all__ = ["Agent", "Sealed"]

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@implementer(IAgent)
class Agent:
    """Requests to one origin over the connections of one route."""

    def __init__(self, reactor: Any, pool: HTTPConnectionPool, route: Route, timeouts: Timeouts) -> None:
        self.reactor = reactor
        self._pool = pool
        self._route = route
        self._timeouts = timeouts

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
        return Deferred.fromCoroutine(self._request(method, uri, headers))

    async def _request(self, method: bytes, uri: bytes, headers: Headers | None) -> IResponse:
        url = uri.decode("ascii")
        data = self._serialise(method, uri, headers, url)
        route, timeouts = self._route, self._timeouts
        dialled = Dialled(route.endpoint, self.reactor, timeouts.connect, url, route.proxied)
        while True:
            # Waiting for a slot is no fault of the server: no clock runs here but that of the connecting itself.
            connection: HTTPConnection = await self._pool.getConnection(route.key, dialled)
            try:
                asking = connection.request(data, method, url)
                answer = await deadline(asking, timeouts.head, self.reactor, "head", url)
            except TimedOut:
                raise
            except DownloadError:
                # The server may close an idle connection at any time, also in the moment that we use it (RFC 9112
                # section 9.3.1).  It has not seen the request then, so this is no attempt.  A fresh one ends the loop.
                if connection.reused and connection.silent:
                    continue
                raise
            return Sealed(answer)

    def _serialise(self, method: bytes, uri: bytes, headers: Headers | None, url: str) -> bytes:
        lines = [
            b"%b %b HTTP/1.1" % (method, uri[self._route.cut :]),
            b"Host: " + self._route.host,
            b"Accept-Encoding: identity",
        ]
        lines += [b"%b: %b" % pair for pair in self._route.fields]
        if headers is not None:
            lines += [
                b"%b: %b" % (name, value)
                for name, values in headers.getAllRawHeaders()
                if name.lower() != b"accept-encoding"
                for value in values
            ]
        if _CONTROL.search(b"".join(lines)):
            raise Refused("a control character in a request; it would end a field and begin another one", url)
        return b"\r\n".join(lines) + b"\r\n\r\n"


@implementer(IResponse)
class Sealed:
    """
    An answer that shows no field: whoever is between us and our agent decodes nothing and keeps no cookie.

    @ivar answer: all of it.
    """

    request: Any = None
    previousResponse: Any = None

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.version = (b"HTTP", 1, answer.version)
        self.code = answer.status
        self.phrase = answer.phrase
        self.length: Any = UNKNOWN_LENGTH if answer.length is None else answer.length
        self.headers: Headers = _NO_FIELDS

    def deliverBody(self, protocol: IProtocol) -> None:
        self.answer.deliverBody(protocol)

    def setPreviousResponse(self, response: IResponse) -> None:
        """There is none: redirects are followed above."""


class _NoFields(Headers):
    """There are none, and there will be none."""

    def setRawHeaders(self, name: str | bytes, values: Sequence[str | bytes]) -> None:
        """Without effect: treq would write an empty Content-Encoding."""


_NO_FIELDS: Final = _NoFields()
