"""
A protocol without a network: places in a dict, and everything that can go wrong with one of them.

L{MemoryFetcher} keeps every promise of L{IFetcher} (it passes the L{checks<pulp_dl.testing.checks>}), so what is tested
against it may be trusted with a real protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import DownloadError, NotFound
from ..flow.reading import ReadBody
from ..interfaces import IBody, IFetcher, IScheme, IShared, ISlots
from ..model.remote import Remote
from ..model.source import Head, Source, Span, Validators
from .places import Asked, Error, Place, Verbatim

__all__ = ["MemoryFetcher", "MemoryScheme"]

Script = Place | Verbatim | Sequence[Place | Verbatim]


@implementer(IFetcher)
class MemoryFetcher:
    """
    An L{IFetcher} over a dict.

    @ivar places: what is at each URL; a test may change it at any time.  A sequence has one entry for each request (of
        either kind); the last one stays.  What is not in it is C{NotFound}.
    @ivar asked: every request so far.
    @ivar peak: how many were under way at once, at most.
    """

    def __init__(self, places: dict[str, Script], reactor: Any = None) -> None:
        """
        @param reactor: if given (an C{IReactorTime}, a C{Clock} will do), the answer and each piece come in their own
            turn of it; else everything happens at once, inside of the call.
        """
        self.places = places
        self.asked: list[Asked] = []
        self.peak = 0
        self._reactor = reactor
        self._counts: dict[str, int] = {}
        self._opening: set[Deferred[Any]] = set()
        self._bodies: set[_Body] = set()
        self._stalled: list[tuple[str, Callable[[], None]]] = []

    @property
    def running(self) -> int:
        """Requests under way: not yet answered, or with a body that is neither at its end nor let go."""
        return len(self._opening) + len(self._bodies)

    def urls(self) -> list[str]:
        """What was asked for, in order."""
        return [each.url for each in self.asked]

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return self._track(self._open(Asked("GET", source, span, same_as), None))

    def head(self, source: Source) -> Deferred[Head]:
        return self._track(self._head(Asked("HEAD", source), None))

    def close(self) -> Deferred[None]:
        for opening in list(self._opening):
            opening.cancel()
        for body in list(self._bodies):
            body.abort(CancelledError())
        return succeed(None)

    def release(self, url: str | None = None) -> None:
        """Whatever stalls (at this URL, or anywhere) goes on."""
        stalled, self._stalled = self._stalled, []
        for where, go_on in stalled:
            if url is None or where == url:
                go_on()
            else:
                self._stalled.append((where, go_on))

    def _track(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> Deferred[Any]:
        opening: Deferred[Any] = Deferred.fromCoroutine(coroutine)
        if not opening.called:
            self._opening.add(opening)
            self.peak = max(self.peak, self.running)
            opening.addBoth(self._opened, opening)
        return opening

    def _opened(self, result: Any, opening: Deferred[Any]) -> Any:
        self._opening.discard(opening)
        return result

    async def _open(self, asked: Asked, slots: ISlots | None) -> IBody:
        slot = None if slots is None else await slots.acquire((asked.source.place.host, asked.source.place.port))
        try:
            answer = await self._answer(asked)
        except BaseException:
            if slot is not None:
                slot.release()
            raise
        body = _Body(self, asked.url, answer, slot)
        self._bodies.add(body)
        self.peak = max(self.peak, self.running)
        return body

    async def _head(self, asked: Asked, slots: ISlots | None) -> Head:
        body = await self._open(asked, slots)
        body.abandon()
        return body.head

    async def _answer(self, asked: Asked) -> Verbatim:
        self.asked.append(asked)
        answer = self._scripted(asked)
        if answer.silent:
            await self._stall(asked.url)
        if self._reactor is not None:
            await self._later(answer.wait)
        if answer.head is None:
            raise _made(answer.error) or NotFound(404, "Not Found", asked.url)
        return answer

    def _scripted(self, asked: Asked) -> Verbatim:
        script = self.places.get(asked.url)
        if isinstance(script, Sequence):
            count = self._counts.get(asked.url, 0)
            self._counts[asked.url] = count + 1
            script = script[min(count, len(script) - 1)]
        if script is None:
            return Verbatim(None)
        return script.answer(asked) if isinstance(script, Place) else script

    def _later(self, seconds: float) -> Deferred[None]:
        turn: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(seconds, turn.callback, None)
        return turn

    def _stall(self, url: str) -> Deferred[None]:
        entry: tuple[str, Callable[[], None]]
        stalled: Deferred[None] = Deferred(lambda _: self._stalled.remove(entry))
        entry = (url, lambda: stalled.callback(None))
        self._stalled.append(entry)
        return stalled


def _made(error: Error | None) -> DownloadError | None:
    return error if error is None or isinstance(error, DownloadError) else error()


class _Body(ReadBody):
    """Writes the pieces of an L{Verbatim}, as fast as it may."""

    def __init__(self, fetcher: MemoryFetcher, url: str, answer: Verbatim, slot: Any) -> None:
        assert answer.head is not None
        super().__init__(answer.head, public=False)
        self.url = url
        self._fetcher = fetcher
        self._answer = answer
        self._slot = slot
        self._pieces = list(reversed(answer.pieces))
        self._sent = 0
        self._stall_at = answer.stall_at
        self._waiting: Deferred[None] | None = None

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        if self._consumer is not None or self not in self._fetcher._bodies:
            raise RuntimeError("exactly one of deliver and abandon may be called, once")
        return super().deliver(consumer)

    def abandon(self) -> None:
        if self._consumer is not None:
            raise RuntimeError("exactly one of deliver and abandon may be called, once")
        super().abandon()

    def abort(self, error: BaseException) -> None:
        """End here and now; the Deferred of C{deliver} fails with this error."""
        self._end(Failure(error))

    def _step(self) -> bool:
        if self._waiting is not None:
            return False
        if self._stall_at is not None and self._sent >= self._stall_at:
            self._stall_at = None
            self._wait(self._fetcher._stall(self.url))
        elif not self._pieces:
            error = _made(self._answer.error)
            self._end(None if error is None else Failure(error))
        else:
            piece = self._pieces.pop()
            if self._stall_at is not None and self._sent + len(piece) > self._stall_at:
                self._pieces.append(piece[self._stall_at - self._sent :])
                piece = piece[: self._stall_at - self._sent]
            self._sent += len(piece)
            self._write(piece)
            if self._fetcher._reactor is not None and self._done is not None:  # it may have ended inside of the write
                self._wait(self._fetcher._later(self._answer.every))
        return True

    def _wait(self, waiting: Deferred[None]) -> None:
        self._waiting = waiting
        waiting.addCallbacks(self._waited, lambda failure: failure.trap(CancelledError) and None)

    def _waited(self, _: None) -> None:
        self._waiting = None
        self._flow()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        self._pieces.clear()
        self._fetcher._bodies.discard(self)
        if self._slot is not None:
            self._slot.release()


@implementer(IFetcher)
class _Slotted:
    """A L{MemoryFetcher} that asks for slots, as every protocol with sockets has to."""

    def __init__(self, fetcher: MemoryFetcher, slots: ISlots) -> None:
        self._fetcher = fetcher
        self._slots = slots

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return self._fetcher._track(self._fetcher._open(Asked("GET", source, span, same_as), self._slots))

    def head(self, source: Source) -> Deferred[Head]:
        return self._fetcher._track(self._fetcher._head(Asked("HEAD", source), self._slots))

    def close(self) -> Deferred[None]:
        return self._fetcher.close()


@implementer(IScheme)
@frozen
class MemoryScheme:
    """
    Makes a L{MemoryFetcher} a protocol: C{Downloader(reactor, schemes=[MemoryScheme(fetcher)])}.  One fetcher serves
    all Remotes.

    @ivar slots: True: every request holds one of the Downloader's slots, from before it is asked until its body is
        done.
    """

    memory: MemoryFetcher
    names: tuple[str, ...] = ("memory",)
    slots: bool = False

    def fetcher(self, reactor: Any, remote: Remote, shared: IShared) -> IFetcher:
        return _Slotted(self.memory, shared.slots) if self.slots else self.memory
