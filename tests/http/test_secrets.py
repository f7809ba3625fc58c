"""
Every kind of secret, on every way by which it could get to somebody else: what each server actually received; and
whatever is said of it all.

A path that begins with C{/in} is asked of the origin, which has to see the secret; one that begins with C{/out} is
asked of whoever must not see it.
"""

from __future__ import annotations

import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import frozen
from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from pulp_dl import (
    TLS,
    Basic,
    Bearer,
    DigestAuth,
    Downloader,
    Netrc,
    Proxies,
    Proxy,
    Remote,
    Retries,
    Source,
    TokenAuth,
    ToMemory,
)
from pulp_dl.consumers.around import IProgress
from pulp_dl.errors import DownloadError
from pulp_dl.testing import Cut, FaultServer, OnRange, Request, Reset, ServerTLS, answer, redirect

SECRET = "s3same-0pen"
ELMER = f"elmer:{SECRET}"
PUBLIC = {b"host", b"user-agent", b"accept", b"accept-encoding", b"range", b"if-range"}
"""All that anybody may be sent."""

BODY = b"0123456789"

FORMS = (SECRET, b64encode(ELMER.encode()).decode(), "s3same%2D0pen", SECRET[::-1])


@frozen
class Kind:
    """
    @ivar remote: settings, for the origin's URL; C{source}: what its sources have.
    @ivar asks: what the origin answers to who shows nothing.
    """

    name: str
    remote: Callable[[str, Path], dict[str, Any]] = lambda origin, folder: {}
    source: Callable[[str], dict[str, Any]] = lambda url: {"url": url}
    asks: Callable[[str], bytes] | None = None
    tls: bool = False


def netrc(folder: Path) -> Netrc:
    (folder / "netrc").write_text(f"machine 127.0.0.1 login elmer password {SECRET}\n")
    return Netrc(folder / "netrc")


def bearer(realm: str) -> bytes:
    return f'Bearer realm="{realm}/token",scope="a"'.encode()


KINDS = (
    Kind("basic", lambda *_: {"auth": Basic("elmer", SECRET)}),
    Kind("bearer", lambda *_: {"auth": Bearer(SECRET)}),
    Kind("a bearer that is asked for", lambda *_: {"auth": Bearer(lambda: SECRET)}),
    Kind("digest", lambda *_: {"auth": DigestAuth("elmer", SECRET)}, asks=lambda _: b'Digest realm="r",nonce="n"'),
    Kind("a token that everybody gets", lambda *_: {"auth": TokenAuth()}, asks=bearer),
    Kind("a token for a password", lambda *_: {"auth": TokenAuth(Basic("elmer", SECRET))}, asks=bearer),
    Kind("netrc", lambda _, folder: {"auth": netrc(folder)}),
    Kind("userinfo", source=lambda url: {"url": url.replace("//", f"//{ELMER}@")}),
    Kind("a field", lambda *_: {"headers": {"X-Api-Key": SECRET}}),
    Kind("an Authorization field", lambda *_: {"headers": {"authorization": f"Bearer {SECRET}"}}),
    Kind("a Cookie field", lambda *_: {"headers": {"Cookie": f"session={SECRET}"}}),
    Kind("a field of the source", source=lambda url: {"url": url, "headers": {"X-Api-Key": SECRET}}),
    Kind("a cookie that was set", lambda *_: {"cookies": True}),
    Kind("a client certificate", tls=True),
)


