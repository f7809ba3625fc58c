"""However a run ends: a code that is not zero, words on stderr, and one object on stdout if C{--json} asks for it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl.errors import ConsumerFailed
from pulp_dl.importers.paths import Paths
from tests.cli.command import ROOT, End, Run, fill, run
from tests.servers import Nginx

pytestmark = pytest.mark.limit(60)

NOWHERE = "http://127.0.0.1:1/f"
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def shell(script: str, cwd: Path) -> Any:
    """Fires with the end of a script; $pd is the command."""

    def do() -> End:
        command = f'pd="{sys.executable} -m pulp_dl"; {script}'
        done = subprocess.run(["bash", "-c", command], cwd=cwd, env=ENVIRONMENT, capture_output=True, check=False)
        return End(done.returncode, done.stdout.decode(), done.stderr.decode())

    return deferToThread(do)


def python(program: str, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **more)


# ---- what nobody has foreseen

BROKEN = """
import sys
from pathlib import Path
import click
from pulp_dl.cli import main
from pulp_dl.cli.options import output_options
from pulp_dl.cli.outcome import Summary, concluding

@main.command("broken")
@click.option("--begun", is_flag=True)
@output_options
@click.pass_context
def broken(ctx, begun, **options):
    if not begun:
        raise RuntimeError("can't start new thread for https://elmer:hunter2@h/x")
    summary = Summary(options)
    with concluding(ctx, summary):
        summary.fetched = 3
        raise RuntimeError("can't start new thread")

main(["broken", *sys.argv[1:]])
"""


def test_what_nobody_has_foreseen_is_told_as_any_failure() -> None:
    end = python(BROKEN, "--json")

    assert (end.returncode, json.loads(end.stdout)) == (
        1,
        {
            "ok": False,
            "exit_code": 1,
            "fetched": 0,
            "present": 0,
            "failed": 0,
            "bytes": 0,
            "seconds": 0,
            "failures": [
                {
                    "path": None,
                    "url": None,
                    "error": "RuntimeError",
                    "message": "this was not foreseen: RuntimeError: can't start new thread for https://h/x",
                }
            ],
        },
    )
    assert end.stderr == "Error: this was not foreseen: RuntimeError: can't start new thread for https://h/x\n"


def test_what_was_done_until_then_is_counted() -> None:
    end = python(BROKEN, "--json", "--begun")
    found = json.loads(end.stdout)

    assert (end.returncode, found["exit_code"], found["ok"], found["fetched"]) == (1, 1, False, 3)
    assert [each["error"] for each in found["failures"]] == ["RuntimeError"]


def test_who_wants_to_hear_of_everything_is_told_where_it_happened() -> None:
    assert "in broken\n" in python(BROKEN, "-vv", "--begun").stderr
    assert "Traceback" not in python(BROKEN, "--begun").stderr


# ---- a disk that is full

FILLING = """
import resource
from pulp_dl.importers.paths import Paths
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
with Paths() as paths:
    for number in range(1_000_000):
        paths.add(f"{number}", "x" * 100)
