"""A Remote that was asked to do as the environment says: each place has its own proxy and its own password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulp_dl import Basic, Netrc, Proxies, Proxy
from pulp_dl.errors import AuthFailed, ProxyFailed
from pulp_dl.model.source import Source
from pulp_dl.testing import FaultServer, answer, redirect
from pulp_dl.urls import parse
from tests.http.conftest import MakeFetcher
from tests.sinks import read


async def test_a_redirect_goes_by_the_rules_for_its_own_host(reactor: Any, fetching: MakeFetcher) -> None:
    """Out of the proxy and into it again."""
    async with FaultServer(reactor, {}) as proxy, FaultServer(reactor, {}) as inside:
        proxy.script = lambda request: (
            answer(b"x") if request.path == "/c" else redirect(inside.url("/b").replace("127.0.0.1", "localhost"))
        )
        inside.script = lambda _: redirect("http://far.example/c")
        fetcher = fetching(
            proxy=Proxies(Proxy(proxy.url("/"), Basic("user", "password")), None, "localhost"), allow_private=True
        )
        head, data = await read(fetcher, "http://far.example/a")

        assert (head.url, data) == ("http://far.example/c", b"x")
        assert [request.target for request in proxy.requests] == ["http://far.example/a", "http://far.example/c"]
        assert [request.target for request in inside.requests] == ["/b"]
        assert inside.requests[0].get(b"proxy-authorization") is None


async def test_a_407_of_who_is_no_proxy_is_its_own(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, answer(b"", 407)) as server:
        host = parse(server.url("/")).host
        with pytest.raises(AuthFailed):
            await fetching(proxy=Proxies(Proxy(server.url("/")), None, host)).open(Source(server.url("/a")))
        with pytest.raises(ProxyFailed):
            await fetching(proxy=Proxies(Proxy(server.url("/")))).open(Source(server.url("/a")))


async def test_a_proxy_for_https_is_nothing_to_http(reactor: Any, fetching: MakeFetcher) -> None:
    """And is not gone around by https."""
    async with FaultServer(reactor, answer(b"x")) as server:
        fetcher = fetching(proxy=Proxies(None, Proxy("http://gate.invalid:3128")))
        _, data = await read(fetcher, server.url("/a"))

        assert data == b"x"
        with pytest.raises(ProxyFailed, match="the name of the proxy"):
            await fetcher.open(Source(server.url("/a").replace("http:", "https:")))


async def test_a_host_is_told_its_own_password_and_no_other(
    reactor: Any, fetching: MakeFetcher, tmp_path: Path
) -> None:
    """Nor is one where a redirect leads: the caller did not name it, and a default is for those that he did."""
    path = tmp_path / "netrc"
    async with FaultServer(reactor, answer(b"x")) as second, FaultServer(reactor, {}) as first:
        first.script = lambda _: redirect(second.url("/b"))
        for text in (
            "machine 127.0.0.1 login elmer password wabbit default login d password d",
            "machine elsewhere.example login elmer password wabbit",
            "default login d password d",
        ):
            path.write_text(text)
            await read(fetching(auth=Netrc(path)), first.url("/a"))

        sent = [request.get(b"authorization") for request in first.requests]
        assert sent == [Basic("elmer", "wabbit").header, None, Basic("d", "d").header]
        assert {request.get(b"authorization") for request in second.requests} == {None}
