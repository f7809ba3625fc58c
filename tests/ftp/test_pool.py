"""Sessions: counted, shared, left alone, used again, and let go."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock, deferLater

from pulp_dl.consumers.memory import ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.engine.shared import Shared
from pulp_dl.errors import ConnectFailed, NotFound
from pulp_dl.model.remote import Limits, Remote, Retries
from pulp_dl.model.source import Source, Span
from pulp_dl.protocols.ftp import FTPFetcher
from pulp_dl.protocols.ftp.pool import IDLE, SessionPool
from pulp_dl.protocols.ftp.session import LINGER
from pulp_dl.testing import Close, Data, FaultFTP, FaultServer, Hold, Nth, Request, Reset, Script, Send, answer, reply
from tests.ftp.conftest import MakeFetcher, put, verbs
from tests.ftp.vsftpd import Vsftpd
from tests.servers import MuteResolver
from tests.sinks import Sink, read, until

BIG = random.Random(0).randbytes(8 * 1024 * 1024)
FILES = {str(number): b"%d" % number * 4000 for number in range(40)}


def logins(server: FaultFTP) -> int:
    return sum(each.method == "USER" for each in server.requests)


async def fetch_all(reactor: Any, urls: list[str], **limits: Any) -> list[bytes]:
    found: dict[str, bytes] = {}
    async with Downloader(reactor, Remote(limits=Limits(**limits), retries=Retries(count=0))) as downloader:
        consumers = {url: ToMemory() for url in urls}
        async with downloader.download_many((url, consumers[url]) for url in urls) as outcomes:
            async for outcome in outcomes:
                assert outcome.error is None, outcome.error
                found[outcome.source.url] = consumers[outcome.source.url].data
    return [found[url] for url in urls]


# ---- promise 4: a slot is a socket


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"connections": 4, "per_host": 4}, 4),
        ({"connections": 10, "per_host": 2}, 2),
        ({"connections": 5, "per_host": 5}, 5),
        ({"connections": 1, "per_host": 1}, 2),  # the data connection of the only session
    ],
)
async def test_control_and_data_connections_together_keep_to_the_limit(
    reactor: Any, limits: dict[str, int], most: int
) -> None:
    """Counted at the server."""
    async with FaultFTP(reactor, FILES) as server:
        found = await fetch_all(reactor, [server.url(f"/{name}") for name in FILES], **limits)
        assert found == [*FILES.values()]
        assert server.connections.peak <= most
        assert logins(server) <= max(1, most // 2)


async def test_several_hosts_and_protocols_share_the_total_and_none_waits_for_ever(reactor: Any) -> None:
    """Who held one socket and waited for the second would."""
    open_: list[int] = []
    async with FaultFTP(reactor, FILES) as one, FaultFTP(reactor, FILES) as two:
        async with FaultServer(reactor, lambda request: answer(b"web")) as web:
            urls = [each.url(f"/{name}") for name in FILES for each in (one, two, web)]

            def count(request: Request) -> Script:
                open_.append(sum(each.connections.open for each in (one, two, web)))
                return one.honest(request)

            one.replies["RETR"] = count
            found = await fetch_all(reactor, urls, connections=3, per_host=3)
    assert found == [each for data in FILES.values() for each in (data, data, b"web")]
    assert max(open_) <= 3


@given(seed=st.integers(0, 1000), connections=st.integers(1, 6), per_host=st.integers(1, 6))
@settings(max_examples=10)
async def test_whatever_the_limits_all_come_and_they_hold(
    reactor: Any, seed: int, connections: int, per_host: int
) -> None:
    names = random.Random(seed).sample(sorted(FILES), 12)
    async with FaultFTP(reactor, FILES) as server:
        urls = [server.url(f"/{name}") for name in names]
        await fetch_all(reactor, urls, connections=connections, per_host=per_host)
        assert server.connections.peak <= max(2, min(connections, per_host))


WANTED = st.tuples(st.sampled_from(sorted(FILES)), st.none() | st.integers(0, 20))
"""A file, and after how many turns of the reactor somebody leaves, if somebody does."""


@given(
    wanted=st.lists(WANTED, min_size=1, max_size=12),
    limit=st.integers(1, 7),
    most=st.integers(1, 4),
    closes=st.integers(0, 5),
)
@settings(max_examples=15)
async def test_whatever_is_cancelled_refused_and_closed_all_others_come_and_nothing_is_left(
    reactor: Any, wanted: list[tuple[str, int | None]], limit: int, most: int, closes: int
) -> None:
    """A server that takes only so many sessions, and closes some; people who leave at any moment."""
    inside: set[int] = set()
    left = closes

    def let_in(request: Request) -> Script:
        inside.intersection_update({number for number, player in server.sessions.items() if player.alive})
        if len(inside) >= most:
            return reply(421, "too many")
        inside.add(request.connection)
        return reply(230)

    def bring(request: Request) -> Script:
        nonlocal left
        left -= 1
        return server.honest(request) if left < 0 else (server.honest(request), Close())

    server: FaultFTP
    remote = Remote(limits=Limits(connections=limit, per_host=limit), retries=Retries(count=20, base=0.01, cap=0.02))
    async with FaultFTP(reactor, FILES, {"PASS": let_in, "RETR": bring}) as server:
        async with Downloader(reactor, remote) as downloader:
            consumers = [ToMemory() for _ in wanted]
            running = [
                downloader.download(server.url(f"/{name}"), consumer)
                for (name, _), consumer in zip(wanted, consumers, strict=True)
            ]
            for (_, turns), each in zip(wanted, running, strict=True):
                if turns is not None:
                    for _ in range(turns):
                        await deferLater(reactor, 0)
                    each.cancel()
            for (name, turns), each, consumer in zip(wanted, running, consumers, strict=True):
                try:
                    await each
                except CancelledError:
                    assert turns is not None
                else:
                    assert consumer.data == FILES[name]
            unwanted = [turns for _, turns in wanted if turns is not None]
            assert server.connections.peak <= max(2, limit) + len(unwanted)  # the server may not know of a reset yet
        await until(reactor, lambda: server.connections.open == 0)


async def test_requests_are_counted_file_by_file(reactor: Any) -> None:
    async with FaultFTP(reactor, FILES) as server:
        remote = Remote(limits=Limits(requests_per_second=20))
        async with Downloader(reactor, remote) as downloader:
            began = reactor.seconds()
            for name in [*FILES][:10]:
                await downloader.download(server.url(f"/{name}"), ToMemory())
    assert reactor.seconds() - began >= 5 / 20


# ---- used again


async def test_one_login_is_enough(fetching: MakeFetcher, vsftpd: Vsftpd) -> None:
    """No NOOP, and a binary TYPE once."""
    for name in "abc":
        put(vsftpd.root, f"again/{name}", name.encode())
    vsftpd.commands()
    fetcher = fetching()
    for name in "abc":
        _, data = await read(fetcher, vsftpd.url(f"again/{name}"))
        assert data == name.encode()
    with pytest.raises(NotFound):
        await fetcher.open(Source(vsftpd.url("again/d")))
    assert (await fetcher.head(Source(vsftpd.url("again/a")))).length == 1
    commands = vsftpd.commands()
    assert [each for each in commands if each.split()[0] in {"USER", "TYPE", "NOOP"}] == ["USER anonymous", "TYPE I"]


@pytest.mark.parametrize(
    "farewell", [Close(), Reset(), (reply(421, "Timeout."), Close())], ids=["closes", "resets", "says 421"]
)
@pytest.mark.parametrize("when", ["while it idles", "when it is asked"])
async def test_a_server_that_closed_meanwhile_costs_no_attempt(reactor: Any, farewell: Script, when: str) -> None:
    server: FaultFTP
    ask: dict[str, Script] = {"SIZE 1": Nth([farewell, lambda request: server.honest(request)])}  # noqa: PLW0108
    leave = {"RETR 0": lambda request: (server.honest(request), farewell)}
    async with FaultFTP(reactor, FILES, leave if when == "while it idles" else ask) as server:
        async with Downloader(reactor, Remote(retries=Retries(count=0))) as downloader:
            for name in "01":
                consumer = ToMemory()
                report = await downloader.download(server.url(f"/{name}"), consumer)
                assert consumer.data == FILES[name]
                assert len(report.attempts) == 1
        assert logins(server) == 2


async def test_a_fresh_connection_that_is_closed_is_an_attempt(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, FILES, {"SIZE": Close()}) as server:
        with pytest.raises(ConnectFailed):
            await fetching().open(Source(server.url("/1")))
        assert logins(server) == 1


async def test_a_session_that_idles_gives_way(reactor: Any) -> None:
    """Its place is wanted by another host."""
    async with FaultFTP(reactor, FILES) as one, FaultFTP(reactor, FILES) as two:
        await fetch_all(reactor, [each.url("/1") for _ in range(3) for each in (one, two)], connections=2, per_host=2)
        assert one.connections.peak == two.connections.peak == 2


async def test_a_session_does_not_idle_for_ever(reactor: Any, timed: FTPFetcher, clock: Clock) -> None:
    async with FaultFTP(reactor, FILES) as server:
        await read(timed, server.url("/1"))
        clock.advance(IDLE - 1)
        await deferLater(reactor, 0.01)
        assert server.connections.open == 1
        clock.advance(1)
        await until(reactor, lambda: server.connections.open == 0)


# ---- the end of a part


@pytest.mark.parametrize("code", [426, 226, 225, 451])
async def test_a_part_is_cut_and_the_session_used_again(reactor: Any, fetching: MakeFetcher, code: int) -> None:
    """Whatever the server says to it: all bytes of the part are here."""
    server: FaultFTP
    script = (reply(150), lambda request: server.rest(request), reply(code))  # noqa: PLW0108  # it is made below
    async with FaultFTP(reactor, {"a": BIG}, {"RETR": script}) as server:
        fetcher = fetching()
        for start in (0, 5, 1_000_000):
            head, data = await read(fetcher, server.url("/a"), Span(start, start + 100_000))
            assert (head.status, data) == (206, BIG[start : start + 100_000])
            await until(reactor, lambda: server.connections.open == 1)
            await deferLater(reactor, 0.02)
        assert logins(server) == 1


async def test_real_servers_go_on_after_a_part(
    reactor: Any, fetching: MakeFetcher, vsftpd: Vsftpd, pyftpd: Any
) -> None:
    for server, root in ((vsftpd, vsftpd.root), (pyftpd, pyftpd.folder)):
        put(root, "parts", BIG)
        fetcher = fetching()
        for span in (Span(0, 1), Span(65_536, 200_000), Span(-1000), Span(8_000_000)):
            part = span.within(len(BIG))
            assert part is not None
            _, data = await read(fetcher, server.url("parts"), span)
            assert data == BIG[part.start : part.stop]


async def test_a_server_that_does_not_notice_the_cut_is_left(reactor: Any, timed: FTPFetcher, clock: Clock) -> None:
    script = (reply(150), Data((Send(BIG), Hold())), Hold())
    async with FaultFTP(reactor, {"a": BIG}, {"RETR": script, "MDTM": reply(502)}) as server:
        _, data = await read(timed, server.url("/a"), Span(0, 10))
        assert data == BIG[:10]
        clock.advance(LINGER - 0.1)
        await deferLater(reactor, 0.01)
        assert server.connections.open == 1
        clock.advance(0.2)
        await until(reactor, lambda: server.connections.open == 0)


async def test_the_end_of_a_file_is_a_part_that_nobody_cuts(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, {"a": b"0123456789"}) as server:
        for span in (Span(5), Span(-5), Span(5, 10), Span(5, 99)):
            head, data = await read(fetching(), server.url("/a"), span)
            assert (head.span, data) == (Span(5, 10), b"56789")
        assert logins(server) == 1


# ---- let go


async def test_closing_the_fetcher_ends_what_runs_and_nothing_else(reactor: Any, fetching: MakeFetcher) -> None:
    async with FaultFTP(reactor, {"a": BIG, "b": b"b"}) as server:
        one, other = fetching(), fetching()
        sink = Sink(lambda sink: sink.producer.pauseProducing())
        body = await other.open(Source(server.url("/a")))
        delivery = body.deliver(sink)
        await read(one, server.url("/b"))
        await one.close()
        assert not delivery.called
        await other.close()
        assert delivery.called
        with pytest.raises(CancelledError):
            await delivery


def pool_of(shared: Shared) -> SessionPool:
    pool: SessionPool = shared.keep("ftp", lambda: SessionPool(shared.slots, shared.timers))
    return pool


async def test_closing_the_pool_cancels_who_is_reaching_a_server(
    reactor: Any, fetching: MakeFetcher, shared: Shared
) -> None:
    """No socket is open yet that could be closed: without that, one would wait for the limit."""
    usual = reactor.nameResolver
    names = MuteResolver()
    reactor.installNameResolver(names)
    try:
        opening = fetching().open(Source("ftp://name.example/a"))
        await until(reactor, lambda: names.asked)
        assert not opening.called
        closing = pool_of(shared).close()
        assert opening.called
        assert closing.called
        with pytest.raises(CancelledError):
            await opening
    finally:
        reactor.installNameResolver(usual)


@pytest.mark.parametrize("verb", ["", "USER", "PASS", "TYPE"])
async def test_closing_the_pool_cancels_who_logs_in_and_who_waits(
    reactor: Any, fetching: MakeFetcher, shared: Shared, verb: str
) -> None:
    """However far they have come; and a server that is left is no server that failed."""
    greeting = None if verb else Hold()
    async with FaultFTP(reactor, FILES, {verb: Hold()}, greeting=greeting) as server:
        openings = [fetching().open(Source(server.url("/1"))) for _ in range(12)]  # there are slots for ten
        await until(reactor, lambda: (verbs(server).count(verb) if verb else server.connections.open) == 10)
        await pool_of(shared).close()
        for each in openings:
            with pytest.raises(CancelledError):
                await each
        await until(reactor, lambda: server.connections.open == 0)
