"""Ctrl-C and SIGTERM: what a person sees who is in a hurry, and what is left for the next run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.cli.command import ROOT, Run, fill, run
from tests.servers import Nginx
from tests.terminal import Terminal

pytestmark = pytest.mark.limit(60)

FILES = {f"bear{number}.iso": random.Random(number).randbytes(1_500_000) for number in range(5)}
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture
def manifest(slow_nginx: Nginx) -> str:
    """A small file, and five large ones of seven seconds each."""
    fill(slow_nginx.root, {"a small one": b"small", **FILES})
    for path in slow_nginx.root.iterdir():
        os.utime(path, (time.time() - 3600,) * 2)
    return f"{slow_nginx.http}PULP_MANIFEST"


async def parts(reactor: Any, mirror: Path, count: int) -> None:
    """Until there are so many."""
    while len([path for path in mirror.glob("*.part") if path.stat().st_size]) < count:
        await deferLater(reactor, 0.01)


# ---- once


async def test_ctrl_c_says_what_is_left_and_the_same_command_goes_on(
    manifest: str, slow_nginx: Nginx, tmp_path: Path
) -> None:
    def press() -> tuple[int, float, str]:
        with Terminal.pulp_dl(["sync", manifest, "-d", "mirror", "-j", "3"], tmp_path, columns=300) as shown:
            shown.wait_for(r"1 of 6 files  1\.\d MiB of 7\.2 MiB")
            shown.press("\x03")
            began = time.monotonic()
            return shown.exit_code(), time.monotonic() - began, shown.screen

    code, seconds, screen = await deferToThread(press)
    kept = {path.name: path.stat().st_size for path in (tmp_path / "mirror").glob("*.part")}

    assert code == 130
    assert seconds < 5
    assert len(kept) == 3, screen
    assert screen.startswith("interrupted: 1 fetched, 5 left; 1.")
    assert screen.endswith(f"; 3 parts are kept in {tmp_path}/mirror; run the same command again to go on")

    slow_nginx.served()
    end = await run("sync", manifest, "-d", "mirror", "-j", "6", "--json", cwd=tmp_path)

    assert (end.code, end.json["fetched"], end.json["present"]) == (0, 5, 1), end.err
    assert all((tmp_path / "mirror" / name).read_bytes() == data for name, data in FILES.items())
    assert {each.path[1:] + ".part" for each in slow_nginx.served() if each.status == 206} == {*kept}
    assert end.json["bytes"] == sum(map(len, FILES.values())) - sum(kept.values())


@pytest.mark.parametrize(("number", "code"), SIGNALS)
async def test_the_bytes_that_came_are_counted_and_the_parts_are_named(
    manifest: str, reactor: Any, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    running = Run("sync", manifest, "-d", "mirror", "-j", "2", "--json", "--log-format", "json", cwd=tmp_path)
    await parts(reactor, tmp_path / "mirror", 2)
    running.kill(number)
    end = await running.ended()
    last = json.loads(end.err.splitlines()[-1])
    kept = sorted(str(path) for path in (tmp_path / "mirror").glob("*.part"))

    assert end.code == end.json["exit_code"] == code
    assert (end.json["ok"], end.json["fetched"], end.json["left"]) == (False, 1, 5)
    assert end.json["parts"] == kept
    assert end.json["bytes"] >= sum(Path(path).stat().st_size for path in kept)
    assert end.json["bytes"] < sum(map(len, FILES.values()))
    assert last["event"] == "interrupted"
    assert {name: last[name] for name in ("exit_code", "left", "parts", "bytes")} == {
        name: end.json[name] for name in ("exit_code", "left", "parts", "bytes")
    }


async def test_one_part_is_named_by_its_directory(slow_nginx: Nginx, reactor: Any, tmp_path: Path) -> None:
    fill(slow_nginx.root, FILES)
    running = Run("get", f"{slow_nginx.http}bear1.iso", cwd=tmp_path)
    await parts(reactor, tmp_path, 1)
    running.kill(signal.SIGINT)
    end = await running.ended()

    assert end.code == 130
    assert "interrupted: 0 fetched, 1 left; " in end.err
    assert end.err.endswith(f"; a part is kept in {tmp_path}; run the same command again to go on\n")


# ---- twice, or too slow

SLOW = """
import os, time
from pulp_dl.cli.signals import Interrupted, interruptible, on_interrupt
with interruptible(), on_interrupt(lambda: os.write(1, b"first\\n"), lambda: os.write(1, b"last\\n")):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(60)
"""


def end_slowly(*numbers: signal.Signals) -> tuple[int, float, str]:
    """How a program ends that would take a minute to clean up."""
    with subprocess.Popen([sys.executable, "-c", SLOW], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.send_signal(numbers[0])
        assert process.stdout.readline() == "first\n"
        for number in numbers[1:]:
            process.send_signal(number)
        rest = process.stdout.read()
        return process.wait(), time.monotonic() - began, rest


RAISING = """
from pulp_dl.cli.signals import Interrupted, interruptible, on_interrupt
import os, signal
with interruptible(), on_interrupt(lambda: 1 / 0, lambda: None):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except Interrupted as interrupted:
        os._exit(interrupted.code)
"""


def test_a_signal_is_heard_although_nobody_could_be_told() -> None:
    """Whoever tells of it may be interrupted while the very same is printed."""
    assert subprocess.run([sys.executable, "-c", RAISING], cwd=ROOT, check=False).returncode == 130


@pytest.mark.parametrize(("number", "code"), SIGNALS)
async def test_the_second_signal_does_not_wait(number: signal.Signals, code: int) -> None:
    ended, seconds, said = await deferToThread(end_slowly, signal.SIGINT, number)

    assert (ended, said) == (code, "last\n")
    assert seconds < 2


@pytest.mark.parametrize(("number", "code"), SIGNALS)
async def test_the_first_waits_for_a_few_seconds_at_most(number: signal.Signals, code: int) -> None:
    ended, seconds, said = await deferToThread(end_slowly, number)

    assert (ended, said) == (code, "last\n")
    assert seconds < 5


STUCK = """
import time
from pulp_dl import Progress
from pulp_dl.cli.outcome import Summary
from pulp_dl.cli.progress import Ticker
from pulp_dl.cli.signals import interruptible
summary = Summary({"as_json": False, "verbose": 0, "quiet": False})
with interruptible(), Ticker(summary, Progress()):
    try:
        time.sleep(60)
    finally:
        print("stopping", flush=True)
        time.sleep(60)
"""


async def test_ctrl_c_twice_gives_the_cursor_back(tmp_path: Path) -> None:
    """Also when nothing is left in order."""

    def press() -> tuple[int, bool]:
        with Terminal([sys.executable, "-c", STUCK], tmp_path) as shown:
            shown.wait_for("0 files")
            shown.press("\x03")
            shown.wait_for("stopping")
            shown.wait_for("0 files")
            assert not shown.cursor
            shown.press("\x03")
            return shown.exit_code(), shown.cursor

    assert await deferToThread(press) == (130, True)
