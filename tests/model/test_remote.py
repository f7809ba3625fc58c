"""How a remote is reached: checked when it is made, and its secrets bound to one origin."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Limits, Proxy, Remote, Retries, Segments, Timeouts
from pulp_dl.model.tls import TLS
from pulp_dl.urls import InvalidURL, parse

SECRET = "Sesame77"

# ---- numbers

NO_NUMBERS: list[Any] = [0, -1, float("nan"), float("inf"), -float("inf"), 1e9, "10", True, False, [1], b"1"]


@pytest.mark.parametrize("field", ["connect", "head", "idle", "low_speed", "total"])
def test_a_limit_of_time_is_positive_or_none(field: str) -> None:
    kind: Any = Timeouts
    for value in (0.001, 1, 30.5, None):
        assert getattr(kind(**{field: value}), field) == value
    for value in NO_NUMBERS:
        with pytest.raises(
            ValueError, match=rf"^Timeouts\.{field}: .* is no positive number; give one, or None for no"
        ):
            kind(**{field: value})


@pytest.mark.parametrize(
    ("kind", "field"), [(Timeouts, "low_speed_window"), *((Retries, f) for f in ("base", "cap", "retry_after_cap"))]
)
def test_what_has_to_be_there_is_not_none(kind: Any, field: str) -> None:
    for value in [*NO_NUMBERS, None]:
        with pytest.raises(ValueError, match=rf"^{kind.__name__}\.{field}: .* is no positive number; give one$"):
            kind(**{field: value})


@pytest.mark.parametrize(
    ("kind", "field", "good", "bad"),
    [
        (Limits, "connections", [1, 1000], [0, -1, 1.5, "1", True, None]),
        (Limits, "per_host", [1, 1000], [0, -1, 1.5, "1", True, None]),
        (Limits, "max_size", [0, 1 << 50, None], [-1, 1.5, "1", True]),
        (Limits, "redirects", [0, 100], [-1, 101, 1.5, "1", True, None]),
        (Retries, "count", [0, 1000], [-1, 1001, 1.5, "1", True, None]),
        (Segments, "least", [1, 1 << 50], [0, -1, 1.5, "1", True, None]),
        (Segments, "places", [2, 100], [1, 101, 1.5, "1", True, None]),
        (Segments, "piece", [1, 1 << 50], [0, -1, 1.5, "1", True, None]),
    ],
)
def test_what_is_counted_is_a_whole_number(kind: Any, field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(kind(**{field: value}), field) == value
    for value in bad:
        with pytest.raises(ValueError, match=rf"^{kind.__name__}\.{field}: .* has to be a whole number, "):
            kind(**{field: value})


@pytest.mark.parametrize("value", [0, 1, "no", "false", None])
@pytest.mark.parametrize(
    ("kind", "field"),
    [(Limits, "adaptive"), (Remote, "allow_downgrade"), (Remote, "allow_private"), (Remote, "cookies")],
)
def test_a_switch_is_on_or_off(kind: Any, field: str, value: Any) -> None:
    """What is read from somebody's settings is a text, and every text would be on."""
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.{field}: True or False is needed, not "):
        kind(**{field: value})


def test_limits_are_on_by_default() -> None:
    timeouts = Timeouts()

    assert None not in {timeouts.connect, timeouts.head, timeouts.idle, timeouts.low_speed, Limits().max_size}
    assert timeouts.total is None


# ---- waits


@given(st.integers(0, 40), st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0, 1, exclude_max=True))
def test_waits_double_up_to_a_cap_and_chance_takes_up_to_half(
    count: int, base: float, cap: float, chance: float
) -> None:
    first, *others = Retries(count=count, base=base, cap=cap).waits(lambda: chance)

    assert first == 0
    assert len(others) == count
    for number, wait in enumerate(others):
        full = min(cap, base * 2**number)
        assert full / 2 <= wait <= full
        assert wait == pytest.approx(full * (1 - chance / 2))


def test_chance_is_asked_anew_for_each_wait() -> None:
    """So that many clients that failed together do not come back together."""
    chances = iter([0.0, 0.5, 1.0])

    assert list(Retries(count=3, base=4, cap=8).waits(lambda: next(chances))) == [0, 4, 6, 4]


