"""Tokens that a server sends its clients to fetch, as container registries do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

from attrs import Attribute, define, field, frozen
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ..consumers.memory import ToMemory
from ..errors import AuthFailed, NotFound, ProtocolError, RedirectRefused, Refused
from ..interfaces import IAuth, IAuthenticator, IDownloader
from ..model.auth import Basic
from ..model.numbers import is_number
from ..model.source import Head, Source
from ..urls import URL, InvalidURL, parse, shown
from .bearer import checked
from .challenge import Challenge, challenges
from .flights import Flights

__all__ = ["TokenAuth"]

LONGEST: Final = 64 * 1024
"""Bytes of an answer that holds a token."""

CHALLENGE: Final = 8 * 1024
"""Characters of a realm, service and scope together: they are kept, and few servers would read a longer URL."""

DIRECTORY: Final = 2048
"""Characters of a directory that is kept; a longer one counts as that above it."""

TOKEN: Final = 16 * 1024
"""Characters of a token: it is kept, and few servers would read a longer field."""

LIFETIME: Final = 60.0
"""Seconds that a token lasts if nobody says how long."""

MARGIN: Final = 30.0
"""Seconds, and a tenth of its life at most, before its end from which on a token is not used any more."""

SPACES: Final = 1024
"""Directories, and tokens, that are remembered."""


def _origins(value: Iterable[str] | str) -> tuple[tuple[str, str, int | None], ...]:
    found = []
    for each in (value,) if isinstance(value, str) else tuple(value):
        try:
            found.append(parse(each).origin)
        except InvalidURL as error:
            raise InvalidURL(f"TokenAuth.realms: {error}: {shown(each)!r}") from None
    return tuple(found)


def _basic(_instance: object, _attribute: Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, Basic):
        raise TypeError(f"TokenAuth.auth: {type(value).__name__} is no Basic; use Basic(user, password)")


@implementer(IAuth)
@frozen
class TokenAuth:
    """
    Does what a 401 with C{WWW-Authenticate: Bearer realm=...,service=...,scope=...} says: fetches a token from the URL
    in C{realm} and shows it.  A server that wants C{Basic} instead gets that.

    A token is kept for its realm, service and scope until it ends, and serves all downloads of the Remote.  One that
    worked and is refused before its end is replaced once, however many downloads wait; a new one that is refused fails
    with C{AuthFailed}.

    The realm is a URL that a server chose, often one of another host.  So it is treated as a redirect would be: it is
    not followed from C{https:} to C{http:}, nor from a public network into a private one, and the user and password go
    there only if it is of the server's own origin.  Else the download fails with C{Refused}: to go on without them
    would get another answer than the one that was meant.  What C{realms} names is followed anywhere, and gets them.

    @ivar auth: user and password; None for tokens that everybody gets.
    @ivar realms: URLs of token servers that the caller knows; what counts is scheme, host and port.
    @ivar seconds: the clock, in seconds; any zero will do.
    """

    auth: Basic | None = field(default=None, validator=_basic)
    realms: tuple[tuple[str, str, int | None], ...] = field(default=(), converter=_origins)
    seconds: Callable[[], float] = field(default=time.monotonic, kw_only=True, eq=False, repr=False)

    def start(self, direct: IDownloader) -> IAuthenticator:
        return _Tokens(self, direct)


@frozen
class _Space:
    """What a token is for."""

    origin: tuple[str, str, int | None]
    realm: URL
    service: str | None
    scope: str | None

    @property
    def url(self) -> str:
        """Where to ask for one."""
        names = [] if self.service is None else [("service", self.service)]
        names += [("scope", each) for each in (self.scope or "").split()]
        query = urlencode(names)
        url = str(self.realm)
        return url if not query else f"{url}{'&' if '?' in url else '?'}{query}"


@define(eq=False)
class _Token:
    """
    @ivar space: what it is for.
    @ivar until: when it is not to be used any more.
    @ivar accepted: it was, by somebody.
    """

    space: _Space
    value: str = field(repr=False)
    until: float
    accepted: bool = False


@implementer(IAuthenticator)
class _Tokens:
    """The live one."""

    def __init__(self, settings: TokenAuth, direct: IDownloader) -> None:
        self._settings = settings
        self._direct = direct
        self._spaces: dict[tuple[tuple[str, str, int | None], str], _Space | Basic] = {}
        self._tokens: dict[_Space, _Token] = {}
        self._flights: Flights[_Space, _Token] = Flights()

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
        space = self._space_of(parse(url))
        if space is None or isinstance(space, Basic):
            return space if space is None else space.authorize(method, url, headers)
        token = self._tokens.get(space)
        if token is not None and self._lasts(token) and space not in self._flights:
            return _put(token, headers)
        return self._renew(space).addCallback(_put, headers)

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        place = parse(url)
        space = self._asked(place, head) or (sent.space if isinstance(sent, _Token) else None)
        if space is None or (isinstance(space, Basic) and sent is space):
            return succeed(False)
        _keep(self._spaces, (place.origin, _directory(place)), space)
        if isinstance(space, Basic):
            return succeed(True)
        token = self._tokens.get(space)
        if token is not None and self._lasts(token):
            if sent is not token:
                return succeed(True)  # somebody was here before us
            if not token.accepted:
                return succeed(False)
        value = token.value if sent is token and token is not None else None
        return self._renew(space).addCallback(lambda token: token.value != value)

    def answered(self, method: bytes, url: str, head: Head, sent: Any) -> None:
        if isinstance(sent, _Token):
            sent.accepted = True

    # what is asked for

    def _asked(self, place: URL, head: Head) -> _Space | Basic | None:
        offered = challenges(head.headers)
        for each in offered:
            if each.scheme == "bearer" and each.get("realm"):
                return self._space(place, each)
        return self._settings.auth if any(each.scheme == "basic" for each in offered) else None

    def _space(self, place: URL, challenge: Challenge) -> _Space:
        try:
            found = parse(challenge.get("realm") or "")
        except InvalidURL as error:
            raise ProtocolError(f"a challenge whose realm is no URL: {error}", str(place)) from None
        realm = URL(found.scheme, found.host, found.port, found.target)  # userinfo there is no secret of ours
        service, scope = challenge.get("service"), challenge.get("scope")
        if sum(map(len, (str(realm), service or "", scope or ""))) > CHALLENGE:
            raise ProtocolError("a challenge whose realm, service and scope are too long", str(place))
        known = realm.origin in self._settings.realms
        if realm.scheme not in {"http", "https"}:
            raise RedirectRefused(
                f"the realm of a challenge is a {realm.scheme}: URL, which is not followed", str(place)
            )
        if place.scheme == "https" and realm.scheme == "http" and not known:
            raise RedirectRefused(
                f"a challenge from https: to {realm.base} is not followed; TokenAuth.realms may name it", str(place)
            )
        if self._settings.auth is not None and realm.origin != place.origin and not known:
            raise Refused(
                f"tokens come from {realm.base}; the user and password go there only if TokenAuth.realms names it",
                str(place),
            )
        return _Space(place.origin, realm, service, scope)

    def _space_of(self, place: URL) -> _Space | Basic | None:
        """What was asked for last in the directory of this place, or in the next one above it that we know of."""
        directory = _directory(place)
        while directory:
            found = self._spaces.get((place.origin, directory))
            if found is not None:
                return found
            directory = directory[: directory.rfind("/", 0, -1) + 1]
        return None

    # tokens

    def _lasts(self, token: _Token) -> bool:
        return token.until > self._settings.seconds()

    def _renew(self, space: _Space) -> Deferred[_Token]:
        return self._flights.join(space, lambda: Deferred.fromCoroutine(self._fetch(space)))

    async def _fetch(self, space: _Space) -> _Token:
        scheme, host, port = space.origin
        home = str(URL(scheme, host, port, "/"))
        found = space.realm.origin not in self._settings.realms
        source = Source(space.url, scope=home, auth=self._settings.auth, found=found)
        began, answer = self._settings.seconds(), ToMemory(LONGEST)
        try:
            await self._direct.download(source, answer)
        except NotFound as error:  # which would be taken for an answer about the file
            raise AuthFailed(error.status, "to the question for a token", space.url) from error
        value, lifetime = _read(answer.data, space.url)
        token = _Token(space, value, began + lifetime - min(MARGIN, lifetime / 10))
        _keep(self._tokens, space, token)
        return token


def _put(token: _Token, headers: dict[bytes, bytes]) -> _Token:
    headers[b"Authorization"] = b"Bearer " + token.value.encode("ascii")
    return token


def _read(data: bytes, url: str) -> tuple[str, float]:
    """The token, and how long it lasts."""
    token = None
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        found = json.loads(data)
        token = checked(found.get("token") or found.get("access_token"), "a token")
    if token is None:  # raised here, so that it drags no answer along
        raise ProtocolError("the answer to the question for a token holds none that could be used", url)
    if len(token) > TOKEN:
        raise ProtocolError(f"a token of {len(token)} characters came, and one may have {TOKEN} at most", url)
    seconds = found.get("expires_in")
    right = is_number(seconds) and 0 < seconds < 1e9
    return token, float(seconds) if right else LIFETIME


def _directory(place: URL) -> str:
    path = place.target.partition("?")[0]
    return path[: path.rfind("/", 0, DIRECTORY) + 1]


def _keep(known: dict[Any, Any], key: Any, value: Any) -> None:
    """As the latest; the oldest goes when there are too many."""
    known.pop(key, None)
    if len(known) >= SPACES:
        del known[next(iter(known))]
    known[key] = value
