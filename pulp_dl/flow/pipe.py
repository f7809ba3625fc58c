"""
The pipe owns the bytes of one download, over all its attempts.

A I{pass} reads one body from its first byte on; a body that breaks off may be continued in the same pass by another
attempt, if it is proven that both halves belong together.  Whatever connections come and go, the consumer sees one
body, each byte once, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from ..errors import ConsumerGone, DownloadError, NotResumable, TimedOut, TooLarge, Truncated, ValidationError
from ..interfaces import IBody, IBodyConsumer, IExpectation, IResumable, IWorkers
from ..model.fingerprint import fingerprint
from ..model.remote import Timeouts
from ..model.source import Head, Source
from .checks import Checks
from .demands import Demands
from .earlier import Beginning, look_again, look_for_beginning
from .joins import Ask, prove, prove_again, rest_of
from .outlet import Outlet
from .prefix import Prefix
from .tail import Tail
from .timers import Clock
from .valve import Valve
from .watch import Watch

__all__ = ["Pipe"]


class Pipe:
    """
    From a body to a consumer: checks, hold-back, rewinding, joining.

    For each attempt: C{ask}, then C{admit} the head, C{take} the body, C{finish}.  At the very end C{fail}, unless it
    went well.

    @ivar offset: bytes of the current pass that came so far.
    @ivar received: bytes that the current attempt brought.
    @ivar limits: for the bodies that follow, in place of the usual ones; None for those.
    """

    # the pass
    head: Head | None = None
    offset = 0
    _places: tuple[str, ...] = ()
    _earlier: str | None = None  # the fingerprint of the place, if an earlier run brought the first bytes
    _found = Beginning(0)  # what that was
    _checks: Checks | None = None
    _tail: Tail | None = None
    _limit: int | None = None
    _may_continue = True
    # what the consumer has already, if it cannot forget it and a body comes from its beginning again
    _prefix: Prefix | None = None
    # the attempt
    received = 0
    _opened = 0.0  # how long it was free to bring bytes of other bodies than the last one
    limits: Timeouts | None = None
    _watch: Watch | None = None  # a body that is here at once needs none
    _taking = False
    _delivery: Deferred[None] | None = None
    _error: DownloadError | CancelledError | None = None

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
        self._clock, self._interrupt = clock, interrupt
        self._source = source
        self._workers = workers
        self._demands = Demands(source.expect, max_size)
        self._timeouts = timeouts
        self.valve = make_valve(clock, self._accept, self._stopped, self._turned)
        self.outlet = Outlet(consumer, self.valve)

    @property
    def open_seconds(self) -> float:
        """How long the current attempt was free to bring bytes."""
        return self._opened if self._watch is None else self._opened + self._watch.open_seconds

    @property
    def complete(self) -> bool:
        """All bytes are here although the last attempt failed, and a digest will tell whether they are right."""
        head = self.head
        return bool(self.offset and head is not None and self._demands.judges(head) and self.offset == head.total)

    @property
    def answered(self) -> str | None:
        """The URL that supplied the bytes of this pass, if there are any."""
        return self.head.url if self.head is not None and self.offset and self._earlier is None else None

    def came_from(self, place: Source) -> bool:
        """Did this place supply the bytes of this pass?"""
        return place.url in self._places if self._earlier is None else fingerprint(place.url) == self._earlier

    @property
    def validated(self) -> bool:
        """Was something expected of what the consumer got, and enforced?"""
        return self.outlet.head is not None and self._demands.enforced(self.outlet.head)

    # one attempt

    def attempt(self) -> None:
        """Another one begins; nothing has come of it yet."""
        self.received, self._opened, self._watch = 0, 0.0, None

    async def resume(self, consumer: IResumable) -> None:
        """Look for bytes of an earlier run, once, before the first attempt."""
        self._go_on(await look_for_beginning(consumer, self._source, self._demands, self._start_checks))

    def _go_on(self, found: Beginning) -> None:
        self.outlet.given = found.size  # so it has to forget them, unless they are gone on with
        self.head, self.offset, self._earlier = found.head, found.size if found.head else 0, found.place
        self._limit, self._checks, self._found = found.limit, found.checks, found

    def begins(self, ask: Ask, head: Head) -> bool:
        """Has nothing been read yet of the body that this answer is, or is the rest of?"""
        return not ask.continues or head.status == 200 or (bool(self._earlier) and self.offset == self._found.size)

    async def expect(self, more: tuple[IExpectation, ...], ask: Ask, head: Head) -> None:
        """More is expected, of this body, which C{begins}, and of all that follow; and of what is there of it."""
        self._source = evolve(self._source, expect=(*self._source.expect, *more))
        self._demands = self._demands.of(self._source.expect)
        if ask.continues and head.status != 200:
            assert self._checks is not None
            self._checks.drop()
            self._go_on(await look_again(self._found, self._source, self._demands, self._start_checks))

    def ask(self, place: Source) -> Ask:
        """What to ask this place for: the rest if the halves can be proven to belong together, else the whole."""
        head = self.head if self.offset and self._may_continue else None
        rest = None if head is None else rest_of(head, self.offset + self.valve.kept)
        if head is not None and rest is not None:
            if self.came_from(place) and head.validators.if_range is not None:
                return Ask(rest, head.validators, True)
            # Another place, or no strong validator: no If-Range, but an equal total and a digest of the whole.
            if self._demands.judges(head) and head.total is not None:
                return Ask(rest, None, True)
        return Ask(self._source.span, None, False)

    async def admit(self, head: Head, place: Source, ask: Ask) -> None:
        """
        Take a head, or raise why its body must not be read.

        @raise NotResumable: it does not go with what the consumer has already.
        """
        if ask.continues and head.status != 200:
            self._join(head, place, ask)
            return
        self._limit = self._demands.measure(head)
        self.valve.clear()  # before anybody lets go of it: these bytes are read again
        if self.outlet.given or self.outlet.head is not None:
            head = await self._start_again(head)
        if self._checks is not None:
            self._checks.drop()
        self._checks = self._start_checks(head)
        # Would it be too late to hear at the end that the body is wrong?
        self._tail = None
        if not self.outlet.rewindable and self._demands.enforced(head):
            total = head.total if head.whole else None
            known = 0 if self._prefix is None else self._prefix.left  # these bytes do not go through it
            self._tail = Tail(None if total is None else total - known)
        self.head, self.offset, self._may_continue = head, 0, True
        self._places, self._earlier = (place.url, head.url), None

    def _start_checks(self, head: Head) -> Checks:
        expect = self._source.expect
        if not head.whole:
            expect = tuple(each for each in expect if each.partial)
        return Checks(expect, self._workers, self.valve, self._clock, provable=not self.outlet.rewindable)

    def _join(self, head: Head, place: Source, ask: Ask) -> None:
        first = self.head
        if first is None:
            raise NotResumable("what is there of it is no part of what is expected now", head.url)
        self._may_continue = False  # unless it can be proven, the next attempt reads from the beginning
        judged = self._demands.judges(first)
        prove(first, head, place, ask, bounded=judged or self._demands.size is not None, judged=judged)
        if first.total is None:
            self.head = evolve(first, total=head.total)  # a part may end before the file does
        self._may_continue = True

    async def _start_again(self, head: Head) -> Head:
        """
        The consumer has bytes, or a head, and a body comes that begins at its beginning.

        Returns its head; if that announces no length, with the one that the consumer was told.
        """
        if self.outlet.rewindable:
            self.outlet.rewind(head)
            return head
        # By the outlet's head: that of the last pass may be the head of another body.
        first = prove_again(self.outlet.head, head, self.outlet.given)
        if self._prefix is None:
            assert self._checks is not None
            await self._checks.rest()
            # The checks have seen just what the consumer has; what is held back they see later.
            self._prefix = Prefix(self.outlet.given, *self._checks.so_far())
        self._prefix.restart()
        if head.total is None and first.total is not None:
            head = evolve(head, total=first.total)
            self._limit = first.total
        return head

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
            await delivery
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
