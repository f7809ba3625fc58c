"""Who logs in where, what the server says to it, and that nobody else hears of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl.consumers.memory import ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import AuthFailed, DownloadError, Refused, Unavailable
from pulp_dl.interfaces import IAuth, IAuthenticator, IDownloader
from pulp_dl.mirrors.places import Places
from pulp_dl.model.auth import Basic
from pulp_dl.model.netrc import Netrc
from pulp_dl.model.remote import Limits, Remote, Retries
from pulp_dl.model.source import Head, Source
from pulp_dl.protocols.ftp import FTPFetcher
from pulp_dl.testing import FaultFTP, Hold, Request, Script, reply
from pulp_dl.urls import InvalidURL
from tests.ftp.conftest import MakeFetcher, put
from tests.ftp.pyftpd import PyFTPd
from tests.sinks import Sink, read, sharing

FILES = {"a": b"bytes", "b": b"other bytes"}
SECRET = "wabbit söup"


def said(server: FaultFTP, *verbs: str) -> list[tuple[str, str]]:
    return [(each.method, each.target) for each in server.requests if each.method in (verbs or ("USER", "PASS"))]


async def test_nobody_is_anonymous(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES) as server:
        await read(fetching(), server.url("/a"))
    assert said(server) == [("USER", "anonymous"), ("PASS", "pulp_dl@")]


async def test_user_and_password_of_the_Remote_are_used(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES) as server:
        await read(fetching(auth=Basic("elmer", SECRET)), server.url("/a"))
    assert said(server) == [("USER", "elmer"), ("PASS", SECRET)]


async def test_those_of_the_URL_go_first_and_are_decoded(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES) as server:
        url = server.url("/a").replace("//", "//bugs%40warren:w%C3%A4%3Ab%2F@")
        await read(fetching(auth=Basic("elmer", SECRET)), url)
    assert said(server) == [("USER", "bugs@warren"), ("PASS", "wä:b/")]


async def test_real_servers_take_them(fetching: MakeFetcher, pyftpd: PyFTPd) -> None:
    put(pyftpd.folder, "login", b"in")
    _, data = await read(fetching(auth=Basic("elmer", SECRET)), pyftpd.url("login"))
    assert data == b"in"
    _, data = await read(fetching(), pyftpd.url("login", "elmer:wabbit%20s%C3%B6up@"))
    assert data == b"in"
    with pytest.raises(AuthFailed, match="530 Authentication failed"):
        await fetching(auth=Basic("elmer", "wabbit stew")).open(Source(pyftpd.url("login")))


async def test_the_password_is_not_sent_where_none_is_wanted(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, {"USER": reply(230)}) as server:
        await read(fetching(auth=Basic("elmer", SECRET)), server.url("/a"))
    assert said(server) == [("USER", "elmer")]


async def test_the_servers_own_words_are_in_the_error(reactor: Any, fetching: MakeFetcher) -> None:
    """Of Twisted's client one hears that the connection was lost."""
    refuses: dict[str, Script] = {"PASS": reply(530, "Dear elmer,", "the season is over.")}
    async with FaultFTP(reactor, FILES, refuses) as server:
        with pytest.raises(AuthFailed) as caught:
            await fetching(auth=Basic("elmer", SECRET)).open(Source(server.url("/a")))
    assert str(caught.value) == f"{server.url('/a')}: the server answered 530 the season is over."
    assert not caught.value.transient


@pytest.mark.parametrize("verb", ["USER", "PASS", "TYPE", "SIZE", "RETR"])
async def test_a_password_that_the_server_repeats_is_not_shown(reactor: Any, verb: str) -> None:
    """In no error, log, or repr of anything."""
    heard: list[LogEvent] = []
    hear: Any = heard.append
    echo: dict[str, Script] = {verb: reply(530, f"{SECRET} is wrong")}
    remote = Remote(auth=Basic("elmer", SECRET), retries=Retries(count=0))
    globalLogPublisher.addObserver(hear)
    try:
        async with FaultFTP(reactor, FILES, echo) as server:
            async with Downloader(reactor, remote) as downloader:
                with pytest.raises(DownloadError) as caught:
                    await downloader.download(server.url("/a"), ToMemory())
    finally:
        globalLogPublisher.removeObserver(hear)
    error: BaseException | None = caught.value
    texts = [eventAsText(event) for event in heard] + [repr(remote)]
    while error is not None:
        texts += [str(error), repr(error), *getattr(error, "__notes__", [])]
        error = error.__cause__
    assert not [text for text in texts if SECRET in text]


