"""
Whatever mirrors there are and however a list spells them: one that has the file is enough, none is asked twice in a
round under two names, and an error tells of all that were asked.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Digest, Downloader, Places, Remote, Retries, Scores, Size, Source, Timeouts
from pulp_dl.errors import DownloadError, NotFound
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder
from pulp_dl.testing.strategies import Mirror, Numbered, mirror_sets
from tests.clocks import end_of

RIGHT = Numbered(0, 150_000)
EXPECT = (Digest("sha256", hashlib.sha256(RIGHT).hexdigest()), Size(len(RIGHT)))
OWN = "memory://own/f"
ROUNDS = 3
# A failure is worth a long report.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")


def bring(mirrors: list[Mirror], own: Place, consumer: Any, *, scored: bool) -> tuple[Any, MemoryFetcher]:
    """The report or the failure, and who was asked."""
    clock = Clock()
    places = {mirror.url: list(mirror.places) for mirror in mirrors}
    fetcher = MemoryFetcher({**places, OWN: own}, clock)
    found: Any = Places([mirror.base for mirror in mirrors])
    if scored:
        found = Scores(found, clock=clock.seconds, chance=lambda: 0.5)
    remote = Remote(timeouts=Timeouts(idle=5), retries=Retries(count=ROUNDS - 1))
    downloader = Downloader(clock, remote, mirrors=found, schemes=[MemoryScheme(fetcher)])
    return end_of(downloader.download(Source(OWN, EXPECT), consumer), clock, fetcher), fetcher


@given(mirrors=mirror_sets(RIGHT), scored=st.booleans(), rewindable=st.booleans())
def test_whatever_the_mirrors_are_if_the_origin_is_good_the_file_comes(
    mirrors: list[Mirror], scored: bool, rewindable: bool
) -> None:
    consumer = (RewindableRecorder if rewindable else Recorder)()

    end, _ = bring(mirrors, Place(RIGHT), consumer, scored=scored)

    if isinstance(end, Failure):
        # A client that was given other bytes can only be cut; a file always arrives.
        assert not rewindable
        assert not RIGHT.startswith(consumer.data)
        assert not consumer.finished
    else:
        assert consumer.data == RIGHT


@given(mirrors=mirror_sets(RIGHT), scored=st.booleans())
def test_whatever_they_are_an_error_tells_of_all_that_were_asked(mirrors: list[Mirror], scored: bool) -> None:
    consumer = RewindableRecorder()

    end, fetcher = bring(mirrors, Place(error=lambda: NotFound(404)), consumer, scored=scored)

    if not isinstance(end, Failure):
        event("came")
        assert consumer.data == RIGHT
        return
    error = end.value
    assert isinstance(error, DownloadError)
    asked = Counter(each.url for each in fetcher.asked)
    assert set(asked) <= {attempt.url for attempt in error.attempts}
    assert set(asked) <= {OWN, *(mirror.url for mirror in mirrors)}
    if all(each.error for mirror in mirrors for each in mirror.places):
        # Nobody has brought a byte, so there was nothing to ask for again in the same round.
        assert max(asked.values()) <= ROUNDS


def test_a_mirror_that_a_list_names_three_times_is_one() -> None:
    bases = ["memory://a", "memory://a/", "MEMORY://A"]
    mirrors = [Mirror(base, (Place(error=lambda: NotFound(404)),)) for base in bases]

    end, fetcher = bring(mirrors, Place(error=lambda: NotFound(404)), Recorder(), scored=False)

    assert isinstance(end.value, NotFound)
    assert [each.url for each in fetcher.asked] == ["memory://a/f", OWN]
