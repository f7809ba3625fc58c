"""C{pulp-dl get -i}: a list of files, as aria2 reads it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl.cli.inputs import InputError, WantedFile, read_inputs
from pulp_dl.testing import Cut, FaultServer, OnPath, answer
from tests.cli.command import ROOT, End, Run, files, refused, run
from tests.servers import Nginx

pytestmark = pytest.mark.limit(60)

DATA = bytes(range(250)) * 400
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def repository(nginx: Nginx) -> Nginx:
    (nginx.root / "bear.iso").write_bytes(DATA)
    (nginx.root / "cub.iso").write_bytes(b"cub")
    (nginx.root / "sub").mkdir()
    (nginx.root / "sub" / "den.txt").write_bytes(b"den")
    return nginx


def read(text: str | bytes) -> tuple[list[WantedFile], list[str]]:
    bad: list[InputError] = []
    lines = (text if isinstance(text, bytes) else text.encode()).splitlines(keepends=True)
    return [*read_inputs(lines, "list", bad.append)], [str(each) for each in bad]


async def piped(text: str, *args: object, cwd: Path) -> End:
    """The list comes from stdin."""

    def call() -> End:
        ended = subprocess.run(
            [sys.executable, "-m", "pulp_dl", *map(str, args)],
            input=text, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return End(ended.returncode, ended.stdout, ended.stderr)

    return await deferToThread(call)


# ---- what a list says


def test_a_line_is_a_file_and_indented_lines_are_its_options() -> None:
    found, bad = read(
        "\ufeff# all of it\r\n"
        "\n"
        "http://h/a\thttp://u:p@m/a\t\n"
        "  out=x/y\r\n"
        "\tdir=/some/where \n"
        "  # of this file\n"
        f" checksum=sha-256={SHA}\n"
        "   header=X-A: 1\n"
        " header=X-B:2\n"
        "   \n"
        "http://h/b  \n"
    )

    assert bad == []
    first, second = found
    assert (first.source.url, first.others, first.line) == ("http://h/a", ("http://u:p@m/a",), 3)
    assert (first.out, first.directory) == ("x/y", "/some/where")
    assert [(each.algorithm, each.value) for each in first.source.expect] == [("sha256", SHA)]  # type: ignore[attr-defined]  # a Digest
    assert first.source.headers == ((b"X-A", b"1"), (b"X-B", b"2"))
    assert (second.source.url, second.others, second.out, second.line) == ("http://h/b", (), None, 11)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nonsense\n", "line 1: not an absolute URL (scheme://host/path is needed): 'nonsense'"),
        ("http://h/a\tnonsense\n", "line 1: not an absolute URL (scheme://host/path is needed): 'nonsense'"),
        ("  out=x\n", "line 1: an option (it begins with a blank) with no URL before it"),
        ("http://h/a\n  split=5\n", "line 2: 'split' is no option that is known here; known are checksum, dir,"),
        ("http://h/a\n  out\n", "line 2: 'out' is no option"),
        ("http://h/a\n  out=\n", "line 2: out is empty"),
        ("http://h/a\n  out=x\n  out=y\n", "line 3: out is given twice"),
        ("http://h/a\n  out=../x\n", "line 2: out='../x' leads out of the directory; use dir for that"),
        ("http://h/a\n  out=/x\n", "line 2: out='/x' leads out of the directory"),
        ("http://h/a\n  checksum=abc\n", "line 2: checksum is TYPE=DIGEST"),
        ("http://h/a\n  checksum=sha-256=abc\n", "line 2: checksum: a sha256 has 64 hexadecimal digits"),
        ("http://h/a\n  checksum=crc=abc\n", "line 2: checksum: 'crc' is unknown; use one of sha512"),
        ("http://h/a\n  header=none\n", "line 2: a header is NAME: VALUE"),
        ("http://h/a\n  header=X A: 1\n", "line 2: headers: the name of field 1"),
        (b"http://h/\xff\n", "line 1: not UTF-8"),
        (b"http://h/" + b"a" * 70_000 + b"\n", "line 1: longer than 65536 bytes"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named_and_the_others_stand(text: str | bytes, error: str) -> None:
    """The file that it belongs to is not fetched: it may be the line that says what it has to be."""
    raw = text if isinstance(text, bytes) else text.encode()
    found, bad = read(raw + b"  dir=never heard\nhttp://h/good\n")

    assert [each.source.url for each in found] == ["http://h/good"]
    assert len(bad) == 1
    assert bad[0].startswith(error)


@given(st.text("h#\t \n=:/x") | st.binary())
def test_whatever_a_list_says_it_is_read_or_told(text: str | bytes) -> None:
    found, bad = read(text)

    assert all(each.source.url for each in found)
    assert all(each.startswith("line ") for each in bad)


# ---- what comes of it


async def test_it_fetches_what_is_listed(repository: Nginx, tmp_path: Path) -> None:
    base = repository.http
    (tmp_path / "list").write_text(
        f"# two bears\n{base}nothing\t{base}bear.iso\n  out=big/bear\n  checksum=sha-256={SHA}\n\n"
        f"{base}cub.iso\n{base}sub/den.txt\n  dir={tmp_path}/else/where\n"
    )
    end = await run("get", "-i", "list", "-d", "here", f"{base}sub/den.txt", "--json", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (end.json["fetched"], "files" in end.json) == (4, False)
    assert files(tmp_path / "here") == {"den.txt": b"den", "big/bear": DATA, "cub.iso": b"cub"}
    assert files(tmp_path / "else") == {"where/den.txt": b"den"}


async def test_it_does_with_a_list_what_aria2_does(
    repository: Nginx, tmp_path: Path, program: Callable[[str], str]
) -> None:
    base = repository.http
    (tmp_path / "list").write_text(
        f"# a comment\n\n{base}nothing\t{base}bear.iso\n  out=big/bear\n  checksum=sha-256={SHA}\n"
        f"{base}cub.iso  \r\n  dir=rel\n{base}private/cub.iso\n  out=private\n"
        f"  header=Authorization: Basic ZWxtZXI6d2FiYml0\n{base}gr%C3%BC%C3%9Fe.txt\n{base}missing\n"
    )
    (repository.root / "grüße.txt").write_bytes(b"hello")
    trees = {}
    for name, command in {
        "aria2": [program("aria2c"), "--quiet", "--no-conf"],
        "ours": [sys.executable, "-m", "pulp_dl", "get", "-q"],
    }.items():
        (tmp_path / name).mkdir()
        ended = await deferToThread(
            subprocess.run,
            [*command, "-i", "../list", "-d", "here"],
            cwd=tmp_path / name, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        )  # fmt: skip
        trees[name] = files(tmp_path / name), ended.returncode

    # aria2, too, says 3 for what is not found.
    assert trees["ours"] == trees["aria2"]
    assert {*trees["ours"][0]} == {"here/big/bear", "rel/cub.iso", "here/private", "here/grüße.txt"}
    assert trees["ours"][1] == 3


async def test_it_comes_from_stdin_and_is_read_as_it_comes(repository: Nginx, reactor: Any, tmp_path: Path) -> None:
    process = await deferToThread(
        subprocess.Popen,
        [sys.executable, "-m", "pulp_dl", "get", "-q", "-i", "-"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    # The second line is an option or the next file: only then is the first one known.
    process.stdin.write(f"{repository.http}cub.iso\n{repository.http}bear.iso\n".encode())
    process.stdin.flush()
    while not (tmp_path / "cub.iso").exists():
        await deferLater(reactor, 0.01)

    assert not (tmp_path / "bear.iso").exists()

    process.stdin.close()

    assert await deferToThread(process.wait) == 0
    assert (tmp_path / "bear.iso").read_bytes() == DATA


async def test_bad_lines_are_named_and_the_others_fetched(repository: Nginx, tmp_path: Path) -> None:
    base = repository.http
    text = f"nonsense\n{base}cub.iso\n{base}bear.iso\n  checksum=sha-256=12\n{base}\n{base}sub/den.txt\n  out=cub.iso\n"
    end = await piped(text, "get", "-i", "-", "--json", cwd=tmp_path)

    assert end.code == 2
    assert files(tmp_path).keys() - {"ca.pem"} >= {"cub.iso"}
    assert not (tmp_path / "bear.iso").exists()
    assert (tmp_path / "cub.iso").read_bytes() == b"cub"
    assert [each["message"].partition(":")[0] for each in end.json["failures"]] == [
        "line 1",
        "line 4",
        "line 5",
        "line 6",
    ]
    assert "line 5: there is no file name in this URL; give one with out=" in end.err
    assert "line 6: './cub.iso' is where line 2 goes, too" in end.err


async def test_two_files_for_one_path_are_an_error_of_the_second(repository: Nginx, tmp_path: Path) -> None:
    base = repository.http
    text = f"{base}cub.iso\n{base}bear.iso\n  out=x/y\n{base}cub.iso\n  out=y\n  dir={tmp_path}/x\n"
    end = await piped(text, "get", f"{base}cub.iso", "-i", "-", cwd=tmp_path)

    assert end.code == 2
    assert "line 1: './cub.iso' is where a URL of the command line goes, too" in end.err
    assert f"line 4: '{tmp_path}/x/y' is where line 2 goes, too" in end.err
    assert (tmp_path / "x" / "y").read_bytes() == DATA


async def test_out_stays_in_its_directory(repository: Nginx, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    end = await piped(f"{repository.http}cub.iso\n  out=link/cub\n", "get", "-d", "here", "-i", "-", cwd=tmp_path)

    assert end.code == 2, end.err
    assert files(tmp_path / "elsewhere") == {}


async def test_a_directory_that_cannot_be_made_is_a_failure_of_its_own(repository: Nginx, tmp_path: Path) -> None:
    base = repository.http
    text = f"{base}bear.iso\n  dir=/dev/null/x\n{base}cub.iso\n"
    end = await piped(text, "get", "-i", "-", cwd=tmp_path)

    assert end.code == 8
    assert "/dev/null/x: a file is where a directory is needed; give another path" in end.err
    assert (tmp_path / "cub.iso").exists()


async def test_another_url_goes_on_where_the_first_broke_off(reactor: Any, tmp_path: Path) -> None:
    script = OnPath({"/first": Cut(answer(DATA), 70_000), "/second": answer(DATA)})
    async with FaultServer(reactor, script) as server:
        text = (
            f"{server.url('/first')}\t{server.url('/second')}\n  checksum=sha-256={SHA}\n  header=X-Secret: hunter2\n"
        )
        (tmp_path / "list").write_text(text)
        end = await run("get", "-i", "list", "-v", cwd=tmp_path)
        asked = {each.path: each for each in server.requests}

    assert end.code == 0, end.err
    assert (tmp_path / "first").read_bytes() == DATA
    assert [*asked] == ["/first", "/second"]
    assert asked["/second"].get(b"range") is not None
    # What is said to the first is not for others to know.
    assert asked["/first"].get(b"x-secret") == b"hunter2"
    assert asked["/second"].get(b"x-secret") is None


async def test_a_file_that_is_not_what_it_has_to_be_is_not_there(repository: Nginx, tmp_path: Path) -> None:
    text = f"{repository.http}cub.iso\n  checksum=sha-256={SHA}\n"
    end = await piped(text, "get", "-i", "-", "--retries", "0", cwd=tmp_path)

    assert end.code == 7
    assert not (tmp_path / "cub.iso").exists()


async def test_a_secret_in_a_list_is_never_printed(repository: Nginx, tmp_path: Path) -> None:
    place = repository.http[7:]
    text = (
        f"http://elmer:hunter2@{place}private/nothing\thttp://elmer:hunter2@{place}no\n"
        "http://elmer:hunter2@[\nhttp://elmer:hunter2@h/\n"
        f"http://{place}nothing?token=hunter2\n  header=X Y: hunter2\n"
        f"http://{place}nothing?token=hunter2\n  header=X-Y: hunter2\n"
    )
    end = await piped(text, "get", "-i", "-", "-v", "--json", "--retries", "0", cwd=tmp_path)

    assert end.code == 1
    assert end.json["failed"] == 5
    assert "hunter2" not in end.out + end.err


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["-i", "no/such/file"], "-i no/such/file: No such file or directory"),
        (["-i", "/"], "-i /: Is a directory"),
        (["-i", "list", "-o", "x"], "-o is for one URL"),
        (["-i", "list", "--sha256", SHA], "--sha256 is for one URL"),
        (["-i", "list", "--size", "3"], "--size is for one URL"),
    ],
)
def test_what_makes_no_sense_is_2(args: list[str], text: str) -> None:
    end = refused("get", *args)

    assert (end.code, text in end.err) == (2, True), end.err


async def test_a_signal_ends_it_though_the_list_has_not_ended(nginx: Nginx, tmp_path: Path, reactor: Any) -> None:
    os.mkfifo(tmp_path / "list")
    running = Run("get", "-i", "list", cwd=tmp_path)
    writer = await deferToThread(open, tmp_path / "list", "w")
    running.kill(signal.SIGINT)
    end = await running.ended()
    writer.close()

    assert end.code == 130


@pytest.mark.limit(120)
async def test_a_long_list_costs_no_memory(tmp_path: Path) -> None:
    """Lines that lead nowhere are enough for that, and soon over."""
    code = (
        "import resource, sys\n"
        "from pulp_dl.cli.inputs import InputFile\n"
        "from pulp_dl.consumers.file import ToFile\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "items = InputFile(open('list', 'rb'), 'list', '.', None, mtime=False, failed=print).items([])\n"
        "next(items)\n"
        "before = peak()\n"
        "print(sum(1 for _ in items), peak() - before)\n"
    )
    with (tmp_path / "list").open("w") as file:
        file.writelines(
            f"http://h.example/a/rather/long/path/to/file/{number}\n  out=o{number}\n" for number in range(40_000)
        )
    ended = await deferToThread(
        subprocess.run, [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, grown = map(int, ended.stdout.split())

    assert count == 39_999
    assert grown < 8000  # KiB; the list has 3000
