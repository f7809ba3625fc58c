"""Many clients at once, some of whom take next to nothing: what they cost while they are there, and afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from twisted.internet.threads import deferToThread

from tests.servers import Nginx
from tests.service.running import ROOT, Streamer, ask, streamer, until
from tests.service.test_admin import status

FAST, SLOW = 900, 100
SMALL, LARGE = 64 * 1024, 64 * 1024 * 1024  # bytes; the larger is more than all buffers on the way
EACH = 128  # KiB: what a client that stalls may hold
KEPT = 10  # connections to the origin
LEFT = 48 * 1024  # KiB: what an allocator may keep, less than a half of what has gone through


def kib(running: Streamer) -> int:
    """Its memory."""
    lines = Path(f"/proc/{running.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def descriptors(running: Streamer) -> int:
    return len(os.listdir(f"/proc/{running.pid}/fd"))  # only how many


def clients(way: str, running: Streamer, files: Path, *more: object) -> subprocess.Popen[bytes]:
    """Those of the benchmarks: one process, satisfied with the right status and number of bytes only."""
    host = urlsplit(running.url).netloc
    command = [sys.executable, str(ROOT / "benchmarks" / "load.py"), way, host, str(files), *map(str, more)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.limit(60)
async def test_a_thousand_clients_of_whom_a_hundred_are_slow_cost_no_more_than_they_may_and_leave_nothing(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    nginx = Nginx.make(reactor, program("nginx"), tmp_path)
    for number in range(FAST):
        (nginx.root / f"{number}").write_bytes(number.to_bytes(2, "big") * (SMALL // 2))
    with (nginx.root / "large").open("wb") as file:
        file.truncate(LARGE)
    fast, slow = tmp_path / "fast", tmp_path / "slow"
    fast.write_text("".join(f"/{number}\t{SMALL}\n" for number in range(FAST)))
    slow.write_text(f"/large\t{LARGE}\n")
    await nginx.start()
    (tmp_path / "settings.toml").write_text(f"concurrency = {KEPT}\nper-host = {KEPT}\n")
    args = ("--config", "settings.toml", "--passthrough", f"/={nginx.http}", "--max-per-client", FAST + SLOW)
    try:
        async with streamer(reactor, *args, cwd=tmp_path) as running:
            idle = descriptors(running)
            least = kib(running)
            for _ in range(2):
                before = kib(running)
                stalled = clients("stall", running, slow, "--clients", SLOW, "--take", SMALL)
                assert stalled.stdout is not None
                assert await deferToThread(stalled.stdout.readline) == b"stalled\n"
                assert len((await status(running.admin))["running"]) == SLOW
                assert kib(running) - before < SLOW * EACH
                whole = clients("fetch", running, fast, "--clients", FAST)
                await deferToThread(whole.communicate)
                await deferToThread(stalled.communicate, b"\n")
                assert (whole.returncode, stalled.returncode) == (0, 0)

                # Connections to nginx are kept, and no more than they may be.
                await until(reactor, lambda: descriptors(running) <= idle + KEPT)
                assert (await status(running.admin))["running"] == []
                metrics = (await ask(running.admin, "/metrics")).body
                assert b"\npulp_streamer_connections 0.0\n" in metrics
            assert kib(running) - least < LEFT
    finally:
        await nginx.stop()
