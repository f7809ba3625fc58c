"""A session with an FTP server: the control connection, and the data connection that it has while a file comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from ...errors import ConnectFailed, Unavailable
from ...interfaces import ISlot
from .client import Client
from .data import DataConnection
from .replies import Reply

if TYPE_CHECKING:
    from .pool import Key, SessionPool
    from .tls import Protection

__all__ = ["LINGER", "Session", "Stale"]

LINGER: Final = 2.0
"""Seconds in which a server has to say that it noticed the end of a transfer that we cut."""

REMEMBERED: Final = 64
"""Servers of which it is remembered that they resume no TLS session."""


class Stale(Exception):
    """The server closed a connection that idled.  It has not seen the question, so this was no attempt."""


class Session(Factory):
    """
    One slot for two sockets, from before the first is opened until both are closed; and the factory of its control
    connection.

    @ivar client: the control connection.
    @ivar protection: its TLS, or None.
    @ivar lacks: commands that this server does not know.
    @ivar reused: it has brought something before.
    @ivar aborted: it is over, though sockets may be open for a moment yet.
    """

    noisy = False
    client: Client

    def __init__(self, pool: SessionPool, key: Key, slot: ISlot, url: str) -> None:
        self._pool = pool
        self.key = key
        self.slot = slot
        self.protection: Protection | None = None
        self.lacks: set[bytes] = set()
        self.reused = False
        self._url = url
        self._proven = False  # the server has answered since it is used again
        self._dialling = True
        self.aborted = False
        self._open: set[Client | DataConnection] = set()  # more than one client, if an endpoint tries addresses at once
        self._timer: Any = None

    def __repr__(self) -> str:
        return f"<FTP session, {len(self._open)} open>"

    # the control connection

    def buildProtocol(self, addr: IAddress | None) -> Client | None:
        if not self._dialling or self.aborted:
            return None  # too late: the slot is spoken for
        client = Client(self._url, self.closed)
        self._open.add(client)
        return client

    def connected(self, client: Client | None) -> None:
        """It is dialled no more: this is the control connection, or there is none."""
        self._dialling = False
        if client is not None:
            self.client = client
        for other in list(self._open):
            if other is not client:
                other.abort()
        self._settle()

    @property
    def usable(self) -> bool:
        """It may bring something."""
        return not self.aborted and self.client.usable

    def use(self, url: str) -> None:
        """It is used for this URL."""
        self.client.url = url
        self._proven = False

    async def tell(self, command: bytes) -> Reply:
        """
        Send a command.  Returns the L{Reply} to it, good or bad.

        @raise Stale: the connection was of no use any more.
        @raise Unavailable: the server closes the connection (421).
        @raise DownloadError: the connection is lost, or what came is no FTP.
        """
        fresh = self._proven or not self.reused
        try:
            reply = await self.client.ask(command)
        except ConnectFailed as error:
            if fresh or type(error) is not ConnectFailed:
                raise
            raise Stale from error
        if reply.code == 421:
            self.abort()
            if not fresh:
                raise Stale
            raise Unavailable(reply.code, reply.said(), self.client.url)
        self._proven = True
        return reply

    # the data connection

    def opening(self, data: DataConnection) -> None:
        """Its socket is going to be opened; C{closed} follows."""
        self._open.add(data)

    def closed(self, which: Client | DataConnection) -> None:
        """A socket is closed, or was not opened."""
        self._open.discard(which)
        if isinstance(which, Client) and not self._dialling:
            self._pool.wake(self)
            self._stop_waiting()
        self._settle()

    @property
    def resumes(self) -> bool:
        """May its data connections resume the TLS session of the control connection?"""
        return self.key not in self._pool.unresumed

    def resume_otherwise(self) -> None:
        """
        TLS failed on a data connection: the next time it is tried the other way.

        Some servers cannot resume a session (OpenSSL's, if they ask for certificates and gave their sessions no name),
        others insist on it.
        """
        unresumed = self._pool.unresumed
        if self.key in unresumed:
            del unresumed[self.key]
            return
        unresumed[self.key] = None
        if len(unresumed) > REMEMBERED:
            del unresumed[next(iter(unresumed))]

    def refused(self, reply: Reply) -> None:
        """A transfer was: perhaps because its data connection resumed no TLS session."""
        if self.protection is not None and (reply.code == 522 or (reply.code == 425 and not self.resumes)):
            self.resume_otherwise()

    # the end of a transfer

    def done(self) -> None:
        """It may bring something else."""
        self.reused = True
        self._pool.rest(self)

    def linger(self) -> None:
        """A transfer was cut: if the server says in time that it knows (C{lingered}), the session may go on."""
        if self.usable:
            self._timer = self._pool.timers.callLater(LINGER, self._too_late)

    def lingered(self) -> bool:
        """It has said so.  Was that in time?"""
        in_time = self._timer is not None
        self._stop_waiting()
        return in_time

    def _too_late(self) -> None:
        self._timer = None
        self.abort()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # the end

    def abort(self) -> None:
        """Close everything at once.  May be called again."""
        self.aborted = True
        self._stop_waiting()
        self._pool.wake(self)
        for each in list(self._open):
            each.abort()
        self._settle()

    def _settle(self) -> None:
        """The slot goes back when nothing is open and nothing will be."""
        if not self._dialling and not self._open:
            self.slot.release()
            self._pool.discard(self)
