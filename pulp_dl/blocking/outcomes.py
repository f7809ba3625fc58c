"""
Many downloads for a C{for} loop.

One queue leads from the reactor to the thread that iterates.  In it are outcomes, and the word that a place is free:
then the caller's generator is advanced, in the caller's own thread, and the item sent back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from .home import GRACE, Box, Home, ReactorStopped, check_timeout

if TYPE_CHECKING:
    from ..engine.many import Item, Many
    from ..model.report import Outcome

__all__ = ["Outcomes", "patience"]

_WANT: Final = object()
"""A place is free."""


@frozen
class _End:
    """
    The last message.

    @ivar result: None, or a Failure that tells why.
    @ivar untaken: outcomes that did not come before it.
    """

    result: Any
    untaken: list[Outcome] = field(factory=list)


def patience(error: BaseException | None) -> float | None:
    """How long to wait on the way out of a block: somebody who presses Ctrl-C has no time."""
    return None if error is None or isinstance(error, Exception) else GRACE


class Outcomes:
    """
    The outcomes of many downloads, in the order in which they end; made by L{BlockingDownloader.download_many}.

    For one thread.  What C{items} raises ends the iteration there, as with L{pulp_dl.Downloader.download_many}.

    @ivar untaken: after C{close} by the thread that iterates, what nobody has taken: outcomes of downloads that had
        ended by then, and of those that came to a good end all the same, as a file was on its way to its name.  What
        was cancelled has none.
    """

    def __init__(self, home: Home, items: Iterable[Item], many: Callable[[Any], Many]) -> None:
        self._home = home
        self._items = items
        self._iterator: Iterator[Item] | None = None
        self._advancing = False
        self._error: tuple[BaseException, TracebackType | None] | None = None
        self._box: Box = SimpleQueue()
        self._ready: deque[Outcome | _End] = deque()
        self.untaken: list[Outcome] = []
        # It must not know us, so that a loop which is left early lets go of us and of the caller's generator.
        self._batch = _Batch(self._box, many)
        self._thread: int | None = None
        self._turn = threading.RLock()  # whoever takes from the box
        self._ended = self._closed = False

    def __iter__(self) -> Iterator[Outcome]:
        return self

    def __next__(self) -> Outcome:
        if self._ended:
            raise StopIteration
        self._home.check()
        with self._turn:
            try:
                first = self._next()
            except BaseException as error:
                self.close(patience(error))
                raise
            if not isinstance(first, _End):
                return first
            self._ended = True  # before another thread, which closes us, takes its turn to wait for this
            self.untaken += first.untaken
        if isinstance(first.result, Failure):
            self._raise(first.result)
        raise StopIteration

    def _next(self) -> Outcome | _End:
        if self._iterator is None and not self._closed:
            self._thread = threading.get_ident()
            self._iterator = iter(self._items)
            self._home.tell(self._batch.start)
        # Free places first, but only those that are free now: a slow generator must not keep outcomes back.
        for _ in range(self._box.qsize()):
            self._note(self._home.take(self._box))
        while not self._ready:
            if self._closed:
                raise CancelledError("the downloads were closed")
            self._note(self._home.take(self._box))
        return self._ready.popleft()

    def _note(self, message: Any) -> None:
        if message is not _WANT:
            self._ready.append(message)
            return
        assert self._iterator is not None
        self._advancing = True
        try:
            item: Any = next(self._iterator)
        except StopIteration:
            item = Failure(StopAsyncIteration())
        except Exception as error:
            self._error = error, error.__traceback__
            item = Failure()
        finally:
            self._advancing = False
        self._home.tell(self._batch.give, item)

    def _raise(self, failure: Failure) -> None:
        if self._error is not None and failure.value is self._error[0]:
            # Its way through the reactor is of no interest to whoever reads it.
            raise failure.value.with_traceback(self._error[1])
        failure.raiseException()

    def close(self, timeout: float | None = None) -> None:
        """
        Cancel what still runs, wait until nothing is left, and close the generator.  May be called again.  Who iterates
        after that gets C{CancelledError}, unless the end had come.

        @param timeout: seconds to wait.
        """
        check_timeout(timeout)
        if not self._ended and not self._closed:
            if self._iterator is not None and self._home.usable:
                self._home.check()
                self._home.tell(self._batch.cancel)
                # Called by another thread than the one that waits for outcomes?  That one will hear of the end.
                if self._turn.acquire(blocking=False):
                    try:
                        if not self._ended:
                            self._await_end(timeout)
                        self._closed = True  # before the thread that iterates comes back to wait for more
                    finally:
                        self._turn.release()
            self._closed = True
        if self._iterator is not None and self._thread == threading.get_ident() and not self._advancing:
            getattr(self._iterator, "close", lambda: None)()

    def _await_end(self, timeout: float | None) -> None:
        deadline = None if timeout is None else monotonic() + timeout
        with suppress(Empty, ReactorStopped):
            while True:
                message = self._ready.popleft() if self._ready else self._home.take(self._box, deadline)
                if isinstance(message, _End):
                    self.untaken += message.untaken
                    return
                if message is not _WANT:
                    self.untaken.append(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(patience(error))


class _Batch:
    """
    One L{Outcomes} in the reactor thread: the async iterable that the engine reads, and the loop over what comes of it.
    """

    def __init__(self, box: Box, many: Callable[[Any], Many]) -> None:
        self._box = box
        self._make = many
        self._many: Many | None = None
        self._wanted: Deferred[Item] | None = None

    def start(self) -> None:
        """Ends with an L{_End} in the queue."""
        Deferred.fromCoroutine(self._run()).addBoth(self._end)

    def _end(self, result: Any) -> None:
        self._box.put(_End(result) if self._many is None else _End(result, self._many.untaken))

    async def _run(self) -> None:
        self._many = self._make(self)
        async with self._many as outcomes:
            async for outcome in outcomes:
                # The queue needs no limit: a place that waits for the caller brings no second outcome.
                self._box.put(outcome)

    def cancel(self) -> None:
        """Cancel what runs; the loop ends by itself."""
        if self._many is not None:
            self._many.close()

    def give(self, item: Any) -> None:
        """What the caller's iterator had, or a Failure."""
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(item)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        self._wanted = Deferred()
        self._box.put(_WANT)
        return await self._wanted
