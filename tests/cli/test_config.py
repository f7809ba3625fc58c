"""Settings: defaults, then files, then variables, then the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.threads import deferToThread

from pulp_dl.cli import main
from pulp_dl.cli.config import read
from pulp_dl.cli.settings import ConfigError, keys
from pulp_dl.testing import FaultServer, answer
from tests.cli.command import ROOT, files, refused, run
from tests.needs import lacking
from tests.terminal import Terminal

pytestmark = pytest.mark.limit(40)


def said(texts: list[str], folder: Path, remote: str | None = None, command: str = "get") -> dict[str, Any]:
    """What files with these texts say to a command, the last one counting most."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.toml")
        paths[-1].write_text(text)
        paths[-1].chmod(0o600)
    group: Any = main
    root = click.Context(group, info_name="pulp-dl")
    ctx = click.Context(group.commands[command], info_name=command, parent=root)
    return {name: setting.value for name, setting in read(paths, ctx, remote).items()}


# ---- the layers


async def test_flags_go_before_variables_and_variables_before_files(reactor: Any, tmp_path: Path) -> None:
    """And for each option for itself."""
    (tmp_path / "settings.toml").write_text('header = ["X-From: file"]\nquiet = true\n')
    async with FaultServer(reactor, answer(b"x")) as server:
        get = ["--config", "settings.toml", "get", server.url("/f")]
        end = await run(*get, cwd=tmp_path)
        variable = await run(*get, cwd=tmp_path, PULP_DL_HEADER="X-From: variable\nX-Also: this: one")
        flag = await run(*get, "-H", "X-From: flag", cwd=tmp_path, PULP_DL_HEADER="X-From: variable")

        assert {end.code, variable.code, flag.code} == {0}, end.err + variable.err + flag.err
        assert end.err + variable.err + flag.err == ""
        assert [request.get(b"x-from") for request in server.requests] == [b"file", b"variable", b"flag"]
        assert server.requests[1].get(b"x-also") == b"this: one"


async def test_the_users_file_is_found_where_files_of_settings_are(reactor: Any, tmp_path: Path) -> None:
    (tmp_path / "pulp-dl").mkdir()
    (tmp_path / "pulp-dl" / "config.toml").write_text('[get]\ndirectory = "here"\nquiet = true\n')
    async with FaultServer(reactor, answer(b"x")) as server:
        end = await run("get", server.url("/f"), cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path))
        (tmp_path / ".config").mkdir()
        (tmp_path / "pulp-dl").rename(tmp_path / ".config" / "pulp-dl")
        at_home = await run("get", server.url("/f"), cwd=tmp_path, XDG_CONFIG_HOME="", HOME=str(tmp_path))

    assert (end.code, end.err, at_home.code, at_home.err) == (0, "", 0, "")
    assert files(tmp_path / "pulp-dl") == {} == files(tmp_path / "here")
    assert (tmp_path / ".config" / "pulp-dl" / "here" / "f").read_bytes() == b"x"


async def test_another_file_takes_the_place_of_both(reactor: Any, tmp_path: Path) -> None:
    """Also one that a variable names; and one that is named has to be there."""
    (tmp_path / "pulp-dl").mkdir()
    (tmp_path / "pulp-dl" / "config.toml").write_text("this is no TOML")
    (tmp_path / "other.toml").write_text("quiet = true")
    async with FaultServer(reactor, answer(b"x")) as server:
        arguments = ("get", server.url("/f"))
        home = {"XDG_CONFIG_HOME": str(tmp_path)}
        broken = await run(*arguments, cwd=tmp_path, **home)
        flag = await run("--config", "other.toml", *arguments, cwd=tmp_path, **home)
        variable = await run(*arguments, cwd=tmp_path, PULP_DL_CONFIG="other.toml", **home)
        missing = await run("--config", "no.toml", *arguments, cwd=tmp_path, **home)

    assert (broken.code, flag.code, variable.code, missing.code) == (2, 0, 0, 2)
    assert (flag.err, variable.err) == ("", "")
    assert "this is not TOML: Expected '=' after a key in a key/value pair (at line 1, column 6)" in broken.err
    assert "no.toml: there is no such file of settings; check --config" in missing.err


def test_the_users_file_goes_before_the_systems(tmp_path: Path) -> None:
    system = 'retries = 1\nper-host = 2\n[get]\nconcurrency = 3\nmax-size = "1k"'
    user = "retries = 9\nconcurrency = 8\n[sync]\nper-host = 7"

    assert said([system, user], tmp_path) == {"retries": 9, "per_host": 2, "concurrency": 8, "max_size": "1k"}
    assert said([system, user], tmp_path, command="sync") == {"retries": 9, "per_host": 7, "concurrency": 8}


