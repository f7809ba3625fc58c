"""FTP over TLS: what is not protected is not said."""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from OpenSSL import SSL
from twisted.internet.defer import CancelledError
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread

from pulp_dl.consumers.memory import ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.engine.shared import Shared
from pulp_dl.errors import ConnectFailed, DownloadError, ProtocolError, TimedOut, TLSFailed, Truncated, Unavailable
from pulp_dl.model.auth import Basic
from pulp_dl.model.expect import Digest, Measure, Size
from pulp_dl.model.remote import Remote, Retries, Timeouts
from pulp_dl.model.source import Source
from pulp_dl.model.tls import TLS
from pulp_dl.testing import (
    AuthTLS,
    Close,
    CutTLS,
    Data,
    FaultFTP,
    Hold,
    Recorder,
    Reset,
    RewindableRecorder,
    Script,
    Send,
    ServerTLS,
    reply,
)
from tests.ftp.conftest import MakeFetcher, put, verbs
from tests.ftp.pyftpd import PyFTPd
from tests.ftp.vsftpd import Vsftpd
from tests.needs import lacking
from tests.sinks import read, until

BODY = bytes(range(256)) * 400
FILES = {"a": BODY}
SECRET = Basic("elmer", "wabbit")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> TLS:
    return TLS(ca=authority.cert_pem.bytes().decode(), system=False)


@pytest.fixture
def identity(authority: trustme.CA) -> ServerTLS:
    return ServerTLS(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())


async def test_the_order_of_things(reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS) -> None:
    """TLS before a name is said; data is protected before it is asked for (RFC 4217 section 12)."""
    async with FaultFTP(reactor, FILES, tls=identity) as server:
        assert server.url("/a").startswith("ftps://")
        _, data = await read(fetching(tls=trust, auth=SECRET), server.url("/a"))
    assert data == BODY
    assert verbs(server) == ["AUTH", "USER", "PASS", "PBSZ", "PROT", "TYPE", "SIZE", "MDTM", "EPSV", "RETR"]


async def test_vsftpd_that_wants_the_session_of_the_control_connection_gets_it(
    fetching: MakeFetcher, vsftpd_tls: Vsftpd, program: Callable[[str], str]
) -> None:
    """And curl agrees about the bytes."""
    put(vsftpd_tls.root, "reuse", BODY)
    fetcher = fetching(tls=TLS(ca=str(vsftpd_tls.ca), system=False))
    for _ in range(3):
        _, data = await read(fetcher, vsftpd_tls.url("reuse"))
        assert data == BODY
    url = vsftpd_tls.url("reuse").replace("ftps", "ftp")
    command = [program("curl"), "-s", "--fail", "--ssl-reqd", "--cacert", str(vsftpd_tls.ca), url]
    curl = await deferToThread(subprocess.run, command, capture_output=True, check=True, timeout=10)
    assert curl.stdout == BODY


async def test_pyftpdlib_over_TLS(fetching: MakeFetcher, tmp_path: Path, authority: trustme.CA, trust: TLS) -> None:
    put(tmp_path, "files/a", BODY)
    pem = tmp_path / "identity.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    must = {"tls_control_required": True, "tls_data_required": True}
    server = PyFTPd(tmp_path / "files", {"certfile": str(pem), **must})
    await server.start()
    try:
        _, data = await read(fetching(tls=trust), server.url("a"))
    finally:
        await server.stop()
    assert data == BODY


# ---- no downgrade


@pytest.mark.parametrize("code", [500, 502, 504, 534, 431, 220])
async def test_a_server_without_TLS_is_told_nothing(
    reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS, code: int
) -> None:
    async with FaultFTP(reactor, FILES, {"AUTH": reply(code, "no")}, tls=identity) as server:
        with pytest.raises(TLSFailed, match="without it nothing is sent") as caught:
            await fetching(tls=trust, auth=SECRET).open(Source(server.url("/a")))
        assert verbs(server) == ["AUTH"]
    assert not caught.value.transient


@pytest.mark.parametrize("verb", ["PBSZ", "PROT"])
async def test_a_server_that_does_not_protect_data_is_asked_for_none(
    reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS, verb: str
) -> None:
    async with FaultFTP(reactor, FILES, {verb: reply(536, "no")}, tls=identity) as server:
        with pytest.raises(TLSFailed):
            await fetching(tls=trust).open(Source(server.url("/a")))
        assert verbs(server)[-1] == verb


