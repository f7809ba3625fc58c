"""Which proxy leads where, as people write it into their environment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl import Proxies, Proxy, Remote
from pulp_dl.interfaces import IProxies
from pulp_dl.testing.strategies import urls
from pulp_dl.urls import parse

GATE = Proxy("http://gate.example:3128/")
OTHER = Proxy("http://other.example:3128/")


def directly(direct: str, url: str) -> bool:
    return Proxies(GATE, GATE, direct).to(parse(url)) is None


@pytest.mark.parametrize(
    ("direct", "inside", "outside"),
    [
        ("", [], ["http://example.org/"]),
        ("*", ["http://example.org/", "https://[::1]/", "http://10.0.0.1:8080/"], []),
        ("example.org", ["http://example.org/", "http://a.b.example.org:81/"], ["http://notexample.org/"]),
        (".example.org", ["http://example.org/", "http://a.example.org/"], ["http://example.org.evil/"]),
        ("*.Example.ORG.", ["http://EXAMPLE.org./", "http://a.example.org/"], ["http://example.com/"]),
        ("grüße.example", ["http://xn--gre-6ka8l.example/"], ["http://example/"]),
        ("org", ["http://example.org/"], ["http://example.com/"]),
        ("example.org:8080", ["http://a.example.org:8080/"], ["http://example.org/", "https://example.org/"]),
        ("example.org:443", ["https://example.org/"], ["http://example.org/"]),
        ("a.example, b.example c.example", [f"http://{x}.example/" for x in "abc"], ["http://d.example/"]),
        ("10.1.2.3", ["http://10.1.2.3/"], ["http://10.1.2.30/", "http://1.10.1.2.3.example/"]),
        ("10.1.2.3:81", ["http://10.1.2.3:81/"], ["http://10.1.2.3/"]),
        (
            "2.3, 1.2.3, .0, 1, 000001",
            [],
            ["http://10.1.2.3/", "http://10.0.0.0/", "http://127.1/", "http://0x7f.000001/"],
        ),
        ("127.0.0.1.", ["http://127.0.0.1/", "http://127.1/", "http://0x7f000001/"], ["http://127.0.0.2/"]),
        ("10.1.2.3, 10.9.0.0/16", ["http://10.1.2.3./", "http://10.9.0.1./"], []),
        ("10.0.0.0/8", ["http://10.1.2.3/", "http://10.0.0.0/"], ["http://11.0.0.1/", "http://[::1]/"]),
        ("10.1.2.3/8", ["http://10.200.0.1/"], ["http://11.0.0.1/"]),
        ("::1", ["http://[::1]/", "http://[0:0:0:0:0:0:0:1]:81/"], ["http://[::2]/", "http://127.0.0.1/"]),
        ("[::1]", ["http://[::1]/"], ["http://[::2]/"]),
        ("[::1]:81", ["http://[::1]:81/"], ["http://[::1]/"]),
        ("fd00::/8", ["http://[fd12::1]/"], ["http://[fe80::1]/", "http://10.0.0.1/"]),
        ("fe80::/10", ["http://[fe80::1%25eth0]/"], []),
        ("0.0.0.0/0", ["http://8.8.8.8/"], ["http://example.org/", "http://[::1]/"]),
        ("10.*, 300.1.1.1/8, :80, http://, a b", ["http://b/"], ["http://10.1.2.3/", "http://example.org/"]),
        ("10.0.0.0/33, 10.0.0.1/8:80, 10.0.0.2/x", [], [f"http://10.0.0.{x}/" for x in range(3)]),
        ("a/b, b@c, d?, e#, f\\", [], [f"http://{x}/" for x in "abcdef"]),
    ],
)
def test_what_no_proxy_says_is_reached_directly_and_nothing_else(
    direct: str, inside: list[str], outside: list[str]
) -> None:
    assert [url for url in inside if not directly(direct, url)] == []
    assert [url for url in outside if directly(direct, url)] == []


@given(st.text(), urls())
def test_a_proxy_alone_has_the_same_rules(direct: str, url: str) -> None:
    one, place = Proxy("http://gate.example:3128", direct=direct), parse(url)

    if place.scheme in {"http", "https"}:
        assert (one.to(place) is None) == directly(direct, url)
    assert Remote(proxy=one).proxy_for(place) is one.to(place)


def test_a_proxy_of_several_has_its_own_rules_beside_those_of_all() -> None:
    proxies = Proxies(Proxy("http://gate.example", direct="one.example"), OTHER, direct="all.example")

    assert proxies.to(parse("http://one.example/")) is None
    assert proxies.to(parse("https://one.example/")) is OTHER
    assert proxies.to(parse("https://all.example/")) is None
    assert proxies.to(parse("http://two.example/")) is proxies.http


@pytest.mark.parametrize("make", [Proxies, lambda direct: Proxy("http://h", direct=direct)])
def test_hosts_are_one_text(make: Any) -> None:
    """A list would be read letter by letter."""
    with pytest.raises(TypeError, match="direct: hosts in one str"):
        make(direct=["example.org"])


@given(st.text(), urls())
def test_whatever_no_proxy_says_there_is_an_answer_and_always_the_same(direct: str, url: str) -> None:
    assert directly(direct, url) == directly(direct, url)


@given(urls())
def test_a_host_that_is_named_is_reached_directly(url: str) -> None:
    place = parse(url)
    if place.scheme in {"http", "https"}:
        assert directly(place.host if ":" not in place.host else f"[{place.host.partition('%')[0]}]", url)


def test_each_scheme_has_its_own() -> None:
    proxies = Proxies(GATE, OTHER)

    assert proxies.to(parse("http://h/")) is GATE
    assert proxies.to(parse("https://h/")) is OTHER
    assert proxies.to(parse("ftp://h/")) is None
    assert GATE.to(parse("https://h/")) is GATE
    assert IProxies.providedBy(proxies)
    assert IProxies.providedBy(GATE)


def test_equal_ones_make_equal_remotes() -> None:
    """So they share their connections."""
    one, other = (Remote(proxy=Proxies(Proxy("http://gate.example:3128"), None, "x")) for _ in range(2))

    assert one == other
    assert hash(one) == hash(other)
    assert one != Remote(proxy=Proxies(GATE, None, "y"))


def test_what_is_no_proxy_is_refused() -> None:
    wrong: Any = "http://gate.example:3128"

    with pytest.raises(TypeError, match=r"Remote\.proxy"):
        Remote(proxy=wrong)


# ---- the environment


@pytest.mark.parametrize(
    ("environment", "http", "https"),
    [
        ({}, None, None),
        ({"http_proxy": "http://gate.example:3128"}, GATE, None),
        ({"https_proxy": "gate.example:3128"}, None, GATE),
        ({"all_proxy": "http://gate.example:3128"}, GATE, GATE),
        ({"ALL_PROXY": "http://gate.example:3128", "https_proxy": "http://other.example:3128"}, GATE, OTHER),
        ({"HTTP_PROXY": "http://gate.example:3128"}, GATE, None),
        ({"HTTP_PROXY": "http://other.example:3128", "http_proxy": "http://gate.example:3128"}, GATE, None),
        ({"all_proxy": "socks5h://h"}, Proxy("socks5h://h:1080"), Proxy("socks5h://h:1080")),
        ({"https_proxy": "https://h", "http_proxy": "socks5://h:1"}, Proxy("socks5://h:1"), Proxy("https://h:443")),
        ({"HTTP_PROXY": "http://evil.example", "REQUEST_METHOD": "GET"}, None, None),
        ({"http_proxy": "http://gate.example:3128", "REQUEST_METHOD": "GET"}, GATE, None),
        ({"http_proxy": "", "HTTP_PROXY": "http://gate.example:3128"}, None, None),
        (
            {"http_proxy": "gate.example:3128", "https_proxy": "other.example:3128", "all_proxy": "socks://h"},
            GATE,
            OTHER,
        ),
    ],
)
def test_the_environment_says_it_as_it_says_it_to_others(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], http: Proxy | None, https: Proxy | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    found = Proxies.from_environment()
    assert (found.http, found.https) == (http, https)


def test_what_knows_no_proxies_is_not_led_around_the_one_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """So its protocol refuses it; those that are for one scheme are for no other one."""
    monkeypatch.setenv("http_proxy", "http://gate.example:3128")
    monkeypatch.setenv("ftp_proxy", "http://gate.example:3128")
    assert Proxies.from_environment().to(parse("sftp://h/")) is None
    monkeypatch.setenv("all_proxy", "socks5h://h")
    found = Proxies.from_environment()

    assert [found.to(parse(f"{each}://h/")) for each in ("ftps", "sftp")] == [Proxy("socks5h://h:1080")] * 2
    assert found.to(parse("ftp://h/")) == found.to(parse("http://h/")) == GATE


def test_no_proxy_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:password@gate.example:3128")
    monkeypatch.setenv("NO_PROXY", "example.org")
    proxies = Proxies.from_environment()

    assert proxies.to(parse("http://example.org/")) is None
    assert proxies.to(parse("http://example.com/")) is not None
    assert "password" not in repr(proxies)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("all_proxy", "socks4://elmer:hunter2@h:1080"),
        ("https_proxy", "http://elmer:hunter2@ h"),
        ("http_proxy", f"socks5://hunter2{'2' * 256}:x@h"),
        ("all_proxy", "socks5h://hunter2@h"),
        ("http_proxy", "http://el%3Amer:hunter2@h"),
    ],
)
def test_what_cannot_be_used_is_never_gone_around(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """It is an error that names the variable, and repeats no password."""
    monkeypatch.setenv(name, value)

    with pytest.raises(ValueError, match=f"^{name}: ") as raised:
        Proxies.from_environment()
    assert "hunter2" not in str(raised.value)


def test_a_remote_without_being_asked_to_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://gate.example:3128")

    assert Remote().proxy_for(parse("http://h/")) is None
