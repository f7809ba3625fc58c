"""treq over our agent, given everything in a form that it can only pass on."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookiejar import Cookie
from typing import Any

from hyperlink import EncodedURL
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred

from .agent import URI, Agent, Sealed
from .answer import Answer
from .fields import Fields

__all__ = ["Client"]


class Client:
    """
    treq's C{HTTPClient} for one route, reduced to what a download needs.

    It is asked once for each set of fields.  What it makes of the same ones is the same again but for the URL, which it
    does not see (L{URI}); to find that out for each of many small files costs an eighth of their time.
    """

    _made: Fields | None = None  # what treq has made the last request of

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._cookies = _NoCookies()
        self._treq = HTTPClient(agent, self._cookies)

    def request(self, method: str, url: str, fields: Fields) -> Deferred[Answer]:
        """
        Fires with the answer to one request: redirects are not followed, nothing is decoded, no cookie is kept.

        Fails with L{DownloadError}; cancelling aborts.
        """
        if fields is self._made:
            return self._agent.ask(method.encode("ascii"), url, fields)
        self._made = fields
        asking: Deferred[Any] = self._treq.request(
            method,
            _Ready(url),
            headers=fields,
            cookies=self._cookies,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._agent.reactor,
        )
        return asking.addCallback(_unwrapped)


class _Ready(EncodedURL):
    """A URL that is a URI already: treq would read it, encode it again, and fail at IPv6 addresses."""

    def __init__(self, url: str) -> None:
        self._uri = URI(url)

    def to_uri(self) -> _Ready:
        return self

    def to_text(self, with_password: bool = False) -> Any:
        return self

    def encode(self, _encoding: str) -> URI:
        """What C{to_text} gives is encoded to this."""
        return self._uri


class _NoCookies(IndexableCookieJar):
    """Keeps none and sends none: a download has no session, and a cookie of one origin is a secret to the next."""

    def add_cookie_header(self, request: object) -> None:
        """None."""

    def extract_cookies(self, response: object, request: object) -> None:
        """None."""

    def __iter__(self) -> Iterator[Cookie]:
        return iter(())


def _unwrapped(response: Any) -> Answer:
    """The answer, in what treq made of it."""
    sealed: Sealed = response.original
    return sealed.answer
