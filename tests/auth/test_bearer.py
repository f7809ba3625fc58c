"""A token that one has, or knows how to get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pulp_dl import Bearer, Downloader, Limits, Remote, Retries, ToMemory
from pulp_dl.errors import AuthFailed, NotFound, Refused
from pulp_dl.interfaces import IAuth, IAuthenticator, IDownloader
from pulp_dl.testing import FaultServer, Request, answer

SECRET = "s3same"


def remote(token: Any, **settings: Any) -> Remote:
    limits = Limits(connections=20, per_host=20)
    return Remote(auth=Bearer(token), retries=Retries(count=0), limits=limits, **settings)


async def fetch(downloader: Downloader, url: str) -> bytes:
    body = ToMemory()
    await downloader.download(url, body)
    return body.data


def wants(*good: str) -> Callable[[Request], Any]:
    allowed = {f"Bearer {each}".encode() for each in good}
    return lambda request: answer(b"x") if request.get(b"authorization") in allowed else answer(b"", 401)


class Asked:
    """Gives these tokens in turn, the last one for ever."""

    def __init__(self, *tokens: Any) -> None:
        self.tokens = list(tokens)
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


async def soon(token: str) -> str:
    return await succeed(token)


async def test_a_token_is_sent_at_once(reactor: Any) -> None:
    async with FaultServer(reactor, wants(SECRET)) as server, Downloader(reactor, remote(SECRET)) as downloader:
        await fetch(downloader, server.url("/a"))

        assert len(server.requests) == 1


async def test_a_token_that_is_refused_is_not_sent_again(reactor: Any) -> None:
    async with FaultServer(reactor, wants("other")) as server, Downloader(reactor, remote(SECRET)) as downloader:
        with pytest.raises(AuthFailed):
            await fetch(downloader, server.url("/a"))

        assert len(server.requests) == 1


@pytest.mark.parametrize("given", [lambda: SECRET, lambda: succeed(SECRET), lambda: soon(SECRET)])
async def test_it_may_be_asked_for(reactor: Any, given: Any) -> None:
    """A plain answer, a Deferred or a coroutine; once for all requests."""
    asked: list[int] = []

    def ask() -> Any:
        asked.append(1)
        return given()

    async with FaultServer(reactor, wants(SECRET)) as server, Downloader(reactor, remote(ask)) as downloader:
        for _ in range(3):
            await fetch(downloader, server.url("/a"))

        assert asked == [1]
        assert len(server.requests) == 3


async def test_after_a_401_it_is_asked_for_again_once(reactor: Any) -> None:
    ask = Asked("old", "new")
    async with FaultServer(reactor, wants("new")) as server, Downloader(reactor, remote(ask)) as downloader:
        await fetch(downloader, server.url("/a"))
        await fetch(downloader, server.url("/a"))

        assert ask.times == 2
        assert len(server.requests) == 3


async def test_a_new_one_that_is_refused_is_the_end(reactor: Any) -> None:
    ask = Asked("a", "b", "c")
    async with FaultServer(reactor, wants("c")) as server, Downloader(reactor, remote(ask)) as downloader:
        with pytest.raises(AuthFailed):
            await fetch(downloader, server.url("/a"))

        assert (ask.times, len(server.requests)) == (2, 2)


async def test_the_same_one_is_not_sent_again(reactor: Any) -> None:
    ask = Asked("a")
    async with FaultServer(reactor, wants("b")) as server, Downloader(reactor, remote(ask)) as downloader:
        with pytest.raises(AuthFailed):
            await fetch(downloader, server.url("/a"))

        assert (ask.times, len(server.requests)) == (2, 1)


async def test_it_is_asked_for_once_however_many_wait(reactor: Any) -> None:
    """For the first token, and for the next; whoever leaves takes nobody along."""
    given: Deferred[str] = Deferred()
    ask = Asked(given, succeed("new"))
    async with FaultServer(reactor, wants("new")) as server, Downloader(reactor, remote(ask)) as downloader:
        first, *others = [Deferred.fromCoroutine(fetch(downloader, server.url(f"/{n}"))) for n in range(9)]
        first.cancel()
        with pytest.raises(CancelledError):
            await first
        given.callback("old")
        await gatherResults(others)

        assert ask.times == 2


async def test_it_is_given_up_when_nobody_waits(reactor: Any) -> None:
    given: Deferred[str] = Deferred()
    async with Downloader(reactor, remote(Asked(given))) as downloader:
        waiting = Deferred.fromCoroutine(fetch(downloader, "http://127.0.0.1:1/"))
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting
        assert given.called


async def test_what_was_cancelled_by_itself_is_no_cancelled_download(reactor: Any) -> None:
    """Nobody has given that up."""

    def ask() -> Any:
        token: Deferred[str] = Deferred()
        token.cancel()
        return token

    async with FaultServer(reactor, wants(SECRET)) as server, Downloader(reactor, remote(ask)) as downloader:
        with pytest.raises(Refused, match=r"Remote\.auth raised"):
            await fetch(downloader, server.url("/a"))

        assert server.requests == []


async def test_a_scope_holds_for_it(reactor: Any) -> None:
    async with FaultServer(reactor, answer(b"x")) as server:
        async with Downloader(reactor, remote(SECRET, url="http://127.0.0.2/")) as downloader:
            await fetch(downloader, server.url("/a"))

        assert server.requests[0].get(b"authorization") is None


@pytest.mark.parametrize("given", [None, b"x", "", "a b", f"{SECRET}\n", "\u00e4"])
async def test_an_answer_that_is_no_token_is_Refused_and_not_repeated(reactor: Any, given: Any) -> None:
    async with Downloader(reactor, remote(lambda: succeed(given))) as downloader:
        with pytest.raises(Refused) as raised:
            await fetch(downloader, "http://127.0.0.1:1/")

        assert SECRET not in f"{raised.value!r} {raised.value.__cause__!r} {raised.value.__notes__}"


@pytest.mark.parametrize("scheme", ["http", "ftp"])
async def test_an_authenticator_that_cannot_begin_is_Refused_and_its_text_not_shown(reactor: Any, scheme: str) -> None:
    @implementer(IAuth)
    class Broken:
        def start(self, direct: IDownloader) -> IAuthenticator:
            raise ValueError(SECRET)

    async with Downloader(reactor, Remote(auth=Broken(), retries=Retries(count=3))) as downloader:
        with pytest.raises(Refused, match=r"Remote\.auth raised ValueError") as raised:
            await fetch(downloader, f"{scheme}://127.0.0.1:1/a")

        assert len(raised.value.attempts) == 1
        assert SECRET not in f"{raised.value!r} {raised.value.__notes__}"


async def test_a_failure_to_get_one_is_the_downloads(reactor: Any) -> None:
    def gone() -> Any:
        raise NotFound(404, "no such token", "http://tokens.example/")

    async with Downloader(reactor, remote(gone)) as downloader:
        with pytest.raises(NotFound, match=r"tokens\.example"):
            await fetch(downloader, "http://127.0.0.1:1/")


def test_it_is_a_value_and_says_nothing() -> None:
    async def ask() -> str:
        return SECRET

    direct: Any = None
    for auth in (Bearer(SECRET), Bearer(ask)):
        assert verifyObject(IAuth, auth)
        assert verifyObject(IAuthenticator, auth.start(direct))
        assert repr(auth) == "Bearer()"
        assert auth == Bearer(auth.token)
        assert hash(auth) == hash(Bearer(auth.token))


@pytest.mark.parametrize("token", ["", "a b", f"{SECRET}\r\n", f"{SECRET}\0", "\u00e4"])
def test_what_cannot_be_sent_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match=r"^Bearer\.token: visible ASCII is needed") as raised:
        Bearer(token)
    assert SECRET not in str(raised.value)


def test_a_token_is_text() -> None:
    wrong: Any = b"x"
    with pytest.raises(TypeError, match=r"^Bearer\.token: a str is needed, not bytes"):
        Bearer(wrong)
