"""Through tinyproxy, Squid, microsocks and Dante, to nginx."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl.errors import AuthFailed, BadStatus, NotFound, ProxyFailed
from pulp_dl.model.auth import Basic
from pulp_dl.model.proxies import Proxies
from pulp_dl.model.remote import Proxy
from pulp_dl.model.source import Source
from pulp_dl.model.tls import TLS
from pulp_dl.testing import FaultServer, Send, answer
from pulp_dl.urls import parse
from tests import proxies
from tests.http.conftest import MakeFetcher
from tests.servers import Nginx
from tests.sinks import read

AUTH = Basic(proxies.USER, proxies.PASSWORD)
FILES = {"small": b"bear", "large": bytes(range(253)) * 20_000}

pytestmark = pytest.mark.limit(30)


@pytest.fixture(scope="module")
async def nginx(reactor: Any, program: Callable[[str], str], tmp_path_factory: Any) -> AsyncIterator[Nginx]:
    nginx = Nginx.make(reactor, program("nginx"), tmp_path_factory.mktemp("nginx"))
    for name, data in FILES.items():
        (nginx.root / name).write_bytes(data)
    await nginx.start()
    yield nginx
    await nginx.stop()


@pytest.fixture(scope="module")
async def tinyproxy(reactor: Any, program: Callable[[str], str], tmp_path_factory: Any) -> AsyncIterator[int]:
    async with proxies.tinyproxy(reactor, program, tmp_path_factory.mktemp("tinyproxy")) as port:
        yield port


@pytest.fixture(scope="module")
async def squid(reactor: Any, program: Callable[[str], str], ca: trustme.CA) -> AsyncIterator[tuple[int, int]]:
    async with proxies.squid(reactor, program, ca) as ports:
        yield ports


@pytest.fixture(scope="module")
async def microsocks(reactor: Any, program: Callable[[str], str], tmp_path_factory: Any) -> AsyncIterator[int]:
    async with proxies.microsocks(reactor, program, tmp_path_factory.mktemp("microsocks")) as port:
        yield port


@pytest.fixture(scope="module")
async def dante(reactor: Any, program: Callable[[str], str], tmp_path_factory: Any) -> AsyncIterator[int]:
    async with proxies.dante(reactor, program, tmp_path_factory.mktemp("dante")) as port:
        yield port


HTTP = ["tinyproxy", "squid", "squid over TLS"]
SOCKS = ["microsocks", "microsocks by address", "dante", "dante by address"]


@pytest.fixture
def gate(request: pytest.FixtureRequest, ca: trustme.CA) -> Callable[[Basic | None], Proxy]:
    """Makes what a Remote says of the proxy of this name."""
    name: str = request.param
    scheme = "socks5" if "by address" in name else "socks5h"
    trust = TLS(ca=ca.cert_pem.bytes())
    if name == "tinyproxy":
        url = f"http://127.0.0.1:{request.getfixturevalue('tinyproxy')}"
    elif name.startswith("squid"):
        plain, secure = request.getfixturevalue("squid")
        url = f"https://127.0.0.1:{secure}" if "TLS" in name else f"http://127.0.0.1:{plain}"
    else:
        url = f"{scheme}://127.0.0.1:{request.getfixturevalue(name.partition(' ')[0])}"
    return lambda auth: Proxy(url, auth, tls=trust)


@pytest.mark.parametrize("gate", [*HTTP, *SOCKS], indirect=True)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_files_come_through(fetching: MakeFetcher, nginx: Nginx, gate: Any, scheme: str) -> None:
    """As nginx sees it, over one connection; small ones and large ones, in turn."""
    fetcher = fetching(proxy=gate(AUTH), tls=TLS(ca=nginx.ca))
    base = nginx.https if scheme == "https" else nginx.http
    nginx.served()
    for name in ("small", "large", "small"):
        head, data = await read(fetcher, f"{base}{name}")

        assert data == FILES[name]
        assert head.url == f"{base}{name}"
    served = nginx.served()
    while len(served) < 3:  # what is a moment late
        await deferLater(nginx.reactor, 0.01)
        served += nginx.served()
    assert [each.path for each in served] == ["/small", "/large", "/small"]
    if scheme == "https" or gate(None).place.scheme.startswith("socks"):
        assert len({each.connection for each in served}) == 1


@pytest.mark.parametrize("gate", SOCKS, indirect=True)
async def test_names_are_looked_up_here_or_there(fetching: MakeFetcher, nginx: Nginx, gate: Any) -> None:
    url = nginx.http.replace("127.0.0.1", "localhost")

    assert (await read(fetching(proxy=gate(AUTH)), f"{url}small"))[1] == b"bear"
    with pytest.raises(Exception, match=r"the name of the server does not resolve|the proxy makes no tunnel") as raised:
        await read(fetching(proxy=gate(AUTH)), "http://nobody.invalid/")
    assert isinstance(raised.value, ProxyFailed) == gate(None).resolves


@pytest.mark.parametrize("gate", [*HTTP, "microsocks"], indirect=True)
@pytest.mark.parametrize("auth", [None, Basic("user", "wrong")], ids=["nobody", "wrong"])
async def test_who_is_not_known_is_told_so_once(
    request: pytest.FixtureRequest, fetching: MakeFetcher, nginx: Nginx, gate: Any, auth: Basic | None
) -> None:
    """Tinyproxy says 401 to who has a wrong password."""
    strange = "wrong-tinyproxy" in request.node.name
    nginx.served()
    for base in (nginx.http, nginx.https):
        with pytest.raises(ProxyFailed) as raised:
            await read(fetching(proxy=gate(auth), tls=TLS(ca=nginx.ca)), f"{base}small")

        assert not raised.value.transient
        assert raised.value.status == (None if "socks" in gate(None).url else 401 if strange else 407)
        assert "wrong" not in str(raised.value)
    assert nginx.served() == []


@pytest.mark.parametrize("gate", [*HTTP, *SOCKS], indirect=True)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_is_not_there_is_told_by_the_proxy(fetching: MakeFetcher, gate: Any, scheme: str) -> None:
    with pytest.raises(ProxyFailed) as raised:
        await fetching(proxy=gate(AUTH)).open(Source(f"{scheme}://127.0.0.1:1/"))

    assert raised.value.transient
    if "socks" not in gate(None).url:
        assert raised.value.status is not None
        assert raised.value.status >= 500


@pytest.mark.parametrize("gate", HTTP, indirect=True)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_a_proxy_forbids_is_its_own_403(fetching: MakeFetcher, gate: Any, scheme: str) -> None:
    """Not the server's, whom nobody has asked."""
    with pytest.raises(ProxyFailed) as raised:
        await fetching(proxy=gate(AUTH)).open(Source(f"{scheme}://{proxies.FORBIDDEN}/"))

    assert (raised.value.status, raised.value.transient) == (403, False)