@pytest.mark.parametrize("verb", ["AUTH", "PBSZ", "PROT"])
async def test_a_server_that_is_full_is_no_server_without_TLS(
    reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS, verb: str
) -> None:
    """It may say so at any time."""
    async with FaultFTP(reactor, FILES, {verb: reply(421, "too many users")}, tls=identity) as server:
        with pytest.raises(Unavailable, match="too many users"):
            await fetching(tls=trust).open(Source(server.url("/a")))


async def test_data_in_the_clear_is_not_taken(
    reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS
) -> None:
    """The server says PROT P and does not do it."""
    async with FaultFTP(reactor, FILES, {"PROT": reply(200)}, tls=identity) as server:
        body = await fetching(tls=trust).open(Source(server.url("/a")))
        with pytest.raises(DownloadError):
            await body.deliver(ToMemorySink())


class ToMemorySink(ToMemory):
    """It takes bytes from a body as they come, of which there are to be none."""

    def write(self, data: bytes) -> None:
        raise AssertionError(f"{len(data)} bytes came")


@pytest.mark.parametrize(
    "injected", [(reply(234), reply(230)), (Send(b"234 ok\r\n230 come in\r\n"),), (Send(b"234 ok\r\n230-"),)]
)
async def test_words_before_TLS_do_not_pass_for_words_within(
    reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS, injected: Script
) -> None:
    """As CVE-2021-22947 of curl."""
    async with FaultFTP(reactor, FILES, {"AUTH": (injected, AuthTLS())}, tls=identity) as server:
        with pytest.raises(DownloadError) as caught:
            await fetching(tls=trust, auth=SECRET).open(Source(server.url("/a")))
        assert type(caught.value) in {ProtocolError, TLSFailed, ConnectFailed}
        assert verbs(server) == ["AUTH"]


# ---- trust


async def test_a_server_that_is_not_trusted_is_told_nothing(
    reactor: Any, fetching: MakeFetcher, identity: ServerTLS
) -> None:
    async with FaultFTP(reactor, FILES, tls=identity) as server:
        with pytest.raises(TLSFailed, match="give the CA as"):
            await fetching(auth=SECRET).open(Source(server.url("/a")))
        other = TLS(ca=trustme.CA().cert_pem.bytes().decode(), system=False)
        with pytest.raises(TLSFailed):
            await fetching(tls=other, auth=SECRET).open(Source(server.url("/a")))
        assert verbs(server) == ["AUTH", "AUTH"]


async def test_a_server_of_another_name_is_told_nothing(
    reactor: Any, fetching: MakeFetcher, trust: TLS, authority: trustme.CA
) -> None:
    identity = ServerTLS(authority.issue_cert("example.org").private_key_and_cert_chain_pem.bytes())
    async with FaultFTP(reactor, FILES, tls=identity) as server:
        with pytest.raises(TLSFailed, match="other hosts"):
            await fetching(tls=trust, auth=SECRET).open(Source(server.url("/a")))
        assert verbs(server) == ["AUTH"]
        # Unless nobody is to look.
        _, data = await read(fetching(tls=TLS(verify=False)), server.url("/a"))
        assert data == BODY


async def test_sessions_are_not_shared_over_identities(
    reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS
) -> None:
    """Who trusts nobody does not ride on the connection of who trusts everybody."""
    async with FaultFTP(reactor, FILES, tls=identity) as server:
        await read(fetching(tls=TLS(verify=False)), server.url("/a"))
        with pytest.raises(TLSFailed):
            await fetching().open(Source(server.url("/a")))
        await read(fetching(tls=trust), server.url("/a"))
        assert verbs(server).count("AUTH") == 3


async def test_a_client_certificate_is_shown(
    reactor: Any, fetching: MakeFetcher, authority: trustme.CA, tmp_path: Path
) -> None:
    chain = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
    identity = ServerTLS(chain, clients=authority.cert_pem.bytes())
    ca = authority.cert_pem.bytes().decode()
    ours = authority.issue_cert("elmer@example.org").private_key_and_cert_chain_pem.bytes().decode()
    async with FaultFTP(reactor, FILES, tls=identity) as server:
        _, data = await read(fetching(tls=TLS(ca=ca, cert=ours, system=False)), server.url("/a"))
        assert data == BODY
        with pytest.raises(ConnectFailed):
            await fetching(tls=TLS(ca=ca, system=False)).open(Source(server.url("/a")))
        # It has a scope, as all secrets.
        elsewhere = fetching(url="ftps://elsewhere/", tls=TLS(ca=ca, cert=ours, system=False))
        with pytest.raises(ConnectFailed):
            await elsewhere.open(Source(server.url("/a")))


