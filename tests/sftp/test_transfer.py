"""Files over SSH: what comes, what is shared, and what a server may do to us."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.conch.ssh.filetransfer import FX_FAILURE, SFTPError
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from pulp_dl import SSH, Digest, Downloader, ToMemory
from pulp_dl.errors import (
    AuthFailed,
    ConnectFailed,
    HostKeyFailed,
    NotFound,
    ProtocolError,
    Refused,
    TimedOut,
    Truncated,
    Unavailable,
)
from pulp_dl.model.remote import Limits, Remote, Retries, Timeouts
from pulp_dl.model.source import Source, Span
from pulp_dl.protocols.sftp import SFTPFetcher
from pulp_dl.protocols.sftp.body import AHEAD, PIECE
from pulp_dl.protocols.sftp.pool import SHARE
from tests.sftp.conftest import MakeFetcher
from tests.sftp.double import Double, running_double
from tests.sftp.relay import Relay, relaying
from tests.sinks import Sink, read, sharing, until
from tests.sshd import Sshd, running_sshd

DATA = random.Random(6).randbytes(3_000_001)
SOON = Retries(count=3, base=0.01)


@pytest.fixture(scope="module")
async def sshd(reactor: Any, tmp_path_factory: pytest.TempPathFactory, openssh: None) -> AsyncIterator[Sshd]:
    async with running_sshd(reactor, tmp_path_factory.mktemp("sshd")) as server:
        server.put("data", DATA)
        yield server


@pytest.fixture
async def double(reactor: Any) -> AsyncIterator[Double]:
    async with running_double(reactor) as server:
        server.files[b"/data"] = DATA
        yield server


@pytest.fixture
def from_double(reactor: Any, shared: Any, double: Double) -> SFTPFetcher:
    return SFTPFetcher(reactor, Remote(ssh=double.ssh(), timeouts=Timeouts(head=0.3)), shared)


def logins(sshd: Sshd) -> int:
    return sshd.log().count("Accepted publickey")


# ---- files


async def test_a_file_comes_with_what_a_gateway_tells_of_it(fetching: MakeFetcher, sshd: Sshd) -> None:
    url = sshd.put("old", b"hello")
    os.utime(sshd.files / "old", (1, 784111777))
    head, data = await read(fetching(), url)

    assert data == b"hello"
    assert (head.status, head.length, head.total, head.span) == (200, 5, 5, None)
    assert head.get(b"content-length") == b"5"
    assert head.get(b"last-modified") == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert head.validators.if_range == head.etag
    assert "@" not in head.url


async def test_what_was_changed_just_now_has_no_strong_validator(fetching: MakeFetcher, sshd: Sshd) -> None:
    """It may change again within the same second."""
    head, _ = await read(fetching(), sshd.put("new", b"hello", age=1))

    assert head.etag is None
    assert head.get(b"last-modified") is not None


async def test_it_is_what_the_client_of_OpenSSH_brings(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path, program: Callable[[str], str]
) -> None:
    options = [f"-oUserKnownHostsFile={sshd.known_hosts}", f"-oIdentityFile={sshd.key}", "-oIdentityAgent=none"]
    place = f"127.0.0.1:{sshd.files}/data"
    command = [program("sftp"), "-q", *options, f"-P{sshd.port}", place, str(tmp_path / "theirs")]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    _, data = await read(fetching(), sshd.url("data"))

    assert data == (tmp_path / "theirs").read_bytes() == DATA


@given(st.integers(0, len(DATA) + 10), st.integers(1, len(DATA)))
@settings(max_examples=20)
async def test_whatever_the_span_those_bytes_come(reactor: Any, sshd: Sshd, start: int, size: int) -> None:
    async with sharing(reactor) as shared:
        fetcher = SFTPFetcher(reactor, Remote(ssh=sshd.ssh()), shared)
        head, data = await read(fetcher, sshd.url("data"), Span(start, start + size))
    expected = DATA[start : start + size]
    assert head.status == (206 if expected else 416)
    assert data == expected


@pytest.mark.parametrize("name", ["a b", "\N{BEAR FACE}", "50%", "a;b?c#d", "-x", "~"])
async def test_a_name_is_what_the_url_decodes_to(fetching: MakeFetcher, sshd: Sshd, name: str) -> None:
    _, data = await read(fetching(), sshd.put(name, name.encode()))

    assert data == name.encode()


async def test_a_question_mark_is_part_of_a_name(fetching: MakeFetcher, sshd: Sshd) -> None:
    """As curl has it: nothing in SFTP is a query, and what is before it is another file."""
    sshd.put("a", b"another")
    url = sshd.put("a?b", b"the one")
    for each in (url, url.replace("%3F", "?")):
        assert (await read(fetching(), each))[1] == b"the one"


async def test_a_name_need_not_be_utf8(fetching: MakeFetcher, sshd: Sshd) -> None:
    Path(os.fsdecode(os.fsencode(sshd.files) + b"/\xff")).write_bytes(b"latin")
    _, data = await read(fetching(), sshd.url() + "%ff")

    assert data == b"latin"


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing", "no such file"), ("data/below", "no such file"), ("nul%00", "no file has a NUL in its name")],
)
async def test_what_is_not_there_is_not_found(fetching: MakeFetcher, sshd: Sshd, name: str, words: str) -> None:
    """A gateway has a status for it, but that is not what the server has answered."""
    fetcher = fetching()
    for ask in (fetcher.open, fetcher.head):
        with pytest.raises(NotFound) as caught:
            await ask(Source(sshd.url() + name))
        assert "@" not in str(caught.value)
        assert (caught.value.status, caught.value.message) == (404, words)


async def test_directories_devices_and_pipes_are_refused(fetching: MakeFetcher, sshd: Sshd) -> None:
    """A FIFO without a writer would hold up the whole session."""
    if not (sshd.files / "fifo").exists():
        os.mkfifo(sshd.files / "fifo")
    for url in (sshd.url(), sshd.url("fifo"), f"sftp://127.0.0.1:{sshd.port}/dev/null"):
        with pytest.raises(Refused, match="no regular file"):
            await fetching().open(Source(url))
    with pytest.raises(Refused, match="does not tell its size"):
        await fetching().open(Source(f"sftp://127.0.0.1:{sshd.port}/proc/version"))


async def test_what_may_not_be_read_is_AuthFailed(reactor: Any, shared: Any, tmp_path: Path, openssh: None) -> None:
    """EACCES of the server."""
    async with running_sshd(reactor, tmp_path, "Subsystem sftp internal-sftp -P open") as strict:
        fetcher = SFTPFetcher(reactor, Remote(ssh=strict.ssh()), shared)
        with pytest.raises(AuthFailed) as caught:
            await fetcher.open(Source(strict.put("a", b"x")))
        assert (caught.value.status, caught.value.message) == (403, "permission denied")


async def test_a_server_without_sftp_says_so(reactor: Any, shared: Any, tmp_path: Path, openssh: None) -> None:
    async with running_sshd(reactor, tmp_path, "Subsystem other /bin/true") as without:
        with pytest.raises(ConnectFailed, match="no SFTP"):
            await SFTPFetcher(reactor, Remote(ssh=without.ssh()), shared).open(Source(without.url("a")))


# ---- connections


async def test_many_downloads_share_a_connection(fetching: MakeFetcher, sshd: Sshd) -> None:
    before = logins(sshd)
    fetcher = fetching()
    for _ in range(3):
        await read(fetcher, sshd.url("data"))
    results = await gatherResults([Deferred.fromCoroutine(read(fetcher, sshd.url("data"))) for _ in range(SHARE)])

    assert [data for _, data in results] == [DATA] * SHARE
    assert logins(sshd) == before + 1


async def test_more_than_one_connection_carries_is_spread_over_the_slots(reactor: Any, sshd: Sshd) -> None:
    before = logins(sshd)
    async with sharing(reactor, connections=2) as shared:
        fetcher = SFTPFetcher(reactor, Remote(ssh=sshd.ssh()), shared)
        reading = [Deferred.fromCoroutine(read(fetcher, sshd.url("data"))) for _ in range(3 * SHARE)]
        for _, data in await gatherResults(reading):
            assert data == DATA

    assert logins(sshd) == before + 2


async def test_an_idle_connection_makes_room_for_another_host(reactor: Any, sshd: Sshd, double: Double) -> None:
    async with sharing(reactor, connections=1) as shared:
        at_sshd = SFTPFetcher(reactor, Remote(ssh=sshd.ssh()), shared)
        at_double = SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared)
        for _ in range(2):
            assert (await read(at_sshd, sshd.url("data")))[1] == DATA
            assert (await read(at_double, double.url("/data")))[1] == DATA
    assert len(double.connections) == 2


async def test_a_connection_is_only_for_who_has_the_same_identity(reactor: Any, shared: Any, double: Double) -> None:
    double.passwords[b"daffy"] = b"duck"
    fetcher = SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared)
    await read(fetcher, double.url("/data"))
    await read(fetcher, double.url("/data", "daffy:duck@"))
    await read(fetcher, double.url("/data"))
    with pytest.raises(AuthFailed):
        await read(fetcher, double.url("/data", "elmer:duck@"))
    wrong = SFTPFetcher(reactor, Remote(ssh=double.ssh(fingerprint="A" * 43)), shared)
    with pytest.raises(HostKeyFailed):
        await read(wrong, double.url("/data"))

    assert len(double.connections) == 4


async def test_everybody_who_waits_for_a_connection_is_told_why_there_is_none(
    reactor: Any, shared: Any, double: Double
) -> None:
    """Each with their own error, as each gets its own attempts."""
    fetcher = SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared)
    errors: list[Deferred[Any]] = []
    for number in range(5):
        double.files[b"/%d" % number] = b"x"
        opening: Deferred[Any] = fetcher.open(Source(double.url(f"/{number}", "elmer:duck@")))
        errors.append(opening.addErrback(lambda failure: failure.value))
    found = await gatherResults(errors)

    assert [type(each) for each in found] == [AuthFailed] * 5
    assert len({id(each) for each in found}) == 5
    assert [each.url for each in found] == [double.url(f"/{number}", "") for number in range(5)]
    assert len(double.connections) == 1


async def test_keys_may_be_exchanged_again_in_the_middle(
    reactor: Any, shared: Any, tmp_path: Path, openssh: None
) -> None:
    async with running_sshd(reactor, tmp_path, "RekeyLimit 256K") as strict:
        url = strict.put("data", DATA)
        fetcher = SFTPFetcher(reactor, Remote(ssh=strict.ssh()), shared)
        for _ in range(3):
            assert (await read(fetcher, url))[1] == DATA
        assert logins(strict) == 1


async def test_in_the_middle_it_has_to_be_the_same_server(
    reactor: Any, shared: Any, double: Double, tmp_path: Path
) -> None:
    """Although the other key is known, too."""
    other = Double().host_key
    keys = (double.public_key, other.public().toString("openssh").decode())
    (tmp_path / "known").write_text("".join(f"[127.0.0.1]:{double.port} {key}\n" for key in keys))
    fetcher = SFTPFetcher(reactor, Remote(ssh=SSH(known_hosts=tmp_path / "known", agent=False)), shared)
    await read(fetcher, double.url("/data"))
    double.privateKeys, double.publicKeys = {b"ssh-ed25519": other}, {b"ssh-ed25519": other.public()}
    body = await fetcher.open(Source(double.url("/data")))
    double.connections[0].sendKexInit()
    with pytest.raises(HostKeyFailed, match="another key than a moment ago"):
        await body.deliver(Sink())


async def test_a_connection_carries_so_many_and_no_more(reactor: Any, double: Double) -> None:
    """Who finds no room waits for it, or for a slot."""
    async with sharing(reactor, connections=1) as shared:
        fetcher = SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared)
        opening = [fetcher.open(Source(double.url("/data"))) for _ in range(2 * SHARE)]
        while sum(each.called for each in opening) < SHARE:
            await deferLater(reactor, 0.001)
        await deferLater(reactor, 0.05)
        assert double.open_files == SHARE
        for each in opening:
            body = await each
            body.abandon()
        assert len(double.connections) == 1


async def test_a_message_need_not_be_ascii(from_double: SFTPFetcher, double: Double) -> None:
    """It is UTF-8; what cannot be read would be waited for in vain."""
    with pytest.raises(NotFound):
        await from_double.open(Source(double.url("/missing")))
    assert (await read(from_double, double.url("/data")))[1] == DATA
    assert len(double.connections) == 1


@pytest.mark.parametrize("method", ["registerProducer", "unregisterProducer"])
async def test_a_consumer_that_raises_leaves_no_file_open(
    reactor: Any, from_double: SFTPFetcher, double: Double, method: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError("no room")

    sink = Sink()
    setattr(sink, method, fails)
    body = await from_double.open(Source(double.url("/data")))
    with pytest.raises(OSError, match="no room"):
        await body.deliver(sink)
    while double.open_files:
        await deferLater(reactor, 0.001)


EVIL = "evil\x1b[2J\r\nand another line" + "!" * 1000


async def test_what_a_server_says_is_one_line_and_moves_no_cursor(from_double: SFTPFetcher, double: Double) -> None:
    """In an error, and from there in a log or on a terminal."""

    def fails(*_: object) -> Any:
        raise SFTPError(FX_FAILURE, EVIL)

    double.read = fails
    body = await from_double.open(Source(double.url("/data")))
    with pytest.raises(ProtocolError, match="evil") as reading:
        await body.deliver(Sink())
    double.attributes = fails  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="evil") as opening:
        await from_double.open(Source(double.url("/data")))
    double.methods = [EVIL.encode()]
    with pytest.raises(AuthFailed, match="evil") as login:
        await from_double.open(Source(double.url("/data", "bugs@")))
    for caught in (reading, opening, login):
        assert str(caught.value).isprintable()
        assert "answered" not in str(caught.value)  # a status, which is HTTP's
        assert len(str(caught.value)) < 500


async def test_a_server_that_went_away_while_idle_is_asked_anew(reactor: Any, double: Double) -> None:
    async with Downloader(reactor, Remote(ssh=double.ssh(), retries=SOON)) as downloader:
        for _ in range(2):
            sink = ToMemory()
            await downloader.download(double.url("/data"), sink)
            assert sink.data == DATA
            double.connections[-1].transport.abortConnection()  # type: ignore[union-attr]
    assert len(double.connections) == 2


async def test_a_server_that_goes_away_when_it_is_asked_again_is_asked_anew(
    from_double: SFTPFetcher, double: Double
) -> None:
    """It may have gone before; of a connection that has just been made, that cannot be said."""
    honest = double.attributes
    source = Source(double.url("/data"))

    def leave(path: bytes) -> dict[str, int]:
        double.attributes = honest
        double.connections[-1].transport.abortConnection()  # type: ignore[union-attr]
        return honest(path)

    double.attributes = leave
    with pytest.raises(ConnectFailed):
        await from_double.head(source)
    assert (await from_double.head(source)).total == len(DATA)
    assert len(double.connections) == 2

    double.attributes = leave
    several = [from_double.head(source), read(from_double, source), from_double.head(source)]
    for each in several:
        await each
    assert len(double.connections) == 3


# ---- limits of time, and cancelling


async def test_a_server_that_never_greets(reactor: Any, shared: Any) -> None:
    listening = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    fetcher = SFTPFetcher(reactor, Remote(timeouts=Timeouts(connect=0.1)), shared)
    with pytest.raises(TimedOut) as caught:
        await fetcher.open(Source(f"sftp://127.0.0.1:{listening.getHost().port}/"))
    await listening.stopListening()

    assert caught.value.phase == "connect"


async def test_nobody_listens(reactor: Any, shared: Any) -> None:
    with pytest.raises(ConnectFailed, match="nobody listens"):
        await SFTPFetcher(reactor, Remote(), shared).open(Source("sftp://127.0.0.1:1/"))
    with pytest.raises(ConnectFailed, match="does not resolve"):
        await SFTPFetcher(reactor, Remote(), shared).open(Source("sftp://nowhere.invalid/"))


async def test_a_server_that_does_not_answer_is_left(from_double: SFTPFetcher, double: Double) -> None:
    """First the question, then, when it has had its grace, the connection: the next try has another one."""
    double.waits[b"/data"] = Deferred()
    with pytest.raises(TimedOut) as caught:
        await from_double.open(Source(double.url("/data")))
    assert caught.value.phase == "head"
    double.waits.clear()
    assert (await read(from_double, double.url("/data")))[1] == DATA
    assert len(double.connections) == 2


async def test_an_answer_that_comes_too_late_is_given_back(
    reactor: Any, from_double: SFTPFetcher, double: Double
) -> None:
    """A handle that nobody waits for any more is closed, and the connection stays good."""
    waiting: Deferred[None] = Deferred()
    double.waits[b"/data"] = waiting
    opening = from_double.open(Source(double.url("/data")))
    while ("open", b"/data") not in double.asked:
        await deferLater(reactor, 0)
    opening.cancel()
    with pytest.raises(CancelledError):
        await opening
    del double.waits[b"/data"]
    waiting.callback(None)
    assert (await read(from_double, double.url("/data")))[1] == DATA
    while double.open_files:
        await deferLater(reactor, 0)

    assert len(double.connections) == 1


async def test_every_handle_is_given_back(reactor: Any, from_double: SFTPFetcher, double: Double) -> None:
    for _ in range(3):
        body = await from_double.open(Source(double.url("/data")))
        body.abandon()
        body = await from_double.open(Source(double.url("/data")))
        sink = Sink(lambda sink: sink.producer.stopProducing())
        with pytest.raises(CancelledError):
            await body.deliver(sink)
    await read(from_double, double.url("/data"), Span(5, 10))
    while double.open_files:
        await deferLater(reactor, 0)
    assert len(double.connections) == 1


async def test_cancelling_at_any_byte_of_the_server_leaves_nothing(reactor: Any, sshd: Sshd, shared: Any) -> None:
    """Greeting, exchange of keys, login, channel, questions: wherever the server falls silent."""
    async with relaying(reactor, sshd.port) as relay:
        relay.cuts = False
        fetcher = SFTPFetcher(reactor, Remote(ssh=_through(relay, sshd)), shared)
        for limit in (0, 10, 500, 1500, 2000, 2500, 2700, 2900, 3100, 3300, 3500):
            relay.limits = [limit]
            opening = fetcher.open(Source(_by(relay, sshd)))
            await until(reactor, lambda: opening.called or relay.silent)  # noqa: B023  # it is awaited here
            await deferLater(reactor, 0.02)  # what has passed is to be read, and answered
            opening.cancel()
            try:
                body = await opening
            except CancelledError:
                pass
            else:
                body.abandon()  # it came that far
            await shared.keep("sftp", bool).close()
            shared._kept.clear()
            fetcher = SFTPFetcher(reactor, Remote(ssh=_through(relay, sshd)), shared)
            while relay.open:
                await deferLater(reactor, 0.001)


def _through(relay: Relay, sshd: Sshd) -> Any:
    """Known under the relay's name."""
    known = sshd.folder / f"known_{relay.port}"
    known.write_text(sshd.known_hosts.read_text().replace(str(sshd.port), str(relay.port)))
    return sshd.ssh(known_hosts=known)


