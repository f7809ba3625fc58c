"""C{pulp-dl --version}."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.threads import deferToThread

from pulp_dl._version import __version__
from pulp_dl.cli.version import PARTS
from tests.cli.command import ROOT, run


async def test_it_tells_what_a_report_of_a_fault_needs(tmp_path: Path) -> None:
    end = await run("--version", cwd=tmp_path)
    first, second = end.out.splitlines()

    assert (end.code, end.err, first) == (0, "", f"pulp-dl, version {__version__}")
    assert f"Python {sys.version.split()[0]}" in second
    assert all(f"{name} {version(name)}" in second for name in PARTS)
    # Of the library that is really used, not of the one that Python's own ssl has.
    assert second.endswith(SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode())


async def test_it_comes_at_once() -> None:
    """Neither Twisted nor TLS is imported for it."""

    def measure() -> subprocess.CompletedProcess[str]:
        code = (
            "import sys; from pulp_dl.cli import main\ntry: main(['--version'])\nfinally: print(*sorted(sys.modules))"
        )
        return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    ended = await deferToThread(measure)
    modules = {*ended.stdout.splitlines()[-1].split()}

    assert not {"twisted", "treq", "OpenSSL", "attrs", "attr", "rich"} & modules
    assert "click" in modules
