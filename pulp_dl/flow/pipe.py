"""
The pipe owns the bytes of one download, over all its attempts.

Whatever connections come and go, the consumer sees one body, each byte once, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import CancelledError, Deferred

from ..errors import ConsumerGone, DownloadError, NotResumable, TimedOut, TooLarge, Truncated, ValidationError
from ..interfaces import IBody, IBodyConsumer, IWorkers
from ..model.remote import Timeouts
from ..model.source import Head, Source
from .outlet import Outlet
from .passes import Passes
from .prefix import Prefix
from .timers import Clock
from .valve import Valve
from .watch import Watch

__all__ = ["Pipe"]


class Pipe(Passes):
    """
    From a body to a consumer: checks, hold-back, rewinding, joining.

    For each attempt: C{ask}, then C{admit} the head, C{take} the body, C{finish}.  At the very end C{fail}, unless it
    went well.

    @ivar received: bytes that the current attempt brought.
    @ivar limits: for the bodies that follow, in place of the usual ones; None for those.
    """

    received = 0
    _opened = 0.0  # how long it was free to bring bytes of other bodies than the last one
    limits: Timeouts | None = None
    _watch: Watch | None = None  # a body that is here at once needs none
    _taking = False
    _delivery: Deferred[None] | None = None
    _error: DownloadError | CancelledError | None = None
    _unproven: Truncated | None = None  # how the body ended, if nobody but TCP said that this was its end

    def __init__(
        self,
        clock: Clock,
        source: Source,
        consumer: IBodyConsumer,
        workers: IWorkers,
        timeouts: Timeouts,
        max_size: int | None,
        interrupt: Callable[[DownloadError], object],
        make_valve: Callable[..., Valve] = Valve,
    ) -> None:
        """
        @param interrupt: called when the consumer wants no more, or failed, while no body comes.
        """
        super().__init__(clock, source, workers, max_size)
        self._interrupt = interrupt
        self._timeouts = timeouts
        self.valve = make_valve(clock, self._accept, self._stopped, self._turned)
        self.outlet = Outlet(consumer, self.valve)

    @property
    def open_seconds(self) -> float:
        """How long the current attempt was free to bring bytes."""
        return self._opened if self._watch is None else self._opened + self._watch.open_seconds

    # one attempt

    def attempt(self) -> None:
        """Another one begins; nothing has come of it yet."""
        self.received, self._opened, self._watch, self._unproven = 0, 0.0, None, None

    async def take(self, body: IBody) -> None:
        """
        Read a body into the consumer.

        @raise DownloadError: it broke off, or what it brought is not wanted.
        """
        self._error = None
        self._taking = True
        try:
            delivery = self._delivery = body.deliver(self.valve)
            if self._error is not None:  # by what came before deliver() had returned
                delivery.cancel()
            elif not delivery.called:
                self._opened = self.open_seconds
                self._watch = Watch(self._clock, self.limits or self._timeouts, self._expired)
                self._watch.start(open_=self.valve.open)
            try:
                await delivery
            except Truncated as end:
                if not self._may_be_whole(end, body.head):
                    raise
                self._unproven = end
            drained = self.valve.drained()
            if drained is not None:
                self._delivery = drained
                await drained
        except NotResumable:  # it turned out to be no rest of what came before, unless a digest knows better
            self._may_continue = False
            if not self.complete:
                raise
        except Exception as error:
            if self._error is not None and error is not self._error:
                raise self._error from (self._error.__cause__ if isinstance(error, CancelledError) else error)
            raise
        finally:
            self._taking, self._delivery = False, None
            if self._watch is not None:
                self._watch.stop()
            self.valve.unregisterProducer()
        if self._error is not None:
            raise self._error

    def _may_be_whole(self, end: Truncated, head: Head) -> bool:
        """A body with this head: has all come that was announced of it, or is expected, or will a digest tell?"""
        if not end.unproven:
            return False
        size = self._demands.announced(head)
        return self._demands.judges(head) if size is None else end.received == size

    async def finish(self) -> tuple[Head, Mapping[str, object], tuple[ValidationError, ...]]:
        """
        The body is whole: let every check judge it, release the last piece, have it made last.

        Returns the head that the consumer was given, the facts, and mismatches that are only reported.
        """
        head, checks = self.head, self._checks
        assert head is not None
        assert checks is not None
        total = self._demands.announced(head)
        if total is not None and self.offset < total:
            raise Truncated(self.offset, total, head.url)
        if self._unproven is not None and total is None:
            await checks.rest()
            if not checks.would_hold(() if self._tail is None else self._tail.held()):
                raise self._unproven  # so the rest may be asked for
        if self._prefix is not None and self._prefix.left:
            self.offset = 0
            raise NotResumable("the file is shorter here than what was read before", head.url)
        await checks.rest()
        tail = b""
        if self._tail is not None:
            if self.outlet.given:
                self._prefix = Prefix(self.outlet.given, *checks.so_far())
            tail = b"".join(self._tail.pop())
            checks.update(tail)
            await checks.rest()
        try:
            facts, advisories = checks.verify()
        except DownloadError as error:
            self.offset = 0  # nothing of this pass can be continued
            error.found_at(head.url)
            raise
        if tail:
            await self._give_last(tail, head)
        return await self.outlet.finish(head), facts, advisories

    async def _give_last(self, data: bytes, head: Head) -> None:
        """In one piece, for the consumer may pause or stop after any; and not while it pauses."""
        self._error = None
        self.outlet.begin(head)
        try:
            if self._error is None and (waiting := self.valve.drained(open_=True)) is not None:
                await waiting
        except CancelledError:
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error
        self.outlet.give(data, head)
        if self._error is not None:
            raise self._error

    def halt(self) -> None:
        """Who waits for it is being cancelled: nothing more goes on to the consumer, whatever is there already."""
        if self._error is None:
            self._error = CancelledError()

    def fail(self, error: BaseException) -> None:
        """There will be no more: tell the consumer.  Never raises."""
        self.valve.clear()
        if self._checks is not None:
            self._checks.drop()
        self.outlet.fail(error)

    def close(self) -> None:
        """It has ended: let go of all that leads back here."""
        if self._watch is not None:
            self._watch.close()
        self.valve.close()
        self.outlet.release()

    # the bytes

    def _accept(self, data: bytes) -> None:
        if self._error is not None:
            return
        size = len(data)
        over = self._limit is not None and self.offset + size > self._limit
        try:
            if self.outlet.head is None and not over and not self._begins(data):
                return
            self.received += size
            self.offset += size
            if self._watch is not None:
                self._watch.fed(size)
            if over:
                assert self._limit is not None
                self._may_continue = False
                raise TooLarge(self._limit, self.answered)
            if self._prefix is not None and self._prefix.left:
                data = self._compare(self._prefix, data)
            if data:
                self._release(data)
        except DownloadError as error:
            self._break(error)

    def _begins(self, data: bytes) -> bool:
        """Before the first bytes are counted: who gets them may pause as soon as it has a producer, and they wait."""
        if self._tail is None or self._tail.frees(len(data)):
            assert self.head is not None
            self.outlet.begin(self.head)
        if not self.valve.wanted:
            self.valve.put_back(data)
        return self.valve.wanted and self._error is None

    def _compare(self, prefix: Prefix, data: bytes) -> bytes:
        """Bytes that the consumer has already; returns those that it has not."""
        known, new = data[: prefix.left], data[prefix.left :]
        assert self._checks is not None
        self._checks.update(known)
        if not prefix.compare(known):
            self.offset = 0
            raise NotResumable("the file begins with other bytes here than what was read before", self.answered)
        return new

    def _release(self, data: bytes) -> None:
        """Let bytes go on: all of them, or those that need not be held back any longer."""
        assert self._checks is not None
        assert self.head is not None
        if self._tail is not None:
            data = b"".join(self._tail.push(data))  # one piece, for the consumer may pause or stop after any
        if data:
            self._prefix = None  # the consumer has more now
            self._checks.update(data)
            self.outlet.give(data, self.head)

    # the ends

    def _turned(self, open_: bool) -> None:
        if self._watch is not None:
            self._watch.turned(open_)
        if self._checks is not None:
            self._checks.turned(open_)

    def _expired(self, error: TimedOut) -> None:
        self._break(TimedOut(error.phase, error.seconds, self.answered))

    def _stopped(self) -> None:
        self._break(ConsumerGone("the consumer wants no more"))

    def _break(self, error: DownloadError) -> None:
        """End this attempt from our side."""
        if not self._taking:
            self._error = error
            self._interrupt(error)
        elif self._error is None:
            self._error = error
            if self._delivery is not None:
                self._delivery.cancel()
