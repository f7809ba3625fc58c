"""What an FTP URL asks for, and what it can never say to a server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.threads import deferToThread

from pulp_dl.errors import DownloadError, NotFound, Refused
from pulp_dl.model.remote import Remote
from pulp_dl.model.source import Source
from pulp_dl.protocols.ftp import FTPFetcher
from pulp_dl.protocols.ftp.target import path_of, uses_implicit_tls
from pulp_dl.testing import FaultFTP
from pulp_dl.urls import parse
from tests.ftp.conftest import MakeFetcher, put
from tests.ftp.vsftpd import Vsftpd
from tests.sinks import read, sharing


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a", b"a"),
        ("/a/b.iso", b"a/b.iso"),
        ("//a", b"/a"),
        ("/%2Fetc/motd", b"/etc/motd"),
        ("/a%20b", b"a b"),
        ("/ä", "ä".encode()),
        ("/%E4", b"\xe4"),
        ("/a;type=i", b"a"),
        ("/a;TYPE=I", b"a"),
        ("/a;b", b"a;b"),
        ("/a%3Btype=a", b"a;type=a"),
        ("/a?b=c", b"a?b=c"),
        ("/a%3Fb", b"a?b"),
        ("/a/../b", b"a/../b"),
        ("/%25", b"%"),
    ],
)
def test_a_path_is_decoded_once_and_relative_to_the_login(target: str, path: bytes) -> None:
    assert path_of(parse(f"ftp://host{target}")) == path


@pytest.mark.parametrize("target", ["", "/", "/a/", "/a;type=a", "/a;type=d", "/a;type=", "/a%2F"])
def test_what_is_no_file_of_bytes_is_refused(target: str) -> None:
    with pytest.raises(Refused) as caught:
        path_of(parse(f"ftp://host{target}"))
    assert "ftp://host/" in str(caught.value)


@pytest.mark.parametrize("code", [*range(32), 127])
async def test_a_control_character_in_a_path_is_refused_before_anybody_is_asked(
    reactor: Any, fetching: MakeFetcher, code: int
) -> None:
    """aria2 says C{DELE important} for it; Twisted's client sends the CR, and a NUL for the LF."""
    async with FaultFTP(reactor, {}) as server:
        url = server.url(f"/a%{code:02x}%0d%0aDELE%20important")
        for ask in (fetching().open, fetching().head):
            with pytest.raises(Refused, match="control character"):
                await ask(Source(url))
        assert server.connections.total == 0


@given(name=st.binary(min_size=1, max_size=20))
@example(name=b"a\r\nDELE b")
@example(name=b"\xff\xf4")
async def test_whatever_a_URL_holds_one_path_is_one_line(reactor: Any, name: bytes) -> None:
    """What the server hears between its line ends is a command and just that path."""
    async with FaultFTP(reactor, {}) as server, sharing(reactor) as shared:
        with pytest.raises(DownloadError) as caught:
            await FTPFetcher(reactor, Remote(), shared).open(Source(server.url("/" + quote(name, safe=""))))
        heard = [each.raw for each in server.requests]
    if isinstance(caught.value, NotFound):
        assert heard[3:] == [b"SIZE " + name, b"MDTM " + name]
    else:
        assert isinstance(caught.value, Refused)
        assert heard == []


@pytest.mark.parametrize(
    ("url", "implicit"),
    [
        ("ftps://host/a", True),
        ("ftps://host:990/a", True),
        ("ftps://host:21/a", False),
        ("ftps://host:2121/a", False),
        ("ftp://host/a", False),
        ("ftp://host:990/a", False),
    ],
)
def test_TLS_comes_first_on_port_990_alone(url: str, *, implicit: bool) -> None:
    assert uses_implicit_tls(parse(url)) is implicit


NAMES = [
    "plain.iso",
    "with space",
    "ümläut/日本.txt",
    "a?b=c&d",
    "semi;colon",
    "per%cent",
    "#hash",
    "'q\"",
    "a+b@c",
    "~x",
]


@pytest.mark.parametrize("name", NAMES)
async def test_names_are_those_that_curl_asks_for(
    fetching: MakeFetcher, vsftpd: Vsftpd, program: Callable[[str], str], name: str
) -> None:
    put(vsftpd.root, name, name.encode())
    url = vsftpd.url(quote(name))
    _, data = await read(fetching(), url)
    curl = await deferToThread(
        subprocess.run, [program("curl"), "-s", "--fail", url], capture_output=True, check=True, timeout=10
    )
    assert data == curl.stdout == name.encode()
