"""
Promise 3: RETR opens what is there by then, and takes no condition.  So whatever becomes of a file while it is asked
for, parts of two versions of it are never one file.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock, deferLater

from pulp_dl import Digest, Downloader, Limits, Remote, Report, Retries, Sharing, Source, Span, Timeouts, ToMemory
from pulp_dl.errors import DownloadError, NotResumable, TimedOut, Truncated
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.model.source import Validators
from pulp_dl.protocols.ftp import FTPFetcher
from pulp_dl.protocols.ftp.session import LINGER
from pulp_dl.testing import (
    Close,
    Data,
    Entity,
    FaultFTP,
    History,
    Hold,
    MemoryNetwork,
    Nth,
    Recorder,
    Request,
    RewindableRecorder,
    Script,
    Send,
    reply,
)
from pulp_dl.testing import Reset as Broken
from pulp_dl.testing.strategies import Numbered, segmentations
from tests.ftp.conftest import MakeFetcher, put, verbs
from tests.ftp.vsftpd import Vsftpd
from tests.sinks import Sink, read, until
from tests.stateful.wants import FileHere

SIZE = 200_000
ONE, OTHER = (
    Entity(Numbered(number, SIZE), modified=b"Sun, 09 Sep 2001 01:46:4%d GMT" % number) for number in range(2)
)
ETAG = b'"%x-%x"' % (1_000_000_000, SIZE)
SAME = Validators(ETAG)
"""What is said of ONE."""
HALF = SIZE // 2
LOOKED = ["SIZE", "MDTM"]
NOW = 1_700_000_000
"""Both have not changed for long by then."""


class Changing(FaultFTP):
    """
    Its file becomes another one when a certain command comes.

    @ivar changes: what becomes of it, by verb and how often that was said before.
    @ivar breaks: after how many bytes transfers end with a reset, one after the other; then none does.
    """

    def __init__(self, reactor: Any, first: Entity = ONE, replies: Any = None, **where: Any) -> None:
        super().__init__(reactor, {"f": first}, replies, **where)
        self.changes: dict[tuple[str, int], Entity | None] = {}
        self.breaks: list[int] = []

    def honest(self, request: Request) -> Script:
        key = request.method, verbs(self).count(request.method) - 1
        if key in self.changes:
            becomes = self.changes[key]
            if becomes is None:
                del self.files["f"]
            else:
                self.files["f"] = becomes
        return super().honest(request)

    def rest(self, request: Request) -> Script:
        entity, offset = self.files.get("f"), self.sessions[request.connection].offset
        if not self.breaks or not isinstance(entity, Entity):
            return super().rest(request)
        self.sessions[request.connection].offset = 0
        return Data((Send(entity.data[offset : offset + self.breaks.pop(0)]), Broken()))


def after_half(reactor: Any, **where: Any) -> Changing:
    """It breaks off in the middle, and is another file when the rest is asked for; nobody could know before."""
    server = Changing(reactor, **where)
    server.breaks = [HALF]
    server.changes["RETR", 1] = OTHER
    return server


async def download(reactor: Any, server: FaultFTP, consumer: Any, *expect: Digest) -> Report:
    async with Downloader(reactor, Remote(retries=Retries(count=1, base=0.001))) as downloader:
        return await downloader.download(Source(server.url("/f"), expect), consumer)


# ---- a rest


async def test_a_rest_of_another_version_is_found_out_and_the_whole_is_read(reactor: Any) -> None:
    consumer = ToMemory()
    async with after_half(reactor) as server:
        report = await download(reactor, server, consumer)
        assert consumer.data == OTHER.data
        assert report.head.etag != ETAG
        assert [type(each.error) for each in report.attempts[1:]] == [NotResumable, type(None)]
        assert verbs(server).count("RETR") == 3


async def test_who_cannot_forget_it_gets_no_end(reactor: Any) -> None:
    consumer = Recorder()
    async with after_half(reactor) as server:
        with pytest.raises(NotResumable):
            await download(reactor, server, consumer)
    assert consumer.failure is not None


async def test_a_rest_that_is_one_is_joined(reactor: Any) -> None:
    """And it costs a look, not another login or data connection."""
    consumer = Recorder()
    async with Changing(reactor) as server:
        server.breaks = [HALF]
        report = await download(reactor, server, consumer)
        assert (consumer.data, consumer.finished) == (ONE.data, True)
        assert len(report.attempts) == 2
        said = verbs(server)
        assert said[said.index("REST") :] == ["REST", "RETR", *LOOKED]


async def test_a_whole_file_is_looked_at_once(reactor: Any, fetching: MakeFetcher) -> None:
    async with Changing(reactor) as server:
        fetcher = fetching()
        for _ in range(2):
            assert (await read(fetcher, server.url("/f")))[1] == ONE.data
        assert verbs(server) == ["USER", "PASS", "TYPE", *[*LOOKED, "EPSV", "RETR"] * 2]


async def test_what_a_digest_has_proven_needs_no_other_proof(reactor: Any) -> None:
    """Its name may be another file's by then: what was opened was the right one."""
    consumer = ToMemory()
    async with Changing(reactor) as server:
        server.breaks = [HALF]
        server.changes["SIZE", 2] = OTHER
        await download(reactor, server, consumer, Digest("sha256", hashlib.sha256(ONE.data).hexdigest()))
        assert consumer.data == ONE.data
        assert verbs(server).count("RETR") == 2