def _by(relay: Relay, sshd: Sshd) -> str:
    return sshd.url("data").replace(str(sshd.port), str(relay.port))


# ---- connections that end, servers that lie


@given(limit=st.integers(0, 5000))
@settings(max_examples=30)
async def test_wherever_the_connection_ends_it_is_an_error_of_the_tree(reactor: Any, limit: int) -> None:
    """And a second try brings the file."""
    async with running_double(reactor) as double, relaying(reactor, double.port) as relay:
        double.files[b"/a"] = b"hello"
        relay.limits = [limit]
        url = double.url("/a").replace(str(double.port), str(relay.port))
        async with sharing(reactor) as shared:
            fetcher = SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared)
            try:
                data = (await read(fetcher, url))[1]
            except (ConnectFailed, Truncated, ProtocolError):
                data = (await read(fetcher, url))[1]
            assert data == b"hello"


@pytest.mark.parametrize("limit", [100_000, 1_000_000, 2_999_000])
async def test_what_broke_off_is_continued(reactor: Any, sshd: Sshd, limit: int) -> None:
    async with relaying(reactor, sshd.port) as relay:
        relay.limits = [limit]
        sink = ToMemory()
        async with Downloader(reactor, Remote(ssh=_through(relay, sshd), retries=SOON)) as downloader:
            report = await downloader.download(
                Source(_by(relay, sshd), Digest("sha256", sha256(DATA).hexdigest())), sink
            )

        assert sink.data == DATA
        assert relay.total == 2
        assert len(report.attempts) == 2
        assert report.attempts[1].offset > 0
        assert report.attempts[1].received < len(DATA)


