"""Tokens that a registry sends its clients to fetch."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pulp_dl import TLS, Basic, Downloader, Limits, Progress, Remote, Retries, Source, TokenAuth, ToMemory
from pulp_dl.auth.tokens import CHALLENGE, DIRECTORY, LONGEST, TOKEN
from pulp_dl.errors import AuthFailed, DownloadError, ProtocolError, RedirectRefused, Refused, TooLarge
from pulp_dl.interfaces import IAuth, IAuthenticator
from pulp_dl.testing import FaultServer, Hold, Request, ServerTLS, answer, redirect
from pulp_dl.urls import InvalidURL
from tests.auth.registry import Registry
from tests.sinks import until

USER = Basic("elmer", "wabbit")
BLOB = "/v2/bear/blobs/1"


def remote(auth: TokenAuth, **settings: Any) -> Remote:
    return Remote(auth=auth, retries=Retries(count=0), **settings)


async def fetch(downloader: Downloader, url: str) -> bytes:
    body = ToMemory()
    await downloader.download(url, body)
    return body.data


def begin(downloader: Downloader, url: str) -> Deferred[bytes]:
    return Deferred.fromCoroutine(fetch(downloader, url))


# ---- the dance


async def test_a_token_is_fetched_when_it_is_asked_for(reactor: Any) -> None:
    """Without a user it is one that everybody gets."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        assert await fetch(downloader, registry.files.url(BLOB)) == BLOB.encode()

        assert registry.issued == [({"service": ["files"], "scope": ["repository:bear:pull"]}, None)]
        assert registry.authorizations() == [None, b"Bearer token-1"]


async def test_the_next_file_beside_it_is_asked_for_with_the_token_at_once(reactor: Any) -> None:
    """One in another directory is told that it is the same one."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        for path in (BLOB, "/v2/bear/blobs/2", "/v2/bear/blobs/deep/3", "/v2/bear/manifests/4"):
            await fetch(downloader, registry.files.url(path))

        assert len(registry.issued) == 1
        assert registry.authorizations() == [None, *[b"Bearer token-1"] * 3, None, b"Bearer token-1"]


async def test_each_scope_has_a_token_of_its_own(reactor: Any) -> None:
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        for path in (BLOB, "/v2/cub/blobs/1", BLOB, "/v2/cub/blobs/1"):
            await fetch(downloader, registry.files.url(path))

        assert [query["scope"] for query, _ in registry.issued] == [["repository:bear:pull"], ["repository:cub:pull"]]


async def test_it_is_no_file_of_the_callers(reactor: Any) -> None:
    """So it is not counted among them."""
    progress = Progress()
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth()), progress=progress) as downloader:
        await fetch(downloader, registry.files.url(BLOB))

        assert (progress.done, progress.size, len(registry.issued)) == (1, len(BLOB), 1)


async def test_several_scopes_are_asked_for_one_by_one(reactor: Any) -> None:
    """As the protocol has it; and a realm may have a query already."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.scope = lambda _: "repository:a:pull repository:b&c:pull"
        await fetch(downloader, registry.files.url(BLOB))

        assert registry.issued[0][0]["scope"] == ["repository:a:pull", "repository:b&c:pull"]


@pytest.mark.parametrize(
    "given", [{"access_token": "token-1"}, {"token": "token-1", "access_token": "other"}, {"token": "token-1", "x": 1}]
)
async def test_either_name_will_do(reactor: Any, given: Any) -> None:
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.give = lambda _: given
        await fetch(downloader, registry.files.url(BLOB))

        assert registry.authorizations()[-1] == b"Bearer token-1"


async def test_it_works_over_the_only_connection_there_is(reactor: Any) -> None:
    """No slot is held by who waits for a token."""
    settings = remote(TokenAuth(), limits=Limits(connections=1, per_host=1))
    async with Registry(reactor) as registry, Downloader(reactor, settings) as downloader:
        assert await fetch(downloader, registry.files.url(BLOB)) == BLOB.encode()


