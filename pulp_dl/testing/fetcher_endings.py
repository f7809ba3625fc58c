"""How bodies and fetchers end before their end: cancelled, abandoned, stopped, closed; and what is left then."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
from twisted.internet.defer import CancelledError

from ..model.source import Source
from .consumers import Sink
from .content import alike
from .fetcher_trial import LARGE, RECEIVE, Calling, Make, Trial, some, stopping, trying
from .guard import Belongings, turns

__all__ = ["EndingChecks"]

MOMENTS = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 65, 85, 110, 150, 200]
"""Turns of the reactor after which something is cancelled."""


class EndingChecks:
    """Part of what L{check_fetcher<pulp_dl.testing.fetcher_checks.check_fetcher>} returns."""

    _make: Make
    _patience: float

    def _trying(self) -> AbstractAsyncContextManager[Trial]:
        return trying(self._make, self._patience)

    async def test_cancelling_open_leaves_nothing(self) -> None:
        async with self._trying() as trial:
            url = await trial.serve("cancel open", some(LARGE))
            rested = await trial.rested()
            for count in (0, 0, 1, 2, 3, 5, 8):
                opening = trial.fetcher.open(Source(url))
                await turns(trial.reactor, count)
                opening.cancel()
                try:
                    body = await trial.soon(opening, "cancelled open")
                except CancelledError:
                    continue
                body.abandon()  # it had been quicker
            await trial.left(rested, "by a cancelled open")

    async def test_cancelling_leaves_nothing_however_far_the_first_open_has_come(self) -> None:
        """Name, connection, handshake, login, question: nothing is there yet that could be shared."""
        async with self._trying() as trial:
            kept = await trial.kept(Belongings.now(trial.reactor))
        async with self._trying() as trial:
            before = Belongings.now(trial.reactor)
            url = await trial.serve("cold", some(LARGE))
            for count in MOMENTS:
                ended = await trial.cancelled(lambda: trial.fetcher.open(Source(url)), count, "open")
                if ended is not None:
                    ended[0].abandon()
                    break
            await trial.rested()
            await trial.left(before.plus(kept), "by a cancelled open")

    async def test_cancelling_leaves_nothing_however_far_a_head_or_a_body_has_come(self) -> None:
        async with self._trying() as trial:
            url = await trial.serve("phases", some(LARGE))
            rested = await trial.rested()
            for count in MOMENTS:
                if await trial.cancelled(lambda: trial.fetcher.head(Source(url)), count, "head") is not None:
                    break
            for count in MOMENTS[:12]:
                body, sink = await trial.open(url), Sink(slack=RECEIVE)
                deliver = partial(body.deliver, sink)
                await trial.cancelled(deliver, count, "deliver")
                await trial.ended(sink)
            await trial.left(rested, "by what was cancelled on its way")
            alike(await trial.deliver(await trial.open(await trial.serve("next", b"next"))), b"next")

    async def test_a_body_that_is_abandoned_leaves_nothing(self) -> None:
        async with self._trying() as trial:
            url = await trial.serve("abandon", some(LARGE))
            rested = await trial.rested()
            for _ in range(3):
                body = await trial.open(url)
                body.abandon()
            await trial.left(rested, "by abandoned bodies")
            alike(await trial.deliver(await trial.open(await trial.serve("next", b"next"))), b"next")

    @pytest.mark.parametrize("when", ["before the first byte", "in the middle", "while paused", "inside a write"])
    async def test_cancelling_a_delivery_leaves_nothing(self, when: str) -> None:
        async with self._trying() as trial:
            url = await trial.serve("cancel", some(LARGE))
            rested = await trial.rested()
            for _ in range(3):
                body = await trial.open(url)
                sink = stopping(trial.reactor, when)
                delivery = body.deliver(sink)
                if when == "inside a write":
                    sink.call = delivery.cancel
                    sink.resume()
                elif when == "before the first byte":
                    delivery.cancel()
                else:
                    await trial.written(sink)
                    delivery.cancel()
                with pytest.raises(CancelledError):
                    await trial.soon(delivery, f"cancelled {when}")
                await trial.ended(sink)
            await trial.left(rested, f"by deliveries cancelled {when}")
            alike(await trial.deliver(await trial.open(await trial.serve("next", b"next"))), b"next")

    @pytest.mark.parametrize("paused", [True, False])
    async def test_a_producer_that_is_stopped_ends_the_delivery_and_leaves_nothing(self, paused: bool) -> None:
        """A consumer may do so instead of cancelling; and whoever paused it may come late to take that back."""
        async with self._trying() as trial:
            url = await trial.serve("stop", some(LARGE))
            rested = await trial.rested()
            for _ in range(3):
                sink = Calling(trial.reactor, pause_after=1 if paused else None)
                body = await trial.open(url)
                if not paused:
                    sink.call = lambda sink=sink: sink.producer.stopProducing()  # type: ignore[misc]
                delivery = body.deliver(sink)
                if paused:
                    await trial.written(sink)
                    producer = sink.producer
                    producer.stopProducing()
                with pytest.raises(CancelledError):
                    await trial.soon(delivery, "a delivery whose producer was stopped")
                if paused:
                    producer.resumeProducing()
                    producer.stopProducing()
                await trial.ended(sink)
            await trial.left(rested, "by a producer that was stopped")
            alike(await trial.deliver(await trial.open(await trial.serve("next", b"next"))), b"next")

    @pytest.mark.parametrize("write", [1, 2])
    async def test_a_consumer_that_raises_ends_the_delivery_and_leaves_nothing(self, write: int) -> None:
        async with self._trying() as trial:
            url = await trial.serve("raises", some(LARGE))
            rested = await trial.rested()
            for _ in range(3):
                sink = Sink(raises={"write": OSError("no room")}, raise_at=write, slack=RECEIVE)
                body = await trial.open(url)
                with pytest.raises(Exception) as caught:  # noqa: PT011  # the engine looks at the consumer, not at it
                    await trial.soon(body.deliver(sink), "deliver to a consumer that raises")
                assert not isinstance(caught.value, AssertionError), caught.value
                await trial.ended(sink)
                assert len(sink.writes) == write - 1
            await trial.left(rested, "by a consumer that raised")

    @pytest.mark.parametrize("method", ["registerProducer", "unregisterProducer"])
    async def test_a_consumer_that_raises_where_a_producer_comes_or_goes_is_heard(self, method: str) -> None:
        async with self._trying() as trial:
            url = await trial.serve("raises", some(LARGE))
            rested = await trial.rested()
            for _ in range(3):
                body = await trial.open(url)
                delivery = body.deliver(Sink(raises={method: OSError("no room")}, slack=RECEIVE))
                with pytest.raises(Exception) as caught:  # noqa: PT011  # as above
                    await trial.soon(delivery, f"deliver to a consumer whose {method} raises")
                assert not isinstance(caught.value, AssertionError), caught.value
            await trial.left(rested, "by a consumer that raised")

    async def test_close_aborts_what_runs_and_may_be_called_again(self) -> None:
        async with self._trying() as trial:
            url = await trial.serve("close", some(LARGE))
            unread = await trial.open(url)
            sinks = [Sink(pause_after=1, slack=RECEIVE), Sink(pause_after=0, slack=RECEIVE)]
            deliveries = [(await trial.open(url)).deliver(sink) for sink in sinks]
            await trial.written(sinks[0])
            opening = trial.fetcher.open(Source(url))
            assert await trial.soon(trial.fetcher.close(), "close") is None, "close fires with None"
            assert await trial.soon(trial.fetcher.close(), "close again") is None
            for delivery, sink in zip(deliveries, sinks, strict=True):
                with pytest.raises(Exception) as caught:  # noqa: PT011  # what it fails with is not promised
                    await trial.soon(delivery, "a delivery when the fetcher closes")
                assert not isinstance(caught.value, AssertionError), caught.value
                await trial.ended(sink)
            try:
                body = await trial.soon(opening, "an open when the fetcher closes")
            except AssertionError:
                raise
            except Exception:  # noqa: S110  # as above
                pass
            else:
                body.abandon()  # it had been quicker
            unread.abandon()

    async def test_close_leaves_no_more_than_a_download_that_went_well(self) -> None:
        async with self._trying() as trial:
            url = await trial.serve("close", some(LARGE))
            rested = await trial.rested()
            unread = [await trial.open(url) for _ in range(3)]
            sinks = [Sink(pause_after=1, slack=RECEIVE) for _ in range(3)]
            deliveries = [(await trial.open(url)).deliver(sink) for sink in sinks]
            for delivery in deliveries:
                delivery.addErrback(lambda _: None)  # what it fails with is not promised
            opening = [trial.fetcher.open(Source(url)) for _ in range(3)]
            await trial.soon(trial.fetcher.close(), "close")
            for each in opening:
                each.addCallbacks(lambda body: body.abandon(), lambda _: None)
            for body in unread:
                body.abandon()
            await trial.left(rested, "by close")
