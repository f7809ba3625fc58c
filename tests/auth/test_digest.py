"""Digest: the examples of its RFC, Twisted's own arithmetic, and a server that nobody here has written."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred._digest import calcHA1, calcHA2, calcResponse
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zope.interface.verify import verifyObject

from pulp_dl import DigestAuth, Downloader, Remote, Retries, ToMemory
from pulp_dl.auth.challenge import Challenge, parameters
from pulp_dl.auth.digest import Session
from pulp_dl.errors import AuthFailed
from pulp_dl.interfaces import IAuth, IAuthenticator
from pulp_dl.testing import FaultServer, Request, answer, redirect
from tests.servers import free_ports

PASSWORD = "Circle of Life"
MUFASA = DigestAuth("Mufasa", PASSWORD)
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)


def session(**fields: str) -> Session:
    made = Session.of(Challenge("digest", fields))
    assert made is not None
    return made


def answered(made: Session, auth: DigestAuth, method: str = "GET", target: str = "/") -> dict[str, str]:
    value = made.answer(auth, method, target)
    assert value.startswith(b"Digest ")
    return dict(parameters(value.removeprefix(b"Digest ")))


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    """Section 3.9.1."""
    made = session(
        realm="http-auth@example.org", qop="auth, auth-int", algorithm=algorithm,
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    )  # fmt: skip
    made.cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"

    assert answered(made, MUFASA, target="/dir/index.html") == {
        "username": "Mufasa",
        "realm": "http-auth@example.org",
        "uri": "/dir/index.html",
        "algorithm": algorithm,
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
        "response": response,
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }


def test_the_example_of_rfc_7616_with_a_hidden_name() -> None:
    """Section 3.9.2, as its errata have it: user J\u00e4s\u00f8n Doe, by SHA-512-256."""
    made = session(realm="api@example.org", qop="auth", algorithm="SHA-512-256", nonce="n", userhash="true")
    found = answered(made, DigestAuth("J\u00e4s\u00f8n Doe", "Secret, or not?"), target="/doe.json")

    assert found["username"] == hashlib.new("sha512_256", "J\u00e4s\u00f8n Doe:api@example.org".encode()).hexdigest()
    assert found["userhash"] == "true"


@given(
    TEXT.filter(lambda user: ":" not in user), TEXT, TEXT, st.sampled_from(["md5", "md5-sess", "sha-256"]),
    st.sampled_from(["auth", None]), st.integers(1, 3),
)  # fmt: skip
def test_whatever_the_words_are_twisted_calculates_the_same(
    user: str, password: str, realm: str, algorithm: str, qop: str | None, times: int
) -> None:
    """Its server side, for what it knows: MD5, MD5-sess, with qop and without."""
    fields = {"realm": realm, "nonce": "n0nce", "algorithm": algorithm, **({} if qop is None else {"qop": qop})}
    made, auth = session(**fields), DigestAuth(user, password)
    for _ in range(times):
        found = answered(made, auth, "HEAD", "/a?b=c")
    name = algorithm.encode()
    if algorithm == "sha-256":
        name = b"sha"  # which stands for SHA-1 there
        made.digest = lambda text: hashlib.sha1(text.encode()).hexdigest()
        made.count -= 1
        found = answered(made, auth, "HEAD", "/a?b=c")
    first = calcHA1(name, user.encode(), realm.encode(), password.encode(), b"n0nce", made.cnonce.encode())
    right = calcResponse(
        first, calcHA2(name, b"HEAD", b"/a?b=c", b"auth", None), name, b"n0nce",
        None if qop is None else b"%08x" % times, None if qop is None else made.cnonce.encode(),
        None if qop is None else b"auth",
    )  # fmt: skip

    assert found["response"].encode() == right
    assert found["realm"] == realm
    assert found.get("nc") == (None if qop is None else f"{times:08x}")


def test_a_name_that_is_not_ascii_is_sent_in_its_extended_form() -> None:
    """RFC 7616 section 3.4: C{username*}."""
    value = session(realm="r", nonce="n", qop="auth").answer(DigestAuth("J\u00e4s \u00f8n", "p"), "GET", "/")

    assert b"username*=UTF-8''J%C3%A4s%20%C3%B8n," in value


@pytest.mark.parametrize(
    "fields",
    [
        {"nonce": "n"},
        {"realm": "r"},
        {"realm": "r", "nonce": "n", "algorithm": "SHA-1"},
        {"realm": "r", "nonce": "n", "algorithm": "token"},
        {"realm": "r", "nonce": "n", "qop": "auth-int"},
        {"realm": "r", "nonce": "n", "qop": ""},
    ],
)
def test_what_cannot_be_answered_is_left(fields: dict[str, str]) -> None:
    assert Session.of(Challenge("digest", fields)) is None


# ---- with a server


class Guard:
    """A server that wants Digest, and counts."""

    def __init__(self, algorithms: tuple[str, ...] = ("MD5",), extra: str = "", stale: bool = True) -> None:
        self.nonce = 1
        self.algorithms = algorithms
        self.extra = extra
        self.stale = stale
        self.seen: list[tuple[str, str, str]] = []
        self.next: str | None = None
        self.password = PASSWORD

    def __call__(self, request: Request) -> Any:
        value = request.get(b"authorization")
        found = {} if value is None else dict(parameters(value.removeprefix(b"Digest ")))
        if found:
            self.seen.append((found["algorithm"], found["nonce"], found["nc"]))
        if found.get("nonce") == f"n{self.nonce}" and found["response"] == self.right(request, found):
            headers = () if self.next is None else ((b"Authentication-Info", f'nextnonce="{self.next}"'.encode()),)
            return redirect("/there") if request.path == "/here" else answer(b"x", 200, headers)
        stale = ", stale=TRUE" if found and self.stale else ""
        offers = (f'Digest realm="r", nonce="n{self.nonce}", qop="auth", algorithm={each}{self.extra}{stale}'
                  for each in self.algorithms)  # fmt: skip
        return answer(b"", 401, tuple((b"WWW-Authenticate", offer.encode()) for offer in offers))

    def right(self, request: Request, found: dict[str, str]) -> str:
        known = session(**{name: found[name] for name in ("realm", "nonce", "algorithm", "qop")})
        known.cnonce, known.count = found["cnonce"], int(found["nc"], 16) - 1
        user = DigestAuth(found["username"], self.password)
        return answered(known, user, request.method, request.target)["response"]


def remote(auth: DigestAuth = MUFASA) -> Remote:
    return Remote(auth=auth, retries=Retries(count=0))


async def fetch(downloader: Downloader, url: str) -> bytes:
    body = ToMemory()
    await downloader.download(url, body)
    return body.data


async def test_a_challenge_is_answered_and_then_known(reactor: Any) -> None:
    """Each request counts."""
    guard = Guard()
    async with FaultServer(reactor, guard) as server, Downloader(reactor, remote()) as downloader:
        for path in ("/a", "/b?c=d", "/here"):
            await fetch(downloader, server.url(path))
        await downloader.head(server.url("/a"))

        assert guard.seen == [("MD5", "n1", f"{count:08x}") for count in (1, 2, 3, 4, 5)]
        assert len(server.requests) == 6
        assert not any(PASSWORD.encode() in request.raw for request in server.requests)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("MD5", "SHA-256"), "SHA-256"),
        (("SHA-256-sess", "MD5"), "SHA-256-sess"),
        (("MD5-sess",), "MD5-sess"),
        (("unknown", "md5"), "md5"),
        (("SHA-512-256", "SHA-256"), "SHA-512-256"),
    ],
)
async def test_the_best_of_what_is_offered_is_taken(reactor: Any, offered: tuple[str, ...], chosen: str) -> None:
    guard = Guard(offered)
    async with FaultServer(reactor, guard) as server, Downloader(reactor, remote()) as downloader:
        await fetch(downloader, server.url("/a"))

        assert guard.seen == [(chosen, "n1", "00000001")]


@pytest.mark.parametrize("stale", [True, False])
async def test_an_old_nonce_is_replaced(reactor: Any, stale: bool) -> None:
    """Also by a server that does not say that it is old, if it had been good."""
    guard = Guard(stale=stale)
    async with FaultServer(reactor, guard) as server, Downloader(reactor, remote()) as downloader:
        await fetch(downloader, server.url("/a"))
        guard.nonce = 2
        await fetch(downloader, server.url("/a"))

        assert guard.seen == [("MD5", "n1", "00000001"), ("MD5", "n1", "00000002"), ("MD5", "n2", "00000001")]


async def test_the_next_nonce_is_used(reactor: Any) -> None:
    guard = Guard()
    async with FaultServer(reactor, guard) as server, Downloader(reactor, remote()) as downloader:
        guard.next = "n2"
        await fetch(downloader, server.url("/a"))
        guard.nonce, guard.next = 2, None
        await fetch(downloader, server.url("/a"))

        assert guard.seen == [("MD5", "n1", "00000001"), ("MD5", "n2", "00000001")]
        assert len(server.requests) == 3


async def test_a_wrong_password_is_tried_once(reactor: Any) -> None:
    """Another try might lock an account."""
    guard = Guard(stale=False)
    async with FaultServer(reactor, guard) as server:
        async with Downloader(reactor, remote(DigestAuth("Mufasa", "wrong"))) as downloader:
            with pytest.raises(AuthFailed):
                await fetch(downloader, server.url("/a"))

        assert len(guard.seen) == 1


async def test_a_server_that_always_says_stale_does_not_get_us_into_a_loop(reactor: Any) -> None:
    async with FaultServer(reactor, Guard()) as server:
        async with Downloader(reactor, remote(DigestAuth("Mufasa", "wrong"))) as downloader:
            with pytest.raises(AuthFailed):
                await fetch(downloader, server.url("/a"))

        assert len(server.requests) == 3


async def test_each_of_two_redirected_places_may_ask(reactor: Any) -> None:
    """The second with a nonce of its own."""
    guard = Guard()

    def script(request: Request) -> Any:
        guard.nonce = 2 if request.path == "/there" else 1
        return guard(request)

    async with FaultServer(reactor, script) as server, Downloader(reactor, remote()) as downloader:
        assert await fetch(downloader, server.url("/here")) == b"x"
        assert [nonce for _, nonce, _ in guard.seen] == ["n1", "n1", "n2"]


async def test_the_password_is_for_the_scope_only(reactor: Any) -> None:
    """Another server's challenge is not answered, where a redirect led."""
    guard = Guard()
    async with FaultServer(reactor, guard) as other, FaultServer(reactor, redirect(other.url("/a"))) as first:
        async with Downloader(reactor, remote()) as downloader:
            with pytest.raises(AuthFailed):
                await fetch(downloader, first.url("/a"))

        assert guard.seen == []