async def test_a_server_that_wants_Basic_gets_that(reactor: Any) -> None:
    """As the clients of registries do; the origin is the scope of the password."""
    basic = answer(b"", 401, ((b"WWW-Authenticate", b'Basic realm="x"'),))
    async with FaultServer(reactor, {}) as server, Downloader(reactor, remote(TokenAuth(USER))) as downloader:
        server.script = lambda request: answer(b"x") if request.get(b"authorization") == USER.header else basic
        for _ in range(2):
            assert await fetch(downloader, server.url("/a/b")) == b"x"

        assert [request.get(b"authorization") for request in server.requests] == [None, USER.header, USER.header]


@pytest.mark.parametrize("auth", [TokenAuth(), TokenAuth(USER)])
@pytest.mark.parametrize("fields", [(), ((b"WWW-Authenticate", b"Negotiate"),), ((b"WWW-Authenticate", b"Bearer"),)])
async def test_what_cannot_be_answered_is_an_AuthFailed(reactor: Any, auth: TokenAuth, fields: Any) -> None:
    async with (
        FaultServer(reactor, answer(b"", 401, fields)) as server,
        Downloader(reactor, remote(auth)) as downloader,
    ):
        with pytest.raises(AuthFailed):
            await fetch(downloader, server.url("/a"))

        assert len(server.requests) == 1


# ---- how long a token lasts


@pytest.mark.parametrize(
    ("lifetime", "used", "renewed"),
    [(300, 269, 271), (100, 89, 91), (None, 53, 55), (-5, 53, 55), ("300", 53, 55), (True, 53, 55), (1e999, 53, 55)],
)
async def test_a_token_is_kept_until_shortly_before_its_end(
    reactor: Any, lifetime: Any, used: float, renewed: float
) -> None:
    """A tenth of its life, and 30 seconds at most; what is no number of seconds is a minute."""
    clock = Clock()
    async with (
        Registry(reactor, lifetime=lifetime) as registry,
        Downloader(reactor, remote(TokenAuth(seconds=clock.seconds))) as downloader,
    ):
        await fetch(downloader, registry.files.url(BLOB))
        clock.advance(used)
        await fetch(downloader, registry.files.url(BLOB))
        assert len(registry.issued) == 1
        clock.advance(renewed - used)
        await fetch(downloader, registry.files.url(BLOB))

        assert registry.authorizations() == [None, *[b"Bearer token-1"] * 2, b"Bearer token-2"]


# ---- many at once


async def test_one_token_serves_all_who_wait(reactor: Any) -> None:
    """However many ask at the same time, and of them the first may leave."""
    settings = remote(TokenAuth(), limits=Limits(connections=20, per_host=20))
    async with Registry(reactor) as registry, Downloader(reactor, settings) as downloader:
        registry.hold = True
        first, *others = [begin(downloader, registry.files.url(f"/v2/bear/blobs/{n}")) for n in range(12)]
        await until(reactor, lambda: len(registry.authorizations()) == 12 and registry.issued != [])
        first.cancel()
        with pytest.raises(CancelledError):
            await first
        registry.tokens.release("token")
        bodies = await gatherResults(others)

        assert bodies == [f"/v2/bear/blobs/{n}".encode() for n in range(1, 12)]
        assert len(registry.issued) == 1