async def test_a_server_that_cannot_resume_a_session_is_not_asked_again(
    reactor: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    """As OpenSSL's, where certificates are asked for and sessions have no name."""
    identity = ServerTLS(
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes(), authority.cert_pem.bytes()
    )
    identity.context.set_session_id(b"")
    ours = authority.issue_cert("elmer@example.org").private_key_and_cert_chain_pem.bytes().decode()
    tls = TLS(ca=authority.cert_pem.bytes().decode(), cert=ours, system=False)
    remote = Remote(tls=tls, retries=Retries(count=1, base=0.01), timeouts=Timeouts(idle=2))
    async with FaultFTP(reactor, FILES, tls=identity) as server:
        async with Downloader(reactor, remote) as downloader:
            for attempts in (2, 1):
                consumer = ToMemory()
                report = await downloader.download(server.url("/a"), consumer)
                assert consumer.data == BODY
                assert len(report.attempts) == attempts


async def test_a_server_that_wants_it_after_all_gets_it(
    fetching: MakeFetcher, shared: Shared, vsftpd_tls: Vsftpd
) -> None:
    """A handshake may fail for other reasons, and then that is no rule for ever."""
    put(vsftpd_tls.root, "after all", BODY)
    url = vsftpd_tls.url("after%20all")
    fetcher = fetching(tls=TLS(ca=str(vsftpd_tls.ca), system=False))
    await read(fetcher, url)
    pool = shared.keep("ftp", bool)
    ((key, place),) = pool._places.items()
    pool.unresumed[key] = None
    for session in list(place.sessions):
        session.abort()
    with pytest.raises(DownloadError):
        await read(fetcher, url)
    _, data = await read(fetcher, url)
    assert data == BODY


# ---- the end of data


async def test_an_end_without_close_notify_is_one_if_the_size_fits(
    reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS
) -> None:
    """Many servers leave it out.  Without a size anybody could have made that end."""
    cut = (reply(150), Data((Send(BODY), CutTLS())), reply(226))
    remote = Remote(tls=trust, retries=Retries(count=0))
    async with FaultFTP(reactor, FILES, {"RETR": cut}, tls=identity) as server:
        _, data = await read(fetching(remote), server.url("/a"))
        assert data == BODY
    for replies in ({"RETR": cut, "SIZE": reply(500)}, {"RETR": (reply(150), Data((Send(BODY), Reset())), reply(226))}):
        async with FaultFTP(reactor, FILES, replies, tls=identity) as server:  # type: ignore[arg-type]
            async with Downloader(reactor, remote) as downloader:
                with pytest.raises((Truncated, ProtocolError)):
                    await downloader.download(server.url("/a"), ToMemory())


DIGEST = Digest("sha256", hashlib.sha256(BODY).hexdigest())


@pytest.mark.parametrize("make", [Recorder, RewindableRecorder])
async def test_an_end_without_close_notify_is_one_if_what_is_expected_holds(
    reactor: Any, trust: TLS, identity: ServerTLS, make: Any
) -> None:
    """Where the server does not tell the size, whoever wants the file may know it, or a digest."""

    async def bring(expect: Any, data: bytes, end: Script, size: Script) -> Any:
        cut = (reply(150), Data((Send(data), end)), reply(226))
        consumer, remote = make(), Remote(tls=trust, retries=Retries(count=0))
        async with (
            FaultFTP(reactor, FILES, {"RETR": cut, "SIZE": size}, tls=identity) as server,
            Downloader(reactor, remote) as downloader,
        ):
            try:
                report = await downloader.download(Source(server.url("/a"), expect), consumer)
            except DownloadError as error:
                assert not consumer.finished
                return type(error), getattr(error, "unproven", None)
        assert consumer.data == data
        assert (consumer.finished, len(report.attempts)) == (True, 1)
        return report.validated

    unknown, known = reply(500), reply(213, str(len(BODY)))
    for expect in (Size(len(BODY)), DIGEST, (Size(len(BODY)), DIGEST)):
        assert await bring(expect, BODY, CutTLS(), unknown) is True
        assert await bring(expect, BODY[:-1], CutTLS(), unknown) == (Truncated, True)
        assert (await bring(expect, BODY, Reset(), unknown))[1] in {False, None}
    assert await bring(DIGEST, BODY[:-1], CutTLS(), known) == (Truncated, False)
    for nothing in ((), Measure(), Digest("sha256", DIGEST.value, enforced=False)):
        assert await bring(nothing, BODY, CutTLS(), unknown) == (Truncated, True)
        assert await bring(nothing, BODY, Close(), unknown) is False


@pytest.mark.parametrize("verb", ["AUTH", "PBSZ", "RETR"])
async def test_stalls_within_TLS_end_too(
    reactor: Any, fetching: MakeFetcher, trust: TLS, identity: ServerTLS, verb: str
) -> None:
    stalls: dict[str, Script] = {verb: (reply(234), Hold()) if verb == "AUTH" else Hold()}
    async with FaultFTP(reactor, FILES, stalls, tls=identity) as server:
        with pytest.raises(TimedOut):
            await fetching(tls=trust, timeouts=Timeouts(head=0.2)).open(Source(server.url("/a")))
        await until(reactor, lambda: not server.connections.open)
        opening = fetching(tls=trust).open(Source(server.url("/a")))
        before = verbs(server).count(verb)
        await until(reactor, lambda: verbs(server).count(verb) > before)
        opening.cancel()
        with pytest.raises(CancelledError):
            await opening
        await until(reactor, lambda: not server.connections.open)


# ---- implicit


@asynccontextmanager
async def on_port_990(reactor: Any, identity: ServerTLS) -> AsyncIterator[FaultFTP]:
    try:
        server = FaultFTP(reactor, FILES, tls=identity, implicit=True, interface="127.0.0.9", port=990)
    except CannotListenError:
        lacking("port 990 of 127.0.0.9 cannot be had; run as root")
    async with server:
        yield server


async def test_on_port_990_TLS_comes_before_the_greeting(
    reactor: Any, fetching: MakeFetcher, authority: trustme.CA, trust: TLS
) -> None:
    identity = ServerTLS(authority.issue_cert("127.0.0.9").private_key_and_cert_chain_pem.bytes())
    async with on_port_990(reactor, identity) as server:
        assert server.url("/a") == "ftps://127.0.0.9:990/a"
        for url in ("ftps://127.0.0.9/a", server.url("/a")):
            _, data = await read(fetching(tls=trust), url)
            assert data == BODY
        assert verbs(server)[:5] == ["USER", "PASS", "PBSZ", "PROT", "TYPE"]
        with pytest.raises(TLSFailed):
            await fetching().open(Source("ftps://127.0.0.9/a"))


# ---- the session that a data connection goes on with


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[SSL.Connection, SSL.Connection]]:
    """For each session that was to be resumed: whose it was, and who was given it."""
    pairs: list[tuple[SSL.Connection, SSL.Connection]] = []
    owners: dict[SSL.Session, SSL.Connection] = {}
    get, give = SSL.Connection.get_session, SSL.Connection.set_session

    def get_session(self: SSL.Connection) -> SSL.Session | None:
        session = get(self)
        if session is not None:
            owners[session] = self
        return session

    def set_session(self: SSL.Connection, session: SSL.Session) -> None:
        pairs.append((owners[session], self))
        give(self, session)

    monkeypatch.setattr(SSL.Connection, "get_session", get_session)
    monkeypatch.setattr(SSL.Connection, "set_session", set_session)
    return pairs