class Origin:
    """What the origin does."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.base = self.onward = ""

    def __call__(self, request: Request) -> Any:
        if request.path == "/token":
            return answer(f'{{"token": "{SECRET}"}}'.encode())
        if self.kind.asks and request.path.startswith("/in") and request.get(b"authorization") is None:
            return answer(b"", 401, ((b"WWW-Authenticate", self.kind.asks(self.base)),))
        match request.path:
            case "/in/go":
                return redirect(self.onward)
            case "/in/reset":
                return Reset()
            case "/out/broken":
                return OnRange(answer(BODY), Cut(answer(BODY), len(BODY) // 2))
            case path if path.startswith("/in/status/"):
                return answer(b"", int(path.rpartition("/")[2]))
        fields = ((b"Set-Cookie", f"session={SECRET}; Path=/".encode()),)
        return answer(b"x", 200, fields if request.path.startswith("/in") else ())


@frozen
class Stage:
    """An origin and another server, with TLS and without, and who may ask them."""

    kind: Kind
    origin: Origin
    first: FaultServer
    other: FaultServer
    plain: FaultServer
    tls: TLS
    folder: Path

    def remote(self, base: FaultServer | None = None, **settings: Any) -> Remote:
        origin = (base or self.first).url("/")
        tls = {"tls": self.tls, "retries": Retries(count=0), "allow_downgrade": True}
        return Remote(**{**tls, **self.kind.remote(origin, self.folder), **settings})

    def source(self, url: str) -> Source:
        return Source(**self.kind.source(url))

    @property
    def requests(self) -> list[Request]:
        return [request for server in (self.first, self.other, self.plain) for request in server.requests]


def asking_for_certificates(ca: trustme.CA) -> ServerTLS:
    made = ServerTLS(ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.bytes())
    store = made.context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(x509.load_pem_x509_certificate(ca.cert_pem.bytes())))
    made.context.set_verify(SSL.VERIFY_PEER)
    return made


@asynccontextmanager
async def staged(reactor: Any, ca: trustme.CA, folder: Path, kind: Kind) -> AsyncIterator[Stage]:
    trust = ca.cert_pem.bytes().decode()
    identity = ca.issue_cert("client").private_key_and_cert_chain_pem.bytes().decode()
    tls = TLS(ca=trust, cert=identity) if kind.tls else TLS(ca=trust)
    origin = Origin(kind)
    async with (
        FaultServer(reactor, origin, tls=asking_for_certificates(ca)) as first,
        FaultServer(reactor, answer(b"x"), tls=asking_for_certificates(ca)) as other,
        FaultServer(reactor, answer(b"x")) as plain,
    ):
        origin.base = first.url("").removesuffix("/")
        yield Stage(kind, origin, first, other, plain, tls, folder)


def shown(request: Request) -> set[bytes]:
    """The fields that not everybody may be sent, and the certificate."""
    found = {name.lower() for name, _ in request.headers} - PUBLIC
    return found | ({b"certificate"} if request.certificate is not None else set())


def judge(stage: Stage, asked: list[str]) -> None:
    """Who should have seen the secret has, and nobody else."""
    requests = stage.requests
    assert [request.path for request in requests if request.path.startswith("/out")] == asked
    for request in requests:
        if request.path.startswith("/out"):
            assert shown(request) == set(), request.path
            assert not any(form.encode() in request.raw for form in FORMS)


def seen_inside(stage: Stage) -> bool:
    return any(shown(request) for request in stage.requests if request.path.startswith("/in"))


def another_port(stage: Stage) -> Any:
    stage.origin.onward = stage.other.url("/out")
    return stage.remote(), stage.source(stage.first.url("/in/go")), ["/out"]


def another_name(stage: Stage) -> Any:
    """Of the same server, on the same port."""
    stage.origin.onward = stage.first.url("/out", "localhost")
    return stage.remote(), stage.source(stage.first.url("/in/go")), ["/out"]


def to_http(stage: Stage) -> Any:
    stage.origin.onward = stage.plain.url("/out")
    return stage.remote(), stage.source(stage.first.url("/in/go")), ["/out"]


def to_https(stage: Stage) -> Any:
    stage.plain.script = stage.origin
    stage.origin.base, stage.origin.onward = stage.plain.url("").removesuffix("/"), stage.other.url("/out")
    return stage.remote(stage.plain), stage.source(stage.plain.url("/in/go")), ["/out"]


def there_and_back(stage: Stage) -> Any:
    """CVE-2024-45336 of Go: they are not restored."""
    stage.origin.onward = stage.other.url("/out/1")
    stage.other.script = redirect(stage.first.url("/out/2"))
    return stage.remote(), stage.source(stage.first.url("/in/go")), ["/out/2", "/out/1"]


def a_mirror(stage: Stage) -> Any:
    return stage.remote(), stage.source(stage.first.url("/in")).at(stage.other.url("/out")), ["/out"]


def a_mirror_that_leads_to_the_origin(stage: Stage) -> Any:
    stage.other.script = redirect(stage.first.url("/out/2"))
    source = stage.source(stage.first.url("/in")).at(stage.other.url("/out/1"))
    return stage.remote(), source, ["/out/2", "/out/1"]


def a_url_in_metadata(stage: Stage) -> Any:
    """The Remote has a URL, so nobody else is its scope."""
    headers = stage.kind.source("http://h/").get("headers", {})
    return stage.remote(url=stage.first.url("/in/")), Source(stage.other.url("/out"), headers=headers), ["/out"]


WAYS = (
    another_port, another_name, to_http, to_https, there_and_back, a_mirror, a_mirror_that_leads_to_the_origin,
    a_url_in_metadata,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_no_secret_leaves_its_origin(
    reactor: Any, ca: trustme.CA, tmp_path: Path, kind: Kind, way: Callable[[Stage], Any]
) -> None:
    async with staged(reactor, ca, tmp_path, kind) as stage:
        remote, source, asked = way(stage)
        async with Downloader(reactor, remote) as downloader:
            base = stage.plain if way is to_https else stage.first
            await downloader.download(stage.source(base.url("/in/before")), ToMemory())
            for each in ("/in/before", None):
                body = ToMemory()
                await downloader.download(source if each is None else stage.source(base.url(each)), body)
                assert body.data == b"x"

        judge(stage, asked)
        assert seen_inside(stage) or (kind.tls and way is to_https)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_the_rest_is_asked_for_without_secrets_where_the_beginning_came_without(
    reactor: Any, ca: trustme.CA, tmp_path: Path, kind: Kind
) -> None:
    """It came from the origin, but somebody else chose what was asked of that."""
    async with staged(reactor, ca, tmp_path, kind) as stage:
        stage.origin.onward = stage.other.url("/out/1")
        stage.other.script = redirect(stage.first.url("/out/broken"))
        async with Downloader(reactor, stage.remote(retries=Retries(count=1, base=0.01))) as downloader:
            body = ToMemory()
            await downloader.download(stage.source(stage.first.url("/in/before")), ToMemory())
            await downloader.download(stage.source(stage.first.url("/in/go")), body)

        assert body.data == BODY
        judge(stage, ["/out/broken", "/out/broken", "/out/1"])
        assert [request.get(b"range") for request in stage.requests if request.path == "/out/broken"][1] == b"bytes=5-"
        assert seen_inside(stage)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_nothing_that_is_said_holds_a_secret(reactor: Any, ca: trustme.CA, tmp_path: Path, kind: Kind) -> None:
    """Logs of every level, errors with all that hangs on them, values, reports, progress."""
    said: list[str] = []

    @implementer(ILogObserver)
    def hear(event: LogEvent) -> None:
        said.append(f"{formatEvent(event)} {event}")

    globalLogPublisher.addObserver(hear)
    try:
        async with staged(reactor, ca, tmp_path, kind) as stage:
            remote = stage.remote(retries=Retries(count=1, base=0.001))
            stage.origin.onward = stage.other.url("/out")
            async with Downloader(reactor, remote, progress=Told(said)) as downloader:
                for path in ("/in", "/in/go"):
                    source = stage.source(stage.first.url(path))
                    report = await downloader.download(source, ToMemory())
                    said += [repr(report), repr(report.head), *map(str, report.attempts), repr(source)]
                for path in ("/in/status/401", "/in/status/403", "/in/status/503", "/in/status/404", "/in/reset"):
                    with pytest.raises(DownloadError) as raised:
                        await downloader.download(stage.source(stage.first.url(path)), ToMemory())
                    said += everything(raised.value)
            said += [repr(remote), str(remote), repr(remote.auth), repr(downloader)]
    finally:
        globalLogPublisher.removeObserver(hear)

    assert len(said) > 20
    for text in said:
        assert not any(form in text for form in FORMS), text


@implementer(IProgress)
class Told:
    """Whatever it is told, it repeats."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def _tell(self, *what: object) -> None:
        self._said.append(f"{what!r} {[vars(each) for each in what if hasattr(each, '__dict__')]}")

    started = began = received = rewound = ended = _tell


