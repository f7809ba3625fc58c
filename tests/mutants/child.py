"""
Tests on a module with a fault.

No file is touched: a child of this process has the faulty code in the place of the module, and ends with what pytest
has to say.  It is a fork, since starting Python and importing what everybody needs takes longer than the tests.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

__all__ = ["NOTICED", "PASSED", "prepare", "run"]

PASSED, NOTICED = 0, 1

MEMORY = 4 << 30
"""Bytes that a child may have: a loop that never ends may gather things."""

COMMON = (
    "attrs", "h11", "httptools", "hypothesis", "pytest_twisted", "treq", "trustme", "twisted.protocols.tls",
    "twisted.web.client",
)  # fmt: skip
"""What is the same for all of them, and has not yet anything of a reactor."""


OPTIONS = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]


class Instead(MetaPathFinder, Loader):
    """This code is the module of that name."""

    def __init__(self, name: str, path: Path, code: str) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        return spec_from_loader(name, self, origin=str(self._path)) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._code, self._path, "exec"), module.__dict__)


def prepare() -> None:
    """Import what all children need."""
    for name in COMMON:
        import_module(name)
    ours = [name for name in sys.modules if name.partition(".")[0] == "pulp_dl"]
    assert not ours, "a child imports the modules under test itself"
    assert "twisted.internet.reactor" not in sys.modules, "a child has a reactor of its own"


def run(path: Path, code: str, tests: Sequence[str], seconds: float) -> tuple[int | None, float]:
    """
    Run these tests with this code in the place of that file.

    Returns what pytest exits with, or None if it took longer; and how many seconds it took.
    """
    begun = time.monotonic()
    with TemporaryDirectory(prefix="mutant-") as folder:
        pid = os.fork()
        if not pid:
            _child(path, code, tests, folder)
        ended = _wait(pid, begun + seconds)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # whatever its tests have begun
        if ended is None:
            os.waitpid(pid, 0)
    return ended, time.monotonic() - begun


def _wait(pid: int, until: float) -> int | None:
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def _child(path: Path, code: str, tests: Sequence[str], folder: str) -> None:
    exit_code = NOTICED
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.environ["HYPOTHESIS_PROFILE"] = "mutants"
        sys.meta_path.insert(0, Instead(".".join(path.with_suffix("").parts), path, code))
        pytest = import_module("pytest")
        exit_code = pytest.main([*OPTIONS, f"--basetemp={folder}/tests", *tests])
    finally:
        os._exit(exit_code)
