"""
Over TLS, a body that nothing but the end of its connection ends: a FIN without close_notify may be anybody's, so it
counts where a size or a digest shows that nothing is missing, and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import event, given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from zope.interface import implementer

from pulp_dl import Digest, Downloader, Measure, Remote, Retries, Sharing, Size, Source, Tee, ToFile, ToMemory
from pulp_dl.errors import DigestMismatch, DownloadError, TooLarge, Truncated
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.interfaces import ICheck, IExpectation
from pulp_dl.model.tls import TLS
from pulp_dl.testing import (
    Close,
    Cut,
    CutTLS,
    Entity,
    FaultServer,
    MemoryNetwork,
    Nth,
    Recorder,
    Reset,
    Respond,
    RewindableRecorder,
    Script,
    Send,
    ServerTLS,
    answer,
)
from pulp_dl.testing.strategies import segmentations

DATA = b"".join(number.to_bytes(4, "big") for number in range(75_000))  # 300 kB, no two pieces alike
HALF = 150_000
CA = trustme.CA()
SERVER = ServerTLS(CA.issue_cert("127.0.0.1", "example.org").private_key_and_cert_chain_pem.bytes())
TRUST = TLS(ca=CA.cert_pem.bytes().decode(), system=False)
ONCE = Retries(count=0)
AGAIN = Retries(count=3, base=0.01)


def sha(data: bytes, *, enforced: bool = True) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest(), enforced=enforced)


def closing(data: bytes | Entity = DATA) -> Respond:
    """An answer without a length."""
    return answer(data, framing="close")


def cut(right: Script, after: int = len(DATA), end: Script | None = None) -> Cut:
    """So much of the body, and then a FIN and nothing else, unless it ends otherwise."""
    return Cut(right, after, CutTLS() if end is None else end)


@asynccontextmanager
async def over_tls(
    reactor: Any, script: Any, retries: Retries = ONCE
) -> AsyncIterator[tuple[Downloader, FaultServer, str]]:
    async with (
        FaultServer(reactor, script, tls=SERVER) as server,
        Downloader(reactor, Remote(tls=TRUST, retries=retries)) as downloader,
    ):
        yield downloader, server, server.url("/f")


EXPECTED: dict[str, Callable[[bytes], Any]] = {
    "size": lambda data: Size(len(data)),
    "digest": sha,
    "both": lambda data: (Size(len(data)), sha(data)),
    "one is only reported": lambda data: (sha(data), Digest("md5", "0" * 32, enforced=False)),
}
UNENFORCED: dict[str, Any] = {
    "nothing": (),
    "a measure": Measure(),
    "a digest that is only reported": sha(DATA, enforced=False),
    "a size that is only reported": Size(len(DATA), enforced=False),
}


# ---- over sockets


@pytest.mark.parametrize("size", [0, 1, 65_536, len(DATA)])
@pytest.mark.parametrize("expected", EXPECTED)
async def test_an_end_that_size_or_digest_proves_is_one(reactor: Any, tmp_path: Path, size: int, expected: str) -> None:
    data = DATA[:size]
    async with over_tls(reactor, cut(closing(data), size), AGAIN) as (downloader, server, url):
        source = Source(url, EXPECTED[expected](data))
        memory, file, client = ToMemory(), ToFile(tmp_path / "f"), Recorder()
        for consumer in (memory, file, client, Tee(ToMemory(), ToFile(tmp_path / "g"))):
            report = await downloader.download(source, consumer)
            assert (report.size, report.validated, len(report.attempts)) == (size, True, 1)
            assert report.attempts[0].error is None
            assert len(report.advisories) == (expected == "one is only reported")
    assert memory.data == client.data == data
    assert (tmp_path / "f").read_bytes() == (tmp_path / "g").read_bytes() == data
    assert client.finished
    assert len(server.requests) == 4


@pytest.mark.parametrize("expected", UNENFORCED)
@pytest.mark.parametrize("end", [CutTLS(), Reset()], ids=["FIN", "RST"])
async def test_without_a_proof_it_is_none(reactor: Any, tmp_path: Path, expected: str, end: Script) -> None:
    async with over_tls(reactor, cut(closing(), end=end), Retries(count=1, base=0.01)) as (downloader, _, url):
        client = Recorder()
        for consumer in (ToMemory(), ToFile(tmp_path / "f"), client, Tee(ToMemory(), ToFile(tmp_path / "g"))):
            with pytest.raises(DownloadError) as raised:
                await downloader.download(Source(url, UNENFORCED[expected]), consumer)
            assert any(isinstance(each.error, Truncated) for each in raised.value.attempts)
            assert len(raised.value.attempts) > 1
    assert list(tmp_path.iterdir()) == []
    assert not client.finished


@pytest.mark.parametrize("expected", EXPECTED)
async def test_a_reset_is_an_error_whatever_has_come(reactor: Any, expected: str) -> None:
    async with over_tls(reactor, cut(closing(), end=Reset())) as (downloader, _, url):
        for consumer in (ToMemory(), Recorder()):
            with pytest.raises(Truncated) as raised:
                await downloader.download(Source(url, EXPECTED[expected](DATA)), consumer)
            assert not raised.value.unproven


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("after", [0, 1, HALF, len(DATA) - 1])
async def test_an_end_that_comes_too_early_is_truncation(reactor: Any, expected: str, after: int) -> None:
    async with over_tls(reactor, cut(closing(), after)) as (downloader, _, url):
        client = Recorder()
        for consumer in (ToMemory(), client):
            with pytest.raises(Truncated):
                await downloader.download(Source(url, EXPECTED[expected](DATA)), consumer)
    assert len(client.data) < max(1, after)


@pytest.mark.parametrize("expected", [*EXPECTED, *UNENFORCED])
async def test_a_close_notify_ends_as_ever(reactor: Any, expected: str) -> None:
    expect = EXPECTED[expected](DATA) if expected in EXPECTED else UNENFORCED[expected]
    async with over_tls(reactor, closing()) as (downloader, _, url):
        memory = ToMemory()
        await downloader.download(Source(url, expect), memory)
        assert memory.data == DATA


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_that_tells_its_end_has_to_come_to_it(reactor: Any, framing: Any) -> None:
    """The last chunk is missing, or the last byte."""
    size = {"length": len(DATA), "chunked": None}[framing]
    right = answer(DATA, framing=framing, piece=len(DATA))
    after = len(DATA) - 1 if size else len(DATA) + len(b"%x\r\n\r\n" % len(DATA))
    async with over_tls(reactor, cut(right, after)) as (downloader, _, url):
        with pytest.raises(Truncated) as raised:
            await downloader.download(Source(url, sha(DATA)), ToMemory())
        assert not raised.value.unproven


async def test_an_old_server_is_no_other(reactor: Any) -> None:
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    async with over_tls(reactor, (Send(head + b"hello"), CutTLS())) as (downloader, _, url):
        for expect in (Size(5), sha(b"hello")):
            memory = ToMemory()
            await downloader.download(Source(url, expect), memory)
            assert memory.data == b"hello"
        with pytest.raises(Truncated):
            await downloader.download(url, ToMemory())


async def test_what_has_no_body_has_no_end_to_be_proven(reactor: Any) -> None:
    unchanged = (Send(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"), CutTLS())
    unsatisfied = (Send(b"HTTP/1.1 416 No\r\nContent-Range: bytes */5\r\nConnection: close\r\n\r\n"), CutTLS())
    head = (Send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"), CutTLS())
    async with over_tls(reactor, {"/f": unchanged, "/g": unsatisfied, "/h": head}) as (downloader, server, url):
        report = await downloader.download(Source(url, conditions=[("If-None-Match", '"1"')]), Recorder())
        assert report.head.status == 304
        report = await downloader.download(Source(server.url("/g"), span=(9, None)), Recorder())
        assert report.head.status == 416
        assert (await downloader.head(server.url("/h"))).status == 200


async def test_more_than_the_size_is_too_large(reactor: Any) -> None:
    async with over_tls(reactor, cut(closing())) as (downloader, _, url):
        with pytest.raises(TooLarge):
            await downloader.download(Source(url, Size(len(DATA) - 1)), ToMemory())


async def test_a_size_that_fits_leaves_the_rest_to_the_digest(reactor: Any) -> None:
    """All has come, and is wrong: a rest cannot be asked for."""
    async with over_tls(reactor, cut(closing())) as (downloader, _, url):
        with pytest.raises(DigestMismatch):
            await downloader.download(Source(url, (Size(len(DATA)), sha(b"other"))), ToMemory())


@implementer(IExpectation)
class _Certain:
    """Somebody's own: it is content with all there is."""

    enforced, partial = True, True

    def start(self) -> ICheck:
        return self  # type: ignore[return-value]

    def update(self, data: bytes) -> None:
        """It does not look."""

    def verify(self) -> dict[str, object]:
        return {"certain": True}


