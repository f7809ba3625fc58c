"""The streamer as a process of its own, and clients of it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl import Downloader
from pulp_dl.importers.catalogue import Catalogue
from pulp_dl.importers.file import fetch_manifest
from pulp_dl.importers.publish import Publishing

__all__ = ["ROOT", "Answer", "Streamer", "ask", "connect", "open_request", "publish", "rest_of", "streamer", "until"]

ROOT = Path(__file__).parent.parent.parent

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "serve": ("-m", "pulp_dl", "serve"),
    "twistd": ("-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "pulp-streamer"),
    "twist": ("-m", "twisted", "pulp-streamer"),
}


@frozen
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Streamer:
    """
    A process that serves.

    @ivar url: of its contents; C{admin}: of its status.
    """

    url = admin = ""

    def __init__(
        self,
        reactor: Any,
        *args: object,
        cwd: Path,
        way: str = "serve",
        listen: bool = True,
        python: Path | str = sys.executable,
        **environment: str,
    ) -> None:
        """
        @param listen: to free ports; else the arguments say where.
        @param python: whose it is.
        """
        self._reactor = reactor
        ports = ("--listen", "tcp:0:interface=127.0.0.1", "--admin", "tcp:0:interface=127.0.0.1")
        given = tuple(map(str, args))
        self._log = cwd / "streamer.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), *COMMANDS[way], *(ports if listen else ()), *given],
                cwd=cwd,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text()

    async def started(self) -> None:
        """Until it says where it is."""
        await until(self._reactor, lambda: "Status on" in self.log or self._process.poll() is not None)
        assert self._process.poll() is None, self.log
        found = re.findall(r"(?:Serving|Status) on (\S+)", self.log)
        self.url, self.admin = found[0], found[-1].removesuffix("status")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def port(self) -> int:
        """Of its contents."""
        return urlsplit(self.url).port or 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> Deferred[int]:
        """Fires with its exit code, as a shell tells it."""

        def code() -> int:
            try:
                found = self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
            return 128 - found if found < 0 else found

        return deferToThread(code)

    async def end(self) -> None:
        """However the test ended."""
        if self._process.poll() is None:
            self._process.kill()
        await self.ended()


@asynccontextmanager
async def streamer(reactor: Any, *args: object, cwd: Path, **how: Any) -> AsyncIterator[Streamer]:
    """One that runs."""
    running = Streamer(reactor, *args, cwd=cwd, **how)
    try:
        await running.started()
        yield running
    finally:
        await running.end()


def open_request(url: str, path: str, **fields: str) -> Deferred[http.client.HTTPResponse]:
    """Fires with an answer of which the head has been read."""

    def begin() -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        connection.request("GET", path, headers={"Connection": "close", **fields})
        return connection.getresponse()

    return deferToThread(begin)


def rest_of(response: http.client.HTTPResponse) -> Deferred[bytes | None]:
    """Fires with the rest of its body; with None if it was cut."""

    def read() -> bytes | None:
        with response:
            try:
                return response.read()
            except (http.client.IncompleteRead, OSError):
                return None

    return deferToThread(read)


async def ask(url: str, path: str, **fields: str) -> Answer:
    """All of an answer."""
    response = await open_request(url, path, **fields)
    body = await rest_of(response)
    assert body is not None
    return Answer(response.status, dict(response.headers.items()), body)


async def publish(reactor: Any, url: str, file: Path, policy: str) -> None:
    """What a manifest lists is in a catalogue, below C{/files/}."""
    catalogue = Catalogue(reactor, file)
    async with Downloader(reactor) as downloader:
        with await fetch_manifest(downloader, url) as manifest:
            await catalogue.publish(Publishing("/files/", policy), manifest)
    await catalogue.close()


def connect(url: str) -> socket.socket:
    """A connection without a request."""
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    return socket.create_connection((place.hostname, place.port), timeout=20)


async def until(reactor: Any, true: Callable[[], object]) -> None:
    """The limit of the test is the limit of this."""
    while not true():
        await deferLater(reactor, 0.01)