def test_the_longest_row_of_waits_does_not_overflow() -> None:
    assert max(Retries(count=1000, base=1, cap=30).waits(lambda: 0)) == 30


def test_no_retries_is_one_round() -> None:
    assert list(Retries(count=0).waits()) == [0]


# ---- Proxy


def test_credentials_are_taken_out_of_the_url_of_a_proxy() -> None:
    proxy = Proxy(f"http://elmer:{SECRET}@gateway.example:3128")

    assert proxy.url == "http://gateway.example:3128/"
    assert proxy.auth == Basic("elmer", SECRET)
    assert proxy.place.user is proxy.place.password is None
    assert (proxy.place.host, proxy.place.port) == ("gateway.example", 3128)
    assert Proxy("http://gateway.example:3128").auth is None


def test_credentials_that_are_given_count_more_than_those_in_the_url() -> None:
    given_ones = Basic("bugs", "bunny")

    assert Proxy("http://elmer:word@gateway.example", auth=given_ones).auth == given_ones
    assert Remote(url="http://elmer:word@files.example/", auth=given_ones).auth == given_ones


@pytest.mark.parametrize("url", ["ftp://gateway.example", "socks4://gateway.example:1080", "file:///a", "socks://h"])
def test_a_proxy_speaks_http_or_socks_5(url: str) -> None:
    with pytest.raises(InvalidURL, match=r"^Proxy\.url: .* has to begin with http://, https://, socks5:// or socks5h"):
        Proxy(url)


@pytest.mark.parametrize(
    ("url", "port", "forwards", "resolves"),
    [
        ("http://h", 80, True, True),
        ("https://h", 443, True, True),
        ("socks5://h", 1080, False, False),
        ("socks5h://h", 1080, False, True),
        ("SOCKS5H://h:1", 1, False, True),
    ],
)
def test_what_a_proxy_does_follows_from_its_scheme(url: str, port: int, forwards: bool, resolves: bool) -> None:
    proxy = Proxy(url)

    assert proxy.place.port == port
    assert proxy.resolves == resolves
    assert proxy.forwards(parse("http://h/")) == forwards
    assert not proxy.forwards(parse("https://h/"))


def test_the_trust_of_a_proxy_is_a_tls() -> None:
    wrong: Any = "ca.pem"

    with pytest.raises(TypeError, match=r"^Proxy\.tls: str is no TLS; use TLS\(ca=...\)$"):
        Proxy("https://gateway.example", tls=wrong)
    assert Proxy("https://gateway.example") != Proxy("https://gateway.example", tls=TLS(verify=False))


@pytest.mark.parametrize("login", [Basic("", "x"), Basic("x", ""), Basic("é" * 128, "x"), Basic("x", "y" * 256)])
def test_a_socks_proxy_takes_no_login_that_is_too_long_or_empty(login: Basic) -> None:
    """RFC 1929 has one byte for the length, and 1 at least."""
    with pytest.raises(ValueError, match=r"^Proxy\.auth: for a SOCKS proxy a (user|password) has from 1 to 255 bytes"):
        Proxy("socks5://h", login)
    assert Proxy("http://h", login).auth is login


def test_credentials_of_a_proxy_are_basic() -> None:
    wrong: Any = f"elmer:{SECRET}"

    with pytest.raises(TypeError, match=r"^Proxy\.auth: str is no Basic; use Basic\(user, password\)$"):
        Proxy("http://gateway.example", auth=wrong)


def test_equal_proxies_are_equal() -> None:
    """They are part of the key under which connections are kept."""
    assert Proxy("http://elmer:a@gateway.example") == Proxy("http://gateway.example:80/", auth=Basic("elmer", "a"))
    assert Proxy("http://elmer:a@gateway.example") != Proxy("http://elmer:b@gateway.example")


# ---- Remote


def test_credentials_are_taken_out_of_the_url_of_a_remote() -> None:
    remote = Remote(url=f"https://elmer:{SECRET}@files.example/repo")

    assert remote.url == "https://files.example/repo"
    assert remote.auth == Basic("elmer", SECRET)