async def test_what_says_nothing_of_the_end_proves_none(reactor: Any) -> None:
    async with over_tls(reactor, cut(closing())) as (downloader, _, url):
        with pytest.raises(Truncated):
            await downloader.download(Source(url, _Certain()), ToMemory())
        report = await downloader.download(Source(url, (_Certain(), sha(DATA))), ToMemory())
        assert report.facts["certain"]


async def test_a_reader_that_pauses_gets_all_of_it(reactor: Any) -> None:
    async with over_tls(reactor, cut(closing())) as (downloader, _, url):
        client = Recorder(reactor, pause_for=0.001)
        report = await downloader.download(Source(url, sha(DATA)), client)
        assert client.data == DATA
        assert len(report.attempts) == 1


# ---- rests and parts

TAGGED = Entity(DATA, etag=b'"1"')


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
@pytest.mark.parametrize("expected", EXPECTED)
async def test_promise_3_an_end_too_early_is_gone_on_from(reactor: Any, make: Any, expected: str) -> None:
    """Both halves end with a FIN; what the joined whole has to be proves it."""
    script = Nth([cut(closing(TAGGED), HALF), cut(closing(TAGGED))])
    async with over_tls(reactor, script, AGAIN) as (downloader, server, url):
        consumer = make()
        report = await downloader.download(Source(url, EXPECTED[expected](DATA)), consumer)
    assert consumer.data == DATA
    assert [each.offset for each in report.attempts] == [0, HALF]
    assert [each.get(b"range") for each in server.requests] == [None, b"bytes=150000-"]


