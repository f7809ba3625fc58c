"""C{pulp-dl get}."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, Hold, Nth, Repeat, Reset, Send, answer, response_head
from tests.cli.command import ROOT, Run, files, on_terminal, refused, run
from tests.needs import lacking
from tests.servers import Nginx

pytestmark = pytest.mark.limit(40)

DATA = bytes(range(250)) * 400
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def repository(nginx: Nginx) -> Nginx:
    (nginx.root / "bear.iso").write_bytes(DATA)
    (nginx.root / "empty").write_bytes(b"")
    (nginx.root / "grüße 50%#?.iso").write_bytes(b"hello")
    return nginx


async def test_it_fetches_a_file_and_says_what_it_did(repository: Nginx, tmp_path: Path) -> None:
    url = f"{repository.http}bear.iso"
    end = await run("get", url, "-o", "here.iso", "--sha256", SHA, "--size", "100000", "--json", cwd=tmp_path)

    assert end.code == 0
    assert (tmp_path / "here.iso").read_bytes() == DATA
    assert end.err.startswith("1 fetched; 97.7 KiB in ")
    assert {name: value for name, value in end.json.items() if name != "seconds"} == {
        "ok": True,
        "exit_code": 0,
        "fetched": 1,
        "present": 0,
        "failed": 0,
        "bytes": 100_000,
        "files": [{"url": url, "path": "here.iso", "size": 100_000, "sha256": SHA}],
        "failures": [],
    }


async def test_quiet_is_silent(repository: Nginx, tmp_path: Path) -> None:
    end = await run("get", "--quiet", f"{repository.http}bear.iso", "-o", "here.iso", cwd=tmp_path)

    assert (end.code, end.out, end.err) == (0, "", "")


async def test_files_are_named_by_their_urls(repository: Nginx, tmp_path: Path) -> None:
    names = ("bear.iso?sig=x", "empty", "gr%C3%BC%C3%9Fe%2050%25%23%3F.iso")
    urls = [repository.http + name for name in names]
    end = await run("get", *urls, "-d", "some/where", cwd=tmp_path)

    assert end.code == 0, end.err
    assert files(tmp_path / "some" / "where") == {"bear.iso": DATA, "empty": b"", "grüße 50%#?.iso": b"hello"}


async def test_without_a_directory_it_is_the_current_one(repository: Nginx, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    end = await run("get", f"{repository.http}empty", cwd=tmp_path / "here")

    assert end.code == 0
    assert files(tmp_path / "here") == {"empty": b""}


@pytest.mark.parametrize(
    "name", ["", "..", "%2e%2e", "a/%2E%2E", "a%2f..", "./", "a%2F"], ids=lambda name: name or "nothing"
)
def test_a_url_without_a_file_name_asks_for_one(name: str) -> None:
    end = refused("get", f"http://127.0.0.1:1/{name}")

    assert end.code == 2
    assert "give one with -o" in end.err


async def test_a_name_leads_nowhere_else(repository: Nginx, tmp_path: Path) -> None:
    (repository.root / "\x1b[2Jx").write_bytes(b"x")
    (repository.root / "y").write_bytes(b"y")
    end = await run("get", f"{repository.http}%1b[2Jx", f"{repository.http}..%2Fy", "-d", "here", cwd=tmp_path)

    assert {*files(tmp_path / "here")} <= {"_[2Jx", "y"}
    assert not (tmp_path / "y").exists()
    assert "\x1b" not in end.err


async def test_to_stdout_goes_only_what_held(repository: Nginx, tmp_path: Path) -> None:
    url = f"{repository.http}bear.iso"
    good = await run("get", url, "-o", "-", "--sha256", SHA, cwd=tmp_path)
    bad = await run("get", url, "-o", "-", "--sha256", "0" * 64, "--retries", 0, cwd=tmp_path)

    assert (good.code, good.out.encode(errors="surrogateescape")) == (0, DATA)
    assert (bad.code, bad.out) == (7, "")


async def test_mtime_is_the_servers(repository: Nginx, tmp_path: Path) -> None:
    os.utime(repository.root / "bear.iso", (1e9, 1e9))
    (tmp_path / "list").write_text(f"{repository.http}bear.iso\n  out=listed\n")
    one = await run("get", f"{repository.http}bear.iso", "-o", "one", "--mtime", cwd=tmp_path)
    listed = await run("get", "-i", "list", "-R", cwd=tmp_path)
    await run("get", f"{repository.http}bear.iso", "-o", "plain", cwd=tmp_path)

    assert (one.code, listed.code) == (0, 0)
    assert (tmp_path / "one").stat().st_mtime == (tmp_path / "listed").stat().st_mtime == 1e9
    assert (tmp_path / "plain").stat().st_mtime > 1.5e9


# ---- --check


async def test_what_a_list_of_digests_says_is_held(repository: Nginx, tmp_path: Path) -> None:
    """The name is that of the file, as the list has it; or the last part of the URL."""
    empty = hashlib.sha256(b"").hexdigest()
    (tmp_path / "SUMS").write_text(f"{SHA}  bear.iso\n{empty} *./empty\n{SHA}  sub/other\n")
    (tmp_path / "list").write_text(f"{repository.http}bear.iso\n  out=sub/other\n{repository.http}empty\n")
    base = repository.http
    named = await run("get", f"{base}bear.iso", f"{base}empty", "--check", "SUMS", "-d", "a", cwd=tmp_path)
    renamed = await run("get", f"{base}bear.iso?x=/empty", "-o", "b", "--check", "SUMS", cwd=tmp_path)
    listed = await run("get", "-i", "list", "--check", "SUMS", "-d", "c", cwd=tmp_path)
    (tmp_path / "SUMS").write_text(f"{'0' * 128}  bear.iso\n")
    wrong = await run("get", f"{base}bear.iso", "--check", "SUMS", "--retries", 0, cwd=tmp_path)

    assert [each.code for each in (named, renamed, listed, wrong)] == [0, 0, 0, 7], named.err + renamed.err + listed.err
    assert "sha512 is" in wrong.err
    assert not (tmp_path / "bear.iso").exists()


async def test_what_a_list_of_digests_does_not_name_is_not_fetched(repository: Nginx, tmp_path: Path) -> None:
    (tmp_path / "SUMS").write_text(f"{SHA}  bear.iso\n")
    (tmp_path / "list").write_text(f"{repository.http}empty\n{repository.http}bear.iso\n")
    one = await run("get", f"{repository.http}empty", "--check", "SUMS", cwd=tmp_path)
    listed = await run("get", "-i", "list", "--check", "SUMS", cwd=tmp_path)

    assert (one.code, listed.code) == (2, 2)
    assert "--check SUMS: it does not list empty" in one.err
    assert "line 1: --check: it does not list empty" in listed.err
    assert not (tmp_path / "empty").exists()
    assert (tmp_path / "bear.iso").exists()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "--check SUMS: No such file or directory"),
        ("nothing\n", "--check SUMS: there is no digest in it"),
        (f"{SHA}  a\n{'0' * 64}  a\n", "--check SUMS: line 2: another digest of 'a' than in line 1"),
    ],
)
async def test_a_list_of_digests_that_is_none_is_2(tmp_path: Path, text: str | None, error: str) -> None:
    if text is not None:
        (tmp_path / "SUMS").write_text(text)
    end = await run("get", "http://127.0.0.1:1/a", "--check", "SUMS", cwd=tmp_path)

    assert (end.code, error in end.err) == (2, True), end.err


# ---- where it goes


@pytest.mark.parametrize("name", ["/proc/self/fd/1", "/dev/stdout", "/dev/fd/1"])
def test_stdout_has_other_names(name: str) -> None:
    """Told by what cannot be together with it; so if it were otherwise, nothing would be written to /dev."""
    end = refused("get", "http://127.0.0.1:1/f", "-o", name, "--json")

    assert (end.code, "-o - and --json" in end.err) == (2, True)


@pytest.mark.parametrize("kind", ["a symlink to a device", "a symlink to a pipe", "a pipe"])
async def test_what_takes_bytes_in_its_own_way_is_never_replaced(repository: Nginx, tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "link").symlink_to("pipe")
    name = {"a symlink to a device": "device", "a symlink to a pipe": "link", "a pipe": "pipe"}[kind]
    before = os.lstat(tmp_path / name)
    end = await run("get", f"{repository.http}bear.iso", "-o", name, cwd=tmp_path)

    assert (end.code, "a device, a pipe or a socket is there" in end.err) == (8, True), end.err
    assert os.path.samestat(os.lstat(tmp_path / name), before)


# ---- how it ends


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--no-such-option", "http://h/bear.iso"], "No such option"),
        ([], "Missing argument 'URL...'; or give a list of them with -i"),
        (["bear.iso"], "not an absolute URL"),
        (["http://h/bear.iso", "-o", "x", "-d", "y"], "-o and -d"),
        (["http://h/bear.iso", "-o", "x/"], "-o x/ names no file; -d is for directories"),
        (["http://h/bear.iso", "http://h/empty", "-o", "x"], "-o is for one URL"),
        (["http://h/bear.iso", "http://h/empty", "--sha256", SHA], "--sha256 is for one URL"),
        (["http://h/bear.iso", "https://h/bear.iso"], "two of these URLs would be saved as bear.iso"),
        (["http://h/bear.iso", "--sha256", "abc"], "64 hexadecimal digits"),
        (["http://h/bear.iso", "--size", "-1"], "no number of bytes"),
        (["http://h/bear.iso", "-j", "0"], "0 is not in the range"),
        (["http://h/bear.iso", "--connect-timeout", "0"], "0.0 is not in the range"),
        (["http://h/bear.iso", "--max-time", "nan"], "Invalid value for '--max-time': 'nan' is no number of seconds"),
        (["http://h/bear.iso", "--cacert", "missing.pem"], "missing.pem"),
        (["http://h/bear.iso", "--key", "key.pem"], "Error: --key: of no use without --cert; give the certificate too"),
        (
            ["http://h/bear.iso", "--proxy", "socks9://h"],
            "Error: --proxy: 'socks9://h/' has to begin with http://, https://, socks5://",
        ),
        (["http://h/bear.iso", "-H", "no colon"], "NAME: VALUE"),
    ],
)
def test_what_makes_no_sense_is_2(args: list[str], text: str) -> None:
    end = refused("get", *args)

    assert (end.code, end.out) == (2, "")
    assert text in end.err


@pytest.mark.parametrize(
    ("code", "args", "text"),
    [
        (2, ["gopher://h/bear.iso"], "gopher"),
        (3, ["{http}nothing"], "404"),
        (3, ["file:///no/such/file"], "file: file:///no/such/file: No such file or directory\n"),
        (4, ["http://127.0.0.1:1/bear.iso", "--retries", "0"], "127.0.0.1:1"),
        (5, ["{https}bear.iso"], "certificate"),
        (6, ["{http}private/bear.iso"], "401"),
        (6, ["{http}private/bear.iso", "-u", "elmer:wrong"], "401"),
        (7, ["{http}bear.iso", "--sha256", "0" * 64, "--retries", "0"], "sha256 is"),
        (7, ["{http}bear.iso", "--size", "99999", "--retries", "0"], "99999"),
        (7, ["{http}bear.iso", "--max-size", "9k"], "9216"),
        (8, ["{http}bear.iso", "-o", "no/such/directory/bear.iso"], "its directory does not exist; make it"),
        (8, ["{http}bear.iso", "-d", "/dev/null/x"], "/dev/null"),
        (8, ["{http}bear.iso", "-d", "/dev/null"], "/dev/null: this is no directory; give another path\n"),
        (1, ["{http}nothing", "{http}private/bear.iso"], "2 failed"),
        (3, ["{http}nothing", "{http}bear.iso"], "1 failed"),
    ],
)
async def test_the_exit_code_tells_why(
    repository: Nginx, tmp_path: Path, code: int, args: list[str], text: str
) -> None:
    names = {"http": repository.http, "https": repository.https}
    end = await run("get", *(each.format(**names) for each in args), cwd=tmp_path)

    assert end.code == code, end.err
    assert text in end.err
    assert "Traceback" not in end.err


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/f"])
async def test_a_redirect_that_is_not_followed_is_the_servers_doing(
    reactor: Any, tmp_path: Path, location: str
) -> None:
    head = response_head(302, ((b"Content-Length", b"0"), (b"Location", location.encode())))
    async with FaultServer(reactor, Send(head)) as server:
        end = await run("get", server.url("/f"), cwd=tmp_path)

    assert (end.code, "is not followed" in end.err) == (4, True), end.err


@pytest.mark.parametrize(
    ("scheme", "script", "option", "text"),
    [
        ("https", Hold(), "--connect-timeout", "timed out: no connection for 0.3 s"),
        ("http", (Send(response_head(200)), Send(b"x"), Hold()), "--idle-timeout", "no byte of the body for 0.3 s"),
        ("http", Hold(), "--max-time", "timed out: the download was not done in 0.3 s"),
    ],
    ids=["connect", "idle", "total"],
)
async def test_each_limit_of_time_is_kept(
    reactor: Any, tmp_path: Path, scheme: str, script: Any, option: str, text: str
) -> None:
    async with FaultServer(reactor, script) as server:
        url = server.url("/f").replace("http:", f"{scheme}:")
        end = await run("get", url, option, "0.3", "--retries", 0, cwd=tmp_path)

    assert (end.code, text in end.err) == (4, True), end.err
    assert [path for path in files(tmp_path) if ".part" not in path] == []


@pytest.mark.parametrize("count", [0, 2])
async def test_it_is_tried_as_often_as_asked_for(reactor: Any, tmp_path: Path, count: int) -> None:
    async with FaultServer(reactor, Reset()) as server:
        end = await run("get", server.url("/f"), "--retries", count, cwd=tmp_path)

        assert (end.code, len(server.requests)) == (4, count + 1), end.err


async def test_a_failure_leaves_what_was_there(repository: Nginx, tmp_path: Path) -> None:
    (tmp_path / "bear.iso").write_bytes(b"old")
    end = await run("get", f"{repository.http}bear.iso", "--sha256", "0" * 64, "--retries", 1, "--json", cwd=tmp_path)

    assert end.code == 7
    assert (tmp_path / "bear.iso").read_bytes() == b"old"
    assert not [*tmp_path.glob("*.part*")]
    assert (end.json["ok"], end.json["exit_code"], end.json["bytes"]) == (False, 7, 200_000)
    assert [(each["path"], each["error"]) for each in end.json["failures"]] == [("bear.iso", "DigestMismatch")]


async def test_a_full_disk_is_8_and_leaves_nothing(repository: Nginx, tmp_path: Path, small_disk: Path) -> None:
    (repository.root / "large").write_bytes(bytes(4_000_000))
    end = await run("get", f"{repository.http}large", "-o", small_disk / "f", "--max-time", 20, cwd=tmp_path)

    assert end.code == 8
    assert "the disk is full" in end.err
    assert {*files(small_disk)} <= {"f.part", "f.part.json"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        lacking("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


# ---- whom to trust, and who we are


async def test_a_private_ca_is_trusted_on_request(repository: Nginx, tmp_path: Path) -> None:
    end = await run("get", f"{repository.https}bear.iso", "--cacert", repository.ca, cwd=tmp_path)

    assert end.code == 0, end.err


async def test_another_ca_is_not(repository: Nginx, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    end = await run("get", f"{repository.https}bear.iso", "--cacert", "other.pem", cwd=tmp_path)

    assert end.code == 5
    assert not (tmp_path / "bear.iso").exists()


async def test_insecure_asks_nobody(repository: Nginx, tmp_path: Path) -> None:
    end = await run("get", "-k", f"{repository.https}bear.iso", cwd=tmp_path)

    assert end.code == 0, end.err


@pytest.mark.parametrize("how", ["option", "url"])
async def test_user_and_password_are_sent(repository: Nginx, tmp_path: Path, how: str) -> None:
    if how == "option":
        end = await run("get", f"{repository.http}private/bear.iso", "-u", "elmer:wabbit", cwd=tmp_path)
    else:
        end = await run("get", f"http://elmer:wabbit@{repository.http[7:]}private/bear.iso", cwd=tmp_path)

    assert end.code == 0, end.err


@pytest.mark.parametrize(
    "args",
    [
        ["http://elmer:hunter2@{place}private/nothing", "-v", "--json"],
        ["http://{place}nothing?token=hunter2", "-v", "--json"],
        ["http://{place}private/x", "-u", "elmer:hunter2", "-v", "--json"],
        ["http://{place}x", "--proxy", "http://elmer:hunter2@127.0.0.1:1", "--retries", "0", "-v", "--json"],
        ["http://{place}nothing", "-H", "X-Key: hunter2", "-v", "--json"],
    ],
)
async def test_a_secret_is_never_printed(repository: Nginx, tmp_path: Path, args: list[str]) -> None:
    end = await run("get", *(each.format(place=repository.http[7:]) for each in args), cwd=tmp_path)

    assert end.code in {3, 4, 6}, end.err
    assert "hunter2" not in end.out + end.err


@pytest.mark.parametrize(
    "args",
    [
        ["http://elmer:hunter2@h/private/"],
        ["http://h/?token=hunter2"],
        ["http://elmer:hunter2@["],
        ["http://h/x", "-u", "el\nmer:hunter2"],
        ["http://h/x", "--proxy", "elmer:hunter2@ 127.0.0.1"],
        ["http://h/x", "--proxy", "ftp://elmer:hunter2@127.0.0.1"],
        ["http://h/x", "-H", "X-Key: hunter2\x01"],
        ["http://h/x", "-H", "X Key: hunter2"],
    ],
)
def test_a_secret_in_what_makes_no_sense_is_never_printed(args: list[str]) -> None:
    end = refused("get", *args)

    assert end.code == 2
    assert "hunter2" not in end.out + end.err


async def test_a_password_that_is_left_out_is_asked_for(repository: Nginx, tmp_path: Path) -> None:
    """On the terminal, which does not show it."""
    url = f"{repository.http}private/bear.iso"
    code, shown = await on_terminal(
        "get", "-u", "elmer", url, cwd=tmp_path, answers={b"Password for elmer": b"wabbit\n"}
    )

    assert code == 0, shown
    assert b"wabbit" not in shown


async def test_where_there_is_nobody_to_ask_it_does_not_hang(repository: Nginx, tmp_path: Path) -> None:
    end = await run("get", "-u", "elmer", f"{repository.http}private/bear.iso", cwd=tmp_path)

    assert end.code in {2, 6}
    assert not (tmp_path / "bear.iso").exists()


async def test_headers_are_sent(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, answer(b"abc")) as server:
        end = await run("get", server.url("/f"), "-H", "X-Bear: brown", "-H", "User-Agent: me", cwd=tmp_path)

        assert end.code == 0, end.err
        (request,) = server.requests
        fields = {name.lower(): value for name, value in request.headers}

        assert (fields[b"x-bear"], fields[b"user-agent"]) == (b"brown", b"me")


# ---- interrupted


def stalled() -> Any:
    """Half a file, and then nothing more."""
    head = response_head(200, ((b"Content-Length", b"1000000"), (b"ETag", b'"one"')))
    return (Send(head), Repeat(Send(b"x" * 1000), 500), Hold())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("json", [True, False])
async def test_a_signal_ends_it_soon(
    reactor: Any, tmp_path: Path, number: signal.Signals, code: int, json: bool
) -> None:
    (tmp_path / "f").write_bytes(b"old")
    async with FaultServer(reactor, stalled()) as server:
        running = Run("get", server.url("/f"), *["--json"][:json], cwd=tmp_path)
        while not (tmp_path / "f.part").exists():
            await deferLater(reactor, 0.01)
        begun = time.monotonic()
        running.kill(number)
        end = await running.ended()

    assert end.code == code
    assert time.monotonic() - begun < 5
    assert (tmp_path / "f").read_bytes() == b"old"
    assert "interrupted: 0 fetched" in end.err
    assert "Traceback" not in end.err
    if json:
        assert (end.json["ok"], end.json["exit_code"]) == (False, code)


async def test_a_second_signal_ends_it_at_once(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, stalled()) as server:
        running = Run("get", server.url("/f"), cwd=tmp_path)
        while not (tmp_path / "f.part").exists():
            await deferLater(reactor, 0.01)
        running.kill(signal.SIGINT)
        running.kill(signal.SIGINT)
        end = await running.ended()

    assert end.code in {130, -signal.SIGINT}


async def test_a_killed_run_is_gone_on_with(slow_nginx: Nginx, reactor: Any, tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    (slow_nginx.root / "large").write_bytes(data)
    os.utime(slow_nginx.root / "large", (time.time() - 3600,) * 2)
    running = Run("get", f"{slow_nginx.http}large", cwd=tmp_path)
    part = tmp_path / "large.part"
    while not (part.exists() and part.stat().st_size):
        await deferLater(reactor, 0.01)
    running.kill()
    await running.ended()

    assert not (tmp_path / "large").exists()

    end = await run("get", f"{slow_nginx.http}large", "--json", cwd=tmp_path)
    last = slow_nginx.served()[-1]

    assert end.code == 0, end.err
    assert (tmp_path / "large").read_bytes() == data
    assert (last.status, last.size) == (206, end.json["bytes"])
    assert end.json["bytes"] < len(data)
    assert not [*tmp_path.glob("large.*")]


# ---- what it tells meanwhile


async def test_verbose_tells_of_each_file_and_of_each_try(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, Nth([Reset(), answer(b"abc")])) as server:
        end = await run("get", "-v", server.url("/f"), cwd=tmp_path)

    assert end.code == 0, end.err
    assert "fetched f: 3 bytes\n" in end.err
    assert "ConnectFailed" in end.err


# ---- the command as a whole


async def test_help_tells_the_exit_codes(tmp_path: Path) -> None:
    end = await run("--help", cwd=tmp_path)

    assert end.code == 0
    assert "8  the disk" in end.out


async def test_a_reader_that_has_enough_is_no_error_worth_a_traceback(repository: Nginx, tmp_path: Path) -> None:
    (repository.root / "large").write_bytes(bytes(1_000_000))

    def pipe() -> subprocess.CompletedProcess[str]:
        command = f"{sys.executable} -m pulp_dl get -q {repository.http}large -o - | head -c 10 | wc -c"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    ended = await deferToThread(pipe)

    assert (ended.stdout.strip(), ended.stderr) == ("10", "")


@pytest.mark.parametrize(
    ("to", "option", "text"),
    [
        (">/dev/full", "-o-", "Error: the output: No space left on device\n"),
        (">/dev/full", "--json", "Error: the output: No space left on device\n"),
        (">&-", "-o-", "1 failed:\n  -: stdout is closed\n"),
        (">&-", "--json", "Error: stdout is closed, where --json would be printed\n"),
    ],
)
async def test_a_stdout_that_takes_nothing_is_8(
    repository: Nginx, tmp_path: Path, to: str, option: str, text: str
) -> None:
    def write() -> subprocess.CompletedProcess[str]:
        command = f"{sys.executable} -m pulp_dl get -q {repository.http}bear.iso {option} {to}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
        return subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    ended = await deferToThread(write)

    assert (ended.returncode, ended.stderr) == (8, text)
