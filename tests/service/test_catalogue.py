"""The service with a catalogue: what was published is served, stored and listed."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pulp_dl.testing import FaultServer, answer
from tests.service.running import ask, open_request, publish, rest_of, streamer, until

pytestmark = pytest.mark.limit(40)

BODY = b"brown bear\n" * 9000
MANIFEST = f"bear,{sha256(BODY).hexdigest()},{len(BODY)}\nbad,{sha256(b'good').hexdigest()},4\n".encode()
FILES = {"/PULP_MANIFEST": answer(MANIFEST), "/bear": answer(BODY), "/bad": answer(b"evil")}


async def test_what_was_published_on_demand_is_fetched_once_and_kept_beside_the_catalogue(
    reactor: Any, tmp_path: Path
) -> None:
    file = tmp_path / "catalogue.sqlite"
    async with FaultServer(reactor, FILES) as origin:
        await publish(reactor, origin.url("/PULP_MANIFEST"), file, "on_demand")
        async with streamer(reactor, "--catalogue", file, "--max-age", 60, cwd=tmp_path) as running:
            first = await ask(running.url, "/files/bear")
            listing = await ask(running.url, "/files/")
            bad = await open_request(running.url, "/files/bad")
            evil = await rest_of(bad)
            asked = [each.target for each in origin.requests]
            async with streamer(reactor, "--catalogue", file, cwd=_made(tmp_path / "other")) as another:
                second = await ask(another.url, "/files/bear")
            again = [each.target for each in origin.requests]

    assert first.body == second.body == BODY
    assert "max-age=60" in first.headers["Cache-Control"]
    assert b">bear</a>" in listing.body
    assert evil is None or bad.status >= 500
    assert asked.count("/bear") == again.count("/bear") == 1
    stored = [path for path in (tmp_path / "catalogue.sqlite.store").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in stored] == [BODY]


async def test_without_a_store_nothing_is_kept(reactor: Any, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sqlite"
    async with FaultServer(reactor, FILES) as origin:
        await publish(reactor, origin.url("/PULP_MANIFEST"), file, "on_demand")
        async with streamer(reactor, "--catalogue", file, "--store", "", cwd=tmp_path) as running:
            bodies = [(await ask(running.url, "/files/bear")).body for _ in range(2)]
            asked = [each.target for each in origin.requests]

    assert bodies == [BODY, BODY]
    assert asked.count("/bear") == 2


async def test_what_was_published_without_a_remote_goes_by_the_settings_for_all(reactor: Any, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sqlite"
    (tmp_path / "settings.toml").write_text('header = ["User-Agent: bear"]\n')
    async with FaultServer(reactor, FILES) as origin:
        await publish(reactor, origin.url("/PULP_MANIFEST"), file, "streamed")
        async with streamer(
            reactor, "--catalogue", file, "--config", tmp_path / "settings.toml", cwd=tmp_path
        ) as running:
            assert (await ask(running.url, "/files/bear")).body == BODY
        request = origin.requests[-1]

    assert b"User-Agent: bear" in request.raw


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def test_with_a_catalogue_that_cannot_be_read_it_is_not_ready(reactor: Any, tmp_path: Path) -> None:
    (tmp_path / "catalogue.sqlite").write_bytes(b"this is no database, but it is long enough to be taken for one" * 99)
    async with streamer(reactor, "--catalogue", tmp_path / "catalogue.sqlite", cwd=tmp_path) as running:
        await until(reactor, lambda: "nothing can be served" in running.log)
        ready = await ask(running.admin, "/readyz")
        alive = await ask(running.admin, "/livez")

    assert (ready.status, alive.status) == (503, 200)
    assert b"catalogue.sqlite" in ready.body or b"database" in ready.body
