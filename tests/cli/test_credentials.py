"""Who we are: passwords from files, variables, netrc or a person, never from a command line; and proxies."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.internet.threads import deferToThread

from pulp_dl import Basic
from pulp_dl.model.tls import pin_of
from pulp_dl.testing import ESTABLISHED, FaultServer, OnConnect, ServerTLS, Tunnel, answer
from tests.cli.command import ROOT, End, refused, run
from tests.servers import Nginx
from tests.terminal import Terminal

pytestmark = pytest.mark.limit(40)

ELMER = Basic("elmer", "wabbit").header


@pytest.fixture
async def server(reactor: Any) -> AsyncIterator[FaultServer]:
    async with FaultServer(reactor, answer(b"x")) as server:
        yield server


def secret(path: Path, text: str = "wabbit\n") -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def sent(server: FaultServer, name: bytes = b"authorization") -> bytes | None:
    return server.requests[-1].get(name)


# ---- where a password comes from


@pytest.mark.parametrize("text", ["wabbit", "wabbit\n", "wabbit\r\n"])
async def test_from_a_file(server: FaultServer, tmp_path: Path, text: str) -> None:
    secret(tmp_path / "password", text)
    end = await run("get", "-u", "elmer", "--password-file", "password", server.url("/f"), cwd=tmp_path)

    assert (end.code, sent(server)) == (0, ELMER), end.err


async def test_from_a_variable(server: FaultServer, tmp_path: Path) -> None:
    end = await run("get", "-u", "elmer", server.url("/f"), cwd=tmp_path, PULP_DL_PASSWORD="wabbit")

    assert (end.code, sent(server)) == (0, ELMER), end.err


async def test_from_the_settings(server: FaultServer, tmp_path: Path) -> None:
    """The very word, or a file beside them."""
    for text in ('password = "wabbit"', 'password-file = "word"'):
        secret(tmp_path / "x.toml", f'user = "elmer"\n{text}')
        secret(tmp_path / "word")
        end = await run("--config", tmp_path / "x.toml", "get", server.url("/f"), cwd=tmp_path)

        assert (end.code, sent(server)) == (0, ELMER), end.err


async def test_what_is_said_nearer_goes_before(server: FaultServer, tmp_path: Path) -> None:
    """A file that a flag names, then a variable, then the settings, whichever way they say it."""
    flag, file = secret(tmp_path / "flag", "flag"), secret(tmp_path / "file", "file")
    secret(tmp_path / "x.toml", f'user = "elmer:inline"\npassword-file = "{file}"\n')
    get = ["--config", tmp_path / "x.toml", "get", server.url("/f")]

    async def password(*more: object, **variables: str) -> str:
        end = await run(*get, *more, cwd=tmp_path, **variables)
        assert end.code == 0, end.err
        return next(
            word
            for word in ("flag", "variable", "file", "inline", "url")
            if sent(server) == Basic("elmer", word).header
        )

    assert await password() == "inline"
    assert await password("-u", "elmer") == "file"
    assert await password(PULP_DL_PASSWORD="variable") == "variable"
    assert await password("--password-file", flag, PULP_DL_PASSWORD="variable") == "flag"
    assert await password("-u", "elmer:inline", PULP_DL_PASSWORD="variable") == "inline"
    get[-1] = server.url("/f").replace("//", "//elmer:url@")
    assert await password("--password-file", flag, PULP_DL_PASSWORD="variable") == "url"


async def test_from_a_person_who_does_not_see_it(server: FaultServer, tmp_path: Path) -> None:
    def type_it() -> str:
        with Terminal.pulp_dl(["get", "-u", "elmer", server.url("/f")], tmp_path) as terminal:
            terminal.wait_for("Password for elmer: ")
            terminal.press("wabbit\r")
            assert terminal.exit_code() == 0
        return terminal.typescript

    assert "wabbit" not in await deferToThread(type_it)
    assert sent(server) == ELMER


async def test_whoever_is_asked_may_leave(server: FaultServer, tmp_path: Path) -> None:
    def leave(key: str) -> tuple[int, str]:
        with Terminal.pulp_dl(["get", "-u", "elmer", server.url("/f")], tmp_path) as terminal:
            terminal.wait_for("Password for elmer: ")
            terminal.press(key)
            return terminal.exit_code(), terminal.typescript

    code, shown = await deferToThread(leave, "\x03")
    assert code == 130
    assert "Traceback" not in shown
    code, shown = await deferToThread(leave, "\x04")
    assert code == 2
    assert "there is nobody to ask; use --password-file or PULP_DL_PASSWORD" in shown
    assert server.requests == []


async def test_from_stdin_where_a_program_hands_it_over(server: FaultServer, tmp_path: Path) -> None:
    def pipe() -> int:
        command = f"echo wabbit | {sys.executable} -m pulp_dl get -u elmer --password-file - {server.url('/f')}"
        with Terminal(["sh", "-c", command], tmp_path, {"PYTHONPATH": str(ROOT)}) as terminal:
            return terminal.exit_code()

    assert await deferToThread(pipe) == 0
    assert sent(server) == ELMER


@pytest.mark.parametrize("name", ["password", "proxy-password", "passphrase"])
def test_a_command_line_is_no_place_for_one(name: str) -> None:
    end = refused("get", f"--{name}", "hunter2", "http://h/x")

    assert end.code == 2
    variable = f"PULP_DL_{name.upper().replace('-', '_')}"
    assert f"anybody on this machine can read a command line; use --{name}-file or {variable}" in end.err
    assert "hunter2" not in end.err


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\xff", "is not UTF-8"),
        (b"hunter2" * 100_000, "is too large"),
        (b"hunter2\nhunter3\n", "Error: --password-file: a control character; remove it (a line end"),
    ],
)
def test_a_file_that_holds_no_password_is_told_without_repeating_it(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    if content is not None:
        (tmp_path / "word").write_bytes(content)
    end = refused("get", "-u", "elmer", "--password-file", tmp_path / "word", "http://h/x")

    assert end.code == 2
    assert "Error: --password-file: " in end.err
    assert what in end.err
    assert "hunter" not in end.err


def test_a_password_for_nobody_is_an_error_but_as_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may be there for other runs."""
    secret(tmp_path / "x.toml", 'password = "wabbit"')
    flag = refused("get", "--password-file", "x", "http://h/x")
    file = refused("--config", tmp_path / "x.toml", "get", "http://h/x")
    monkeypatch.setenv("PULP_DL_PASSWORD", "wabbit")
    monkeypatch.setenv("PULP_DL_PASSPHRASE", "wabbit")
    variable = refused("get", "no URL")

    assert "Error: --password-file: of no use without --user; give it, too" in flag.err
    assert f"Error: {tmp_path / 'x.toml'}: password: of no use without --user; give it, too" in file.err
    assert "not an absolute URL" in variable.err


