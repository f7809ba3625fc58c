"""
The remote that everything was made for: behind a proxy with a password, a server that demands a client certificate and
a password of its own; by each of the ways to say so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.threads import deferToThread

from pulp_dl import TLS, Basic, BlockingDownloader, Downloader, Proxy, Remote, Retries, Timeouts, ToFile
from pulp_dl.errors import AuthFailed, BadStatus, DownloadError, ProxyFailed
from tests import proxies
from tests.cli.command import run
from tests.servers import Nginx
from tests.service.running import ask, streamer

BEAR = bytes(range(250)) * 4000

pytestmark = pytest.mark.limit(40)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
async def nginx(
    reactor: Any, program: Callable[[str], str], tmp_path_factory: Any, ca: trustme.CA
) -> AsyncIterator[Nginx]:
    """Lets in whom C{ca} knows."""
    nginx = Nginx.make(reactor, program("nginx"), tmp_path_factory.mktemp("nginx"))
    ca.cert_pem.write_to_path(nginx.folder / "clients.pem")
    file = nginx.folder / "nginx.conf"
    demand = f"ssl_client_certificate {nginx.folder}/clients.pem; ssl_verify_client on; ssl_certificate "
    file.write_text(file.read_text().replace("ssl_certificate ", demand))
    (nginx.root / "bear.iso").write_bytes(BEAR)
    await nginx.start()
    yield nginx
    await nginx.stop()


@pytest.fixture(scope="module", params=["tinyproxy", "squid", "microsocks"])
async def gate(
    request: pytest.FixtureRequest, reactor: Any, program: Callable[[str], str], tmp_path_factory: Any, ca: trustme.CA
) -> AsyncIterator[str]:
    """The URL of a proxy for C{user} with C{password}."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "squid":
        async with proxies.squid(reactor, program, ca) as (_, secure):
            yield f"https://127.0.0.1:{secure}"
    elif request.param == "tinyproxy":
        async with proxies.tinyproxy(reactor, program, folder) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        async with proxies.microsocks(reactor, program, folder) as port:
            yield f"socks5h://127.0.0.1:{port}"


@pytest.fixture
def here(tmp_path: Path, ca: trustme.CA, nginx: Nginx) -> Path:
    """A directory with what belongs to us: ca.pem of the server, gate.pem of the proxy, client.pem and client.key."""
    client = ca.issue_cert("client@example.org")
    (tmp_path / "ca.pem").write_bytes(nginx.ca.read_bytes())
    ca.cert_pem.write_to_path(tmp_path / "gate.pem")
    (tmp_path / "client.pem").write_bytes(b"".join(blob.bytes() for blob in client.cert_chain_pems))
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    nginx.served()
    return tmp_path


def remote(here: Path, gate: str, **others: Any) -> Remote:
    settings = {
        "auth": Basic("elmer", "wabbit"),
        "tls": TLS(ca=here / "ca.pem", cert=here / "client.pem", key=here / "client.key"),
        "proxy": Proxy(gate, auth=Basic("user", "password"), tls=TLS(ca=here / "gate.pem")),
        "timeouts": Timeouts(connect=10, idle=15),
        "retries": Retries(count=0),
    }
    return Remote(**{**settings, **others})


async def test_from_a_worker_thread(here: Path, gate: str, nginx: Nginx) -> None:
    def work() -> list[int]:
        with BlockingDownloader(remote(here, gate)) as downloader:
            return [
                downloader.download(f"{nginx.https}private/bear.iso", ToFile(here / name)).size for name in ("a", "b")
            ]

    assert await deferToThread(work) == [len(BEAR)] * 2
    assert (here / "a").read_bytes() == (here / "b").read_bytes() == BEAR
    served = nginx.served()
    assert [each.status for each in served] == [200, 200]
    assert len({each.connection for each in served}) == 1


async def test_by_the_command(here: Path, gate: str, nginx: Nginx) -> None:
    (here / "word").write_text("wabbit")
    (here / "gateword").write_text("password")
    end = await run(
        *("get", f"{nginx.https}private/bear.iso", "-o", "a", "--retries", 0),
        *(
            "--cacert",
            "ca.pem",
            "--cert",
            "client.pem",
            "--key",
            "client.key",
            "-u",
            "elmer",
            "--password-file",
            "word",
        ),
        *("--proxy", gate, "--proxy-cacert", "gate.pem", "--proxy-user", "user", "--proxy-password-file", "gateword"),
        cwd=here,
    )

    assert end.code == 0, end.err
    assert (here / "a").read_bytes() == BEAR


async def test_in_the_configuration_of_the_streamer(reactor: Any, here: Path, gate: str, nginx: Nginx) -> None:
    settings = here / "settings.toml"
    settings.write_text(
        f"""
[remotes.bears]
url = "{nginx.https}private/"
user = "elmer"
password = "wabbit"
cacert = "ca.pem"
cert = "client.pem"
key = "client.key"
proxy = "{gate}"
proxy-user = "user"
proxy-password = "password"
proxy-cacert = "gate.pem"
tls-min = "1.2"
retries = 0
"""
    )
    settings.chmod(0o600)
    async with streamer(reactor, "--config", settings, "--passthrough", "/files=bears", cwd=here) as running:
        answer = await ask(running.url, "/files/bear.iso")

        assert (answer.status, answer.body) == (200, BEAR), running.log
        log = running.log
    assert "wabbit" not in log
    assert "password" not in log


async def test_by_the_names_that_pulp_has(reactor: Any, here: Path, gate: str, nginx: Nginx) -> None:
    """There the CA of the remote is the CA of its proxy, too."""
    options = {
        "url": f"{nginx.https}private/",
        "ca_cert": (here / "ca.pem").read_text() + (here / "gate.pem").read_text(),
        "client_cert": (here / "client.pem").read_text(),
        "client_key": (here / "client.key").read_text(),
        "tls_validation": True,
        "username": "elmer",
        "password": "wabbit",
        "proxy_url": gate,
        "proxy_username": "user",
        "proxy_password": "password",
        "max_retries": 0,
    }
    async with Downloader(reactor, Remote.from_pulp(options)) as downloader:
        report = await downloader.download(f"{nginx.https}private/bear.iso", ToFile(here / "a"))

    assert report.size == len(BEAR)
    assert (here / "a").read_bytes() == BEAR


async def test_each_of_its_parts_is_needed(reactor: Any, here: Path, gate: str, nginx: Nginx) -> None:
    """And it is told which one is missing; nothing is at the path then."""
    lacking: dict[type[DownloadError], dict[str, Any]] = {
        AuthFailed: {"auth": None},
        BadStatus: {"tls": TLS(ca=here / "ca.pem")},  # nginx says it in HTTP: 400
        ProxyFailed: {"proxy": Proxy(gate, auth=Basic("user", "wrong"), tls=TLS(ca=here / "gate.pem"))},
    }
    for kind, settings in lacking.items():
        async with Downloader(reactor, remote(here, gate, **settings)) as downloader:
            with pytest.raises(kind) as raised:
                await downloader.download(f"{nginx.https}private/bear.iso", ToFile(here / "a"))

        assert type(raised.value) is kind
        assert not (here / "a").exists()
        assert "wrong" not in str(raised.value)
