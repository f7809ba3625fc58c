"""Whatever the places do: exactly the right bytes, or an error and no complete body."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Digest, Remote, Retries, Size, Source, Timeouts
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import ConnectFailed, DownloadError, NotFound, Unavailable
from pulp_dl.mirrors.places import Places
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder

RIGHT = b"".join(number.to_bytes(4, "big") for number in range(45_000))  # 180 kB, no two pieces alike
WRONG = {
    "first byte": b"!" + RIGHT[1:],
    "last byte": RIGHT[:-1] + b"!",
    "middle": RIGHT[:90_000] + b"!" + RIGHT[90_001:],
    "longer": RIGHT + b"more",
    "shorter": RIGHT[:-1],
    "empty": b"",
}
URLS = ["memory://a/f", "memory://b/f", "memory://c/f"]

offsets = st.one_of(
    st.none(), st.sampled_from([0, 1, 65_535, 65_536, len(RIGHT) - 1, len(RIGHT)]), st.integers(0, 180_000)
)
bodies = st.builds(
    Place,
    data=st.one_of(st.just(RIGHT), st.just(RIGHT), st.sampled_from(sorted(WRONG.values()))),
    etag=st.sampled_from([b'"1"', b'"2"', b'W/"1"', None]),
    ranges=st.booleans(),
    trusting=st.booleans(),
    length=st.booleans(),
    unproven=st.booleans(),
    total=st.one_of(st.none(), st.none(), st.just("*"), st.integers(0, 200_000)),
    drop_at=offsets,
    stall_at=st.one_of(st.none(), st.none(), st.integers(0, 180_000)),
    chunk=st.sampled_from([977, 16_384, 65_536, 200_000]),
)
errors = st.sampled_from(
    [ConnectFailed, lambda text: NotFound(404, text), lambda text: Unavailable(503, text, None, 7)]
)
refusals = st.builds(lambda make: Place(error=lambda: make("no")), errors)
requests = st.lists(st.one_of(bodies, bodies, refusals), min_size=1, max_size=4)
worlds = st.fixed_dictionaries(dict.fromkeys(URLS, requests))
expectations = st.sampled_from(
    [
        (Digest("sha256", hashlib.sha256(RIGHT).hexdigest()),),
        (Digest("sha256", hashlib.sha256(RIGHT).hexdigest()), Size(len(RIGHT))),
        (Size(len(RIGHT)), Digest("md5", hashlib.md5(RIGHT).hexdigest())),
    ]
)


def download(world: dict[str, Any], source: Source, consumer: Any, pauses: list[int]) -> tuple[Any, MemoryFetcher]:
    clock = Clock()
    fetcher = MemoryFetcher(world)
    remote = Remote(timeouts=Timeouts(idle=5), retries=Retries(count=4))
    mirrors = Places(URLS, under=URLS[0])
    downloader = Downloader(clock, remote, mirrors=mirrors, schemes=[MemoryScheme(fetcher)])
    ends: list[Any] = []
    downloader.download(source, consumer).addBoth(ends.append)
    for pause in pauses:
        if not ends:
            consumer.pause()
            clock.advance(pause)
            consumer.resume()
    for _ in range(2000):
        if ends:
            break
        clock.advance(1)
    assert ends, "still running"
    assert clock.getDelayedCalls() == []
    assert fetcher.running == 0
    return ends[0], fetcher


@given(worlds, expectations, st.booleans(), st.lists(st.integers(0, 20), max_size=3))
def test_whatever_the_places_do_the_consumer_gets_the_right_bytes_or_visibly_not(
    world: dict[str, Any], expect: Any, rewindable: bool, pauses: list[int]
) -> None:
    consumer = RewindableRecorder() if rewindable else Recorder()

    end, _ = download(world, Source(URLS[0], expect), consumer, pauses)

    if isinstance(end, Failure):
        assert isinstance(end.value, DownloadError)
        assert consumer.failure is not None
        assert not consumer.finished
        if not rewindable:  # what a client has seen is never a whole body
            assert consumer.data != RIGHT
    else:
        assert consumer.data == RIGHT
        assert consumer.finished
        assert end.size == len(RIGHT)


@given(worlds, expectations, st.booleans())
def test_if_one_place_is_good_a_file_always_arrives(world: dict[str, Any], expect: Any, last: bool) -> None:
    good = URLS[-1 if last else 0]
    world = world | {good: Place(RIGHT)}
    consumer = RewindableRecorder()

    end, fetcher = download(world, Source(URLS[0], expect), consumer, [])

    assert not isinstance(end, Failure), end
    assert consumer.data == RIGHT
    bodies_read = sum(1 for each in fetcher.asked if each.method == "GET")
    assert sum(each.received for each in end.attempts) <= (len(RIGHT) + 4) * bodies_read  # "longer" is 4 longer


@given(worlds)
def test_without_a_digest_two_versions_are_never_mixed(world: dict[str, Any]) -> None:
    """Strong validators tell the truth here: another entity has another ETag."""
    honest = {
        url: [
            each if each.error else each.but(etag=b'"%d"' % hash(each.data), trusting=False, total=None)
            for each in requests
        ]
        for url, requests in world.items()
    }
    consumer = RewindableRecorder()

    end, _ = download(honest, Source(URLS[0]), consumer, [])

    if not isinstance(end, Failure):
        assert consumer.data in {RIGHT, *WRONG.values()}