async def test_each_data_connection_is_given_one_session(
    reactor: Any,
    fetching: MakeFetcher,
    trust: TLS,
    identity: ServerTLS,
    resumed: list[tuple[SSL.Connection, SSL.Connection]],
) -> None:
    """That of the one control connection, and not another one before."""
    async with FaultFTP(reactor, FILES, tls=identity) as server:
        fetcher = fetching(tls=trust)
        for _ in range(3):
            _, data = await read(fetcher, server.url("/a"))
            assert data == BODY
        assert verbs(server).count("AUTH") == 1
    assert [*Counter(taker for _, taker in resumed).values()] == [1, 1, 1]
    assert len({owner for owner, _ in resumed}) == 1


async def test_both_connections_have_the_same_context_whatever_changes_in_between(
    reactor: Any,
    fetching: MakeFetcher,
    authority: trustme.CA,
    identity: ServerTLS,
    resumed: list[tuple[SSL.Connection, SSL.Connection]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Only with that a session may be used (SSL_set_session of OpenSSL); here the system's trust is another one."""
    tls = TLS(ca=authority.cert_pem.bytes().decode())
    other = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with FaultFTP(reactor, FILES, tls=identity) as server:
        fetcher = fetching(tls=tls)
        await read(fetcher, server.url("/a"))
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        _, data = await read(fetcher, server.url("/a"))
        assert data == BODY
        assert verbs(server).count("AUTH") == 1
    assert len(resumed) == 2
    assert all(owner.get_context() is taker.get_context() for owner, taker in resumed)