async def test_the_systems_file_is_in_etc(reactor: Any, tmp_path: Path) -> None:
    """Seen by the command alone, in a place of its own for mounts."""
    (tmp_path / "pulp-dl").mkdir()
    (tmp_path / "pulp-dl" / "config.toml").write_text('header = ["X-From: user"]')
    (tmp_path / "system.toml").write_text('quiet = true\nheader = ["X-From: system"]')
    setup = "mount -t tmpfs none /etc && cp system.toml /etc/pulp_dl.toml"

    def alone(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "--mount", "sh", "-ec", script],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    if (await deferToThread(alone, setup)).returncode:
        lacking("only root may mount")
    async with FaultServer(reactor, answer(b"x")) as server:
        get = f"{setup}; {sys.executable} -m pulp_dl get {server.url('/f')}"
        system = await deferToThread(alone, get)
        both = await deferToThread(alone, get, XDG_CONFIG_HOME=str(tmp_path))

        assert (system.returncode, system.stderr, both.returncode, both.stderr) == (0, "", 0, "")
        assert [request.get(b"x-from") for request in server.requests] == [b"system", b"user"]


def test_what_is_said_of_a_command_goes_before_what_is_said_of_all(tmp_path: Path) -> None:
    assert said(["[get]\nretries = 1\n[sync]\nretries = 2\n"], tmp_path) == {"retries": 1}
    assert said(["retries = 3\n[get]\nretries = 1"], tmp_path) == {"retries": 1}


async def test_every_option_has_a_variable_that_is_the_same_for_all_commands(tmp_path: Path) -> None:
    group: Any = main
    variables = {
        name: {key: option.envvar for key, option in keys(command).items()}
        for name, command in group.commands.items()
        if name in {"get", "sync"}
    }

    assert variables["get"]["max-time"] == variables["sync"]["max-time"] == "PULP_DL_MAX_TIME"
    assert variables["get"]["json"] == "PULP_DL_JSON"
    for each in variables.values():
        assert {*each.values()} == {f"PULP_DL_{key.upper().replace('-', '_')}" for key in each}


def test_a_bad_variable_is_blamed_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULP_DL_CONCURRENCY", "many")
    end = refused("get", "http://h/x")

    assert end.code == 2
    assert "Invalid value for PULP_DL_CONCURRENCY: 'many' is not a valid integer" in end.err


def test_a_file_that_is_wrong_is_no_reason_not_to_help(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("this is no TOML")

    assert refused("--config", tmp_path / "x.toml", "get", "--help").code == 0
    assert refused("--config", tmp_path / "x.toml", "--version").code == 0


# ---- what may stand in a file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("concurency = 5", "concurency: there is no such setting; did you mean concurrency?"),
        ("max_size = 5", "max_size: there is no such setting; did you mean max-size?"),
        ("[gte]\nretries = 1", "gte: there is no such setting; did you mean get?"),
        ("[get]\nverify = true", "get.verify: there is no such setting; "),
        ("[sync]\ndelte = 1", "sync.delte: there is no such setting; "),
        (
            "[remotes.bears]\nurl = 'http://h/'\nurls = 1",
            "remotes.bears.urls: there is no such setting; did you mean url",
        ),
        ("qqq = 5", "qqq: there is no such setting; --help lists those there are"),
        ('"a\\u001bb" = 5', r"'a\x1bb': there is no such setting"),
        ("help = true", "help: there is no such setting"),
        ("concurrency = '5'", "concurrency: a whole number is needed, not a string"),
        ("concurrency = true", "concurrency: a whole number is needed, not true or false"),
        ("concurrency = 5.0", "concurrency: a whole number is needed, not a number"),
        ("concurrency = 0", "concurrency: 0 is not in the range x>=1"),
        ("concurrency = 1979-05-27", "concurrency: a whole number is needed, not a date or a time"),
        ("max-time = 'long'", "max-time: a number is needed, not a string"),
        ("max-time = nan", "max-time: nan is no number of seconds"),
        ("max-size = -1", "max-size: -1 is no number of bytes"),
        ("max-size = 1.5", "max-size: 1.5 is no number of bytes"),
        ("max-size = [1]", "max-size: a string is needed, not an array"),
        ("max-size = '5 bears'", "max-size: '5 bears' is no number of bytes; give one, such as 1000, 64k or 1.5G"),
        ("insecure = 'yes'", "insecure: true or false is needed, not a string"),
        ("user = 5", "user: a string is needed, not a whole number"),
        ("header = 'X-A: 1'", "header: an array is needed, not a string"),
        ("header = [1]", "header: a header is NAME: VALUE"),
        ("header = ['hunter2']", "header: a header is NAME: VALUE"),
        ("get = 1", "get: a table is needed, not a whole number"),
        ("remotes = 1", "remotes: a table is needed, not a whole number"),
        ("[remotes]\nbears = 1", "remotes.bears: a table is needed, not a whole number"),
        ("[remotes.bears]\nretries = 1", "remotes.bears.url: the URL of the remote is needed, as a string"),
        ("[remotes.bears]\nurl = 'http://elmer:hunter2@ h/'", "remotes.bears.url: "),
        ("cacert = '~nobody-of-that-name/x'", "cacert: there is no home directory of that name"),
        ("retries = 1\nretries = 2\n", "this is not TOML: Cannot overwrite a value (at line 2, column 12)"),
    ],
)
def test_what_cannot_be_is_told_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    """Before anything is begun, and whichever command it is about."""
    path = tmp_path / "x.toml"
    path.write_text(text)
    end = refused("--config", path, "get", "http://h/x")

    assert (end.code, end.out) == (2, "")
    assert end.err.startswith(f"Error: {path}: {message}")
    assert "hunter2" not in end.err


