"""Where scripts are played, over sockets or in memory, and what was seen there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from .player import Player
from .script import OnPath, Request, Script

__all__ = ["Connections", "Stage"]


@frozen
class Connections:
    """
    Connections that a server saw.

    @ivar open: now; C{peak}: at once, at most; C{total}: so far.
    """

    open: int
    peak: int
    total: int


class Stage(Factory):
    """
    Where scripts are played: makes one player for each connection, and keeps what all of them saw.

    @ivar script: what is played for each request; a test may change it at any time.
    @ivar greeting: what is played when a connection is made, before any request.
    @ivar requests: every request so far.
    @ivar bytes_sent: bytes that were handed to transports.
    """

    noisy = False

    def __init__(
        self,
        clock: Any,
        script: Script | Mapping[str, Script],
        *,
        tls: IOpenSSLServerConnectionCreator | None = None,
        greeting: Script = (),
        host: str,
        port: int = 0,
    ) -> None:
        self.clock = clock
        self.script: Script = OnPath(script) if isinstance(script, Mapping) else script
        self.greeting = greeting
        self.host = host
        self.port = port
        self.requests: list[Request] = []
        self.bytes_sent = 0
        self._tls = tls
        self._total = self._peak = 0
        self._players: set[Player] = set()
        self._held: dict[str, list[Player]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._empty: list[Deferred[None]] = []

    def url(self, path: str = "/", host: str | None = None) -> str:
        """
        A URL that leads here.

        @param host: another name of the same machine, such as C{"localhost"}.
        """
        scheme, host = "http" if self._tls is None else "https", host or self.host
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{path}"

    @property
    def connections(self) -> Connections:
        """Connections that a client has closed do not count, even if their end has not been read yet."""
        return Connections(self._open(), self._peak, self._total)

    def wrapped(self) -> Any:
        """The factory to listen with."""
        if self._tls is None:
            return self
        factory = TLSMemoryBIOFactory(self._tls, isClient=False, wrappedFactory=self, clock=self.clock)
        factory.noisy = False
        return factory

    def release(self, event: str = "") -> None:
        """Whatever is at C{Hold(event)} now goes on."""
        for player in self._held.pop(event, ()):
            player.go_on()

    def abort(self) -> Deferred[None]:
        """Reset every connection.  Fires when none is left."""
        gone: Deferred[None] = Deferred()
        self._empty.append(gone)
        for player in list(self._players):
            player.reset()
        self._tell()
        return gone

    def buildProtocol(self, addr: IAddress | None) -> Player:
        return Player(self)

    def enter(self, player: Player) -> int:
        self._players.add(player)
        self._total += 1
        self._peak = max(self._peak, self._open())
        return self._total - 1

    def replace(self, player: Player, after: Player) -> None:
        """The same connection has another player."""
        self._players.discard(player)
        self._players.add(after)

    def leave(self, player: Player) -> None:
        self._players.discard(player)
        for held in self._held.values():
            if player in held:
                held.remove(player)
        self._tell()

    def hold(self, event: str, player: Player) -> None:
        self._held.setdefault(event, []).append(player)

    def count(self, host: str, path: str) -> int:
        """How many requests for it there were before this one."""
        number = self._counts.get((host, path), 0)
        self._counts[host, path] = number + 1
        return number

    def _open(self) -> int:
        return sum(player.alive for player in self._players)

    def _tell(self) -> None:
        while self._empty and not self._players:
            self._empty.pop().callback(None)