# ---- netrc


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Variables of somebody who has a C{~/.netrc}."""
    secret(tmp_path / ".netrc", "machine 127.0.0.1 login elmer password wabbit\n")
    return {"HOME": str(tmp_path), "NETRC": ""}


async def test_from_netrc_without_being_asked_to(server: FaultServer, tmp_path: Path, home: dict[str, str]) -> None:
    end = await run("get", server.url("/f"), cwd=tmp_path, **home)

    assert (end.code, sent(server)) == (0, ELMER), end.err


async def test_netrc_is_for_the_hosts_that_it_names(server: FaultServer, tmp_path: Path, home: dict[str, str]) -> None:
    """Of several on one command line, too."""
    other = server.url("/g").replace("127.0.0.1", "localhost")
    end = await run("get", server.url("/f"), other, "-j", 1, cwd=tmp_path, **home)

    assert end.code == 0, end.err
    assert {request.target: request.get(b"authorization") for request in server.requests} == {"/f": ELMER, "/g": None}


async def test_whatever_is_said_goes_before_netrc(server: FaultServer, tmp_path: Path, home: dict[str, str]) -> None:
    by_hand = ("-H", "Authorization: Bearer me")
    secret(tmp_path / "x.toml", f'[remotes.r]\nurl = "{server.url("/").replace("//", "//daffy:duck@", 1)}"')
    daffy = Basic("daffy", "duck").header
    for before, after, expected in (
        ((), ("-u", "daffy:duck", server.url("/f")), daffy),
        ((), (server.url("/f").replace("//", "//daffy:duck@"),), daffy),
        (("--config", tmp_path / "x.toml"), ("--remote", "r", "f"), daffy),
        ((), (*by_hand, server.url("/f")), b"Bearer me"),
        ((), ("--no-netrc", server.url("/f")), None),
    ):
        end = await run(*before, "get", *after, cwd=tmp_path, **home)

        assert (end.code, sent(server)) == (0, expected), end.err
    assert (await run("get", server.url("/f"), cwd=tmp_path, PULP_DL_NETRC="no", **home)).code == 0
    assert sent(server) is None


async def test_another_netrc(server: FaultServer, tmp_path: Path, home: dict[str, str]) -> None:
    """By a flag or by its own variable; it has to be there."""
    secret(tmp_path / "other", "default login daffy password duck")
    daffy = Basic("daffy", "duck").header
    flag = await run("get", "--netrc-file", "other", server.url("/f"), cwd=tmp_path, **home)
    assert (flag.code, sent(server)) == (0, daffy), flag.err
    variable = await run("get", server.url("/f"), cwd=tmp_path, **{**home, "NETRC": str(tmp_path / "other")})
    assert (variable.code, sent(server)) == (0, daffy), variable.err
    missing = await run("get", server.url("/f"), "--netrc-file", "none", cwd=tmp_path, **home)
    assert missing.code == 2
    assert "Error: --netrc-file: none: there is no such netrc file; check the path" in missing.err
    missing = await run("get", server.url("/f"), cwd=tmp_path, **{**home, "NETRC": "none"})
    assert missing.code == 2
    assert "Error: NETRC: none: there is no such netrc file; check the path" in missing.err


async def test_a_netrc_that_others_can_read_is_not_used(
    server: FaultServer, tmp_path: Path, home: dict[str, str]
) -> None:
    """It is told once, and no reason to fail: it may be of no use here."""
    (tmp_path / ".netrc").chmod(0o644)
    end = await run("get", "--quiet", server.url("/f"), server.url("/g"), cwd=tmp_path, **home)

    assert (end.code, sent(server)) == (0, None)
    assert end.err == (
        "Warning: ~/.netrc: it has to be yours, and for you alone: chmod 600 ~/.netrc; it is not used (--no-netrc)\n"
    )


# ---- certificates


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A directory with a certificate, and its key, which "sesame" opens."""
    issued = trustme.CA().issue_cert("client@example.org")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))
    (tmp_path / "client.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (tmp_path / "client.key").write_bytes(locked)
    return tmp_path


async def test_an_encrypted_key_is_opened(server: FaultServer, identity: Path) -> None:
    """By a file, a variable or a person."""
    get = ["get", "--cert", "client.pem", "--key", "client.key", server.url("/f")]
    secret(identity / "phrase", "sesame\n")
    file = await run(*get, "--passphrase-file", "phrase", cwd=identity)
    variable = await run(*get, cwd=identity, PULP_DL_PASSPHRASE="sesame")

    def type_it() -> int:
        with Terminal.pulp_dl(get, identity) as terminal:
            terminal.wait_for("Passphrase of the private key: ")
            terminal.press("sesame\r")
            code = terminal.exit_code()
        assert "sesame" not in terminal.typescript
        return code

    assert (file.code, variable.code, await deferToThread(type_it)) == (0, 0, 0), file.err + variable.err


async def test_where_there_is_no_terminal_nobody_is_asked(identity: Path) -> None:
    """A pipe that is open is nobody; getpass would wait for it."""
    get = [
        sys.executable,
        "-m",
        "pulp_dl",
        "get",
        "--cert",
        "client.pem",
        "--key",
        "client.key",
        "http://127.0.0.1:1/f",
    ]

    def wait() -> tuple[int, bytes]:
        nobody = Popen(get, cwd=identity, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
        try:
            code = nobody.wait(60)  # its standard input is open until then
            assert nobody.stderr is not None
            return code, nobody.stderr.read()
        finally:
            nobody.kill()
            nobody.communicate()

    code, told = await deferToThread(wait)
    assert (code, b"there is nobody to ask" in told) == (2, True), told


async def test_a_wrong_passphrase_is_blamed_on_where_it_came_from(identity: Path) -> None:
    get = ["get", "--cert", "client.pem", "--key", "client.key", "http://127.0.0.1:1/f"]
    variable = await run(*get, cwd=identity, PULP_DL_PASSPHRASE="hunter2")
    nobody = await run(*get, cwd=identity)

    assert (variable.code, nobody.code) == (2, 2)
    assert "Error: PULP_DL_PASSPHRASE: wrong; it does not open the key in 'client.key'" in variable.err
    assert "there is nobody to ask; use --passphrase-file or PULP_DL_PASSPHRASE" in nobody.err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{}:hunter2", "'{}' alone is the path; {}"),
        ("{}:hunter2:3", "'{}' alone is the path; {}"),
        ("{}x:hunter2", "'{}x:***': there is no such file; check the path"),
        ("{}x:hunter2:3", "'{}x:***': there is no such file; check the path"),
    ],
)
@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("cert", "give the passphrase with --passphrase-file or PULP_DL_PASSPHRASE"),
        ("key", "give the passphrase with --passphrase-file or PULP_DL_PASSPHRASE"),
        ("ssh-key", "give the passphrase with --ssh-passphrase-file or PULP_DL_SSH_PASSPHRASE"),
        ("proxy-cert", "no passphrase can be given, take a --proxy-key that needs none"),
        ("proxy-key", "no passphrase can be given, take a --proxy-key that needs none"),
    ],
)
async def test_a_passphrase_as_curl_has_it_is_shown_to_nobody(
    tmp_path: Path, given: str, told: str, option: str, instead: str
) -> None:
    name = str(tmp_path / "client.pem")
    Path(name).touch()
    words = ["--proxy", "http://127.0.0.1:1", f"--{option}", given.format(name), "http://127.0.0.1:1/f"]
    end = await run("get", "--json", *words, cwd=tmp_path)
    settings = secret(tmp_path / "settings.toml", f'proxy = "http://127.0.0.1:1"\n{option} = "{given.format(name)}"')
    from_file = await run("--config", settings, "get", "http://127.0.0.1:1/f", cwd=tmp_path)

    assert (end.code, from_file.code) == (2, 2)
    assert end.json["failures"][0]["message"] == f"--{option}: {told.format(name, instead)}"
    assert f"{settings}: {option}: {told.format(name, instead)}" in from_file.err
    assert "hunter2" not in end.err + end.out + from_file.err


