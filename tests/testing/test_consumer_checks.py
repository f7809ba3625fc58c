"""Each check of consumers catches a consumer that breaks the promise: no check is one that cannot fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl.consumers.interfaces import IRandomAccess
from pulp_dl.errors import ConsumerGone
from pulp_dl.flow.claims import IComposite
from pulp_dl.interfaces import IRewindable, IWorkers, IWorkerUser
from pulp_dl.model.source import Head
from pulp_dl.testing import ConsumerCase, check_consumer

PATIENCE = 0.1
UNEVEN = "_kept"


@implementer(IRandomAccess)
class Right:
    """
    A right one, to be bent.

    @ivar kept: what somebody else would find.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.kept: bytes | None = b"before"
        self.pieces: list[bytes] = []
        self.producer: Any = None
        self.undo: list[Callable[[], object]] = []

    def gone(self) -> Deferred[Any]:
        return Deferred()

    def begin(self, head: Head) -> None:
        pass

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def rewind(self, head: Head) -> None:
        self.pieces.clear()

    def unregisterProducer(self) -> None:
        self.producer = None

    def finish(self) -> Any:
        self.kept = b"".join(self.pieces)

    def fail(self, failure: Failure) -> None:
        pass

    def part(self, start: int) -> Any:
        return Part(self, start)

    def seek(self, offset: int) -> None:
        pass

    def reread(self, start: int, stop: int, see: Callable[[bytes], object]) -> Deferred[None]:
        try:
            see(b"".join(self.pieces)[start:stop])
        except Exception:
            return fail(Failure())
        return succeed(None)


@implementer(IRewindable)
class Part:
    """A part of it, to be bent as well."""

    def __init__(self, whole: Right, start: int) -> None:
        self.whole = whole
        self.start = self.at = start

    def gone(self) -> Deferred[Any]:
        return Deferred()

    def begin(self, head: Head) -> None:
        pass

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass

    def write(self, data: bytes) -> None:
        all_ = b"".join(self.whole.pieces)
        self.whole.pieces[:] = [all_[: self.at] + data + all_[self.at + len(data) :]]
        self.at += len(data)

    def rewind(self, head: Head) -> None:
        self.at = self.start

    def unregisterProducer(self) -> None:
        pass

    def finish(self) -> Any:
        pass

    def fail(self, failure: Failure) -> None:
        pass


BENT: dict[str, tuple[type[Right], str, tuple[Any, ...]]] = {}
T = TypeVar("T", bound=type[Right])


def bent(check: str, *argument: Any) -> Callable[[T], T]:
    """This one has to be caught by that check."""

    def add(cls: T) -> T:
        BENT[f"{cls.__name__}, {check}, {argument}"] = cls, check, argument
        return cls

    return add


@bent(UNEVEN, (5, 70_000))
@bent("test_a_large_body_is_kept_with_all_the_pauses_it_needs")
@bent("test_a_body_of_unknown_length_is_kept_too")
class LosesThePieceBeforeTheLast(Right):
    def finish(self) -> None:
        del self.pieces[-2]
        super().finish()


@bent(UNEVEN, (5,))
class IsNoConsumer(Right):
    gone = None  # type: ignore[assignment]  # on purpose


@bent(UNEVEN, (5,))
class HasNoGone(Right):
    def gone(self) -> Any:
        return None


@bent(UNEVEN, (5,))
class IsGoneWhenItIsDone(Right):
    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.waiting: Deferred[Any] = Deferred()

    def gone(self) -> Deferred[Any]:
        return self.waiting

    def finish(self) -> None:
        super().finish()
        self.waiting.callback(ConsumerGone("done"))


@bent(UNEVEN, (5,))
class FiresWithWhatItKept(Right):
    def finish(self) -> Any:
        super().finish()
        return succeed(self.kept)


@bent(UNEVEN, (5,))
class NeverFinishes(Right):
    def finish(self) -> Any:
        super().finish()
        return Deferred()


@bent(UNEVEN, (5,))
class ResumesWhoeverWasThere(Right):
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        self.first = producer

    def finish(self) -> None:
        super().finish()
        self.first.resumeProducing()


@bent(UNEVEN, (5,))
class StopsItsProducer(Right):
    def unregisterProducer(self) -> None:
        self.producer.stopProducing()


@bent("test_a_large_body_is_kept_with_all_the_pauses_it_needs")
class NeverResumes(Right):
    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()


@bent(UNEVEN, (5,))
class LeavesATimer(Right):
    def begin(self, head: Head) -> None:
        timer = self.reactor.callLater(1000, bool)
        self.undo.append(lambda: timer.active() and timer.cancel())


@bent(UNEVEN, (5,))
@implementer(IWorkerUser)
class NeedsThreadsItDoesNotTake(Right):
    def use(self, workers: IWorkers) -> None:
        raise RuntimeError("no threads, please")


@bent("test_an_empty_body_is_a_body")
class TakesNothingForNothing(Right):
    def finish(self) -> None:
        if self.pieces:
            super().finish()


@bent("test_a_body_of_unknown_length_is_kept_too")
class CountsOnALength(Right):
    def begin(self, head: Head) -> None:
        assert head.length is not None