async def test_a_file_that_is_shorter_than_it_was_said_to_be_is_Truncated(
    from_double: SFTPFetcher, double: Double
) -> None:
    double.said[b"/data"] = {"size": len(DATA) + 100, "permissions": 0o100644, "atime": 0, "mtime": 1}
    body = await from_double.open(Source(double.url("/data")))
    sink = Sink()
    with pytest.raises(Truncated) as caught:
        await body.deliver(sink)

    assert sink.data == DATA
    assert (caught.value.received, caught.value.expected) == (len(DATA), len(DATA) + 100)


async def test_a_file_that_grows_is_read_as_it_was(from_double: SFTPFetcher, double: Double) -> None:
    double.said[b"/data"] = {"size": 1000, "permissions": 0o100644, "atime": 0, "mtime": 1}
    head, data = await read(from_double, double.url("/data"))

    assert (head.length, data) == (1000, DATA[:1000])


@pytest.mark.parametrize("rest", [False, True])
async def test_promise_3_what_was_replaced_before_it_was_opened_has_the_head_of_what_is_read(
    reactor: Any, from_double: SFTPFetcher, double: Double, rest: bool
) -> None:
    """Its rest is no rest of what was there before, either: the whole comes."""
    url, replacing = double.url("/data"), Deferred[None]()
    old = await from_double.head(Source(url))
    double.waits[b"/data"] = replacing
    opening = from_double.open(Source(url), *((Span(1000), old.validators) if rest else ()))
    while ("open", b"/data") not in double.asked:
        await deferLater(reactor, 0)
    double.files[b"/data"] = b"another one"
    replacing.callback(None)
    body, sink = await opening, Sink()
    await body.deliver(sink)

    assert (body.head.status, body.head.length, body.head.span) == (200, len(b"another one"), None)
    assert body.head.etag != old.etag
    assert sink.data == b"another one"