async def test_a_path_may_have_a_colon_in_it(server: FaultServer, identity: Path) -> None:
    for name in ("client.pem", "client.key"):
        (identity / name).rename(identity / f"a:{name}")
    get = ["get", "--cert", "a:client.pem", "--key", "a:client.key", server.url("/f")]
    end = await run(*get, cwd=identity, PULP_DL_PASSPHRASE="sesame")

    assert end.code == 0, end.err


async def test_ssl_cert_file_names_whom_the_system_trusts(nginx: Nginx, tmp_path: Path) -> None:
    (nginx.root / "f").write_bytes(b"x")
    without = await run("get", f"{nginx.https}f", "--retries", 0, cwd=tmp_path)
    trusted = await run("get", f"{nginx.https}f", cwd=tmp_path, SSL_CERT_FILE=str(nginx.ca))

    assert (without.code, trusted.code) == (5, 0), trusted.err
    assert "--cacert" in without.err
    assert "TLS." not in without.err


# ---- proxies


async def test_the_environment_names_the_proxy(server: FaultServer, tmp_path: Path) -> None:
    end = await run("get", "http://far.example/f", cwd=tmp_path, http_proxy=server.url("/"))

    assert end.code == 0, end.err
    assert server.requests[0].target == "http://far.example/f"


