"""A data connection: where its port is, how it is opened, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectingCancelledError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ...errors import ConnectFailed, DownloadError, ProtocolError, TimedOut
from ...flow.deadline import deadline
from ...model.remote import Timeouts
from ..endpoint import translate
from .replies import refusal
from .tls import Wrapped

if TYPE_CHECKING:
    from .session import Session

__all__ = ["DataConnection", "open_data"]

_EPSV: Final = re.compile(r"\(([!-~])\1\1([0-9]{1,5})\1\)")  # RFC 2428 section 3
_PASV: Final = re.compile(r"(?<![0-9])" + ",".join([r"([0-9]{1,3})"] * 6) + r"(?![0-9])")
_UNKNOWN: Final = frozenset({500, 501, 502, 504, 522})
_LOWEST: Final = 1024
"""No server takes a port below for data; who names one wants us to talk to another service (RFC 2577 section 3)."""


USUAL: Final = 65536
LARGE: Final = 256 * 1024
"""Bytes that are read at once, usually and of a large body."""
STEADY: Final = 8 * 1024 * 1024
"""Bytes after which a reader that pauses, but never for long, is taken for a quick one."""
LONG: Final = 0.1
"""Seconds; a pause that is longer is that of a slow reader."""


class DataConnection(Protocol):
    """
    Brings bytes to whoever listens; until somebody does, those of one read are kept.

    @ivar ended: it is closed.
    @ivar clean: it was closed in good order: FIN, and over TLS a close_notify.
    @ivar broken: why, if it broke; over TLS an end without close_notify is neither clean nor this.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, gone: Callable[[DataConnection], None]) -> None:
        self._clock = clock
        self._kept: list[bytes] = []
        self._arrived: Callable[[bytes], None] | None = None
        self._lost: Callable[[], object] = bool
        self.ended = self.clean = False
        self.broken: Exception | None = None
        self._gone = gone
        self._aborted = False
        self._connecting: Deferred[Any] | None = None
        self._joining: IDelayedCall | None = None
        self._paused_at: float | None = None
        self._unpaused = 0  # bytes that came since the last pause
        self._steady = 0  # bytes that came since the last long one

    def listen(self, arrived: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """
        From here on bytes come, and what has come already comes at once.

        @param lost: called when it is closed.
        """
        self._arrived, self._lost = arrived, lost
        if self._kept:
            self.resume()  # in the next turn, unless this is enough for now
            self._hand_on()
        if self.ended:
            lost()

    async def connect(self, endpoint: Any, factory: Any) -> None:
        """Cancelling, and C{abort}, leave nothing."""
        self._connecting = endpoint.connect(factory)
        try:
            await self._connecting
        except BaseException:
            self._over()
            raise
        finally:
            self._connecting = None

    def connectionMade(self) -> None:
        if self._aborted:
            self.transport.abortConnection()

    # what comes

    def dataReceived(self, data: bytes) -> None:
        if self._aborted:
            return
        self._kept.append(data)
        if self._arrived is None:
            self.pause()
        elif not isinstance(self.transport, Wrapped):
            self._hand_on()
        elif self._joining is None:
            # TLS hands out records of 16 KiB, many from one read of a large body; each alone would go the whole way.
            self._joining = self._clock.callLater(0, self._join)

    def _join(self) -> None:
        self._joining = None
        self._hand_on()

    def _hand_on(self) -> None:
        kept, self._kept = self._kept, []
        data = kept[0] if len(kept) == 1 else b"".join(kept)
        self._unpaused += len(data)
        self._steady += len(data)
        if self._unpaused > LARGE or self._steady > STEADY:
            self._read_at_once(LARGE)
        if self._arrived is not None and data and not self._aborted:
            self._arrived(data)

    def _read_at_once(self, size: int) -> None:
        # Over TLS the bytes are read by the transport below; all of Twisted's have this attribute.
        getattr(self.transport, "transport", self.transport).bufferSize = size

    def pause(self) -> None:
        if self.ended or self._aborted or self._paused_at is not None:
            return
        self._paused_at = self._clock.seconds()
        self._unpaused = 0
        if self._steady <= STEADY:
            self._read_at_once(USUAL)
        self.transport.pauseProducing()

    def resume(self) -> None:
        if self.ended or self._aborted:
            return
        if self._paused_at is not None and self._clock.seconds() > self._paused_at + LONG:
            self._steady = 0
            self._read_at_once(USUAL)
        self._paused_at = None
        self.transport.resumeProducing()

    # the end

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._joining is not None:
            self._joining.cancel()
            self._join()
        self.clean = bool(reason.check(ConnectionDone))
        unclean = isinstance(self.transport, Wrapped) and self.transport.unclean and reason.check(ConnectionLost)
        if not self.clean and not unclean:
            self.broken = reason.value if isinstance(reason.value, Exception) else ConnectionLost()
        self._over()
        self._lost()

    def _over(self) -> None:
        if not self.ended:
            self.ended = True
            self._gone(self)

    def abort(self) -> None:
        """Close it at once, also while it connects.  May be called again."""
        self._aborted = True
        if self._connecting is not None:
            self._connecting.cancel()
        elif not self.ended and self.transport is not None:
            self.transport.abortConnection()


async def open_data(reactor: Any, session: Session, timeouts: Timeouts) -> DataConnection:
    """
    Ask for a port and connect to it, always at the address of the control connection: that in the reply of PASV may
    lead to somebody else (CVE-2020-8284), or be one that only the server's own network knows.

    @param timeouts: the connecting has a limit of its own; where another port may be asked for afterwards, it ends so
        early that both have their turn within the limit of the head.
    @raise DownloadError: there is no data connection.
    """
    host, url = session.client.transport.getPeer().host, session.client.url
    v6 = isIPv6Address(host)
    last = v6 or session.reused
    seconds = timeouts.connect if last else _first(timeouts)
    port = await _extended(session)
    if port is not None:
        try:
            return await _connect(reactor, session, host, _checked(port, url), seconds)
        except (ConnectFailed, TimedOut):
            if last:
                raise
            # Something between us may know PASV only, and open no port for this; as curl, we ask for one that it knows.
            session.lacks.add(b"EPSV")
    if v6:
        raise ProtocolError("the server has no EPSV, and without that no data connection over IPv6", url)
    return await _connect(reactor, session, host, _checked(await _passive(session), url), timeouts.connect)


def _first(timeouts: Timeouts) -> float | None:
    """The limit for the first of two."""
    limits = timeouts.connect, None if timeouts.head is None else timeouts.head / 3
    return min((each for each in limits if each is not None), default=None)


def _checked(port: int, url: str) -> int:
    if port < _LOWEST:
        raise ProtocolError(f"the server names port {port} for data, which is another service's", url)
    return port


async def _connect(reactor: Any, session: Session, host: str, port: int, seconds: float | None) -> DataConnection:
    url = session.client.url
    data = DataConnection(reactor, session.closed)
    factory: Any = Factory.forProtocol(lambda: data)
    factory.noisy = False
    if session.protection is not None:
        factory = session.protection.data(reactor, factory)
    kind: Any = TCP6ClientEndpoint if isIPv6Address(host) else TCP4ClientEndpoint
    session.opening(data)
    connecting = Deferred.fromCoroutine(data.connect(kind(reactor, host, port, None), factory))
    try:
        await deadline(connecting, seconds, reactor, "connect", url)
    except DownloadError:
        raise
    except (CancelledError, ConnectingCancelledError) as cause:
        raise CancelledError from cause
    except Exception as cause:
        error = translate(cause, url, proxied=False)
        raise ConnectFailed(f"no data connection: {error.message}", url) from cause
    return data


async def _extended(session: Session) -> int | None:
    """The port by EPSV, or None if the server does not know that."""
    if b"EPSV" in session.lacks:
        return None
    reply = await session.tell(b"EPSV")
    if reply.code in _UNKNOWN:
        session.lacks.add(b"EPSV")
        return None
    if reply.code != 229:
        raise refusal(reply, session.client.url)
    match = _EPSV.search(reply.lines[-1])
    if match is None or not 0 < int(match[2]) < 65536:
        raise ProtocolError(f"the server names no port for data: {reply.said()}", session.client.url)
    return int(match[2])


async def _passive(session: Session) -> int:
    reply = await session.tell(b"PASV")
    if reply.code != 227:
        raise refusal(reply, session.client.url)
    match = _PASV.search(reply.lines[-1][4:])
    numbers = [int(each) for each in match.groups()] if match else []
    if not numbers or max(numbers) > 255:
        raise ProtocolError(f"the server names no port for data: {reply.said()}", session.client.url)
    return numbers[4] * 256 + numbers[5]