def everything(error: BaseException | None) -> list[str]:
    """All that an error says, and what hangs on it."""
    assert error is not None
    found = ["".join(traceback.format_exception(error))]
    while error is not None:
        found += [str(error), repr(error), repr(vars(error)), repr(error.args), *getattr(error, "__notes__", ())]
        found += [repr(each) + str(each) for each in getattr(error, "attempts", ())]
        error = error.__cause__ or error.__context__
    return found


# ---- the proxy's


async def test_what_the_proxy_is_told_is_the_proxys(reactor: Any) -> None:
    """Not the origin's, nor that of whoever is reached without it."""
    async with FaultServer(reactor, {}) as proxy, FaultServer(reactor, answer(b"x")) as direct:
        proxy.script = redirect(direct.url("/out"))
        way = Proxies(Proxy(proxy.url("/").replace("//", f"//{ELMER}@")), None, "127.0.0.1")
        remote = Remote(proxy=way, auth=Basic("bugs", "bunny"), allow_private=True)
        async with Downloader(reactor, remote) as downloader:
            await downloader.download("http://far.example/in", ToMemory())

        assert proxy.requests[0].get(b"proxy-authorization") == Basic("elmer", SECRET).header
        assert proxy.requests[0].get(b"authorization") == Basic("bugs", "bunny").header
        assert shown(direct.requests[0]) == set()
        assert not any(form in repr(remote) for form in FORMS)


