"""What was done, as people and callers read it."""

from __future__ import annotations

import pickle

import pytest
from attrs import evolve

from pulp_dl.errors import DigestMismatch, Truncated
from pulp_dl.model.report import Attempt, Outcome, Report
from pulp_dl.model.source import Head, Source

SECRET = "Sesame77"
URL = "https://files.example/a"


def attempt(error: Truncated | None = None, url: str = URL) -> Attempt:
    return Attempt(
        source=Source(url, headers={"X-Key": SECRET}),
        offset=100,
        received=50,
        seconds=1.234,
        open_seconds=1.0,
        status=206,
        error=error,
    )


@pytest.mark.parametrize(
    ("error", "words"), [(None, "ok"), (Truncated(150, 200, URL), "Truncated: the body ended after 150 of 200 bytes")]
)
def test_an_attempt_is_a_line_for_people(error: Truncated | None, words: str) -> None:
    assert str(attempt(error)) == f"{URL}: 50 bytes from 100 in 1.23 s: {words}"


def test_an_attempt_that_another_place_was_faster_than_has_neither_failed_nor_succeeded() -> None:
    outrun = evolve(attempt(), offset=0, received=0, status=None, outrun=True)

    assert outrun.phase == "outrun"
    assert str(outrun) == f"{URL}: 0 bytes from 0 in 1.23 s: outrun: another place was first to answer"
    assert pickle.loads(pickle.dumps(outrun)).outrun
    assert not pickle.loads(pickle.dumps(attempt())).outrun


def test_an_attempt_shows_no_secret() -> None:
    url = f"https://elmer:{SECRET}@files.example/a?Signature={SECRET}"
    shown = attempt(Truncated(1, 2, url), url)

    assert shown.url == "https://files.example/a?Signature=***"
    assert SECRET not in f"{shown} {shown!r}"


def test_a_report_shows_no_secret() -> None:
    url = f"https://elmer:{SECRET}@files.example/a?Signature={SECRET}"
    mismatch = DigestMismatch("md5", "a", "b", url)
    head = Head(url, 200, ((b"Set-Cookie", SECRET.encode()),))
    report = Report(Source(url), head, 3, {"size": 3}, (mismatch,), (attempt(None, url),), 1.0, validated=True)

    assert SECRET not in repr(report)
    assert SECRET not in repr(Outcome(Source(url), report))


def test_an_outcome_is_a_report_or_an_error_and_knows_the_callers_tag() -> None:
    source = Source(URL, tag="artifact 7")
    report = Report(source, Head(URL, 200), 0, {}, (), (), 0.1, validated=False)

    assert Outcome(source, report).ok
    assert Outcome(source, report).tag == "artifact 7"
    assert not Outcome(source, error=Truncated(1)).ok