async def test_no_proxy_keeps_hosts_out_of_it(server: FaultServer, tmp_path: Path) -> None:
    """Hosts of one command line go each its own way; a flag takes the place of the variable."""
    gone = {"http_proxy": "http://127.0.0.1:1"}
    variable = await run("get", server.url("/f"), cwd=tmp_path, no_proxy="127.0.0.0/8", **gone)
    flag = await run("get", server.url("/f"), "--noproxy", "127.0.0.1", cwd=tmp_path, no_proxy="x", **gone)
    star = await run("get", server.url("/f"), "--noproxy", "*", cwd=tmp_path, all_proxy="socks5://127.0.0.1:1")
    none = await run("get", server.url("/f"), "--proxy", "", cwd=tmp_path, **gone)
    outside = await run("get", server.url("/f"), "--noproxy", "", "--retries", 0, cwd=tmp_path, no_proxy="*", **gone)

    assert [end.code for end in (variable, flag, star, none, outside)] == [0, 0, 0, 0, 4], outside.err
    both = await run(
        "get", server.url("/g"), "http://far.example/f", "--proxy", server.url("/"), cwd=tmp_path, NO_PROXY="127.0.0.1"
    )
    assert both.code == 0, both.err
    assert sorted(each.target for each in server.requests[-2:]) == ["/g", "http://far.example/f"]


