"""What tests of FTP share: real servers, and fetchers over what one Downloader shares."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from pulp_dl.engine.shared import Shared
from pulp_dl.model.remote import Remote
from pulp_dl.protocols.ftp import FTPFetcher
from pulp_dl.protocols.ftp.pool import SessionPool
from pulp_dl.testing import FaultFTP
from tests.conftest import wait_for
from tests.ftp.pyftpd import PyFTPd
from tests.ftp.vsftpd import Vsftpd
from tests.sinks import sharing

MakeFetcher = Callable[..., FTPFetcher]
OLD = 1_000_000_000
"""A time of change that is long ago."""


def put(root: Path, name: str, data: bytes, modified: float = OLD) -> None:
    """A file, as if it had been there for long."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (modified, modified))


def verbs(server: FaultFTP) -> list[str]:
    """What was asked for so far, without the arguments."""
    return [each.method for each in server.requests]


@pytest.fixture
async def shared(reactor: Any) -> AsyncIterator[Shared]:
    """Slots, timers and pool of one Downloader."""
    async with sharing(reactor) as made:
        yield made


@pytest.fixture
def fetching(reactor: Any, shared: Shared) -> MakeFetcher:
    """Makes a fetcher for a Remote, or for the Remote with these settings."""

    def make(remote: Remote | None = None, **settings: Any) -> FTPFetcher:
        return FTPFetcher(reactor, remote or Remote(**settings), shared)

    return make


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(reactor: Any, shared: Shared, clock: Clock) -> FTPFetcher:
    """A fetcher whose sessions wait by another clock."""
    shared.keep("ftp", lambda: SessionPool(shared.slots, clock))
    return FTPFetcher(reactor, Remote(), shared)


def _running(server: Any) -> Iterator[Any]:
    wait_for(server.start)
    yield server
    wait_for(server.stop)


@pytest.fixture(scope="session")
def vsftpd(reactor: Any, program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vsftpd]:
    yield from _running(Vsftpd.make(reactor, program("vsftpd"), tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="session")
def vsftpd_tls(
    reactor: Any, program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vsftpd]:
    """It wants the TLS session of the control connection for data."""
    yield from _running(Vsftpd.make(reactor, program("vsftpd"), tmp_path_factory.mktemp("tls"), tls=True))


@pytest.fixture(scope="session")
def vsftpd_v6(
    reactor: Any, program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vsftpd]:
    yield from _running(Vsftpd.make(reactor, program("vsftpd"), tmp_path_factory.mktemp("v6"), address="::1"))


@pytest.fixture(scope="session")
def pyftpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyFTPd]:
    yield from _running(PyFTPd(tmp_path_factory.mktemp("pyftpd")))
