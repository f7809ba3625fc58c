"""Cookies, for those who ask for them: what an origin has set goes back to it, and to nobody else."""

from __future__ import annotations

import gc
import warnings
from types import FunctionType, ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl import Downloader, Limits, Remote, Retries, Source, ToMemory
from pulp_dl.errors import ProtocolError, Unavailable
from pulp_dl.protocols.http.cookies import FIELD, LONGEST, MOST, Cookies
from pulp_dl.testing import FaultServer, Request, answer, redirect
from pulp_dl.urls import URL, parse
from tests.http.conftest import MakeFetcher
from tests.sinks import read, until


def setting(*values: str) -> Any:
    return answer(b"x", 200, tuple((b"Set-Cookie", value.encode("latin-1")) for value in values))


def cookies(server: Any) -> list[bytes | None]:
    return [request.get(b"cookie") for request in server.requests]


async def test_there_are_none_unless_they_are_asked_for(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, setting("a=1")) as server:
        fetcher = fetching()
        for _ in range(2):
            await read(fetcher, server.url("/"))

        assert cookies(server) == [None, None]


async def test_what_is_set_is_sent_back(reactor: Any, fetching: MakeFetcher) -> None:
    """In one field, also to a HEAD."""
    async with FaultServer(reactor, setting("a=1; Path=/; HttpOnly", 'b="2 3"; SameSite=Lax')) as server:
        fetcher = fetching(cookies=True)
        for _ in range(2):
            await read(fetcher, server.url("/"))
        await fetcher.head(Source(server.url("/x")))

        assert cookies(server) == [None, b'a=1; b="2 3"', b'a=1; b="2 3"']


async def test_each_remote_has_its_own(reactor: Any) -> None:
    """Two that differ in anything."""
    async with FaultServer(reactor, setting("a=1")) as server, Downloader(reactor, Remote(cookies=True)) as downloader:
        other = Remote(cookies=True, headers={"X-Bear": "1"})
        for remote in (None, None, other, other):
            await downloader.download(Source(server.url("/"), remote=remote), ToMemory())

        assert cookies(server) == [None, b"a=1", None, b"a=1"]


async def test_one_of_a_redirect_or_a_401_counts(reactor: Any, fetching: MakeFetcher) -> None:
    """As logins do it."""

    def script(request: Request) -> Any:
        if request.path == "/login":
            return answer(b"", 302, ((b"Location", b"/file"), (b"Set-Cookie", b"session=s")))
        return answer(b"x") if request.get(b"cookie") == b"session=s" else answer(b"", 403)

    async with FaultServer(reactor, script) as server:
        _, data = await read(fetching(cookies=True), server.url("/login"))

        assert data == b"x"


@pytest.mark.parametrize("login", ["/login", "/file"])
async def test_a_chain_may_come_back_with_one(reactor: Any, fetching: MakeFetcher, login: str) -> None:
    """Who is sent away to fetch a cookie, and back with it, does not go round in circles."""

    def script(request: Request) -> Any:
        if request.get(b"cookie") == b"session=s":
            return answer(b"x")
        if request.path == login:
            return answer(b"", 302, ((b"Location", b"/file"), (b"Set-Cookie", b"session=s")))
        return redirect(login)

    async with FaultServer(reactor, script) as server:
        _, data = await read(fetching(cookies=True), server.url("/file"))

        assert data == b"x"


async def test_a_circle_with_cookies_ends(reactor: Any, fetching: MakeFetcher) -> None:
    """At once if they are always the same; else after as many as may follow each other."""
    values = iter(range(10, 1000))
    scripts = {
        "/same": lambda: answer(b"", 302, ((b"Location", b"/same"), (b"Set-Cookie", b"a=1"))),
        "/new": lambda: answer(b"", 302, ((b"Location", b"/new"), (b"Set-Cookie", b"a=%d" % next(values)))),
    }
    async with FaultServer(reactor, lambda request: scripts[request.path]()) as server:
        fetcher = fetching(cookies=True, limits=Limits(redirects=5))
        with pytest.raises(ProtocolError, match="round in circles"):
            await read(fetcher, server.url("/same"))
        assert cookies(server) == [None, b"a=1"]
        server.requests.clear()
        with pytest.raises(ProtocolError, match="more than 5 redirects"):
            await read(fetcher, server.url("/new"))
        assert len(server.requests) == 6


async def test_another_origin_neither_gets_nor_sets_them(reactor: Any, fetching: MakeFetcher) -> None:
    """Another port is one (treq CVE-2022-23607); nor does a chain that was there bring them back."""
    async with FaultServer(reactor, {}) as first, FaultServer(reactor, {}) as other:

        def there(request: Request) -> Any:
            return answer(b"", 302, ((b"Location", first.url("/back").encode()), (b"Set-Cookie", b"evil=1; Path=/")))

        sets = {"/": setting("mine=1; Path=/"), "/go": redirect(other.url("/")), "/back": setting("evil=2; Path=/")}
        first.script = lambda request: sets[request.path]
        other.script = there
        fetcher = fetching(cookies=True)
        for path in ("/", "/go", "/"):
            await read(fetcher, first.url(path))

        assert cookies(first) == [None, b"mine=1", None, b"mine=1"]  # the third was on the way back
        assert cookies(other) == [None]