async def test_who_has_to_use_a_proxy_is_never_led_around_it(server: FaultServer, tmp_path: Path) -> None:
    """What it is not asked for is not asked for at all."""
    gate = server.url("/").replace("//", "//elmer:wabbit@")
    for given in ({"http_proxy": gate, "ftp_proxy": gate}, {"ftp_proxy": gate}, {}):
        options = () if given else ("--proxy", gate)
        end = await run("get", "ftp://far.example/f", *options, cwd=tmp_path, **given)
        assert (end.code, (tmp_path / "f").read_bytes()) == (0, b"x")
        (tmp_path / "f").unlink()
    login = await run(
        "get", "ftp://far.example/f", "--proxy-user", "elmer:wabbit", cwd=tmp_path, ftp_proxy=server.url("/")
    )
    assert login.code == 0
    assert {request.target for request in server.requests} == {"ftp://far.example/f"}
    assert [request.get(b"proxy-authorization") for request in server.requests] == [ELMER] * 4
    for url in ("sftp://far.example/f", "ftps://far.example/f"):
        end = await run("get", url, "--proxy", gate, cwd=tmp_path)
        assert end.code == 2
        assert "proxy; give its host as --noproxy" in end.err
    assert len(server.requests) == 4


async def test_what_is_for_a_proxy_is_for_nobody_where_there_is_none(server: FaultServer, tmp_path: Path) -> None:
    """It may stand in the settings of somebody who is not always behind one."""
    trust = "--proxy-user", "elmer", "--proxy-cacert", "/nonexistent"
    end = await run("get", server.url("/f"), *trust, cwd=tmp_path)

    assert end.code == 0


async def test_a_proxy_for_https_breaks_nothing_else(server: FaultServer, tmp_path: Path) -> None:
    """Where it is asked and is not there, it is not gone around."""
    gate = {"https_proxy": "http://127.0.0.1:1"}
    plain = await run("get", server.url("/f"), cwd=tmp_path, **gate)
    url = server.url("/f").replace("http:", "https:")
    secure = await run("get", url, "--retries", 0, cwd=tmp_path, **gate)

    assert (plain.code, secure.code) == (0, 4), plain.err
    assert "the proxy refuses the connection" in secure.err


