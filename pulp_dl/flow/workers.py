"""
A few threads of our own, for disks and long hashes.

A L{Lane} keeps the order of one file's jobs; the threads take the lanes in turn, so that a large file never keeps a
small one waiting for more than what waits in its own lane.  The reactor hears of a lane only when there is something
to hear (it is relieved, settled, or broken), because each word costs it about 50 us.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Lock, Thread, current_thread
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer

from ..interfaces import IWorkers
from .heap import keep_some

__all__ = ["BUDGET", "LEAST", "LIMIT", "MOST", "PIECE", "InlineLane", "InlineWorkers", "Lane", "Workers"]

BUDGET = 8 * 1024 * 1024
"""
Weight for all lanes that there are; the fewer, the more each has of it, since each pause and each hand-over costs.  One
that rests counts as well: bytes are gathered for it, and all that rest may come to work at once.
"""

PIECE = 256 * 1024
"""Bytes that are worth a hand-over to a worker, at least."""

LEAST = 512 * 1024
"""What each of them may have, however many there are: one piece that is at work and one that waits."""

MOST = 5 * 1024 * 1024
"""And what a body that is alone may have; more makes it no faster."""

LIMIT = 1024 * 1024
"""Weight (bytes, as a rule) that may wait in one lane before its producer is asked to pause."""

Job = Callable[[], object]


class Lane:
    """
    Jobs in order on some worker thread, never two at once.

    All methods are for the reactor thread, and what is called back is called there.

    @ivar backlog: the weight of all jobs that have not ended.
    @ivar piece: bytes that are best put as one job.
    """

    def __init__(
        self,
        ready: Callable[[Callable[[], bool]], object],
        tell: Callable[..., object],
        relieved: Callable[[], None],
        failed: Callable[[Failure], None],
        limit: int = LIMIT,
    ) -> None:
        """
        @param ready: has its argument called in a worker thread, and again for as long as that returns True.
        @param tell: has its first argument called with the others in the reactor thread.
        @param relieved: called once after each time that C{put} said that the lane is full, when half has been done.
        @param failed: called once when a job has raised.
        """
        self._ready = ready
        self._tell = tell
        self._relieved = relieved
        self._failed = failed
        self._limit = limit
        self.piece = max(PIECE, limit // 8)
        # For the reactor thread only
        self._error: Failure | None = None
        self._settling: list[Deferred[None]] = []
        self._dropping: list[Deferred[None]] = []
        # Under the lock
        self._lock = Lock()
        self._jobs: deque[tuple[Job, int]] = deque()
        self.backlog = 0
        self._busy = False  # waiting for a thread, in a thread, or about to be told of its end
        self._full = False
        self._relieving = False  # on its way to the reactor thread
        self._awaited = False  # somebody wants to know when it rests
        self._drops = 0

    def put(self, job: Job, weight: int) -> bool:
        """
        One more job.

        Returns True if the lane is now full: then pause, and go on when C{relieved} is called.  After a job has raised,
        nothing more is run: what is put is forgotten, until C{drop}.
        """
        if self._error is not None:
            return False
        with self._lock:
            self._jobs.append((job, weight))
            self.backlog += weight
            self._full = full = self._full or self.backlog >= self._limit
            starting, self._busy = not self._busy, True
        if starting:
            self._ready(self._turn)
        return full

    def settled(self) -> Deferred[None]:
        """
        Fires with None when all that was put has run.  Fails with the first error of a job, or with C{CancelledError}
        if the jobs are dropped.  Cancelling only stops listening.
        """
        if self._error is not None:
            return fail(self._error)
        return self._rest(self._settling)

    def drop(self) -> Deferred[None]:
        """
        Forget what has not begun, and any error.  Fires with None when nothing runs any more; never fails.  The lane
        may be used again at once; C{relieved} is not called for what was dropped.
        """
        with self._lock:
            self._drops += 1
            self.backlog -= sum(weight for _, weight in self._jobs)
            self._jobs.clear()
            self._full = False
        self._error = None
        settling, self._settling = self._settling, []
        for waiting in settling:
            waiting.errback(CancelledError())
        return self._rest(self._dropping)

    def _rest(self, waiting: list[Deferred[None]]) -> Deferred[None]:
        with self._lock:
            if not self._busy:
                return succeed(None)
            self._awaited = True
        rest: Deferred[None] = Deferred()
        waiting.append(rest)
        return rest

    # in a worker thread

    def _turn(self) -> bool:
        """Run what waits now.  True: more has come meanwhile, call again when others had their turn."""
        for _ in range(len(self._jobs)):
            with self._lock:
                if not self._jobs:  # dropped
                    break
                job, weight = self._jobs.popleft()
                drops = self._drops
            failure: Failure | None = None
            try:
                job()
            except BaseException:
                failure = Failure()
            del job  # it holds the bytes
            with self._lock:
                self.backlog -= weight
                relieving = failure is None and self._full and not self._relieving and self._backlog_is_low()
                self._relieving = self._relieving or relieving
            if failure is not None:
                self._tell(self._broken, failure, drops)
                return False
            if relieving:
                self._tell(self._relieve)
        with self._lock:
            self._busy = bool(self._jobs)
            if self._busy or not self._awaited:
                return self._busy
        self._tell(self._rested)
        return False

    def _backlog_is_low(self) -> bool:
        return self.backlog <= self._limit // 2

    # in the reactor thread again

    def _relieve(self) -> None:
        with self._lock:
            self._relieving = False
            if not self._full or not self._backlog_is_low():  # dropped or filled again; there will be another word
                return
            self._full = False
        self._relieved()

    def _rested(self) -> None:
        with self._lock:
            if self._busy:  # again; there will be another word
                return
            self._awaited = False
        settling, self._settling = self._settling, []
        dropping, self._dropping = self._dropping, []
        for waiting in settling + dropping:
            waiting.callback(None)

    def _broken(self, failure: Failure, drops: int) -> None:
        with self._lock:
            current = drops == self._drops
            if current:
                self._jobs.clear()
                self.backlog = 0
            self._busy = again = bool(self._jobs)
        if again:  # what failed had been dropped; these were put since
            self._ready(self._turn)
        elif current:
            self._error = failure
            settling, self._settling = self._settling, []
            self._failed(failure)
            for waiting in settling:
                waiting.errback(failure)
        self._rested()


@implementer(IWorkers)
class Workers:
    """
    Real threads, started when they are needed.

    They are daemons: who forgets C{close} finds no hanging interpreter.
    """

    def __init__(self, reactor: IReactorFromThreads, threads: int = 4, name: str = "pulp_dl") -> None:
        self._reactor = reactor
        self._limit = threads
        self._name = name
        self._closing: list[Deferred[None]] = []
        self._lanes: WeakSet[Lane] = WeakSet()  # of bodies that have not ended
        # Under the condition's lock
        self._changed = Condition(Lock())
        self._turns: deque[Callable[[], bool]] = deque()
        self._idle = 0
        self._working = 0  # threads that take turns
        self._alive = 0  # and those that are about to end
        self._closed = False

    def lane(self, relieved: Callable[[], None], failed: Callable[[Failure], None], limit: int | None = LIMIT) -> Lane:
        """
        As C{IWorkers} has it.

        @param limit: weight at which it is full; None for its share of L{BUDGET}, from L{LEAST} to L{MOST}.
        """
        if limit is None:
            share = BUDGET // (1 + len(self._lanes) // 2)  # a body has two: one is hashed in, one written
            limit = max(LEAST, min(MOST, share))
        lane = Lane(self._add, self._reactor.callFromThread, relieved, failed, limit)
        self._lanes.add(lane)
        return lane

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        ended: Deferred[Any] = Deferred()

        def turn() -> bool:
            result: Any
            try:
                result = job()
            except BaseException:
                result = Failure()
            self._reactor.callFromThread(ended.callback, result)
            return False

        self._add(turn)
        return ended

    def close(self) -> Deferred[None]:
        """
        Let the threads end when they have done all that waits.  Fires with None when they have; never fails; may be
        called again.  What is put afterwards is still done, by a thread that ends with it.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if not self._alive:
                return succeed(None)
        closing: Deferred[None] = Deferred()
        self._closing.append(closing)
        return closing

    def _add(self, turn: Callable[[], bool]) -> None:
        with self._changed:
            self._turns.append(turn)
            if len(self._turns) <= self._idle:
                self._changed.notify()
            elif self._working < self._limit:
                keep_some()
                Thread(target=self._work, name=f"{self._name} worker", daemon=True).start()
                self._working += 1
                self._alive += 1
            # else a thread will come to it

    # in a worker thread

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._turns and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._turns:
                    self._working -= 1
                    break
                turn = self._turns.popleft()
            again = turn()
            if again:
                with self._changed:
                    self._turns.append(turn)  # behind the others; this thread goes on anyway
            del turn
        self._reactor.callFromThread(self._ended, current_thread())

    def _ended(self, thread: Thread) -> None:
        thread.join()  # it has nothing left to do but to return
        with self._changed:
            self._alive -= 1
            if self._alive:
                return
        closing, self._closing = self._closing, []
        for waiting in closing:
            waiting.callback(None)


class InlineLane:
    """A L{Lane} that runs each job at once, in the caller's thread."""

    backlog = 0
    piece = PIECE

    def __init__(self, failed: Callable[[Failure], None]) -> None:
        self._failed = failed
        self._error: Failure | None = None

    def put(self, job: Job, weight: int) -> bool:
        if self._error is None:
            try:
                job()
            except Exception:
                self._error = Failure()
                self._failed(self._error)
        return False

    def settled(self) -> Deferred[None]:
        return succeed(None) if self._error is None else fail(self._error)

    def drop(self) -> Deferred[None]:
        self._error = None
        return succeed(None)


@implementer(IWorkers)
class InlineWorkers:
    """No threads: for small things, and for tests that want no waiting."""

    def lane(
        self, relieved: Callable[[], None], failed: Callable[[Failure], None], limit: int | None = LIMIT
    ) -> InlineLane:
        return InlineLane(failed)

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        try:
            return succeed(job())
        except Exception:
            return fail(Failure())

    def close(self) -> Deferred[None]:
        return succeed(None)