async def test_one_for_another_host_is_not_taken(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, setting("a=1; Domain=example.org", "c=3")) as server:
        fetcher = fetching(cookies=True)
        for _ in range(2):
            await read(fetcher, server.url("/"))

        assert cookies(server) == [None, b"c=3"]


async def test_a_cookie_that_the_source_has_goes_before(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultServer(reactor, setting("a=1")) as server:
        fetcher = fetching(cookies=True)
        await read(fetcher, server.url("/"))
        await read(fetcher, Source(server.url("/"), headers={"Cookie": "own=1"}))
        await read(fetcher, server.url("/"))

        assert cookies(server) == [None, b"own=1", b"a=1"]  # it was for that one only


def test_a_remote_has_one_way_only() -> None:
    with pytest.raises(ValueError, match=r"^Remote\.cookies: there is a Cookie in Remote\.headers, too"):
        Remote(cookies=True, headers={"cookie": "a=1"}, retries=Retries())


# ---- the jar

ORIGIN = parse("https://files.example/a/b")
DEEP = parse("https://files.example/deep/")


def after(*values: str, place: URL = ORIGIN, then: str | None = None) -> bytes | None:
    """What is sent after these have been set, one after the other."""
    jar = Cookies()
    for value in values:
        jar.keep(place, ((b"SET-COOKIE", value.encode("latin-1", "replace")),))
    return dict(jar.fields(place if then is None else parse(then))).get(b"Cookie")


@pytest.mark.parametrize(
    ("value", "url", "sent"),
    [
        ("a=1; Path=/a", "https://files.example/a/c", b"a=1"),
        ("a=1; Path=/a", "https://files.example/b", None),
        ("a=1", "https://files.example/a/c", b"a=1"),
        ("a=1", "https://files.example/", None),
        ("a=1; Path=/; Domain=files.example", "https://files.example/", b"a=1"),
        ("a=1; Path=/; Domain=example", "https://files.example/", None),
        ("a=1; Path=/; Domain=files.example", "https://www.files.example/", None),
        ("a=1; Path=/", "http://files.example/", None),
        ("a=1; Path=/", "https://files.example:444/", None),
        ("a=1; Path=/; Secure", "https://files.example/", b"a=1"),
        ("a=1; Path=/; Max-Age=0", "https://files.example/", None),
        ("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://files.example/", None),
        ("a=1; Path=/; Expires=Fri, 01 Jan 2100 00:00:00 GMT", "https://files.example/", b"a=1"),
        ("a=caf\xe9; Path=/", "https://files.example/", b"a=caf\xe9"),
    ],
)
def test_path_host_and_age_are_kept_to(value: str, url: str, sent: bytes | None) -> None:
    assert after(value, then=url) == sent


AGES = st.one_of(
    st.just(""),
    st.integers(-(10**400), 10**400).map("={}".format),
    st.integers(300, 5000).map(lambda digits: f"={'9' * digits}"),
    st.text('0123456789_+- \t"=\xb2', max_size=8).map(lambda text: f"={text * 60}"),
)
NAMES = st.sampled_from([";Max-Age", "; max-age", ";\tMAX-AGE \xa0", "; Expires=1; Max-Age", "; Version=1; Max-Age"])


@given(AGES, NAMES, st.sampled_from(["", ";", "; HttpOnly", "; Max-Age"]))
def test_whatever_the_age_of_one_the_others_are_kept(age: str, name: str, end: str) -> None:
    """The standard library's jar makes a floating point number of it, and would let all of the answer go."""
    values = "a=1", f"b=2{name}{age}{end}", "c=3"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jar = Cookies()
        jar.keep(ORIGIN, tuple((b"Set-Cookie", each.encode("latin-1")) for each in values))
    sent = dict(jar.fields(ORIGIN))[b"Cookie"].split(b"; ")

    assert [each for each in sent if each[:1] in b"ac"] == [b"a=1", b"c=3"]


@pytest.mark.parametrize("age", ["9" * 18, "9" * 400])
def test_one_that_is_to_live_for_ages_lives(age: str) -> None:
    assert after(f"a=1; Max-Age={age}; HttpOnly") == b"a=1"
    assert after("a=1", f"a=1; Max-Age=-{age}") is None


@pytest.mark.parametrize("age", ["", "=", "=x", '="5"', "=5.", "=+5", "=5_0"])
def test_an_age_that_is_none_is_passed_over(age: str) -> None:
    """RFC 6265 section 5.2.2."""
    assert after(f"max-age=1; Max-Age{age}; Path=/", then="https://files.example/") == b"max-age=1"


async def test_an_age_beyond_all_numbers_leaves_no_socket(reactor: Any, fetching: MakeFetcher) -> None:
    fields = (b"Set-Cookie", b"good=1; Path=/"), (b"Set-Cookie", b"a=b; Max-Age=" + b"9" * 400)
    script = {"/bad": answer(b"no" * 50_000, 503, headers=fields), "/": answer(b"x")}
    async with FaultServer(reactor, script) as server:
        fetcher = fetching(cookies=True)
        with pytest.raises(Unavailable):
            await fetcher.open(Source(server.url("/bad")))
        await until(reactor, lambda: not server.connections.open)
        await read(fetcher, server.url("/"))

        assert b"good=1" in (cookies(server)[1] or b"")


def test_a_secure_one_is_not_for_http() -> None:
    assert after("a=1; Secure", place=parse("http://files.example/")) is None


def test_a_later_one_replaces_it_or_takes_it_back() -> None:
    assert after("a=1", "a=2") == b"a=2"
    assert after("a=1", "a=; Max-Age=0") is None


def test_there_are_not_too_many_and_none_is_too_long() -> None:
    jar = Cookies()
    for number in range(300):
        jar.keep(ORIGIN, ((b"Set-Cookie", b"c%d=1" % number),))
    (_, value), *_ = jar.fields(ORIGIN)
    assert value.split(b"; ") == [b"c%d=1" % number for number in range(300 - MOST, 300)]
    assert after("a=" + "x" * LONGEST, "b=" + "x" * 4000) == b"b=" + b"x" * 4000


@pytest.mark.parametrize("attribute", ["Comment=", "HttpOnly=", "Bear=", "", "b=1; Bear="])
def test_one_whose_field_is_too_long_is_passed_over(attribute: str) -> None:
    """Its attributes would be kept, too; the others of the answer are taken."""
    value = f"a=1; {attribute}"
    value += "x" * (FIELD - len(value))
    for each, sent in ((value, b"a=1; c=3"), (value + "x", b"c=3")):
        jar = Cookies()
        jar.keep(ORIGIN, ((b"Set-Cookie", each.encode()), (b"Set-Cookie", b"c=3")))
        assert dict(jar.fields(ORIGIN)) == {b"Cookie": sent}


def test_a_path_that_has_no_cookie_any_more_is_forgotten() -> None:
    """Else each request would look through all directories that there were."""
    jar = Cookies()
    for number in range(10 * MOST):
        jar.keep(parse(f"https://files.example/dir{number}/a"), ((b"Set-Cookie", b"a=1"),))
    seen: dict[int, object] = {}
    waiting: list[object] = [jar]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen and not isinstance(each, FunctionType | ModuleType | type):
            seen[id(each)] = each
            waiting += [*gc.get_referents(each), *(each if isinstance(each, dict) else ())]
    assert len({each for each in seen.values() if isinstance(each, str) and each.startswith("/dir")}) == MOST


def kept(*values: str) -> list[bytes]:
    """What is sent after these have been set, without each C{x}, which only takes room."""
    sent = after(*values, place=DEEP)
    assert sent is not None
    return [value.replace(b"x", b"") for value in sent.split(b"; ")]


def test_one_that_is_renewed_is_not_the_one_that_makes_room() -> None:
    x = "x" * 1000
    first = [f"session={x}{x}; Path=/", f"b={x}{x}{x}; Path=/", f"c={x}{x}; Path=/"]

    assert kept(*first, f"session=new{x}{x}{x}; Path=/") == [b"c=", b"session=new"]


def test_one_of_a_path_that_was_known_before_is_not_the_one_that_makes_room() -> None:
    x = "x" * 1000
    first = ["a=1; Path=/", f"b={x}{x}{x}{x}; Path=/deep/", f"c={x}{x}{x}; Path=/deep/", "a=; Path=/; Max-Age=0"]

    assert kept(*first, f"new={x}{x}; Path=/") == [b"c=", b"new="]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.sampled_from(["/", "/deep/"]), st.sampled_from([1, 2000, 3000, 4000])),
        min_size=1,
    )
)
def test_whatever_was_set_before_the_last_one_is_kept(cookies: list[tuple[str, str, int]]) -> None:
    *_, (name, _, size) = cookies
    sent = after(*(f"{name}={'x' * size}; Path={path}" for name, path, size in cookies), place=DEEP)

    assert sent is not None
    assert f"{name}={'x' * size}".encode() in sent.split(b"; ")


def test_there_are_not_too_many_jars() -> None:
    jar = Cookies()
    for number in range(100):
        jar.keep(parse(f"http://h{number}.example/"), ((b"Set-Cookie", b"a=1"),))
    held = [number for number in range(100) if jar.fields(parse(f"http://h{number}.example/"))]
    assert held == list(range(36, 100))


@given(st.lists(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60), max_size=5))
def test_whatever_is_set_no_field_is_broken(values: list[str]) -> None:
    sent = after(*values)
    assert sent is None or not {*sent} & {*range(9), *range(10, 32), 127}


def test_a_jar_says_nothing() -> None:
    jar = Cookies()
    jar.keep(ORIGIN, ((b"Set-Cookie", b"a=s3same"),))
    assert "s3same" not in repr(jar)
