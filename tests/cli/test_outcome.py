"""Exit codes and numbers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl import Outcome, Progress, ToMemory, errors
from pulp_dl.cli.log import printable
from pulp_dl.cli.options import Bytes
from pulp_dl.cli.outcome import Summary, code_of, size_text
from pulp_dl.cli.signals import Interrupted
from pulp_dl.testing import MemoryFetcher, Place
from tests.blocking.threads import blocking, in_thread
from tests.sinks import until

QUIET = {"as_json": False, "verbose": False, "quiet": True}
ERRORS: dict[type[errors.DownloadError], tuple[Any, ...]] = {
    errors.BadStatus: (400,),
    errors.NotFound: (404,),
    errors.AuthFailed: (401,),
    errors.Unavailable: (503,),
    errors.TimedOut: ("idle", 3),
    errors.Truncated: (1, 2),
    errors.TooLarge: (1,),
    errors.ValidationError: ("x", 1, 2),
    errors.DigestMismatch: ("sha256", "a", "b"),
    errors.SizeMismatch: ("size", 1, 2),
}


def every(kind: type[errors.DownloadError]) -> set[type[errors.DownloadError]]:
    return {kind}.union(*(every(each) for each in kind.__subclasses__()))


TREE = {kind for kind in every(errors.DownloadError) if kind.__module__ == errors.__name__}  # others may be loaded


@pytest.mark.parametrize("kind", sorted(TREE, key=str))
def test_every_failure_has_a_code(kind: type[errors.DownloadError]) -> None:
    error = kind(*ERRORS.get(kind, ("it failed",)))
    known = {
        errors.NotFound: 3,
        errors.NoPlace: 3,
        errors.AuthFailed: 6,
        errors.TLSFailed: 5,
        errors.HostKeyFailed: 5,
        errors.ValidationError: 7,
        errors.DigestMismatch: 7,
        errors.SizeMismatch: 7,
        errors.TooLarge: 7,
        errors.ConsumerFailed: 8,
        errors.Refused: 2,
        errors.UnsupportedScheme: 2,
    }

    assert code_of(error) == known.get(kind, 4)


def test_a_proxy_that_wants_credentials_is_6() -> None:
    assert code_of(errors.ProxyFailed("no", status=407)) == 6
    assert code_of(errors.ProxyFailed("no", status=401)) == 6
    assert code_of(errors.ProxyFailed("no", login_refused=True)) == 6
    assert code_of(errors.ProxyFailed("no", status=502)) == 4


@given(st.lists(st.sampled_from([errors.NotFound(404), errors.AuthFailed(401), errors.ConnectFailed("no")])))
def test_the_code_is_what_all_failures_have_in_common(failures: list[errors.DownloadError]) -> None:
    summary = Summary(QUIET)
    for each in failures:
        summary.fail(each, "path")
    kinds = {code_of(each) for each in failures}

    assert summary.code == (0 if not kinds else kinds.pop() if len(kinds) == 1 else 1)


def test_failures_without_number_are_counted_but_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary(QUIET)
    for number in range(5000):
        summary.fail(errors.NotFound(404), f"{number}")

    assert summary.close() == 3
    assert len(summary.failures) == 1000
    assert capsys.readouterr().err.endswith("  and 4000 more\n")


@given(st.text())
def test_nothing_printed_moves_the_cursor(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in printable(text))


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1000", 1000), ("64k", 65536), ("1.5M", 1572864), ("2GiB", 2 << 30), ("1tb", 1 << 40)]
)
def test_sizes_are_read_as_curl_reads_them(text: str, size: int) -> None:
    assert Bytes().convert(text, None, None) == size


@given(st.text())
def test_whatever_else_is_no_size(text: str) -> None:
    try:
        size = Bytes().convert(text, None, None)
    except click.BadParameter:
        return
    assert 0 <= size < 2**63


@given(st.integers(0, 2**60))
def test_sizes_are_written_short(size: int) -> None:
    assert len(size_text(size)) <= 14


@pytest.mark.parametrize("interrupted", [False, True])
async def test_what_ended_beside_what_made_it_stop_is_added(reactor: Any, interrupted: bool) -> None:
    """Ctrl-C comes at any moment, also while there is more to be added: it is at its path."""
    places: dict[str, Any] = {f"memory://h/{number}": Place(b"12345", silent=True) for number in range(5)}
    if not interrupted:
        places["memory://h/0"] = Place(error=lambda: errors.NotFound(404), silent=True)
    memory = MemoryFetcher(places)
    summary, progress = Summary(QUIET), Progress()
    begun: list[str] = []

    def path(outcome: Outcome) -> str:
        if interrupted and not begun:
            begun.append(outcome.source.url)
            raise Interrupted(2)
        return outcome.source.url

    def command() -> None:
        with blocking(memory, progress=progress) as downloader:
            outcomes = downloader.download_many([(each, ToMemory()) for each in places], 5)
            with pytest.raises(Interrupted) if interrupted else nullcontext():
                summary.follow(outcomes, progress, path, fail_fast=not interrupted)

    ended = in_thread(command)
    await until(reactor, lambda: len(memory.asked) == 5)
    for number in range(4):
        memory.release(f"memory://h/{number}")
    await ended

    assert (summary.fetched, summary.failed, summary.received) == (3, not interrupted, 15)
    assert summary.gave_up is not interrupted