@pytest.mark.parametrize("judged", [False, True])
async def test_a_file_that_is_gone_proves_nothing(reactor: Any, *, judged: bool) -> None:
    expect = [Digest("sha256", hashlib.sha256(ONE.data).hexdigest())] if judged else []
    consumer = Recorder()
    async with Changing(reactor) as server:
        server.breaks = [HALF]
        server.changes["SIZE", 2] = None
        if judged:
            await download(reactor, server, consumer, *expect)
            assert consumer.data == ONE.data
        else:
            with pytest.raises(DownloadError):
                await download(reactor, server, consumer)
    assert consumer.finished is judged


async def test_after_a_joined_body_that_a_digest_refuses_the_whole_is_read_at_once(reactor: Any) -> None:
    consumer = ToMemory()
    async with after_half(reactor) as server, Downloader(reactor, Remote(retries=Retries(count=1, base=0.001))) as both:
        source = Source(server.url("/f"), Digest("sha256", hashlib.sha256(OTHER.data).hexdigest()))
        await both.download(source, consumer)
        assert verbs(server).count("RETR") == 3
    assert consumer.data == OTHER.data


async def test_vsftpd_that_publishes_meanwhile(reactor: Any, vsftpd: Vsftpd) -> None:
    """A new file takes the name while the rest of the old one is asked for."""
    name = "published"
    put(vsftpd.root, name, ONE.data)

    put(vsftpd.root, "next", OTHER.data, 1_000_000_001)
    async with Downloader(reactor, Remote(retries=Retries(count=0))) as downloader:
        fetcher = downloader._shared.fetcher("ftp", downloader._shared.remote)
        body = await fetcher.open(Source(vsftpd.url(name)), Span(HALF), SAME)
        (vsftpd.root / "next").rename(vsftpd.root / name)
        with pytest.raises(NotResumable):
            await body.deliver(Sink())
        body = await fetcher.open(Source(vsftpd.url(name)), Span(HALF), SAME)
        assert body.head.status == 200
        body.abandon()


# ---- a part, which its head promises to be of this version


@pytest.mark.parametrize("span", [Span(HALF), Span(5, 10), Span(-7)])
@pytest.mark.parametrize("said", [{}, {"conditions": ((b"If-Range", ETAG),)}])
async def test_a_part_is_of_the_version_that_its_head_names(
    reactor: Any, fetching: MakeFetcher, span: Span, said: Any
) -> None:
    fetcher = fetching()
    part = span.within(SIZE)
    assert part is not None
    async with Changing(reactor) as server:
        source = Source(server.url("/f"), **said)
        head, data = await read(fetcher, source, span)
        assert (head.status, head.etag, data) == (206, ETAG, ONE.data[part.start : part.stop])
        server.changes["RETR", 1] = OTHER
        body = await fetcher.open(source, span)
        assert body.head.etag == ETAG
        with pytest.raises(NotResumable):
            await body.deliver(Sink())
        assert verbs(server).count("USER") == 1


async def test_a_part_without_a_version_promises_nothing(reactor: Any, fetching: MakeFetcher) -> None:
    async with Changing(reactor, replies={"MDTM": reply(502)}) as server:
        head, data = await read(fetching(), server.url("/f"), Span(HALF))
        assert (head.status, head.etag, data) == (206, None, ONE.data[HALF:])
        assert verbs(server)[-1] == "RETR"


BIG = Entity(bytes(8 * 1024 * 1024), modified=ONE.modified)


async def test_who_does_not_notice_the_cut_is_asked_in_another_session(
    reactor: Any, timed: FTPFetcher, clock: Clock
) -> None:
    deaf: Script = (reply(150), Data((Send(BIG.data), Hold())), Hold())
    async with Changing(reactor, BIG, {"RETR": deaf}) as server:
        body = await timed.open(Source(server.url("/f")), Span(0, 10))
        sink = Sink()
        delivery = body.deliver(sink)
        await until(reactor, lambda: sink.data)
        assert not delivery.called
        clock.advance(LINGER + 0.1)
        await delivery
        assert sink.data == BIG.data[:10]
        assert verbs(server)[-5:] == ["USER", "PASS", "TYPE", *LOOKED]
        await until(reactor, lambda: server.connections.open == 1)


