"""What the service is told of transfers that several clients share, and of what becomes of them when all have left."""

from __future__ import annotations

import json
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, Hold, Script, Send, answer, response_head
from tests.service.running import Streamer, ask, open_request, publish, rest_of, streamer, until

BODY = b"brown bear\n" * 100_000
CAME = 5 * len(BODY) // 100  # a few percent
MANIFEST = f"bear,{sha256(BODY).hexdigest()},{len(BODY)}\n".encode()
HEAD = response_head(200, ((b"Content-Length", b"%d" % len(BODY)),))


def held(came: int) -> dict[str, Script]:
    """A file of which so much comes, and the rest when it is let go."""
    body = (Send(HEAD + BODY[:came]), Hold("rest"), Send(BODY[came:]))
    return {"/PULP_MANIFEST": answer(MANIFEST), "/bear": body}


pytestmark = pytest.mark.limit(40)


async def come_and_leave(running: Streamer, reactor: Any) -> None:
    """A client that has a little of the file and is seen to have left."""
    response = await open_request(running.url, "/files/bear")
    assert await deferToThread(response.read, 1000) == BODY[:1000]
    response.close()
    while json.loads((await ask(running.admin, "/status?format=json")).body)["running"]:
        pass


def stored(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "catalogue.store").rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", ["serve", "twistd", "twist"])
async def test_a_file_that_everybody_has_left_is_stored_if_enough_of_it_has_come(
    way: str, reactor: Any, tmp_path: Path
) -> None:
    async with FaultServer(reactor, held(CAME)) as origin:
        await publish(reactor, origin.url("/PULP_MANIFEST"), tmp_path / "catalogue", "on_demand")
        catalogue = ("--catalogue", tmp_path / "catalogue", "--keep-share", 0)
        async with streamer(reactor, *catalogue, cwd=tmp_path, way=way) as running:
            await come_and_leave(running, reactor)
            origin.release("rest")
            await until(reactor, lambda: stored(tmp_path) == [BODY])

        assert [each.target for each in origin.requests].count("/bear") == 1


@pytest.mark.parametrize("share", [(), ("--keep-share", 0.5), ("--keep-share", 1)])
async def test_a_file_that_everybody_has_left_ends_if_too_little_of_it_has_come(
    share: tuple[object, ...], reactor: Any, tmp_path: Path
) -> None:
    async with FaultServer(reactor, held(CAME)) as origin:
        await publish(reactor, origin.url("/PULP_MANIFEST"), tmp_path / "catalogue", "on_demand")
        async with streamer(reactor, "--catalogue", tmp_path / "catalogue", *share, cwd=tmp_path) as running:
            await come_and_leave(running, reactor)
            await until(reactor, lambda: origin.connections.open == 0)  # while it holds the rest

    assert stored(tmp_path) == []


async def test_how_much_is_enough_may_be_changed_while_it_runs(reactor: Any, tmp_path: Path) -> None:
    def settings(share: float) -> None:
        (tmp_path / "settings.toml").write_text(f"[serve]\ncatalogue = 'catalogue'\nkeep-share = {share}\n")

    settings(1)
    async with FaultServer(reactor, held(CAME)) as origin:
        await publish(reactor, origin.url("/PULP_MANIFEST"), tmp_path / "catalogue", "on_demand")
        async with streamer(reactor, "--config", "settings.toml", cwd=tmp_path) as running:
            await come_and_leave(running, reactor)
            await until(reactor, lambda: origin.connections.open == 0)
            settings(0)
            running.signal(signal.SIGHUP)
            await until(reactor, lambda: "The configuration was read again" in running.log)
            await come_and_leave(running, reactor)
            origin.release("rest")
            await until(reactor, lambda: stored(tmp_path) == [BODY])

        assert [each.target for each in origin.requests].count("/bear") == 2


@pytest.mark.parametrize("where", ["catalogue", "prefix"])
@pytest.mark.parametrize(("window", "asked"), [((), 1), (("--window", "1M"), 1), (("--window", "256k"), 2)])
async def test_who_comes_later_than_the_window_has_a_transfer_of_its_own(
    where: str, window: tuple[str, ...], asked: int, reactor: Any, tmp_path: Path
) -> None:
    came = 600_000
    async with FaultServer(reactor, held(came)) as origin:
        serves: tuple[object, ...] = ("--passthrough", f"/files={origin.url('/')}")
        if where == "catalogue":
            serves = ("--catalogue", tmp_path / "catalogue")
            await publish(reactor, origin.url("/PULP_MANIFEST"), tmp_path / "catalogue", "streamed")
        async with streamer(reactor, *serves, *window, cwd=tmp_path) as running:
            first = await open_request(running.url, "/files/bear")
            begun = await deferToThread(first.read, came)  # all that has come
            late = await open_request(running.url, "/files/bear")
            begun_later = await deferToThread(late.read, came)
            origin.release("rest")
            rests = [await rest_of(first), await rest_of(late)]

        assert begun == begun_later == BODY[:came]
        assert rests == [BODY[came:]] * 2
        assert [each.target for each in origin.requests].count("/bear") == asked
