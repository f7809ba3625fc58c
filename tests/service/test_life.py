"""How the streamer begins, reads its settings again, and ends: the real process, over real sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, Hold, Send, answer
from tests.service.running import ROOT, Streamer, ask, open_request, rest_of, streamer, until
from tests.terminal import Terminal

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"
HELD = (Send(HEAD + b"0123456789"), Hold("rest"), Send(b"9876543210"))

pytestmark = pytest.mark.limit(40)


async def said(running: Streamer, reactor: Any, text: str) -> None:
    await until(reactor, lambda: text in running.log)


@pytest.mark.parametrize("way", ["serve", "twistd", "twist"])
async def test_it_serves_what_is_below_a_prefix_whichever_way_it_is_begun(
    way: str, reactor: Any, tmp_path: Path
) -> None:
    async with (
        FaultServer(reactor, {"/up/bear": answer(b"brown")}) as origin,
        streamer(reactor, "--passthrough", f"/files={origin.url('/up/')}", cwd=tmp_path, way=way) as running,
    ):
        got = await ask(running.url, "/files/bear")
        nothing = await ask(running.url, "/elsewhere")
        running.signal(signal.SIGTERM)
        code = await running.ended()

    assert (got.status, got.body, nothing.status, code) == (200, b"brown", 404, 0)


@pytest.mark.parametrize("how", [(), ("--log-format", "json")])
async def test_a_log_says_where_it_is_once_and_in_words_for_people(
    how: tuple[str, ...], reactor: Any, tmp_path: Path
) -> None:
    local = ("--listen", f"unix:{tmp_path}/socket", "--listen", "tcp:0:interface=127.0.0.1")
    admin = ("--admin", "tcp:0:interface=127.0.0.1")
    async with streamer(reactor, *how, *local, *admin, cwd=tmp_path, listen=False) as running:
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0
        log = running.log

    assert [line.partition(" on ")[0] for line in log.splitlines()[:3]] == ["Serving", "Serving", "Status"]
    assert "starting on" not in log
    assert "Closed" not in log


@pytest.mark.parametrize("way", ["twistd", "twist"])
async def test_what_twisteds_own_log_says_of_ports_names_the_service(way: str, reactor: Any, tmp_path: Path) -> None:
    async with streamer(reactor, cwd=tmp_path, way=way) as running:
        log = running.log

    named = re.findall(r"(pulp-streamer|pulp-streamer status|_?[A-Z]\w+) starting on \d+", log)
    assert {*named} == {"pulp-streamer", "pulp-streamer status"}


@pytest.mark.parametrize("way", ["serve", "twistd"])
async def test_the_first_client_does_not_wait_for_imports(way: str, reactor: Any, tmp_path: Path) -> None:
    """They would take fifty milliseconds in which nobody else gets anything."""
    async with (
        FaultServer(reactor, {"/bear": answer(b"brown")}) as origin,
        streamer(
            reactor,
            *("--passthrough", f"/={origin.url('/')}"),
            cwd=tmp_path,
            way=way,
            PYTHONPROFILEIMPORTTIME="1",
        ) as running,
    ):
        before = running.log.count("import time:")
        assert before
        assert (await ask(running.url, "/bear")).body == b"brown"
        assert running.log.count("import time:") == before


async def test_of_several_prefixes_the_longer_one_answers(reactor: Any, tmp_path: Path) -> None:
    async with (
        FaultServer(reactor, {"/one/f": answer(b"one"), "/two/f": answer(b"two")}) as origin,
        streamer(
            reactor,
            *("--passthrough", f"/={origin.url('/one/')}"),
            *("--passthrough", f"/inner/={origin.url('/two/')}"),
            cwd=tmp_path,
        ) as running,
    ):
        outer, inner = await ask(running.url, "/f"), await ask(running.url, "/inner/f")

    assert (outer.body, inner.body) == (b"one", b"two")


@pytest.mark.parametrize("way", ["serve", "twistd"])
async def test_what_runs_is_finished_before_it_ends_and_nothing_new_is_begun(
    way: str, reactor: Any, tmp_path: Path
) -> None:
    async with (
        FaultServer(reactor, {"/a": HELD}) as origin,
        streamer(reactor, "--passthrough", f"/={origin.url('/')}", cwd=tmp_path, way=way) as running,
    ):
        response = await open_request(running.url, "/a")
        running.signal(signal.SIGTERM)
        await said(running, reactor, "Ending: 1 to be answered still")
        with pytest.raises(ConnectionRefusedError):
            await open_request(running.url, "/a")
        ready = await ask(running.admin, "/readyz")
        alive = await ask(running.admin, "/livez")
        origin.release("rest")
        body = await rest_of(response)
        code = await running.ended()

    assert (body, code) == (b"01234567899876543210", 0)
    assert (ready.status, ready.body, alive.status) == (503, b"not ready: ending\n", 200)


@pytest.mark.parametrize("way", ["serve", "twistd", "twist"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_cuts_what_runs_and_the_exit_code_says_so(
    way: str, number: signal.Signals, code: int, reactor: Any, tmp_path: Path
) -> None:
    async with (
        FaultServer(reactor, {"/a": HELD}) as origin,
        streamer(reactor, "--passthrough", f"/={origin.url('/')}", cwd=tmp_path, way=way) as running,
    ):
        response = await open_request(running.url, "/a")
        running.signal(number)
        await said(running, reactor, "Ending: 1 to be answered still")
        running.signal(number)

        assert await rest_of(response) is None
        assert await running.ended() == code
        assert "Ending: 1 cut" in running.log


async def test_what_takes_longer_than_the_grace_is_cut(reactor: Any, tmp_path: Path) -> None:
    async with (
        FaultServer(reactor, {"/a": HELD}) as origin,
        streamer(reactor, "--passthrough", f"/={origin.url('/')}", "--grace", 0.2, cwd=tmp_path) as running,
    ):
        response = await open_request(running.url, "/a")
        running.signal(signal.SIGTERM)

        assert await rest_of(response) is None
        assert await running.ended() == 143


def settings(path: Path, url: str, **others: object) -> None:
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in others.items()]
    path.write_text("[serve]\n" + f'passthrough = ["/files={url}"]\n' + "".join(lines))


@pytest.mark.parametrize("way", ["serve", "twistd"])
async def test_a_hangup_has_it_read_its_settings_again_and_what_runs_ends_as_it_began(
    way: str, reactor: Any, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    async with (
        FaultServer(reactor, {"/a": HELD, "/b": answer(b"old")}) as old,
        FaultServer(reactor, {"/b": answer(b"new")}) as new,
    ):
        settings(file, old.url("/"))
        async with streamer(reactor, "--config", file, cwd=tmp_path, way=way) as running:
            before = await ask(running.url, "/files/b")
            response = await open_request(running.url, "/files/a")
            settings(file, new.url("/"))
            running.signal(signal.SIGHUP)
            await said(running, reactor, "The configuration was read again")
            after = await ask(running.url, "/files/b")
            held = old.connections.open
            old.release("rest")
            body = await rest_of(response)
            await until(reactor, lambda: old.connections.open == 0)  # the old importer is closed, its idle ones too

    assert (before.body, after.body, body) == (b"old", b"new", b"01234567899876543210")
    assert held > 0


async def test_settings_that_cannot_be_used_change_nothing_and_are_told(reactor: Any, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    async with FaultServer(reactor, {"/b": answer(b"here")}) as origin:
        settings(file, origin.url("/"))
        async with streamer(reactor, "--config", file, cwd=tmp_path) as running:
            settings(file, origin.url("/"), graec=3)
            running.signal(signal.SIGHUP)
            await said(running, reactor, "was not taken")
            got = await ask(running.url, "/files/b")
            status = json.loads((await ask(running.admin, "/status?format=json")).body)
            metrics = (await ask(running.admin, "/metrics")).body.decode()

    assert got.body == b"here"
    assert status["ready"]
    assert f"{file}: serve.graec: there is no such setting; did you mean grace?" in status["configuration_trouble"]
    assert 'pulp_streamer_reloads_total{result="failed"} 1.0' in metrics


async def test_what_takes_a_restart_is_named_as_long_as_it_does(reactor: Any, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    anywhere = "tcp:0:interface=127.0.0.1"
    where: dict[str, object] = {"listen": [anywhere], "admin": anywhere}
    async with FaultServer(reactor, {"/b": answer(b"here")}) as origin:
        settings(file, origin.url("/"), **where)
        async with streamer(reactor, "--config", file, cwd=tmp_path, listen=False) as running:

            async def read_again(**others: object) -> Any:
                before = running.log.count("was read again")
                settings(file, origin.url("/"), **{**where, **others})
                running.signal(signal.SIGHUP)
                await until(reactor, lambda: running.log.count("was read again") > before)
                return json.loads((await ask(running.admin, "/status?format=json")).body)["needs_restart"]

            assert await read_again(grace=3) == []
            assert await read_again(listen=["tcp:1"]) == ["listen"]
            assert await read_again(listen=["tcp:1"], admin="tcp:2") == ["listen", "admin"]  # nobody began it again
            page = (await ask(running.admin, "/status")).body.decode()
            assert (await ask(running.url, "/files/b")).body == b"here"
            assert await read_again() == []

    assert "listen, admin: changed, which takes a restart" in running.log
    assert "listen, admin: changed, which takes a restart" in page


@pytest.mark.parametrize("way", ["serve", "twistd"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[serve]\nlistne = []", "serve.listne: there is no such setting; did you mean listen?"),
        ("[serve]\nlisten = ['nonsense:1']", "'nonsense:1' is no endpoint to listen on"),
        ("[serve]\npassthrough = ['/a=nobody']", "no remote is called 'nobody'"),
        ("[serve]\npassthrough = ['/a=here']\n[remotes.here]\nurl = 'http://h/'\nuser = 'elmer'", "nobody to ask"),
        ("[serve]\npassthrough = ['/a=http://user:secret@h:x/']", "port"),
        (
            "[serve]\npassthrough = ['/a=gopher://user:secret@h/']",
            "no protocol is installed for gopher: URLs; there are:",
        ),
        ("[serve]\nkeep-share = 1.5", "serve.keep-share: 1.5 is not in the range 0<=x<=1"),
        ("[serve]\nkeep-share = nan", "serve.keep-share: nan is no number"),
        ("[serve]\nkeep-share = 'half'", "serve.keep-share: a number is needed, not a string"),
        ("[serve]\nwindow = 'wide'", "serve.window: 'wide' is no number of bytes"),
        ("[serve]\nwindow = -1", "serve.window: -1 is no number of bytes"),
        ("[serve]\ngrace = nan", "serve.grace: nan is no number"),
        ("[serve]\nmax-head = 0", "0 is too little, 1 is the least"),
        ("[serve]\nmax-target = '0k'", "'0k' is too little, 1 is the least"),
    ],
)
async def test_wrong_settings_are_refused_before_anything_is_begun(
    way: str, text: str, message: str, reactor: Any, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text(text)
    running = Streamer(reactor, "--config", "settings.toml", cwd=tmp_path, way=way, listen=False)
    code = await running.ended()

    assert code in {1, 2}
    assert message in running.log
    assert "secret" not in running.log
    assert "Traceback" not in running.log


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--keep-share", "2", "2.0 is not in the range 0<=x<=1"),
        ("--keep-share", "nan", "'nan' is no number"),
        ("--window", "8X", "'8X' is no number of bytes; give one, such as 1000, 64k or 1.5G"),
        ("--grace", "nan", "'nan' is no number"),
    ],
)
async def test_a_wrong_option_is_named(option: str, value: str, message: str, reactor: Any, tmp_path: Path) -> None:
    running = Streamer(reactor, option, value, cwd=tmp_path)
    try:
        code = await running.ended()
    finally:
        await running.end()

    assert code == 2
    assert f"Invalid value for '{option}': {message}" in running.log


async def test_it_ends_with_the_terminal_that_it_was_begun_in(tmp_path: Path) -> None:
    """There a hangup means that nobody is left, not that settings have changed."""
    ours, its = os.openpty()
    command = ["setsid", "--ctty", sys.executable, "-m", "pulp_dl", "serve", "--listen", "tcp:0", "--admin", ""]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, cwd=tmp_path, env=env)
    os.close(its)

    def hang_up() -> int:
        shown = b""
        while b"Serving on" not in shown:
            shown += os.read(ours, 65536)
        os.close(ours)
        try:
            return process.wait(20)
        finally:
            process.kill()

    assert await deferToThread(hang_up) == 0


async def test_nobody_is_asked_for_a_password_although_there_is_a_terminal(tmp_path: Path) -> None:
    """At the next hangup nobody would be there, and all clients would wait for the answer."""
    (tmp_path / "settings.toml").write_text(
        "[serve]\npassthrough = ['/a=here']\n[remotes.here]\nurl = 'http://h/'\nuser = 'elmer'\n"
    )

    def look() -> tuple[int, str]:
        with Terminal.pulp_dl(["--config", "settings.toml", "serve"], tmp_path) as terminal:
            terminal.wait_for("nobody to ask")
            return terminal.exit_code(), terminal.typescript

    code, shown = await deferToThread(look)

    assert code == 2
    assert "Password for elmer: \r" not in shown


@pytest.mark.parametrize("way", ["serve", "twistd", "twist"])
async def test_a_port_that_is_taken_is_told_in_a_line(way: str, reactor: Any, tmp_path: Path) -> None:
    taken = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    port = taken.getHost().port
    where = f"tcp:{port}:interface=127.0.0.1"
    running = Streamer(
        reactor, "--listen", where, "--admin", "", "--passthrough", "/=http://a/", cwd=tmp_path, way=way, listen=False
    )
    try:
        code = await running.ended()
    finally:
        await running.end()
        await taken.stopListening()

    assert code == 1
    assert "Traceback" not in running.log
    assert f":{port}" in running.log
    assert "in use" in running.log


@pytest.mark.parametrize("way", ["serve", "twistd", "twist"])
async def test_a_catalogue_that_is_not_there_is_refused_and_not_made(way: str, reactor: Any, tmp_path: Path) -> None:
    running = Streamer(reactor, "--catalogue", "mistyped.db", cwd=tmp_path, way=way)
    try:
        code = await running.ended()
    finally:
        await running.end()

    assert code == 1
    assert "Traceback" not in running.log
    assert "there is no catalogue 'mistyped.db'; pulp-dl publish --catalogue makes one" in running.log
    assert {path.name for path in tmp_path.iterdir()} == {"streamer.log"}
