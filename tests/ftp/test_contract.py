"""FTP keeps every promise of IFetcher, against servers that nobody here has written."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pulp_dl.model.remote import Remote
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.ftp import FTPFetcher
from pulp_dl.testing import FaultFTP, FetcherCase, check_fetcher, reply
from tests.ftp.conftest import OLD, put
from tests.ftp.pyftpd import PyFTPd
from tests.ftp.vsftpd import Vsftpd
from tests.sinks import sharing

numbers = itertools.count()


@asynccontextmanager
async def case(reactor: Any, server: Any, root: Path, remote: Remote) -> AsyncIterator[FetcherCase]:
    folder = f"case-{next(numbers)}"
    times = itertools.count(OLD)

    def serve(name: str, data: bytes) -> str:
        put(root, f"{folder}/{name}", data, next(times))
        return str(server.url(f"{folder}/{name.replace(' ', '%20')}"))

    async with sharing(reactor) as shared, FaultFTP(reactor, {}) as liar:

        def lying(name: str, data: bytes, size: int) -> str:
            liar.files[name] = data
            liar.replies[f"SIZE {name}"] = reply(213, str(size))
            return liar.url(f"/{name}")

        fetcher = FTPFetcher(reactor, remote, shared)
        yield FetcherCase(fetcher, serve, server.url(f"{folder}/missing"), lying=lying)


SERVER: dict[str, Any] = {}


def make(reactor: Any) -> Any:
    return SERVER["make"](reactor)


class TestVsftpd(check_fetcher(make)):  # type: ignore[misc]  # made at run time
    @pytest.fixture(autouse=True)
    def _server(self, vsftpd: Vsftpd) -> None:
        SERVER["make"] = lambda reactor: case(reactor, vsftpd, vsftpd.root, Remote())


class TestVsftpdOverTLS(check_fetcher(make)):  # type: ignore[misc]
    @pytest.fixture(autouse=True)
    def _server(self, vsftpd_tls: Vsftpd) -> None:
        remote = Remote(tls=TLS(ca=str(vsftpd_tls.ca), system=False))
        SERVER["make"] = lambda reactor: case(reactor, vsftpd_tls, vsftpd_tls.root, remote)


class TestVsftpdOverIPv6(check_fetcher(make)):  # type: ignore[misc]
    @pytest.fixture(autouse=True)
    def _server(self, vsftpd_v6: Vsftpd) -> None:
        SERVER["make"] = lambda reactor: case(reactor, vsftpd_v6, vsftpd_v6.root, Remote())


class TestPyftpdlib(check_fetcher(make)):  # type: ignore[misc]
    @pytest.fixture(autouse=True)
    def _server(self, pyftpd: PyFTPd) -> None:
        SERVER["make"] = lambda reactor: case(reactor, pyftpd, pyftpd.folder, Remote())
