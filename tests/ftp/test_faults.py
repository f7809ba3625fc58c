"""What servers do wrong, and what must then not happen: a short file taken for a whole one, a wait without end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.internet.tcp import Client

from pulp_dl.consumers.memory import ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import (
    AuthFailed,
    BadStatus,
    ConnectFailed,
    DownloadError,
    NotFound,
    ProtocolError,
    TimedOut,
    Truncated,
    Unavailable,
)
from pulp_dl.model.expect import Digest
from pulp_dl.model.remote import Remote, Retries, Timeouts
from pulp_dl.model.source import Source, Span
from pulp_dl.protocols.ftp import FTPFetcher
from pulp_dl.testing import Close, Data, Drip, Entity, FaultFTP, Hold, Port, Repeat, Reset, Script, Send, reply
from pulp_dl.testing import Sink as StubbornSink
from tests.ftp.conftest import MakeFetcher, verbs
from tests.servers import MuteResolver
from tests.sinks import Sink, read, sharing, until

BODY = bytes(range(256)) * 400
FILES = {"a": BODY}
HALF = BODY[:50_000]


def once(**settings: Any) -> Remote:
    """A Remote that tries once, and not for long."""
    return Remote(retries=Retries(count=0), **settings)


async def fails(reactor: Any, server: FaultFTP, **limits: float) -> DownloadError:
    """What a download of C{a} fails with; nothing is left of it at the server."""
    async with Downloader(reactor, once(timeouts=Timeouts(**limits))) as downloader:
        with pytest.raises(DownloadError) as caught:
            await downloader.download(server.url("/a"), ToMemory())
    await gone(reactor, server)
    return caught.value


async def gone(reactor: Any, server: FaultFTP) -> None:
    await until(reactor, lambda: not server.connections.open)


# ---- the end of a transfer


def retr(*script: Script) -> dict[str, Script]:
    return {"RETR": script}


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ((reply(150), Data((Send(HALF), Reset())), reply(226)), Truncated),
        ((reply(150), Data((Send(HALF), Close())), reply(226)), Truncated),
        ((reply(150), Data((Send(HALF), Close())), reply(426, "no")), Truncated),
        ((reply(150), Data((Send(HALF), Close())), Close()), Truncated),
        ((reply(150), Data((Send(BODY), Reset())), reply(226)), ProtocolError),
        ((reply(150), Data((Send(BODY), Close())), reply(426, "no")), ProtocolError),
        ((reply(150), Data((Send(BODY), Close())), reply(451, "no")), ProtocolError),
        ((reply(150), Data((Send(BODY), Close())), Close()), ProtocolError),
        ((reply(150), Data((Send(BODY), Close())), Reset()), ProtocolError),
        ((reply(150), Data((Send(BODY + b"!"), Close())), reply(226)), ProtocolError),
        ((reply(150), Data((Send(BODY), Close())), Send(b"nonsense\r\n")), ProtocolError),
    ],
)
async def test_only_226_and_a_good_end_and_the_right_size_together_are_the_end(
    reactor: Any, script: Script, kind: type[DownloadError]
) -> None:
    """
    Also a reset behind the last byte: who resets may not have sent all (Twisted #4359).  The body itself knows; what
    counts the bytes after it is not needed for that.
    """
    async with FaultFTP(reactor, FILES, {"RETR": script}) as server:
        error = await fails(reactor, server)
        assert type(error) is kind
        async with sharing(reactor) as shared:
            body = await FTPFetcher(reactor, Remote(), shared).open(Source(server.url("/a")))
            with pytest.raises(kind):
                await body.deliver(Sink())


@pytest.mark.parametrize(("sent", "kind"), [(HALF, Truncated), (BODY, ProtocolError)])
async def test_a_data_connection_that_breaks_says_why(
    reactor: Any, fetching: MakeFetcher, sent: bytes, kind: type[DownloadError]
) -> None:
    """From what the caller sees down to what the socket said, nothing is left out."""
    async with FaultFTP(reactor, FILES, {"RETR": (reply(150), Data((Send(sent), Reset())), Hold())}) as server:
        body = await fetching().open(Source(server.url("/a")))
        with pytest.raises(kind) as caught:
            await body.deliver(Sink())
    broke = caught.value.__cause__
    assert type(broke) is ProtocolError
    assert (broke.message, broke.url) == ("the data connection broke", server.url("/a"))
    assert isinstance(broke.__cause__, ConnectionLost)


@pytest.mark.parametrize("order", [(reply(150), reply(226), Data((Send(BODY), Close()))), ()])
async def test_the_last_reply_may_come_before_the_last_byte(reactor: Any, fetching: MakeFetcher, order: Script) -> None:
    async with FaultFTP(reactor, FILES, {"RETR": order} if order else None) as server:
        _, data = await read(fetching(), server.url("/a"))
    assert data == BODY


async def test_an_empty_file_may_need_no_150(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, {"a": b""}, retr(Data(Close()), reply(226))) as server:
        head, data = await read(fetching(), server.url("/a"))
    assert (head.length, data) == (0, b"")


async def test_without_SIZE_a_reset_is_no_end_and_a_good_end_is_one(reactor: Any, fetching: MakeFetcher) -> None:
    no_size: dict[str, Script] = {"SIZE": reply(500)}
    async with FaultFTP(reactor, FILES, no_size) as server:
        head, data = await read(fetching(), server.url("/a"))
        assert (head.length, head.total, data) == (None, None, BODY)
    reset = retr(reply(150), Data((Send(HALF), Reset())), reply(226))
    async with FaultFTP(reactor, FILES, no_size | reset) as server:
        assert isinstance(await fails(reactor, server), Truncated)


@pytest.mark.parametrize(
    "script",
    [
        (reply(150), Data((Send(BODY), Close())), Hold()),
        (reply(150), Data((Send(BODY), Hold()))),
        (reply(150), Data((Send(HALF), Hold()))),
        (reply(150), Data(Hold())),
        (reply(150), Hold()),
        (reply(150), reply(226), Data((Send(BODY), Hold()))),
    ],
    ids=["no 226", "no end", "stalls", "no byte", "no data", "226 and no end"],
)
async def test_a_transfer_that_stalls_is_ended_by_the_idle_limit(reactor: Any, script: Script) -> None:
    async with FaultFTP(reactor, FILES, {"RETR": script}) as server:
        error = await fails(reactor, server, idle=0.1)
    assert isinstance(error, TimedOut)
    assert error.phase == "idle"


@pytest.mark.parametrize("verb", ["USER", "SIZE", "RETR"])
async def test_the_total_limit_ends_it_wherever_it_is(reactor: Any, verb: str) -> None:
    async with FaultFTP(reactor, FILES, {verb: (reply(150), Hold())}) as server:
        error = await fails(reactor, server, total=0.2)
    assert isinstance(error, TimedOut)
    assert error.phase == "total"


async def test_a_body_that_drips_is_too_slow(reactor: Any) -> None:
    drips: Script = (reply(150), Data(Drip(BODY, 10, 0.02)))
    async with FaultFTP(reactor, FILES, {"RETR": drips}) as server:
        error = await fails(reactor, server, low_speed=100_000, low_speed_window=0.2)
    assert isinstance(error, TimedOut)
    assert error.phase == "low_speed"


async def test_a_body_without_226_is_good_if_a_digest_says_so(reactor: Any) -> None:
    """All bytes are here: nothing is fetched again."""
    digest = Digest("sha256", sha256(BODY).hexdigest())
    script = (reply(150), Data((Send(BODY), Close())), Hold())
    remote = Remote(retries=Retries(count=1, base=0.01), timeouts=Timeouts(idle=0.1))
    async with FaultFTP(reactor, FILES, {"RETR": script}) as server:
        async with Downloader(reactor, remote) as downloader:
            consumer = ToMemory()
            await downloader.download(Source(server.url("/a"), expect=digest), consumer)
        assert consumer.data == BODY
        assert len([each for each in server.commands if each.startswith("RETR")]) == 1


# ---- stalls


@pytest.mark.parametrize("verb", ["", "USER", "PASS", "TYPE", "SIZE", "MDTM", "EPSV", "RETR"])
async def test_a_server_that_stalls_is_left_at_the_head_limit(reactor: Any, verb: str) -> None:
    """Also one that never greets."""
    held: dict[str, Script] = {verb: Hold()}
    async with FaultFTP(reactor, FILES, held, greeting=None if verb else Hold()) as server:
        error = await fails(reactor, server, head=0.1)
    assert isinstance(error, TimedOut)
    assert error.phase == "head"
    assert error.url == server.url("/a")


async def test_a_server_that_is_not_reached_is_left_at_the_connect_limit(reactor: Any, fetching: MakeFetcher) -> None:
    """Here it is its name that nobody knows; the name server says nothing at all."""
    usual = reactor.nameResolver
    reactor.installNameResolver(MuteResolver())
    try:
        with pytest.raises(TimedOut) as caught:
            await fetching(timeouts=Timeouts(connect=0.1)).open(Source("ftp://name.example/a"))
    finally:
        reactor.installNameResolver(usual)
    assert (caught.value.phase, caught.value.url) == ("connect", "ftp://name.example/a")


async def test_a_server_that_stalls_at_REST_is_left_at_the_head_limit(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, {"REST": Hold()}) as server:
        fetcher = fetching(timeouts=Timeouts(head=0.1))
        with pytest.raises(TimedOut):
            await fetcher.open(Source(server.url("/a")), Span(10))
        await gone(reactor, server)


@pytest.mark.parametrize("verb", ["", "USER", "PASS", "TYPE", "SIZE", "MDTM", "EPSV", "REST", "RETR"])
async def test_cancelling_at_any_moment_drops_both_connections(reactor: Any, fetching: MakeFetcher, verb: str) -> None:
    """Twisted's own client leaves the control connection of each cancelled transfer."""
    held: dict[str, Script] = {verb: Hold()}
    async with FaultFTP(reactor, FILES, held, greeting=None if verb else Hold()) as server:
        opening = fetching().open(Source(server.url("/a")), Span(10))
        await until(reactor, lambda: verb in verbs(server) if verb else server.connections.open)
        opening.cancel()
        with pytest.raises(CancelledError):
            await opening
        await gone(reactor, server)


@contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue is full: a connection to it is neither made nor refused."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        yield full.getsockname()[1]


async def test_cancelling_while_the_data_connection_is_made_leaves_nothing(reactor: Any, fetching: MakeFetcher) -> None:
    with full_port() as full:
        nowhere = reply(229, f"there (|||{full}|)")
        async with FaultFTP(reactor, FILES, {"EPSV": nowhere, "PASV": reply(502)}) as server:
            opening = fetching().open(Source(server.url("/a")))
            await until(
                reactor, lambda: any(isinstance(each, Client) and not each.connected for each in reactor.getWriters())
            )
            opening.cancel()
            with pytest.raises(CancelledError):
                await opening
            await gone(reactor, server)
            assert server.commands[-1] == "EPSV"

            del server.replies["PASV"]
            _, data = await read(fetching(timeouts=Timeouts(connect=0.1)), server.url("/a"))
            assert data == BODY
            server.replies["PASV"] = Hold()
            with pytest.raises(TimedOut) as caught:
                await fetching(timeouts=Timeouts(connect=0.1, head=0.3)).open(Source(server.url("/a")), Span(1))
            assert caught.value.phase == "head"


@pytest.mark.parametrize(("connect", "head"), [(1.2, 1.2), (30, 1.2), (None, 1.2), (0.2, None)])
async def test_PASV_has_its_turn_however_the_limits_are(
    reactor: Any, fetching: MakeFetcher, connect: float | None, head: float | None
) -> None:
    """Both ways have to fit into the head limit; the connect limit alone may be no shorter than that."""
    with full_port() as full:
        async with FaultFTP(reactor, FILES, {"EPSV": reply(229, f"there (|||{full}|)")}) as server:
            fetcher = fetching(timeouts=Timeouts(connect=connect, head=head))
            _, data = await read(fetcher, server.url("/a"))
            assert data == BODY
            assert verbs(server)[-3:] == ["EPSV", "PASV", "RETR"]


async def test_where_PASV_has_no_turn_EPSV_has_all_of_the_limit(reactor: Any, fetching: MakeFetcher) -> None:
    """It has opened ports before, so nothing keeps them from us."""
    with full_port() as full:
        async with FaultFTP(reactor, FILES) as server:
            fetcher = fetching(timeouts=Timeouts(connect=None, head=0.2))
            await read(fetcher, server.url("/a"))
            server.replies["EPSV"] = reply(229, f"there (|||{full}|)")
            with pytest.raises(TimedOut) as caught:
                await fetcher.open(Source(server.url("/a")))
            assert caught.value.phase == "head"
            assert "PASV" not in server.commands


# ---- replies


@pytest.mark.parametrize(
    "greeting",
    [
        Repeat(Send(b"220-and on\r\n" * 50)),
        Repeat(Send(b"x" * 4096)),
        Repeat(Send(b"220 " + b"x" * 4096)),
        Repeat(Send(b"150 soon\r\n")),
        Send(b"SSH-2.0-OpenSSH_9.2\r\n"),
        Send(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Send(b"\r\n"),
        Send(b"999 what\r\n"),
        (reply(220), reply(220), Hold()),
    ],
    ids=["lines", "a line", "a line with a code", "marks", "ssh", "http", "empty", "no code", "two"],
)
async def test_what_is_no_reply_or_too_much_of_one_ends_the_connection(reactor: Any, greeting: Script) -> None:
    async with FaultFTP(reactor, FILES, {"USER": Hold()}, greeting=greeting) as server:
        error = await fails(reactor, server, head=5)
        assert server.bytes_sent < 10_000_000
    assert type(error) is ProtocolError


@pytest.mark.parametrize("verb", ["USER", "PASS", "SIZE", "EPSV", "RETR"])
async def test_an_endless_reply_is_not_kept(reactor: Any, verb: str) -> None:
    """It cost Twisted's client 790 MiB in four seconds."""
    endless: dict[str, Script] = {verb: Repeat(Send(b"331-" + b"x" * 500 + b"\r\n"))}
    async with FaultFTP(reactor, FILES, endless) as server:
        error = await fails(reactor, server, head=5)
        assert server.bytes_sent < 10_000_000
    assert type(error) is ProtocolError
    assert "lines" in str(error)


async def test_a_reply_of_several_lines_ends_with_its_own_code_only(reactor: Any, fetching: MakeFetcher) -> None:
    """In Twisted's client any line with a code ends it, and every later answer is that to another question."""
    greeting = Send(b"220-Welcome\r\n226 y\r\n331 z\r\n 220 a\r\n2200 b\r\n220-c\r\n220 d\r\n")
    known: dict[str, Script] = {
        "PASS": Send(b"230-a\r\n530 no\r\n230\r\n"),
        "SIZE": Send(b"213-size\r\n550 x\r\n213 102400\r\n"),
    }
    async with FaultFTP(reactor, FILES, known, greeting=greeting) as server:
        _, data = await read(fetching(), server.url("/a"))
    assert data == BODY


async def test_a_server_may_say_that_it_will_be_ready_soon(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, greeting=(reply(120, "in a minute"), reply(220, "now"))) as server:
        _, data = await read(fetching(), server.url("/a"))
    assert data == BODY


async def test_lines_may_end_with_a_line_feed_alone(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, {"PASS": Send(b"230 ok\n")}, greeting=Send(b"220 hello\n")) as server:
        _, data = await read(fetching(), server.url("/a"))
    assert data == BODY
    assert all("\r" not in each for each in server.commands)


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), max_size=20),
    cut=st.integers(1, 50),
)
@settings(max_examples=30)
async def test_whatever_a_server_says_there_is_a_file_or_an_error(reactor: Any, lines: list[bytes], cut: int) -> None:
    said = b"".join(line + b"\r\n" for line in lines)
    greeting = (*(Send(said[at : at + cut]) for at in range(0, len(said), cut)), reply(220))
    async with FaultFTP(reactor, FILES, greeting=greeting) as server:
        async with Downloader(reactor, once(timeouts=Timeouts(head=0.5))) as downloader:
            consumer = ToMemory()
            try:
                await downloader.download(server.url("/a"), consumer)
            except DownloadError:
                return
            assert consumer.data == BODY


