"""What is told on stderr while it happens, in both forms."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from pulp_dl import Downloader, Remote, Retries, Source, ToMemory
from pulp_dl.cli.log import BACKLOG, Log
from pulp_dl.engine.events import log as library_log
from pulp_dl.testing import FaultServer, MemoryFetcher, MemoryScheme, Nth, OnPath, Place, Reset, answer, redirect
from tests.cli.command import End, fill, run
from tests.servers import Nginx

pytestmark = pytest.mark.limit(40)


def told(end: End) -> list[dict[str, Any]]:
    """All that stands on stderr, one object a line."""
    return [json.loads(line) for line in end.err.splitlines()]


# ---- for people


async def test_an_attempt_that_failed_is_told_although_the_file_came(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, Nth([Reset(), answer(b"abc")])) as server:
        end = await run("get", "-v", server.url("/f?token=hunter2"), "-o", "f", cwd=tmp_path)
        url = server.url("/f?token=***")
    first, second, last = end.err.splitlines()

    assert end.code == 0
    assert first.startswith(f"attempt failed: {url}: connect: ConnectFailed: ")
    assert " (0 bytes from 0 in 0." in first
    assert second == "fetched f: 3 bytes"
    assert last.startswith("1 fetched; 3 bytes in ")


async def test_without_v_only_the_end_is_told(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, Nth([Reset(), answer(b"abc")])) as server:
        end = await run("get", server.url("/f"), cwd=tmp_path)

    assert len(end.err.splitlines()) == 1


async def test_vv_tells_of_waits_of_every_attempt_and_of_who_answered(reactor: Any, tmp_path: Path) -> None:
    scripts = {"/f": Nth([answer(b"", 503), redirect("/real?sig=hunter2")]), "/real": answer(b"abc")}
    async with FaultServer(reactor, OnPath(scripts)) as server:
        end = await run("get", "-vv", server.url("/f"), cwd=tmp_path)
        url, real = server.url("/f"), server.url("/real?sig=***")
    failed, waiting, attempt, fetched, _ = end.err.splitlines()

    assert end.code == 0
    assert failed.startswith(f"attempt failed: {url}: head: Unavailable: the server answered 503 ")
    assert waiting.startswith("waiting 0.")
    assert waiting.endswith(f" s before another try: {url}: the server answered 503 Service Unavailable")
    assert attempt.startswith(f"attempt: {url}: 3 bytes from 0 in 0.")
    assert attempt.endswith(f": ok, from {real}")
    assert fetched == "fetched f: 3 bytes"


# ---- for programs


async def test_every_line_is_an_object_with_a_time(reactor: Any, tmp_path: Path) -> None:
    scripts = {"/f": Nth([answer(b"", 503), answer(b"abc")]), "/g": answer(b"", 404)}
    async with FaultServer(reactor, OnPath(scripts)) as server:
        urls = [server.url("/f"), server.url("/g")]
        end = await run("get", "-vv", "--log-format", "json", "-j", "1", *urls, cwd=tmp_path)
    events = {each["event"]: each for each in told(end)}

    assert end.code == 3
    for each in events.values():
        assert datetime.fromisoformat(each["time"]).utcoffset() is not None
        assert each["time"].endswith("Z")
        assert each["level"] in {"debug", "info", "error"}
        assert each["message"]
    assert {*events} == {"attempt_failed", "waiting", "attempt", "fetched", "failed", "done"}
    known = {"url": urls[0], "path": "f", "size": 3, "attempts": 2}
    assert known.items() <= events["fetched"].items()
    known = {"url": urls[1], "path": "g", "error": "NotFound", "attempts": 1}
    assert known.items() <= events["failed"].items()
    known = {"url": urls[1], "phase": "head", "error": "NotFound", "status": 404, "offset": 0, "received": 0}
    assert known.items() <= events["attempt_failed"].items()
    known = {"exit_code": 3, "fetched": 1, "present": 0, "failed": 1, "bytes": 3}
    assert known.items() <= events["done"].items()


async def test_failures_and_the_end_are_told_in_any_case(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, answer(b"", 404)) as server:
        usual = await run("get", "--log-format", "json", server.url("/f"), cwd=tmp_path)
        quiet = await run("get", "--log-format", "json", "-q", server.url("/f"), cwd=tmp_path)

    assert [each["event"] for each in told(usual)] == ["failed", "done"]
    assert [each["event"] for each in told(quiet)] == ["failed"]


async def test_how_far_it_is_is_told_every_few_seconds(slow_nginx: Nginx, tmp_path: Path) -> None:
    fill(slow_nginx.root, {"a": bytes(800_000), "b": b"b"})
    url = f"{slow_nginx.http}PULP_MANIFEST"
    end = await run("sync", url, "-d", "m", "--log-format", "json", cwd=tmp_path)
    progress, done = told(end)

    assert end.code == 0
    assert (progress["event"], progress["fetched"], progress["files"], progress["failed"]) == ("progress", 1, 2, 0)
    assert 0 < progress["bytes"] < 801_000
    assert progress["rate"] > 0
    assert progress["left"] >= 0
    assert (done["event"], done["fetched"]) == ("done", 2)


# ---- whatever is told


SECRET = "Sesame77"
NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=":"), max_size=5).map(
    lambda name: quote(name, safe="")
)
URLS = st.one_of(
    st.sampled_from(["token", "X-Amz-Signature", "password", "sig"]).map(lambda n: f"memory://h/f?{n}={SECRET}&a=b"),
    NAMES.map(lambda name: f"memory://elmer:{name}{SECRET}@h/f"),
    NAMES.map(lambda name: f"memory://{SECRET}{name}@h/f"),
    st.just(f"memory://h/memory://elmer:{SECRET}@origin/f"),
)


@given(URLS, st.sampled_from(["text", "json"]))
@example(f"memory://h/f?token={SECRET}", "json")
def test_whatever_secret_is_in_a_url_it_is_not_told(url: str, form: str) -> None:
    clock, events = Clock(), []
    log = Log({"quiet": False, "verbose": 2, "log_format": form})

    def observe(event: Any) -> None:
        events.append(event)
        log.hear(event)

    before, observer = library_log.observer, observe  # type: Any, Any
    library_log.observer = observer
    try:
        place = Source(url)
        script = [Place(b"abc", drop_at=1), Place(b"abc")]
        scheme = MemoryScheme(MemoryFetcher({place.url: script}))
        downloader = Downloader(clock, Remote(retries=Retries(base=1)), schemes=[scheme])
        memory = ToMemory()
        downloader.download(place, memory)
        clock.pump([1, 1])
        assert memory.data == b"abc"
        downloader.close()
    finally:
        library_log.observer = before

    assert [each["event"] for each in events] == ["attempt_failed", "waiting"]
    # In no field, whoever writes them down; and not in our lines.
    assert SECRET not in repr(events)
    assert SECRET not in "".join(log.backlog)


def event_of(what: str, /, **fields: Any) -> dict[str, Any]:
    kept: list[dict[str, Any]] = []
    keep: Any = kept.append
    logger = Logger("somebody", observer=keep)
    logger.emit(fields.pop("level", LogLevel.critical), what, **fields)
    return kept[0]


@pytest.mark.parametrize("quiet", [True, False])
def test_what_nobody_has_foreseen_is_told_with_its_traceback(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log({"quiet": quiet, "verbose": 0})
    log.hear(event_of("a consumer raised", log_failure=Failure(ZeroDivisionError("oh"))))
    log.hear(event_of("a port is open", level=LogLevel.info))
    log.write()
    shown = capsys.readouterr().err

    assert "a consumer raised" in shown
    assert "ZeroDivisionError" in shown
    assert "port" not in shown


@given(st.text())
def test_whatever_is_told_json_lines_stay_lines(text: str) -> None:
    log = Log({"quiet": False, "verbose": 0, "log_format": "json"})
    log.hear(event_of("{text}", text=text))
    (line,) = log.backlog

    assert "\n" not in line
    assert json.loads(line)["message"] == text


def test_what_nobody_writes_does_not_fill_the_memory() -> None:
    log = Log({"quiet": False, "verbose": 2})
    for number in range(BACKLOG + 10):
        log.hear(event_of(f"{number}"))

    assert len(log.backlog) == BACKLOG