async def test_who_gives_up_while_the_server_has_not_noticed_asks_nobody(
    reactor: Any, timed: FTPFetcher, clock: Clock
) -> None:
    deaf: Script = (reply(150), Data((Send(BIG.data), Hold())), Hold())
    async with Changing(reactor, BIG, {"RETR": deaf}) as server:
        body = await timed.open(Source(server.url("/f")), Span(0, 10))
        sink = Sink()
        delivery = body.deliver(sink)
        await until(reactor, lambda: sink.data)
        delivery.cancel()
        with pytest.raises(CancelledError):
            await delivery
        clock.advance(LINGER + 0.1)
        await until(reactor, lambda: not server.connections.open)
        await deferLater(reactor, 0.05)
        assert verbs(server)[-1] == "RETR"


async def test_a_part_that_breaks_off_is_Truncated_and_asks_nobody(reactor: Any, fetching: MakeFetcher) -> None:
    async with Changing(reactor) as server:
        server.breaks = [10]
        body = await fetching().open(Source(server.url("/f")), Span(HALF))
        with pytest.raises(Truncated):
            await body.deliver(Sink())
        await until(reactor, lambda: not server.connections.open)
        assert verbs(server)[-1] == "RETR"


async def test_who_closes_after_a_part_is_asked_in_another_session(reactor: Any, fetching: MakeFetcher) -> None:
    server: Changing
    script: Script = (reply(150), lambda request: server.rest(request), reply(226), Close())  # noqa: PLW0108
    async with Changing(reactor, replies={"RETR": script}) as server:
        _, data = await read(fetching(), server.url("/f"), Span(HALF))
        assert data == ONE.data[HALF:]
        assert verbs(server)[-5:] == ["USER", "PASS", "TYPE", *LOOKED]


async def test_the_last_look_has_the_time_of_an_answer(reactor: Any, fetching: MakeFetcher) -> None:
    async with Changing(reactor, replies={"MDTM": Nth([reply(213, "20010909014640"), Hold()])}) as server:
        fetcher = fetching(timeouts=Timeouts(head=0.3))
        with pytest.raises(TimedOut, match="no answer"):
            await read(fetcher, server.url("/f"), Span(HALF))
        await until(reactor, lambda: not server.connections.open)


@pytest.mark.parametrize("end", ["cancel", "close", "abandon"])
async def test_whoever_gives_up_during_the_last_look_leaves_nothing(
    reactor: Any, fetching: MakeFetcher, end: str
) -> None:
    async with Changing(reactor, replies={"MDTM": Nth([reply(213, "20010909014640"), Hold()])}) as server:
        fetcher = fetching()
        body = await fetcher.open(Source(server.url("/f")), Span(SIZE - 10))
        if end == "abandon":
            await until(reactor, lambda: verbs(server).count("MDTM") == 2)
            body.abandon()
        else:
            sink = Sink()
            delivery = body.deliver(sink)
            await until(reactor, lambda: verbs(server).count("MDTM") == 2)
            assert sink.data == ONE.data[-10:]
            assert not delivery.called
            if end == "cancel":
                delivery.cancel()
            else:
                await fetcher.close()
            with pytest.raises(CancelledError):
                await delivery
            assert sink.producer is None
        await until(reactor, lambda: not server.connections.open)
        assert not fetcher.bodies


async def test_the_last_look_needs_no_other_slot(reactor: Any) -> None:
    """Else those who wait for this session would come first, and it would wait for them."""
    limits = Limits(connections=2, per_host=2)
    async with (
        Changing(reactor) as server,
        Downloader(reactor, Remote(limits=limits, retries=Retries(count=0))) as downloader,
    ):
        source = Source(server.url("/f"), span=(HALF, HALF + 10))
        parts = [ToMemory() for _ in range(4)]
        for each in [downloader.download(source, part) for part in parts]:
            await each
        assert [part.data for part in parts] == [ONE.data[HALF : HALF + 10]] * 4
        assert verbs(server).count("USER") == 1
        turn = [*LOOKED, "EPSV", "REST", "RETR", *LOOKED]
        assert verbs(server)[3:] == turn * 4


# ---- whatever

VERBS = ("SIZE", "MDTM", "EPSV", "REST", "RETR")