async def test_promise_3_a_rest_has_a_size_of_its_own(reactor: Any) -> None:
    """Said within TLS, where nobody else can say it, so with all of its bytes it is whole; with fewer it is not."""
    for after in (len(DATA) - HALF, 1000):
        script = Nth([cut(closing(TAGGED), HALF, Reset()), cut(closing(TAGGED), after)])
        async with over_tls(reactor, script, Retries(count=2, base=0.01)) as (downloader, _, url):
            consumer = RewindableRecorder()
            try:
                await downloader.download(url, consumer)
            except Truncated:
                assert after == 1000
                assert not consumer.finished
            else:
                assert after != 1000
                assert consumer.data == DATA


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
async def test_a_part_has_a_size_of_its_own(reactor: Any, make: Any) -> None:
    for expect in ((), sha(DATA), Size(len(DATA))):
        async with over_tls(reactor, cut(closing(TAGGED))) as (downloader, _, url):
            consumer = make()
            report = await downloader.download(Source(url, expect, span=(HALF, None)), consumer)
            assert consumer.data == DATA[HALF:]
            assert (report.head.status, report.validated) == (206, False)
        async with over_tls(reactor, cut(closing(TAGGED), 1000)) as (downloader, _, url):
            consumer = make()
            with pytest.raises(Truncated):
                await downloader.download(Source(url, expect, span=(HALF, None)), consumer)
            assert not consumer.finished


async def test_a_body_that_is_read_again_may_end_too_early_too(reactor: Any) -> None:
    """A client has more than this one brings: that is no other file, only less of it."""
    plain = Entity(DATA, etag=None, ranges=False, date=None)
    script = Nth([cut(closing(plain), HALF), cut(closing(plain), 1000), cut(closing(plain))])
    async with over_tls(reactor, script, AGAIN) as (downloader, _, url):
        client = Recorder()
        report = await downloader.download(Source(url, sha(DATA)), client)
    assert client.data == DATA
    assert [type(each.error) for each in report.attempts] == [Truncated, Truncated, type(None)]


# ---- several readers


async def test_who_expects_something_else_is_in_another_transfer(reactor: Any) -> None:
    async with over_tls(reactor, cut(closing())) as (downloader, server, url):
        sharing = Sharing(downloader, reactor)
        readers = [Recorder(), Recorder(), Recorder(), Recorder()]
        expected = (sha(DATA), sha(DATA), (), sha(b"other"))
        running = [sharing.download(Source(url, each), reader) for each, reader in zip(expected, readers, strict=True)]
        await running[0]
        await running[1]
        for each in running[2:]:
            with pytest.raises(Truncated):
                await each
    assert [each.data == DATA and each.finished for each in readers] == [True, True, False, False]
    assert len(server.requests) == 3


