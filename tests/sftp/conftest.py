"""What tests of SFTP share: a server, what the fetchers of one Downloader share, and fetchers over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pulp_dl.engine.shared import Shared
from pulp_dl.model.remote import Remote
from pulp_dl.protocols.sftp import SFTPFetcher
from tests.sinks import sharing
from tests.sshd import Sshd, running_sshd

MakeFetcher = Callable[..., SFTPFetcher]


@pytest.fixture(scope="session")
def openssh(program: Callable[[str], str]) -> None:
    """Its programs are there."""
    program("sshd")
    program("ssh-keygen")


@pytest.fixture
async def sshd(reactor: Any, tmp_path: Path, openssh: None) -> AsyncIterator[Sshd]:
    async with running_sshd(reactor, tmp_path) as server:
        yield server


@pytest.fixture
async def shared(reactor: Any) -> AsyncIterator[Shared]:
    """Slots, threads and pool of one Downloader."""
    async with sharing(reactor) as made:
        yield made


@pytest.fixture
def fetching(reactor: Any, shared: Shared, sshd: Sshd) -> MakeFetcher:
    """Makes a fetcher for a Remote with these settings."""

    def make(**settings: Any) -> SFTPFetcher:
        return SFTPFetcher(reactor, Remote(**{"ssh": sshd.ssh(), **settings}), shared)

    return make