async def test_when_nobody_waits_any_more_the_question_is_given_up(reactor: Any) -> None:
    """And its connection with it; the next one asks again."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.hold = True
        waiting = [begin(downloader, registry.files.url(f"/v2/bear/blobs/{n}")) for n in range(3)]
        await until(reactor, lambda: len(registry.authorizations()) == 3 and registry.issued != [])
        for each in waiting:
            each.cancel()
            with pytest.raises(CancelledError):
                await each
        await until(reactor, lambda: registry.tokens.connections.open == 0)
        registry.hold = False

        assert await fetch(downloader, registry.files.url(BLOB)) == BLOB.encode()
        assert len(registry.issued) == 2


async def test_leaving_the_block_ends_a_question_that_is_under_way(reactor: Any) -> None:
    async with Registry(reactor) as registry:
        registry.hold = True
        async with Downloader(reactor, remote(TokenAuth())) as downloader:
            waiting = begin(downloader, registry.files.url(BLOB))
            await until(reactor, lambda: registry.issued != [])

        with pytest.raises(CancelledError):
            await waiting


async def test_a_token_that_is_refused_is_replaced_once_for_all(reactor: Any) -> None:
    """Also for those whose 401, to the old one, comes after the new one is there."""
    settings = remote(TokenAuth(), limits=Limits(connections=20, per_host=20))
    async with Registry(reactor) as registry, Downloader(reactor, settings) as downloader:
        await fetch(downloader, registry.files.url(BLOB))
        registry.good.clear()
        script, late = registry.files.script, []

        def slowly(request: Any) -> Any:
            if request.get(b"authorization") != b"Bearer token-1":
                return script(request)  # type: ignore[operator]
            late.append(request)
            return Hold(request.path), registry.refusal(request)

        registry.files.script = slowly
        paths = [f"/v2/bear/blobs/{n}" for n in range(6)]
        waiting = [begin(downloader, registry.files.url(path)) for path in paths]
        await until(reactor, lambda: len(late) == 6)
        for path in paths[:2]:
            registry.files.release(path)
        bodies = [await waiting[0], await waiting[1]]
        for path in paths[2:]:
            registry.files.release(path)
        bodies += await gatherResults(waiting[2:])

        assert bodies == [path.encode() for path in paths]
        assert len(registry.issued) == 2


async def test_a_new_token_that_is_refused_is_the_end(reactor: Any) -> None:
    """One question, one answer, no loop."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.files.script = registry.refusal
        for number in (1, 2):
            with pytest.raises(AuthFailed):
                await fetch(downloader, registry.files.url(BLOB))
            assert len(registry.issued) == 1
            assert len(registry.files.requests) == number + 1


async def test_a_token_that_worked_before_is_replaced_where_it_was_not_asked_for(reactor: Any) -> None:
    """The first question in another directory goes without, the second with the old one, the third with the new one."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        await fetch(downloader, registry.files.url(BLOB))
        registry.good.clear()
        await fetch(downloader, registry.files.url("/v2/bear/manifests/1"))

        assert registry.authorizations()[2:] == [None, b"Bearer token-1", b"Bearer token-2"]


async def test_a_refusal_need_not_say_again_where_tokens_are(reactor: Any) -> None:
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        await fetch(downloader, registry.files.url(BLOB))
        registry.good.clear()
        script = registry.files.script

        def silently(request: Any) -> Any:
            return answer(b"", 401) if request.get(b"authorization") == b"Bearer token-1" else script(request)  # type: ignore[operator]

        registry.files.script = silently
        await fetch(downloader, registry.files.url(BLOB))

        assert registry.authorizations() == [None, *[b"Bearer token-1"] * 2, b"Bearer token-2"]


async def test_a_token_server_that_repeats_itself_is_believed(reactor: Any) -> None:
    """The same token again would be refused again."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.give = lambda _: {"token": "token-1"}
        await fetch(downloader, registry.files.url(BLOB))
        registry.files.script = registry.refusal
        with pytest.raises(AuthFailed):
            await fetch(downloader, registry.files.url(BLOB))

        assert registry.authorizations() == [None, b"Bearer token-1", b"Bearer token-1"]


async def test_a_redirect_to_where_the_bytes_are_says_that_the_token_is_good(reactor: Any) -> None:
    """As registries do with blobs; who has them gets no token."""
    async with (
        Registry(reactor) as registry,
        FaultServer(reactor, answer(b"blob")) as store,
        Downloader(reactor, remote(TokenAuth())) as downloader,
    ):
        script = registry.files.script

        def elsewhere(request: Any) -> Any:
            return script(request) if request.get(b"authorization") is None else redirect(store.url("/s?sig=1"))  # type: ignore[operator]

        registry.files.script = elsewhere
        await fetch(downloader, registry.files.url(BLOB))
        registry.files.script = script
        registry.good.clear()
        await fetch(downloader, registry.files.url(BLOB))

        assert {request.get(b"authorization") for request in store.requests} == {None}
        assert len(registry.issued) == 2


# ---- who gets the user and password


async def test_the_origin_of_the_registry_gets_them(reactor: Any) -> None:
    async with (
        Registry(reactor, together=True) as registry,
        Downloader(reactor, remote(TokenAuth(USER))) as downloader,
    ):
        await fetch(downloader, registry.files.url(BLOB))

        assert [who for _, who in registry.issued] == [USER.header]
        assert registry.authorizations() == [None, b"Bearer token-1"]