def test_a_file_that_is_not_text_or_not_there_to_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"retries = 1\n# \xff\n")

    assert "x.toml: line 2 is not UTF-8" in refused("--config", tmp_path / "x.toml", "get", "http://h/x").err
    assert "it cannot be read: Is a directory" in refused("--config", tmp_path, "get", "http://h/x").err


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.text(max_size=3))
KEYS = st.sampled_from([*keys(main.commands["get"]), *keys(main.commands["sync"]), "get", "remotes", "x"])


@given(st.dictionaries(KEYS, VALUES, max_size=3) | st.binary(max_size=40))
def test_whatever_stands_in_a_file_it_is_taken_or_told(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any] | bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if isinstance(content, dict):
        content = "".join(f"{key} = {_toml(value)}\n" for key, value in content.items()).encode()
    path = folder / "whatever.toml"
    path.write_bytes(content)
    group: Any = main
    ctx = click.Context(group.commands["get"], info_name="get", parent=click.Context(group, info_name="pulp-dl"))
    try:
        read([path], ctx)
    except ConfigError as error:
        assert error.message.startswith(str(path)) or "no remote is called" in error.message


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(each):08x}" for each in value if not 0xD800 <= ord(each) < 0xE000) + '"'
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return "nope" if value is None else str(value).lower()


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/me")
    text = 'cacert = "ca.pem"\ncert = "~/me.pem"\nkey = "/k.pem"\noutput = "-"\n'

    assert said([text], tmp_path) == {
        "cacert": str(tmp_path / "ca.pem"),
        "cert": "/home/of/me/me.pem",
        "key": "/k.pem",
        "output": "-",
    }


def test_a_value_of_a_file_is_blamed_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[get]\ncacert = "missing.pem"')
    end = refused("--config", path, "get", "http://h/x")

    assert f"Error: {path}: get.cacert: '{tmp_path}/missing.pem': there is no such file; check the path" in end.err


# ---- remotes by name


BEARS = """
[remotes.bears]
url = "{url}"
user = "elmer:wabbit"
header = ["X-Bear: brown"]
retries = 0

[remotes.wolves]
url = "http://wolves.example/"
"""