# ---- with lighttpd

LIGHTTPD = r"""
server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{folder}/error.log"
server.modules = ("mod_auth", "mod_authn_file")
auth.backend = "plain"
auth.backend.plain.userfile = "{folder}/users"
auth.require = ("/" => ("method" => "digest", "algorithm" => "{algorithms}", "realm" => "bears only",
                        "require" => "valid-user"))
"""


@asynccontextmanager
async def lighttpd(reactor: Any, program: str, folder: Path, algorithms: str) -> AsyncIterator[str]:
    """Its URL."""
    (folder / "users").write_text(f"Mufasa:{PASSWORD}\n")
    (folder / "root").mkdir()
    (folder / "root" / "a b").write_bytes(b"bear")
    (port,) = free_ports(1)
    values = {"root": folder / "root", "port": port, "folder": folder, "algorithms": algorithms}
    (folder / "lighttpd.conf").write_text(LIGHTTPD.format(**values))
    command = [program, "-D", "-f", str(folder / "lighttpd.conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "error.log").read_text()
            await deferLater(reactor, 0.01)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGTERM)
        await deferToThread(process.wait)


@pytest.mark.parametrize("algorithms", ["MD5", "SHA-256", "SHA-256|MD5"])
async def test_lighttpd_lets_us_in(
    reactor: Any, program: Callable[[str], str], tmp_path: Path, algorithms: str
) -> None:
    """And not with another password."""
    async with lighttpd(reactor, program("lighttpd"), tmp_path, algorithms) as url:
        async with Downloader(reactor, remote()) as downloader:
            for _ in range(3):
                assert await fetch(downloader, f"{url}a b?c=d") == b"bear"
            assert (await downloader.head(f"{url}a b")).length == 4
        async with Downloader(reactor, remote(DigestAuth("Mufasa", "wrong"))) as downloader:
            with pytest.raises(AuthFailed):
                await fetch(downloader, f"{url}a b")


# ---- the value


def test_it_is_a_value_and_says_nothing() -> None:
    direct: Any = None

    assert verifyObject(IAuth, MUFASA)
    assert verifyObject(IAuthenticator, MUFASA.start(direct))
    assert repr(MUFASA) == "DigestAuth(user='Mufasa')"
    assert hash(DigestAuth("Mufasa", PASSWORD)) == hash(MUFASA)
    assert "n0nce" not in repr(session(realm="r", nonce="n0nce"))


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^DigestAuth\.password: a control character") as raised:
        DigestAuth("Mufasa", "s3same\n")
    assert "s3same" not in str(raised.value)
    assert raised.value.__cause__ is None
