"""Whom we trust and how we log in: no prompt, no guess, and words that say what to do."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl.errors import AuthFailed, HostKeyFailed, RedirectRefused, Refused
from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Proxy, Remote
from pulp_dl.model.source import Source
from pulp_dl.model.ssh import SSH
from pulp_dl.protocols.sftp import SFTPFetcher
from tests.sftp.conftest import MakeFetcher
from tests.sftp.double import Double, running_double
from tests.sinks import read
from tests.sshd import USER, Sshd, new_key, running_sshd


@pytest.fixture(scope="module")
async def sshd(reactor: Any, tmp_path_factory: pytest.TempPathFactory, openssh: None) -> AsyncIterator[Sshd]:
    async with running_sshd(reactor, tmp_path_factory.mktemp("sshd")) as server:
        server.put("a", b"hello")
        yield server


@pytest.fixture
async def double(reactor: Any) -> AsyncIterator[Double]:
    async with running_double(reactor) as server:
        server.files[b"/a"] = b"hello"
        yield server


def printed(path: Path) -> str:
    """What ssh-keygen says of a key."""
    return subprocess.check_output(["ssh-keygen", "-lf", str(path)], text=True).split()[1]


# ---- the server's key


async def test_a_server_that_is_not_known_is_refused_with_its_fingerprint_and_what_to_do(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path
) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    with pytest.raises(HostKeyFailed) as caught:
        await fetching(ssh=sshd.ssh(known_hosts=empty)).open(Source(sshd.url("a")))

    assert printed(sshd.folder / "host_ed25519.pub") in str(caught.value)
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> {empty}" in str(caught.value)
    assert not caught.value.transient
    assert empty.read_bytes() == b""


async def test_what_the_message_says_makes_the_server_known(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path, program: Callable[[str], str]
) -> None:
    program("ssh-keyscan")
    known = tmp_path / "known_hosts"
    with known.open("wb") as file:
        command = ["ssh-keyscan", "-p", str(sshd.port), "127.0.0.1"]
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.DEVNULL)
    _, data = await read(fetching(ssh=sshd.ssh(known_hosts=known)), sshd.url("a"))

    assert data == b"hello"


async def test_another_key_than_the_known_one_is_refused_and_says_where_that_stands(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path
) -> None:
    other = new_key(tmp_path / "other")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other.with_suffix('.pub').read_text()}")
    with pytest.raises(HostKeyFailed, match="somebody may be in between") as caught:
        await fetching(ssh=sshd.ssh(known_hosts=known)).open(Source(sshd.url("a")))

    assert f"{known}:1" in str(caught.value)
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {known}" in str(caught.value)


async def test_a_revoked_key_is_refused_although_it_is_known(fetching: MakeFetcher, sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    line = sshd.known_hosts.read_text().splitlines()[1]
    known.write_text(f"{line}\n@revoked {line}\n")
    with pytest.raises(HostKeyFailed, match="revoked"):
        await fetching(ssh=sshd.ssh(known_hosts=known)).open(Source(sshd.url("a")))


async def test_promise_10_a_slow_disk_with_known_hosts_keeps_nobody_else_waiting(
    reactor: Any, fetching: MakeFetcher, sshd: Sshd, tmp_path: Path
) -> None:
    """Whoever reads a FIFO waits until somebody has written, which here is done by a reactor that goes on."""
    slow, asked, went_on = tmp_path / "known_hosts", Deferred[None](), threading.Event()
    slow.touch()
    fetcher = fetching(ssh=sshd.ssh(known_hosts=slow))
    slow.unlink()
    os.mkfifo(slow)

    def disk() -> bool:
        with slow.open("wb"):  # returns when somebody reads
            reactor.callFromThread(asked.callback, None)
            return went_on.wait(5)

    answered = deferToThread(disk)
    opening = fetcher.open(Source(sshd.url("a")))
    await asked
    went_on.set()
    with pytest.raises(HostKeyFailed, match="is not known"):
        await opening
    assert await answered


async def test_hashed_names_are_found(fetching: MakeFetcher, sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, stderr=subprocess.DEVNULL)
    assert "127.0.0.1" not in known.read_text()
    _, data = await read(fetching(ssh=sshd.ssh(known_hosts=known)), sshd.url("a"))

    assert data == b"hello"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_the_kind_of_key_that_is_known_is_asked_for(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path, kind: str
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / f'host_{kind}.pub').read_text()}")
    _, data = await read(fetching(ssh=sshd.ssh(known_hosts=known)), sshd.url("a"))

    assert data == b"hello"


async def test_one_fingerprint_is_enough(fetching: MakeFetcher, sshd: Sshd) -> None:
    fingerprint = printed(sshd.folder / "host_ed25519.pub")
    _, data = await read(fetching(ssh=SSH(key=sshd.key, agent=False, fingerprint=fingerprint)), sshd.url("a"))
    assert data == b"hello"

    wrong = f"SHA256:{'A' * 43}"
    with pytest.raises(HostKeyFailed) as caught:
        await fetching(ssh=SSH(key=sshd.key, agent=False, fingerprint=wrong)).open(Source(sshd.url("a")))
    assert wrong in str(caught.value)
    assert fingerprint in str(caught.value)


async def test_the_files_of_the_user_are_the_default(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    with pytest.raises(HostKeyFailed, match=r">> ~/.ssh/known_hosts"):
        await fetching(ssh=SSH(key=sshd.key, agent=False)).open(Source(sshd.url("a")))
    (tmp_path / ".ssh" / "known_hosts").write_text(sshd.known_hosts.read_text())
    _, data = await read(fetching(ssh=SSH(key=sshd.key, agent=False)), sshd.url("a"))

    assert data == b"hello"


# ---- our key


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
async def test_every_kind_of_key_gets_in(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path, kind: str, passphrase: str
) -> None:
    """RSA with SHA-2, too, which is all that a server of today takes."""
    key = new_key(tmp_path / kind, kind, passphrase)
    with (sshd.folder / "authorized_keys").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    _, data = await read(fetching(ssh=sshd.ssh(key=key, passphrase=passphrase or None)), sshd.url("a"))

    assert data == b"hello"


async def test_a_key_that_the_server_does_not_take_is_AuthFailed(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path
) -> None:
    with pytest.raises(AuthFailed, match=rf"no login as '{USER}'; tried: the key; the server takes: publickey"):
        await fetching(ssh=sshd.ssh(key=new_key(tmp_path / "stranger"))).open(Source(sshd.url("a")))


async def test_without_anything_to_show_it_says_so(fetching: MakeFetcher, sshd: Sshd) -> None:
    with pytest.raises(AuthFailed, match="no key, no agent, no password"):
        await fetching(ssh=sshd.ssh(key=None)).open(Source(sshd.url("a")))


# ---- an agent


@pytest.fixture
def agent(tmp_path: Path, program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """OpenSSH's agent."""
    path = tmp_path / "agent"
    process = subprocess.Popen([program("ssh-agent"), "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    while not path.exists():
        assert process.poll() is None
        os.sched_yield()
    yield path
    process.terminate()
    process.wait()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_an_agent_signs(fetching: MakeFetcher, sshd: Sshd, tmp_path: Path, agent: Path, kind: str) -> None:
    """The second of its keys will do."""
    keys = [new_key(tmp_path / "stranger"), new_key(tmp_path / "ours", kind)]
    with (sshd.folder / "authorized_keys").open("a") as file:
        file.write(keys[1].with_suffix(".pub").read_text())
    for key in keys:
        subprocess.run(["ssh-add", "-q", str(key)], check=True, stderr=subprocess.DEVNULL)
    _, data = await read(fetching(ssh=sshd.ssh(key=None, agent=True)), sshd.url("a"))

    assert data == b"hello"


async def test_an_agent_that_is_not_there_is_told_of(
    fetching: MakeFetcher, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    with pytest.raises(AuthFailed, match="no agent"):
        await fetching(ssh=sshd.ssh(key=None, agent=True)).open(Source(sshd.url("a")))
    _, data = await read(fetching(ssh=sshd.ssh(agent=True)), sshd.url("a"))
    assert data == b"hello"


@pytest.mark.parametrize("hangs", [True, False])
async def test_an_agent_that_never_answers_is_left_with_the_download_and_one_that_hangs_up_at_once(
    reactor: Any, shared: Any, double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    agents: list[Protocol] = []

    class Agent(Protocol):
        transport: Any

        def connectionMade(self) -> None:
            agents.append(self)

        def dataReceived(self, data: bytes) -> None:
            if not hangs:
                self.transport.abortConnection()

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            agents.remove(self)
            left.callback(None)

    left: Deferred[None] = Deferred()
    path = str(tmp_path / "agent")
    listening = await UNIXServerEndpoint(reactor, path).listen(Factory.forProtocol(Agent))
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    double.methods = [b"publickey", b"password"]
    fetcher = SFTPFetcher(reactor, Remote(ssh=double.ssh(agent=True)), shared)
    opening = fetcher.open(Source(double.url("/a")))
    if hangs:
        while not agents:
            await deferLater(reactor, 0.001)
        opening.cancel()
        with pytest.raises(CancelledError):
            await opening
    else:
        (await opening).abandon()  # by the password
    await left
    await listening.stopListening()


async def test_an_agent_is_not_asked_where_the_key_gets_in(
    reactor: Any, fetching: MakeFetcher, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be slow, or ask somebody."""
    asked: list[object] = []

    def connected() -> Protocol:
        asked.append(True)
        return Protocol()

    path = str(tmp_path / "agent")
    listening = await UNIXServerEndpoint(reactor, path).listen(Factory.forProtocol(connected))
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    _, data = await read(fetching(ssh=sshd.ssh(agent=True)), sshd.url("a"))
    await listening.stopListening()
    assert (data, asked) == (b"hello", [])


# ---- passwords


@pytest.mark.parametrize("method", [b"password", b"keyboard-interactive"])
async def test_a_password_gets_in(reactor: Any, shared: Any, double: Double, method: bytes) -> None:
    double.methods = [method]
    fetcher = SFTPFetcher(reactor, Remote(ssh=double.ssh(), auth=Basic("elmer", "wabbit")), shared)
    _, data = await read(fetcher, double.url("/a", ""))
    assert data == b"hello"

    _, data = await read(SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared), double.url("/a"))
    assert data == b"hello"


@pytest.mark.parametrize("methods", [[b"password"], [b"keyboard-interactive"], [b"password", b"keyboard-interactive"]])
async def test_a_wrong_password_is_tried_once_in_each_way(
    reactor: Any, shared: Any, double: Double, methods: list[bytes]
) -> None:
    """An account that is locked after three tries is not locked by us; and nobody is shown the password."""
    double.methods = methods
    fetcher = SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared)
    with pytest.raises(AuthFailed, match="no login as 'elmer'") as caught:
        await fetcher.open(Source(double.url("/a", "elmer:rabbit@")))

    assert double.passwords_seen == [b"rabbit"] * len(methods)
    assert "rabbit" not in str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("prompts", [[], [b"Password: ", b"Token: "]])
async def test_a_server_that_asks_for_more_than_a_password_is_told_nothing(
    reactor: Any, shared: Any, double: Double, prompts: list[bytes]
) -> None:
    double.methods, double.prompts = [b"keyboard-interactive"], prompts
    with pytest.raises(AuthFailed):
        await SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared).open(Source(double.url("/a")))
    # The double joins the answers to several questions.
    assert not any(b"wabbit" in each for each in double.passwords_seen)


async def test_no_secret_reaches_the_log(
    reactor: Any, shared: Any, double: Double, tmp_path: Path, openssh: None
) -> None:
    """Whatever the level, also what Twisted writes there."""
    seen: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        seen.append(repr({name: value for name, value in event.items() if name != "log_source"}))

    globalLogPublisher.addObserver(observe)
    try:
        key = new_key(tmp_path / "key", passphrase="sesame")
        ssh = double.ssh(key=key, passphrase="sesame")
        double.methods = [b"publickey", b"password", b"keyboard-interactive"]
        await read(SFTPFetcher(reactor, Remote(ssh=ssh), shared), double.url("/a"))
    finally:
        globalLogPublisher.removeObserver(observe)
    text = "\n".join(seen)
    assert text
    assert "wabbit" not in text
    assert "sesame" not in text + repr(ssh) + repr(Remote(ssh=ssh))


# ---- whom secrets are for


async def test_another_origin_is_shown_neither_key_nor_password(
    reactor: Any, shared: Any, sshd: Sshd, double: Double
) -> None:
    """The scope is that of Remote.url; who is elsewhere is known to nobody."""
    ssh = double.ssh(key=sshd.key)
    remote = Remote(url=sshd.url(), ssh=ssh, auth=Basic("elmer", "wabbit"))
    double.methods = [b"password", b"publickey"]
    with pytest.raises(AuthFailed, match="no login as 'anonymous'; tried: nothing"):
        await SFTPFetcher(reactor, remote, shared).open(Source(double.url("/a", "")))
    assert double.passwords_seen == []

    inside = Remote(url=double.url("/", ""), ssh=double.ssh(), auth=Basic("elmer", "wabbit"))
    body = await SFTPFetcher(reactor, inside, shared).open(Source(double.url("/a", "")))
    assert not body.public
    body.abandon()


async def test_a_source_that_is_public_gets_no_secrets(reactor: Any, shared: Any, double: Double) -> None:
    remote = Remote(ssh=double.ssh(), auth=Basic("elmer", "wabbit"))
    with pytest.raises(AuthFailed, match="anonymous"):
        await SFTPFetcher(reactor, remote, shared).open(Source(double.url("/a", ""), public=True))
    assert double.passwords_seen == []


@pytest.mark.parametrize("home", ["http://93.184.216.34/", None])
async def test_a_server_does_not_lead_us_to_this_machine(
    reactor: Any, shared: Any, double: Double, home: str | None
) -> None:
    """A place that stood in a mirror list of a public server; nobody is connected to."""
    found = Source(double.url("/a"), found=True, scope=home)
    with pytest.raises(RedirectRefused, match="allow_private") as caught:
        await SFTPFetcher(reactor, Remote(ssh=double.ssh()), shared).open(found)
    assert caught.value.url == double.url("/a", "")
    assert double.connections == []

    for remote, source in (
        (Remote(ssh=double.ssh(), allow_private=True), found),
        (Remote(ssh=double.ssh(), url=double.url("/")), Source(double.url("/a"), found=True)),
        (Remote(ssh=double.ssh()), Source(double.url("/a"), found=True, scope="http://127.0.0.2/")),
    ):
        assert (await read(SFTPFetcher(reactor, remote, shared), source))[1] == b"hello"


NO_LOGIN = r"user and password only; give Remote\(auth="


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"Bearer secret", NO_LOGIN),
        (b"Basic secret!", NO_LOGIN),
        (ValueError("secret"), r"Remote\.auth raised ValueError"),
    ],
)
async def test_a_token_is_no_login(reactor: Any, shared: Any, double: Double, sent: Any, says: str) -> None:
    class Token(Basic):
        def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
            if isinstance(sent, Exception):
                raise sent
            headers[b"Authorization"] = sent

    with pytest.raises(Refused, match=says) as caught:
        await SFTPFetcher(reactor, Remote(ssh=double.ssh(), auth=Token("a", "b")), shared).open(
            Source(double.url("/a", ""))
        )
    assert "secret" not in str(caught.value)


async def test_no_proxy_is_passed_by(reactor: Any, shared: Any, double: Double) -> None:
    """Who says that everything goes through a proxy is not disobeyed in silence."""
    remote = Remote(ssh=double.ssh(), proxy=Proxy("http://127.0.0.1:1"))
    with pytest.raises(Refused, match="proxy"):
        await SFTPFetcher(reactor, remote, shared).open(Source(double.url("/a")))
    assert double.connections == []
