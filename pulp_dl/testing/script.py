r"""
The fault script language: what a server does with a request, step by step, right or wrong.

A script is a step, a sequence of scripts, or a callable that makes one of a L{Request}.  Steps are small frozen values,
so that they can be compared, printed and shrunk by hypothesis::

    Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), Send(b"half "), Reset()
    Nth([Cut(answer(entity), after=1000), answer(entity)])        # breaks once, then is honest
    answer(b"whole"), Repeat(Send(b"more"))                       # bytes after the end
    OnConnect([Wait(1), ESTABLISHED, Tunnel()], Forward())        # a proxy that takes its time over tunnels

A player plays them: L{pulp_dl.testing.FaultServer} over sockets, L{pulp_dl.testing.MemoryNetwork} in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from attrs import field, frozen
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator

from ..model.headers import Pairs, find

__all__ = [
    "ESTABLISHED",
    "FOREVER",
    "Act",
    "Alert",
    "Chunk",
    "Close",
    "Cut",
    "CutTLS",
    "Drip",
    "Forward",
    "Hold",
    "Join",
    "Nth",
    "OnConnect",
    "OnPath",
    "OnRange",
    "Repeat",
    "Request",
    "Reset",
    "Script",
    "Send",
    "StartTLS",
    "Step",
    "Tunnel",
    "Wait",
    "acts",
]

FOREVER: Final = -1


@frozen
class Request:
    """
    A request as it came in.

    @ivar target: as it stood in the request line.
    @ivar connection: the number of the connection that it came on, from 0.
    @ivar nth: how many requests for the same host and path there were before this one.
    @ivar raw: the whole head, byte for byte.
    @ivar certificate: the client's certificate (of C{cryptography.x509}), or None.
    """

    method: str
    target: str
    headers: Pairs = ()
    version: bytes = b"HTTP/1.1"
    connection: int = 0
    nth: int = 0
    raw: bytes = field(default=b"", repr=False)
    certificate: object = None

    def get(self, name: bytes) -> bytes | None:
        """The first field of this name (lower case), or None."""
        return find(self.headers, name)

    @property
    def host(self) -> str:
        """The Host field."""
        return (self.get(b"host") or b"").decode("latin-1")

    @property
    def path(self) -> str:
        """The target without its query; of an absolute target (to a proxy) the path alone."""
        _, absolute, rest = self.target.partition("://")
        origin_form = "/" + rest.partition("/")[2] if absolute and not self.target.startswith("/") else self.target
        return origin_form.partition("?")[0]


class Step:
    """One step of a script."""

    __slots__ = ()

    def acts(self, request: Request) -> Iterator[Act]:
        """What a player has to do for it, lazily: it may be without end."""
        raise NotImplementedError


class _Act(Step):
    """A step that a player does itself; all others are made of these."""

    __slots__ = ()

    def acts(self, request: Request) -> Iterator[Act]:
        yield self  # type: ignore[misc]  # Act is the union of all subclasses


@frozen
class Send(_Act):
    """These bytes, as they are; the next step comes when the transport has taken them."""

    data: bytes


@frozen
class Wait(_Act):
    """Nothing, for so many seconds; C{Wait(0)} lets the reactor have a turn."""

    seconds: float


@frozen
class Hold(_Act):
    """Nothing, until the test calls C{release(event)} of the player; if it never does, for ever."""

    event: str = ""


@frozen
class Close(_Act):
    """End the connection in good order: close_notify if it is TLS, and FIN."""


@frozen
class Reset(_Act):
    """End it with RST.  What was sent before still arrives."""


@frozen
class CutTLS(_Act):
    """End TLS as an attacker would: FIN without close_notify."""


@frozen
class StartTLS(_Act):
    """
    From here on the connection speaks TLS, and all that follows is said in it.

    As a greeting, after a C{Wait} or a C{Hold}, it is a handshake that comes late; after L{ESTABLISHED} it is the
    server behind a proxy that CONNECT asked for.

    @ivar tls: such as L{pulp_dl.testing.ServerTLS}.
    """

    tls: IOpenSSLServerConnectionCreator


@frozen
class Join(_Act):
    """
    From here on the connection is one to this host and port: bytes go through in both directions.

    @ivar first: what is sent there before anything else.
    """

    host: str
    port: int
    first: bytes = b""


Act: TypeAlias = Send | Wait | Hold | Close | Reset | CutTLS | StartTLS | Join
Script: TypeAlias = "Step | Sequence[Script] | Callable[[Request], Script]"


def acts(script: Script, request: Request) -> Iterator[Act]:
    """What a player has to do for a script."""
    if isinstance(script, Step):
        yield from script.acts(request)
    elif callable(script):
        yield from acts(script(request), request)
    else:
        for each in script:
            yield from acts(each, request)


@frozen
class Chunk(Step):
    """One chunk of a chunked body; C{Chunk(b"")} is the last one, with no trailers."""

    data: bytes
    ext: bytes = b""
    crlf: bytes = b"\r\n"

    @property
    def wire(self) -> bytes:
        return b"%x" % len(self.data) + self.ext + self.crlf + self.data + self.crlf

    def acts(self, request: Request) -> Iterator[Act]:
        yield Send(self.wire)


@frozen
class Drip(Step):
    """The same bytes, C{size} at a time, with C{every} seconds between."""

    script: Script | bytes
    size: int = 1
    every: float = 1

    def acts(self, request: Request) -> Iterator[Act]:
        script = Send(self.script) if isinstance(self.script, bytes) else self.script
        first = True
        for act in acts(script, request):
            if not isinstance(act, Send):
                yield act
                continue
            for at in range(0, len(act.data), self.size):
                if not first:
                    yield Wait(self.every)
                first = False
                yield Send(act.data[at : at + self.size])


@frozen
class Repeat(Step):
    """The same again and again."""

    script: Script
    times: int = FOREVER

    def acts(self, request: Request) -> Iterator[Act]:
        left = self.times
        while left:
            left -= 1
            empty = True
            for act in acts(self.script, request):
                empty = False
                yield act
            if empty:
                return


@frozen
class Cut(Step):
    """The first C{after} bytes behind the head of what the script sends, and then C{end}."""

    script: Script
    after: int
    end: Script = field(factory=Reset)

    def acts(self, request: Request) -> Iterator[Act]:
        head, left = b"", self.after
        for act in acts(self.script, request):
            if not isinstance(act, Send):
                yield act
                continue
            data = act.data
            if b"\r\n\r\n" not in head:
                head += data
                before, found, body = head.partition(b"\r\n\r\n")
                if not found:
                    yield act
                    continue
                yield Send(data[: len(data) - len(body)])
                head, data = before + found, body
            if data[:left]:
                yield Send(data[:left])
            left -= len(data)
            if left <= 0:
                break
        yield from acts(self.end, request)


@frozen
class Nth(Step):
    """The n-th request for a path gets the n-th script, later ones the last."""

    scripts: Sequence[Script]

    def acts(self, request: Request) -> Iterator[Act]:
        yield from acts(self.scripts[min(request.nth, len(self.scripts) - 1)], request)


@frozen
class OnRange(Step):
    """One script for requests with a Range field, another for those without."""

    with_range: Script
    without: Script

    def acts(self, request: Request) -> Iterator[Act]:
        yield from acts(self.without if request.get(b"range") is None else self.with_range, request)


ESTABLISHED: Final = Send(b"HTTP/1.1 200 Connection established\r\n\r\n")
"""The answer of a proxy that has made a tunnel."""


@frozen
class OnConnect(Step):
    """One script for requests for a tunnel (CONNECT), another for all others."""

    connect: Script
    otherwise: Script = Send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def acts(self, request: Request) -> Iterator[Act]:
        yield from acts(self.connect if request.method == "CONNECT" else self.otherwise, request)


@frozen
class Tunnel(Step):
    """
    The tunnel that CONNECT has asked for, after L{ESTABLISHED}: an honest proxy is
    C{OnConnect([ESTABLISHED, Tunnel()], Forward())}.

    @ivar to: lead it to this host and port instead of the one that was asked for.
    """

    to: tuple[str, int] | None = None

    def acts(self, request: Request) -> Iterator[Act]:
        yield Join(*(self.to or _authority(request.target, 443)))


@frozen
class Forward(Step):
    """
    What an honest proxy does with a request in absolute-form (RFC 9112 section 3.2.2): asks the server, and passes on
    what that says, until it ends.
    """

    def acts(self, request: Request) -> Iterator[Act]:
        host, port = _authority(request.target.partition("://")[2].partition("/")[0], 80)
        kept = (pair for pair in request.headers if pair[0].lower() not in _TO_THE_PROXY)
        target = request.target.partition("://")[2].partition("/")[2].encode("latin-1")
        lines = (name + b": " + value for name, value in (*kept, (b"Connection", b"close")))
        first = b"%b /%b HTTP/1.1\r\n%b\r\n\r\n" % (request.method.encode("latin-1"), target, b"\r\n".join(lines))
        yield Join(host, port, first)


_TO_THE_PROXY: Final = {b"connection", b"proxy-authorization", b"proxy-connection"}


def _authority(text: str, default: int) -> tuple[str, int]:
    bracketed, _, behind = text.partition("]")
    if text.startswith("["):
        return bracketed[1:], int(behind.removeprefix(":") or default)
    host, _, port = text.partition(":")
    return host, int(port or default)


@frozen
class Alert(Step):
    """
    TLS gives up with this alert, before any key is agreed on.

    @ivar description: its number (RFC 8446 section 6), such as 40 for handshake_failure.
    """

    description: int

    def acts(self, request: Request) -> Iterator[Act]:
        yield Send(bytes([21, 3, 3, 0, 2, 2, self.description]))


@frozen
class OnPath(Step):
    """
    A script for each path.

    @ivar paths: a key is a path (C{"/a"}) or, first looked for, a Host field and a path (C{"example.org/a"}).
    """

    paths: Mapping[str, Script]
    otherwise: Script = Send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def acts(self, request: Request) -> Iterator[Act]:
        for key in (request.host + request.path, request.path):
            if key in self.paths:
                return acts(self.paths[key], request)
        return acts(self.otherwise, request)
