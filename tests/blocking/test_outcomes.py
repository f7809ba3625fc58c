"""Many downloads in a plain C{for} loop."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from pulp_dl import Outcome, Source
from pulp_dl.blocking import BlockingDownloader, Outcomes, call
from pulp_dl.consumers.memory import ToMemory
from pulp_dl.errors import NotFound
from pulp_dl.testing import MemoryFetcher, Place
from tests.blocking.threads import blocking, in_thread
from tests.sinks import until

Item = tuple[Source, ToMemory]


def url(number: int) -> str:
    return f"memory://h/{number}"


def item(number: int) -> Item:
    return Source(url(number), tag=number), ToMemory()


def places(count: int, **faults: Any) -> dict[str, Any]:
    return {url(number): Place(b"%d" % number, **faults) for number in range(count)}


async def test_outcomes_come_in_the_order_in_which_downloads_end(reactor: Any) -> None:
    memory = MemoryFetcher(places(3) | {url(0): Place(b"slow", wait=0.1)}, reactor)

    def importer() -> list[int]:
        with blocking(memory) as downloader, downloader.download_many(map(item, range(3)), 3) as outcomes:
            return [outcome.tag for outcome in outcomes]

    assert (await in_thread(importer))[-1] == 0


@given(found=st.lists(st.booleans(), max_size=30), concurrency=st.integers(1, 8), asynchronous=st.booleans())
async def test_whatever_the_items_each_has_one_outcome(
    reactor: Any, found: list[bool], concurrency: int, asynchronous: bool
) -> None:
    there: dict[str, Any] = {url(number): Place(b"x") for number, is_there in enumerate(found) if is_there}
    memory = MemoryFetcher(there, reactor if asynchronous else None)

    def importer() -> list[Outcome]:
        with (
            blocking(memory) as downloader,
            downloader.download_many(map(item, range(len(found))), concurrency) as outcomes,
        ):
            return list(outcomes)

    outcomes = await in_thread(importer)

    assert {outcome.tag: outcome.ok for outcome in outcomes} == dict(enumerate(found))
    assert len(outcomes) == len(found)
    assert all(outcome.ok or isinstance(outcome.error, NotFound) for outcome in outcomes)


async def test_the_generator_runs_in_the_thread_that_iterates(reactor: Any) -> None:
    """It may use what belongs to this thread: a connection to a database, an ORM."""
    threads: set[int] = set()

    def wanted() -> Iterator[Item]:
        try:
            for number in range(5):
                threads.add(threading.get_ident())
                yield item(number)
        finally:
            threads.add(threading.get_ident())

    def importer() -> int:
        with blocking(MemoryFetcher(places(5), reactor)) as downloader:
            with downloader.download_many(wanted(), 2) as outcomes:
                next(outcomes)
            return threading.get_ident()

    assert {await in_thread(importer)} == threads


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_the_generator_is_never_ahead_of_the_free_places(reactor: Any, concurrency: int) -> None:
    """And a slow one keeps no outcome back: what has ended is told before many more items are taken."""
    taken = told = 0

    def wanted() -> Iterator[Item]:
        nonlocal taken
        for number in range(30):
            taken += 1

            assert taken <= told + concurrency + 1

            for _ in range(5):
                call(lambda: deferLater(reactor, 0))  # whatever is under way has ended by now
            yield item(number)

    def importer() -> None:
        nonlocal told
        with blocking(MemoryFetcher(places(30))) as downloader:
            for _ in downloader.download_many(wanted(), concurrency):
                told += 1

    await in_thread(importer)

    assert told == 30


async def test_the_generator_may_download_with_the_same_downloader(reactor: Any) -> None:
    """A list is fetched when it is needed, by the same settings and connections."""
    memory = MemoryFetcher(places(10) | {"memory://h/list": Place(b"3 4 5")}, reactor)

    def importer() -> set[int]:
        with blocking(memory) as downloader:

            def wanted() -> Iterator[Item]:
                yield item(0)
                listing = ToMemory()
                downloader.download("memory://h/list", listing)
                yield from (item(int(number)) for number in listing.text().split())

            return {outcome.tag for outcome in downloader.download_many(wanted(), 1)}

    assert await in_thread(importer) == {0, 3, 4, 5}


async def test_an_error_of_the_generator_is_the_callers() -> None:
    def wanted() -> Iterator[Item]:
        yield item(0)
        raise LookupError("no such repository")

    def importer() -> None:
        with (
            blocking(MemoryFetcher(places(1))) as downloader,
            pytest.raises(LookupError) as caught,
            downloader.download_many(wanted()) as outcomes,
        ):
            assert [outcome.tag for outcome in outcomes] == [0]
        frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]

        assert (frames[0], frames[-1]) == ("importer", "wanted")
        assert "__anext__" not in frames  # its way through the reactor is nobody's business

    await in_thread(importer)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
async def test_after_an_error_of_the_loop_nothing_is_left(reactor: Any, kind: type[BaseException]) -> None:
    memory = MemoryFetcher(places(10, stall_at=0) | {url(0): Place(b"0")}, reactor)
    closed = False

    def wanted() -> Iterator[Item]:
        nonlocal closed
        try:
            yield from map(item, range(10))
        finally:
            closed = True

    def loop(downloader: BlockingDownloader) -> None:
        with downloader.download_many(wanted(), 4) as outcomes:
            for _ in outcomes:
                raise kind

    def importer() -> None:
        with blocking(memory) as downloader:
            with pytest.raises(kind):
                loop(downloader)

            assert memory.running == 0
            assert closed

    await in_thread(importer)


async def test_an_interrupt_inside_the_generator_cancels_what_runs(reactor: Any) -> None:
    memory = MemoryFetcher(places(10, silent=True))

    def wanted() -> Iterator[Item]:
        yield item(0)
        yield item(1)
        raise KeyboardInterrupt

    def importer() -> None:
        with blocking(memory) as downloader:
            with pytest.raises(KeyboardInterrupt):
                list(downloader.download_many(wanted(), 4))

            assert len(memory.asked) == 2
            assert memory.running == 0

    await in_thread(importer)


async def test_leaving_early_cancels_the_rest(reactor: Any) -> None:
    memory = MemoryFetcher(places(1) | {url(n): Place(b"abc", silent=True) for n in range(1, 100)}, reactor)

    def importer() -> None:
        with blocking(memory) as downloader:
            with downloader.download_many(map(item, range(100)), 3) as outcomes:
                for outcome in outcomes:
                    assert outcome.tag == 0
                    break

            assert memory.running == 0
            assert len(memory.asked) <= 4

            with pytest.raises(CancelledError):
                next(outcomes)

    await in_thread(importer)


@pytest.mark.parametrize("kind", [None, KeyboardInterrupt, ZeroDivisionError])
async def test_what_had_ended_when_the_loop_was_left_can_be_told(
    reactor: Any, kind: type[BaseException] | None
) -> None:
    """Their files are at their paths, so whoever counts them has to hear of them."""
    memory = MemoryFetcher(places(5, silent=True))

    def leave(outcomes: Outcomes) -> None:
        with outcomes:
            for outcome in outcomes:
                assert outcome.tag == 0
                if kind is not None:
                    raise kind
                break

    def importer() -> None:
        with blocking(memory) as downloader:
            outcomes = downloader.download_many(map(item, range(5)), 5)
            with nullcontext() if kind is None else pytest.raises(kind):
                leave(outcomes)

            assert [each.tag for each in outcomes.untaken] == [1, 2, 3]

            outcomes.close()

            assert len(outcomes.untaken) == 3

    ended = in_thread(importer)
    await until(reactor, lambda: len(memory.asked) == 5)
    for number in range(4):
        memory.release(url(number))
    await ended


async def test_an_abandoned_loop_is_ended_with_the_downloader(reactor: Any) -> None:
    memory = MemoryFetcher(places(1) | {url(n): Place(b"abc", silent=True) for n in range(1, 100)}, reactor)
    closed = False

    def wanted() -> Iterator[Item]:
        nonlocal closed
        try:
            yield from map(item, range(100))
        finally:
            closed = True

    def importer() -> None:
        with blocking(memory) as downloader:
            for _ in downloader.download_many(map(item, range(100)), 3):
                break
            kept = downloader.download_many(wanted(), 3)
            next(kept)

        assert memory.running == 0
        assert closed
        with pytest.raises(CancelledError):
            next(kept)

    await in_thread(importer)


async def test_one_that_was_never_begun_has_nothing_to_end() -> None:
    def importer() -> None:
        with blocking(MemoryFetcher({})) as downloader, downloader.download_many(map(item, range(3))) as outcomes:
            pass
        with pytest.raises(CancelledError):
            next(outcomes)

    await in_thread(importer)


async def test_after_the_end_there_is_nothing_more() -> None:
    def importer() -> None:
        with blocking(MemoryFetcher(places(2))) as downloader:
            outcomes = downloader.download_many(map(item, range(2)))

            assert len(list(outcomes)) == 2
            assert list(outcomes) == []

            outcomes.close()

            assert list(outcomes) == []

    await in_thread(importer)


async def test_another_thread_may_close_the_downloader_while_one_waits(reactor: Any) -> None:
    memory = MemoryFetcher(places(3, silent=True))
    downloader = await in_thread(blocking, memory)

    def importer() -> None:
        with pytest.raises(CancelledError), downloader.download_many(map(item, range(3)), 3) as outcomes:
            list(outcomes)

    ended = in_thread(importer)
    await until(reactor, lambda: memory.running == 3)
    await in_thread(downloader.close)
    await ended

    assert memory.running == 0


async def test_another_thread_may_close_the_downloader_while_one_works(reactor: Any) -> None:
    """The loop does not end as if all had come, and its generator is closed by its own thread."""
    memory = MemoryFetcher(places(9))
    downloader = await in_thread(blocking, memory)
    closers: list[int] = []

    def wanted() -> Iterator[Item]:
        try:
            yield from map(item, range(9))
        finally:
            closers.append(threading.get_ident())

    def loop() -> None:
        with downloader.download_many(wanted(), 2) as outcomes:
            for _ in outcomes:
                other = threading.Thread(target=downloader.close)
                other.start()
                other.join()

                assert closers == []

    def importer() -> int:
        with pytest.raises(CancelledError):
            loop()
        return threading.get_ident()

    assert await in_thread(importer) == closers[0]
    assert len(closers) == 1


async def test_a_generator_may_close_its_own_downloader() -> None:
    reached = False

    def importer() -> None:
        downloader = blocking(MemoryFetcher(places(9)))

        def wanted() -> Iterator[Item]:
            nonlocal reached
            yield item(0)
            downloader.close()
            reached = True
            yield item(1)

        with pytest.raises(CancelledError):
            for _ in downloader.download_many(wanted(), 2):
                pass

    await in_thread(importer)

    assert reached


async def test_a_closed_downloader_begins_no_more() -> None:
    def importer() -> None:
        downloader = blocking(MemoryFetcher(places(9)))
        downloader.close()
        with pytest.raises(CancelledError):
            list(downloader.download_many(map(item, range(3))))

    await in_thread(importer)


async def test_what_is_no_item_is_an_error() -> None:
    def importer() -> None:
        with blocking(MemoryFetcher({})) as downloader, pytest.raises((TypeError, ValueError)):
            list(downloader.download_many([object()]))  # type: ignore[list-item]  # the mistake that is tested

    await in_thread(importer)
