"""A consumer that pauses is written nothing more until it takes more, whenever it pauses."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Digest, Downloader, Limits, Remote, Retries, Sharing, Source
from pulp_dl.errors import ConsumerGone
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder

URL = "memory://a/f"
DATA = bytes(range(256)) * 800
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())


class Leaving(Recorder):
    """Wants no more as soon as it can say so."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        producer.stopProducing()


def bring(consumer: Any, data: bytes, *, shared: bool = False, rate: int | None = None, **place: Any) -> Any:
    """What becomes of it, if the consumer always goes on after a second."""
    clock = Clock()
    scheme = MemoryScheme(MemoryFetcher({URL: Place(data, **place)}, clock))
    downloader: Any = Downloader(clock, Remote(limits=Limits(bytes_per_second=rate)), schemes=[scheme])
    source = Source(URL, SHA if data is DATA else ())
    ends: list[Any] = []
    (Sharing(downloader, clock, window=70_000) if shared else downloader).download(source, consumer).addBoth(
        ends.append
    )
    for _ in range(1000):
        if ends:
            break
        consumer.resume()
        clock.advance(1)
    assert ends, "still running"
    assert not clock.getDelayedCalls()
    return ends[0]


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("data", [DATA, b"small", DATA[:100_000]], ids=["judged", "small", "unjudged"])
def test_it_may_pause_as_soon_as_it_has_a_producer(make: type[Recorder], shared: bool, data: bytes) -> None:
    consumer = make(pause_after=0)

    end = bring(consumer, data, shared=shared)

    assert not isinstance(end, Failure), end
    assert consumer.data == data


@given(
    size=st.sampled_from([0, 1, 65_535, 65_536, 65_537, len(DATA)]), pause=st.integers(0, 5),
    chunk=st.integers(500, 70_000),
    length=st.booleans(), rewindable=st.booleans(), shared=st.booleans(), rate=st.none() | st.just(50_000),
    breaks=st.none() | st.integers(0, len(DATA)),
)  # fmt: skip
def test_whenever_it_pauses_nothing_more_is_written(
    size: int, pause: int, chunk: int, length: bool, rewindable: bool, shared: bool, rate: int | None, breaks: Any
) -> None:
    data = DATA if size == len(DATA) else DATA[:size]
    consumer = (RewindableRecorder if rewindable else Recorder)(pause_after=pause)

    end = bring(consumer, data, shared=shared, rate=rate, chunk=chunk, length=length, drop_at=breaks)

    consumer.check()
    if breaks is None:
        assert consumer.data == data
        assert end.size == len(data)


@pytest.mark.parametrize("data", [DATA, b"small", DATA[:100_000]], ids=["judged", "small", "unjudged"])
def test_it_may_leave_as_soon_as_it_has_a_producer(data: bytes) -> None:
    consumer = Leaving()

    end = bring(consumer, data, drop_at=None, etag=None)

    assert isinstance(end.value, ConsumerGone)
    assert not consumer.writes


def test_what_a_pause_has_put_off_is_not_lost_with_its_place() -> None:
    """The connection breaks while the first bytes wait for the consumer."""
    clock = Clock()
    places = [Place(DATA, drop_at=1000), Place(DATA)]
    downloader = Downloader(
        clock, Remote(retries=Retries(count=1)), schemes=[MemoryScheme(MemoryFetcher({URL: places}, clock))]
    )
    consumer = Recorder(pause_after=0)
    ends: list[Any] = []
    downloader.download(URL, consumer).addBoth(ends.append)
    clock.advance(100)
    assert not ends
    consumer.resume()
    clock.pump([1] * 100)

    assert consumer.data == DATA


def too_slow(consumer: Recorder, clock: Clock, source: Source, **place: Any) -> Any:
    """What becomes of it when it shares a transfer with one that takes all, and has to go on alone."""
    scheme = MemoryScheme(MemoryFetcher({URL: Place(DATA, every=0.01, **place)}, clock))
    sharing = Sharing(Downloader(clock, schemes=[scheme]), clock, window=50_000)
    ends: list[Any] = []
    sharing.download(source, Recorder())
    sharing.download(source, consumer).addBoth(ends.append)
    for _ in range(10_000):
        if ends:
            break
        clock.advance(0.05)
    assert ends, "still running"
    return ends[0]


@given(
    chunk=st.integers(1000, 70_000), length=st.booleans(), ranges=st.booleans(), rewindable=st.booleans(),
    judged=st.booleans(),
)  # fmt: skip
def test_who_goes_on_alone_is_written_nothing_while_it_pauses_either(
    chunk: int, length: bool, ranges: bool, rewindable: bool, judged: bool
) -> None:
    clock = Clock()
    consumer = (RewindableRecorder if rewindable else Recorder)(clock, pause_for=1)

    end = too_slow(consumer, clock, Source(URL, SHA if judged else ()), chunk=chunk, length=length, ranges=ranges)

    assert not isinstance(end, Failure), end
    assert consumer.data == DATA


@pytest.mark.parametrize("size", [60_000, 150_000])
def test_who_goes_on_alone_from_the_first_byte_may_pause_as_soon_as_it_has_a_producer(size: int) -> None:
    """Nothing would prove the rest of this part, so whoever might need it has a download of its own."""
    clock, consumer = Clock(), Recorder(pause_after=0)
    clock.callLater(1, consumer.resume)

    end = too_slow(consumer, clock, Source(URL, span=(0, size)), chunk=7000, etag=None)

    assert not isinstance(end, Failure), end
    assert consumer.data == DATA[:size]
