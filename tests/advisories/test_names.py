"""
Names, paths and commands that hold more than they should.

Each test has the name of an advisory; what else was of its kind stands in its docstring.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import DNSLookupError

from pulp_dl import Basic, Downloader, Proxies, Proxy, Remote, Source, ToFile, ToMemory
from pulp_dl.errors import ConnectFailed, DownloadError
from pulp_dl.importers.file import ManifestError, read_manifest
from pulp_dl.mirrors.metalink_xml import read_metalink
from pulp_dl.testing import FaultFTP, FaultServer, Port, answer, redirect, reply
from pulp_dl.urls import InvalidURL, parse
from tests.cli.command import files, run
from tests.memory import ONCE, world

ESCAPES = ["../x", "a/../../x", "/x", "..", "a//x", "a\\..\\x", "a\0x", "x/"]


# ---- URLs and fields


@pytest.mark.parametrize("part", ["\r\nX-Evil: 1", "\n", "\r", "\0", " HTTP/1.1\r\nHost: b\r\n\r\nGET /"])
def test_cve_2019_12387_no_end_of_a_line_comes_into_a_request(part: str) -> None:
    """Of Twisted: in the method and in the URL; here in everything that a caller or a server may say."""
    with world() as here:
        server = here.serve("a.example", {"/": answer(b"x"), "/to": redirect(f"/{part}")})
        server.script = lambda request: redirect(f"/x{part}") if request.path == "/to" else answer(b"x")
        for url in (f"http://a.example/{part}", "http://a.example/to"):
            with contextlib.suppress(DownloadError, ValueError):
                here.get(url)
        for make in (
            lambda: Source("http://a.example/", headers={"X": part}),
            lambda: Source("http://a.example/", headers={"X" + part: "1"}),
            lambda: Source("http://a.example/", conditions={"If-Range": part}),
            lambda: Remote(headers={"User-Agent": part}),
            lambda: Basic("user", part),
        ):
            with pytest.raises(ValueError, match=r"."):
                make()
        for request in server.requests:
            assert request.raw.count(b"\r\n\r\n") == 1
            assert request.get(b"x-evil") is None
            assert not {0, 10, 13} & {*request.raw.replace(b"\r\n", b"")}


def test_cve_2020_8169_no_password_is_looked_up_as_a_name() -> None:
    """Of curl: a part of it became part of the host's name."""
    asked: list[str] = []
    passwords = ["p%40w%3A%2F%23", "wabbit", "a%20b", "%F0%9F%90%BB"]
    with world() as here:
        here.serve("a.example", answer(b"x"))
        network: Any = here.network
        resolve = network.resolveHostName

        def listening(receiver: Any, name: str, *arguments: Any, **how: Any) -> Any:
            asked.append(name)
            return resolve(receiver, name, *arguments, **how)

        network.resolveHostName = listening
        for password in passwords:
            assert here.get(f"http://elmer:{password}@a.example/") == b"x"
            # Ambiguous ones are refused before anybody is asked.
        for url in ("http://elmer:p@w@a.example/", "http://elmer:p#@a.example/", "http://a.example\\@b.example/"):
            error: Exception
            try:
                here.get(url)
            except (DownloadError, ValueError) as raised:
                error = raised
                assert "p@w" not in str(error)

    assert {*asked} <= {"a.example"}


def test_cve_2026_8927_hosts_that_are_reached_directly_are_those_that_are_named() -> None:
    """Of curl: rules of no_proxy that fell through for some spellings."""
    proxies = Proxies(http=Proxy("http://proxy.example:3128"), direct="b.example, 192.0.2.0/24, .dotted.example")
    for url, covered in {
        "http://b.example/": True,
        "http://B.EXAMPLE./": True,
        "http://x.b.example/": True,
        "http://notb.example/": False,
        "http://b.example.evil/": False,
        "http://192.0.2.9/": True,
        "http://192.0.3.9/": False,
        "http://x.dotted.example/": True,
    }.items():
        try:
            place = parse(url)
        except InvalidURL:
            continue  # what is refused goes nowhere
        assert (proxies.to(place) is None) is covered, url


# ---- names of files