@pytest.mark.parametrize(
    ("url", "source", "scope", "origin"),
    [
        ("https://files.example:444/repo", "https://cdn.example/a", None, ("https", "files.example", 444)),
        ("https://files.example/", "https://cdn.example/a", "https://other.example/", ("https", "files.example", 443)),
        (None, "https://cdn.example/a", None, ("https", "cdn.example", 443)),
        (None, "https://mirror.example/a", "http://files.example/a", ("http", "files.example", 80)),
    ],
)
def test_secrets_are_for_one_origin(url: str | None, source: str, scope: str | None, origin: tuple[Any, ...]) -> None:
    """The Remote's if it has one, else that of the URL the caller gave, wherever the file is then fetched."""
    assert Remote(url=url).scope(source, scope) == origin


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tls": "ca.pem"}, r"^Remote\.tls: str is no TLS; use TLS\(ca=...\)$"),
        ({"tls": None}, r"^Remote\.tls: NoneType is no TLS"),
        ({"timeouts": 30}, r"^Remote\.timeouts: int is no Timeouts; use Timeouts\(connect=..., idle=...\)$"),
        ({"limits": None}, r"^Remote\.limits: NoneType is no Limits; use Limits\(connections=...\)$"),
        ({"retries": 3}, r"^Remote\.retries: int is no Retries; use Retries\(count=...\)$"),
        ({"ssh": "key"}, r"^Remote\.ssh: str is no SSH; use SSH\(key=...\)$"),
        ({"headers": {"A": SECRET, "Range": SECRET}}, r"^Remote\.headers: the field Range cannot be given: give it as"),
        ({"headers": {"host": SECRET}}, r"^Remote\.headers: the field host cannot be given: it follows from the URL$"),
        (
            {"headers": {"Content-Length": "5"}},
            r"^Remote\.headers: the field Content-Length cannot be given: a download",
        ),
        ({"segments": 3}, r"^Remote\.segments: int is no Segments; use that, or None"),
        ({"proxy": "http://elmer:Sesame77@gateway.example"}, r"^Remote\.proxy: use Proxy\(url"),
        ({"auth": ("elmer", SECRET)}, r"^Remote\.auth: tuple is no IAuth; use Basic\(user, password\)"),
        ({"auth": f"elmer:{SECRET}"}, r"^Remote\.auth: str is no IAuth"),
        ({"headers": {"A": f"{SECRET}\n"}}, r"^headers: the value of A holds a control character"),
        ({"url": "files.example"}, r"^Remote\.url: not an absolute URL"),
        ({"url": f"https://elmer:{SECRET}@"}, r"^Remote\.url: a URL without a host"),
        ({"url": f"https://elmer:{SECRET}?@files.example/"}, r"^Remote\.url: a port in a URL|an ambiguous host"),
        ({"url": f"https://el%3Amer:{SECRET}@files.example/"}, r"^Remote\.url: a colon in the user of a URL"),
    ],
)
def test_a_refusal_names_the_field_and_no_secret(values: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        Remote(**values)

    assert SECRET not in f"{caught.value} {caught.value.__cause__}"


def test_a_remote_shows_no_secret() -> None:
    remote = Remote(
        url=f"https://elmer:{SECRET}@files.example/?token={SECRET}",
        proxy=Proxy(f"http://elmer:{SECRET}@gateway.example"),
        headers={"Authorization": SECRET},
        tls=TLS(),
    )

    assert SECRET not in repr(remote)
    assert SECRET not in repr(remote.proxy)
    assert SECRET not in repr(Remote(auth=Basic("elmer", SECRET)))


def test_everything_has_a_default() -> None:
    remote = Remote()

    assert (remote.url, remote.auth, remote.proxy, remote.headers, remote.allow_downgrade) == (
        None,
        None,
        None,
        (),
        False,
    )
    assert (remote.tls, remote.timeouts, remote.limits, remote.retries) == (TLS(), Timeouts(), Limits(), Retries())
