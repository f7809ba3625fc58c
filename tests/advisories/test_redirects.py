"""
Where a server sends us, and what goes along.

Each test has the name of an advisory; what else was of its kind stands in its docstring.
"""

from __future__ import annotations

import gzip

import pytest

from pulp_dl import Basic, Remote, Source
from pulp_dl.errors import DownloadError, ProtocolError, Refused
from pulp_dl.testing import Nth, Request, Respond, answer, redirect
from tests.memory import ONCE, TRUST, identity, world

SECRETS = {b"authorization", b"cookie", b"x-auth-token"}
REMOTE = Remote(
    url="http://a.example/",
    auth=Basic("elmer", "wabbit"),
    headers=[("Cookie", "a=1"), ("X-Auth-Token", "1"), ("X-Auth-Token", "2")],
    tls=TRUST,
    retries=ONCE,
)


def secrets(request: Request) -> list[bytes]:
    return sorted(name.lower() for name, _ in request.headers if name.lower() in SECRETS)


ALL = [b"authorization", b"cookie", b"x-auth-token", b"x-auth-token"]


@pytest.mark.parametrize("to", ["http://b.example/", "https://a.example/", "http://a.example:8080/"])
def test_cve_2018_20060_another_origin_gets_no_credentials(to: str) -> None:
    """Of urllib3; scrapy CVE-2024-1968: another scheme or port of the same host is another origin."""
    with world(REMOTE) as here:
        first = here.serve("a.example", redirect(to))
        others = [
            here.serve("b.example", answer(b"x")),
            here.serve("a.example", answer(b"x"), tls=identity("a.example")),
            here.serve("a.example", answer(b"x"), port=8080),
        ]
        assert here.get("http://a.example/") == b"x"

        assert secrets(first.requests[0]) == ALL
        assert [secrets(request) for other in others for request in other.requests] == [[]]


def test_cve_2024_45336_they_do_not_return_with_the_chain() -> None:
    """Of Go."""
    with world(REMOTE) as here:
        first = here.serve("a.example", {"/": redirect("http://b.example/"), "/back": answer(b"x")})
        here.serve("b.example", redirect("http://a.example/back"))
        assert here.get("http://a.example/") == b"x"

        assert [secrets(each) for each in first.requests] == [ALL, []]


@pytest.mark.parametrize(
    "to",
    [
        "file:///etc/passwd",
        "ftp://b.example/",
        "ftps://b.example/",
        "sftp://b.example/",
        "data:text/plain,x",
        "gopher://b.example/",
        "ws://b.example/",
        "dict://b.example/",
        "storing://1",
    ],
)
def test_cve_2009_0037_a_redirect_leads_to_no_other_protocol(to: str) -> None:
    """Of curl; scrapy GHSA-23j4-mw76-5v7h."""
    with world(REMOTE) as here:
        here.serve("a.example", redirect(to))
        error = here.error(DownloadError, "http://a.example/")
        assert isinstance(error, Refused | ProtocolError)


def test_cve_2022_23607_a_cookie_is_for_its_own_host() -> None:
    """Of treq: cookies that were given for a request went to every host."""
    remote = Remote(url="http://a.example/", cookies=True, retries=ONCE)
    sets = ((b"Set-Cookie", b"session=1; Path=/"), (b"Set-Cookie", b"all=1; Domain=example"))
    with world(remote) as here:
        first = here.serve("a.example", {"/set": answer(b"x", headers=sets), "/go": redirect("http://b.example/")})
        second = here.serve("b.example", answer(b"x"))
        for url in ("http://a.example/set", "http://a.example/go", "http://b.example/"):
            here.get(url)

        assert [each.get(b"cookie") for each in first.requests] == [None, b"session=1"]
        assert [each.get(b"cookie") for each in second.requests] == [None, None]


def test_cve_2022_32205_cookies_without_end_break_no_request() -> None:
    """Of curl."""
    many = tuple((b"Set-Cookie", b"c%d=%b; Path=/" % (number, b"x" * 900)) for number in range(120))
    with world(Remote(url="http://a.example/", cookies=True, retries=ONCE)) as here:
        server = here.serve("a.example", answer(b"x", headers=many))
        for _ in range(3):
            assert here.get("http://a.example/") == b"x"

        assert all(len(each.raw) < 8192 for each in server.requests)


def test_cve_2019_3462_what_is_encoded_in_a_location_stays_encoded() -> None:
    """Of apt: its worker was told of the new place in lines of text, and the end of a line came with it."""
    location = "/b%0d%0aX-Evil:%201%0d%0a%0d%0aGET%20/c?d=%0a"
    with world() as here:
        server = here.serve("a.example", {"/": redirect(location), "/b": answer(b"x")})
        server.script = lambda request: redirect(location) if request.path == "/" else answer(b"x")
        body, report = here.fetch("http://a.example/")

        assert body == b"x"
        assert [each.target for each in server.requests] == ["/", location]
        assert report.head.url == "http://a.example" + location


def test_cve_2026_21441_the_body_of_a_redirect_is_neither_unpacked_nor_waited_for() -> None:
    """Of urllib3."""
    packed = gzip.compress(bytes(10_000_000))
    sent = answer(packed, 302, ((b"Location", b"/b"), (b"Content-Encoding", b"gzip")))
    endless = Respond(sent.entity, 302, sent.headers, "close")
    with world() as here:
        server = here.serve("a.example", {"/a": [Nth([sent, endless])], "/b": answer(b"x")})
        for _ in range(2):
            assert here.get(Source("http://a.example/a")) == b"x"
        assert [each.path for each in server.requests] == ["/a", "/b"] * 2
