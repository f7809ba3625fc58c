"""A list leads from a protected URL to a protocol that protects nothing only if a digest, or the caller, allows it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Digest, Downloader, Measure, Places, Remote, Retries, Size, Source, ToMemory
from pulp_dl.errors import NotFound, Refused
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place

DATA = b"den"
SHA256 = hashlib.sha256(DATA).hexdigest()
OPEN = ("http", "ftp")
PROTECTED = ("https", "ftps", "sftp")
ALLOWED = Remote(retries=Retries(count=0), allow_downgrade=True)


class Listed:
    """Places that stood in a list."""

    def __init__(self, *urls: str, original: bool = True) -> None:
        self.urls = urls
        self.original = original

    def locate(self, source: Source, direct: object) -> Iterator[Source]:
        yield from map(source.at, self.urls)
        if self.original:
            yield source

    def record(self, attempt: object) -> None: ...


def fetch(source: Source, mirrors: Any, remote: Remote | None = None) -> tuple[Any, list[str]]:
    """What it came to, and the protocols that were asked."""
    fetcher = MemoryFetcher(dict.fromkeys((*(each for each in mirrors.urls), source.url), Place(DATA)))
    scheme = MemoryScheme(fetcher, names=(*OPEN, *PROTECTED))
    downloader = Downloader(Clock(), remote or Remote(retries=Retries(count=0)), mirrors=mirrors, schemes=[scheme])
    ends: list[Any] = []
    downloader.download(source, ToMemory()).addBoth(ends.append)
    (end,) = ends
    return end.value if isinstance(end, Failure) else end, [each.url.partition(":")[0] for each in fetcher.asked]


@pytest.mark.parametrize("ours", PROTECTED)
@pytest.mark.parametrize("theirs", OPEN)
@pytest.mark.parametrize(
    "expect",
    [(), Size(len(DATA)), Measure(), Digest("sha256", SHA256, enforced=False)],
    ids=["nothing", "size", "measure", "advice"],
)
def test_no_place_that_anybody_on_the_way_may_change_stands_in_for_one_that_is_protected(
    ours: str, theirs: str, expect: Any
) -> None:
    _, asked = fetch(Source(f"{ours}://own/f", expect), Listed(f"{theirs}://mirror/f"))

    assert asked == [ours]


@pytest.mark.parametrize("theirs", OPEN)
def test_it_does_where_a_digest_tells_what_it_has_to_be_or_the_caller_allows_it(theirs: str) -> None:
    mirrors, own = Listed(f"{theirs}://mirror/f"), "https://own/f"

    assert fetch(Source(own, Digest("sha256", SHA256)), mirrors)[1] == [theirs]
    assert fetch(Source(own), mirrors, ALLOWED)[1] == [theirs]
    assert fetch(Source(own, remote=ALLOWED), mirrors)[1] == [theirs]


def test_a_digest_of_the_whole_says_nothing_of_a_part() -> None:
    source = Source("https://own/f", Digest("sha256", SHA256), span=(0, 2))

    assert fetch(source, Listed("http://mirror/f"))[1] == ["https"]


@pytest.mark.parametrize(
    ("ours", "theirs"), [("http", "http"), ("http", "ftp"), ("ftp", "http"), ("https", "https"), ("https", "sftp")]
)
def test_what_is_no_less_protected_is_a_place_like_any_other(ours: str, theirs: str) -> None:
    assert fetch(Source(f"{ours}://own/f"), Listed(f"{theirs}://mirror/f"))[1] == [theirs]


def test_places_that_the_caller_names_are_the_caller_s_business() -> None:
    mirrors = Places(["http://mirror"], original=False)
    mirrors.urls = ["http://mirror/f"]  # type: ignore[attr-defined]

    assert fetch(Source("https://own/f"), mirrors)[1] == ["http"]


def test_the_next_place_of_the_list_is_asked_instead() -> None:
    mirrors = Listed("http://a/f", "ftp://b/f", "https://c/f", "http://d/f", original=False)

    assert fetch(Source("https://own/f"), mirrors)[1] == ["https"]


def test_if_no_other_place_is_left_the_error_says_why() -> None:
    error, asked = fetch(Source("https://own/f?token=hunter2"), Listed("http://a/f?token=hunter2", original=False))

    assert asked == []
    assert isinstance(error, Refused)
    assert "allow_downgrade=True" in str(error)
    assert "hunter2" not in str(error)


def test_without_a_place_nobody_is_said_to_have_answered() -> None:
    error, asked = fetch(Source("http://own/f"), Listed(original=False))

    assert asked == []
    assert isinstance(error, NotFound)
    assert error.status == 404
    assert "no mirror knows a place for it" in str(error)
    assert "answered" not in str(error)