async def test_nothing_of_a_session_shows_its_password(reactor: Any, fetching: MakeFetcher, shared: Any) -> None:
    async with FaultFTP(reactor, FILES) as server:
        await read(fetching(auth=Basic("elmer", SECRET)), server.url("/a"))
        pool = shared.keep("ftp", bool)
        (key,) = pool._places
        (session,) = pool._places[key].sessions
        shown = [repr(each) for each in (key, session, session.client, session.slot, pool, pool._places[key])]
    assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize("where", ["user", "password"])
@pytest.mark.parametrize("control", [*map(chr, range(32)), "\x7f"])
def test_no_control_character_gets_into_a_user_or_password(where: str, control: str) -> None:
    """Twisted's client sends them, and what follows is a command of its own."""
    values = {"user": "elmer", "password": "x"} | {where: f"x{control}DELE important"}
    with pytest.raises(ValueError, match="control"):
        Basic(**values)
    with pytest.raises(InvalidURL):
        Source(f"ftp://{values['user']}:{values['password']}@host/a".replace(control, f"%{ord(control):02x}"))


# ---- scope


async def test_credentials_go_to_their_origin_only(reactor: Any) -> None:
    """A mirror is anonymous, whatever the Remote knows."""
    async with FaultFTP(reactor, {"c": b"the origin's"}) as origin, FaultFTP(reactor, FILES) as mirror:
        remote = Remote(auth=Basic("elmer", SECRET), retries=Retries(count=0))
        mirrors = Places([mirror.url("/")])
        async with Downloader(reactor, remote, mirrors=mirrors) as downloader:
            for name in "ac":
                consumer = ToMemory()
                await downloader.download(origin.url(f"/{name}"), consumer)
    assert consumer.data == b"the origin's"
    assert said(origin) == [("USER", "elmer"), ("PASS", SECRET)]
    assert said(mirror) == [("USER", "anonymous"), ("PASS", "pulp_dl@")]


async def test_the_scope_of_a_Remote_is_its_url(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES) as server:
        await read(fetching(url="ftp://elsewhere/", auth=Basic("elmer", SECRET)), server.url("/a"))
        await read(fetching(auth=Basic("elmer", SECRET)), Source(server.url("/a"), public=True))
        await read(fetching(url=server.url("/"), auth=Basic("elmer", SECRET)), server.url("/a"))
    assert [user for verb, user in said(server, "USER")] == ["anonymous", "elmer"]


async def test_sessions_are_shared_by_those_who_have_the_same_user_and_password_only(
    reactor: Any, fetching: MakeFetcher
) -> None:
    """Nobody gets a file by the rights of somebody else."""
    async with FaultFTP(reactor, FILES) as server:
        who = [None, Basic("elmer", "x"), Basic("elmer", "y"), Basic("bugs", "x"), Basic("elmer", "x"), None]
        for auth in who:
            await read(fetching(auth=auth), server.url("/a"))
    users = [target for _, target in said(server, "USER")]
    assert users == ["anonymous", "elmer", "elmer", "bugs"]


# ---- other authenticators