# ---- connections


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ({"auth": Basic("elmer", "a")}, {"auth": Basic("elmer", "b")}),
        ({"auth": Basic("elmer", "a")}, {}),
        ({"auth": Bearer("a")}, {"auth": Bearer("b")}),
        ({"auth": TokenAuth(Basic("elmer", "a"))}, {"auth": TokenAuth(Basic("elmer", "b"))}),
        ({"headers": {"Authorization": "a"}}, {"headers": {"Authorization": "b"}}),
        ({"headers": {"X-Key": "a"}}, {}),
        ({"cookies": True}, {}),
    ],
)
async def test_remotes_with_other_credentials_share_no_connection(reactor: Any, one: Any, another: Any) -> None:
    """Equal ones do."""
    async with FaultServer(reactor, answer(b"x")) as server, Downloader(reactor) as downloader:
        for settings in (one, another, one, another):
            await downloader.download(Source(server.url("/in"), remote=Remote(**settings)), ToMemory())

        assert [request.connection for request in server.requests] == [0, 1, 0, 1]


async def test_users_of_a_url_share_no_connection(reactor: Any) -> None:
    """They are credentials, too."""
    async with FaultServer(reactor, answer(b"x")) as server, Downloader(reactor) as downloader:
        for user in ("elmer:a@", "elmer:b@", "", "elmer:a@", "elmer:b@", ""):
            await downloader.download(server.url("/in").replace("//", f"//{user}"), ToMemory())

        assert [request.connection for request in server.requests] == [0, 1, 2, 0, 1, 2]


KEPT = answer(b"x", headers=((b"Connection", b"keep-alive"),))


async def test_remotes_with_other_proxies_or_passwords_for_them_share_no_connection(reactor: Any) -> None:
    async with (
        FaultServer(reactor, KEPT) as proxy,
        Downloader(reactor) as downloader,
    ):
        ways = [Proxy(proxy.url("/"), Basic("elmer", "a")), Proxy(proxy.url("/"), Basic("elmer", "b")), None]
        for way in (*ways, *ways):
            host = proxy.url("/in") if way is None else "http://far.example/in"
            await downloader.download(Source(host, remote=Remote(proxy=way)), ToMemory())

        assert [request.connection for request in proxy.requests] == [0, 1, 2, 0, 1, 2]


async def test_remotes_with_another_trust_or_certificate_share_no_connection(
    reactor: Any, ca: trustme.CA, tmp_path: Path
) -> None:
    trust = ca.cert_pem.bytes().decode()
    identities = [ca.issue_cert(name).private_key_and_cert_chain_pem.bytes().decode() for name in ("alice", "bob")]
    ways = [*(TLS(ca=trust, cert=each) for each in identities), TLS(ca=trust), TLS(ca=trust, verify=False)]
    async with FaultServer(reactor, answer(b"x"), tls=asking_for_certificates(ca)) as server:
        async with Downloader(reactor) as downloader:
            for tls in (*ways, *ways):
                await downloader.download(Source(server.url("/in"), remote=Remote(tls=tls)), ToMemory())

        assert [request.connection for request in server.requests] == [0, 1, 2, 3, 0, 1, 2, 3]
        who = [request.certificate and request.certificate.subject.rfc4514_string() for request in server.requests]  # type: ignore[attr-defined]
        assert [each is None for each in who[:4]] == [False, False, True, True]
        assert who[0] != who[1]
