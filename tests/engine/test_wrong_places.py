"""A place that has another file than the one that is wanted is not asked for it again and again."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Digest, Downloader, Places, Remote, Report, Retries, Size, Source
from pulp_dl.errors import ConnectFailed, DigestMismatch, NotFound, SizeMismatch, Unavailable
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder

DATA = bytes(range(256)) * 800
EXPECT = Digest("sha256", hashlib.sha256(DATA).hexdigest()), Size(len(DATA))
A, B = "memory://a/file", "memory://b/file"
GOOD, LONGER, OTHER = Place(DATA), Place(DATA + b"more"), Place(DATA[:-1] + b"!")
AWAY = Place(error=lambda: ConnectFailed("refused"))
GONE = Place(error=lambda: NotFound(404))
LATER = Place(error=lambda: Unavailable(503, "", None, 3))

wrong = pytest.mark.parametrize(
    ("place", "kind"), [(LONGER, SizeMismatch), (OTHER, DigestMismatch)], ids=["another size", "other bytes"]
)


def run(places: dict[str, Any], consumer: Any) -> tuple[Any, str, float]:
    """What it came to, the hosts that were asked, and how long that took."""
    clock, fetcher = Clock(), MemoryFetcher(places)
    remote, mirrors = Remote(retries=Retries(count=4)), Places([A, B], under=A)
    downloader = Downloader(clock, remote, mirrors=mirrors, schemes=[MemoryScheme(fetcher)])
    ends: list[Any] = []
    downloader.download(Source(A, EXPECT), consumer).addBoth(ends.append)
    while not ends:
        clock.advance(1)
    end = ends[0].value if isinstance(ends[0], Failure) else ends[0]
    return end, "".join(each.source.place.host for each in fetcher.asked), clock.seconds()


@wrong
@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
def test_while_there_is_another_one_it_is_not_asked_again(place: Place, kind: Any, make: Any) -> None:
    consumer = make()
    end, asked, _ = run({A: place, B: [AWAY, LATER, GOOD]}, consumer)

    assert isinstance(end, Report)
    assert asked == "abbb"
    assert consumer.data == DATA


@wrong
def test_who_asks_for_time_gets_it_while_nobody_else_is_to_be_asked(place: Place, kind: Any) -> None:
    later = Place(error=lambda: Unavailable(503, "", None, 50))
    end, asked, seconds = run({A: place, B: [later, GOOD]}, RewindableRecorder())

    assert isinstance(end, Report)
    assert (asked, seconds >= 50) == ("abb", True)


@wrong
def test_nor_if_the_other_one_never_has_it(place: Place, kind: Any) -> None:
    end, asked, _ = run({A: place, B: AWAY}, RewindableRecorder())

    assert isinstance(end, ConnectFailed)
    assert asked == "abbbbb"


@wrong
def test_if_it_is_the_only_one_that_is_left_it_may_have_changed_its_mind(place: Place, kind: Any) -> None:
    end, asked, _ = run({A: [place, place, GOOD], B: GONE}, RewindableRecorder())

    assert isinstance(end, Report)
    assert asked == "abaa"


@wrong
def test_if_all_are_wrong_each_is_asked_in_each_round(place: Place, kind: Any) -> None:
    end, asked, seconds = run({A: place, B: place}, RewindableRecorder())

    assert isinstance(end, kind)
    assert (asked, seconds < 60) == ("ab" * 5, True)


@wrong
def test_of_two_that_were_wrong_either_may_be_right_later(place: Place, kind: Any) -> None:
    end, asked, _ = run({A: place, B: [place, place, GOOD]}, RewindableRecorder())

    assert isinstance(end, Report)
    assert asked == "ababab"


def test_more_than_was_announced_is_for_good() -> None:
    end, asked, _ = run({A: Place(LONGER.data, length=False), B: AWAY}, RewindableRecorder())

    assert isinstance(end, ConnectFailed)
    assert asked == "abbbbb"


def test_halves_that_do_not_fit_prove_nothing_against_a_place() -> None:
    """Whose half was wrong nobody knows: the second one is asked for the whole, which is judged."""
    half = Place(b"!" + DATA[1:], drop_at=150_000)
    end, asked, _ = run({A: half, B: GOOD}, RewindableRecorder())

    assert isinstance(end, Report)
    assert asked == "abb"
