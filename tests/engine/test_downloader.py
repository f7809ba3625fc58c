"""What the downloads of one Downloader share, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from pulp_dl import TLS, Basic, Downloader, Places, Progress, Remote, Source, ToMemory
from pulp_dl.interfaces import IAuth, IScheme, IShared
from pulp_dl.testing import MemoryFetcher, Place, Recorder

A, B = "memory://a/f", "memory://b/f"


@implementer(IScheme)
class Counting:
    """Makes fetchers, and keeps what it was given."""

    names = ("memory",)

    def __init__(self) -> None:
        self.made: list[Remote] = []
        self.shared: list[IShared] = []

    def fetcher(self, reactor: Any, remote: Remote, shared: IShared) -> MemoryFetcher:
        self.made.append(remote)
        self.shared.append(shared)
        return MemoryFetcher({A: Place(b"one"), B: Place(b"two")})


@implementer(IAuth)
class Unhashable:
    __hash__ = None  # type: ignore[assignment]  # the point

    def start(self, direct: Any) -> Any:
        raise NotImplementedError


def fetched(downloader: Downloader, source: Source | str) -> bytes:
    memory = ToMemory()
    ends: list[Any] = []
    downloader.download(source, memory).addBoth(ends.append)
    assert ends[0].size == len(memory.data)
    return memory.data


@pytest.mark.parametrize("remote", ["http://a/", {}, TLS()])
def test_settings_are_a_remote(remote: Any) -> None:
    with pytest.raises(TypeError, match=r"^remote: \w+ is no Remote; use Remote\(...\), or None"):
        Downloader(Clock(), remote)


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, "3", True])
def test_how_many_at_once_is_a_whole_number(concurrency: Any) -> None:
    with pytest.raises(ValueError, match=r"^concurrency: .* has to be a whole number, 1 or more"):
        Downloader(Clock()).download_many([], concurrency)


def test_each_remote_has_a_fetcher_and_equal_ones_have_one() -> None:
    scheme = Counting()
    downloader = Downloader(Clock(), schemes=[scheme])

    for _ in range(50):
        fetched(downloader, A)
        fetched(downloader, Source(A, remote=Remote(auth=Basic("elmer", "one"))))
        fetched(downloader, Source(A, remote=Remote(auth=Basic("elmer", "two"))))

    assert len(scheme.made) == 3


def test_a_remote_that_cannot_be_compared_has_a_fetcher_of_its_own() -> None:
    scheme = Counting()
    downloader = Downloader(Clock(), schemes=[scheme])
    remote = Remote(auth=Unhashable())

    for _ in range(3):
        fetched(downloader, Source(A, remote=remote))

    assert scheme.made == [remote]


def test_what_is_kept_is_made_once_and_closed_with_the_downloader() -> None:
    @frozen(eq=False)
    class Pool:
        closed: list[str]

        def close(self) -> Deferred[None]:
            self.closed.append("closed")
            return succeed(None)

    scheme, closed = Counting(), []
    downloader = Downloader(Clock(), schemes=[scheme])
    fetched(downloader, A)
    shared = scheme.shared[0]
    pool = shared.keep("pool", lambda: Pool(closed))

    assert shared.keep("pool", lambda: Pool(closed)) is pool
    downloader.close()
    assert closed == ["closed"]


def test_direct_has_no_mirrors() -> None:
    scheme = Counting()
    downloader = Downloader(Clock(), mirrors=Places([B], under=A), schemes=[scheme])
    assert fetched(downloader, A) == b"two"
    memory = ToMemory()

    scheme.shared[0].direct.download(A, memory)

    assert memory.data == b"one"


def test_progress_is_told_of_every_download() -> None:
    def items() -> Iterator[Any]:
        yield A, Recorder()
        yield B, Recorder()
        yield "memory://nowhere/f", Recorder()

    clock, progress = Clock(), Progress()
    downloader = Downloader(clock, schemes=[Counting()], progress=progress)
    many = downloader.download_many(items())
    many.start()
    clock.pump([0] * 20)

    assert (progress.done, progress.failed, progress.size) == (2, 1, 6)
    downloader.close()
    clock.pump([0] * 5)
