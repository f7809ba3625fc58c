"""
Several places that bring one file.

Its beginning comes as it always does, from the first place, in order.  Meanwhile others bring what is further on: who
is free takes a share of the largest part that is still to come, as large as both will need the same time for.  So a
fast place brings more than a slow one, and a place that falls silent loses what it had left.  Where the beginning
comes to what others have brought, the first place is free as well.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..consumers.interfaces import IRandomAccess
from ..errors import ConsumerFailed, ConsumerGone, DownloadError
from ..flow.outlet import in_our_words
from ..flow.timers import Call
from ..model.remote import Segments
from ..model.source import Head, Source, Span
from .stretch import Stretch

if TYPE_CHECKING:
    from ..flow.scattered import Scattered
    from .download import Download

__all__ = ["Team"]

log = Logger()

TICK: Final = 1.0
"""Seconds between two looks at who could do more; what ends within that needs no help."""

SILENCE: Final = 2.0
"""Seconds without a byte after which another place may have what is left."""


@define(eq=False)
class _Piece:
    """A part of the file: up to C{there} its bytes are there, and the rest comes, if there is a stretch."""

    start: int
    there: int
    stop: int
    stretch: Stretch | None = None

    @property
    def at(self) -> int:
        return self.there if self.stretch is None else self.stretch.at

    @property
    def rest(self) -> int:
        return self.stop - self.at


class Team:
    """
    The helpers of one download.

    @ivar joined: some of what they have brought is behind the beginning.
    """

    joined = False

    def __init__(
        self,
        whole: Download,
        pipe: Scattered,
        consumer: IRandomAccess,
        head: Head,
        find: Callable[[], Coroutine[Deferred[Any], Any, list[Source]]],
        segments: Segments,
    ) -> None:
        """
        @param head: of the whole file, with a total.
        @param find: tells who may be asked besides, best first; called once, and not before somebody is wanted.
        """
        assert head.total is not None
        self._whole = whole
        self._pipe = pipe
        self._consumer = consumer
        self._head = head
        self._total = head.total
        self._find = find
        self._finding: Deferred[Any] | None = None
        self._waiting: list[Source] = []  # to be asked
        self._most = segments.places - 1
        self._least = segments.piece
        self._free: list[Source] = []
        self._speeds: dict[str, float] = {}
        self._pieces: list[_Piece] = []  # in order, without a gap, to the end of the file
        self._running: set[Deferred[Any]] = set()
        self._first: Source | None = None  # whoever brought the beginning, if it helps
        self._changed: Deferred[None] | None = None
        self._tick: Call | None = None
        self._looking = self._over = False

    # the beginning comes

    @property
    def begin(self) -> int | None:
        return self._pieces[0].start if self._pieces else None

    def came(self) -> None:
        if self._tick is None and not self._over:
            self._tick = self._whole._clock.callLater(TICK, self._ticked)

    def give_way(self) -> bool:
        while self._pieces and self._pieces[0].start <= self._pipe.offset:
            if self._pieces[0].at > self._pieces[0].start:
                return False
            _end(self._pieces.pop(0))
        return True

    def overtaken(self, to: int) -> None:
        looking, self._looking = self._looking, True  # nobody takes what is not trimmed yet
        for piece in tuple(self._pieces):
            if piece.start < to:
                _end(piece)
                piece.start, piece.there = to, max(to, piece.there)
                if piece.start >= piece.stop:
                    self._pieces.remove(piece)
        self._looking = looking

    def forget(self) -> None:
        self.close()
        self._pieces = []
        self.joined = False

    # it has come to what others bring

    async def gather(self, place: Source) -> None:
        """This place is free as well: until nothing more comes.  What is there then behind the beginning joins it."""
        self._first = place
        self._free.insert(0, place)
        if self._pipe.speed is not None:
            self._speeds[place.url] = self._pipe.speed
        self._look()
        await self.ended()
        self._free = [each for each in self._free if each is not place]
        self._first = None
        to = self._pipe.offset
        while self._pieces and self._pieces[0].start <= to:
            piece = self._pieces.pop(0)
            to = max(to, piece.there)
            if to < piece.stop:
                break
        if to > self._pipe.offset:
            self.joined = True
            await self._pipe.skip(to, self._consumer)
        self.give_way()

    async def ended(self) -> None:
        """Wait until nobody brings anything."""
        while self._running:
            self._changed = Deferred()
            await self._changed

    def leave(self) -> None:
        """It is at its end: nobody is wanted any more, either."""
        self.close()
        if self._finding is not None:
            self._finding.cancel()

    def close(self) -> None:
        """Nobody brings anything any more."""
        self._over = True
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        for piece in tuple(self._pieces):
            _end(piece)

    # who does what

    def _ticked(self) -> None:
        self._tick = None
        self.came()
        if self._finding is None and self._spare:
            self._finding = Deferred.fromCoroutine(self._find())
            self._finding.addCallbacks(self._found, _not_found)
        self._yield()
        if self._free or self._waiting:
            self._relieve()
        self._look()

    def _found(self, places: list[Source]) -> None:
        self._waiting = places
        self._look()

    @property
    def _spare(self) -> bool:
        """Could more be done?  Where the consumer is what is slow, nobody makes it faster."""
        return self._whole._shared.slots.spare and self._pipe.valve.open

    def _yield(self) -> None:
        """
        Others wait for a connection: who helps gives its own, one at a time, and may help again later.  Who has no
        answer is first, for it may be it that waits.
        """
        helping = [each.stretch for each in self._pieces if each.stretch is not None]
        if self._first is not None and len(helping) == 1:
            return  # that is the one connection which every download has
        for stretch in sorted(helping, key=lambda each: each.answered):
            if stretch.place is not self._first and stretch.wanted:
                stretch.end()
                self._waiting.append(stretch.place)
                return

    def _relieve(self) -> None:
        """Who is silent has nothing left to do."""
        for piece in tuple(self._pieces):
            if piece.stretch is not None and piece.stretch.silent >= SILENCE:
                _end(piece)
        if self._pipe.silent >= SILENCE:
            self._insert(self._pipe.offset)
            self._pipe.enough()

    def _look(self) -> None:
        """Whoever is free takes something."""
        if self._looking:
            return  # who looks is called again by what it does
        self._looking = True
        try:
            while not self._over and self._give():
                pass
        except DownloadError as error:  # the consumer has failed
            self._whole._interrupt(error)
        finally:
            self._looking = False

    def _give(self) -> bool:
        spare = self._spare
        others = len(self._free) + len(self._running) - (self._first is not None)
        if spare and others < self._most and self._waiting:
            self._free.append(self._waiting.pop(0))
        for place in self._free:
            if spare or place is self._first:
                piece = self._piece(place)
                if piece is not None:
                    self._free.remove(place)
                    self._bring(place, piece)
                    return True
        return False

    def _piece(self, place: Source) -> _Piece | None:
        """What this place could bring."""
        for index, piece in enumerate(self._pieces):
            if piece.stretch is None and piece.rest:
                return self._split(index, piece.at)
        mine, pipe = self._speeds.get(place.url), self._pipe
        running = [(each.rest, None if each.stretch is None else each.stretch.speed) for each in self._pieces]
        shares = [
            self._share(rest, mine, theirs) for rest, theirs in [(self._front - pipe.offset, pipe.speed), *running]
        ]
        share = max(shares)
        if not share:
            return None
        index = shares.index(share)
        if index:
            return self._split(index - 1, self._pieces[index - 1].stop - share)
        return self._insert(self._front - share)

    @property
    def _front(self) -> int:
        """How far the beginning has to come."""
        return self._pieces[0].start if self._pieces else self._total

    def _insert(self, start: int) -> _Piece:
        """From there on the beginning is a piece."""
        self._pieces.insert(0, _Piece(start, start, self._front))
        return self._pieces[0]

    def _share(self, rest: int, mine: float | None, theirs: float | None) -> int:
        """
        How much of what is left to one place another one takes, or 0: so much that both are done at the same time.
        """
        if theirs is not None and rest < 2 * TICK * theirs:  # it will soon be there
            return 0
        if mine is None or theirs is None:
            return rest // 2 if rest >= 2 * self._least else 0
        return int(rest * mine / (mine + theirs))

    def _split(self, index: int, at: int) -> _Piece:
        """The part of a piece from there on, as a piece of its own."""
        piece = self._pieces[index]
        if at == piece.start:
            return piece
        rest = _Piece(at, at, piece.stop)
        piece.stop = at
        self._pieces.insert(index + 1, rest)
        if piece.stretch is not None:
            piece.stretch.cut(at)
        return rest

    def _bring(self, place: Source, piece: _Piece) -> None:
        with in_our_words:
            part = self._consumer.part(piece.start)
        # Where the beginning is from it has to be the same as before; elsewhere a digest of the whole will tell.
        same_as = self._head.validators if place is self._first and self._pipe.came_from(place) else None
        span = Span(piece.start, piece.stop)
        stretch = Stretch(self._whole, place, span, self._total, part, same_as=same_as)
        piece.stretch = stretch
        running = stretch.start()
        self._running.add(running)
        running.addBoth(self._ended, running, stretch, piece)

    def _ended(self, result: object, running: Deferred[Any], stretch: Stretch, piece: _Piece) -> None:
        self._running.discard(running)
        piece.there, piece.stretch = stretch.at, None
        if stretch.speed is not None:
            self._speeds[stretch.place.url] = stretch.speed
        if not piece.rest:
            self._free.append(stretch.place)
        if isinstance(result, Failure):
            if isinstance(result.value, ConsumerFailed | ConsumerGone):
                self._whole._interrupt(result.value)
            elif not result.check(DownloadError, CancelledError):
                log.failure("a part of a file could not be brought", result)
        self._look()
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.callback(None)


def _end(piece: _Piece) -> None:
    if piece.stretch is not None:
        piece.stretch.end()


def _not_found(failure: Failure) -> None:
    """Whatever became of the mirrors, there is a place that brings the file."""
    if not failure.check(CancelledError):
        log.failure("places that could help were not found", failure)
