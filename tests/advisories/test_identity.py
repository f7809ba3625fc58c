"""
Who somebody is belongs to one connection: certificates, trust, sessions, and what a proxy is shown.

Each test has the name of an advisory; what else was of its kind stands in its docstring.
"""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from cryptography import x509

from pulp_dl import TLS, Basic, Proxy, Remote, Source
from pulp_dl.errors import DownloadError, ProxyFailed, TLSFailed
from pulp_dl.testing import (
    ESTABLISHED,
    Forward,
    OnConnect,
    Request,
    Send,
    ServerTLS,
    StartTLS,
    Tunnel,
    answer,
    redirect,
    response_head,
)
from tests.http.test_tls import signed
from tests.memory import CA, ONCE, TRUST, asking, client, identity, world

HOST = "https://a.example/"


def names(request: Request) -> list[str]:
    """Of the certificate that was shown with a request."""
    if not isinstance(request.certificate, x509.Certificate):
        return []
    shown = request.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return shown.get_values_for_type(x509.DNSName)


def test_cve_2026_8932_a_client_certificate_rides_on_no_connection_of_somebody_else() -> None:
    """Of curl; and nginx CVE-2025-23419, where a session that was resumed stood for the certificate."""
    remotes = [Remote(tls=client("alice"), retries=ONCE), Remote(tls=client("bob"), retries=ONCE), None]
    with world(tls=TRUST) as here:
        server = here.serve("a.example", answer(b"x"), tls=asking("a.example"))
        for remote in remotes * 3:
            here.get(Source(HOST, remote=remote))

        assert [names(each) for each in server.requests] == [["alice"], ["bob"], []] * 3
        assert server.connections.total == 3


def test_cve_2024_35195_what_was_not_verified_serves_nobody_who_verifies() -> None:
    """Of requests."""
    stranger = trustme.CA()
    unverified = Remote(tls=TLS(verify=False), retries=ONCE)
    with world(tls=TLS(ca=stranger.cert_pem.bytes())) as here:
        server = here.serve("a.example", answer(b"x"), tls=identity("a.example"))
        assert here.get(Source(HOST, remote=unverified)) == b"x"
        here.error(TLSFailed, HOST)
        assert here.get(Source(HOST, remote=unverified)) == b"x"

        assert len(server.requests) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cve_2026_3784_a_proxy_sees_each_of_its_users_on_a_connection_of_its_own(scheme: str) -> None:
    """Of curl; also CVE-2026-6429."""
    url = f"{scheme}://a.example/"
    with world(tls=TRUST) as here:
        tls = identity("a.example") if scheme == "https" else None
        here.serve("a.example", answer(b"x"), tls=tls)
        proxy = here.serve("proxy.example", OnConnect([ESTABLISHED, Tunnel()], Forward()), port=3128)
        users = [Basic("alice", "1"), Basic("bob", "2"), None]
        for user in users * 2:
            remote = Remote(tls=TRUST, proxy=Proxy("http://proxy.example:3128", user), retries=ONCE)
            assert here.get(Source(url, remote=remote)) == b"x"

        seen: dict[int, set[Any]] = {}
        for request in proxy.requests:
            seen.setdefault(request.connection, set()).add(request.get(b"proxy-authorization"))
        assert all(len(each) == 1 for each in seen.values())
        assert {one for each in seen.values() for one in each} == {
            Basic("alice", "1").header,
            Basic("bob", "2").header,
            None,
        }


def test_cve_2016_5419_a_session_is_resumed_by_nobody_else() -> None:
    """Of curl; also CVE-2017-7468 and CVE-2021-22890."""
    alice, bob = client("alice"), client("bob")
    with world(tls=TRUST) as here:
        server = here.serve("a.example", answer(b"x", headers=((b"Connection", b"close"),)), tls=asking("a.example"))
        for tls in (alice, bob, TRUST, alice, bob, TRUST):
            here.get(Source(HOST, remote=Remote(tls=tls, retries=ONCE)))

        assert [names(each) for each in server.requests] == [["alice"], ["bob"], []] * 2
        assert server.connections.total == 6


