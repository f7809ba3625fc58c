"""Running tests' code in threads and in processes of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from pulp_dl.blocking import BlockingDownloader
from pulp_dl.testing import MemoryFetcher, MemoryScheme

ROOT = Path(__file__).parent.parent.parent


def in_thread(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """As an importer runs it."""
    return deferToThread(function, *args)


def blocking(memory: MemoryFetcher, **options: Any) -> BlockingDownloader:
    """A downloader of what is in memory.  For a thread."""
    return BlockingDownloader(schemes=[MemoryScheme(memory)], **options)


PREAMBLE = """
import os, signal, sys, threading, time
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place
memory = MemoryFetcher({
    "memory://h/a": Place(b"abc"),
    "memory://h/silent": Place(b"abc", silent=True),
})
def make():
    from pulp_dl.blocking import BlockingDownloader
    return BlockingDownloader(schemes=[MemoryScheme(memory)])
def fetch(downloader, name="a", **options):
    from pulp_dl.consumers.memory import ToMemory
    body = ToMemory()
    downloader.download("memory://h/" + name, body, **options)
    return body.text()
"""


def script(code: str, timeout: float = 30, preamble: str = PREAMBLE) -> Deferred[subprocess.CompletedProcess[str]]:
    """Fires with the end of a new process that runs this; fails with TimeoutExpired if it hangs."""
    program = preamble + textwrap.dedent(code)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-c", program],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return in_thread(run)
