"""The promises of L{IBodyConsumer} and L{IRewindable} as tests, for any consumer."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from ..consumers.interfaces import IRandomAccess
from ..flow.claims import IComposite
from ..flow.outlet import Outlet, refuse
from ..interfaces import IBodyConsumer, IRewindable
from ..model.source import Head
from .consumer_trial import FAILURES, LARGE, ConsumerCase, Make, Trial, head_of, some, trying
from .content import alike
from .guard import PATIENCE, turns

__all__ = ["ConsumerCase", "check_consumer"]


class ConsumerChecks:
    """What L{check_consumer} returns a subclass of."""

    _make: Make
    _patience: float

    def _trying(self) -> AbstractAsyncContextManager[Trial]:
        return trying(self._make, self._patience)

    async def test_an_empty_body_is_a_body(self) -> None:
        async with self._trying() as trial:
            await trial.body([])
            await trial.finish()
            alike(await trial.read(), b"")
            await trial.settled()

    async def test_a_large_body_is_kept_with_all_the_pauses_it_needs(self) -> None:
        async with self._trying() as trial:
            pieces = [some(65536, number) for number in range(LARGE // 65536)]
            await trial.body(pieces)
            await trial.finish()
            alike(await trial.read(), b"".join(pieces))
            await trial.settled()

    async def test_a_body_of_unknown_length_is_kept_too(self) -> None:
        async with self._trying() as trial:
            await trial.body([b"who knows ", b"how much"], Head("http://example.org/file", 200))
            await trial.finish()
            alike(await trial.read(), b"who knows how much")
            await trial.settled()

    @pytest.mark.parametrize("size", [5, 300_000])
    async def test_nothing_is_to_be_seen_before_finish(self, size: int) -> None:
        async with self._trying() as trial:
            before = await trial.read()
            await trial.body([some(size)])
            await turns(trial.reactor, 10)
            alike(await trial.read(), before)
            await trial.finish()
            alike(await trial.read(), some(size))

    @pytest.mark.parametrize("why", FAILURES)
    async def test_a_failure_before_the_first_byte_leaves_what_was_there(self, why: str) -> None:
        async with self._trying() as trial:
            before = await trial.read()
            trial.consumer.gone().addBoth(trial.gone.append)
            assert trial.consumer.fail(FAILURES[why]()) is None, "fail returns None"
            await trial.until(before)
            await trial.settled()

    @pytest.mark.parametrize("why", FAILURES)
    @pytest.mark.parametrize("size", [0, 5, 300_000])
    async def test_a_failure_in_the_middle_leaves_what_was_there(self, size: int, why: str) -> None:
        async with self._trying() as trial:
            before = await trial.read()
            data = some(size)
            await trial.body([data[at : at + 65536] for at in range(0, size, 65536)], head_of([], 10_000_000))
            assert trial.consumer.fail(FAILURES[why]()) is None, "fail returns None"
            await trial.until(before)
            await trial.settled()

    async def test_a_failure_right_after_much_was_written_leaves_what_was_there(self) -> None:
        async with self._trying() as trial:
            before = await trial.read()
            await trial.start(head_of([], 10_000_000))
            trial.consumer.write(some(1_000_000))
            trial.feeder.unregister()
            trial.consumer.fail(FAILURES["a cancellation"]())
            await trial.until(before)
            await trial.settled()

    async def test_what_hands_on_says_to_whom_and_spares_those_that_are_in_use(self) -> None:
        async with self._trying() as trial:
            if not IComposite.providedBy(trial.consumer):
                return
            assert verifyObject(IComposite, trial.consumer)
            inner: Any = trial.consumer.consumers
            told: list[object] = []
            users = [Outlet(each, trial.feeder) for each in inner]
            for each, user in zip(inner, users, strict=True):
                assert verifyObject(IBodyConsumer, each)
                user.claim()
                each.fail = told.append
            refuse(trial.consumer, CancelledError())
            for each, user in zip(inner, users, strict=True):
                del each.fail
                user.release()
            assert told == [], "what another download uses does not hear that this one is refused"
            assert inner == trial.consumer.consumers

    async def test_what_is_rewound_is_forgotten(self) -> None:
        async with self._trying() as trial:
            if not IRewindable.providedBy(trial.consumer):
                return
            assert verifyObject(IRewindable, trial.consumer)
            await trial.start(head_of([b"", b"forget me"]))
            trial.consumer.rewind(head_of([some(400_000)]))
            await trial.feeder.feed([some(200_000), some(200_000)])
            trial.consumer.rewind(head_of([b"kept"]))
            await trial.feeder.feed([b"ke", b"pt"])
            trial.feeder.unregister()
            await trial.finish()
            alike(await trial.read(), b"kept")
            await trial.settled()

    async def test_what_is_rewound_and_not_written_again_is_empty(self) -> None:
        async with self._trying() as trial:
            if not IRewindable.providedBy(trial.consumer):
                return
            await trial.start(head_of([b"forget me"]))
            await trial.feeder.feed([b"forget me"])
            trial.consumer.rewind(head_of([]))
            trial.feeder.unregister()
            await trial.finish()
            alike(await trial.read(), b"")
            await trial.settled()

    async def test_a_failure_after_a_rewind_leaves_what_was_there(self) -> None:
        async with self._trying() as trial:
            if not IRewindable.providedBy(trial.consumer):
                return
            before = await trial.read()
            await trial.start(head_of([b"forget me"]))
            await trial.feeder.feed([some(300_000)])
            trial.consumer.rewind(head_of([b"forget me"]))
            await trial.feeder.feed([b"and me"])
            trial.feeder.unregister()
            trial.consumer.fail(FAILURES["an error"]())
            await trial.until(before)
            await trial.settled()

    async def test_parts_are_written_where_they_belong_in_any_order_and_can_be_read_again(self) -> None:
        async with self._trying() as trial:
            if not IRandomAccess.providedBy(trial.consumer):
                return
            assert verifyObject(IRandomAccess, trial.consumer)
            whole = some(900_000)
            await trial.start(head_of([whole]))
            await trial.feeder.feed([whole[:100_000], bytes(800_000)])
            for start, stop in ((600_000, 900_000), (100_001, 600_000), (100_000, 100_001)):
                await trial.part(start, [whole[start:stop]])
            seen: list[bytes] = []
            await trial.consumer.reread(99_999, 600_001, seen.append)
            alike(b"".join(seen), whole[99_999:600_001])
            trial.feeder.unregister()
            await trial.finish()
            alike(await trial.read(), whole)
            await trial.settled()

    async def test_what_a_part_was_given_stays_when_it_fails(self) -> None:
        async with self._trying() as trial:
            if not IRandomAccess.providedBy(trial.consumer):
                return
            await trial.start(head_of([b"kept here"]))
            await trial.feeder.feed([b"kept then"])
            await trial.part(5, [b"he", b"re"], FAILURES["an error"]())
            trial.feeder.unregister()
            await trial.finish()
            alike(await trial.read(), b"kept here")

    async def test_what_is_raised_by_who_reads_again_is_no_fault_of_the_consumer(self) -> None:
        async with self._trying() as trial:
            if not IRandomAccess.providedBy(trial.consumer):
                return
            await trial.start(head_of([b"kept"]))
            await trial.feeder.feed([b"kept"])
            with pytest.raises(ZeroDivisionError):
                await trial.consumer.reread(0, 4, lambda data: 1 // 0)
            trial.feeder.unregister()
            await trial.finish()
            alike(await trial.read(), b"kept")

    async def _kept(self, pieces: list[int]) -> None:
        async with self._trying() as trial:
            written = [some(size, number) for number, size in enumerate(pieces)]
            await trial.body(written)
            await trial.finish()
            alike(await trial.read(), b"".join(written))
            await trial.settled()


def check_consumer(make: Make, *, patience: float = PATIENCE) -> type:
    """
    A test class for one kind of consumer; subclass it where pytest finds it::

        @asynccontextmanager
        async def make_to_s3(reactor):
            async with FakeS3(reactor) as s3:
                yield ConsumerCase(ToS3(s3, "key"), read=lambda: s3.get("key"))

        class TestToS3(check_consumer(make_to_s3)):
            "ToS3 keeps every promise of IBodyConsumer."

    An L{IRewindable} consumer is tested as such, and so is one with L{IRandomAccess
    <pulp_dl.consumers.interfaces.IRandomAccess>} or L{IComposite<pulp_dl.flow.claims.IComposite>}.

    @param make: called with the reactor for each test; an async context manager of a L{ConsumerCase}.
    @param patience: seconds after which something that should happen at once is taken for never.
    """

    class Checks(ConsumerChecks):
        _make = staticmethod(make)
        _patience = patience

        # Here, because hypothesis and pytest-twisted change the function: each test class needs one of its own.
        @given(pieces=st.lists(st.integers(1, 200_000), max_size=8))
        async def test_a_body_is_kept_byte_for_byte_whatever_its_pieces(self, pieces: list[int]) -> None:
            await self._kept(pieces)

    return Checks