"""


def test_a_temporary_database_that_the_disk_does_not_take_is_a_failure_of_the_disk() -> None:
    end = python(FILLING)

    assert "pulp_dl.errors.ConsumerFailed: temporary database: " in end.stderr
    assert "; make room for it, or name a directory that has room in SQLITE_TMPDIR or TMPDIR" in end.stderr


async def test_such_a_failure_is_8(nginx: Nginx, tmp_path: Path) -> None:
    lines = (f"{number % 100}/{number},{'0' * 64},5\n" for number in range(60_000))
    (nginx.root / "PULP_MANIFEST").write_text("".join(lines))
    limit = (nginx.root / "PULP_MANIFEST").stat().st_size
    url = f"{nginx.http}PULP_MANIFEST"
    end = await run("sync", "-n", url, "-d", "m", "--json", cwd=tmp_path, before=("prlimit", f"--fsize={limit}"))

    assert (end.code, end.json["exit_code"], end.json["ok"]) == (8, 8, False), end.err
    assert "Error: temporary database: " in end.err
    assert "temporary database: " in end.json["failures"][0]["message"]


def test_the_database_is_closed_although_it_failed() -> None:
    with pytest.raises(ConsumerFailed), Paths() as paths:
        paths.close()
        paths.add("a", "b")


# ---- a signal, whenever it comes


@pytest.mark.parametrize("option", ["--password-file", "--check", "--cacert", "--config"])
@pytest.mark.parametrize(("number", "code"), SIGNALS)
async def test_a_pipe_is_read_when_it_comes(
    reactor: Any, tmp_path: Path, option: str, number: signal.Signals, code: int
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = ["--config", pipe] if option == "--config" else []
    more = [] if words else [option, pipe]
    user = ["-u", "me"] if option == "--password-file" else []
    # The file that is being read has no time to be closed.
    running = Run(*words, "get", *user, "--json", *more, NOWHERE, cwd=tmp_path, PYTHONWARNINGS="")
    writer = await opened(reactor, pipe)
    while not running.sleeps:  # between a look at signals and the call of the system Python would not hear of one
        await deferLater(reactor, 0.01)
    running.kill(number)
    end = await running.ended()
    os.close(writer)

    assert (end.code, end.json["exit_code"], end.json["ok"]) == (code, code, False)
    assert end.json["failures"] == []
    assert "Traceback" not in end.err


async def opened(reactor: Any, pipe: Path) -> int:
    """A descriptor to write to it, as soon as somebody reads from it."""
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            await deferLater(reactor, 0.01)


EARLY = """
import builtins, os, signal, sys
number, when = int(sys.argv.pop(1)), sys.argv.pop(1)
real = builtins.__import__
def at(name, *args, **named):
    if name == when:
        os.kill(os.getpid(), number)
    return real(name, *args, **named)
from pulp_dl.__main__ import run
builtins.__import__ = at
run()
"""


@pytest.mark.parametrize("when", ["cli", "click", "json", "sync"])
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_it_comes_while_the_command_is_being_loaded(number: signal.Signals, code: int, when: str) -> None:
    end = python(EARLY, f"{int(number)}", when, "get", "--json", NOWHERE)

    assert (end.returncode, end.stderr) == (code, "")
    assert json.loads(end.stdout) | {"seconds": 0} == {
        "ok": False,
        "exit_code": code,
        "fetched": 0,
        "present": 0,
        "failed": 0,
        "bytes": 0,
        "seconds": 0,
        "left": None,
        "parts": [],
        "failures": [],
    }


FINALIZED = """
import builtins, os, sys
number = int(sys.argv.pop(1))
class Held:
    def __del__(self):
        os.kill(os.getpid(), number)
real = builtins.__import__
def at(name, *args, **named):
    if name == "blocking":
        builtins.__import__ = real
        Held()
    return real(name, *args, **named)
from pulp_dl.__main__ import run
builtins.__import__ = at
run()
"""


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_it_comes_where_nothing_can_be_raised(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/f"
        end = python(FINALIZED, f"{int(number)}", "get", "-q", "--json", url, "-o", str(tmp_path / "f"))

    assert (end.returncode, end.stderr) == (code, "")
    assert json.loads(end.stdout)["exit_code"] == code


LATE = """
import atexit, os, signal, sys
number, when = int(sys.argv.pop(1)), sys.argv.pop(1)
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=number):
        kill(pid, number)
if when == "in the end":
    atexit.register(os.kill, os.getpid(), number)
else:  # the interpreter has no handlers then
    sys.last = Last()
