"""A URL that is taken is read by others as we read it: there is no second host in it (curl's SSRF tricks)."""

from __future__ import annotations

from urllib.parse import urlsplit

import hyperlink
import pytest
from hypothesis import event, given

from pulp_dl import Source
from pulp_dl.testing.strategies import urls
from pulp_dl.urls import InvalidURL, parse


def port_of(scheme: str, port: int | None) -> int:
    return port or {"http": 80, "https": 443, "ftp": 21}[scheme]


@given(text=urls("http", odd=True))
def test_whatever_a_url_looks_like_others_see_the_same_host_in_what_we_make_of_it(text: str) -> None:
    try:
        found = parse(text)
    except InvalidURL as error:
        event("refused")
        assert str(error).isprintable()
        return
    said = str(found)
    assert said.isascii()
    assert said.isprintable()
    assert " " not in said
    assert "\\" not in said.partition("?")[0]
    by_python, by_hyperlink = urlsplit(said), hyperlink.URL.from_text(said)
    assert found.host == by_python.hostname == by_hyperlink.host.strip("[]").lower()
    assert found.port == port_of("http", by_python.port) == by_hyperlink.port
    assert str(parse(said)) == said


@given(text=urls("http", odd=True))
def test_and_what_a_caller_wrote_leads_to_the_host_that_stands_there(text: str) -> None:
    """If another reader sees another host in the very text, it is not taken."""
    try:
        found = Source(text).place
    except ValueError:
        return
    read = urlsplit(text)
    host = read.hostname or ""
    assert found.host == (host if host.isascii() else host.encode("idna").decode())
    assert "evil" not in found.host


@pytest.mark.parametrize(
    "text", ["http://h\\@evil.example/", "http://a@b@evil.example\\/", "http://h\t/", "http://[::1/"]
)
def test_some_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidURL):
        parse(text)