@given(sizes=st.lists(st.integers(1, PIECE), min_size=1, max_size=5))
@settings(max_examples=10)
async def test_a_server_may_give_less_than_it_was_asked_for(reactor: Any, sizes: list[int]) -> None:
    async with running_double(reactor) as double, sharing(reactor) as shared:
        turns = iter(sizes * 1000)
        double.files[b"/data"] = data = DATA[:200_000]
        double.read = lambda data, offset, length: data[offset : offset + min(length, next(turns, length))]
        assert (await read(SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared), double.url("/data")))[1] == data


async def test_a_server_that_gives_more_than_it_was_asked_for_breaks_the_rules(
    from_double: SFTPFetcher, double: Double
) -> None:
    double.read = lambda data, offset, length: data[offset : offset + length + 1]
    body = await from_double.open(Source(double.url("/data")))
    with pytest.raises(ProtocolError):
        await body.deliver(Sink())


@pytest.mark.parametrize(
    "raw",
    [
        b"\x7f\xff\xff\xff\x67",
        b"\0\0\0\0",
        b"\0\0\0\x05\x67\0\0\0\xee",
        b"\0\0\0\x05\x01\0\0\0\0",
        b"\0\0\0\x09\x65\0\0\0\x02\0\0\0\0",
    ],
    ids=["endless", "empty", "unknown question", "no answer", "a status without end"],
)
async def test_packets_that_are_none_end_the_connection(from_double: SFTPFetcher, double: Double, raw: bytes) -> None:
    """Else somebody would wait for ever, or the memory would be what the server says."""
    double.raw = raw * 2
    body = await from_double.open(Source(double.url("/data")))
    with pytest.raises((ProtocolError, ConnectFailed)):
        await body.deliver(Sink())
    double.raw = b""
    assert (await read(from_double, double.url("/data")))[1] == DATA


