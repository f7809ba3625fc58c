"""Whose connections can stand in for whose: every difference that a server or a proxy could see is one of the key."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import trustme

from pulp_dl import TLS, Basic, Proxy, Remote
from pulp_dl.protocols.http.proxy import Route, route
from pulp_dl.urls import parse
from tests.http.conftest import trusting

GATE = "http://gate.example:3128"


def to(url: str, *, inside: bool = True, **settings: Any) -> Route:
    return route(None, Remote(**settings), parse(url), inside=inside)


def test_whatever_differs_has_a_key_of_its_own(ca: trustme.CA) -> None:
    trust, other = trusting(ca), trusting(trustme.CA())
    who = ca.issue_cert("client").private_key_and_cert_chain_pem.bytes()
    certificate = trusting(ca, cert=who, key=who)
    auth = Basic("user", "password")
    ways = {
        "http": to("http://a.example/"),
        "another host": to("http://b.example/"),
        "another port": to("http://a.example:81/"),
        "https": to("https://a.example/"),
        "https on the port of http": to("https://a.example:80/"),
        "a private trust": to("https://a.example/", tls=trust),
        "another trust": to("https://a.example/", tls=other),
        "a certificate": to("https://a.example/", tls=certificate),
        "no check of names": to("https://a.example/", tls=TLS(verify=False)),
        "a proxy": to("http://a.example/", proxy=Proxy(GATE)),
        "another proxy": to("http://a.example/", proxy=Proxy("http://other.example:3128")),
        "who we are to it": to("http://a.example/", proxy=Proxy(GATE, auth)),
        "its own trust": to("http://a.example/", proxy=Proxy("https://gate.example:3128", tls=trust)),
        "another trust in it": to("http://a.example/", proxy=Proxy("https://gate.example:3128", tls=other)),
        "a tunnel": to("https://a.example/", proxy=Proxy(GATE)),
        "a tunnel to another host": to("https://b.example/", proxy=Proxy(GATE)),
        "a tunnel to another port": to("https://a.example:444/", proxy=Proxy(GATE)),
        "a tunnel with another trust": to("https://a.example/", proxy=Proxy(GATE), tls=trust),
        "a tunnel of another proxy": to("https://a.example/", proxy=Proxy("http://other.example:3128")),
        "a tunnel of somebody": to("https://a.example/", proxy=Proxy(GATE, auth)),
        "through SOCKS": to("http://a.example/", proxy=Proxy("socks5://gate.example:3128")),
        "through SOCKS that looks up names": to("http://a.example/", proxy=Proxy("socks5h://gate.example:3128")),
    }
    for (one, way), (another, other_way) in combinations(ways.items(), 2):
        assert way.key != other_way.key, f"{one}, {another}"


def test_what_makes_no_difference_to_the_other_end_makes_none(ca: trustme.CA) -> None:
    trust, auth = trusting(ca), Basic("user", "password")
    pairs = [
        (to("http://a.example/x?y"), to("http://a.example:80/z", tls=trust, auth=auth)),
        (to("https://a.example/x", tls=trust), to("https://a.example:443/z", tls=trusting(ca))),
        (to("http://a.example/", proxy=Proxy(GATE)), to("http://b.example:81/", proxy=Proxy(GATE), tls=trust)),
        (to("https://a.example/", proxy=Proxy(GATE, auth)), to("https://a.example/z", proxy=Proxy(GATE, auth))),
        (to("http://a.example/"), to("http://a.example/", inside=False)),
    ]
    for one, other in pairs:
        assert one.key == other.key
        assert hash(one.key) == hash(other.key)


def test_a_stranger_gets_no_certificate_and_none_of_its_connections(ca: trustme.CA) -> None:
    who = ca.issue_cert("client").private_key_and_cert_chain_pem.bytes()
    mine = trusting(ca, cert=who, key=who)

    outside = to("https://a.example/", tls=mine, inside=False)
    assert outside.key != to("https://a.example/", tls=mine).key
    assert outside.key == to("https://a.example/", tls=mine.public()).key


def test_the_limit_for_a_host_counts_those_whom_sockets_lead_to() -> None:
    assert to("http://a.example/").key.host == to("http://a.example:80/").key.host == ("a.example", 80)
    for url in ("http://a.example/", "https://b.example/"):
        assert to(url, proxy=Proxy(GATE)).key.host == ("gate.example", 3128)


def test_who_is_told_what() -> None:
    """A proxy that reads a request has the whole URL and its own credentials; whoever is in a tunnel has neither."""
    auth = Basic("user", "password")
    read = to("http://a.example:81/x?y", proxy=Proxy(GATE, auth))
    assert (read.proxied, read.cut, read.host) == (True, 0, b"a.example:81")
    assert read.fields == ((b"Proxy-Authorization", auth.header),)
    assert to("http://a.example/", proxy=Proxy(GATE)).fields == ()

    for way, scheme in (
        (to("https://a.example:444/x?y", proxy=Proxy(GATE, auth)), "https"),
        (to("http://a.example:444/x?y", proxy=Proxy("socks5://gate.example", auth)), "http"),
        (to("http://a.example:444/x?y"), "http"),
    ):
        assert (way.proxied, way.fields, way.host) == (False, (), b"a.example:444")
        assert way.cut == len(f"{scheme}://a.example:444")
