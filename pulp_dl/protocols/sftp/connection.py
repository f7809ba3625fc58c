"""One SSH connection, from the dial to the end: host key, login, one channel with SFTP in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from twisted.conch.error import ConchError
from twisted.conch.ssh import common, connection
from twisted.conch.ssh import transport as rfc4253
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.keys import Key
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ...errors import ConnectFailed, HostKeyFailed, ProtocolError, RedirectRefused, TimedOut
from ...flow.deadline import deadline
from ...flow.timers import Clock
from ...interfaces import IWorkers
from ...urls import URL
from ..endpoint import reach, translate
from ..said import printable
from ..spaces import Bounded, Space
from .broken import Broken, no_login
from .client import FileClient
from .hosts import Known, known
from .login import Identity, Login

__all__ = ["Connection"]

WINDOW: Final = 2 << 20
PACKET: Final = 64 * 1024
"""What a server may send unasked for more, and at once: as OpenSSH has it."""

# In this order, if nothing is known of the server; those that need SHA-1 or DSA are not offered.
_HOST_KEYS: Final = (
    b"ssh-ed25519",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"rsa-sha2-512",
    b"rsa-sha2-256",
)
_AUTHENTICATION: Final = (
    rfc4253.DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE,
    rfc4253.DISCONNECT_AUTH_CANCELLED_BY_USER,
)


class Connection(Factory):
    """
    Owned by the pool, which is told when nothing of it is left.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        timers: Clock,
        workers: IWorkers,
        place: URL,
        identity: Identity,
        learn: Callable[[str], object],
        seconds: float | None,
        floor: Space | None = None,
    ) -> None:
        """
        @param learn: called with the address that it has reached.
        @param floor: the closest space that it may lead to, if a server named the place.
        @param seconds: how long it may take to be ready: DNS, TCP, key exchange, login.
        """
        self._reactor = reactor
        self._dialler = reactor if floor is None else Bounded(reactor, floor)
        self._timers = timers
        self._workers = workers
        self._place = place
        self._identity = identity
        self._learn = learn
        self._seconds = seconds
        self._made: list[Transport] = []  # more than one, if a name has several addresses
        self._transport: Transport | None = None
        self._known = Known(place, "")
        self._dialling = True
        self._dial: Deferred[FileClient] | None = None
        self._gone: Callable[[], object] = bool

    def connect(self, gone: Callable[[], None]) -> Deferred[FileClient]:
        """
        Fires with the client when files can be asked for; fails with L{Broken}.  Cancelling ends it.

        @param gone: called once, when no socket is open any more.
        """
        self._gone = gone
        self._dial = deadline(Deferred.fromCoroutine(self._ready()), self._seconds, self._timers, "connect")
        return self._dial.addBoth(self._dialled)

    def abort(self) -> None:
        """Drop it at once.  May be called again."""
        if self._dialling and self._dial is not None:
            self._dial.cancel()
        elif self._transport is not None:
            self._transport.fail(Broken(ConnectFailed, "the connection was closed"))

    def buildProtocol(self, addr: IAddress | None) -> Transport | None:
        if not self._dialling:
            return None
        made = Transport(self._known, partial(Login, self._reactor, self._identity), self._settle)
        self._made.append(made)
        return made

    async def _ready(self) -> FileClient:
        try:
            self._known = await self._workers.run(partial(known, self._identity.ssh, self._place))
            reached: Any = await reach(self._dialler, self._place, None).connect(self)
        except CancelledError:
            raise
        except RedirectRefused as cause:
            raise Broken(RedirectRefused, cause.message) from cause
        except Exception as cause:
            raise Broken(ConnectFailed, translate(cause, "", proxied=False).message) from cause
        self._transport = reached
        self._learn(reached.transport.getPeer().host)
        client: FileClient = await reached.ready
        return client

    def _dialled(self, result: Any) -> Any:
        self._dialling = False
        failed = isinstance(result, Failure)
        if failed:
            for each in self._made:
                each.fail(Broken(ConnectFailed, "the connection was given up"))
        self._settle()
        if failed and isinstance(result.value, TimedOut):
            raise Broken(TimedOut, "connect", self._seconds) from result.value
        return result

    def _settle(self) -> None:
        """Tell, once, when nothing is open and nothing will be."""
        if not self._dialling and all(each.closed for each in self._made):
            gone, self._gone = self._gone, bool
            gone()


def _only(names: Iterable[bytes], pattern: str) -> list[bytes]:
    return [name for name in names if re.fullmatch(pattern.encode(), name)]