async def test_https_goes_through_a_tunnel(reactor: Any, nginx: Nginx, tmp_path: Path) -> None:
    """A proxy that is reached over TLS is trusted by options of its own; the least version holds for both."""
    (nginx.root / "f").write_bytes(b"x")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "gate.pem")
    tls, ancient = (ServerTLS(ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()) for _ in range(2))
    ancient.context.set_max_proto_version(SSL.TLS1_2_VERSION)
    get = "get", f"{nginx.https}f", "--cacert", nginx.ca, "--retries", 0
    login = "--proxy-user", "elmer:wabbit"
    async with FaultServer(reactor, OnConnect([ESTABLISHED, Tunnel()]), tls=tls) as proxy:
        gate = {"https_proxy": proxy.url("/")}
        ends = [
            await run(*get, *login, "--proxy-cacert", "gate.pem", cwd=tmp_path, **gate),
            await run(*get, *login, "--proxy", proxy.url("/"), "--proxy-insecure", cwd=tmp_path),
        ]
        strange = await run(*get, *login, cwd=tmp_path, **gate)
    async with FaultServer(reactor, OnConnect([ESTABLISHED, Tunnel()]), tls=ancient) as before:
        trust = "--proxy-cacert", "gate.pem", "--tls-min", "1.3"
        old = await run(*get, *login, *trust, cwd=tmp_path, https_proxy=before.url("/"))

    assert [end.code for end in ends] == [0, 0], [end.err for end in ends]
    assert [request.get(b"proxy-authorization") for request in proxy.requests] == [ELMER] * 2
    assert (strange.code, old.code) == (4, 4)
    assert "the certificate of the proxy" in strange.err
    assert "give the CA as --proxy-cacert" in strange.err
    assert "the proxy has no TLS that is safe (1.2 or later, or what --tls-min says)" in old.err
    assert "TLS." not in strange.err + old.err
    assert "certificates are not checked" in ends[1].err


async def test_a_public_key_is_pinned_as_for_curl(nginx: Nginx, tmp_path: Path) -> None:
    (nginx.root / "f").write_bytes(b"x")
    pin = pin_of(x509.load_pem_x509_certificate((nginx.folder / "chain.pem").read_bytes()))
    get = "get", f"{nginx.https}f", "-k", "--retries", 0, "--pinnedpubkey"
    right = await run(*get, pin, cwd=tmp_path)
    wrong = await run(*get, f"sha256//{'A' * 43}=", cwd=tmp_path)
    none = await run(*get, "key.pem", cwd=tmp_path)

    assert (right.code, wrong.code, none.code) == (0, 5, 2), wrong.err
    assert "not checked" not in right.err
    assert f"the public key of the server ({pin}) is none of --pinnedpubkey" in wrong.err
    assert "Error: --pinnedpubkey: 'key.pem' is no digest of a public key" in none.err


async def test_without_verification_it_is_said_once(nginx: Nginx, tmp_path: Path) -> None:
    """Not with -q."""
    for name in "fgh":
        (nginx.root / name).write_bytes(b"x")
    urls = [f"{nginx.https}{name}" for name in "fgh"]
    told, quiet = [await run("get", "-k", *urls, *q, cwd=tmp_path) for q in ([], ["-q"])]
    as_json = await run("get", "-k", urls[0], "--log-format", "json", cwd=tmp_path)

    assert (told.code, quiet.code, as_json.code) == (0, 0, 0)
    assert told.err.count("certificates are not checked: whoever is on the way can read and change what goes by") == 1
    assert quiet.err == ""
    event = json.loads(as_json.err.splitlines()[0])
    assert (event["event"], event["level"]) == ("unverified", "warn")


async def test_the_proxy_has_a_password_of_its_own(server: FaultServer, tmp_path: Path) -> None:
    """From the URL, a file or a variable; whichever way the proxy was named."""
    secret(tmp_path / "word")
    target, gate = "http://far.example/f", {"http_proxy": server.url("/")}
    ends = [
        await run("get", target, cwd=tmp_path, http_proxy=server.url("/").replace("//", "//elmer:wabbit@")),
        await run("get", target, "--proxy-user", "elmer", "--proxy-password-file", "word", cwd=tmp_path, **gate),
        await run("get", target, "--proxy-user", "elmer", cwd=tmp_path, PULP_DL_PROXY_PASSWORD="wabbit", **gate),
        await run("get", target, "--proxy", server.url("/"), "--proxy-user", "elmer:wabbit", cwd=tmp_path),
    ]

    assert [end.code for end in ends] == [0, 0, 0, 0]
    assert [request.get(b"proxy-authorization") for request in server.requests] == [ELMER] * 4
    assert [request.get(b"authorization") for request in server.requests] == [None] * 4