# ---- ports


@pytest.mark.parametrize(
    "said",
    [
        b"227 Entering Passive Mode (10,0,0,1,%(high)d,%(low)d).\r\n",
        b"227 Passive Mode, see RFC 959 (10,1,2,3,%(high)d,%(low)d) 5\r\n",
        b"227 =10,1,2,3,%(high)d,%(low)d\r\n",
    ],
)
async def test_the_address_in_the_reply_of_PASV_is_not_looked_at(
    reactor: Any, fetching: MakeFetcher, said: bytes
) -> None:
    """CVE-2020-8284 of curl, CVE-2021-4189 of Python: it could be anybody's."""
    async with FaultFTP(reactor, FILES, {"EPSV": reply(500), "PASV": Port(said)}) as server:
        fetcher = fetching()
        for _ in range(2):
            _, data = await read(fetcher, server.url("/a"))
            assert data == BODY
    assert server.commands.count("EPSV") == 1


@pytest.mark.parametrize(
    "said",
    [
        {"EPSV": reply(229, "(|||22|)")},
        {"EPSV": reply(229, "(|||0|)")},
        {"EPSV": reply(229, "(|||99999|)")},
        {"EPSV": reply(229, "(||10.0.0.1|5000|)")},
        {"EPSV": reply(229, "nothing")},
        {"EPSV": reply(227, "(127,0,0,1,4,1)")},
        {"EPSV": reply(502), "PASV": reply(227, "(127,0,0,1,0,25)")},
        {"EPSV": reply(502), "PASV": reply(227, "(127,0,0,1,400,1)")},
        {"EPSV": reply(502), "PASV": reply(227, "see RFC 959")},
    ],
)
async def test_a_port_that_is_none_is_refused(reactor: Any, said: dict[str, Script]) -> None:
    async with FaultFTP(reactor, FILES, said) as server:
        assert type(await fails(reactor, server)) is ProtocolError