async def test_a_netrc_is_read(reactor: Any, fetching: MakeFetcher, tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login elmer password wabbit\n")
    async with FaultFTP(reactor, FILES) as server:
        await read(fetching(auth=Netrc(path)), server.url("/a"))
        path.write_text("machine elsewhere login elmer password wabbit\n")
        await read(fetching(auth=Netrc(path)), server.url("/a"))
    assert said(server)[::2] == [("USER", "elmer"), ("USER", "anonymous")]
    assert ("PASS", "wabbit") in said(server)


@implementer(IAuth, IAuthenticator)
class Token:
    """HTTP's bearer token."""

    def __init__(self, value: bytes | Exception) -> None:
        self.value = value

    def start(self, direct: IDownloader) -> Token:
        return self

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Deferred[None]:
        if isinstance(self.value, Exception):
            raise self.value
        headers[b"Authorization"] = self.value
        return succeed(None)

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        return succeed(False)


@implementer(IAuth)
class Fetched:
    """A password that is a file, of the same server; and how it was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0

    def start(self, direct: IDownloader) -> IAuthenticator:
        return _Fetched(self, direct)


@implementer(IAuthenticator)
class _Fetched:
    def __init__(self, auth: Fetched, direct: IDownloader) -> None:
        self.auth, self.direct = auth, direct

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Deferred[Any]:
        self.auth.asked += 1
        assert self.auth.asked == 1, "it is asked for what it asks for"
        password = ToMemory()

        def know(_: object) -> None:
            Basic("elmer", password.data.decode()).authorize(method, url, headers)

        return self.direct.download(Source(self.auth.url), password).addCallback(know)

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        return succeed(False)


async def test_what_it_fetches_a_password_with_does_not_ask_for_one(reactor: Any) -> None:
    """Nor does it try again: that is for those who wait."""
    async with FaultFTP(reactor, FILES | {"password": SECRET.encode()}) as server:
        auth = Fetched(server.url("/password"))
        async with Downloader(reactor, Remote(auth=auth)) as downloader:
            await downloader.download(server.url("/a"), ToMemory())

        assert said(server, "USER", "PASS") == [
            ("USER", "anonymous"),
            ("PASS", "pulp_dl@"),
            ("USER", "elmer"),
            ("PASS", SECRET),
        ]


async def test_a_login_that_is_given_up_is_cancelled(reactor: Any, fetching: MakeFetcher) -> None:
    """And is no fault of whoever it waits for."""
    waiting: Deferred[None] = Deferred()
    never = Token(b"")
    never.authorize = lambda *_: waiting
    async with FaultFTP(reactor, FILES) as server:
        asking = fetching(auth=never).open(Source(server.url("/a")))
        asking.cancel()
        with pytest.raises(CancelledError):
            await asking
        assert waiting.called
        assert server.connections.total == 0


async def test_who_has_a_token_only_is_told_that_FTP_has_none(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES) as server:
        for value in (b"Bearer abc", b"Basic !!", ValueError("abc")):
            with pytest.raises(Refused, match=r"Remote.auth raised|user and password only") as caught:
                await fetching(auth=Token(value)).open(Source(server.url("/a")))
            assert "abc" not in str(caught.value)
        await read(fetching(auth=Token(Basic("elmer", SECRET).header)), server.url("/a"))
    assert said(server) == [("USER", "elmer"), ("PASS", SECRET)]


# ---- a server that is full


FULL = [
    reply(421, "There are too many connected users, please try again later."),
    reply(421, "Too many connections."),
    reply(530, "Sorry, the maximum number of clients (3) for this user are already connected."),
]


@pytest.mark.parametrize("full", FULL)
@pytest.mark.parametrize("verb", ["", "USER", "PASS", "TYPE"])
async def test_a_server_that_is_full_is_asked_again_later(reactor: Any, verb: str, full: Script) -> None:
    async with FaultFTP(reactor, FILES, {verb: full}, greeting=None if verb else full) as server:
        async with Downloader(reactor, Remote(retries=Retries(count=0))) as downloader:
            with pytest.raises(Unavailable) as caught:
                await downloader.download(server.url("/a"), ToMemory())
    assert caught.value.transient
    assert "connect" in str(caught.value)


@pytest.mark.parametrize("full", FULL)
async def test_who_is_turned_away_shares_the_sessions_there_are(reactor: Any, full: Script) -> None:
    """Fewer connections, not one failed attempt."""
    inside: set[int] = set()

    def let_in(request: Request) -> Script:
        inside.intersection_update({number for number, player in server.sessions.items() if player.alive})
        if len(inside) >= 2:
            return full
        inside.add(request.connection)
        return reply(230)

    files = {str(number): b"%d" % number * 5000 for number in range(30)}
    async with FaultFTP(reactor, files, {"PASS": let_in}) as server:
        async with Downloader(reactor, Remote(retries=Retries(count=0))) as downloader:
            wanted = ((server.url(f"/{name}"), ToMemory()) for name in files)
            async with downloader.download_many(wanted) as outcomes:
                found = [outcome async for outcome in outcomes]
    assert [outcome.error for outcome in found if outcome.error] == []
    assert len(found) == 30
    assert all(len(outcome.report.attempts) == 1 for outcome in found if outcome.report)
    assert len(said(server, "USER")) < 10


async def test_who_is_turned_away_takes_the_session_that_idles_meanwhile(reactor: Any, fetching: MakeFetcher) -> None:
    """Nobody would hand it over any more."""

    def let_in(request: Request) -> Script:
        return reply(230) if said(server, "PASS")[1:] == [] else (Hold("late"), FULL[0])

    server: FaultFTP
    async with FaultFTP(reactor, FILES, {"PASS": let_in}) as server:
        fetcher = fetching()
        opening = [fetcher.open(Source(server.url("/a"))), fetcher.open(Source(server.url("/b")))]
        sink = Sink()
        await (await opening[0]).deliver(sink)
        while len(said(server, "PASS")) < 2:
            await deferLater(reactor, 0.005)
        assert not opening[1].called
        server.release("late")
        await (await opening[1]).deliver(sink)
    assert sink.data == b"bytesother bytes"


async def test_where_none_of_us_is_let_in_all_hear_it_at_once(reactor: Any) -> None:
    """And nobody asks again and again."""
    async with FaultFTP(reactor, FILES, greeting=FULL[0]) as server:
        remote = Remote(retries=Retries(count=0), limits=Limits(connections=8, per_host=8))
        async with Downloader(reactor, remote) as downloader:
            asked = [downloader.download(server.url("/a"), ToMemory()) for _ in range(20)]
            for each in asked:
                with pytest.raises(Unavailable):
                    await each
        assert server.connections.total <= 8


async def test_who_gives_up_all_when_one_is_turned_away_leaves_nothing(reactor: Any) -> None:
    """As somebody does who wants several parts of one file."""
    asked: list[Deferred[Any]] = []

    def give_up(failure: Failure) -> None:
        failures.append(failure)
        for each in asked:
            each.cancel()

    failures: list[Failure] = []
    async with FaultFTP(reactor, FILES, greeting=FULL[0]) as server, sharing(reactor, 2, 2) as shared:
        fetcher = FTPFetcher(reactor, Remote(), shared)
        asked += [fetcher.open(Source(server.url("/a"))) for _ in range(3)]
        for each in asked:
            each.addErrback(give_up)
        while len(failures) < 3:
            await deferLater(reactor, 0.005)
        assert [failure.type for failure in failures] == [Unavailable, CancelledError, CancelledError]
        # Its place is free again.
        (await shared.slots.acquire("another", 2)).release()


async def test_pyftpdlib_that_is_full_is_no_reason_to_fail(reactor: Any, tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path, str(number), b"%d" % number)
    server = PyFTPd(tmp_path, {"max_cons": 4})  # data connections count
    await server.start()
    try:
        async with Downloader(reactor, Remote(retries=Retries(count=3, base=0.1))) as downloader:
            wanted = ((server.url(str(number)), ToMemory()) for number in range(20))
            async with downloader.download_many(wanted) as outcomes:
                found = [outcome async for outcome in outcomes]
    finally:
        await server.stop()
    assert [outcome.error for outcome in found if outcome.error] == []