@pytest.mark.parametrize("gate", ["squid", "squid over TLS"], indirect=True)
@pytest.mark.parametrize(
    ("scheme", "host", "status"),
    [("http", proxies.MOVED, 302), ("https", proxies.MOVED, 302), ("http", proxies.PAGED, 200)],
)
async def test_a_page_of_the_proxy_is_not_the_file(
    fetching: MakeFetcher, nginx: Nginx, gate: Any, scheme: str, host: str, status: int
) -> None:
    """Squid leads to a portal, which is there and may be asked, or it has the page itself (C{deny_info})."""
    fetcher = fetching(proxy=gate(AUTH))
    nginx.served()
    with pytest.raises(ProxyFailed) as raised:
        await fetcher.open(Source(f"{scheme}://{host}:{parse(nginx.http).port}/bear.iso"))

    assert (raised.value.status, raised.value.transient) == (status, False)
    assert (await read(fetcher, f"{nginx.http}large"))[1] == FILES["large"]
    served = nginx.served()
    while not served:  # what is a moment late
        await deferLater(nginx.reactor, 0.01)
        served = nginx.served()
    assert [each.path for each in served] == ["/large"]


@pytest.mark.parametrize("gate", HTTP, indirect=True)
async def test_a_server_is_told_nothing_that_is_for_the_proxy_or_for_another_server(
    reactor: Any, fetching: MakeFetcher, gate: Any
) -> None:
    """Tinyproxy joins a connection to the first server that is asked for, and that one does not close it."""
    chunked = Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n")
    early = Send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    kept = answer(b"late", headers=((b"Connection", b"keep-alive"),))
    async with FaultServer(reactor, {"/": chunked, "/early": [early, kept]}) as evil:
        async with FaultServer(reactor, answer(b"good")) as good:
            fetcher = fetching(proxy=gate(AUTH))
            own = Source(good.url("/"), headers={"X-Api-Key": "bears"})
            asked: list[tuple[Source | str, bytes]] = [(evil.url("/"), b"evil"), (own, b"good")]
            asked += [(evil.url("/early"), b"late"), (own, b"good")]
            for source, data in asked:
                assert (await read(fetcher, source))[1] == data

            assert len(evil.requests) == len(good.requests) == 2
            assert [each.get(b"x-api-key") for each in evil.requests] == [None, None]
            for request in (*evil.requests, *good.requests):
                assert request.get(b"proxy-authorization") is None


