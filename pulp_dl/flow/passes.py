"""
The passes of one download: what has come of a body, what to ask for next, and what may go on with what is there.

A I{pass} reads one body from its first byte on; a body that breaks off may be continued in the same pass by another
attempt, if it is proven that both halves belong together.
"""

from __future__ import annotations

from attrs import evolve

from ..errors import NotResumable
from ..interfaces import IExpectation, IResumable, IWorkers
from ..model.fingerprint import fingerprint
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

__all__ = ["Passes"]


class Passes:
    """
    One pass after the other, until one of them has brought a body that is whole.

    @ivar head: that of the current pass, or None before the first one.
    @ivar offset: bytes of the current pass that came so far.
    @ivar valve: keeps what came and has not gone through.
    @ivar outlet: the consumer's side.
    """

    valve: Valve
    outlet: Outlet
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

    def __init__(self, clock: Clock, source: Source, workers: IWorkers, max_size: int | None) -> None:
        self._clock = clock
        self._source = source
        self._workers = workers
        self._demands = Demands(source.expect, max_size)

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

    async def resume(self, consumer: IResumable) -> None:
        """Look for bytes of an earlier run, once, before the first attempt."""
        self._go_on(await look_for_beginning(consumer, self._source, self._demands, self._start_checks))

    def _go_on(self, found: Beginning) -> None:
        self.outlet.given = found.size  # so it has to forget them, unless they are gone on with
        self.head, self.offset, self._earlier = found.head, found.size if found.head else 0, found.place
        self._limit, self._checks, self._found = found.limit, found.checks, found

    def begins(self, ask: Ask, head: Head) -> bool:
        """Has nothing been read yet of the body that this answer is, or is the rest of?"""
        if not ask.continues or head.status == 200:
            return True
        # What waits for the consumer may go through at any moment, and then it was there.
        return bool(self._earlier) and self.offset == self._found.size and not self.valve.kept

    async def expect(self, more: tuple[IExpectation, ...], ask: Ask, head: Head) -> None:
        """More is expected, of this body, which C{begins}, and of all that follow; and of what is there of it."""
        self._source = evolve(self._source, expect=(*self._source.expect, *more))
        self._demands = self._demands.of(self._source.expect)
        if ask.continues and head.status != 200:
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
        # An earlier run kept no more than the fingerprint of its place, which is that of this one.
        came = first if self._earlier is None else evolve(first, url=place.url)
        prove(came, head, place, ask, bounded=judged or self._demands.size is not None, judged=judged)
        if first.total is None and head.total is not None:
            self.head = evolve(first, total=head.total)  # a part may end before the file does
            if first.whole:
                self._limit = head.total if self._limit is None else min(self._limit, head.total)
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