async def test_a_port_that_refuses_is_a_failure_to_connect(reactor: Any, fetching: MakeFetcher) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    nobody: dict[str, Script] = {
        "EPSV": reply(229, f"(|||{closed}|)"),
        "PASV": reply(227, f"(127,0,0,1,{closed // 256},{closed % 256})"),
    }
    async with FaultFTP(reactor, FILES, nobody) as server:
        error = await fails(reactor, server)
        assert type(error) is ConnectFailed
        assert "data connection" in str(error)
        del server.replies["PASV"]
        # Something between may know PASV only.
        _, data = await read(fetching(), server.url("/a"))
        assert data == BODY


async def test_no_data_connection_for_the_server_is_a_reason_to_try_again(reactor: Any) -> None:
    async with FaultFTP(reactor, FILES, {"RETR": reply(425, "cannot")}) as server:
        error = await fails(reactor, server)
    assert isinstance(error, Unavailable)
    assert "425 cannot" in str(error)


# ---- what it does not know


async def test_without_SIZE_all_spans_are_answered_with_the_whole(reactor: Any, fetching: MakeFetcher) -> None:
    """Nobody could say where they end."""
    async with FaultFTP(reactor, FILES, {"SIZE": reply(502)}) as server:
        fetcher = fetching()
        for span in (Span(-5), Span(10), Span(10, 20)):
            head, data = await read(fetcher, server.url("/a"), span)
            assert (head.status, head.span, head.total, data) == (200, None, None, BODY)
    assert server.commands.count("SIZE a") == 1  # it said that it does not know it