def test_a_proxy_that_cannot_be_used_is_told_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks4://elmer:hunter2@127.0.0.1:1080")
    end = refused("get", "http://h/f")

    assert end.code == 2
    assert "Error: all_proxy: 'socks4://127.0.0.1:1080/' has to begin with http://, https://, socks5:// or" in end.err
    assert "or --noproxy" in end.err
    assert "hunter2" not in end.err

    monkeypatch.setenv("all_proxy", "http://el%3Amer:hunter2@127.0.0.1:1080")
    end = refused("get", "http://h/f")

    assert "Error: all_proxy: a colon in the user of a URL" in end.err
    assert "hunter2" not in end.err


# ---- what is printed


@pytest.mark.parametrize(
    "args",
    [
        ["http://elmer:hunter2@h/x"],
        ["gte", "http://elmer:hunter2@h/x"],
        ["sync", "-d", "d", "http://h/a", "http://elmer:hun ter2@h/x"],
        ["completion", "bash", "http://h/x?token=hunter2"],
        ["get", "-j", "http://elmer:hunter2@h/x"],
        ["get", "--max-size", "http://elmer:hun'ter2@h/x"],
        ["get", "http://h/x", "--proxy", "http://elmer:hunter2@h:port"],
        ["get", "http://h/x", "--proxy", "elmer:hunter2@h:port"],
        ["get", "http://h/x", "-H", "hunter2"],
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(args: list[str]) -> None:
    end: End = refused(*args)

    assert end.code == 2
    assert "hunter2" not in end.err
    assert "ter2" not in end.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["x", "--sha256", "abc"], "--sha256: a sha256 has 64 hexadecimal digits, 'abc' has not"),
        (["x", "--cacert", ""], "--cacert: an empty path; give a path or PEM text"),
        (["x", "--cert", "/none"], "--cert: '/none': there is no such file; check the path"),
        (["x", "-u", "a\nb:c"], "--user: a control character; remove it (a line end of a file, perhaps)"),
        (["x", "--proxy-user", "a\nb:c", "--proxy", "h"], "--proxy-user: a control character; remove it"),
        (["x", "--proxy-cacert", "/none", "--proxy", "h"], "--proxy-cacert: '/none': there is no such file"),
        (["x", "--proxy-key", "/none", "--proxy", "h"], "--proxy-key: of no use without --proxy-cert"),
        (["x", "--proxy", "socks5://h", "--proxy-user", "a:"], "--proxy-user: for a SOCKS proxy a password has from 1"),
        (["x", "--proxy", "socks4://h"], "--proxy: 'socks4://h/' has to begin with http://, https://, socks5:// or"),
        (["x", "-H", "a b: c"], "--header: the name of field 1 is none; use letters, digits and hyphens"),
        (["x", "-H", "no colon"], "Invalid value for '-H' / '--header': a header is NAME: VALUE"),
        (["no url"], "URL: not an absolute URL (scheme://host/path is needed): 'no url'"),
        (["http://h:port/x"], "URL: a port in a URL has to be a number from 1 to 65535: "),
    ],
)
def test_messages_speak_of_options(args: list[str], message: str) -> None:
    args = [f"http://h/{each}" if each == "x" else each for each in args]
    end = refused("get", *args)

    assert end.code == 2
    assert f"Error: {message}" in end.err


async def test_messages_of_a_run_speak_of_options_too(tmp_path: Path) -> None:
    end = await run("get", "http://127.0.0.1:1/f", "-H", "Range: bytes=1-2", "--json", "-v", cwd=tmp_path)

    assert "the field Range cannot be given: a file is fetched as a whole" in end.err
    assert "a file is fetched as a whole" in end.json["failures"][0]["message"]
    assert "Source." not in end.err + end.out


async def test_with_json_a_refusal_is_an_object_too(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("x = 1")
    for args in (
        ["get", "http://elmer:hunter2@h/x", "--size", "x", "--json"],
        ["get", "--json"],
        ["--config", "x.toml", "sync", "--json", "-d", "d", "http://h/x"],
        ["get", "http://h/x", "--json", "-o", "-"],
    ):
        end = await run(*args, cwd=tmp_path)

        assert (end.code, end.json["ok"], end.json["exit_code"], end.json["fetched"]) == (2, False, 2, 0)
        (failure,) = end.json["failures"]
        assert f"Error: {failure['message']}\n" in end.err
        assert "hunter2" not in end.out