from pulp_dl.__main__ import run
run()
"""


@pytest.mark.parametrize("when", ["in the end", "after that"])
@pytest.mark.parametrize("words", [["--json", "nonsense"], ["--json", NOWHERE, "--retries", "0", "-o", "/tmp/none"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_comes_when_all_was_told_changes_nothing_of_that(
    number: signal.Signals, words: list[str], when: str
) -> None:
    end = python(LATE, f"{int(number)}", when, "get", *words)

    assert end.returncode == json.loads(end.stdout)["exit_code"]
    assert "Traceback" not in end.stderr


# ---- where it is asked for


@pytest.mark.parametrize(
    "words",
    [
        ["get", "--bogus"],
        ["get", "nonsense"],
        ["get", "-j", "x", NOWHERE],
        ["explain", "--bogus"],
        ["sync", NOWHERE],
    ],
)
@pytest.mark.parametrize("way", ["variable", "settings", "command line"])
async def test_an_error_of_usage_is_an_object_wherever_that_is_asked_for(
    tmp_path: Path, words: list[str], way: str
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("json = true\n" if way == "settings" else "")
    environment = {"PULP_DL_JSON": "1"} if way == "variable" else {}
    more = ["--json"] if way == "command line" else []
    end = await run("--config", settings, *words, *more, cwd=tmp_path, **environment)

    assert (end.code, end.json["exit_code"]) == (2, 2)
    assert end.json["failures"][0]["error"] == "UsageError"
    assert f"Error: {end.json['failures'][0]['message']}" in end.err


async def test_who_asked_for_none_gets_none(tmp_path: Path) -> None:
    end = await run("get", "--bogus", cwd=tmp_path, PULP_DL_JSON="0")

    assert (end.code, end.out) == (2, "")


# ---- what it stands on is gone


@pytest.mark.parametrize(
    "words", [f"get {NOWHERE}", f"get {NOWHERE} -o x", f"get {NOWHERE} -d d", f"sync {NOWHERE} -d d --digest-file x"]
)
async def test_the_directory_that_it_runs_in_is_gone(tmp_path: Path, words: str) -> None:
    end = await shell(f"mkdir gone; cd gone; rmdir ../gone; $pd {words} --json --retries 0", tmp_path)

    assert (end.code, end.json["exit_code"], end.json["ok"], len(end.json["failures"])) == (8, 8, False, 1)
    assert "the output" not in end.err


@pytest.mark.parametrize("to", [">/dev/full", ">&-"])
async def test_a_stderr_that_takes_nothing(nginx: Nginx, tmp_path: Path, to: str) -> None:
    fill(nginx.root, {"a": b"a", "b": b"b"})
    url = shlex.quote(nginx.http)
    once = await shell(f"$pd get {url}a --json 2{to}", tmp_path)
    all_along = await shell(f"$pd sync {url}PULP_MANIFEST -d m -vv --json 2{to}", tmp_path)
    refused = await shell(f"$pd get --bogus --json 2{to}", tmp_path)
    code = 8 if to == ">/dev/full" else 0

    assert [each.json["exit_code"] for each in (once, all_along, refused)] == [code, code, 2]
    assert [each.code for each in (once, all_along, refused)] == [code, code, 2]
    assert once.json["fetched"] == 1
    assert (tmp_path / "a").read_bytes() == b"a"


async def test_a_reader_that_has_gone_is_8_and_is_told_nothing(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {f"{'x' * 200}{number}": b"a" for number in range(2000)})
    (nginx.root / "large").write_bytes(bytes(1_000_000))
    url = shlex.quote(nginx.http)
    listed = await shell(
        f"$pd sync -q -n {url}PULP_MANIFEST -d m | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}", tmp_path
    )
    body = await shell(f"$pd get -q {url}large -o - | head -c1 >/dev/null; exit ${{PIPESTATUS[0]}}", tmp_path)

    assert (listed.code, listed.err, body.code, body.err) == (8, "", 8, "")


@pytest.mark.parametrize("words", ["--help", "schemes", "completion bash"])
async def test_so_it_is_with_whatever_is_printed(tmp_path: Path, words: str) -> None:
    end = await shell(f"(sleep 0; exec $pd {words}) | true; exit ${{PIPESTATUS[0]}}", tmp_path)

    assert (end.code, end.err) == (8, "")


async def test_a_warning_that_nobody_reads_any_more_is_8_with_the_object(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("user = 'u'\npassword = 'p'\n")
    (tmp_path / "c").chmod(0o644)
    end = await shell(f"$pd --config c get --json {NOWHERE} -o f 2> >(exec 0<&-; exit)", tmp_path)

    assert (end.code, end.json["exit_code"]) == (8, 8)