@pytest.mark.limit(40)
@pytest.mark.parametrize("named", ["../evil", "/tmp/evil", "evil", "a\\evil"])
async def test_cve_2019_20916_what_a_server_calls_a_file_is_not_what_it_is_called_here(
    reactor: Any, tmp_path: Path, named: str
) -> None:
    """Of pip; also CVE-2010-3842 of curl."""
    fields = ((b"Content-Disposition", b'attachment; filename="%b"' % named.encode()),)
    async with FaultServer(reactor, {"/a/file": redirect("/b/..%2fother"), "/b/..%2fother": answer(b"x")}) as server:
        server.script = lambda request: (
            redirect("/b/..%2fother") if request.path == "/a/file" else answer(b"x", headers=fields)
        )
        end = await run("get", server.url("/a/file"), "-d", "here", cwd=tmp_path)

    assert end.code == 0, end.err
    assert files(tmp_path) == {"here/file": b"x"}


@pytest.mark.parametrize("path", ESCAPES)
def test_cve_2020_14352_no_path_of_a_list_leads_out_of_its_directory(path: str, tmp_path: Path) -> None:
    """Of librepo; metalinks have CVE-2010-1512 of aria2."""
    line = f"{path},{'0' * 64},1\n"
    bad: list[ManifestError] = []
    good = [*read_manifest(line, "http://a.example/PULP_MANIFEST", bad=bad.append)]
    assert [*good] == []
    assert len(bad) == 1

    told: list[Any] = []
    ToFile(path, root=tmp_path / "root").gone().addCallback(told.append)
    if "\\" not in path and "//" not in path:  # which are names to who names a file here
        assert len(told) == 1


@pytest.mark.parametrize("name", ESCAPES)
def test_cve_2010_1512_no_name_of_a_metalink_leads_out_of_its_directory(name: str) -> None:
    """Of aria2."""
    escaped = name.replace("\0", "&#0;")
    text = f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="{escaped}"><url>http://a/x</url></file></metalink>'
    with pytest.raises(ValueError, match=r"."):
        read_metalink(text.encode(), "http://a.example/m")


async def test_cve_2022_32207_what_is_replaced_gives_no_permissions(reactor: Any, tmp_path: Path) -> None:
    """Of curl: a file came to have more permissions than the umask allows."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o4777)
    before = os.umask(0o077)
    try:
        async with (
            FaultServer(reactor, answer(b"new")) as server,
            Downloader(reactor, Remote(retries=ONCE)) as downloader,
        ):
            await downloader.download(server.url("/f"), ToFile(path))
    finally:
        os.umask(before)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == 0o600


# ---- FTP


async def test_cve_2020_8284_a_server_sends_us_to_no_other_address(reactor: Any) -> None:
    """Of curl; also CVE-2021-4189 of CPython."""
    elsewhere = Port(b"227 Entering Passive Mode (192,0,2,1,%(high)d,%(low)d)\r\n")
    consumer = ToMemory()
    async with (
        FaultFTP(reactor, {"a": b"here"}, {"EPSV": reply(500), "PASV": elsewhere}) as server,
        Downloader(reactor, Remote(retries=ONCE)) as downloader,
    ):
        await downloader.download(server.url("/a"), consumer)

    assert consumer.data == b"here"


@pytest.mark.parametrize("part", ["%0d%0aDELE%20x", "%0a", "%0d", "%00", "%7f"])
async def test_commands_of_ftp_hold_one_line(reactor: Any, part: str) -> None:
    """What aria2 1.36 and Twisted's own client let through, in a path, a user or a password."""
    async with FaultFTP(reactor, {"a": b"here"}) as server, Downloader(reactor, Remote(retries=ONCE)) as downloader:
        for url in (
            server.url(f"/a{part}"),
            server.url("/a").replace("//", f"//u{part}:p@"),
            server.url("/a").replace("//", f"//u:p{part}@"),
        ):
            with pytest.raises((DownloadError, ValueError)):
                await downloader.download(url, ToMemory())

        assert not any("DELE" in each for each in server.commands)


def test_what_is_no_host_is_looked_up_once_and_said_without_the_password() -> None:
    with world() as here:
        error = here.error(ConnectFailed, "http://elmer:wabbit@nowhere.example/")
        assert isinstance(error.__cause__, DNSLookupError) or "nowhere.example" in str(error)
        assert "wabbit" not in f"{error} {error!r} {error.attempts!r}"