async def test_without_REST_a_span_is_answered_with_the_whole(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, {"REST": reply(502)}) as server:
        fetcher = fetching()
        for _ in range(2):
            head, data = await read(fetcher, server.url("/a"), Span(10))
            assert (head.status, head.span, head.length, data) == (200, None, len(BODY), BODY)
        head, data = await read(fetcher, server.url("/a"), Span(0, 10))
        assert (head.status, data) == (206, BODY[:10])
    assert server.commands.count("REST 10") == 1


async def test_without_MDTM_there_is_no_validator(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, {"MDTM": reply(502)}) as server:
        head, data = await read(fetching(), server.url("/a"))
    assert (head.modified, head.etag, head.length, data) == (None, None, len(BODY), BODY)


async def test_a_file_of_this_minute_has_no_validator(reactor: Any, fetching: MakeFetcher) -> None:
    new = Entity(BODY, modified=formatdate(reactor.seconds() - 10, usegmt=True).encode())
    async with FaultFTP(reactor, {"a": new}) as server:
        head = await fetching().head(Source(server.url("/a")))
    assert head.etag is None
    assert head.modified is not None


@pytest.mark.parametrize("text", ["yesterday", "-5", "1 2", ""])
async def test_nonsense_about_a_file_is_no_knowledge(reactor: Any, fetching: MakeFetcher, text: str) -> None:
    async with FaultFTP(
        reactor, FILES, {"SIZE": reply(213, text), "MDTM": reply(213, f"20269999999999{text}")}
    ) as server:
        head, data = await read(fetching(), server.url("/a"))
    assert (head.length, head.modified, data) == (None, None, BODY)


