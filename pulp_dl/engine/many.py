"""
Many downloads at once, from one lazy iterator, with outcomes in the order in which they end.

N tasks of a Cooperator share the iterator: each takes an item, waits for its download, and takes the next.  So the
caller's generator gets one step in a turn of the reactor, nothing is read ahead, and what is in memory does not depend
on how long the list is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeAlias

from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure

from ..errors import DownloadError
from ..interfaces import IBodyConsumer
from ..model.report import Outcome, Report
from ..model.source import Source, as_source
from .gate import Gate

__all__ = ["Item", "Many"]

Item: TypeAlias = tuple[Source | str, IBodyConsumer]


class Many:
    """
    The outcomes of many downloads; made by L{Downloader.download_many}.

    Outcomes that nobody has taken stop new downloads, once there are as many of them as places.
    """

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
        self._source: _Items | None = None
        self._running: set[Deferred[Any]] = set()
        self._outcomes: deque[Outcome] = deque()
        self._room = Gate()  # open while a task may take an item
        self._news = Gate()  # open while there is something to tell the caller
        self._error: Failure | None = None
        self._exhausted = False
        self._closing = False
        self._tasks: Deferred[Any] | None = None
        self._on_end: Callable[[Many], None] | None = None

    def on_end(self, callback: Callable[[Many], None]) -> None:
        """Called once, when it is closed."""
        self._on_end = callback

    def start(self) -> None:
        """Begin; entering the block does it."""
        if self._tasks is not None:
            raise RuntimeError("the outcomes of one download_many can be read once only; call it again")
        self._source = _Items(self._items)
        cooperator = Cooperator(scheduler=lambda tick: self._clock.callLater(0, tick))
        self._room.open()
        tasks = [cooperator.cooperate(self._work(self._source)).whenDone() for _ in range(self._concurrency)]
        self._tasks = DeferredList(tasks, consumeErrors=True)
        self._tasks.addCallback(self._done)

    def _work(self, items: _Items) -> Generator[Deferred[Any], None, None]:
        """One task: yields a Deferred for whatever it has to wait for."""
        while True:
            while not self._exhausted and (waiting := self._room.wait()) is not None:
                yield waiting
            if self._exhausted:
                return
            try:
                item = items.next()
            except Exception:  # StopIteration among them
                self._no_more(Failure())
                return
            if isinstance(item, Deferred):
                taken: list[Item] = []
                yield self._tracked(item.addCallback(taken.append).addErrback(self._no_more))
                if not taken or self._closing:
                    return
                item = taken[0]
            running = self._start(item)
            if running is not None:
                yield running

    def _tracked(self, d: Deferred[Any]) -> Deferred[Any]:
        if not d.called:
            self._running.add(d)
            d.addBoth(self._untrack, d)
        return d

    def _untrack(self, result: object, d: Deferred[Any]) -> object:
        self._running.discard(d)
        return result

    def _no_more(self, failure: Failure) -> None:
        """The iterator is at its end, or raised."""
        self._exhausted = True
        self._room.open()
        if not failure.check(StopIteration, StopAsyncIteration) and self._error is None:
            self._error = failure

    def _start(self, item: Item) -> Deferred[Any] | None:
        try:
            source, consumer = item
            source = as_source(source)
            running = self._download(source, consumer)
        except Exception:
            self._no_more(Failure())
            return None
        self._running.add(running)
        return running.addBoth(self._ended, running, source)

    def _ended(self, result: Report | Failure, running: Deferred[Any], source: Source) -> None:
        self._running.discard(running)
        if not isinstance(result, Failure):
            self._tell(Outcome(source, result))
        elif isinstance(result.value, DownloadError):
            self._tell(Outcome(source, error=result.value))
        else:
            self._no_more(result)

    def _tell(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._news.open()
        if len(self._outcomes) >= self._concurrency and not self._exhausted:
            self._room.close()

    def _done(self, results: list[tuple[bool, Any]]) -> None:
        self._exhausted = True
        for ok, result in results:
            if not ok and self._error is None:
                self._error = result
        self._news.open()

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        if self._tasks is None:
            self.start()
        while not self._outcomes:
            assert self._tasks is not None
            if self._tasks.called:
                error, self._error = self._error, None
                if error is not None:
                    error.raiseException()
                raise StopAsyncIteration
            self._news.close()
            waiting = self._news.wait()
            if waiting is not None:
                await waiting
        outcome = self._outcomes.popleft()
        if len(self._outcomes) < self._concurrency:
            self._room.open()
        return outcome

    def close(self) -> Deferred[None]:
        """
        Cancel what runs and close the iterator.  Fires with None when nothing is left; never fails; may be called
        again.

        Whoever still iterates gets C{CancelledError}.
        """
        if not (self._tasks is not None and self._tasks.called) and self._error is None:
            self._error = Failure(CancelledError("the downloads were closed"))
        self._closing = self._exhausted = True
        self._room.open()
        self._outcomes.clear()
        for running in tuple(self._running):
            running.cancel()
        ended: Deferred[None] = Deferred()
        if self._tasks is None or self._tasks.called:
            ended.callback(None)
        else:
            self._tasks.addCallback(lambda _: ended.callback(None))
        return ended.addCallback(self._close_items)

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
    """One iterator for all tasks: asked by one at a time, as a generator has to be."""

    def __init__(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        self._sync: Iterator[Item] | None = None
        self._async: AsyncIterator[Item] | None = None
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        else:
            self._sync = iter(items)
        self._last: Deferred[Any] = succeed(None)

    def next(self) -> Item | Deferred[Item]:
        """
        The next item, or a Deferred of it.

        @raise Exception: StopIteration (StopAsyncIteration, of a Deferred) at the end, or what the iterator raised.
        """
        if self._sync is not None:
            return next(self._sync)
        before, self._last = self._last, Deferred()
        turn = self._last
        answer: Deferred[Item] = Deferred.fromCoroutine(self._ask(before))

        def over(result: Any) -> Any:
            turn.callback(None)
            return result

        return answer.addBoth(over)

    async def _ask(self, before: Deferred[Any]) -> Item:
        assert self._async is not None
        mine: Deferred[None] = Deferred()
        before.addCallback(lambda _: None if mine.called else mine.callback(None))
        await mine
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
