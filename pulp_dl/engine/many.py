"""
Many downloads at once, from one lazy iterator, with outcomes in the order in which they end.

A task of a Cooperator reads the iterator: it takes an item whenever there is a place for one, and waits while there is
none.  So the caller's generator keeps the reactor for no longer than 10 ms at a time, or one step if that takes longer;
nothing is read ahead, and what is in memory does not depend on how long the list is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeAlias

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure

from ..errors import DownloadError
from ..interfaces import IBodyConsumer
from ..model.report import Outcome, Report
from ..model.source import Source, as_source

__all__ = ["Item", "Many"]

Item: TypeAlias = tuple[Source | str, IBodyConsumer]


class Many:
    """
    The outcomes of many downloads; made by L{Downloader.download_many}.

    Outcomes that nobody has taken stop new downloads, once there are as many of them as places.

    @ivar untaken: after C{close}, what nobody has taken: outcomes of downloads that had ended by then, and of those
        that came to a good end all the same, as a file was on its way to its name.  What was cancelled has none.
    """

    _started = False
    _closing = False
    _source: _Items | None = None
    _asking: Deferred[Any] | None = None  # for an item
    _room: Deferred[None] | None = None  # the task waits for it
    _telling: IDelayedCall | None = None
    _error: Failure | None = None
    _exhausted = False  # no item will be taken any more
    _read = False  # and the task has ended
    _on_end: Callable[[Many], None] | None = None

    def __init__(
        self,
        clock: IReactorTime,
        download: Callable[[Source, IBodyConsumer], Deferred[Report]],
        items: Iterable[Item] | AsyncIterable[Item],
        concurrency: int,
    ) -> None:
        self._clock = clock
        self._download = download
        self._items = items
        self._concurrency = concurrency
        self._running: set[Deferred[Any]] = set()
        self._outcomes: deque[Outcome] = deque()
        self.untaken: list[Outcome] = []
        self._news: list[Deferred[None]] = []  # callers wait for it; several may share the work
        self._ended: Deferred[None] = Deferred()

    def on_end(self, callback: Callable[[Many], None]) -> None:
        """Called once, when it is closed."""
        self._on_end = callback

    def start(self) -> None:
        """Begin; entering the block does it."""
        if self._started:
            raise RuntimeError("the outcomes of one download_many can be read once only; call it again")
        self._started = True
        if self._exhausted:  # closed before
            return
        self._source = _Items(self._items)
        cooperator = Cooperator(scheduler=lambda tick: self._clock.callLater(0, tick))
        cooperator.cooperate(self._work(self._source)).whenDone().addCallbacks(self._done, self._fault)

    # the task

    def _work(self, items: _Items) -> Generator[Deferred[Any] | None, None, None]:
        """Yields a Deferred for whatever it has to wait for, and else after each item."""
        while not self._exhausted:
            if self._full:
                self._room = Deferred()
                yield self._room
                continue
            try:
                item = items.next()
            except Exception:  # StopIteration among them
                self._no_more(Failure())
                return
            if not isinstance(item, tuple) and isinstance(item, Deferred):  # the latter alone takes its time to say no
                taken: list[Item] = []
                self._asking = item
                yield item.addCallback(taken.append).addErrback(self._no_more)
                self._asking = None
                if self._exhausted:
                    return
                item = taken[0]
            self._start(item)
            if not self._full:
                yield None

    @property
    def _full(self) -> bool:
        return len(self._running) >= self._concurrency or len(self._outcomes) >= self._concurrency

    def _look_for_room(self) -> None:
        room = self._room
        if room is not None and (self._exhausted or not self._full):
            self._room = None
            room.callback(None)

    def _no_more(self, failure: Failure) -> None:
        """The iterator is at its end, or raised."""
        self._exhausted = True
        if not failure.check(StopIteration, StopAsyncIteration) and self._error is None:
            self._error = failure

    def _start(self, item: Item) -> None:
        try:
            source, consumer = item
            source = as_source(source)
            running = self._download(source, consumer)
        except Exception:
            self._no_more(Failure())
            return
        self._running.add(running)
        running.addBoth(self._came, running, source)

    def _came(self, result: Report | Failure, running: Deferred[Any], source: Source) -> None:
        self._running.discard(running)
        if self._closing:
            if not isinstance(result, Failure):  # an error may be what the cancel has led to
                self.untaken.append(Outcome(source, result))
        elif not isinstance(result, Failure):
            self._outcomes.append(Outcome(source, result))
        elif isinstance(result.value, DownloadError):
            self._outcomes.append(Outcome(source, error=result.value))
        else:
            self._no_more(result)
        self._tell()
        if self._room is not None:
            self._look_for_room()
        if self._read:
            self._look_for_the_end()

    def _done(self, _: object) -> None:
        self._read = True
        self._look_for_the_end()

    def _fault(self, failure: Failure) -> None:
        self._no_more(failure)
        self._done(None)

    def _look_for_the_end(self) -> None:
        if self._read and not self._running and not self._ended.called:
            self._ended.callback(None)
            self._tell()

    # the caller

    def _tell(self) -> None:
        """Soon, so that the caller is woken once for all that one turn of the reactor has brought."""
        if self._news and self._telling is None:
            self._telling = self._clock.callLater(0, self._wake)

    def _wake(self) -> None:
        self._telling = None
        news, self._news = self._news, []
        for each in news:
            if not each.called:  # one who was told before may have sent it away
                each.callback(None)

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        if not self._started:
            self.start()
        while not self._outcomes:
            if self._ended.called:
                error, self._error = self._error, None
                if error is not None:
                    error.raiseException()
                raise StopAsyncIteration
            news: Deferred[None] = Deferred(self._forget)
            self._news.append(news)
            await news
        outcome = self._outcomes.popleft()
        if self._room is not None:
            self._look_for_room()
        return outcome

    def _forget(self, news: Deferred[None]) -> None:
        """Whoever waited does so no more."""
        if news in self._news:
            self._news.remove(news)
        if not self._news and self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def close(self) -> Deferred[None]:
        """
        Cancel what runs and close the iterator.  Fires with None when nothing is left; never fails; may be called
        again.

        Whoever still iterates gets C{CancelledError}.
        """
        if not self._ended.called and self._error is None:
            self._error = Failure(CancelledError("the downloads were closed"))
        self._closing = self._exhausted = True
        self.untaken += self._outcomes
        self._outcomes.clear()
        for running in tuple(self._running):
            running.cancel()
        if self._asking is not None:
            self._asking.cancel()
        self._look_for_room()
        if not self._started:
            self._done(None)
        closed: Deferred[None] = Deferred()
        self._ended.addCallback(closed.callback)
        return closed.addCallback(self._close_items)

    def _close_items(self, _: object) -> Deferred[None] | None:
        if self._on_end is not None:
            self._on_end(self)
            self._on_end = None
        source, self._source = self._source, None
        return None if source is None else source.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class _Items:
    """The caller's iterator, of either kind."""

    def __init__(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        self._sync: Iterator[Item] | None = None
        self._async: AsyncIterator[Item] | None = None
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        else:
            self._sync = iter(items)

    def next(self) -> Item | Deferred[Item]:
        """
        The next item, or a Deferred of it.

        @raise Exception: StopIteration (StopAsyncIteration, of a Deferred) at the end, or what the iterator raised.
        """
        return next(self._sync) if self._sync is not None else Deferred.fromCoroutine(self._ask())

    async def _ask(self) -> Item:
        assert self._async is not None
        return await anext(self._async)

    def close(self) -> Deferred[None]:
        """Close a generator, so that its C{finally} runs now."""
        iterator: Any = self._sync if self._sync is not None else self._async
        close = getattr(iterator, "aclose", None) or getattr(iterator, "close", None)
        if close is None:
            return succeed(None)
        result = close()
        return Deferred.fromCoroutine(_finish(result)) if hasattr(result, "__await__") else succeed(None)


async def _finish(awaitable: Any) -> None:
    await awaitable
