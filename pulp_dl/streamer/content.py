"""The content endpoint: a protocol factory that answers from an importer."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from zope.interface import implementer

from ..consumers.answers import Answers
from ..interfaces import IExchange, IImporter, ITold
from .channel import Asking, Channel
from .exchange import Exchange

__all__ = ["Content"]

log = Logger()

AT_ONCE: Final = 64
"""
Requests that are begun in one turn of the reactor, while so many run.  Each takes a quarter of a millisecond and
more; of a thousand that come in one moment, the last would keep all others waiting for that long.
"""


@implementer(ITold)
class _Nobody:
    def began(self, exchange: IExchange) -> None:
        pass

    def ended(self, exchange: IExchange) -> None:
        pass


@implementer(IProtocolNegotiationFactory)
class Content(ServerFactory):
    """
    Serves what an importer knows::

        endpoint.listen(Content(reactor, importer))

    It knows nothing of protocols, credentials or mirrors, and writes nothing to a disk.

    @ivar importer: who is asked; may be replaced while requests run (see C{settled}).
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        importer: IImporter,
        options: Answers | None = None,
        told: ITold | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """
        @param told: is told of each request, for logs, status and metrics.
        @param name: a token that nobody else has.  A request that has been at who is called so (it stands in Via) is in
            a loop, and is refused.  That requests of the importer say so, too, is the importer's.
        """
        self.name = None if name is None else name.encode("ascii")
        self.reactor = reactor
        self.importer = importer
        self.answers = options or Answers()
        self.is_draining = False
        self._told: Any = told or _Nobody()
        self._channels: set[Channel] = set()
        self._running: dict[Exchange, list[Deferred[None]]] = {}
        self._waiting: deque[Exchange] = deque()  # of these, who have not begun
        self._beginning: Any = None
        self._drained: list[Deferred[None]] = []
        self._timer: Any = None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return Channel(self)

    def acceptableProtocols(self) -> list[bytes]:
        # Without this Twisted refuses clients that offer any.  HTTP/2 has another way to break a body off.
        return [b"http/1.1", b"http/1.0"]

    # the end

    def draining(self) -> Deferred[None]:
        """
        No new requests on any connection: those that idle are closed at once, the others after their answer.  Fires
        with None when all answers have been taken and no connection is left; may be called again.  To stop listening
        is the caller's.
        """
        self.is_draining = True
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        for channel in tuple(self._channels):
            channel.drain()
        self._perhaps_drained()
        return done

    def cut(self) -> Deferred[None]:
        """As C{draining}, but what runs is broken off."""
        done = self.draining()
        for channel in tuple(self._channels):
            channel.transport.abortConnection()
        return done

    def settled(self) -> Deferred[None]:
        """Fires with None when every request that runs now has ended: then nobody uses the importer of before."""
        ends: list[Deferred[None]] = []
        for waiting in self._running.values():
            ends.append(Deferred())
            waiting.append(ends[-1])
        return DeferredList(ends).addCallback(lambda _: None)

    def _perhaps_drained(self) -> None:
        if self.is_draining and not self._channels and not self._running:
            drained, self._drained = self._drained, []
            for each in drained:
                each.callback(None)

    # for its channels

    def opened(self, channel: Channel) -> None:
        """A client came."""
        self._channels.add(channel)
        if self._timer is None:
            self._look_later()

    def closed(self, channel: Channel) -> None:
        """It is gone."""
        self._channels.discard(channel)
        if not self._channels and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._perhaps_drained()

    def answer(self, request: Asking) -> None:
        """A request came."""
        exchange = Exchange(self, request)
        self._running[exchange] = []
        self._tell(self._told.began, exchange)
        if len(self._running) <= AT_ONCE:
            exchange.start(self._ended)
            return
        self._waiting.append(exchange)
        self._begin_later()

    def _begin_later(self) -> None:
        if self._waiting and self._beginning is None:
            self._beginning = self.reactor.callLater(0, self._begin)

    def _begin(self) -> None:
        """Some of those who wait; the others in the next turn."""
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._waiting.popleft().start(self._ended)
        self._beginning = None
        self._begin_later()

    def log(self, request: Asking) -> None:
        """Nothing; L{ITold} hears of it."""

    def _ended(self, exchange: Exchange) -> None:
        waiting = self._running.pop(exchange)
        self._tell(self._told.ended, exchange)
        for each in waiting:
            each.callback(None)
        self._perhaps_drained()

    def _tell(self, method: Any, exchange: Exchange) -> None:
        try:
            method(exchange)
        except Exception:
            log.failure("who is told of requests raised")

    def _look_later(self) -> None:
        # One timer for all: four looks in the shortest of the limits.
        self._timer = self.reactor.callLater(min(self.answers.patience, self.answers.idle) / 4, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.reactor.seconds()
        for channel in tuple(self._channels):
            channel.look(now)
        if self._channels:
            self._look_later()
