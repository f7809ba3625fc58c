"""
Whatever up to four places do: if one of them is good, exactly the right bytes arrive, once, and at no higher price than
what was lost on the way; else an error names every attempt.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Digest, Downloader, Duplicates, MirrorList, Places, Remote, Retries, Scores, Size, Source, Timeouts
from pulp_dl.errors import AuthFailed, CircuitOpen, ConnectFailed, DownloadError, NotFound, TLSFailed, Unavailable
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder
from tests.clocks import end_of

RIGHT = b"".join(number.to_bytes(4, "big") for number in range(45_000))  # 180 kB, no two pieces alike
WRONG = [b"!" + RIGHT[1:], RIGHT[:-1] + b"!", RIGHT[:90_000] + b"!" + RIGHT[90_001:], RIGHT + b"more", RIGHT[:-1], b""]
SHA = Digest("sha256", hashlib.sha256(RIGHT).hexdigest())
# A failure is worth a long report.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")

HOSTS = "abcd"
LIST = "memory://lists/mirrors.txt"
ABORTED = 256 * 1024
"""Bytes that an attempt may cost that was broken off."""


def url(host: str) -> str:
    return f"memory://{host}/f"


breaks = st.one_of(st.none(), st.integers(0, 180_000), st.sampled_from([0, 1, 65_536, len(RIGHT) - 1]))
refusals = st.sampled_from(
    [
        lambda: ConnectFailed("no"),
        lambda: NotFound(404),
        lambda: Unavailable(503, "", None, 7),
        lambda: Unavailable(500),
        lambda: TLSFailed("no"),
        lambda: AuthFailed(403),
    ]
).map(lambda make: Place(error=make))
honest = st.builds(
    Place,
    data=st.just(RIGHT),
    etag=st.sampled_from([b'"1"', b'"2"', b'W/"1"', None]),
    drop_at=breaks,
    stall_at=st.one_of(st.none(), st.none(), breaks),
    chunk=st.sampled_from([977, 16_384, 65_536]),
    every=st.sampled_from([0, 0.001]),
)
liars = st.builds(
    Place,
    data=st.sampled_from([RIGHT, *WRONG]),
    etag=st.sampled_from([b'"1"', b'"2"', None]),
    ranges=st.booleans(),
    trusting=st.booleans(),
    length=st.booleans(),
    total=st.one_of(st.none(), st.just("*"), st.integers(0, 200_000)),
    drop_at=breaks,
    stall_at=st.one_of(st.none(), st.none(), breaks),
    chunk=st.sampled_from([977, 16_384, 200_000]),
)
kinds = st.sampled_from(["places", "scores", "list", "duplicates"])


def scripts(*kinds: Any) -> Any:
    place = st.lists(st.one_of(*kinds), min_size=1, max_size=4)
    order = st.permutations(HOSTS)
    return st.builds(lambda hosts, each: dict(zip(hosts, each, strict=False)), order, st.lists(place, max_size=4))


def download(world: dict[str, Any], kind: str, consumer: Any) -> tuple[Any, MemoryFetcher]:
    clock = Clock()
    bases = [f"memory://{host}" for host in world]
    places = {url(host): script for host, script in world.items()}
    places[LIST] = Place("\n".join(bases).encode())
    fetcher = MemoryFetcher(places, clock)
    own = url(next(iter(world), "a"))
    mirrors: Any = Places(bases)
    if kind == "list":
        mirrors = MirrorList(LIST, schemes=["memory"], clock=clock.seconds)
    if kind != "places":
        mirrors = Scores(mirrors, clock=clock.seconds, chance=lambda: 0.5)
    if kind == "duplicates":
        mirrors = Duplicates(mirrors)
    remote = Remote(timeouts=Timeouts(idle=5), retries=Retries(count=4))
    downloader = Downloader(clock, remote, mirrors=mirrors, schemes=[MemoryScheme(fetcher)])
    return end_of(downloader.download(Source(own, [SHA, Size(len(RIGHT))]), consumer), clock, fetcher), fetcher


def among(world: dict[str, Any], good: str) -> dict[str, Any]:
    """A good place, the first, the last or between others."""
    return {host: Place(RIGHT, chunk=16_384) if host == good else world.get(host) for host in {**world, good: None}}


def price(attempts: Any) -> tuple[int, int]:
    """What came, and what may have come."""
    failed = [each for each in attempts if each.error is not None and each.status is not None]
    reread = [each for each in attempts if each.status == 200 and each.offset]
    rejected = [each for each in failed if each.phase == "check"]
    aborted = [each for each in failed if each.phase != "check"]
    fair = len(RIGHT) * (1 + len(rejected) + len(reread)) + ABORTED * len(aborted)
    return sum(each.received for each in attempts), fair


@given(scripts(honest, liars, refusals), st.sampled_from(HOSTS), kinds, st.booleans())
def test_if_one_place_is_good_exactly_the_right_bytes_arrive_at_a_fair_price(
    world: dict[str, Any], good: str, kind: str, rewindable: bool
) -> None:
    world = among(world, good)
    consumer = RewindableRecorder() if rewindable else Recorder()

    end, _ = download(world, kind, consumer)

    if isinstance(end, Failure):
        # A client that was given other bytes can only be cut; a file always arrives.
        assert not rewindable
        assert consumer.data
        assert not RIGHT.startswith(consumer.data)
        assert not consumer.finished
        return
    assert consumer.data == RIGHT
    assert consumer.finished
    came, fair = price(end.attempts)
    assert came <= fair


@given(scripts(honest, refusals), st.sampled_from(HOSTS), kinds, st.booleans())
def test_what_honest_places_have_brought_is_never_fetched_again(
    world: dict[str, Any], good: str, kind: str, rewindable: bool
) -> None:
    world = among(world, good)
    consumer = RewindableRecorder() if rewindable else Recorder()

    end, _ = download(world, kind, consumer)

    assert not isinstance(end, Failure), end
    assert consumer.data == RIGHT
    assert sum(each.received for each in end.attempts) == len(RIGHT)


@given(scripts(liars, refusals), kinds, st.booleans())
def test_else_an_error_names_every_attempt_and_no_client_sees_a_whole_body(
    world: dict[str, Any], kind: str, rewindable: bool
) -> None:
    consumer = RewindableRecorder() if rewindable else Recorder()

    end, fetcher = download(world, kind, consumer)

    if not isinstance(end, Failure):
        assert consumer.data == RIGHT
        return
    error = end.value
    assert isinstance(error, DownloadError)
    asked = [each.url for each in fetcher.asked if each.url != LIST]
    tried = [each for each in error.attempts if not isinstance(each.error, CircuitOpen)]
    # An attempt at which all bytes were there already asks nobody.
    assert [each.url for each in tried if each.status or each.phase != "check"] == asked
    assert all(each.error is not None for each in error.attempts)
    assert not consumer.finished
    if not rewindable:
        assert consumer.data not in {RIGHT, *filter(None, WRONG)}