async def test_a_server_that_knows_nothing_of_files_is_asked_for_them(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, {"SIZE": reply(502), "MDTM": reply(502)}) as server:
        fetcher = fetching()
        head = await fetcher.head(Source(server.url("/a")))
        assert (head.status, head.length) == (200, None)
        with pytest.raises(NotFound):
            await fetcher.head(Source(server.url("/b")))
        with pytest.raises(NotFound):
            await fetcher.open(Source(server.url("/b")))


@pytest.mark.parametrize("more", [{}, {"MDTM": reply(502)}])
async def test_SIZE_may_be_forbidden_and_the_file_be_there(
    reactor: Any, fetching: MakeFetcher, more: dict[str, Script]
) -> None:
    async with FaultFTP(reactor, FILES, {"SIZE": reply(550, "not in this mode"), **more}) as server:
        _, data = await read(fetching(), server.url("/a"))
        assert (await fetching().head(Source(server.url("/a")))).status == 200
    assert data == BODY


@pytest.mark.parametrize(
    ("code", "kind"),
    [(550, NotFound), (530, AuthFailed), (532, AuthFailed), (553, BadStatus), (450, Unavailable), (421, Unavailable)],
)
async def test_what_a_refusal_means(reactor: Any, code: int, kind: type[DownloadError]) -> None:
    async with FaultFTP(reactor, FILES, {"RETR": reply(code, "first", "not this one")}) as server:
        error = await fails(reactor, server)
    assert type(error) is kind
    assert error.message.endswith(f"the server answered {code} not this one")
    assert error.message.startswith("there is no such file") is (code == 550)


