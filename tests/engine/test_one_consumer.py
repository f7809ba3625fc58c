"""A consumer has the bytes of one download at a time: who is given one that is in use is refused, and it goes on."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Counted, Digest, Downloader, Progress, Remote, Retries, Size, Source, Tee, ToFile, ToMemory
from pulp_dl.consumers.around import Around
from pulp_dl.engine.sharing import Sharing
from pulp_dl.errors import ConsumerFailed, DownloadError, Refused
from pulp_dl.interfaces import IBodyConsumer, IDownloader
from pulp_dl.testing import (
    Cut,
    FaultServer,
    Hold,
    MemoryFetcher,
    MemoryScheme,
    Nth,
    Place,
    Recorder,
    RewindableRecorder,
    answer,
)
from tests.consumers.disks import failing
from tests.service.running import until

URLS = ONE, TWO = "memory://a/one", "memory://b/two"
BODIES = {ONE: b"1" * 50_000, TWO: b"2" * 30_000}
ONCE = Remote(retries=Retries(count=0))
IN_USE = r"in use by another download; make one for each$"


class Case:
    """Bodies that come in pieces, each in a turn of its own."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.clock = Clock()
        self.progress = progress
        places: dict[str, Any] = {url: Place(body, every=0.01, chunk=4000) for url, body in BODIES.items()}
        self.fetcher = MemoryFetcher(places, self.clock)

    def downloader(self) -> Downloader:
        return Downloader(self.clock, schemes=[MemoryScheme(self.fetcher)], progress=self.progress)

    @property
    def asked(self) -> list[str]:
        return [each.url for each in self.fetcher.asked]

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(0.01)


def begun(downloader: IDownloader, url: str, consumer: Any) -> list[Any]:
    ends: list[Any] = []
    downloader.download(url, consumer).addBoth(ends.append)
    return ends


def ended_well(ends: list[Any], url: str) -> bool:
    return len(ends) == 1 and not isinstance(ends[0], Failure) and ends[0].size == len(BODIES[url])


def refused(ends: list[Any], url: str) -> bool:
    assert len(ends) == 1, "it is refused at once"
    with pytest.raises(ConsumerFailed, match=IN_USE) as raised:
        ends[0].raiseException()
    return raised.value.url == url and raised.value.attempts == ()


def itself(consumer: Any) -> Any:
    return consumer


WAYS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "as it is": (itself, itself),
    "around": (Around, itself),
    "around twice": (Around, lambda consumer: Around(Around(consumer))),
    "counted": (lambda consumer: Counted(consumer, Progress()), lambda consumer: Counted(consumer, Progress())),
    "tee": (lambda consumer: Tee(Recorder(), consumer), lambda consumer: Tee(consumer, Recorder())),
    "tee of tees": (lambda consumer: Tee(Recorder(), Tee(Around(consumer))), itself),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("make", [Recorder, RewindableRecorder, ToMemory])
def test_the_second_is_refused_and_the_first_one_ends_whole(make: Callable[[], Any], after: int, way: str) -> None:
    case, consumer, (first, second) = Case(), make(), WAYS[way]
    downloader = case.downloader()
    ends = begun(downloader, ONE, first(consumer))
    case.turns(after)

    assert refused(begun(downloader, TWO, second(consumer)), TWO)
    assert case.asked == [ONE], "nothing was asked for"
    case.turns(50)
    assert ended_well(ends, ONE)
    assert consumer.data == BODIES[ONE]


def test_so_it_is_with_two_downloaders_and_when_they_share() -> None:
    case, consumer = Case(), RewindableRecorder()
    sharing, other = Sharing(case.downloader(), case.clock), Sharing(case.downloader(), case.clock)
    ends = begun(sharing, ONE, consumer)
    case.turns(5)

    for again in (begun(sharing, ONE, consumer), begun(other, ONE, consumer), begun(case.downloader(), ONE, consumer)):
        assert refused(again, ONE)
    case.turns(50)
    assert ended_well(ends, ONE)
    assert consumer.data == BODIES[ONE]
    assert case.asked == [ONE]
    assert list(sharing._running) == list(other._running) == []


def test_a_closed_downloader_leaves_it_alone_too() -> None:
    case, consumer, downloader = Case(), Recorder(), Case().downloader()
    sharing = Sharing(Case().downloader(), Clock())
    downloader.close()
    sharing.close()
    ends = begun(case.downloader(), ONE, consumer)
    case.turns(5)

    for closed in (downloader, sharing):
        assert begun(closed, TWO, consumer)[0].check(CancelledError)
    case.turns(50)
    assert ended_well(ends, ONE)
    assert consumer.data == BODIES[ONE]


