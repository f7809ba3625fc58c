"""What tests of HTTP share: what the fetchers of one Downloader share, and fetchers over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme

from pulp_dl.engine.shared import Shared
from pulp_dl.model.remote import Remote
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http import HTTPFetcher
from tests.sinks import sharing

MakeFetcher = Callable[..., HTTPFetcher]


@pytest.fixture
async def shared(reactor: Any) -> AsyncIterator[Shared]:
    """Slots, threads and pool of one Downloader."""
    async with sharing(reactor) as made:
        yield made


@pytest.fixture
def fetching(reactor: Any, shared: Shared) -> MakeFetcher:
    """Makes a fetcher for a Remote, or for the Remote with these settings."""

    def make(remote: Remote | None = None, **settings: Any) -> HTTPFetcher:
        return HTTPFetcher(reactor, remote or Remote(**settings), shared)

    return make


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """A CA that no system trusts."""
    return trustme.CA()


def trusting(ca: trustme.CA, **settings: Any) -> TLS:
    """Trust in this CA, besides those of the system."""
    return TLS(ca=ca.cert_pem.bytes(), **settings)
