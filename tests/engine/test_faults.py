"""What others do wrong: it is told in the words of the tree, with its cause, and hurts nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from pulp_dl import Downloader, MirrorList, Remote, Retries, Source, ToMemory
from pulp_dl.engine.sharing import Sharing
from pulp_dl.errors import ConnectFailed, ConsumerFailed, ConsumerGone, DownloadError, NotFound, ProtocolError
from pulp_dl.interfaces import IAuth, IAuthenticator, IMirrors
from pulp_dl.testing import FaultServer, Hold, MemoryFetcher, MemoryScheme, Place, Recorder, Respond, answer
from tests.sinks import until

from .by_hand import URL, Answers, HandWritten, body, head

ONCE = Remote(retries=Retries(count=0))


def memory(**how: Any) -> Downloader:
    return Downloader(Clock(), ONCE, schemes=[MemoryScheme(MemoryFetcher({URL: Place(b"x" * 3000)}))], **how)


class Consumer(Recorder):
    """Of which one answer is another than it should be."""

    def __init__(self, *, gone: Any = None, finish: Any = None) -> None:
        super().__init__()
        self._gone_with, self._finish_with = gone, finish

    def gone(self) -> Any:
        return super().gone() if self._gone_with is None else self._gone_with()

    def finish(self) -> Any:
        return super().finish() if self._finish_with is None else self._finish_with()


def broken() -> Any:
    return fail(CancelledError())


# ---- consumers


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("finish", [lambda: True, object, broken])
def test_a_finish_that_is_none_fails_its_own_download_only(finish: Any, shared: bool) -> None:
    inner = memory()
    downloader: Any = Sharing(inner, Clock()) if shared else inner
    bad, good = Consumer(finish=finish), Consumer()
    ends: list[Any] = []
    for consumer in (bad, good):
        downloader.download(URL, consumer).addBoth(ends.append)
    closed: list[Any] = []
    downloader.close().addBoth(closed.append)

    assert closed == [None]
    assert len(ends) == 2
    assert isinstance(ends[0].value, ConsumerFailed)
    assert good.data == b"x" * 3000
    assert good.finished


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("gone", [lambda: succeed(OSError("left")), lambda: fail(OSError("left")), lambda: succeed(7)])
def test_whatever_gone_says_the_consumer_is_gone(gone: Any, shared: bool) -> None:
    inner = memory()
    downloader: Any = Sharing(inner, Clock()) if shared else inner
    consumer = Consumer(gone=gone)
    ends: list[Any] = []
    downloader.download(URL, consumer).addBoth(ends.append)

    error = ends[0].value
    assert isinstance(error, ConsumerGone)
    assert ("OSError: left" in str(error)) == isinstance(error.__cause__, OSError)
    assert consumer.failure.value is error  # type: ignore[union-attr]


# ---- places that give up by themselves


@implementer(IMirrors)
class Impatient:
    """Gives up what it has asked itself."""

    def __init__(self, *, lazy: bool) -> None:
        self._lazy = lazy

    def locate(self, source: Source, direct: object) -> Any:
        return self._places() if self._lazy else broken()

    async def _places(self) -> AsyncIterator[Source]:
        await broken()
        yield Source(URL)

    def record(self, attempt: object) -> None: ...


@pytest.mark.parametrize("lazy", [False, True])
def test_a_list_that_gave_up_is_no_cancelled_download(lazy: bool) -> None:
    ends: list[Any] = []
    memory(mirrors=Impatient(lazy=lazy)).download(URL, Recorder()).addBoth(ends.append)

    error = ends[0].value
    assert type(error) is DownloadError
    assert "not by the caller" in str(error)
    assert isinstance(error.__cause__, CancelledError)


@pytest.mark.parametrize("opened", [False, True])
def test_nor_is_a_protocol_that_did(opened: bool) -> None:
    """It is this attempt that has failed; the next one may go well."""
    first: Any = body(head(5), b"he", error=CancelledError()) if opened else CancelledError()
    scheme: Any = Answers(first, body(head(5), b"hello"))
    clock = Clock()
    downloader = Downloader(clock, Remote(retries=Retries(count=1)), schemes=[scheme])
    ends: list[Any] = []
    consumer = ToMemory()
    downloader.download(URL, consumer).addBoth(ends.append)
    clock.pump([1.0] * 20)

    assert consumer.data == b"hello"
    assert [type(each.error) for each in ends[0].attempts] == [ProtocolError, type(None)]


def test_a_cancel_of_the_caller_is_one() -> None:
    def nothing(written: HandWritten) -> None: ...

    scheme: Any = Answers(HandWritten(head(5), nothing))
    downloader = Downloader(Clock(), ONCE, schemes=[scheme])
    ends: list[Any] = []
    running = downloader.download(URL, Recorder())
    running.addBoth(ends.append)
    running.cancel()

    assert isinstance(ends[0].value, CancelledError)


def test_a_list_that_is_cancelled_while_it_is_closed_fails_nothing(logged_errors: Any) -> None:
    @implementer(IMirrors)
    class Closing:
        async def locate(self, source: Source, direct: object) -> AsyncIterator[Source]:
            try:
                yield source
                yield source.at("memory://b/file")
            finally:
                raise CancelledError

        def record(self, attempt: object) -> None: ...

    ends: list[Any] = []
    consumer = ToMemory()
    memory(mirrors=Closing()).download(URL, consumer).addBoth(ends.append)

    assert len(consumer.data) == 3000
    assert ends[0].size == 3000
    assert len(logged_errors.flush(CancelledError)) == 1


# ---- causes


async def test_promise_9_the_cause_of_a_failure_that_was_another_downloads_is_kept(reactor: Any) -> None:
    async with FaultServer(reactor, {"/a": answer(b"", 404)}) as server:
        async with Downloader(reactor, ONCE, mirrors=MirrorList("http://127.0.0.1:1/list")) as downloader:
            with pytest.raises(ConnectFailed) as raised:
                await downloader.download(server.url("/a"), ToMemory())

    assert raised.value.__cause__ is not None
    assert {type(each.error) for each in raised.value.attempts} <= {NotFound}


# ---- authenticators


@implementer(IAuth, IAuthenticator)
class Coroutines:
    """Whose methods are coroutines."""

    def start(self, direct: object) -> Any:
        return self

    async def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> str:
        headers[b"Authorization"] = b"Bearer x"
        return "x"

    async def challenged(self, method: bytes, url: str, head: object, sent: object) -> bool:
        return False


async def test_an_authenticator_may_be_made_of_coroutines(reactor: Any) -> None:
    def script(request: Any) -> Respond:
        return answer(b"well", 200) if request.path == "/a" else answer(b"", 401)

    remote = Remote(auth=Coroutines(), retries=Retries(count=0))
    async with FaultServer(reactor, script) as server, Downloader(reactor, remote) as downloader:
        consumer = ToMemory()
        await downloader.download(server.url("/a"), consumer)
        with pytest.raises(DownloadError):
            await downloader.download(server.url("/b"), ToMemory())

    assert consumer.data == b"well"
    assert [(each.path, each.get(b"authorization")) for each in server.requests] == [
        ("/a", b"Bearer x"),
        ("/b", b"Bearer x"),
    ]


# ---- who closes from inside


@pytest.mark.parametrize("inside", ["gone", "locate"])
async def test_promise_5_close_by_what_a_download_calls_before_it_waits(reactor: Any, inside: str) -> None:
    closed: list[Deferred[None]] = []

    class Leaving(Recorder):
        def gone(self) -> Deferred[Any]:
            if inside == "gone":
                closed.append(downloader.close())
            return super().gone()

    @implementer(IMirrors)
    class Ending:
        def locate(self, source: Source, direct: object) -> list[Source]:
            closed.append(downloader.close())
            return [source]

        def record(self, attempt: object) -> None: ...

    async with FaultServer(reactor, {"/a": Hold()}) as server:
        downloader = Downloader(reactor, ONCE, mirrors=Ending() if inside == "locate" else None)
        consumer = Leaving()
        with pytest.raises(CancelledError):
            await downloader.download(server.url("/a"), consumer)
        await closed[0]
        await until(reactor, lambda: server.connections.open == 0)

    assert consumer.failure is not None
    assert isinstance(consumer.failure.value, CancelledError)
