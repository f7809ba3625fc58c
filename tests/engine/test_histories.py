"""
Files that change while they are fetched.  Whatever their history and whatever goes wrong: a download ends with exactly
one version, whole, never with a mixture of two; or with an error, and nobody has a whole body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from pulp_dl import Digest, Downloader, Places, Remote, Retries, Size, Source, Timeouts, ToMemory
from pulp_dl.errors import DownloadError
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.testing import (
    Entity,
    FaultServer,
    History,
    MemoryNetwork,
    Nth,
    Recorder,
    RewindableRecorder,
    answer,
)
from pulp_dl.testing.content import alike
from pulp_dl.testing.strategies import Numbered, histories, segmentations, servers
from tests.stateful.wants import FileHere

OLD = b"what was there before"
# A failure is worth a long report.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")


@st.composite
def expectations(draw: st.DrawFn, history: History) -> tuple[tuple[Any, ...], bytes | None]:
    """What is expected, and the only bytes that fulfil it, if that is a digest."""
    wanted = draw(st.sampled_from(history.versions)).data
    kind = draw(st.sampled_from(["nothing", "nothing", "size", "digest"]))
    if kind == "digest":
        return (Digest("sha256", hashlib.sha256(wanted).hexdigest()),), wanted
    return ((Size(len(wanted)),) if kind == "size" else ()), None


def right(history: History, wanted: bytes | None, data: bytes) -> None:
    """This is what a download may end with."""
    if wanted is None:
        history.check(data)
    else:
        alike(data, wanted)


def of_another_place(history: History) -> History:
    """The same validators and sizes, of other bytes."""
    bodies = [*dict.fromkeys(each.data for each in history.versions)]
    return History(
        tuple(evolve(each, data=Numbered(3 + bodies.index(each.data), len(each.data))) for each in history.versions)
    )


@contextmanager
def network(segments: list[int], *servers: Any) -> Iterator[tuple[MemoryNetwork, list[str]]]:
    """Servers of the file, and its URLs; in the end nothing is left."""
    made = MemoryNetwork(segments)
    stages = [made.serve(f"{name}.example", server) for name, server in zip("ab", servers, strict=False)]
    yield made, [stage.url("/f") for stage in stages]
    for stage in stages:
        made.result(stage.abort())
    made.run()
    assert made.connections == 0
    assert made.getDelayedCalls() == []


def bring(net: MemoryNetwork, source: Source, consumer: Any, mirrors: Any = None, patience: float = 1e5) -> Any:
    """The report, or the error; whoever has no more patience cancels."""
    downloader = Downloader(net, Remote(retries=Retries(count=3)), mirrors=mirrors)
    downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]  # threads would have their own time
    running = downloader.download(source, consumer)
    timer = net.callLater(patience, running.cancel)
    try:
        return net.result(running, 1e6)
    except (DownloadError, CancelledError) as error:
        return error
    finally:
        if timer.active():
            timer.cancel()
        net.result(downloader.close())


@given(data=st.data(), history=histories())
def test_whatever_a_file_becomes_a_file_is_one_version_or_what_was_there(data: st.DataObject, history: History) -> None:
    expect, wanted = data.draw(expectations(history), "expected")
    with (
        TemporaryDirectory() as folder,
        network(data.draw(segmentations(), "segments"), data.draw(servers(history), "server")) as (net, (url,)),
    ):
        path = Path(folder, "f")
        path.write_bytes(OLD)
        end = bring(net, Source(url, expect), FileHere(path, durable=False))

        there = path.read_bytes()
        if isinstance(end, Exception):
            event("failed")
            alike(there, OLD)
        else:
            event("came")
            right(history, wanted, there)
            assert end.size == len(there)
        assert [each.name for each in Path(folder).iterdir()] == ["f"]


@given(data=st.data(), history=histories(), runs=st.lists(st.sampled_from([0.0, 0.5, 5, 1e5]), min_size=1, max_size=3))
def test_whatever_a_file_becomes_between_runs_that_go_on_with_each_other(
    data: st.DataObject, history: History, runs: list[float]
) -> None:
    """Each of them is given up after so many seconds; the last one has all the time."""
    expect, wanted = data.draw(expectations(history), "expected")
    with (
        TemporaryDirectory() as folder,
        network(data.draw(segmentations(), "segments"), data.draw(servers(history), "server")) as (net, (url,)),
    ):
        path = Path(folder, "f")
        for patience in (*runs, 1e5):
            end = bring(net, Source(url, expect), FileHere(path, durable=False, part=True), patience=patience)
            assert path.exists() is not isinstance(end, Exception)
            assert {each.name for each in Path(folder).iterdir()} <= {"f", "f.part", "f.part.json"}
            if not isinstance(end, Exception):
                right(history, wanted, path.read_bytes())
                assert [each.name for each in Path(folder).iterdir()] == ["f"]
                path.unlink()


@given(data=st.data(), history=histories(), rewindable=st.booleans(), pause=st.none() | st.integers(0, 3))
def test_whatever_a_file_becomes_a_client_has_one_version_or_no_end(
    data: st.DataObject, history: History, rewindable: bool, pause: int | None
) -> None:
    """Of one that cannot forget, what it has is the beginning of one version, even if there is no end."""
    expect, wanted = data.draw(expectations(history), "expected")
    with network(data.draw(segmentations(), "segments"), data.draw(servers(history), "server")) as (net, (url,)):
        consumer = (RewindableRecorder if rewindable else Recorder)(net, pause_after=pause)
        resuming = [net.callLater(seconds, consumer.resume) for seconds in (1, 40, 200)]
        end = bring(net, Source(url, expect), consumer)

        for each in resuming:
            if each.active():
                each.cancel()
        consumer.check()
        assert consumer.finished is not isinstance(end, Exception)
        assert (consumer.failure is not None) is isinstance(end, Exception)
        if consumer.finished:
            right(history, wanted, consumer.data)
        elif wanted is None:
            history.check(consumer.data, begun=True)
        elif wanted and not rewindable:
            assert consumer.data != wanted


@given(data=st.data(), history=histories(20_000), judged=st.sampled_from([False, False, True]))
def test_whatever_a_file_becomes_at_two_places_nobody_joins_their_versions(
    data: st.DataObject, history: History, judged: bool
) -> None:
    """Not unless a digest will tell; what one place says of a version is nothing that another one knows."""
    other = of_another_place(history)
    both = History(history.versions + other.versions)
    wanted = data.draw(st.sampled_from(both.versions)).data if judged else None
    expect = () if wanted is None else (Digest("sha256", hashlib.sha256(wanted).hexdigest()),)
    here, there = data.draw(servers(history), "here"), data.draw(st.just(answer(other)) | servers(other), "there")
    if data.draw(st.integers(0, 3), "goes away"):  # else whoever has begun there goes on there
        here = Nth([here.scripts[0], answer(b"gone", 503)])
    with network(data.draw(segmentations(), "segments"), here, there) as (net, urls):
        consumer = Recorder() if data.draw(st.booleans(), "stream") else ToMemory()
        end = bring(net, Source(urls[0], expect), consumer, Places(urls, under=urls[0]))

        if not isinstance(end, Exception):
            right(both, wanted, consumer.data)
        elif isinstance(consumer, Recorder) and wanted is None:
            both.check(consumer.data, begun=True)


@pytest.mark.limit(60)
@settings(max_examples=20)
@given(data=st.data(), history=histories(), stream=st.booleans())
async def test_and_it_is_the_same_over_sockets(
    reactor: Any, data: st.DataObject, history: History, stream: bool
) -> None:
    expect, wanted = data.draw(expectations(history), "expected")
    consumer = Recorder() if stream else ToMemory()
    remote = Remote(retries=Retries(count=3, base=0.001), timeouts=Timeouts(head=2, idle=2))
    async with FaultServer(reactor, data.draw(servers(history, patient=False), "server")) as server:
        async with Downloader(reactor, remote) as downloader:
            try:
                report = await downloader.download(Source(server.url("/f"), expect), consumer)
            except DownloadError:
                event("failed")
                if isinstance(consumer, Recorder) and wanted is None:
                    history.check(consumer.data, begun=True)
                return
    event("came")
    right(history, wanted, consumer.data)
    assert report.size == len(consumer.data)


# ---- the oracle


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"aabb", "0-2 of version 1, 2-4 of version 2"),
        (b"aaaaa", "0-4 of version 1, 4-5 of none"),
        (b"xaaa", "0-1 of none, 1-4 of version 1"),
        (b"aaa", "0-3 of version 1"),
        (b"", "nothing"),
    ],
)
def test_what_is_no_version_is_told_by_its_parts(data: bytes, told: str) -> None:
    history = History((Entity(b"aaaa"), Entity(b"bbbb")))
    for body in history.bodies():
        history.check(body)
        history.check(body[:3], begun=True)
    with pytest.raises(AssertionError, match=f"{len(data)} bytes are no version, but {told}"):
        history.check(data)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 500), st.integers(0, 500))
def test_nothing_that_is_put_together_wrongly_passes_for_a_version(one: int, other: int, at: int, size: int) -> None:
    """A byte of another version, a piece left out, a piece twice."""
    right, wrong = Numbered(one, size), Numbered(other, size)
    history = History((Entity(right), Entity(wrong)))
    for made in (right[:at] + wrong[at:], right[:at] + right[at + 8 :], right[:at] + right[max(0, at - 8) :]):
        if made in {right, wrong}:
            assert one == other or at == 0 or at >= size
        else:
            with pytest.raises(AssertionError):
                history.check(made)