async def test_a_connection_that_is_not_needed_any_more_is_given_up_and_nobody_elses_failure(
    reactor: Any, from_double: SFTPFetcher, double: Double
) -> None:
    opening = [from_double.open(Source(double.url("/data"))) for _ in range(SHARE + 1)]
    while len(double.connections) < 2:
        await deferLater(reactor, 0)
    opening[-1].cancel()
    with pytest.raises(CancelledError):
        await opening.pop()
    for each in opening:
        (await each).abandon()


async def test_a_slow_consumer_is_read_ahead_for_within_limits(
    reactor: Any, from_double: SFTPFetcher, double: Double
) -> None:
    """What was asked for and not written is bounded, and becomes little for a consumer that pauses again and again."""
    double.files[b"/large"] = large = DATA * 4
    body = await from_double.open(Source(double.url("/large")))

    def pause(sink: Sink) -> None:
        if len(sink.pieces) > 20:
            sink.producer.pauseProducing()

    sink = Sink(pause)
    done = body.deliver(sink)
    aheads = []
    while not done.called:
        await deferLater(reactor, 0.005)
        aheads.append(sum(each[0] == "read" for each in double.asked) * PIECE - len(sink.data))
        if sink.producer is not None:
            sink.producer.resumeProducing()
    await done

    assert sink.data == large
    assert max(aheads) <= AHEAD * PIECE
    assert max(aheads[-10:]) <= AHEAD * PIECE // 4


