"""Consumers made of consumers can do what those can."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pulp_dl.consumers.around import Around, Counted, IProgress, Progress, Tee
from pulp_dl.consumers.file import ToFile
from pulp_dl.consumers.memory import Discard, ToMemory
from pulp_dl.errors import ConsumerFailed, ConsumerGone, DownloadError, Truncated
from pulp_dl.flow.workers import Workers
from pulp_dl.interfaces import IBodyConsumer, IResumable, IRewindable, IWorkerUser
from pulp_dl.model.source import Head
from tests.consumers.disks import DATA, MIB, Feed, failing, head_of, names, pieces

ABILITIES = (IRewindable, IResumable, IWorkerUser)
BROKEN = Failure(Truncated(1, 2))


@implementer(IBodyConsumer)
@define(eq=False)
class Probe:
    """
    Keeps what is said to it; cannot rewind.

    @ivar ends: what C{finish} returns or raises.
    """

    ends: Any = None
    said: list[Any] = field(factory=list)
    producer: Any = None
    leaving: Deferred[DownloadError] = field(factory=Deferred)

    def gone(self) -> Deferred[DownloadError]:
        return self.leaving

    def begin(self, head: Head) -> None:
        self.said.append("begin")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.said.append("register")
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.said.append("unregister")

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def finish(self) -> Any:
        self.said.append("finish")
        if isinstance(self.ends, Exception):
            raise self.ends
        return self.ends

    def fail(self, failure: Failure) -> None:
        self.said.append(failure.value)


def abilities(consumer: object) -> list[Any]:
    return [each for each in ABILITIES if each.providedBy(consumer)]


# ---- around


def test_what_is_around_a_consumer_can_do_what_that_can_and_no_more(tmp_path: Path) -> None:
    for inner in (Probe(), ToMemory(), ToFile(tmp_path / "file"), ToFile(tmp_path / "file", part=True)):
        for outer in (Around(inner), Counted(inner, Progress()), Around(Around(inner))):
            assert abilities(outer) == abilities(inner)
            for each in (IBodyConsumer, *abilities(outer)):
                assert verifyObject(each, outer)


async def test_a_resumable_file_stays_one(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    first = Feed(reactor, Around(ToFile(tmp_path / "file", part=True)), workers)
    first.begin(head_of(DATA))
    await first.write(pieces(DATA[: MIB // 2]))
    await workers.close()  # it is written
    first.consumer.unregisterProducer()
    first.consumer.fail(BROKEN)
    await workers.close()

    progress = Progress()
    second = Feed(reactor, Counted(ToFile(tmp_path / "file", part=True), progress), workers)
    kept = await second.consumer.kept()
    assert kept is not None
    second.begin(kept.head)
    assert progress.size == kept.size
    await second.rest(pieces(DATA[kept.size :]))

    assert (tmp_path / "file").read_bytes() == DATA
    assert (progress.size, progress.expected, progress.done) == (MIB, MIB, 1)
    assert progress.brought == MIB - kept.size


# ---- counted


@given(st.lists(st.one_of(st.binary(max_size=5), st.none()), max_size=10), st.booleans())
async def test_the_count_is_of_what_is_there_whatever_is_rewound(
    reactor: Any, steps: list[bytes | None], well: bool
) -> None:
    progress, inner = Progress(), Discard()
    feed = Feed(reactor, Counted(inner, progress))
    assert ([each.consumer for each in progress.running], progress.begun) == ([inner], 0)
    feed.begin(head_of(7))
    for step in steps:
        if step is None:
            feed.consumer.rewind(head_of(7))
        else:
            await feed.write([step])
        assert progress.size == inner.size == progress.running[0].size
    assert (progress.done, progress.failed, progress.begun) == (0, 0, 1)

    if well:
        await feed.finish()
    else:
        feed.consumer.fail(BROKEN)

    assert (progress.done, progress.failed) == (int(well), int(not well))
    assert (progress.size, progress.expected) == (inner.size, 7)
    assert progress.running == ()
    assert progress.brought == sum(len(step) for step in steps if step is not None)


async def test_a_download_is_done_when_its_consumer_is(reactor: Any) -> None:
    progress, ending = Progress(), Deferred[None]()
    feed = Feed(reactor, Counted(Probe(ends=ending), progress))
    feed.begin(head_of(None))
    ended = feed.finish()
    assert (progress.done, ended.called) == (0, False)

    ending.callback(None)
    await ended

    assert (progress.done, progress.failed) == (1, 0)


@pytest.mark.parametrize("error", [ZeroDivisionError(), Failure(ZeroDivisionError())])
async def test_an_end_that_fails_is_counted_once(reactor: Any, error: Any) -> None:
    progress = Progress()
    ends = error
    if isinstance(error, Failure):
        ends = Deferred()
        ends.errback(error)
    feed = Feed(reactor, Counted(Probe(ends=ends), progress))
    feed.begin(head_of(None))
    with pytest.raises(ZeroDivisionError):
        await feed.finish()

    feed.consumer.fail(BROKEN)

    assert (progress.done, progress.failed) == (0, 1)


def test_a_download_that_never_began_has_failed_all_the_same() -> None:
    progress = Progress()

    Counted(ToMemory(), progress).fail(BROKEN)

    assert verifyObject(IProgress, progress)
    assert (progress.done, progress.failed, progress.size, progress.expected) == (0, 1, 0, 0)


# ---- tee


def test_a_tee_can_rewind_if_all_can_and_has_work_for_threads_if_one_has(tmp_path: Path) -> None:
    makers: tuple[Callable[[], Any], ...] = (
        Probe,
        ToMemory,
        lambda: ToFile(tmp_path / "file"),
        lambda: ToFile(tmp_path / "file", part=True),
    )
    for first, second in product(makers, repeat=2):
        inner = first(), second()
        tee = Tee(*inner)
        assert IRewindable.providedBy(tee) is all(IRewindable.providedBy(each) for each in inner)
        assert IWorkerUser.providedBy(tee) is any(IWorkerUser.providedBy(each) for each in inner)
        assert not IResumable.providedBy(tee)
        for each in (IBodyConsumer, *abilities(tee)):
            assert verifyObject(each, tee)


async def test_all_get_the_same_body(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    memory, probe = ToMemory(), Probe()

    await Feed(reactor, Tee(ToFile(tmp_path / "a"), memory, ToFile(tmp_path / "b"), probe), workers).all(pieces(DATA))

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == memory.data == DATA
    assert probe.said == ["begin", "register", *pieces(DATA), "unregister", "finish"]


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans())))
async def test_the_flow_stops_while_any_wants_it_to(reactor: Any, steps: list[tuple[int, bool]]) -> None:
    probes = [Probe(), Probe(), Probe()]
    feed = Feed(reactor, Tee(*probes))
    feed.begin(head_of(None))
    paused: set[int] = set()

    for number, pause in steps:
        if pause:
            paused.add(number)
            probes[number].producer.pauseProducing()
        elif number in paused:
            paused.discard(number)
            probes[number].producer.resumeProducing()
        assert feed.paused is bool(paused)

    feed.consumer.unregisterProducer()
    for probe in probes:
        probe.producer.pauseProducing()
        probe.producer.resumeProducing()
        probe.producer.stopProducing()
    assert feed.paused is bool(paused), "the producer is not theirs any more"


async def test_who_stops_one_producer_stops_it_for_all(reactor: Any) -> None:
    probe = Probe()
    feed = Feed(reactor, Tee(ToMemory(), probe))
    feed.begin(head_of(None))

    with pytest.raises(AssertionError, match="gone"):
        probe.producer.stopProducing()


async def test_it_is_gone_when_the_first_of_them_is(reactor: Any) -> None:
    probes = [Probe(), Probe()]
    feed = Feed(reactor, Tee(*probes))
    left = [ConsumerGone("the second"), ConsumerGone("the first")]

    probes[1].leaving.callback(left[0])
    probes[0].leaving.callback(left[1])

    assert feed.gone == left[:1]


async def test_one_that_fails_at_the_end_is_told_when_all_others_have_ended(
    reactor: Any, workers: Workers, tmp_path: Path
) -> None:
    """The others are not cut in half; what they have is whole, and they keep it."""
    slow, raising = Probe(ends=Deferred()), Probe(ends=ZeroDivisionError("surprise"))
    full = ToFile(tmp_path / "full", disk=failing(28, "fsync"))
    feed = Feed(reactor, Tee(ToFile(tmp_path / "file"), full, raising, slow), workers)
    feed.begin(head_of(DATA))
    await feed.write(pieces(DATA))
    ended = feed.finish()
    await workers.run(bool)
    assert not ended.called

    slow.ends.callback(None)
    with pytest.raises(ConsumerFailed, match="make room there") as raised:
        await ended
    feed.consumer.fail(Failure(raised.value))

    assert (tmp_path / "file").read_bytes() == DATA
    assert names(tmp_path) == ["file"]
    assert raising.said[-1] is raised.value
    assert slow.said[-1] == "finish", "it has ended already"


async def test_a_failure_is_told_to_all(reactor: Any, workers: Workers, tmp_path: Path) -> None:
    probe = Probe()
    feed = Feed(reactor, Tee(ToFile(tmp_path / "file"), probe), workers)
    feed.begin(head_of(None))
    await feed.write(pieces(DATA))
    feed.consumer.unregisterProducer()
    error = CancelledError()

    feed.consumer.fail(Failure(error))
    await workers.close()

    assert probe.said[-2:] == ["unregister", error]
    assert names(tmp_path) == []


async def test_one_that_refuses_the_head_leaves_nobody_with_a_producer(reactor: Any, tmp_path: Path) -> None:
    first, last = Probe(), Probe()
    tee = Tee(first, ToMemory(limit=1), last)

    with pytest.raises(DownloadError) as raised:
        tee.begin(head_of(2))
    tee.unregisterProducer()
    tee.fail(Failure(raised.value))

    assert first.said == ["begin", raised.value]
    assert last.said == [raised.value]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Around(5),  # type: ignore[arg-type]  # as is all here
        lambda: Counted("path", Progress()),  # type: ignore[arg-type]
        lambda: Tee(5),  # type: ignore[arg-type]
        lambda: Tee(ToMemory(), ToMemory),  # type: ignore[arg-type]
    ],
)
def test_they_are_made_of_consumers(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"^(Around|Counted|Tee): .* is no IBodyConsumer; use ToFile\(path\), ToMemory"):
        make()


async def test_a_side_that_paused_when_a_download_failed_does_not_count_in_the_next(reactor: Any) -> None:
    one, two = Probe(), Probe()
    tee = Tee(one, two)
    first, second = Feed(reactor, tee), Feed(reactor, tee)
    first.begin(head_of(1))
    one.producer.pauseProducing()
    assert first.paused
    tee.unregisterProducer()
    tee.fail(BROKEN)

    second.begin(head_of(1))
    two.producer.pauseProducing()
    assert second.paused
    two.producer.resumeProducing()
    assert not second.paused
