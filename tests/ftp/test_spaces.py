"""A server that names an FTP server leads us no closer than it is itself."""

from __future__ import annotations

from typing import Any

import pytest

from pulp_dl.errors import RedirectRefused
from pulp_dl.model.source import Source
from pulp_dl.testing import FaultFTP
from tests.ftp.conftest import MakeFetcher
from tests.sinks import read

FILES = {"a": b"from next door"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("scope", [None, "http://192.0.2.1/list", "ftp://10.0.0.1/list", "https://8.8.8.8/list"])
async def test_a_public_or_private_server_does_not_lead_to_this_machine(
    reactor: Any, fetching: MakeFetcher, host: str, scope: str | None
) -> None:
    """Nor does a session that the caller has with it."""
    async with FaultFTP(reactor, FILES) as server:
        fetcher = fetching()
        await read(fetcher, server.url("/a", host))
        asked = len(server.commands)
        for ask in (fetcher.open, fetcher.head):
            with pytest.raises(RedirectRefused, match="allow_private") as caught:
                await ask(Source(server.url("/a", host), found=True, scope=scope))
            assert caught.value.url == server.url("/a", host)
        assert len(server.commands) == asked
        assert server.connections.total <= 2


@pytest.mark.parametrize(
    "scope", ["http://127.0.0.1/list", "http://localhost/list", "http://127.9.9.9/", "file:///list"]
)
async def test_this_machine_leads_wherever_it_likes(reactor: Any, fetching: MakeFetcher, scope: str) -> None:
    async with FaultFTP(reactor, FILES) as server:
        _, data = await read(fetching(), Source(server.url("/a"), found=True, scope=scope))
    assert data == FILES["a"]


async def test_what_the_caller_names_or_allows_may_be_anywhere(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES) as server:
        found = Source(server.url("/a"), found=True, scope="http://192.0.2.1/list")
        for fetcher in (fetching(allow_private=True), fetching(url=server.url("/"))):
            _, data = await read(fetcher, found)
            assert data == FILES["a"]
        _, data = await read(fetching(), Source(server.url("/a"), scope="http://192.0.2.1/list"))
        assert data == FILES["a"]