async def test_a_quick_consumer_has_64_pieces_asked_for(reactor: Any, from_double: SFTPFetcher, double: Double) -> None:
    """Few at first, more with each that comes: while a server takes its time, never more."""
    double.files[b"/large"] = large = bytes(range(256)) * (2 * AHEAD * PIECE // 256)
    held: list[tuple[Deferred[bytes], bytes]] = []

    def hold(data: bytes, offset: int, length: int) -> Deferred[bytes]:
        held.append((Deferred(), data[offset : offset + length]))
        return held[-1][0]

    double.read = hold
    body = await from_double.open(Source(double.url("/large")))
    sink = Sink()
    done = body.deliver(sink)
    most = 0
    while not done.called:
        await deferLater(reactor, 0.002)
        most = max(most, len(held))
        if held:
            answer, data = held.pop(0)
            answer.callback(data)
    await done

    assert sink.data == large
    assert most == AHEAD == 64


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-1.5-old\r\n",
        b"x" * 10_000,
        b"SSH-2.0-x\r\n" + b"\xff" * 100,
        b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14" + b"\0" * 20,
    ],
)
async def test_what_is_no_ssh_server_is_an_error_and_nothing_is_logged(
    reactor: Any, shared: Any, greeting: bytes
) -> None:
    class Other(Protocol):
        transport: Any

        def connectionMade(self) -> None:
            self.transport.write(greeting)
            self.transport.loseConnection()

    listening = reactor.listenTCP(0, Factory.forProtocol(Other), interface="127.0.0.1")
    with pytest.raises((ConnectFailed, ProtocolError)):
        await SFTPFetcher(reactor, Remote(), shared).open(Source(f"sftp://127.0.0.1:{listening.getHost().port}/"))
    await listening.stopListening()


async def test_requests_a_second_are_kept(reactor: Any, double: Double) -> None:
    remote = Remote(ssh=double.ssh(), limits=Limits(requests_per_second=5))
    async with Downloader(reactor, remote) as downloader:
        began = reactor.seconds()
        for _ in range(4):
            await downloader.head(double.url("/data"))
        assert reactor.seconds() - began > 0.4