def settings(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


async def test_a_remote_is_called_by_its_name(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, answer(b"x")) as server:
        path = settings(tmp_path / "x.toml", BEARS.format(url=server.url("/all/bears")))
        end = await run("--config", path, "get", "--remote", "bears", "a/brown.iso?x=1", "/top.iso", cwd=tmp_path)

        assert end.code == 0, end.err
        assert sorted(request.target for request in server.requests) == ["/all/bears/a/brown.iso?x=1", "/top.iso"]
        assert {request.get(b"x-bear") for request in server.requests} == {b"brown"}
        assert {request.get(b"authorization") for request in server.requests} == {b"Basic ZWxtZXI6d2FiYml0"}


async def test_a_list_may_name_files_of_the_remote(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, answer(b"x")) as server:
        path = settings(tmp_path / "x.toml", BEARS.format(url=server.url("/all/bears")))
        (tmp_path / "list").write_text("brown.iso\n out=b\nhttp://127.0.0.1:9/black.iso\tblack.iso\n out=c\n")
        end = await run("--config", path, "get", "--remote", "bears", "-i", "list", cwd=tmp_path)

        assert end.code == 0, end.err
        assert {request.target for request in server.requests} == {"/all/bears/brown.iso", "/all/bears/black.iso"}
        assert {request.get(b"x-bear") for request in server.requests} == {b"brown"}


async def test_what_a_remote_knows_is_for_its_own_host(reactor: Any, tmp_path: Path) -> None:
    """Whatever else is asked for beside it."""
    async with FaultServer(reactor, answer(b"x")) as server, FaultServer(reactor, answer(b"y")) as other:
        path = settings(tmp_path / "x.toml", BEARS.format(url=server.url("/")))
        end = await run("--config", path, "get", "--remote", "bears", other.url("/f"), server.url("/g"), cwd=tmp_path)

        assert end.code == 0, end.err
        for name in (b"authorization", b"x-bear"):
            assert server.requests[0].get(name) is not None
            assert other.requests[0].get(name) is None


async def test_a_file_may_choose_the_remote(reactor: Any, tmp_path: Path) -> None:
    """And a flag another one."""
    async with FaultServer(reactor, answer(b"x")) as server:
        text = 'remote = "wolves"\nretries = 3\n[get]\nremote = "bears"\n' + BEARS.format(url=server.url("/"))
        path = settings(tmp_path / "x.toml", text)
        end = await run("--config", path, "get", "brown.iso", cwd=tmp_path)

        assert end.code == 0, end.err
        assert server.requests[0].get(b"x-bear") == b"brown"
        assert said([text], tmp_path)["retries"] == 0
        assert said([text], tmp_path, "wolves") == {"remote": "http://wolves.example/", "retries": 3}


def test_a_name_means_one_table(tmp_path: Path) -> None:
    """A password in the one file never goes to the host in the other."""
    system = '[remotes.bears]\nurl = "http://one.example/"\npassword = "x"\nuser = "elmer"'
    user = '[remotes.bears]\nurl = "http://two.example/"'

    assert said([system, user], tmp_path, "bears") == {"remote": "http://two.example/"}


def test_a_name_that_nobody_knows_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    path = settings(tmp_path / "x.toml", BEARS.format(url="http://bears.example/"))
    end = refused("--config", path, "get", "--remote", "cubs", "x")
    path.write_text('remote = "foxes"')
    in_file = refused("--config", path, "get", "x")

    assert (end.code, in_file.code) == (2, 2)
    assert "Error: --remote: no remote is called 'cubs'; the settings name bears, wolves" in end.err
    assert f"Error: {path}: remote: no remote is called 'foxes'; the settings name none" in in_file.err


async def test_a_sync_takes_its_remote_by_name_too(reactor: Any, tmp_path: Path) -> None:
    listing = answer(b"a,2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881,1\n")
    async with FaultServer(reactor, {"/bears/PULP_MANIFEST": listing, "/bears/a": answer(b"x")}) as server:
        path = settings(tmp_path / "x.toml", BEARS.format(url=server.url("/bears")) + '[sync]\ndirectory = "mirror"')
        end = await run("--config", path, "sync", "--remote", "bears", "PULP_MANIFEST", cwd=tmp_path)

        assert end.code == 0, end.err
        assert {request.get(b"x-bear") for request in server.requests} == {b"brown"}
    assert (tmp_path / "mirror" / "a").read_bytes() == b"x"


# ---- secrets in files


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('user = "elmer:wabbit"', True),
        ('user = "elmer"', False),
        ('[get]\npassword = "wabbit"', True),
        ('password-file = "wabbit"', False),
        ('[sync]\nproxy = "http://elmer:wabbit@gate.example"', True),
        ('proxy = "elmer:wabbit@gate.example"', True),
        ('proxy = "http://gate.example:3128/@"', False),
        ('[remotes.a]\nurl = "https://elmer:wabbit@h/"', True),
        ('[remotes.a]\nurl = "https://h:81/@scope/x:y@z"', False),
        ('header = ["Authorization: Bearer wabbit"]', True),
        ('header = ["X-Api-Key: wabbit"]', True),
        ('header = ["User-Agent: bear"]', False),
        ('passphrase = "wabbit"', True),
        ('proxy-password = "wabbit"', True),
    ],
)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_secret_that_others_can_read_is_told_once(tmp_path: Path, text: str, secret: bool, mode: int) -> None:
    """The administrator's own files may have a group of readers."""
    path = tmp_path / "x.toml"
    path.write_text(text)
    path.chmod(mode)
    end = refused("--config", path, "get", "no URL")
    strict = mode & (0o007 if os.geteuid() == 0 else 0o077)

    assert end.err.count("is a secret, and others can read that file; chmod 600 it") == bool(secret and strict)
    assert ": password is" not in end.err or "get.password" in end.err
    assert "wabbit" not in end.err


async def test_a_person_sees_what_is_wrong_and_where(tmp_path: Path) -> None:
    """As one does: once wrong, then told, then mended."""
    (tmp_path / "x.toml").write_text("[get]\nconcurency = 5\n")

    def look() -> str:
        command = ["--config", "x.toml", "get", "http://127.0.0.1:1/f"]
        with Terminal.pulp_dl(command, tmp_path) as terminal:
            assert terminal.exit_code() == 2
        return terminal.screen

    assert "Error: x.toml: get.concurency: there is no such setting; did you mean concurrency?" in await deferToThread(
        look
    )