def test_those_beside_it_that_are_free_hear_that_nothing_comes() -> None:
    case, consumer, free = Case(), Recorder(), Recorder()
    downloader = case.downloader()
    begun(downloader, ONE, consumer)

    assert refused(begun(downloader, TWO, Tee(free, Around(consumer))), TWO)
    assert free.failure is not None
    assert free.failure.check(ConsumerFailed)
    assert consumer.failure is None


def test_progress_is_told_that_it_has_ended() -> None:
    progress, consumer = Progress(), Recorder()
    case = Case(progress)
    downloader = case.downloader()
    begun(downloader, ONE, consumer)
    assert refused(begun(downloader, TWO, consumer), TWO)
    assert (progress.failed, len(progress.running)) == (1, 1)
    case.turns(50)

    assert (progress.failed, progress.done, progress.running) == (1, 1, ())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", ["well", "cancelled", "refused"])
def test_when_the_first_has_ended_it_is_free_again(ending: str, way: str) -> None:
    case, consumer, (first, second) = Case(), ToMemory(), WAYS[way]
    downloader = case.downloader()
    ends: list[Any] = []
    download = downloader.download(ONE, first(consumer)).addBoth(ends.append)
    if ending == "refused":
        begun(downloader, TWO, second(consumer))
    case.turns(5)
    if ending == "cancelled":
        download.cancel()
    case.turns(50)
    assert len(ends) == 1

    again = begun(downloader, TWO, second(consumer))
    case.turns(50)
    assert ended_well(again, TWO)
    assert consumer.data == BODIES[TWO]


def test_it_is_free_as_soon_as_the_first_tells_its_end() -> None:
    case, consumer = Case(), ToMemory()
    downloader = case.downloader()
    ends: list[Any] = []
    downloader.download(ONE, consumer).addCallback(lambda _: downloader.download(TWO, consumer)).addBoth(ends.append)
    case.turns(50)

    assert ended_well(ends, TWO)


def test_what_would_get_everything_twice_is_refused() -> None:
    case, consumer, other = Case(), Recorder(), Recorder()
    with pytest.raises(ValueError, match=r"^Tee: .*Recorder.* is there twice; make one for each$"):
        Tee(consumer, other, consumer)
    ends = begun(case.downloader(), ONE, Tee(Around(consumer), other, Tee(consumer)))
    with pytest.raises(ConsumerFailed, match=r"would get everything twice; make one for each$"):
        ends[0].raiseException()

    assert case.asked == []
    assert other.failure is not None