def test_cve_2009_2417_a_nul_ends_no_name_in_a_certificate() -> None:
    """Of curl."""
    for name in ("a.example\0.evil.example", "*", "*.example\0"):
        with world(tls=TRUST) as here:
            shown = signed(CA, [x509.DNSName(name)])
            server = here.serve("a.example", answer(b"x"), tls=ServerTLS(shown))
            here.error(TLSFailed, HOST)
            assert server.requests == []


def test_cve_2014_0139_a_wildcard_is_no_address() -> None:
    """Of curl."""
    with world(tls=TRUST) as here:
        server = here.serve("192.0.2.99", answer(b"x"), tls=ServerTLS(signed(CA, [x509.DNSName("*.0.2.99")])))
        here.error(TLSFailed, "https://192.0.2.99/")
        assert server.requests == []


@pytest.mark.parametrize("name", ["x*.example", "xn--l*.example", "*"])
def test_cve_2023_28321_a_part_of_an_international_name_is_no_wildcard(name: str) -> None:
    """Of curl."""
    with world(tls=TRUST) as here:
        server = here.serve("xn--lf-yia.example", answer(b"x"), tls=ServerTLS(signed(CA, [x509.DNSName(name)])))
        here.error(TLSFailed, "https://xn--lf-yia.example/")
        assert server.requests == []


# ---- proxies


def test_vu_905344_what_a_proxy_says_instead_of_a_tunnel_is_not_the_file() -> None:
    """FalseCONNECT."""
    for status in (200, 302, 403, 407, 502):
        said = answer(b"not the file", status, ((b"Location", b"https://evil.example/"),))
        with world(tls=TRUST, proxy=Proxy("http://proxy.example:3128")) as here:
            here.serve("a.example", answer(b"x"), tls=identity("a.example"))
            here.serve("proxy.example", said, port=3128)
            evil = here.serve("evil.example", answer(b"not the file"), tls=identity("evil.example"))
            # What is no 2xx is a refusal; behind a 200 TLS has to begin, and this is none.
            here.error(ProxyFailed if status != 200 else DownloadError, HOST)
            assert evil.requests == []


def test_cve_2021_22947_what_comes_before_tls_is_no_answer_within() -> None:
    """Of curl, for CONNECT; what FTP does of it has a test with the tests of FTP."""
    early = Send(ESTABLISHED.data + response_head(200, ((b"Content-Length", b"4"),)) + b"EVIL")
    with world(tls=TRUST, proxy=Proxy("http://proxy.example:3128")) as here:
        proxy = here.serve("proxy.example", [early, StartTLS(identity("a.example"))], port=3128)
        here.error(ProxyFailed, HOST)
        assert [each.method for each in proxy.requests] == ["CONNECT"]


def test_cve_2021_28363_the_name_of_a_proxy_is_looked_for_in_its_certificate() -> None:
    """Of urllib3."""
    for shown in ("other.example", "a.example"):
        remote = Remote(tls=TRUST, proxy=Proxy("https://proxy.example:3128", Basic("u", "p"), tls=TRUST), retries=ONCE)
        with world(remote) as here:
            here.serve("a.example", answer(b"x"), tls=identity("a.example"))
            proxy = here.serve(
                "proxy.example", OnConnect([ESTABLISHED, Tunnel()], Forward()), port=3128, tls=identity(shown)
            )
            for url in (HOST, "http://a.example/"):
                here.error(ProxyFailed, url)
            assert proxy.requests == []


def test_cve_2014_1830_what_is_for_a_proxy_is_shown_to_no_server() -> None:
    """Of requests; also its CVE-2023-32681 (a redirect to https) and CVE-2026-6253 of curl (through another proxy)."""
    user = Basic("user", "password")
    remote = Remote(tls=TRUST, proxy=Proxy("http://proxy.example:3128", user), retries=ONCE)
    with world(remote) as here:
        secure = here.serve("a.example", answer(b"x"), tls=identity("a.example"))
        here.serve("proxy.example", OnConnect([ESTABLISHED, Tunnel()], redirect(HOST)), port=3128)
        assert here.get("http://a.example/") == b"x"

        (request,) = secure.requests
        assert request.get(b"proxy-authorization") is None
        assert user.header not in request.raw