class Transport(rfc4253.SSHClientTransport):
    """
    RFC 4253.  Whatever goes wrong in it ends the connection, with one reason that everybody is told.

    @ivar ready: fires with the client of SFTP, or fails with L{Broken}.
    @ivar broken: why it cannot be used any more.
    @ivar closed: its socket is.
    """

    transport: Any
    # Nothing that is known to be weak, and no compression: a small packet may not become a large one.
    supportedCiphers = _only(rfc4253.SSHClientTransport.supportedCiphers, "aes.*-ctr")
    supportedMACs = _only(rfc4253.SSHClientTransport.supportedMACs, "hmac-sha2-.*")
    supportedKeyExchanges = _only(rfc4253.SSHClientTransport.supportedKeyExchanges, ".*(?<!-sha1)")
    supportedCompressions = _only(rfc4253.SSHClientTransport.supportedCompressions, "none")

    def __init__(self, known: Known, login: Callable[[Channels], Login], lost: Callable[[], None]) -> None:
        self._known = known
        self._login = login
        self._on_lost = lost
        self._secure = False
        self._known_key: bytes | None = None
        self.ready: Deferred[FileClient] = Deferred(lambda _: self.fail(Broken(ConnectFailed, "it was given up")))
        self.broken: Broken | None = None
        self.closed = False
        kinds = [name for kind in known.types for name in _names(kind)]
        self.supportedPublicKeys = [*dict.fromkeys([*kinds, *_HOST_KEYS])]

    def fail(self, why: Broken) -> None:
        """It is of no use any more.  The first reason is the one that counts."""
        if self.broken is None:
            self.broken = why
        if self.transport is not None:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        try:
            super().dataReceived(data)  # type: ignore[no-untyped-call]  # as most of it
        except Exception as cause:
            # Twisted takes for granted that packets are as they should be.
            why = Broken(ProtocolError, f"the server broke the rules of SSH or SFTP ({type(cause).__name__})")
            why.__cause__ = cause
            self.fail(why)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.broken is None:
            when = "before anything could be asked for" if not self.ready.called else "in the middle"
            self.broken = Broken(ConnectFailed, f"the server closed the connection {when}")
            self.broken.__cause__ = None if reason is None else reason.value
        super().connectionLost(reason)
        self.closed = True
        if not self.ready.called:
            self.ready.errback(self.broken)
        self._on_lost()

    # what Twisted asks

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[bool]:
        # Keys are exchanged again, now and then; it stays the same server.
        if self._known_key not in {None, hostKey}:
            refusal: str | None = "the server has another key than a moment ago"
        else:
            refusal = self._known.refusal(Key.fromString(hostKey))
        if refusal is not None:
            self.fail(Broken(HostKeyFailed, refusal))
            return fail(ConchError("the host key is not trusted"))
        self._known_key = hostKey
        return succeed(True)

    def connectionSecure(self) -> None:
        if not self._secure:
            self._secure = True
            self.requestService(self._login(Channels()))  # type: ignore[no-untyped-call]

    def sendDisconnect(self, reason: int, desc: bytes) -> None:
        super().sendDisconnect(reason, desc)  # type: ignore[no-untyped-call]
        self.fail(Broken(ProtocolError, f"no agreement with the server: {printable(desc)}"))

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        text = printable(description)
        if not self.ready.called and (reasonCode in _AUTHENTICATION or "authentication" in text.lower()):
            self.fail(no_login(f"the server ended the login: {text}"))
        else:
            self.fail(Broken(ConnectFailed, f"the server ended the connection: {text}"))

    def receiveUnimplemented(self, seqnum: int) -> None:
        self.fail(Broken(ProtocolError, "the server does not know something that SSH needs"))


def _names(kind: bytes) -> tuple[bytes, ...]:
    """By which names such a key can be asked for."""
    return (b"rsa-sha2-512", b"rsa-sha2-256") if kind == b"ssh-rsa" else (kind,)


class Channels(connection.SSHConnection):
    """RFC 4254, of which one channel is needed."""

    transport: Any

    def serviceStarted(self) -> None:
        self.openChannel(Session(WINDOW, PACKET))  # type: ignore[no-untyped-call]

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        """A server has nothing to ask of us."""
        _, rest = common.getNS(packet)
        refused = rest[:4] + b"\0\0\0\1" + common.NS(b"not here") + common.NS(b"")
        self.transport.sendPacket(connection.MSG_CHANNEL_OPEN_FAILURE, refused)


class Session(SSHChannel):
    """The channel with SFTP in it."""

    name = b"session"
    conn: Any
    _client: FileClient | None = None

    def channelOpen(self, specificData: bytes) -> None:
        asked: Deferred[Any] = self.conn.sendRequest(self, b"subsystem", common.NS(b"sftp"), wantReply=True)
        asked.addCallbacks(self._begun, self._refused)

    def _begun(self, _: object) -> None:
        self._client = FileClient(self.conn.transport)
        self._client.started.addCallback(self.conn.transport.ready.callback)
        self._client.makeConnection(self)  # type: ignore[no-untyped-call]

    def _refused(self, _: Failure) -> None:
        self.conn.transport.fail(Broken(ConnectFailed, "the server has no SFTP"))

    def openFailed(self, reason: Any) -> None:
        if self.conn is not None:
            self.conn.transport.fail(Broken(ConnectFailed, "the server opens no channel"))

    def dataReceived(self, data: bytes) -> None:
        if self._client is not None:
            self._client.dataReceived(data)

    def closed(self) -> None:
        transport = self.conn.transport
        transport.fail(Broken(ConnectFailed, "the server closed the SFTP session"))
        if self._client is not None:
            self._client.connectionLost(Failure(transport.broken))

    def extReceived(self, dataType: int, data: bytes) -> None:
        """What the server says on its stderr is for nobody."""