async def test_another_origin_gets_them_only_if_it_is_named(reactor: Any) -> None:
    async with Registry(reactor) as registry:
        async with Downloader(reactor, remote(TokenAuth(USER))) as downloader:
            with pytest.raises(Refused, match=r"only if TokenAuth\.realms names it") as raised:
                await fetch(downloader, registry.files.url(BLOB))
        assert registry.tokens.requests == []
        assert f"127.0.0.1:{registry.tokens.port}" in str(raised.value)

        named = TokenAuth(USER, realms=[registry.tokens.url("/any")])
        async with Downloader(reactor, remote(named)) as downloader:
            await fetch(downloader, registry.files.url(BLOB))

        assert [who for _, who in registry.issued] == [USER.header]
        assert registry.authorizations() == [None, None, b"Bearer token-1"]


async def test_a_redirect_of_the_token_server_does_not_take_them_along(reactor: Any) -> None:
    async with Registry(reactor) as registry, FaultServer(reactor, answer(b'{"token": "token-1"}')) as other:
        registry.tokens.script = redirect(other.url("/t"))
        registry.good.add(b"token-1")
        named = TokenAuth(USER, realms=registry.tokens.url("/"))
        async with Downloader(reactor, remote(named, headers={"X-Api-Key": "k"})) as downloader:
            await fetch(downloader, registry.files.url(BLOB))

        assert [request.get(b"authorization") for request in registry.tokens.requests] == [USER.header]
        assert [request.get(b"x-api-key") for request in registry.files.requests] == [b"k", b"k"]
        assert [request.get(b"x-api-key") for request in registry.tokens.requests] == [None]
        assert b"wabbit" not in other.requests[0].raw
        assert other.requests[0].get(b"authorization") is None


async def test_secret_fields_go_along_within_the_origin(reactor: Any) -> None:
    """There the Remote's headers belong, and its client certificate."""
    async with Registry(reactor, together=True) as registry:
        async with Downloader(reactor, remote(TokenAuth(), headers={"X-Api-Key": "k"})) as downloader:
            await fetch(downloader, registry.files.url(BLOB))

        assert {request.get(b"x-api-key") for request in registry.files.requests} == {b"k"}


async def test_a_server_outside_the_scope_is_not_answered(reactor: Any) -> None:
    """A URL in a manifest led containerd to one that asked for the password (CVE-2020-15157)."""
    async with Registry(reactor) as registry:
        settings = remote(TokenAuth(USER, realms=[registry.tokens.url("/")]), url="http://127.0.0.2/")
        async with Downloader(reactor, settings) as downloader:
            with pytest.raises(AuthFailed):
                await fetch(downloader, registry.files.url(BLOB))

        assert registry.issued == []


@pytest.mark.parametrize("realm", ["ftp://127.0.0.1/token", "file:///etc/passwd"])
async def test_a_realm_that_is_no_place_for_tokens_is_refused(reactor: Any, realm: str) -> None:
    refusal = answer(b"", 401, ((b"WWW-Authenticate", f'Bearer realm="{realm}"'.encode()),))
    async with FaultServer(reactor, refusal) as server, Downloader(reactor, remote(TokenAuth())) as downloader:
        with pytest.raises(Refused, match="is not followed"):
            await fetch(downloader, server.url("/a"))


