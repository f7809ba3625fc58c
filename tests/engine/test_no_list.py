"""What becomes of a download whose mirrors cannot be looked up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.task import Clock

from pulp_dl import MirrorList, Places, Remote, Retries, Source, ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import DownloadError, NotFound, Unavailable
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place

A, B, LIST = "memory://a/file", "memory://b/file", "memory://lists/"


class Fails:
    """Names some places, and then it cannot go on."""

    def __init__(self, *urls: str) -> None:
        self.urls = urls

    def locate(self, source: Source, direct: object) -> Iterator[Source]:
        yield from (source if url == source.url else source.at(url) for url in self.urls)
        raise Unavailable(503, "no list", LIST)

    def record(self, attempt: object) -> None: ...


def download(places: dict[str, Any], mirrors: Any, retries: int = 0) -> tuple[Any, bytes | None, list[str]]:
    fetcher = MemoryFetcher(places)
    clock = Clock()
    remote = Remote(retries=Retries(count=retries))
    downloader = Downloader(clock, remote, mirrors=mirrors, schemes=[MemoryScheme(fetcher)])
    body, ends = ToMemory(), list[Any]()
    downloader.download(A, body).addBoth(ends.append)
    clock.pump([1] * 100)
    assert ends, "still running"
    end = getattr(ends[0], "value", ends[0])
    return end, None if isinstance(end, DownloadError) else body.data, [each.url for each in fetcher.asked]


def test_the_own_url_is_asked_when_the_mirrors_cannot_be_had() -> None:
    _, data, asked = download({A: Place(b"own")}, Fails())

    assert data == b"own"
    assert asked == [A]


def test_the_own_url_is_asked_after_the_places_that_were_named() -> None:
    _, data, asked = download({A: Place(b"own"), B: Place(error=NotFound(404))}, Fails(B))

    assert data == b"own"
    assert asked == [B, A]


def test_the_own_url_is_not_asked_again_when_it_was_among_them() -> None:
    error, _, asked = download({A: Place(error=lambda: NotFound(404))}, Fails(A))

    assert asked == [A]
    assert isinstance(error, Unavailable), "it may be at a place that nobody could name"
    assert [each.url for each in error.attempts] == [A]


def test_not_found_is_no_verdict_while_there_may_be_other_places() -> None:
    error, _, _ = download({A: Place(error=lambda: NotFound(404))}, MirrorList(LIST, schemes=["memory"]))

    assert error.url == LIST
    assert [each.url for each in error.attempts] == [A]
    assert any(LIST in note for note in error.__notes__)


def test_what_was_wrong_with_the_own_url_is_what_is_raised_and_the_list_is_noted() -> None:
    error, _, asked = download({A: Place(error=lambda: Unavailable(500))}, Fails(), retries=1)

    assert (error.status, error.url) == (500, A)
    assert asked == [A, A]
    assert error.__notes__[-1].startswith("mirrors: ")


def test_the_error_of_a_list_is_not_changed_by_the_downloads_that_share_it() -> None:
    mirrors = MirrorList(LIST, schemes=["memory"])
    places: dict[str, Any] = {A: Place(error=lambda: NotFound(404)), LIST: Place(error=lambda: Unavailable(503))}
    fetcher = MemoryFetcher(places)
    remote = Remote(retries=Retries(count=0))
    downloader = Downloader(Clock(), remote, mirrors=mirrors, schemes=[MemoryScheme(fetcher)])
    ends = list[Any]()
    for _ in range(3):
        downloader.download(A, ToMemory()).addErrback(ends.append)

    errors = [each.value for each in ends]
    assert [len(each.attempts) for each in errors] == [1, 1, 1]
    assert [len(each.__notes__) for each in errors] == [3, 3, 3]
    assert [each.url for each in fetcher.asked].count(LIST) == 1, "nobody asks again at once"


def test_a_head_is_asked_for_at_the_own_url_too() -> None:
    fetcher = MemoryFetcher({A: Place(b"own")})
    heads = list[Any]()
    mirrors: Any = Fails()
    Downloader(Clock(), mirrors=mirrors, schemes=[MemoryScheme(fetcher)]).head(A).addCallback(heads.append)

    assert heads[0].length == 3


def test_mirrors_that_know_no_place_are_no_failure() -> None:
    error, _, asked = download({A: Place(b"own")}, Places([], original=False))

    assert isinstance(error, NotFound)
    assert asked == []
