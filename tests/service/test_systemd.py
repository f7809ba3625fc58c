"""What systemd does with the units, and what the streamer does with systemd's socket."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, answer
from tests.service.running import ROOT, ask, until

UNITS = ROOT / "contrib" / "systemd"

pytestmark = pytest.mark.limit(40)


async def test_systemd_understands_the_units(program: Callable[[str], str], tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    for unit in UNITS.iterdir():
        # It wants to see the program, wherever that is installed.
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/pulp-dl", "/bin/true"))
    command = [analyze, "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS.iterdir())]
    ran = await deferToThread(subprocess.run, command, capture_output=True, text=True, check=False)
    ours = [line for line in (ran.stdout + ran.stderr).splitlines() if str(tmp_path) in line or "pulp-" in line]

    assert (ran.returncode, ours) == (0, [])


async def test_the_service_may_do_no_more_than_it_has_to(program: Callable[[str], str], tmp_path: Path) -> None:
    """By systemd's own measure, in which 10 is everything."""
    analyze = program("systemd-analyze")
    unit = tmp_path / "pulp-streamer.service"
    unit.write_text((UNITS / unit.name).read_text().replace("/usr/bin/pulp-dl", "/bin/true"))
    command = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)]
    ran = await deferToThread(subprocess.run, command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr


async def test_it_serves_on_a_socket_that_systemd_opened(reactor: Any, tmp_path: Path) -> None:
    unit = (UNITS / "pulp-streamer.service").read_text()
    found = re.search(r"--listen (\S+)", unit)
    assert found
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port = opened.getsockname()[1]
        async with FaultServer(reactor, answer(b"bear")) as origin:
            # As systemd does it: descriptor 3, for the process of this number.
            begin = f'exec 3<&{opened.fileno()}; LISTEN_FDS=1 LISTEN_FDNAMES=streamer LISTEN_PID=$$ exec "$@"'
            serve = (sys.executable, "-m", "pulp_dl", "serve", "--listen", found[1], "--admin", "")
            with log.open("wb") as out:
                process = subprocess.Popen(
                    ["bash", "-c", begin, "bash", *serve, "--passthrough", f"/={origin.url('/')}"],
                    pass_fds=[opened.fileno()], stdout=out, stderr=out, cwd=tmp_path,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )  # fmt: skip
            try:
                # Clients that come before it is there are not refused; they wait.
                got = await ask(f"http://127.0.0.1:{port}/", "/a")
                await until(reactor, lambda: "Serving on" in log.read_text())
                process.send_signal(signal.SIGTERM)
                code = await deferToThread(process.wait, 20)
            finally:
                process.kill()
                process.wait()

    assert (got.body, code) == (b"bear", 0)
    assert f"Serving on http://127.0.0.1:{port}/" in log.read_text()