@pytest.mark.parametrize("auth", [None, USER], ids=["nobody", "somebody"])
async def test_a_realm_leads_from_https_to_http_only_if_it_is_named(reactor: Any, auth: Basic | None) -> None:
    """Whoever is on the way there would see the token, also one that everybody gets."""
    ca = trustme.CA()
    tls = TLS(ca=ca.cert_pem.bytes())
    identity = ServerTLS(ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    async with Registry(reactor) as registry, FaultServer(reactor, registry.file, tls=identity) as server:
        plain = registry.tokens.url("/")
        async with Downloader(reactor, remote(TokenAuth(auth), tls=tls)) as downloader:
            with pytest.raises(RedirectRefused, match=r"https: to http://127\.0\.0\.1:\d+ is not followed"):
                await fetch(downloader, server.url(BLOB))
        assert registry.issued == []

        async with Downloader(reactor, remote(TokenAuth(auth, realms=[plain]), tls=tls)) as downloader:
            assert await fetch(downloader, server.url(BLOB)) == BLOB.encode()


async def test_a_realm_that_is_no_url_is_a_ProtocolError(reactor: Any) -> None:
    refusal = answer(b"", 401, ((b"WWW-Authenticate", b'Bearer realm="bears only"'),))
    async with FaultServer(reactor, refusal) as server, Downloader(reactor, remote(TokenAuth())) as downloader:
        with pytest.raises(ProtocolError, match="realm is no URL"):
            await fetch(downloader, server.url("/a"))


@pytest.mark.parametrize("name", ["realm", "service", "scope"])
async def test_a_challenge_that_is_too_long_is_a_ProtocolError(reactor: Any, name: str) -> None:
    """It would be kept for each directory; one that is as long as it may be is answered."""
    async with (
        Registry(reactor) as registry,
        FaultServer(reactor, {}) as server,
        Downloader(reactor, remote(TokenAuth())) as downloader,
    ):
        fields = {"realm": registry.tokens.url("/token?x="), "service": "files", "scope": "all"}
        fields[name] += "x" * (CHALLENGE + 1 - sum(map(len, fields.values())))

        def script(request: Request) -> Any:
            challenge = "Bearer " + ",".join(f'{key}="{value}"' for key, value in fields.items())
            refusal = answer(b"", 401, ((b"WWW-Authenticate", challenge.encode()),))
            return answer(b"x") if request.get(b"authorization") else refusal

        server.script = script
        with pytest.raises(ProtocolError, match="realm, service and scope are too long"):
            await fetch(downloader, server.url("/a"))
        assert registry.issued == []

        fields[name] = fields[name][:-1]
        assert await fetch(downloader, server.url("/a")) == b"x"


@pytest.mark.parametrize(("size", "refused"), [(DIRECTORY, 2), (DIRECTORY + 1, 1)])
async def test_a_directory_that_is_too_long_counts_as_the_one_above(reactor: Any, size: int, refused: int) -> None:
    """A server may redirect to a thousand of them, and they would be kept."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        for directory in (f"/{'d' * (size - 2)}/", "/other/"):
            await fetch(downloader, registry.files.url(f"{directory}a"))
        assert registry.authorizations().count(None) == refused


# ---- token servers that fail


@pytest.mark.parametrize(
    "given",
    [b"", b"[]", b"nonsense", b"[" * 60_000, {}, {"token": None}, {"token": ""}, {"token": 7}, {"token": "s3same x"},
     {"token": "s3same\r\nX: y"}, {"token": ["s3same"]}],
)  # fmt: skip
async def test_an_answer_without_a_token_is_a_ProtocolError_and_not_repeated(reactor: Any, given: Any) -> None:
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.give = lambda _: given
        with pytest.raises(ProtocolError, match="holds none that could be used") as raised:
            await fetch(downloader, registry.files.url(BLOB))

        assert "s3same" not in _everything(raised.value)
        assert registry.authorizations() == [None]


async def test_a_token_that_is_too_long_is_a_ProtocolError(reactor: Any) -> None:
    """It would be kept, and no server would read it; one that is as long as it may be is shown."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.give = lambda _: {"token": "t" * (TOKEN + 1)}
        with pytest.raises(ProtocolError, match=f"of {TOKEN + 1} characters .* {TOKEN} at most"):
            await fetch(downloader, registry.files.url(BLOB))
        assert registry.authorizations() == [None]

        registry.give = lambda _: {"token": "t" * TOKEN}
        registry.good.add(b"t" * TOKEN)
        assert await fetch(downloader, registry.files.url(BLOB)) == BLOB.encode()


async def test_an_answer_without_an_end_is_not_read(reactor: Any) -> None:
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.give = lambda _: b"x" * (LONGEST + 1)
        with pytest.raises(TooLarge):
            await fetch(downloader, registry.files.url(BLOB))


@pytest.mark.parametrize(("status", "transient"), [(401, False), (403, False), (404, False), (503, True)])
async def test_what_the_token_server_says_is_what_went_wrong(reactor: Any, status: int, transient: bool) -> None:
    """A 404 of it is not one of the file: a gateway would tell its client that there is no such file."""
    async with Registry(reactor) as registry, Downloader(reactor, remote(TokenAuth())) as downloader:
        registry.tokens.script = answer(b"", status)
        with pytest.raises(DownloadError) as raised:
            await fetch(downloader, registry.files.url(BLOB))

        assert (type(raised.value) is AuthFailed, raised.value.transient) == (not transient, transient)
        assert raised.value.answer != 404
        assert str(registry.tokens.port) in str(raised.value)
        assert len(registry.tokens.requests) == 1


async def test_a_token_server_that_wants_a_token_is_not_answered(reactor: Any) -> None:
    """In the same place, where the Remote's secrets belong."""
    async with (
        Registry(reactor, together=True) as registry,
        Downloader(reactor, remote(TokenAuth())) as downloader,
    ):
        registry.scope = lambda _: "x"
        registry.files.script = registry.refusal
        with pytest.raises(AuthFailed):
            await fetch(downloader, registry.files.url(BLOB))

        assert [request.path for request in registry.files.requests] == [BLOB, "/token"]


async def test_those_who_wait_try_again(reactor: Any) -> None:
    """The question itself is asked once in each of their rounds."""
    async with Registry(reactor) as registry:
        right, left = registry.tokens.script, [2]

        def sometimes(request: Any) -> Any:
            left[0] -= 1
            return answer(b"", 503) if left[0] >= 0 else right(request)  # type: ignore[operator]

        registry.tokens.script = sometimes
        settings = Remote(auth=TokenAuth(), retries=Retries(count=4, base=0.01))
        async with Downloader(reactor, settings) as downloader:
            assert await fetch(downloader, registry.files.url(BLOB)) == BLOB.encode()

        assert len(registry.tokens.requests) == 3


async def test_a_token_server_that_is_down_is_asked_once_in_each_round(reactor: Any) -> None:
    """Rounds of its own would multiply those of the file."""
    async with Registry(reactor) as registry:
        registry.tokens.script = answer(b"", 503)
        settings = Remote(auth=TokenAuth(), retries=Retries(count=2, base=0.01))
        async with Downloader(reactor, settings) as downloader:
            with pytest.raises(DownloadError):
                await fetch(downloader, registry.files.url(BLOB))

        assert len(registry.tokens.requests) == 3


async def test_a_source_with_a_remote_of_its_own_asks_by_that(reactor: Any) -> None:
    """Its proxy and its trust are what leads to its token server, not the Downloader's."""
    async with (
        Registry(reactor) as registry,
        Downloader(reactor, Remote(headers={"User-Agent": "other"})) as downloader,
    ):
        body = ToMemory()
        own = remote(TokenAuth(), headers={"User-Agent": "own"})
        await downloader.download(Source(registry.files.url(BLOB), remote=own), body)

        assert {request.get(b"user-agent") for request in registry.tokens.requests} == {b"own"}


# ---- the value


def test_it_is_a_value() -> None:
    auth = TokenAuth(USER, realms=["https://auth.example/token?x=1", "HTTPS://Other.example:443"])

    assert verifyObject(IAuth, auth)
    assert verifyObject(IAuthenticator, auth.start(None))  # type: ignore[arg-type]
    assert auth == TokenAuth(USER, realms=["https://auth.example/", "https://other.example/"])
    assert hash(auth) == hash(TokenAuth(USER, realms=["https://auth.example", "https://other.example/"]))
    assert "wabbit" not in repr(auth)
    assert "auth.example" in repr(auth)


def test_what_it_cannot_mean_is_refused() -> None:
    wrong: Any = ("elmer", "wabbit")
    with pytest.raises(TypeError, match=r"^TokenAuth\.auth: tuple is no Basic"):
        TokenAuth(wrong)
    with pytest.raises(InvalidURL, match=r"^TokenAuth\.realms: not an absolute URL"):
        TokenAuth(realms=["auth.example"])


def _everything(error: BaseException | None) -> str:
    """All that an error says, and what it came from."""
    found = ""
    while error is not None:
        assert not hasattr(error, "doc")  # of a JSONDecodeError, which has it all
        found += f"{error!r} {error} {getattr(error, '__notes__', '')} {getattr(error, 'attempts', '')}"
        error = error.__cause__ or error.__context__
    return found
