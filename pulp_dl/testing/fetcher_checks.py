"""The promises of L{IFetcher} and L{IBody} as tests, for any protocol."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import isawaitable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from ..errors import DownloadError, NotFound
from ..interfaces import IBody, IFetcher
from ..model.headers import Pairs
from ..model.source import Head, Source, Span
from .consumers import Sink
from .content import alike
from .fetcher_endings import EndingChecks
from .fetcher_trial import LARGE, RECEIVE, FetcherCase, Make, Uneven, some
from .guard import PATIENCE, turns

__all__ = ["FetcherCase", "check_fetcher"]

SIZES = [0, 1, 65536, 65537, 1024 * 1024 + 3]


class FetcherChecks(EndingChecks):
    """What L{check_fetcher} returns a subclass of."""

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_body_comes_whole_byte_for_byte(self, size: int) -> None:
        async with self._trying() as trial:
            assert verifyObject(IFetcher, trial.fetcher)
            data = some(size)
            url = await trial.serve("whole", data)
            body = await trial.open(url)
            assert verifyObject(IBody, body)
            assert body.url == body.head.url == url
            assert body.head.status == 200
            assert body.head.span is None
            assert body.head.length in {None, size}
            assert body.head.total in {None, size}
            alike(await trial.deliver(body), data)

    @pytest.mark.parametrize("size", [0, 70_000])
    async def test_head_tells_of_the_body_and_brings_none(self, size: int) -> None:
        async with self._trying() as trial:
            url = await trial.serve("head", some(size))
            rested = await trial.rested()
            for _ in range(3):
                head = await trial.soon(trial.fetcher.head(Source(url)), "head")
                assert isinstance(head, Head)
                assert (head.url, head.status, head.span) == (url, 200, None)
                assert head.length in {None, size}
                assert head.total in {None, size}
            await trial.left(rested, "by head")

    @pytest.mark.parametrize(
        "span", [Span(0, 1), Span(0), Span(10, 20), Span(69_999), Span(65_536, 70_100), Span(-5), Span(-70_001)]
    )
    async def test_a_span_brings_that_part(self, span: Span) -> None:
        async with self._trying() as trial:
            if not trial.case.spans:
                return
            data = some(70_000)
            body = await trial.open(await trial.serve("part", data), span)
            part = span.within(len(data))
            assert part is not None
            assert (body.head.status, body.head.span) == (206, part)
            assert body.head.total in {None, len(data)}
            alike(await trial.deliver(body), data[part.start : part.stop])

    async def test_a_span_past_the_end_is_answered_with_416_and_no_byte_of_the_file(self) -> None:
        async with self._trying() as trial:
            if not trial.case.spans:
                return
            url = await trial.serve("past", b"ten bytes.")
            for span in (Span(10), Span(10, 20), Span(1_000_000)):
                body = await trial.open(url, span)
                assert (body.head.status, body.head.span) == (416, None)
                assert body.head.total in {None, 10}
                assert b"bytes" not in await trial.deliver(body)

    async def test_same_as_brings_the_rest_of_what_has_not_changed(self) -> None:
        async with self._trying() as trial:
            if not (trial.case.spans and trial.case.validators):
                return
            data = some(70_000)
            url = await trial.serve("same", data)
            body = await trial.open(url)
            alike(await trial.deliver(body), data)
            rest = await trial.open(url, Span(50_000), body.head.validators)
            assert (rest.head.status, rest.head.span) == (206, Span(50_000, 70_000))
            alike(await trial.deliver(rest), data[50_000:])

    @pytest.mark.parametrize("size", [70_000, 80_000])
    async def test_same_as_brings_the_whole_of_what_has_changed(self, size: int) -> None:
        async with self._trying() as trial:
            if not (trial.case.spans and trial.case.validators):
                return
            url = await trial.serve("changed", some(70_000))
            body = await trial.open(url)
            await trial.deliver(body)
            new = some(size, seed=1)
            assert await trial.serve("changed", new) == url
            again = await trial.open(url, Span(50_000), body.head.validators)
            assert (again.head.status, again.head.span) == (200, None)
            alike(await trial.deliver(again), new)

    async def test_a_condition_that_does_not_hold_is_answered_with_304(self) -> None:
        async with self._trying() as trial:
            url = await trial.serve("condition", b"unchanged")
            first = await trial.open(url)
            await trial.deliver(first)
            etag, modified = first.head.get(b"etag"), first.head.get(b"last-modified")
            conditions: Pairs = () if modified is None else ((b"If-Modified-Since", modified),)
            if etag is not None:
                conditions = ((b"If-None-Match", etag),)
            if not conditions:
                return
            body = await trial.open(url, conditions=conditions)
            assert body.head.status == 304
            alike(await trial.deliver(body), b"")

    async def test_what_is_not_there_is_not_found(self) -> None:
        async with self._trying() as trial:
            if trial.case.missing is None:
                return
            for ask in (trial.fetcher.open, trial.fetcher.head):
                with pytest.raises(NotFound) as caught:
                    await trial.soon(ask(Source(trial.case.missing)), "what is not there")
                assert caught.value.url == trial.case.missing

    async def test_a_pause_lasts_until_it_is_taken_back(self) -> None:
        async with self._trying() as trial:
            data = some(LARGE)
            body = await trial.open(await trial.serve("paused", data))
            sink = Sink(pause_after=1, slack=RECEIVE)
            delivery = body.deliver(sink)
            await trial.written(sink)
            await turns(trial.reactor, 50)
            sink.check()
            assert not delivery.called
            sink.resume()
            await trial.soon(delivery, "deliver after a pause")
            alike(await trial.ended(sink), data)

    async def test_a_consumer_that_pauses_at_once_gets_one_receive_buffer_until_it_goes_on(self) -> None:
        async with self._trying() as trial:
            data = some(LARGE)
            body = await trial.open(await trial.serve("at once", data))
            sink = Sink(pause_after=0, slack=RECEIVE)
            delivery = body.deliver(sink)
            await turns(trial.reactor, 50)
            sink.check()
            assert not delivery.called
            sink.resume()
            await trial.soon(delivery, "deliver after a pause")
            alike(await trial.ended(sink), data)

    @pytest.mark.parametrize("size", [100_001, 200_000, 99_999, 30_000])
    async def test_a_server_that_says_a_wrong_size_is_found_out(self, size: int) -> None:
        """No byte comes that was not announced, and no end that looks well before all have come that were."""
        async with self._trying() as trial:
            if trial.case.lying is None:
                return
            data = some(100_000)
            said = trial.case.lying("lie", data, size)
            body = await trial.open(await said if isawaitable(said) else said)
            assert body.head.length in {None, size}
            sink = Sink(slack=RECEIVE)
            delivery = body.deliver(sink)
            if size > len(data):
                with pytest.raises(DownloadError):
                    await trial.soon(delivery, "deliver what is shorter than was said")
                assert data.startswith(await trial.ended(sink))
            else:
                try:
                    await trial.soon(delivery, "deliver what is longer than was said")
                except DownloadError:  # so it may be found out, too
                    assert data[:size].startswith(await trial.ended(sink))
                else:
                    alike(await trial.ended(sink), data[:size])
            alike(await trial.deliver(await trial.open(await trial.serve("next", b"next"))), b"next")

    async def test_two_bodies_at_a_time_do_not_disturb_each_other(self) -> None:
        async with self._trying() as trial:
            one, two = some(200_000, seed=1), some(200_000, seed=2)
            urls = [await trial.serve("one", one), await trial.serve("two", two)]
            bodies = [await trial.open(url) for url in urls]
            sinks = [Uneven(trial.reactor, [0, 1]), Uneven(trial.reactor, [2, 0])]
            deliveries = [body.deliver(sink) for body, sink in zip(bodies, sinks, strict=True)]
            for delivery in deliveries:
                await trial.soon(delivery, "deliver beside another")
            for sink, data in zip(sinks, (one, two), strict=True):
                alike(await trial.ended(sink), data)

    async def _whatever_the_offset(self, part: tuple[int, int]) -> None:
        start, size = part
        async with self._trying() as trial:
            if not trial.case.spans:
                return
            data = some(300_000)
            url = await trial.serve("offset", data)
            for span in (Span(start), Span(start, start + size)):
                body = await trial.open(url, span)
                found = span.within(len(data))
                assert found is not None
                assert (body.head.status, body.head.span) == (206, found)
                alike(await trial.deliver(body), data[found.start : found.stop])

    async def _uneven(self, pattern: Sequence[int]) -> None:
        async with self._trying() as trial:
            data = some(300_000)
            body = await trial.open(await trial.serve("uneven", data))
            alike(await trial.deliver(body, Uneven(trial.reactor, pattern)), data)


def check_fetcher(make: Make, *, patience: float = PATIENCE) -> type:
    """
    A test class for one protocol; subclass it where pytest finds it::

        @asynccontextmanager
        async def make_sftp(reactor):
            async with MyServer(reactor) as server:
                fetcher = SFTPFetcher(reactor, ...)
                yield FetcherCase(fetcher, server.put, missing=server.url("nothing"))

        class TestSFTP(check_fetcher(make_sftp)):
            "SFTP keeps every promise of IFetcher."

    @param make: called with the reactor for each test; an async context manager of a L{FetcherCase}.  The fetcher is
        closed before the context ends; then nothing of either may be left.
    @param patience: seconds after which something that should happen at once is taken for never.
    """

    class Checks(FetcherChecks):
        _make = staticmethod(make)
        _patience = patience

        # Here, because hypothesis and pytest-twisted change the function: each test class needs one of its own.
        @given(pattern=st.lists(st.integers(0, 3), min_size=1, max_size=6))
        async def test_the_same_bytes_come_whatever_the_pauses(self, pattern: list[int]) -> None:
            await self._uneven(pattern)

        @settings(max_examples=20)
        @given(start=st.integers(0, 299_999), size=st.integers(1, 300_000))
        async def test_whatever_the_offset_those_bytes_come(self, start: int, size: int) -> None:
            await self._whatever_the_offset((start, size))

    return Checks
