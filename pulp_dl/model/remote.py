"""How a remote is reached: given once, shared by all its downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import random
from typing import Any

from attrs import Attribute, evolve, field, frozen

from ..interfaces import IAuth
from ..urls import URL, InvalidURL, parse, shown
from .auth import Basic
from .headers import Pairs, header_pairs
from .tls import TLS

__all__ = ["Limits", "Proxy", "Remote", "Retries", "Timeouts"]

GIB = 1 << 30


def _seconds(instance: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9):
        name = f"{type(instance).__name__}.{attribute.name}"
        raise ValueError(f"{name}: {value!r} is no positive number; give one, or None for no limit")


def _count(instance: object, attribute: Attribute[Any], value: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        name = f"{type(instance).__name__}.{attribute.name}"
        raise ValueError(f"{name}: {value!r} has to be a whole number, 1 or more")


@frozen(kw_only=True)
class Timeouts:
    """
    Limits of time, in seconds; None switches one off.

    @ivar connect: until the connection may carry a request: DNS, TCP and TLS together.
    @ivar head: from the request to the end of the answer's head, for each hop of a redirect.
    @ivar idle: without one byte of the body.
    @ivar low_speed: bytes a second that the body has to reach on average over C{low_speed_window}.
    @ivar total: the whole download with all its attempts.

    A consumer that is slow stops the clocks of C{idle} and C{low_speed}: it is never blamed on the server.
    """

    connect: float | None = field(default=30, validator=_seconds)
    head: float | None = field(default=60, validator=_seconds)
    idle: float | None = field(default=30, validator=_seconds)
    low_speed: float | None = field(default=1000, validator=_seconds)
    low_speed_window: float = field(default=30, validator=_seconds)
    total: float | None = field(default=None, validator=_seconds)


@frozen(kw_only=True)
class Limits:
    """
    How much at once.

    @ivar connections: open sockets in all, idle ones included.
    @ivar per_host: of these, to one host and port.
    @ivar max_size: bytes that a body may have at most, expected or not; None for no limit.
    @ivar redirects: how many may follow each other.
    """

    connections: int = field(default=10, validator=_count)
    per_host: int = field(default=10, validator=_count)
    max_size: int | None = 64 * GIB
    redirects: int = field(default=10)

    def __attrs_post_init__(self) -> None:
        if self.max_size is not None and self.max_size < 0:
            raise ValueError(f"Limits.max_size: {self.max_size!r} has to be 0 or more, or None for no limit")
        if not 0 <= self.redirects <= 100:
            raise ValueError(f"Limits.redirects: {self.redirects!r} has to be from 0 to 100")


@frozen(kw_only=True)
class Retries:
    """
    How often it is tried again, and how long is waited: C{base}, doubled each time, C{cap} at most, less up to half by
    chance.

    @ivar count: rounds after the first; in each, every place that may still have the file is asked once.
    @ivar retry_after_cap: the longest wait that a server may ask for.
    """

    count: int = 4
    base: float = field(default=0.5, validator=_seconds)
    cap: float = field(default=30, validator=_seconds)
    retry_after_cap: float = field(default=60, validator=_seconds)

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.count <= 1000:
            raise ValueError(f"Retries.count: {self.count!r} has to be from 0 to 1000")

    def waits(self, chance: Callable[[], float] = random) -> Iterator[float]:
        """Seconds to wait before each round; the first is 0."""
        yield 0.0
        for round_ in range(self.count):
            yield min(self.cap, self.base * 2.0 ** min(round_, 64)) * (1 - chance() / 2)


def _url(value: str, name: str, schemes: tuple[str, ...] = ()) -> URL:
    try:
        found = parse(value)
    except InvalidURL as error:
        raise InvalidURL(f"{name}: {error}: {shown(str(value))!r}") from None
    if schemes and found.scheme not in schemes:
        raise InvalidURL(f"{name}: {shown(value)!r} has to begin with {' or '.join(s + '://' for s in schemes)}")
    return found


@frozen
class Proxy:
    """
    An HTTP proxy.

    @ivar url: C{http://host:port}; user and password in it are taken out into C{auth}.
    """

    url: str = field(repr=shown)
    auth: Basic | None = None
    place: URL = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        place = _url(self.url, "Proxy.url", ("http", "https"))
        if place.user is not None:
            object.__setattr__(self, "auth", self.auth or Basic(place.user, place.password or ""))
            place = evolve(place, user=None, password=None)
        object.__setattr__(self, "url", str(place))
        object.__setattr__(self, "place", place)


def _auth(_instance: object, _attribute: Attribute[Any], value: object) -> None:
    if value is not None and not IAuth.providedBy(value):
        raise TypeError(f"Remote.auth: {type(value).__name__} is no IAuth; use Basic(user, password) or your own")


@frozen(kw_only=True)
class Remote:
    """
    Everything that downloads from one remote have in common.

    @ivar url: where the remote is.  Its origin is the scope of all secrets: C{auth}, C{headers} and the client
        certificate go there and nowhere else.  None: the origin of each URL that the caller gives.
    @ivar headers: request fields; only User-Agent, Accept and Accept-Language of them leave the scope.
    """

    url: str | None = field(default=None, repr=lambda url: "None" if url is None else shown(url))
    tls: TLS = field(factory=TLS)
    auth: IAuth | None = field(default=None, validator=_auth)
    proxy: Proxy | None = None
    headers: Pairs = field(default=(), converter=header_pairs, repr=False)
    timeouts: Timeouts = field(factory=Timeouts)
    limits: Limits = field(factory=Limits)
    retries: Retries = field(factory=Retries)
    allow_downgrade: bool = False

    def __attrs_post_init__(self) -> None:
        for name, kind in (("tls", TLS), ("timeouts", Timeouts), ("limits", Limits), ("retries", Retries)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"Remote.{name}: {type(getattr(self, name)).__name__} is no {kind.__name__}")
        if self.proxy is not None and not isinstance(self.proxy, Proxy):
            raise TypeError("Remote.proxy: use Proxy(url, auth=Basic(user, password))")
        if self.url is not None:
            place = _url(self.url, "Remote.url")
            if place.user is not None:
                object.__setattr__(self, "auth", self.auth or Basic(place.user, place.password or ""))
                place = evolve(place, user=None, password=None)
            object.__setattr__(self, "url", str(place))

    def scope(self, source_url: str, source_scope: str | None) -> tuple[str, str, int | None]:
        """The origin that the secrets of this Remote may be shown to, for one source."""
        return parse(self.url or source_scope or source_url).origin
