"""
The ten promises, end to end: real sockets, real files, the public API.

Each test's name begins with the promise that it holds; the parts have tests of their own that go further.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater
from zope.interface import implementer

from pulp_dl import (
    TLS,
    Basic,
    Digest,
    Downloader,
    Limits,
    Places,
    Remote,
    Retries,
    Size,
    Source,
    Timeouts,
    ToFile,
    ToMemory,
)
from pulp_dl.errors import (
    DigestMismatch,
    DownloadError,
    NotFound,
    Refused,
    SizeMismatch,
    TimedOut,
    TooLarge,
    Truncated,
)
from pulp_dl.interfaces import ICheck, IExpectation
from pulp_dl.testing import (
    Cut,
    CutTLS,
    Entity,
    FaultServer,
    Hold,
    Nth,
    Recorder,
    Repeat,
    Request,
    Reset,
    Script,
    Send,
    ServerTLS,
    answer,
    redirect,
    response_head,
)

DATA = bytes(range(256)) * 4096  # 1 MiB: it goes through the threads
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
QUICK = Retries(count=3, base=0.01)


def names(directory: Path) -> set[str]:
    return {str(each.relative_to(directory)) for each in directory.rglob("*") if not each.is_dir()}


# ---- 1


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, len(DATA)])
async def test_promise_1_a_whole_file_is_at_its_path(reactor: Any, tmp_path: Path, size: int, durable: bool) -> None:
    data = DATA[:size]
    sha = Digest("sha256", hashlib.sha256(data).hexdigest())
    async with FaultServer(reactor, answer(data)) as server, Downloader(reactor) as downloader:
        report = await downloader.download(
            Source(server.url("/f"), (sha, Size(size))), ToFile(tmp_path / "f", durable=durable)
        )

    assert (tmp_path / "f").read_bytes() == data
    assert names(tmp_path) == {"f"}
    assert report.size == size


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize(
    "script",
    [
        answer(DATA[:-1] + b"!"),
        Cut(answer(DATA), after=500_000),
        Cut(answer(DATA, framing="chunked"), after=500_000),
        Reset(),
        answer(b"", 404),
    ],
    ids=["wrong bytes", "cut", "cut between chunks", "reset", "not found"],
)
async def test_promise_1_a_failed_file_leaves_what_was_there_and_no_stray(
    reactor: Any, tmp_path: Path, script: Any, old: bytes | None
) -> None:
    path = tmp_path / "f"
    if old is not None:
        path.write_bytes(old)
    async with (
        FaultServer(reactor, script) as server,
        Downloader(reactor, Remote(retries=Retries(count=0))) as downloader,
    ):
        with pytest.raises(DownloadError):
            await downloader.download(Source(server.url("/f"), SHA), ToFile(path))

    assert names(tmp_path) == ({"f"} if old is not None else set())
    assert old is None or path.read_bytes() == old


# ---- 2


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_promise_2_what_cannot_rewind_never_gets_a_complete_wrong_body(reactor: Any, framing: Any) -> None:
    consumer = Recorder()
    wrong = DATA[:-1] + b"!"
    remote = Remote(retries=Retries(count=0))
    async with (
        FaultServer(reactor, answer(wrong, framing=framing)) as server,
        Downloader(reactor, remote) as downloader,
    ):
        with pytest.raises(DigestMismatch):
            await downloader.download(Source(server.url("/f"), SHA), consumer)

    assert len(consumer.data) == len(DATA) - 65_536
    assert consumer.failure is not None


@pytest.mark.parametrize("proven", [True, False])
async def test_promise_2_over_tls_the_last_piece_waits_until_a_fin_is_proven_to_be_the_end(
    reactor: Any, proven: bool
) -> None:
    """Nobody has said that it is: there is neither a length nor a close_notify."""
    ca = trustme.CA()
    identity = ServerTLS(ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    expect = SHA if proven else Digest("sha256", hashlib.sha256(DATA + b"and more").hexdigest())
    consumer, remote = Recorder(), Remote(tls=TLS(ca=ca.cert_pem.bytes()), retries=Retries(count=0))
    script = (Cut(answer(DATA, framing="close"), len(DATA), Hold("fin")), CutTLS())
    async with FaultServer(reactor, script, tls=identity) as server, Downloader(reactor, remote) as downloader:
        running = downloader.download(Source(server.url("/f"), expect), consumer)
        while len(consumer.data) < len(DATA) - 65_536:
            await deferLater(reactor, 0.001)
        server.release("fin")
        if proven:
            await running
            assert consumer.data == DATA
        else:
            with pytest.raises(Truncated):
                await running
            assert consumer.data == DATA[:-65_536]
    assert consumer.finished is proven


# ---- 3


async def test_promise_3_a_cut_body_goes_on_at_its_offset_and_no_byte_is_sent_twice(
    reactor: Any, tmp_path: Path
) -> None:
    script = Nth([Cut(answer(DATA), after=300_000), Cut(answer(DATA), after=300_000), answer(DATA)])
    async with FaultServer(reactor, script) as server, Downloader(reactor, Remote(retries=QUICK)) as downloader:
        report = await downloader.download(Source(server.url("/f"), SHA), ToFile(tmp_path / "f"))

        ranges = [each.get(b"range") for each in server.requests]
        conditions = [each.get(b"if-range") for each in server.requests]
    assert (tmp_path / "f").read_bytes() == DATA
    assert ranges == [None, b"bytes=300000-", b"bytes=600000-"]
    assert conditions == [None, b'"1"', b'"1"']
    assert sum(each.received for each in report.attempts) == len(DATA)


async def test_promise_3_a_response_is_healed_at_another_place(reactor: Any) -> None:
    consumer = Recorder()
    async with (
        FaultServer(reactor, Cut(answer(Entity(DATA, b'"a"')), after=300_000)) as bad,
        FaultServer(reactor, answer(Entity(DATA, b'"b"'))) as good,
        Downloader(reactor, Remote(retries=QUICK), mirrors=Places([bad.url(""), good.url("")])) as downloader,
    ):
        await downloader.download(Source(bad.url("/f"), SHA), consumer)

        assert [each.get(b"if-range") for each in good.requests] == [None]
        assert good.requests[0].get(b"range") == b"bytes=300000-"
    assert consumer.data == DATA


async def test_promise_3_the_url_that_answered_first_is_asked_for_the_rest_then_the_sources(reactor: Any) -> None:
    paths = {
        "/f": redirect("/signed?sig=1"),
        "/signed": Nth([Cut(answer(DATA), after=300_000), answer(b"expired", 403), answer(DATA)]),
    }
    consumer = Recorder()
    async with FaultServer(reactor, paths) as server, Downloader(reactor, Remote(retries=QUICK)) as downloader:
        await downloader.download(Source(server.url("/f"), SHA), consumer)

        assert [each.path for each in server.requests] == ["/f", "/signed", "/signed", "/f", "/signed"]
    assert consumer.data == DATA


# ---- 4


class Together:
    """Counts the connections of several servers whenever one of them answers."""

    def __init__(self, *servers: FaultServer) -> None:
        self.peak = 0
        self._servers = servers
        for each in servers:
            each.script = self._counting(each.script)

    def _counting(self, script: Script) -> Script:
        def answer(request: Request) -> Script:
            self.peak = max(self.peak, sum(each.connections.open for each in self._servers))
            return script

        return answer


async def test_promise_4_many_downloads_never_open_more_sockets_than_allowed(reactor: Any, tmp_path: Path) -> None:
    data = {f"/{number}": answer(b"%d" % number * 1000) for number in range(200)}
    remote = Remote(limits=Limits(connections=4, per_host=3))
    async with FaultServer(reactor, data) as one, FaultServer(reactor, data) as two:
        async with Downloader(reactor, remote) as downloader:

            def wanted() -> Iterator[Any]:
                for number in range(200):
                    server = (one, two)[number % 2]
                    yield server.url(f"/{number}"), ToFile(tmp_path / str(number), durable=False)

            together = Together(one, two)
            async with downloader.download_many(wanted(), concurrency=30) as outcomes:
                ended = [each.ok async for each in outcomes]

            assert all(ended)
            assert len(ended) == 200
            assert together.peak == 4, "all are used, and no more"
            assert one.connections.peak <= 3
            assert two.connections.peak <= 3
            assert one.connections.open + two.connections.open <= 4
    assert len(names(tmp_path)) == 200


async def test_promise_4_a_redirect_gives_its_slot_back_before_it_takes_the_next(reactor: Any) -> None:
    hops = {f"/{n}": redirect(f"/{n + 1}", body=b"x" * 100_000) for n in range(8)} | {"/8": answer(DATA)}
    remote = Remote(limits=Limits(connections=1, per_host=1))
    async with FaultServer(reactor, hops) as server, Downloader(reactor, remote) as downloader:
        memory = ToMemory()
        await downloader.download(Source(server.url("/0"), SHA), memory)

        assert server.connections.peak == 1
    assert memory.data == DATA


# ---- 5


@pytest.mark.parametrize("when", ["head", "body", "paused"])
async def test_promise_5_cancelling_drops_the_connection_at_once(reactor: Any, when: str) -> None:
    body = (Send(response_head(200, ((b"Content-Length", b"1000000"),)) + b"x" * 1000), Hold())
    consumer = Recorder(pause_after=1) if when == "paused" else Recorder()
    async with FaultServer(reactor, Hold() if when == "head" else body) as server, Downloader(reactor) as downloader:
        running = downloader.download(server.url("/f"), consumer)
        while not (server.requests if when == "head" else consumer.head):
            await deferLater(reactor, 0.005)
        running.cancel()
        with pytest.raises(CancelledError):
            await running
        while server.connections.open:
            await deferLater(reactor, 0.005)

    assert consumer.failure is not None


@pytest.mark.parametrize("moment", ["begin", "registerProducer", "write"])
async def test_promise_5_a_cancel_from_inside_of_a_consumer_is_heard_although_the_whole_body_is_there(
    reactor: Any, moment: str
) -> None:
    consumer = Recorder()
    original = getattr(consumer, moment)

    def cancel(*args: Any) -> None:
        original(*args)
        running.cancel()

    setattr(consumer, moment, cancel)
    async with FaultServer(reactor, answer(b"small")) as server, Downloader(reactor) as downloader:
        running = downloader.download(server.url("/f"), consumer)
        with pytest.raises(CancelledError):
            await running

    assert consumer.failure is not None
    assert consumer.failure.check(CancelledError)


async def test_promise_5_leaving_early_ends_everything(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, (Send(response_head(200, ((b"Content-Length", b"9"),)) + b"x"), Hold())) as server:
        paths = {"/0": answer(b"whole")}
        async with FaultServer(reactor, paths) as quick, Downloader(reactor) as downloader:
            wanted = [(quick.url("/0"), ToFile(tmp_path / "whole"))]
            wanted += [(server.url(f"/{n}"), ToFile(tmp_path / str(n))) for n in range(20)]
            async with downloader.download_many(wanted) as outcomes:
                async for outcome in outcomes:
                    assert outcome.ok
                    break
        while server.connections.open:
            await deferLater(reactor, 0.005)

    assert names(tmp_path) == {"whole"}


# ---- 6


async def test_promise_6_a_slow_reader_pauses_the_server(reactor: Any) -> None:
    consumer = Recorder(pause_after=1)
    async with FaultServer(reactor, answer(b"x" * 50_000_000)) as server, Downloader(reactor) as downloader:
        running = downloader.download(server.url("/f"), consumer)
        while consumer.head is None:
            await deferLater(reactor, 0.005)
        sent = -1
        while sent != server.bytes_sent:
            sent = server.bytes_sent
            await deferLater(reactor, 0.1)

        assert sent < 20_000_000  # what the kernel's buffers hold, not the body
        assert len(consumer.data) < 1_000_000
        running.cancel()
        with pytest.raises(CancelledError):
            await running


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_promise_6_no_more_than_the_expected_size_is_taken(reactor: Any, framing: Any) -> None:
    remote, consumer = Remote(retries=Retries(count=0)), Recorder()
    kind = SizeMismatch if framing == "length" else TooLarge  # the head says so already, or no byte more is taken
    async with FaultServer(reactor, answer(DATA, framing=framing)) as server, Downloader(reactor, remote) as downloader:
        with pytest.raises(kind):
            await downloader.download(Source(server.url("/f"), Size(1000)), consumer)

    assert len(consumer.data) < 1000


async def test_promise_6_an_endless_body_ends_at_max_size(reactor: Any) -> None:
    endless = (Send(response_head(200)), Repeat(Send(b"x" * 10_000)))
    remote, consumer = Remote(limits=Limits(max_size=200_000), retries=Retries(count=0)), Recorder()
    async with FaultServer(reactor, endless) as server, Downloader(reactor, remote) as downloader:
        with pytest.raises(TooLarge, match=r"200[,]?000"):
            await downloader.download(server.url("/f"), consumer)

    assert len(consumer.data) <= 200_000


# ---- 7


async def test_promise_7_secrets_stay_in_their_scope_and_out_of_errors(reactor: Any) -> None:
    async with FaultServer(reactor, answer(b"", 404)) as other:
        async with FaultServer(reactor, redirect(other.url("/x?X-Amz-Signature=abcdef"))) as scope:
            remote = Remote(auth=Basic("elmer", "hunter2"), headers={"X-Token": "t0ken", "User-Agent": "me"})
            async with Downloader(reactor, remote) as downloader:
                with pytest.raises(NotFound) as caught:
                    await downloader.download(scope.url("/f"), ToMemory())

            assert scope.requests[0].get(b"authorization") is not None
            assert scope.requests[0].get(b"x-token") == b"t0ken"
        seen = other.requests[0].raw
    assert b"uthorization" not in seen
    assert b"t0ken" not in seen
    assert b"User-Agent: me" in seen
    told = f"{caught.value} {caught.value!r} {caught.value.__notes__} {caught.value.attempts} {remote}"
    for secret in ("hunter2", "t0ken", "abcdef"):
        assert secret not in told


async def test_promise_7_a_rest_is_asked_for_with_no_more_secrets_than_the_whole_was(reactor: Any) -> None:
    async with FaultServer(reactor, {}) as elsewhere:
        paths = {"/a": redirect(elsewhere.url("/e")), "/b": Nth([Cut(answer(DATA), after=300_000), answer(DATA)])}
        async with FaultServer(reactor, paths) as scope:
            elsewhere.script = redirect(scope.url("/b"))
            memory = ToMemory()
            remote = Remote(auth=Basic("elmer", "hunter2"), retries=QUICK)
            async with Downloader(reactor, remote) as downloader:
                await downloader.download(Source(scope.url("/a"), headers={"X-Token": "t0ken"}), memory)

            assert memory.data == DATA
            assert [each.path for each in scope.requests] == ["/a", "/b", "/b"]
            for each in scope.requests[1:]:
                assert each.get(b"authorization") is None
                assert each.get(b"x-token") is None


async def test_promise_7_https_is_never_left_for_http(reactor: Any) -> None:
    ca = trustme.CA()
    identity = ServerTLS(ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    async with FaultServer(reactor, answer(DATA)) as plain:
        async with FaultServer(reactor, redirect(plain.url("/x")), tls=identity) as server:
            async with Downloader(reactor, Remote(tls=TLS(ca=ca.cert_pem.bytes()))) as downloader:
                with pytest.raises(Refused, match="allow_downgrade"):
                    await downloader.download(server.url("/f"), ToMemory())
        assert plain.requests == []


# ---- 8


async def test_promise_8_bytes_are_the_bytes_as_sent(reactor: Any) -> None:
    fields = ((b"Content-Encoding", b"gzip"), (b"X-A", b"1"), (b"x-a", b"2"))
    gz = b"\x1f\x8b not really"
    consumer = Recorder()
    async with FaultServer(reactor, answer(gz, headers=fields)) as server, Downloader(reactor) as downloader:
        await downloader.download(server.url("/f.gz"), consumer)

        assert [value for name, value in server.requests[0].headers if name.lower() == b"accept-encoding"] == [
            b"identity"
        ]
    assert consumer.data == gz
    assert consumer.head is not None
    assert [pair for pair in consumer.head.headers if pair[0].lower() == b"x-a"] == [(b"X-A", b"1"), (b"x-a", b"2")]
    assert consumer.head.get(b"content-encoding") == b"gzip"


# ---- 9


async def test_promise_9_every_failure_is_a_download_error_with_its_attempts_and_cause(reactor: Any) -> None:
    async with FaultServer(reactor, Nth([Reset(), Cut(answer(DATA), 1000), Send(b"nonsense\r\n\r\n")])) as server:
        remote = Remote(retries=Retries(count=2, base=0.01))
        async with Downloader(reactor, remote) as downloader:
            with pytest.raises(DownloadError) as caught:
                await downloader.download(server.url("/f"), ToMemory())

    assert caught.value.url == server.url("/f")
    assert [type(each.error).__name__ for each in caught.value.attempts] == [
        "ConnectFailed",
        "Truncated",
        "ProtocolError",
    ]
    assert all(each.error is not None and each.error.__cause__ is not None for each in caught.value.attempts)


async def test_promise_9_an_error_in_the_callers_generator_surfaces(reactor: Any) -> None:
    def wanted() -> Iterator[Any]:
        raise LookupError("no database")
        yield  # makes it a generator

    async with Downloader(reactor) as downloader:
        with pytest.raises(LookupError):
            async with downloader.download_many(wanted()) as outcomes:
                async for _ in outcomes:
                    pass


# ---- 10


async def test_promise_10_large_bodies_are_hashed_on_a_thread_while_the_reactor_goes_on(
    reactor: Any, tmp_path: Path
) -> None:
    on_the_reactor: list[int] = []
    go_on = threading.Event()

    @implementer(ICheck)
    class Slow:
        def update(self, data: bytes) -> None:
            if threading.current_thread() is threading.main_thread():
                on_the_reactor.append(len(data))
            else:
                go_on.wait(5)

        def verify(self) -> dict[str, object]:
            return {}

    @implementer(IExpectation)
    class Expect:
        enforced, partial = True, False

        def start(self) -> Slow:
            return Slow()

    async with FaultServer(reactor, answer(DATA)) as server, Downloader(reactor) as downloader:
        large = downloader.download(Source(server.url("/large"), Expect()), ToFile(tmp_path / "large"))
        small = await downloader.download(server.url("/small"), ToFile(tmp_path / "small"))
        assert not large.called
        go_on.set()
        await large

    assert small.size == len(DATA)
    assert sum(on_the_reactor) <= len(DATA) // 4


async def test_promise_10_a_slow_generator_lets_others_have_their_turn(reactor: Any, tmp_path: Path) -> None:
    """A step of it cannot be made shorter; but no turn of the reactor has many."""
    turns, taken = 0, Counter[int]()

    def tick() -> None:
        nonlocal turns
        turns += 1

    ticking = LoopingCall(tick)
    ticking.clock = reactor

    def wanted() -> Iterator[Any]:
        for number in range(40):
            taken[turns] += 1
            time.sleep(0.004)  # a query
            yield server.url("/f"), ToFile(tmp_path / str(number), durable=False)

    async with FaultServer(reactor, answer(b"x")) as server, Downloader(reactor) as downloader:
        ticking.start(0)
        async with downloader.download_many(wanted(), concurrency=40) as outcomes:
            ended = [each.ok async for each in outcomes]
        ticking.stop()

    assert ended == [True] * 40
    assert max(taken.values()) <= 4


async def test_promise_10_a_slow_fsync_lets_others_have_their_turn(reactor: Any, tmp_path: Path) -> None:
    go_on, waiting = threading.Event(), threading.Event()

    def fsync(fd: int) -> None:
        waiting.set()
        assert go_on.wait(5), "the reactor does not turn"
        os.fsync(fd)

    slow = SimpleNamespace(**{**vars(os), "fsync": fsync})
    async with FaultServer(reactor, answer(b"small")) as server, Downloader(reactor) as downloader:
        durable = downloader.download(server.url("/a"), ToFile(tmp_path / "a", disk=slow))
        while not waiting.is_set():
            await deferLater(reactor, 0.005)
        await downloader.download(server.url("/b"), ToFile(tmp_path / "b", durable=False))
        assert not durable.called
        assert names(tmp_path) == {"b"}
        go_on.set()
        await durable

    assert names(tmp_path) == {"a", "b"}


# ---- time


async def test_a_stalled_body_goes_on_at_another_connection(reactor: Any) -> None:
    script = Nth([Cut(answer(DATA), after=300_000, end=Hold()), answer(DATA)])
    remote = Remote(timeouts=Timeouts(idle=0.2), retries=QUICK)
    consumer = Recorder()
    async with FaultServer(reactor, script) as server, Downloader(reactor, remote) as downloader:
        report = await downloader.download(Source(server.url("/f"), SHA), consumer)

    assert consumer.data == DATA
    assert isinstance(report.attempts[0].error, TimedOut)


async def test_a_close_delimited_body_that_is_reset_is_no_success(reactor: Any) -> None:
    script = Cut(answer(DATA, framing="close"), after=300_000)
    async with (
        FaultServer(reactor, script) as server,
        Downloader(reactor, Remote(retries=Retries(count=0))) as downloader,
    ):
        with pytest.raises(Truncated):
            await downloader.download(server.url("/f"), ToMemory())


async def test_many_waiters_for_one_deferred(reactor: Any) -> None:
    """Closing while downloads run ends them and fires for all who wait for the close."""
    async with FaultServer(reactor, Hold()) as server:
        downloader = Downloader(reactor)
        running: list[Deferred[Any]] = [downloader.download(server.url("/f"), ToMemory()) for _ in range(3)]
        one, two = downloader.close(), downloader.close()
        await one
        await two
        for each in running:
            with pytest.raises(CancelledError):
                await each
