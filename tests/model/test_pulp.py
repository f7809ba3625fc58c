"""A remote by Pulp's own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import evolve
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl import TLS, Basic, Limits, Proxy, Remote, Retries, Timeouts
from pulp_dl.model.pulp import OPTIONS

SECRET = "Sesame77"
LAX = TLS(verify=False)
DEFAULT = Remote(retries=Retries(count=3))
"""What Pulp does if nothing is said."""


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def client(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert("elmer@example.org")


def text(blob: trustme.Blob) -> str:
    return blob.bytes().decode()


# ---- what each option means


def test_nothing_and_none_are_pulps_defaults() -> None:
    assert Remote.from_pulp({}) == DEFAULT
    assert Remote.from_pulp(dict.fromkeys(OPTIONS)) == DEFAULT
    assert DEFAULT.limits.connections == DEFAULT.limits.per_host == 10


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"url": "https://repo.example.org/a/"}, {"url": "https://repo.example.org/a/"}),
        ({"tls_validation": True}, {}),
        ({"tls_validation": False}, {"tls": TLS(verify=False)}),
        ({"username": "elmer", "password": SECRET}, {"auth": Basic("elmer", SECRET)}),
        ({"username": "elmer"}, {"auth": Basic("elmer", "")}),
        ({"username": "", "password": "", "proxy_url": ""}, {}),
        ({"url": f"https://elmer:{SECRET}@h/"}, {"url": "https://h/", "auth": Basic("elmer", SECRET)}),
        ({"proxy_url": "http://gateway.example.org:3128"}, {"proxy": Proxy("http://gateway.example.org:3128")}),
        (
            {"proxy_url": "http://g:3128", "proxy_username": "bugs", "proxy_password": SECRET},
            {"proxy": Proxy("http://g:3128", Basic("bugs", SECRET))},
        ),
        ({"proxy_url": "socks5h://g", "tls_validation": False}, {"tls": LAX, "proxy": Proxy("socks5h://g:1080")}),
        ({"proxy_url": "https://g", "tls_validation": False}, {"tls": LAX, "proxy": Proxy("https://g:443", tls=LAX)}),
        ({"proxy_url": f"http://bugs:{SECRET}@g:1"}, {"proxy": Proxy("http://g:1", Basic("bugs", SECRET))}),
        ({"total_timeout": 300.0}, {"timeouts": Timeouts(total=300)}),
        ({"connect_timeout": 5}, {"timeouts": Timeouts(connect=5)}),
        ({"sock_connect_timeout": 7.5}, {"timeouts": Timeouts(connect=7.5)}),
        ({"connect_timeout": 60, "sock_connect_timeout": 10}, {"timeouts": Timeouts(connect=10)}),
        ({"sock_read_timeout": 10}, {"timeouts": Timeouts(head=10, idle=10)}),
        ({"sock_read_timeout": 600}, {"timeouts": Timeouts(head=600, idle=600, low_speed_window=600)}),
        (
            {"total_timeout": 0, "connect_timeout": 0.0, "sock_connect_timeout": 0, "sock_read_timeout": 0},
            {},
        ),
        ({"headers": []}, {}),
        (
            {"headers": [{"X-A": "1", "X-B": "2"}, {"X-A": "3"}]},
            {"headers": (("X-A", "1"), ("X-B", "2"), ("X-A", "3"))},
        ),
        ({"headers": [{"User-Agent": "bears/1"}]}, {"headers": (("User-Agent", "bears/1"),)}),
        ({"download_concurrency": 3}, {"limits": Limits(connections=3, per_host=3)}),
        ({"download_concurrency": 50}, {"limits": Limits(connections=50, per_host=50)}),
        ({"max_retries": 7}, {"retries": Retries(count=7)}),
        ({"max_retries": 0}, {"retries": Retries(count=0)}),
        ({"rate_limit": 5}, {"limits": Limits(requests_per_second=5)}),
        ({"rate_limit": 0}, {}),
    ],
    ids=str,
)
def test_each_option_means_what_it_means_to_pulp(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Remote.from_pulp(options) == evolve(DEFAULT, **expected)


def test_certificates_are_pem_text(ca: trustme.CA, client: trustme.LeafCert) -> None:
    chain = "".join(map(text, client.cert_chain_pems))
    remote = Remote.from_pulp(
        {"ca_cert": text(ca.cert_pem), "client_cert": chain, "client_key": text(client.private_key_pem)}
    )

    assert remote == evolve(DEFAULT, tls=TLS(ca=text(ca.cert_pem), cert=chain, key=text(client.private_key_pem)))
    assert remote.tls.private_key is not None
    assert remote.tls.system


def test_a_proxy_is_trusted_as_the_remote_is_and_not_shown_its_certificate(
    ca: trustme.CA, client: trustme.LeafCert
) -> None:
    identity = text(client.private_key_pem) + "".join(map(text, client.cert_chain_pems))
    remote = Remote.from_pulp({"ca_cert": text(ca.cert_pem), "client_cert": identity, "proxy_url": "https://g:3129"})

    assert remote.tls.private_key is not None
    assert remote.proxy == Proxy("https://g:3129", tls=TLS(ca=text(ca.cert_pem)))


def test_all_of_them_go_together(ca: trustme.CA) -> None:
    options = {
        "url": "https://repo.example.org/",
        "ca_cert": text(ca.cert_pem),
        "client_cert": None,
        "client_key": None,
        "tls_validation": True,
        "username": "elmer",
        "password": SECRET,
        "proxy_url": "http://g:3128",
        "proxy_username": "bugs",
        "proxy_password": SECRET,
        "total_timeout": 300,
        "connect_timeout": 20,
        "sock_connect_timeout": 10,
        "sock_read_timeout": 30,
        "headers": [{"X-Token": SECRET}],
        "download_concurrency": 4,
        "max_retries": 2,
        "rate_limit": 8,
    }
    assert {*options} == {*OPTIONS}
    remote = Remote.from_pulp(options)

    assert remote == Remote(
        url="https://repo.example.org/",
        tls=TLS(ca=text(ca.cert_pem)),
        auth=Basic("elmer", SECRET),
        proxy=Proxy("http://g:3128", Basic("bugs", SECRET)),
        headers={"X-Token": SECRET},
        timeouts=Timeouts(total=300, connect=10, head=30, idle=30),
        limits=Limits(connections=4, per_host=4, requests_per_second=8),
        retries=Retries(count=2),
    )
    assert SECRET not in repr(remote)


# ---- what is refused, and by which name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("proxy", r"did you mean proxy_url\?|did you mean proxy_"),
        ("tls_verification", r"did you mean tls_validation\?"),
        ("retries", r"did you mean max_retries\?"),
        ("connection_timeout", r"did you mean connect_timeout\?"),
        ("xyz", r"there are: url, ca_cert, .*rate_limit"),
        (5, r"^5 is no option"),
        ("policy", r"^policy: says nothing about how to download; leave it out$"),
        ("name", r"^name: says nothing about how to download"),
    ],
)
def test_what_pulp_does_not_know_is_refused(name: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Remote.from_pulp({name: 5})
    with pytest.raises(ValueError, match=words):
        Remote.from_pulp({name: None})


@given(st.text(max_size=20).filter(lambda name: name not in OPTIONS))
def test_whatever_name_is_unknown_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no option of a remote of Pulp|says nothing about"):
        Remote.from_pulp({name: "x"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "repo.example.org"}, r"^url: not an absolute URL"),
        ({"url": 5}, r"^url: "),
        ({"url": f"https://el%3Amer:{SECRET}@h/"}, r"^url: a colon"),
        ({"tls_validation": "false"}, r"^tls_validation: True or False is needed, not str"),
        ({"ca_cert": "-----BEGIN CERTIFICATE-----\nMII\n"}, r"^ca_cert: PEM text: "),
        ({"ca_cert": "missing.pem"}, r"^ca_cert: 'missing.pem': there is no such file"),
        ({"ca_cert": 5}, r"^ca_cert: a path or PEM text is needed, not int"),
        ({"client_key": "x"}, r"^client_key: of no use without client_cert; give the certificate too"),
        ({"password": SECRET}, r"^password: of no use without username; give that too$"),
        ({"username": "el:mer"}, r"^username: a colon"),
        ({"username": 5}, r"^username: a str is needed, not int$"),
        ({"username": "elmer", "password": f"{SECRET}\n"}, r"^password: a control character"),
        ({"url": "https://bugs@h/", "username": "elmer"}, r"^username: there is a user in url, too"),
        ({"proxy_username": "bugs", "proxy_password": SECRET}, r"^proxy_username: of no use without proxy_url"),
        ({"proxy_password": SECRET}, r"^proxy_password: of no use without proxy_url"),
        ({"proxy_url": "http://g", "proxy_password": SECRET}, r"^proxy_password: of no use without proxy_username"),
        ({"proxy_url": "http://g", "proxy_username": "b"}, r"^proxy_username: of no use without proxy_password"),
        (
            {"proxy_url": "http://bugs@g", "proxy_username": "b", "proxy_password": SECRET},
            r"^proxy_username: there is a user in proxy_url, too",
        ),
        ({"proxy_url": "socks4://g"}, r"^proxy_url: 'socks4://g/?' has to begin with http://"),
        ({"proxy_url": f"socks5://{'u' * 256}:x@g"}, r"^proxy_url: for a SOCKS proxy a user has from 1 to 255 bytes"),
        (
            {"proxy_url": "socks5://g", "proxy_username": "b", "proxy_password": "w" * 256},
            r"^proxy_username: for a SOCKS proxy a password has from 1 to 255 bytes",
        ),
        ({"proxy_url": "gateway"}, r"^proxy_url: not an absolute URL"),
        ({"total_timeout": -1}, r"^total_timeout: -1 is no positive number"),
        ({"connect_timeout": "10"}, r"^connect_timeout: '10' is no positive number"),
        ({"sock_connect_timeout": float("nan")}, r"^sock_connect_timeout: nan is no"),
        ({"sock_read_timeout": True}, r"^sock_read_timeout: True is no positive number"),
        ({"headers": {"X-A": SECRET}}, r"^headers: Pulp has a list of objects here"),
        ({"headers": SECRET}, r"^headers: Pulp has a list"),
        ({"headers": [("X-A", SECRET)]}, r"^headers: Pulp has a list"),
        ({"headers": [{"X A": SECRET}]}, r"^headers: the name of field 1 is none"),
        ({"headers": [{"X-A": 5}]}, r"^headers: a value has to be str"),
        ({"headers": [{"authorization": SECRET}], "username": "elmer"}, r"^headers: there is an Authorization"),
        ({"download_concurrency": 0}, r"^download_concurrency: 0 has to be a whole number, 1 or more$"),
        ({"download_concurrency": 2.5}, r"^download_concurrency: 2.5 has to be a whole number"),
        ({"max_retries": -1}, r"^max_retries: -1 has to be a whole number"),
        ({"rate_limit": -5}, r"^rate_limit: -5 is no positive number; give one, or None for no limit$"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_by_pulps_name_and_no_secret_is_told(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        Remote.from_pulp(options)

    assert SECRET not in f"{caught.value} {caught.value.__cause__}"
    for ours in ("TLS.", "Limits.", "Timeouts.", "Retries.", "Basic.", "Remote.", "Proxy."):
        assert ours not in str(caught.value)


def test_a_key_that_does_not_fit_or_is_missing_or_locked_is_named(ca: trustme.CA, client: trustme.LeafCert) -> None:
    certificate, key = text(client.cert_chain_pems[0]), text(client.private_key_pem)
    locked = load_pem_private_key(key.encode(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    for options, words in (
        ({"client_cert": certificate}, r"^client_key: missing, and there is no private key in PEM text"),
        ({"client_cert": certificate, "client_key": text(ca.issue_cert("b@c.d").private_key_pem)},
         r"^client_key: PEM text: the key does not fit the certificate in client_cert"),
        ({"client_cert": certificate, "client_key": locked.decode()},
         r"^client_key: give it without a passphrase; the key in PEM text is encrypted$"),
        ({"client_cert": key, "client_key": key}, r"^client_cert: PEM text: there is no certificate in it"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words) as caught:
            Remote.from_pulp(options)
        assert "TLS" not in str(caught.value)


@pytest.mark.parametrize("options", [None, 5, "url", [("url", "https://h/")]])
def test_options_are_a_mapping(options: Any) -> None:
    with pytest.raises(TypeError, match=r"^Remote\.from_pulp: a mapping of Pulp's options is needed"):
        Remote.from_pulp(options)


def test_what_is_given_is_not_changed() -> None:
    """Pulp itself takes the User-Agent out of the headers that it is given."""
    options = {"headers": [{"User-Agent": "bears/1"}]}
    Remote.from_pulp(options)

    assert options == {"headers": [{"User-Agent": "bears/1"}]}


def test_a_path_is_as_good_as_a_text(ca: trustme.CA, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    assert Remote.from_pulp({"ca_cert": str(tmp_path / "ca.pem")}) == Remote.from_pulp({"ca_cert": text(ca.cert_pem)})
