"""What is told while files come: lines that move on a terminal, plain ones elsewhere."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from pulp_dl import Counted, Progress, Source
from pulp_dl.cli.bars import ASCII, LINES, block, glyphs
from pulp_dl.cli.figures import Figures, Meter, duration_text
from pulp_dl.cli.outcome import Summary
from pulp_dl.consumers.memory import Discard
from pulp_dl.errors import Truncated
from pulp_dl.model.source import Head
from pulp_dl.testing import FaultServer, answer
from tests.cli.command import fill, run
from tests.servers import Nginx
from tests.terminal import Terminal

pytestmark = pytest.mark.limit(60)

QUIET = {"as_json": False, "verbose": 0, "quiet": True}


@pytest.fixture
def urls(slow_nginx: Nginx) -> list[str]:
    """Six files, a second and a half each."""
    for number in range(6):
        (slow_nginx.root / f"bear{number}.iso").write_bytes(bytes(300_000))
    return [f"{slow_nginx.http}bear{number}.iso" for number in range(6)]


# ---- on a terminal


async def test_a_person_sees_files_bytes_rate_and_time_left(urls: list[str], tmp_path: Path) -> None:
    def look() -> tuple[str, str, int]:
        with Terminal.pulp_dl(["get", *urls, "-j", "3"], tmp_path) as shown:
            shown.wait_for("3 of 6 files.* left\r\n.*bear[345].iso")
            meanwhile = shown.screen
            code = shown.exit_code()
            assert shown.cursor
            return meanwhile, shown.screen, code

    meanwhile, last, code = await deferToThread(look)
    first, *others = meanwhile.splitlines()

    assert re.search(r"\d+%  3 of 6 files  [\d.]+ MiB( of 1\.7 MiB)?  [\d.]+ KiB/s  \d+ s left", first), first
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in first
    assert all(re.fullmatch(r"  +\d+%  bear[345].iso", line) for line in others if line), others
    assert code == 0
    # Nothing is left of it.
    assert re.fullmatch(r"6 fetched; 1\.7 MiB in \d+\.\d s", last)


async def test_one_file_is_a_line_with_its_whole_size(urls: list[str], tmp_path: Path) -> None:
    def look() -> str:
        with Terminal.pulp_dl(["get", urls[0]], tmp_path) as shown:
            shown.wait_for(r"\d+%  [\d.]+ KiB of 293\.0 KiB  [\d.]+ KiB/s  \d+ s left")
            meanwhile = shown.screen
            assert shown.exit_code() == 0
            return meanwhile

    assert len((await deferToThread(look)).splitlines()) == 1


async def test_sync_knows_how_many_files_and_bytes_the_manifest_lists(slow_nginx: Nginx, tmp_path: Path) -> None:
    fill(slow_nginx.root, {f"{number}.iso": bytes(300_000 + number) for number in range(4)})
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "0.iso").write_bytes(bytes(300_000))

    def look() -> None:
        with Terminal.pulp_dl(["sync", f"{slow_nginx.http}PULP_MANIFEST", "-d", "m", "-j", "2"], tmp_path) as shown:
            shown.wait_for(r"[2-9]\d%  1 of 4 files  [\d.]+ KiB of 878\.9 KiB  [\d.]+ KiB/s  \d+ s left")
            assert shown.exit_code() == 0

    await deferToThread(look)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_the_cursor_comes_back_and_the_bars_go_when_a_signal_comes(
    urls: list[str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    def look() -> str:
        with Terminal.pulp_dl(["get", *urls, "-j", "3"], tmp_path) as shown:
            shown.wait_for("0 of 6 files")
            assert not shown.cursor
            os.kill(shown.pid, number)
            assert shown.exit_code() == code
            assert shown.cursor
            return shown.screen

    assert (await deferToThread(look)).startswith("interrupted: 0 fetched, 6 left; ")


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (20, 4), (8, 2)])
async def test_a_narrow_window_has_less_to_say_and_no_broken_lines(
    urls: list[str], tmp_path: Path, columns: int, rows: int
) -> None:
    def look() -> str:
        with Terminal.pulp_dl(["get", *urls, "-j", "3"], tmp_path, columns=columns, rows=rows) as shown:
            for _ in range(4):
                shown.wait_for(r"\d+%")
            meanwhile = shown.screen
            shown.press("\x03")
            assert shown.exit_code() == 130
            return meanwhile

    first, *others = (await deferToThread(look)).splitlines()

    assert "%" in first
    assert len(others) <= rows - 2
    assert all(line.lstrip().startswith(tuple("0123456789")) or "iso" in line for line in others if line.strip())


async def test_a_window_that_changes_its_size_is_drawn_anew(urls: list[str], tmp_path: Path) -> None:
    def look() -> str:
        with Terminal.pulp_dl(["get", *urls, "-j", "3"], tmp_path, columns=60) as shown:
            shown.wait_for("0 of 6 files")
            shown.resize(24, 120)
            shown.wait_for("s left")
            assert shown.exit_code() == 0
            return shown.screen.splitlines()[-1]

    assert (await deferToThread(look)).startswith("6 fetched; ")


async def test_a_terminal_that_asked_for_no_utf_8_gets_ascii(urls: list[str], tmp_path: Path) -> None:
    def look() -> str:
        with Terminal.pulp_dl(["get", *urls], tmp_path, env={"LANG": "C", "LC_ALL": ""}) as shown:
            shown.wait_for("##+")
            assert shown.exit_code() == 0
            return shown.typescript

    assert (await deferToThread(look)).isascii()


async def test_no_color_means_no_colour(urls: list[str], tmp_path: Path) -> None:
    def look(**environment: str) -> str:
        with Terminal.pulp_dl(["get", urls[0]], tmp_path, env=environment) as shown:
            shown.wait_for("s left")
            assert shown.exit_code() == 0
            return shown.typescript

    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]m")

    assert coloured.search(await deferToThread(look))
    assert not coloured.search(await deferToThread(look, NO_COLOR="1"))


@pytest.mark.parametrize(
    ("options", "environment"),
    [([], {"TERM": "dumb"}), (["-v"], {}), (["-q"], {}), (["--log-format", "json"], {})],
    ids=["dumb", "-v", "-q", "json"],
)
async def test_where_moving_lines_would_disturb_there_are_none(
    urls: list[str], tmp_path: Path, options: list[str], environment: dict[str, str]
) -> None:
    def look() -> str:
        with Terminal.pulp_dl(["get", urls[0], *options], tmp_path, env=environment) as shown:
            assert shown.exit_code() == 0
            return shown.typescript

    assert "\x1b" not in await deferToThread(look)


async def test_a_wait_that_the_server_asked_for_is_seen(reactor: Any, tmp_path: Path) -> None:
    later = answer(b"", 503, ((b"Retry-After", b"40"),))
    async with FaultServer(reactor, later) as server:
        host = server.url("/").split("/")[2]

        def look() -> str:
            with Terminal.pulp_dl(["get", server.url("/f")], tmp_path) as shown:
                shown.wait_for(rf"waiting [34]\d s for {host}: the server answered 503")
                shown.press("\x03")
                assert shown.exit_code() == 130
                return shown.screen

        assert (await deferToThread(look)).startswith("interrupted: ")


async def test_a_file_for_stdout_does_not_meet_the_bars_there(
    urls: list[str], slow_nginx: Nginx, tmp_path: Path
) -> None:
    (slow_nginx.root / "text").write_bytes(b"0123456789\n" * 20_000)

    def look() -> list[str]:
        with Terminal.pulp_dl(["get", f"{slow_nginx.http}text", "-o", "-"], tmp_path) as shown:
            shown.wait_for("s left|/s")
            assert shown.exit_code() == 0
            return shown.screen.splitlines()

    *text, last = await deferToThread(look)

    assert {*text} == {"0123456789"}
    assert last.startswith("1 fetched; ")


# ---- elsewhere


async def test_every_few_seconds_a_line_tells_how_far_it_is(slow_nginx: Nginx, tmp_path: Path) -> None:
    (slow_nginx.root / "large").write_bytes(bytes(1_000_000))
    end = await run("get", f"{slow_nginx.http}large", cwd=tmp_path)
    first, *_, last = end.err.splitlines()

    assert re.fullmatch(r"0 fetched; [\d.]+ KiB of 976\.6 KiB \(\d+%\), [\d.]+ KiB/s, \d s left", first), first
    assert last.startswith("1 fetched; 976.6 KiB in ")


# ---- figures


class Run:
    """Downloads that are counted, and a clock."""

    def __init__(self, files: int | None, *, whole: bool = True) -> None:
        self.now = 0.0
        self.progress = Progress()
        self.summary = Summary(QUIET)
        self.summary.files = files
        self.meter = Meter(self.summary, self.progress, whole=whole, clock=lambda: self.now)

    def begin(self, size: int | None, tag: str = "bear.iso") -> Counted:
        counted = Counted(Discard(), self.progress, Source("http://h/f", tag=tag))
        counted.begin(Head("http://h/f", 200, (), size))
        counted.registerProducer(None, True)
        return counted

    def after(self, seconds: float) -> Figures:
        self.now += seconds
        return self.meter.read()


def test_when_all_have_begun_their_bytes_tell_how_far_it_is() -> None:
    run_ = Run(2)
    first = run_.begin(1000)
    first.write(bytes(500))
    early = run_.after(1)
    second = run_.begin(3000)
    second.write(bytes(500))
    late = run_.after(1)

    assert (early.total, early.fraction) == (None, 0.25)  # a quarter of two files
    assert (late.total, late.fraction, late.rate, late.left) == (4000, 0.25, 500.0, 6.0)


def test_a_manifest_tells_of_bytes_before_they_come() -> None:
    """Its own bytes, and those of files that are there already, are not among them."""
    run_ = Run(4)
    run_.progress.received(200)
    run_.summary.aside, run_.summary.total, run_.summary.there = 200, 5000, 1000
    run_.begin(2000).write(bytes(800))
    figures = run_.after(1)

    assert (figures.size, figures.total, figures.fraction) == (800, 4000, 0.36)
    assert (figures.rate, figures.left) == (1000.0, 3.2)
    run_.summary.left(run_.progress.running, run_.progress.brought)
    assert run_.summary.received == 800


def test_what_is_all_there_leaves_no_time() -> None:
    run_ = Run(4)
    run_.summary.total = run_.summary.there = 5000
    run_.summary.present = 4
    figures = run_.after(1)

    assert (figures.done, figures.total, figures.fraction) == (4, 0, 1.0)
    run_.summary.total = run_.summary.there = 0  # four empty files
    assert run_.after(1).left in {None, 0.0}


def test_where_nobody_knows_how_many_there_are_there_is_no_share() -> None:
    run_ = Run(None, whole=False)
    run_.begin(1000).write(bytes(500))
    figures = run_.after(1)

    assert (figures.fraction, figures.left, figures.rate) == (None, None, 500.0)
    assert figures.line == "0 fetched; 500 bytes, 500 bytes/s"


def test_what_an_earlier_run_brought_is_there_but_not_fast() -> None:
    run_ = Run(1)
    counted = Counted(Discard(), run_.progress)
    counted.size = 600  # as kept() tells
    counted.begin(Head("http://h/f", 200, (), 1000))
    counted.write(bytes(100))
    figures = run_.after(1)

    assert (figures.size, figures.rate, run_.progress.brought) == (700, 100.0, 100)


def test_only_files_that_take_long_are_named_the_oldest_first() -> None:
    run_ = Run(9)
    old = run_.begin(100, "old")
    run_.after(0.5)
    run_.begin(100, "young")
    old.write(bytes(40))

    assert run_.after(0.4).slow == []
    assert run_.after(0.6).slow == [("old", 0.4)]
    assert run_.after(0.5).slow == [("old", 0.4), ("young", 0.0)]
    old.fail(Failure(Truncated(1, 2)))
    assert run_.after(0.5).slow == [("young", 0.0)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2000), st.floats(0, 5))), st.none() | st.integers(0, 9))
def test_whatever_happens_the_figures_make_sense(steps: list[tuple[int, int, float]], files: int | None) -> None:
    run_ = Run(files)
    running: list[Counted] = []
    for what, size, seconds in steps:
        if what == 0 or not running:
            running.append(run_.begin(size or None))
        elif what == 1:
            running[-1].write(bytes(size))
        elif what == 2:
            running[-1].rewind(Head("http://h/f", 200, (), size))
        else:
            running.pop().fail(Failure(Truncated(1, 2)))
        figures = run_.after(seconds)

        assert figures.fraction is None or 0 <= figures.fraction <= 1
        assert figures.left is None or figures.left >= 0
        assert figures.rate >= 0
        assert figures.size == run_.progress.size >= 0
        assert figures.line.startswith("0 fetched")


FIGURES = st.builds(
    Figures,
    fetched=st.integers(0, 10**6),
    present=st.integers(0, 10**6),
    failed=st.integers(0, 10**6),
    files=st.none() | st.integers(0, 10**7),
    size=st.integers(0, 2**50),
    total=st.none() | st.integers(1, 2**50),
    fraction=st.none() | st.floats(0, 1),
    rate=st.floats(0, 2**40),
    left=st.none() | st.floats(0, 1e9),
    slow=st.lists(st.tuples(st.text(), st.none() | st.floats(0, 1)), max_size=9),
    waits=st.lists(st.tuples(st.text(), st.floats(0, 100), st.text()), max_size=3),
)


@given(FIGURES, st.integers(1, 200), st.integers(1, 60), st.sampled_from([LINES, ASCII]))
def test_whatever_the_figures_and_the_window_no_line_is_too_long(
    figures: Figures, width: int, height: int, known: Any
) -> None:
    lines = block(figures, width, height, known).plain.split("\n")

    assert len(lines) <= max(1, height - 1)
    assert all(cell_len(line) <= width for line in lines)
    assert all(char.isprintable() for line in lines for char in line)
    assert known[2] or all(line.isascii() for line in lines)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (90, f"{'#' * 13}{'-' * 14}   50%  2 of 4 files  1.0 MiB of 2.0 MiB  512.0 KiB/s  2 s left"),
        (60, " 50%  2 of 4 files  1.0 MiB of 2.0 MiB  512.0 KiB/s"),
        (40, " 50%  2 of 4 files  1.0 MiB of 2.0 MiB"),
        (37, "########---------   50%  2 of 4 files"),
        (20, " 50%  2 of 4 files"),
        (17, "#####------   50%"),
        (5, " 50%"),
    ],
)
def test_what_has_no_room_is_left_out_and_not_cut(width: int, line: str) -> None:
    figures = Figures(2, 0, 0, 4, 2**20, 2**21, 0.5, 2**19, 2.0)

    assert block(figures, width, 24, ASCII).plain == line


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({}, "utf-8", LINES),
        ({"LANG": "de_DE.UTF-8"}, "utf-8", LINES),
        ({"LANG": "C.utf8"}, "utf-8", LINES),
        ({"LANG": "C"}, "utf-8", ASCII),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "POSIX"}, "utf-8", ASCII),
        ({"LANG": "de_DE.UTF-8"}, "iso8859-1", ASCII),
    ],
)
def test_lines_are_drawn_where_they_can_be_shown(environment: dict[str, str], encoding: str, expected: Any) -> None:
    assert glyphs(environment, encoding) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (59.7, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (1e6, "11 days")],
)
def test_seconds_are_written_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