@pytest.mark.parametrize("gate", HTTP, indirect=True)
@pytest.mark.parametrize(("path", "error"), [("", AuthFailed), ("none", NotFound)])
async def test_what_a_server_refuses_is_not_the_proxys(
    fetching: MakeFetcher, nginx: Nginx, gate: Any, path: str, error: type[BadStatus]
) -> None:
    """The folder itself is a 403 of nginx."""
    with pytest.raises(error) as raised:
        await fetching(proxy=gate(AUTH)).open(Source(f"{nginx.http}{path}"))

    assert type(raised.value) is error


# ---- what curl does

DIRECT = [
    ("example.org", "http://example.org/"),
    ("example.org", "http://a.example.org/"),
    ("example.org", "http://notexample.org/"),
    (".example.org", "http://example.org/"),
    (".example.org", "http://a.example.org/"),
    ("example.org", "http://example.org.evil/"),
    ("a.example,b.example", "http://b.example/"),
    ("a.example b.example", "http://b.example/"),
    ("EXAMPLE.org", "http://example.ORG/"),
    ("10.1.2.3", "http://10.1.2.3/"),
    ("10.1.2.3", "http://10.1.2.30/"),
    ("10.0.0.0/8", "http://10.1.2.3/"),
    ("10.0.0.0/8", "http://11.1.2.3/"),
    ("10.1.2.3/8", "http://10.200.0.1/"),
    ("192.168.0.0/16", "http://192.168.255.1/"),
    ("::1", "http://[::1]/"),
    ("::1", "http://[::2]/"),
    ("fd00::/8", "http://[fe80::1]/"),
    ("10.0.0.0/33", "http://10.0.0.0/"),
    ("example.org/8", "http://example.org/"),
    ("example.org/a", "http://example.org/"),
    ("user@example.org", "http://example.org/"),
    ("example.org?", "http://example.org/"),
    ("*", "http://anything.example/"),
    ("", "http://example.org/"),
]


async def test_curl_goes_around_a_proxy_for_the_same_hosts(
    reactor: Any, tmp_path: Path, program: Callable[[str], str]
) -> None:
    """What it gets, it got from the server; the proxy refuses everything."""
    async with FaultServer(reactor, answer(b"", 403)) as proxy, FaultServer(reactor, answer(b"direct")) as server:
        command = [program("curl"), "-s"]
        for number, (direct, url) in enumerate(DIRECT):
            command += ["--next"] if number else []
            command += ["-x", proxy.url("/"), "--noproxy", direct, "--connect-to", f"::127.0.0.1:{server.port}"]
            command += ["-sf", "-o", str(tmp_path / str(number)), url]
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        await deferToThread(subprocess.run, command, check=False, env=environment)
    gate = Proxy(proxy.url("/"))
    theirs = [(tmp_path / str(number)).exists() for number in range(len(DIRECT))]
    ours = [Proxies(gate, gate, direct).to(parse(url)) is None for direct, url in DIRECT]

    assert list(zip(DIRECT, ours, strict=True)) == list(zip(DIRECT, theirs, strict=True))