@st.composite
def changes(draw: st.DrawFn) -> tuple[History, dict[tuple[str, int], Entity | None], list[int]]:
    """
    A file that becomes another one whenever a command comes, once or twice and never what it was before; and after how
    many bytes its transfers break off.
    """
    versions = [
        Entity(
            Numbered(number, draw(st.sampled_from([SIZE, SIZE, SIZE, SIZE - 1, 2 * SIZE]))),
            modified=b"Sun, 09 Sep 2001 01:46:4%d GMT" % number,
        )
        for number in range(draw(st.integers(2, 3)))
    ]
    moments = draw(
        st.lists(
            st.tuples(st.sampled_from(VERBS), st.integers(0, 3)),
            min_size=len(versions) - 1,
            max_size=len(versions) - 1,
            unique=True,
        )
    )
    breaks = draw(st.lists(st.sampled_from([0, 1, 1000, 65_536, HALF, SIZE]), min_size=1, max_size=3))
    return History(tuple(versions)), dict(zip(moments, versions[1:], strict=True)), breaks


@settings(max_examples=100)
@given(found=changes(), segments=segmentations(), runs=st.lists(st.integers(1, 400), max_size=3))
def test_whatever_a_file_becomes_between_runs_that_go_on_with_each_other_what_is_there_is_one_version(
    found: Any, segments: Any, runs: list[int]
) -> None:
    """Each of them ends after so many steps, with whatever it has; the last one comes to its end."""
    history, becomes, breaks = found
    network = MemoryNetwork(segments)
    network.advance(NOW)
    server = Changing(network, history.versions[0], interface="ftp.example", port=21)
    server.changes, server.breaks = becomes, breaks
    with TemporaryDirectory() as folder:
        path = Path(folder, "f")
        for steps in (*runs, None):
            downloader = Downloader(network, Remote(retries=Retries(count=4)))
            downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]  # threads have their own time
            running = downloader.download(server.url("/f"), FileHere(path, durable=False, part=True))
            for _ in range(steps or 0):
                network.step()
            if steps is not None:
                running.cancel()
            with suppress(CancelledError):
                network.result(running, 1e5)
            network.result(downloader.close())
            if path.exists():
                history.check(path.read_bytes())
                break
        assert path.exists()
    event(f"REST {verbs(server).count('REST')}")
    network.result(server.close())


@settings(max_examples=200)
@given(found=changes(), segments=segmentations(), rewindable=st.booleans(), part=st.booleans())
def test_whatever_a_file_becomes_at_whatever_command_what_is_finished_is_one_version(
    found: Any, segments: Any, rewindable: bool, part: bool
) -> None:
    history, becomes, breaks = found
    network = MemoryNetwork(segments)
    network.advance(NOW)
    server = Changing(network, history.versions[0], interface="ftp.example", port=21)
    server.changes, server.breaks = becomes, breaks
    downloader = Downloader(network, Remote(retries=Retries(count=3)))
    downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]  # threads would have their own time
    consumer = (RewindableRecorder if rewindable else Recorder)()
    source = Source(server.url("/f"), span=(1000, SIZE - 1000) if part else None)
    try:
        network.result(downloader.download(source, consumer), 1e5)
    except DownloadError as error:
        event(type(error).__name__)
        assert not consumer.finished
    else:
        event("came")
        head = consumer.head
        assert head is not None
        start, stop = (0, None) if head.span is None else (head.span.start, head.span.stop)
        of = [number for number, each in enumerate(history.versions) if each.data[start:stop] == consumer.data]
        assert of
        if head.span is not None:  # a part is of the version that its head names; a whole body may be newer
            assert head.etag in {b'"%x-%x"' % (1_000_000_000 + n, len(history.versions[n].data)) for n in of}
    network.result(downloader.close())
    network.result(server.close())
    network.run()
    assert network.getDelayedCalls() == []


@pytest.mark.parametrize("changes", [False, True])
def test_who_is_too_slow_for_a_shared_transfer_gets_no_good_end_of_another_version(*, changes: bool) -> None:
    """Its rest is asked for alone, and proven as any other."""
    network = MemoryNetwork()
    network.advance(NOW)
    server = Changing(network, interface="ftp.example", port=21)
    if changes:
        server.changes["RETR", 1] = OTHER
    downloader = Downloader(network, Remote(retries=Retries(count=3)))
    downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]  # threads would have their own time
    sharing = Sharing(downloader, network, window=20_000)
    slow, quick = Recorder(pause_after=1), Recorder()
    ends = [sharing.download(Source(server.url("/f")), consumer) for consumer in (slow, quick)]
    network.result(ends[1])
    assert quick.data == ONE.data
    slow.resume()
    if changes:
        with pytest.raises(NotResumable):
            network.result(ends[0])
    else:
        network.result(ends[0])
        assert slow.data == ONE.data
    assert slow.finished is not changes
    network.result(sharing.close())
    network.result(server.close())
