"""How a remote is reached: given once, shared by all its downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import random
from typing import Any

from attrs import Attribute, evolve, field, frozen

from ..interfaces import IAuth, IProxies
from ..urls import URL, parse, shown
from .auth import Basic
from .headers import Pairs, contradiction, find, header_pairs
from .numbers import is_number, is_whole
from .pem import flag
from .proxy import Proxy
from .rate import Rate, check_rate
from .source import read_url
from .ssh import SSH
from .tls import TLS

__all__ = ["Limits", "Proxy", "Remote", "Retries", "Segments", "Timeouts"]

MIB, GIB = 1 << 20, 1 << 30


def _positive(instance: object, attribute: Attribute[Any], value: object) -> None:
    # NaN compares with nothing, and nothing is waited for longer than thirty years.
    if not is_number(value) or not 0 < value < 1e9:
        raise ValueError(f"{type(instance).__name__}.{attribute.name}: {value!r} is no positive number; give one")


def _limit(instance: object, attribute: Attribute[Any], value: object) -> None:
    try:
        if value is not None:
            _positive(instance, attribute, value)
    except ValueError as error:
        raise ValueError(f"{error}, or None for no limit") from None


def _rate(instance: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, Rate):
        check_rate(f"{type(instance).__name__}.{attribute.name}", value)


def _whole(
    low: int, high: float = float("inf"), *, unlimited: bool = False
) -> Callable[[Any, Attribute[Any], Any], None]:
    def check(instance: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and unlimited:
            return
        if not is_whole(value) or not low <= value <= high:
            much = f"{low} or more" if high == float("inf") else f"from {low} to {high}"
            much += ", or None for no limit" if unlimited else ""
            raise ValueError(f"{type(instance).__name__}.{attribute.name}: {value!r} has to be a whole number, {much}")

    return check


@frozen(kw_only=True)
class Timeouts:
    """
    Limits of time, in seconds; None switches one off.

    @ivar connect: until the connection may carry a request: DNS, TCP and TLS together, and the way through a proxy.
    @ivar head: from the request to the end of the answer's head, for each hop of a redirect.
    @ivar idle: without one byte of the body.
    @ivar low_speed: bytes a second that the body has to reach on average over C{low_speed_window}.
    @ivar total: the whole download with all its attempts.

    A consumer that is slow stops the clocks of C{idle} and C{low_speed}: it is never blamed on the server.
    """

    connect: float | None = field(default=30, validator=_limit)
    head: float | None = field(default=60, validator=_limit)
    idle: float | None = field(default=30, validator=_limit)
    low_speed: float | None = field(default=1000, validator=_limit)
    low_speed_window: float = field(default=30, validator=_positive)
    total: float | None = field(default=None, validator=_limit)


@frozen(kw_only=True)
class Limits:
    """
    How much at once, and how fast.

    @ivar connections: open sockets in all, idle ones included.  An FTP session has two.
    @ivar per_host: of these, to one host and port.
    @ivar adaptive: a host that says that there are too many connections (429, 503, FTP's 421) or resets them gets half
        as many, and one more after each second in which it does well, up to C{per_host}.  Others are not concerned, nor
        is what is behind a proxy.
    @ivar max_size: bytes that a body may have at most, expected or not; None for no limit.
    @ivar redirects: how many may follow each other.
    @ivar bytes_per_second: of the bodies that come, in all; downloads that run at once get equal parts of it.
    @ivar requests_per_second: requests: each redirect, each retry and each question for a head is one.

    The last two are numbers, or a L{Rate} that can be changed later; None for no limit.  Waiting for either holds no
    clock against a server, but counts for C{Timeouts.total}.
    """

    connections: int = field(default=10, validator=_whole(1))
    per_host: int = field(default=10, validator=_whole(1))
    adaptive: bool = field(default=True, validator=flag)
    max_size: int | None = field(default=64 * GIB, validator=_whole(0, unlimited=True))
    redirects: int = field(default=10, validator=_whole(0, 100))
    bytes_per_second: float | Rate | None = field(default=None, validator=_rate)
    requests_per_second: float | Rate | None = field(default=None, validator=_rate)


@frozen(kw_only=True)
class Retries:
    """
    How often it is tried again, and how long is waited: C{base}, doubled each time, C{cap} at most, less up to half by
    chance.

    @ivar count: rounds after the first; in each, every place that may still have the file is asked once.
    @ivar retry_after_cap: the longest wait that a server may ask for.
    """

    count: int = field(default=4, validator=_whole(0, 1000))
    base: float = field(default=0.5, validator=_positive)
    cap: float = field(default=30, validator=_positive)
    retry_after_cap: float = field(default=60, validator=_positive)

    def waits(self, chance: Callable[[], float] = random) -> Iterator[float]:
        """Seconds to wait before each round; the first is 0."""
        yield 0.0
        for round_ in range(self.count):
            yield min(self.cap, self.base * 2.0**round_) * (1 - chance() / 2)


@frozen(kw_only=True)
class Segments:
    """
    When a file comes from several places at once: if it goes to a disk (C{ToFile}), a digest will judge the whole, and
    there are places of other hosts.  Places help only while sockets are free, and where the file would take longer than
    a moment.

    @ivar least: bytes that the file has at least.
    @ivar places: how many at once.
    @ivar piece: bytes that are worth a request, at least.
    """

    least: int = field(default=64 * MIB, validator=_whole(1))
    places: int = field(default=3, validator=_whole(2, 100))
    piece: int = field(default=MIB, validator=_whole(1))


def _auth(_instance: object, _attribute: Attribute[Any], value: object) -> None:
    if value is not None and not IAuth.providedBy(value):
        raise TypeError(f"Remote.auth: {type(value).__name__} is no IAuth; use Basic(user, password) or your own")


_SUCH = {
    "tls": "ca=...",
    "timeouts": "connect=..., idle=...",
    "limits": "connections=...",
    "retries": "count=...",
    "ssh": "key=...",
}


@frozen(kw_only=True)
class Remote:
    """
    Everything that downloads from one remote have in common.

    @ivar url: where the remote is.  Its origin is the scope of all secrets: C{auth}, C{headers} and the client
        certificate go there and nowhere else.  None: the origin of each URL that the caller gives.
    @ivar proxy: one for everything, or L{Proxies} that choose.
    @ivar segments: when a large file comes from several places at once; None: never.
    @ivar allow_downgrade: follow redirects from C{https:} to C{http:}; and lists of mirrors from C{https:}, C{ftps:}
        and C{sftp:} to C{http:} and C{ftp:}, also if no digest tells what comes.
    @ivar allow_private: go wherever servers lead, also from a public network into a private one or to this machine.
        Hosts that the caller names (in C{url} and in sources) may be anywhere without it.
    @ivar cookies: keep what servers of the scope set, and send it back to the origin that set it, for as long as the
        Downloader lives.
    @ivar headers: request fields; only User-Agent, Accept, Accept-Language and Via of them leave the scope.
    @ivar ssh: how C{sftp:} servers are known, and the key for them, which does not leave the scope.
    """

    url: str | None = field(default=None, repr=lambda url: "None" if url is None else shown(url))
    tls: TLS = field(factory=TLS)
    auth: IAuth | None = field(default=None, validator=_auth)
    proxy: IProxies | None = None
    headers: Pairs = field(default=(), converter=header_pairs, repr=False)
    timeouts: Timeouts = field(factory=Timeouts)
    limits: Limits = field(factory=Limits)
    retries: Retries = field(factory=Retries)
    segments: Segments | None = field(factory=Segments)
    allow_downgrade: bool = field(default=False, validator=flag)
    allow_private: bool = field(default=False, validator=flag)
    cookies: bool = field(default=False, validator=flag)
    ssh: SSH = field(factory=SSH)
    _origin: tuple[str, str, int | None] | None = field(default=None, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        kinds = {"tls": TLS, "timeouts": Timeouts, "limits": Limits, "retries": Retries, "ssh": SSH}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                what = type(getattr(self, name)).__name__
                raise TypeError(f"Remote.{name}: {what} is no {kind.__name__}; use {kind.__name__}({_SUCH[name]})")
        if self.segments is not None and not isinstance(self.segments, Segments):
            raise TypeError(f"Remote.segments: {type(self.segments).__name__} is no Segments; use that, or None")
        if self.proxy is not None and not IProxies.providedBy(self.proxy):
            raise TypeError("Remote.proxy: use Proxy(url, auth=Basic(user, password))")
        wrong = contradiction(self.headers)
        if wrong is not None:
            raise ValueError(f"Remote.headers: {wrong}")
        if self.cookies and find(self.headers, b"cookie") is not None:
            raise ValueError("Remote.cookies: there is a Cookie in Remote.headers, too; take one of them out")
        if self.url is not None:
            place = read_url("Remote.url", self.url)
            if place.user is not None:
                object.__setattr__(self, "auth", self.auth or Basic(place.user, place.password or ""))
                place = evolve(place, user=None, password=None)
            object.__setattr__(self, "url", str(place))
            object.__setattr__(self, "_origin", place.origin)

    @classmethod
    def from_pulp(cls, options: Mapping[str, Any]) -> Remote:
        """
        A remote by the names that Pulp has for its options: C{url}, C{ca_cert}, C{client_cert}, C{client_key} (PEM),
        C{tls_validation}, C{username}, C{password}, C{proxy_url}, C{proxy_username}, C{proxy_password},
        C{total_timeout}, C{connect_timeout}, C{sock_connect_timeout}, C{sock_read_timeout}, C{headers} (a list of
        objects), C{download_concurrency}, C{max_retries}, C{rate_limit} (requests a second).

        What is not there or None is as Pulp has it by default: 3 retries, 10 at once, no limit of requests; and where
        Pulp leaves a limit of time to the library that downloads, as L{Timeouts} has it.

        @raise ValueError: Pulp has no option of this name, or a value cannot be used; the message says Pulp's name.
        """
        from .pulp import remote_from_pulp

        return remote_from_pulp(options)

    def scope(self, source_url: str, source_scope: str | None) -> tuple[str, str, int | None]:
        """The origin that the secrets of this Remote may be shown to, for one source."""
        return self._origin or parse(source_scope or source_url).origin

    def proxy_for(self, place: URL) -> Proxy | None:
        """The proxy that leads to a place, or None."""
        return None if self.proxy is None else self.proxy.to(place)
