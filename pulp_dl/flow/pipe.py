"""
The pipe owns the bytes of one download, over all its attempts.

A I{pass} reads one body from its first byte on; a body that breaks off may be continued in the same pass by another
attempt, if it is proven that both halves belong together.  Whatever connections come and go, the consumer sees one
body, each byte once, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import (
    ConsumerFailed,
    ConsumerGone,
    DownloadError,
    NotResumable,
    SizeMismatch,
    TimedOut,
    TooLarge,
    Truncated,
    ValidationError,
)
from ..interfaces import IBody, IBodyConsumer, IResumable, IRewindable, IWorkers
from ..model.expect import Digest, Hashing, Size
from ..model.remote import Timeouts
from ..model.source import Head, Source, Span, Validators
from .checks import Checks
from .tail import Tail
from .unhurried import unhurried
from .valve import Valve
from .watch import Watch

__all__ = ["Ask", "Pipe"]

log = Logger()
T = TypeVar("T")


class Ask(NamedTuple):
    """What to ask a place for."""

    span: Span | None
    same_as: Validators | None
    continues: bool


class Pipe:
    """
    From a body to a consumer: checks, hold-back, rewinding, joining.

    For each attempt: C{ask}, then C{admit} the head, C{take} the body, C{finish}.  At the very end C{fail}, unless it
    went well.

    @ivar offset: bytes of the current pass that came so far.
    @ivar given: bytes that the consumer has been given.
    @ivar received: bytes that the current attempt brought.
    """

    def __init__(
        self,
        clock: IReactorTime,
        source: Source,
        consumer: IBodyConsumer,
        workers: IWorkers,
        timeouts: Timeouts,
        max_size: int | None,
    ) -> None:
        self._source = source
        self._consumer = consumer
        self._workers = workers
        self._max_size = max_size
        self._rewindable = IRewindable.providedBy(consumer)
        self._judged = any(isinstance(each, Digest) and each.enforced for each in source.expect)
        self._expected = next((each.value for each in source.expect if isinstance(each, Size) and each.enforced), None)
        self._watch = Watch(clock, timeouts, self._expired)
        self.valve = Valve(clock, self._accept, self._stopped, self._watch.turned)
        # the pass
        self.head: Head | None = None
        self.offset = 0
        self.joined = False
        self._places: tuple[str, ...] = ()
        self._checks: Checks | None = None
        self._tail: Tail | None = None
        self._limit: int | None = None
        self._may_continue = True
        # what the consumer has
        self.given = 0
        self._began: Head | None = None
        self._registered = False
        # reading again what the consumer has already: bytes still to compare, their digest so far, the wanted one
        self._skip = 0
        self._prefix = Hashing("sha256", None)
        self._proof: tuple[str, bytes] = ("", b"")
        # the attempt
        self.received = 0
        self._delivery: Deferred[None] | None = None
        self._error: DownloadError | None = None

    @property
    def open_seconds(self) -> float:
        """How long the current attempt was free to bring bytes."""
        return self._watch.open_seconds

    @property
    def complete(self) -> bool:
        """All bytes are here although the last attempt failed, and a digest will tell whether they are right."""
        return bool(self._judged and self.offset and self.head is not None and self.offset == self.head.total)

    @property
    def answered(self) -> str | None:
        """The URL that supplied the bytes of this pass, if there are any."""
        return self.head.url if self.head is not None and self.offset else None

    def came_from(self, place: Source) -> bool:
        """Did this place supply the bytes of this pass?"""
        return place.url in self._places

    @property
    def validated(self) -> bool:
        """Was something expected of what the consumer got, and enforced?"""
        whole = self._began is not None and self._began.whole
        return any(each.enforced and (whole or each.partial) for each in self._source.expect)

    # one attempt

    async def resume(self) -> None:
        """Look for bytes of an earlier run, once, before the first attempt."""
        if not IResumable.providedBy(self._consumer) or self._source.span is not None or self._source.conditions:
            return
        kept = await self._consumer.kept()
        if kept is None or not kept.size or (self._expected is not None and kept.size > self._expected):
            return
        checks = self._start_checks(kept.head)
        await checks.feed(kept.pieces())
        self.head, self.offset, self.given = kept.head, kept.size, kept.size
        self._places = (kept.head.url,)
        self._checks = checks

    def ask(self, place: Source) -> Ask:
        """What to ask this place for: the rest if the halves can be proven to belong together, else the whole."""
        head = self.head
        if head is not None and self.offset and self._may_continue:
            if place.url in self._places and head.validators.if_range is not None:
                return Ask(self._rest(head), head.validators, True)
            # Another place, or no strong validator: no If-Range, but an equal total and a digest of the whole.
            if head.whole and self._judged and head.total is not None:
                return Ask(self._rest(head), None, True)
        return Ask(self._source.span, None, False)

    def _rest(self, head: Head) -> Span:
        there = self.offset + self.valve.kept
        if head.span is None:
            return Span(there)
        return Span(head.span.start + there, head.span.stop)

    async def admit(self, head: Head, place: Source, ask: Ask) -> None:
        """
        Take a head, or raise why its body must not be read.

        @raise NotResumable: it does not go with what the consumer has already.
        """
        if ask.continues and head.status != 200:
            self._join(head, place, ask)
            return
        self._measure(head)
        if self.given:
            await self._start_again(head)
        if self._checks is not None:
            self._checks.drop()
        self._checks = self._start_checks(head)
        self._tail = Tail() if self._holds_back(head) else None
        self.valve.clear()
        self.head, self.offset, self.joined, self._may_continue = head, 0, False, True
        self._places = (place.url, head.url)

    def _holds_back(self, head: Head) -> bool:
        """Would it be too late to hear at the end that the body is wrong?"""
        return not self._rewindable and any(
            each.enforced and (head.whole or each.partial) for each in self._source.expect
        )

    def _start_checks(self, head: Head) -> Checks:
        expect = self._source.expect
        if not head.whole:
            expect = tuple(each for each in expect if each.partial)
        return Checks(expect, self._workers, self.valve, provable=not self._rewindable)

    def _join(self, head: Head, place: Source, ask: Ask) -> None:
        first = self.head
        assert first is not None
        self._may_continue = False  # unless it can be proven, the next attempt reads from the beginning
        if head.status != 206 or head.span is None:
            raise NotResumable(f"the server answered {head.status} to a request for the rest", place.url)
        if head.total != first.total and (ask.same_as is None or None not in {head.total, first.total}):
            raise NotResumable(f"the file has {head.total} bytes here, it had {first.total}", place.url)
        if ask.same_as is not None and head.etag is not None and head.etag != first.etag:
            raise NotResumable("the file changed between two answers", place.url)
        self._may_continue = True
        self.joined = self.joined or place.url not in self._places

    def _measure(self, head: Head) -> None:
        """What can be known of the size before the body comes."""
        total = head.total if head.total is not None or not head.whole else head.length
        if self._expected is not None and head.status != 304 and total is not None and total != self._expected:
            raise SizeMismatch("size", self._expected, total, head.url)
        size = head.length
        if head.span is not None:
            size = None if head.span.stop is None else head.span.stop - head.span.start
        if self._max_size is not None and size is not None and size > self._max_size:
            raise TooLarge(self._max_size, head.url)
        bounds = (size, self._expected if head.whole else None, self._max_size)
        self._limit = min((each for each in bounds if each is not None), default=None)

    async def _start_again(self, head: Head) -> None:
        """The consumer has bytes, and a body comes that begins at its beginning."""
        consumer = self._consumer
        if IRewindable.providedBy(consumer):
            if self._began is None:
                self._begin(head)
            self._call(lambda: consumer.rewind(head))
            self._began, self.given = head, 0
            return
        first = self.head
        if first is None or not first.whole or not head.whole:
            raise NotResumable("a part of a file cannot be joined without a strong validator", head.url)
        if head.total is not None and first.total is not None and head.total != first.total:
            raise NotResumable(f"the file has {head.total} bytes here, it had {first.total}", head.url)
        if not self._skip and self._checks is not None:
            settled = self._checks.settled()
            if settled is not None:
                await settled
            self._proof = self._checks.so_far()
        self._skip = self.given
        self._prefix = Hashing(self._proof[0], None)

    async def take(self, body: IBody) -> None:
        """
        Read a body into the consumer.

        @raise DownloadError: it broke off, or what it brought is not wanted.
        """
        self._error = None
        self.received = 0
        delivery = self._delivery = body.deliver(self.valve)
        if self._broken:  # by what came before deliver() had returned
            delivery.cancel()
        elif not delivery.called:
            self._watch.start(open_=self.valve.open)
        try:
            await delivery
            drained = self.valve.drained()
            if drained is not None:
                self._delivery = drained
                await drained
        except (DownloadError, CancelledError) as error:
            if self._error is not None:
                raise self._error from (None if isinstance(error, CancelledError) else error)
            raise
        finally:
            self._delivery = None
            self._watch.stop()
            self.valve.unregisterProducer()
        if self._broken:
            raise self._error

    async def finish(self) -> tuple[Head, dict[str, object], tuple[ValidationError, ...]]:
        """
        The body is whole: let every check judge it, release the last piece, have it made last.

        Returns the head that the consumer was given, the facts, and mismatches that are only reported.
        """
        head, checks = self.head, self._checks
        assert head is not None
        assert checks is not None
        total = self._whole_length(head)
        if total is not None and self.offset < total:
            raise Truncated(self.offset, total, head.url)
        if self._skip:
            raise NotResumable("the file is shorter here than what was read before", head.url)
        tail = await self._settle(checks)
        try:
            facts, advisories = checks.verify()
        except DownloadError:
            self.offset = 0  # nothing of this pass can be continued
            if self._tail is not None:
                self._skip = self.given  # and the proof is of the bytes before the last piece
            raise
        for piece in tail:
            self._give(piece)
        if self._began is None:
            self._begin(head)
        self._unregister()
        ending = self._call(self._consumer.finish)
        if ending is not None:
            try:
                await unhurried(ending)
            except DownloadError:
                raise
            except Exception as error:
                raise _consumer_failed(error) from error
        assert self._began is not None
        return self._began, dict(facts), advisories

    def _whole_length(self, head: Head) -> int | None:
        if not head.whole:
            return None if head.span is None or head.span.stop is None else head.span.stop - head.span.start
        return head.total if head.total is not None else self._expected

    async def _settle(self, checks: Checks) -> list[bytes]:
        """Show the checks the last piece as well, keeping what proves the bytes before it."""
        settled = checks.settled()
        if settled is not None:
            await settled
        if self._tail is None or not self._tail.size:
            return []
        if self.given:
            self._proof = checks.so_far()
        tail = self._tail.pop()
        for piece in tail:
            checks.update(piece)
        settled = checks.settled()
        if settled is not None:
            await settled
        return tail

    def fail(self, error: BaseException) -> None:
        """There will be no more: tell the consumer.  Never raises."""
        self._watch.stop()
        self.valve.clear()
        if self._checks is not None:
            self._checks.drop()
        try:
            self._unregister()
            self._consumer.fail(Failure(error))
        except Exception:
            log.failure("a consumer raised in fail()")

    # the bytes

    def _accept(self, data: bytes) -> None:
        if self._error is not None:
            return
        size = len(data)
        self.received += size
        self.offset += size
        self._watch.fed(size)
        if self._limit is not None and self.offset > self._limit:
            self._may_continue = False
            self._break(TooLarge(self._limit, self.answered))
            return
        try:
            if self._skip:
                data = self._compare(data)
                if not data:
                    return
            if self._tail is None:
                if self._checks is not None:
                    self._checks.update(data)
                self._give(data)
            else:
                for piece in self._tail.push(data):
                    if self._checks is not None:
                        self._checks.update(piece)
                    self._give(piece)
        except DownloadError as error:
            self._break(error)

    def _compare(self, data: bytes) -> bytes:
        """Bytes that the consumer has already; returns those that it has not."""
        known, new = data[: self._skip], data[self._skip :]
        self._prefix.update(known)
        if self._checks is not None:
            self._checks.update(known)
        self._skip -= len(known)
        if not self._skip and self._prefix.so_far() != self._proof[1]:
            self._skip = self.given
            self._may_continue = False
            raise NotResumable("the file begins with other bytes here than what was read before")
        return new

    def _give(self, data: bytes) -> None:
        if self._began is None:
            assert self.head is not None
            self._begin(self.head)
        self.given += len(data)
        try:
            self._consumer.write(data)
        except DownloadError:
            raise
        except Exception as error:
            raise _consumer_failed(error) from error

    def _begin(self, head: Head) -> None:
        self._began = head
        self._call(lambda: self._consumer.begin(head))
        self._registered = True
        self._call(lambda: self._consumer.registerProducer(self.valve, True))

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self._call(self._consumer.unregisterProducer)

    def _call(self, method: Callable[[], T]) -> T:
        try:
            return method()
        except DownloadError:
            raise
        except Exception as error:
            raise _consumer_failed(error) from error

    # the ends

    @property
    def _broken(self) -> bool:
        return self._error is not None

    def _expired(self, error: TimedOut) -> None:
        self._break(TimedOut(error.phase, error.seconds, None if self.head is None else self.head.url))

    def _stopped(self) -> None:
        self._break(ConsumerGone("the consumer wants no more"))

    def _break(self, error: DownloadError) -> None:
        """End this attempt from our side."""
        if self._error is None:
            self._error = error
            if self._delivery is not None:
                self._delivery.cancel()


def _consumer_failed(error: Exception) -> ConsumerFailed:
    return ConsumerFailed(f"the consumer raised {type(error).__name__}: {error}")
