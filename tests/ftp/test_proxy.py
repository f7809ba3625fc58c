"""FTP through an HTTP proxy: a GET of the FTP URL, which neither protocol knows of the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from pulp_dl.consumers.memory import ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.engine.schemes import carrier
from pulp_dl.errors import NotFound, Refused
from pulp_dl.model.auth import Basic
from pulp_dl.model.proxies import Proxies
from pulp_dl.model.remote import Proxy, Remote, Retries
from pulp_dl.model.source import Source
from pulp_dl.testing import FaultFTP, FaultServer, answer
from pulp_dl.urls import parse
from tests import proxies
from tests.ftp.conftest import MakeFetcher

GATE = Proxy("http://gate.example:3128/")
BODY = bytes(range(256)) * 1000


@pytest.mark.parametrize(
    ("url", "proxy", "scheme"),
    [
        ("ftp://host/a", None, "ftp"),
        ("ftp://host/a", GATE, "http"),
        ("ftp://host/a", Proxies(http=GATE, https=GATE), "ftp"),
        ("ftp://host/a", Proxies(ftp=GATE), "http"),
        ("ftp://host/a", Proxies(ftp=GATE, direct="host"), "ftp"),
        ("ftps://host/a", GATE, "ftps"),
        ("http://host/a", GATE, "http"),
        ("https://host/a", GATE, "https"),
        ("file:///a", GATE, "file"),
    ],
)
def test_who_asks_for_a_place(url: str, proxy: Any, scheme: str) -> None:
    assert carrier(parse(url), Remote(proxy=proxy)) == scheme


def test_the_environment_names_a_proxy_for_ftp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ftp_proxy", "gate.example:3128")
    found = Proxies.from_environment()
    assert (found.http, found.ftp) == (None, Proxy("http://gate.example:3128/"))
    assert found.to(parse("ftps://host/a")) is None


async def test_the_proxy_is_asked_for_the_whole_URL(reactor: Any) -> None:
    """As for http:, with the credentials of the origin in the field that such proxies log in with."""
    async with FaultServer(reactor, answer(BODY)) as proxy, FaultFTP(reactor, {}) as origin:
        remote = Remote(proxy=Proxy(proxy.url("/")), auth=Basic("elmer", "wabbit"))
        async with Downloader(reactor, remote) as downloader:
            consumer = ToMemory()
            report = await downloader.download(origin.url("/a/b%20c"), consumer)
        assert origin.connections.total == 0
    (request,) = proxy.requests
    assert request.target == origin.url("/a/b%20c") == report.head.url
    assert request.get(b"authorization") == Basic("elmer", "wabbit").header
    assert consumer.data == BODY


async def test_ftps_does_not_go_around_a_proxy(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, answer(BODY)) as proxy:
        fetcher = fetching(proxy=Proxy(proxy.url("/")))
        with pytest.raises(Refused, match="ftps: cannot go through this proxy"):
            await fetcher.open(Source("ftps://127.0.0.1:21/a"))
        assert proxy.requests == []


@pytest.fixture
async def squid(reactor: Any, program: proxies.Program) -> AsyncIterator[Proxy]:
    async with proxies.squid(reactor, program, trustme.CA()) as (plain, _):
        yield Proxy(f"http://127.0.0.1:{plain}/", Basic(proxies.USER, proxies.PASSWORD))


async def test_squid_fetches_by_ftp(reactor: Any, squid: Proxy) -> None:
    """It logs in with what it is told, and says how large the file is."""
    async with FaultFTP(reactor, {"a": BODY, "/a": BODY}) as origin:
        remote = Remote(proxy=squid, auth=Basic("elmer", "wabbit"), retries=Retries(count=0))
        async with Downloader(reactor, remote) as downloader:
            consumer = ToMemory()
            report = await downloader.download(origin.url("/a"), consumer)
            with pytest.raises(NotFound):
                await downloader.download(origin.url("/b"), ToMemory())
        assert consumer.data == BODY
        assert report.head.total == len(BODY)
        assert "USER elmer" in origin.commands
        assert "PASS wabbit" in origin.commands