def test_no_data_of_a_download_before_are_taken_for_those_of_one_that_failed() -> None:
    case, memory = Case(), ToMemory()
    downloader = case.downloader()
    begun(downloader, ONE, memory)
    case.turns(50)
    assert memory.data == BODIES[ONE]
    begun(downloader, "memory://c/none", memory)
    case.turns(50)

    with pytest.raises(RuntimeError, match="not ended well"):
        assert memory.data


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("durable", [False, True])
async def test_a_large_file_is_that_of_the_first(reactor: Any, tmp_path: Path, durable: bool, part: bool) -> None:
    one, two = b"1" * 400_000, b"2" * 400_000
    consumer = ToFile(tmp_path / "f", durable=durable, part=part)
    scripts: dict[str, Any] = {"/one": [Hold(), answer(one)], "/two": answer(two)}
    async with FaultServer(reactor, scripts) as server, Downloader(reactor) as downloader:
        first = downloader.download(server.url("/one"), consumer)
        await until(reactor, lambda: server.requests)
        with pytest.raises(ConsumerFailed, match=f"^<ToFile '{tmp_path}/f'> is {IN_USE}"):
            await downloader.download(server.url("/two"), consumer)
        server.release()
        assert (await first).size == len(one)

    assert (tmp_path / "f").read_bytes() == one


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("size", [10, 4_000_000])
async def test_a_file_may_be_written_again(reactor: Any, tmp_path: Path, size: int, durable: bool, part: bool) -> None:
    one, two = b"1" * size, b"2" * (size + 1)
    consumer = ToFile(tmp_path / "f", durable=durable, part=part)
    scripts = {"/one": answer(one), "/two": answer(two)}
    async with FaultServer(reactor, scripts) as server, Downloader(reactor) as downloader:
        for path, body in (("/one", one), ("/two", two), ("/one", one)):
            await downloader.download(server.url(path), consumer)
            assert (tmp_path / "f").read_bytes() == body
            assert [each.name for each in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("size", [10, 4_000_000])
@pytest.mark.parametrize("how", ["wrong", "cut"])
async def test_a_file_may_be_written_after_a_failure(
    reactor: Any, tmp_path: Path, how: str, size: int, durable: bool, part: bool
) -> None:
    """At once: the one that failed may not have been put away yet."""
    body = random.Random(7).randbytes(size)
    consumer = ToFile(tmp_path / "f", durable=durable, part=part)
    good = answer(body)
    script = Nth([Cut(good, after=size - 1), good]) if how == "cut" else good
    async with FaultServer(reactor, {"/f": script}) as server, Downloader(reactor, ONCE) as downloader:
        wrong = Source(server.url("/f"), Digest("sha256", "0" * 64))
        with pytest.raises(DownloadError):
            await downloader.download(wrong, consumer)
        assert not (tmp_path / "f").exists()
        await downloader.download(Source(server.url("/f"), Size(size)), consumer)

    assert (tmp_path / "f").read_bytes() == body
    assert [each.name for each in tmp_path.iterdir()] == ["f"]
    assert not any(str(tmp_path) in os.path.realpath(each) for each in Path("/proc/self/fd").iterdir())


async def test_a_file_may_be_written_when_what_was_in_the_way_is_gone(reactor: Any, tmp_path: Path) -> None:
    full, body = [True], b"1" * 400_000
    disk = failing(errno.ENOSPC, "writev", when=lambda call: full[0])
    missing, filled = ToFile(tmp_path / "d" / "f", durable=False), ToFile(tmp_path / "f", disk=disk)
    async with FaultServer(reactor, {"/f": answer(body)}) as server, Downloader(reactor, ONCE) as downloader:
        for consumer in (missing, filled):
            with pytest.raises(ConsumerFailed, match=r"make (it|room there)$"):
                await downloader.download(server.url("/f"), consumer)
        (tmp_path / "d").mkdir()
        full.clear()
        full.append(False)
        for consumer in (missing, filled):
            await downloader.download(server.url("/f"), consumer)
            assert Path(consumer.path).read_bytes() == body

        outside = ToFile("../f", root=tmp_path)
        for _ in range(2):
            with pytest.raises(Refused):
                await downloader.download(server.url("/f"), outside)


def test_a_tee_that_ended_well_tells_of_the_next_failure() -> None:
    case, both = Case(), (ToMemory(), ToMemory())
    downloader, tee = case.downloader(), Tee(*both)
    for _ in range(2):
        ends = begun(downloader, ONE, tee)
        case.turns(50)
        assert ended_well(ends, ONE)
    begun(downloader, "memory://a/nothing", tee)
    case.turns(50)

    for each in both:
        with pytest.raises(RuntimeError, match="has not ended well"):
            _ = each.data


@pytest.mark.parametrize("shared", [False, True])
def test_who_cannot_say_what_it_is_is_refused_all_the_same(shared: bool) -> None:
    class Mute(ToMemory):
        def __repr__(self) -> str:
            raise RuntimeError("mute")

    case, consumer = Case(), Mute()
    downloader: Any = Sharing(case.downloader(), case.clock) if shared else case.downloader()
    ends = begun(downloader, ONE, consumer)
    case.turns(5)

    assert refused(begun(downloader, ONE, consumer), ONE)
    case.turns(50)
    assert ended_well(ends, ONE)
    assert downloader.close().called


def test_composites_say_what_they_are_made_of() -> None:
    inner, other = Recorder(), Recorder()
    assert Around(inner).consumers == (inner,)
    assert Tee(inner, other).consumers == (inner, other)
    assert IBodyConsumer.providedBy(Around(inner))


@pytest.mark.parametrize("consumer", [5, "path", None, ToMemory])
async def test_what_is_no_consumer_is_refused_where_it_is_given(reactor: Any, consumer: Any) -> None:
    case, progress = Case(), Case(Progress())
    for downloader in (case.downloader(), progress.downloader(), Sharing(case.downloader(), case.clock)):
        with pytest.raises(TypeError, match=r"is no IBodyConsumer; use ToFile\(path\), ToMemory\(\) or your own$"):
            downloader.download(ONE, consumer)
    with pytest.raises(TypeError, match=r"^consumer: .* is no IBodyConsumer"):
        async with Downloader(reactor).download_many([(ONE, consumer)]) as outcomes:
            async for _ in outcomes:
                pass

    assert case.asked == []