for size in (5, 300_000):

    @bent("test_nothing_is_to_be_seen_before_finish", size)
    class ShowsAtOnce(Right):
        def write(self, data: bytes) -> None:
            super().write(data)
            self.kept = b"".join(self.pieces)


class RemovesFirst(Right):
    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.kept = b"before"

    def begin(self, head: Head) -> None:
        self.kept = None


class KeepsAHalf(Right):
    def fail(self, failure: Failure) -> None:
        self.kept = b"".join(self.pieces)


class RaisesInFail(Right):
    def fail(self, failure: Failure) -> None:
        failure.raiseException()


for why in ("an error", "a cancellation"):
    bent("test_a_failure_before_the_first_byte_leaves_what_was_there", why)(KeepsAHalf)
    bent("test_a_failure_before_the_first_byte_leaves_what_was_there", why)(RaisesInFail)
    for size in (0, 5, 300_000):
        bent("test_a_failure_in_the_middle_leaves_what_was_there", size, why)(KeepsAHalf)
        bent("test_a_failure_in_the_middle_leaves_what_was_there", size, why)(RemovesFirst)
bent("test_a_failure_right_after_much_was_written_leaves_what_was_there")(KeepsAHalf)
bent("test_a_failure_after_a_rewind_leaves_what_was_there")(RemovesFirst)


@bent("test_what_is_rewound_is_forgotten")
@bent("test_what_is_rewound_and_not_written_again_is_empty")
class ForgetsNothing(Right):
    def rewind(self, head: Head) -> None:
        pass


@bent("test_what_is_rewound_is_forgotten")
class RewindsOnce(Right):
    rewound = False

    def rewind(self, head: Head) -> None:
        if not self.rewound:
            super().rewind(head)
        self.rewound = True


class HoldingPart(Part):
    """Gives its bytes to the whole at its end."""

    def __init__(self, whole: Right, start: int) -> None:
        super().__init__(whole, start)
        self.held: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.held.append(data)

    def finish(self) -> None:
        super().write(b"".join(self.held))


@bent("test_what_a_part_was_given_stays_when_it_fails")
class ForgetsWhatAPartWasGiven(Right):
    def part(self, start: int) -> Any:
        return HoldingPart(self, start)


@bent("test_parts_are_written_where_they_belong_in_any_order_and_can_be_read_again")
class WritesPartsOneAfterTheOther(Right):
    def part(self, start: int) -> Any:
        return Part(self, 100_000)


@bent("test_parts_are_written_where_they_belong_in_any_order_and_can_be_read_again")
class ReadsItFromTheBeginning(Right):
    def reread(self, start: int, stop: int, see: Callable[[bytes], object]) -> Deferred[None]:
        return super().reread(0, stop, see)


@bent("test_what_is_raised_by_who_reads_again_is_no_fault_of_the_consumer")
class TakesAllFaultsForItsOwn(Right):
    def reread(self, start: int, stop: int, see: Callable[[bytes], object]) -> Deferred[None]:
        self.pieces.clear()
        return super().reread(start, stop, see)


@bent("test_what_hands_on_says_to_whom_and_spares_those_that_are_in_use")
@implementer(IComposite)
class HandsOnARefusal(Right):
    """To what another download uses."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.consumers = (Right(reactor),)

    def fail(self, failure: Failure) -> None:
        self.consumers[0].fail(failure)


async def verdict(cls: type[Right], check: str, *arguments: Any) -> BaseException | None:
    """What a check says of a consumer, or None if it is content."""
    made: list[Right] = []

    @asynccontextmanager
    async def make(reactor: Any) -> AsyncIterator[ConsumerCase]:
        consumer = cls(reactor)
        made.append(consumer)
        yield ConsumerCase(consumer, lambda: consumer.kept)

    try:
        await getattr(check_consumer(make, patience=PATIENCE)(), check)(*arguments)
    except (Exception, pytest.fail.Exception) as error:
        return error
    finally:
        for consumer in made:
            for undo in consumer.undo:
                undo()
    return None


@pytest.mark.parametrize("name", BENT)
async def test_a_check_catches_what_it_is_for(name: str) -> None:
    cls, check, arguments = BENT[name]
    assert await verdict(cls, check, *arguments) is not None, f"{check} found nothing to say of {name}"


@pytest.mark.parametrize("check", sorted({(check, arguments) for _, check, arguments in BENT.values()}, key=repr))
async def test_a_check_is_content_with_what_is_right(check: tuple[str, tuple[Any, ...]]) -> None:
    """So the one before fails for the reason that its name tells."""
    assert await verdict(Right, check[0], *check[1]) is None


def test_every_check_has_something_that_it_catches() -> None:
    checks = check_consumer(lambda _: None)  # type: ignore[arg-type, return-value]  # it is not run
    names = {name for name in dir(checks) if name.startswith("test_")}
    kept = "test_a_body_is_kept_byte_for_byte_whatever_its_pieces"
    assert names == {check for _, check, _ in BENT.values()} - {UNEVEN} | {kept}
