"""What the library tells through Twisted's log while a download goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from pulp_dl import Attempt, Downloader, Places, Remote, Retries, Scores, Source, ToMemory
from pulp_dl import errors as e
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place

A, B = "memory://a/f", "memory://b/f"


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """As an observer of the whole process has them."""
    found: list[dict[str, Any]] = []

    def observe(event: Any) -> None:
        if event["log_namespace"] == "pulp_dl":
            found.append(event)

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    yield found
    globalLogPublisher.removeObserver(observer)


def download(places: dict[str, Any], **options: Any) -> None:
    clock = Clock()
    downloader = Downloader(
        clock, Remote(retries=Retries(base=1, count=1)), schemes=[MemoryScheme(MemoryFetcher(places))], **options
    )
    downloader.download(A, ToMemory()).addErrback(lambda _: None)
    clock.pump([1, 1])
    downloader.close()


def test_an_attempt_that_failed_and_the_wait_after_it_are_told(events: list[dict[str, Any]]) -> None:
    download({A: [Place(b"abc", drop_at=2), Place(b"abc")]})
    failed, waiting = events

    known = {"event": "attempt_failed", "log_level": LogLevel.info, "url": A, "phase": "body", "error": "Truncated"}
    assert known.items() <= failed.items()
    known = {"status": 200, "offset": 0, "received": 2, "cause": "the body ended after 2 of 3 bytes"}
    assert known.items() <= failed.items()
    assert formatEvent(failed).startswith(
        f"attempt failed: {A}: body: Truncated: the body ended after 2 of 3 bytes (2 "
    )
    known = {"event": "waiting", "log_level": LogLevel.debug, "url": A, "cause": failed["cause"]}
    assert known.items() <= waiting.items()
    assert 0.5 <= waiting["seconds"] <= 1


@pytest.mark.parametrize("error", [lambda: e.Unavailable(503), lambda: e.Truncated(1), lambda: e.ConnectFailed("no")])
def test_a_wait_says_where_whoever_failed_without_saying_so(events: list[dict[str, Any]], error: Any) -> None:
    """A protocol of somebody else need not give a URL to each of its errors."""
    download({A: Place(error=error)})
    _, waiting, _ = events

    assert (waiting["event"], waiting["url"]) == ("waiting", A)
    assert f" s before another try: {A}: " in formatEvent(waiting)


def test_that_a_host_gets_fewer_connections_is_told(events: list[dict[str, Any]]) -> None:
    clock = Clock()
    slow, full = Place(b"abc", every=9), Place(error=e.Unavailable(503, "", A))
    fetcher = MemoryFetcher({A: [slow, slow, slow, slow, full]}, clock)
    downloader = Downloader(clock, Remote(retries=Retries(count=0)), schemes=[MemoryScheme(fetcher, slots=True)])
    for _ in range(5):
        downloader.download(A, ToMemory()).addErrback(lambda _: None)
    clock.advance(0)
    downloader.close()

    fewer, *_ = sorted(events, key=lambda each: each["event"] != "fewer_connections")
    known = {"event": "fewer_connections", "log_level": LogLevel.debug, "url": "memory://a", "connections": 2}
    assert known.items() <= fewer.items()
    assert formatEvent(fewer) == "no more than 2 connections to memory://a for now: it says that there are too many"


def test_a_place_that_was_outrun_is_told(events: list[dict[str, Any]]) -> None:
    clock, scores = Clock(), Scores(Places(["memory://a", "memory://b"], original=False), explore=0)
    fetcher = MemoryFetcher({A: Place(b"abc", wait=9), B: Place(b"abc")}, clock)
    downloader = Downloader(clock, mirrors=scores, schemes=[MemoryScheme(fetcher)])
    running = downloader.download(A, ToMemory())
    clock.pump([1, 0.1, 0.1])

    assert running.called
    (outrun,) = events
    assert {"event": "outrun", "log_level": LogLevel.debug, "url": A}.items() <= outrun.items()
    assert formatEvent(outrun) == f"outrun after 1.00 s: {A}: another place was first to answer"


def test_each_place_that_failed_is_told_and_the_one_that_did_not_is_not(events: list[dict[str, Any]]) -> None:
    mirrors = Places(["memory://none/", "memory://b/"])
    download({A: Place(b"abc", drop_at=0), B: Place(b"abc")}, mirrors=mirrors)

    assert "memory://none/f" in [each["url"] for each in events]
    assert B not in [each["url"] for each in events]


def test_a_download_without_trouble_is_silent(events: list[dict[str, Any]]) -> None:
    download({A: Place(b"abc")})

    assert events == []


@pytest.mark.parametrize(
    ("error", "status", "phase"),
    [
        (None, 200, "done"),
        (e.ConnectFailed("no"), None, "connect"),
        (e.TLSFailed("no"), None, "connect"),
        (e.TimedOut("connect", 3), None, "connect"),
        (e.TimedOut("head", 3), None, "head"),
        (e.NotFound(404), None, "head"),
        (e.ProtocolError("no"), None, "head"),
        (e.TimedOut("idle", 3), 200, "body"),
        (e.Truncated(1, 2), 200, "body"),
        (e.NotResumable("no"), 206, "body"),
        (e.DigestMismatch("sha256", "a", "b"), 200, "check"),
        (e.ConsumerFailed("full"), 200, "consumer"),
        (e.ConsumerGone("left"), None, "consumer"),
    ],
)
def test_an_attempt_knows_how_far_it_came(error: e.DownloadError | None, status: int | None, phase: str) -> None:
    assert Attempt(Source(A), 0, 0, 0.0, 0.0, status, error).phase == phase
