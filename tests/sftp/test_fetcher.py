"""sftp:// keeps the contract of IFetcher, against OpenSSH's server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from pulp_dl.model.remote import Remote
from pulp_dl.model.source import Source
from pulp_dl.protocols.sftp import SFTPFetcher
from pulp_dl.testing.checks import FetcherCase, check_fetcher
from tests.sftp.conftest import MakeFetcher
from tests.sftp.double import running_double
from tests.sinks import read, sharing
from tests.sshd import Sshd, running_sshd

SERVERS: list[Sshd] = []
"""The one of this module: to start one for each case would take longer than all else."""


@pytest.fixture(scope="module", autouse=True)
async def _one_server(reactor: Any, tmp_path_factory: pytest.TempPathFactory, openssh: None) -> AsyncIterator[None]:
    async with running_sshd(reactor, tmp_path_factory.mktemp("sshd")) as server:
        SERVERS.append(server)
        yield
        SERVERS.clear()


@pytest.fixture
def sshd() -> Sshd:
    return SERVERS[0]


@asynccontextmanager
async def make_sftp(reactor: Any) -> AsyncIterator[FetcherCase]:
    ages = count(3600, -10)
    server = SERVERS[0]
    async with sharing(reactor) as shared, running_double(reactor) as double:
        known = server.folder / "known_both"
        known.write_text(f"{server.known_hosts.read_text()}[127.0.0.1]:{double.port} {double.public_key}\n")
        fetcher = SFTPFetcher(reactor, Remote(ssh=server.ssh(known_hosts=known)), shared)

        def serve(name: str, data: bytes) -> str:
            return str(Source(server.put(name, data, next(ages))).url)

        def lying(name: str, data: bytes, size: int) -> str:
            path = f"/{name}".encode()
            double.files[path] = data
            double.said[path] = {"size": size, "permissions": 0o100644, "atime": 0, "mtime": 1}
            return double.url(f"/{name}")

        yield FetcherCase(fetcher, serve, missing=Source(server.url("missing")).url, lying=lying)


class TestSFTP(check_fetcher(make_sftp)):  # type: ignore[misc]  # the class is made here
    """SFTP keeps every promise of IFetcher."""


async def test_a_file_comes_with_the_head_of_an_http_answer(fetching: MakeFetcher, sshd: Sshd) -> None:
    url = sshd.put("a", b"hello")
    head, data = await read(fetching(), url)

    assert data == b"hello"
    assert (head.status, head.length, head.total, head.span) == (200, 5, 5, None)