# ---- whatever comes

BODIES = st.sampled_from([0, 1, 1000, 65_536, 65_537, 150_000]).map(lambda size: DATA[:size])
CONSUMERS: st.SearchStrategy[type[Recorder]] = st.sampled_from([Recorder, RewindableRecorder])
ENDS: st.SearchStrategy[Script] = st.sampled_from([CutTLS(), CutTLS(), Close(), Reset()])


def bring(script: Script, source: Callable[[str], Source], consumer: Any, segments: Any, retries: int) -> Any:
    """The report, or the error; nothing is left of it."""
    network = MemoryNetwork(segments)
    server = network.serve("example.org", script, tls=SERVER)
    downloader = Downloader(network, Remote(tls=TRUST, retries=Retries(count=retries)))
    downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]  # threads would have their own time
    try:
        return network.result(downloader.download(source(server.url("/f")), consumer), 1e5)
    except (DownloadError, CancelledError) as error:
        return error
    finally:
        network.result(downloader.close())
        network.result(server.abort())
        network.run()
        assert network.connections == 0
        assert network.getDelayedCalls() == []


@given(data=st.data(), body=BODIES, end=ENDS, expected=st.sampled_from([*EXPECTED, *UNENFORCED]))
def test_an_end_counts_when_it_is_said_or_proven_and_never_otherwise(
    data: st.DataObject, body: bytes, end: Script, expected: str
) -> None:
    wanted = data.draw(st.sampled_from([body, body, body, body + b"!"]), "wanted")
    after = data.draw(st.one_of(st.just(len(body)), st.just(len(body)), st.integers(0, len(body))), "after")
    consumer = data.draw(CONSUMERS, "consumer")()
    enforced = expected in EXPECTED
    expect = EXPECTED[expected](wanted) if enforced else UNENFORCED[expected]

    ended = bring(
        cut(closing(body), after, end),
        lambda url: Source(url, expect),
        consumer,
        data.draw(segmentations(), "segments"),
        retries=0,
    )

    came = body[:after]
    whole = came == wanted if enforced else end == Close()
    if end == Reset():
        whole = False
    event(f"{'enforced' if enforced else 'free'}, {type(end).__name__}: {'whole' if whole else 'not'}")
    assert consumer.finished is whole
    assert isinstance(ended, DownloadError) is not whole
    if whole:
        assert consumer.data == came
        assert ended.attempts[0].error is None
    elif enforced and wanted and not isinstance(consumer, RewindableRecorder):  # it cannot forget
        assert consumer.data != wanted


def _scripts(body: bytes) -> st.SearchStrategy[Script]:
    entities = st.sampled_from([Entity(body, etag=b'"1"'), Entity(body, etag=None), Entity(body, ranges=False)])
    framings = st.sampled_from(["close", "close", "length", "chunked"])
    offsets = st.one_of(st.none(), st.integers(0, len(body) + 20))

    def script(entity: Entity, framing: Any, after: int | None, end: Script) -> Script:
        whole = answer(entity, framing=framing)
        return whole if after is None else cut(whole, after, end)

    return st.builds(script, entities, framings, offsets, ENDS)


@given(data=st.data(), body=BODIES, expected=st.sampled_from([*EXPECTED]))
def test_whatever_ends_follow_each_other_the_right_bytes_come_or_visibly_not(
    data: st.DataObject, body: bytes, expected: str
) -> None:
    """A rest may end in any way as well."""
    scripts = data.draw(st.lists(_scripts(body), min_size=1, max_size=4), "scripts")
    span = data.draw(st.sampled_from([None, None, (0, None), (len(body) // 2, None)]), "span")
    consumer = data.draw(CONSUMERS, "consumer")()

    ended = bring(
        Nth(scripts),
        lambda url: Source(url, EXPECTED[expected](body), span=span),
        consumer,
        data.draw(segmentations(), "segments"),
        retries=4,
    )

    if isinstance(ended, Exception):
        event(type(ended).__name__)
        assert not consumer.finished
    elif ended.head.status in {304, 416}:
        event("nothing")
        assert consumer.data == b""
    else:
        event(f"came with {len(ended.attempts)}")
        assert consumer.finished
        assert consumer.data == (
            body if ended.head.status == 200 else body[len(body) // 2 if span and span[0] else 0 :]
        )
