"""varnishtest: scripts of both ends at once, with the streamer between them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from tests.servers import free_ports
from tests.service.running import streamer

from .result import Result

__all__ = ["varnishtest"]

SCRIPTS = Path(__file__).parent / "varnish"


async def varnishtest(reactor: Any, folder: Path, _tools: Path) -> Result:
    program = shutil.which("varnishtest")
    if program is None:
        raise FileNotFoundError("varnishtest (Debian: varnish)")
    (origin,) = free_ports(1)
    (folder / "settings.toml").write_text("retries = 0\n")
    options = ("--config", "settings.toml", "--passthrough", f"/=http://127.0.0.1:{origin}/")
    said, wrong = [], []
    async with streamer(reactor, *options, cwd=folder) as running:
        places = (f"-Dorigin=127.0.0.1:{origin}", f"-Dstreamer=127.0.0.1:{running.port}")
        for script in sorted(SCRIPTS.glob("*.vtc")):
            command = [program, *places, str(script)]
            end = await deferToThread(subprocess.run, command, capture_output=True, text=True, check=False)
            (title,) = re.findall('^varnishtest "(.*)"', script.read_text())
            said.append(f"``{script.name}``: {title}.")
            if end.returncode:
                wrong.append(f"{script.name}:\n{end.stdout[-3000:]}")
    version = subprocess.run(["varnishd", "-V"], capture_output=True, text=True, check=True).stderr
    (number,) = re.findall(r"varnish-([0-9.]+)", version)
    return Result(suite=f"varnishtest {number}", said=tuple(said), wrong=tuple(wrong))