async def test_a_refusal_leaves_the_session_in_order(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, {"RETR b": reply(550), "SIZE b": reply(213, "5")}) as server:
        fetcher = fetching()
        with pytest.raises(NotFound) as raised:
            await fetcher.open(Source(server.url("/b")))
        assert raised.value.status == 550
        _, data = await read(fetcher, server.url("/a"))
        assert data == BODY
        assert server.commands.count("USER anonymous") == 1


async def test_416_costs_no_data_connection(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES) as server:
        head, data = await read(fetching(), server.url("/a"), Span(len(BODY)))
        assert (head.status, head.total, data) == (416, len(BODY), b"")
        assert server.connections.total == 1
    assert server.commands[-1] == "MDTM a"


async def test_an_answer_without_a_body_tells_of_a_consumer_that_takes_no_producer(
    reactor: Any, fetching: MakeFetcher
) -> None:
    """As all bodies do: by the Deferred."""
    async with FaultFTP(reactor, FILES) as server:
        body = await fetching().open(Source(server.url("/a")), Span(len(BODY)))
        delivery = body.deliver(StubbornSink(raises={"registerProducer": OSError("no room")}))
        with pytest.raises(OSError, match="no room"):
            await delivery


async def test_a_connection_that_is_refused_says_so(reactor: Any, fetching: MakeFetcher) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"ftp://127.0.0.1:{probe.getsockname()[1]}/a"
    with pytest.raises(ConnectFailed, match="nobody listens"):
        await fetching().open(Source(url))
