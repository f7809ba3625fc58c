"""One download for a thread that waits."""

from __future__ import annotations

import ctypes
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from pulp_dl import Digest, Remote, Retries, Source
from pulp_dl.blocking import BlockingDownloader, call
from pulp_dl.consumers.memory import ToMemory
from pulp_dl.errors import DigestMismatch, NotFound, TimedOut
from pulp_dl.testing import MemoryFetcher, Place
from tests.blocking.threads import blocking, in_thread
from tests.sinks import until

A = "memory://h/a"


class Watched(ToMemory):
    """Tells how its download failed."""

    failure: Any = None

    def fail(self, failure: Any) -> None:
        self.failure = failure.value
        super().fail(failure)


async def test_a_download_returns_its_report() -> None:
    memory = MemoryFetcher({A: Place(b"abc")})

    def importer() -> None:
        with blocking(memory) as downloader:
            body = ToMemory()
            report = downloader.download(Source(A, tag=7), body)

            assert (body.data, report.size, report.source.tag) == (b"abc", 3, 7)

    await in_thread(importer)


async def test_head_costs_no_body() -> None:
    memory = MemoryFetcher({A: Place(b"abc")})

    def importer() -> None:
        with blocking(memory) as downloader:
            assert downloader.head(A).length == 3

    await in_thread(importer)

    assert [each.method for each in memory.asked] == ["HEAD"]


async def test_an_error_keeps_its_type_and_its_traceback() -> None:
    def importer() -> None:
        with blocking(MemoryFetcher({})) as downloader, pytest.raises(NotFound) as caught:
            downloader.download(A, ToMemory())
        frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]

        # From the line that called to the line that raised it, in the other thread.
        assert frames[0] == "importer"
        assert frames[-1] == "_answer"

    await in_thread(importer)


async def test_a_wrong_digest_is_an_error_of_the_caller() -> None:
    def importer() -> None:
        remote = Remote(retries=Retries(count=0))
        memory = MemoryFetcher({A: Place(b"abc")})
        with blocking(memory, remote=remote) as downloader, pytest.raises(DigestMismatch):
            downloader.download(Source(A, expect=Digest("sha256", "0" * 64)), ToMemory())

    await in_thread(importer)


async def test_a_timeout_cancels_what_ran(reactor: Any) -> None:
    memory = MemoryFetcher({A: Place(b"abc", silent=True)})
    body = Watched()

    def importer() -> None:
        with blocking(memory) as downloader, pytest.raises(TimedOut) as caught:
            downloader.download(A, body, timeout=0.05)

        assert (caught.value.phase, caught.value.url) == ("total", A)
        assert memory.running == 0
        assert isinstance(body.failure, CancelledError)

    await in_thread(importer)


async def test_what_is_done_in_spite_of_a_timeout_is_done() -> None:
    """A file that was put at its path while it was cancelled is no failure."""

    def importer() -> None:
        assert call(lambda: Deferred(lambda ending: ending.callback("whole")), timeout=0.01) == "whole"

    await in_thread(importer)


async def test_an_exception_set_by_another_thread_cancels_what_ran(reactor: Any) -> None:
    """As Dramatiq's limits of time do it: a lock that is waited for without end would never let it through."""
    memory = MemoryFetcher({A: Place(b"abc", silent=True)})
    body = Watched()
    waiting: list[int] = []

    class Limit(BaseException):
        pass

    def importer() -> None:
        waiting.append(threading.get_ident())
        with blocking(memory) as downloader, pytest.raises(Limit):
            downloader.download(A, body)

        assert memory.running == 0
        assert isinstance(body.failure, CancelledError)

    ended = in_thread(importer)
    await until(reactor, lambda: memory.running)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(waiting[0]), ctypes.py_object(Limit))
    await ended


async def test_the_reactor_thread_is_refused() -> None:
    """It would wait for itself, for ever."""
    with pytest.raises(RuntimeError, match="reactor thread"):
        BlockingDownloader()


async def test_the_reactor_thread_is_refused_by_every_method() -> None:
    downloader = await in_thread(blocking, MemoryFetcher({}))
    batch = await in_thread(downloader.download_many, [])

    methods: tuple[Callable[[], object], ...] = (
        lambda: downloader.download(A, ToMemory()),
        lambda: downloader.head(A),
        lambda: downloader.download_many([]),
        lambda: next(batch),
        downloader.close,
        lambda: call(lambda: None),
    )
    for method in methods:
        with pytest.raises(RuntimeError, match="reactor thread"):
            method()
    await in_thread(downloader.close)


async def test_many_threads_share_one(reactor: Any) -> None:
    bodies: dict[str, Any] = {f"memory://h/{number}": Place(b"%d" % number) for number in range(40)}
    memory = MemoryFetcher(bodies, reactor)
    downloader = await in_thread(blocking, memory)

    def importer(number: int) -> str:
        body = ToMemory()
        downloader.download(f"memory://h/{number}", body)
        return body.text()

    running = [in_thread(importer, number) for number in range(40)]

    assert [await each for each in running] == [str(number) for number in range(40)]

    await in_thread(downloader.close)


async def test_closing_cancels_what_other_threads_wait_for(reactor: Any) -> None:
    memory = MemoryFetcher({A: Place(b"abc", silent=True)})
    downloader = await in_thread(blocking, memory)

    def importer() -> None:
        with pytest.raises(CancelledError):
            downloader.download(A, ToMemory())

    ended = in_thread(importer)
    await until(reactor, lambda: memory.running)
    await in_thread(downloader.close)
    await ended
    await in_thread(downloader.close)  # again, which is nothing

    assert memory.running == 0


async def test_a_closed_one_downloads_no_more() -> None:
    def importer() -> None:
        with blocking(MemoryFetcher({A: Place(b"abc")})) as downloader:
            pass
        with pytest.raises(CancelledError):
            downloader.download(A, ToMemory())

    await in_thread(importer)


async def test_it_tells_the_progress() -> None:
    class Progress:
        size = 0

        def started(self, download: object) -> None: ...

        def began(self, download: object) -> None: ...

        def received(self, size: int) -> None:
            self.size += size

        def rewound(self, size: int) -> None: ...

        def ended(self, download: object, error: object) -> None: ...

    progress = Progress()

    def importer() -> None:
        with blocking(MemoryFetcher({A: Place(b"abc")}), progress=progress) as downloader:
            downloader.download(A, ToMemory())

    await in_thread(importer)

    assert progress.size == 3


async def test_a_call_waits_for_a_deferred_of_the_reactor_thread(reactor: Any) -> None:
    def importer() -> None:
        assert call(lambda: deferLater(reactor, 0, lambda: "done")) == "done"
        with pytest.raises(ZeroDivisionError):
            call(lambda: 1 // 0, reactor=reactor)

    await in_thread(importer)


@pytest.mark.parametrize("timeout", ["5", float("nan"), True, 10**400, float("inf")])
async def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    memory = MemoryFetcher({A: Place(b"abc")})

    def importer() -> None:
        with blocking(memory) as downloader:
            words = r"^timeout: .* is no number of seconds; give one, or None for no limit$"
            for refused in (
                lambda: downloader.download(A, ToMemory(), timeout=timeout),
                lambda: downloader.head(A, timeout=timeout),
                lambda: downloader.close(timeout=timeout),
                lambda: downloader.download_many([]).close(timeout=timeout),
                lambda: call(lambda: None, timeout=timeout),
            ):
                with pytest.raises(ValueError, match=words):
                    refused()
            assert downloader.download(A, ToMemory()).size == 3

    await in_thread(importer)
    assert len(memory.asked) == 1
