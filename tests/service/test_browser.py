"""The status page as a browser shows it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, Hold, Send, answer
from tests.service.running import ask, open_request, rest_of, streamer
from tests.service.test_admin import Page

HELD = (Send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789"), Hold("rest"), Send(b"9876543210"))

# What a browser does for itself would go to hosts that are not here; root may not have its sandbox.
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def shown(program: str, folder: Path, url: str) -> str:
    """In a thread: the document as Chromium has it when the page is loaded."""
    command = [program, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", url]
    found = subprocess.run(command, capture_output=True, timeout=60, check=True, cwd=folder, env={"HOME": str(folder)})
    return found.stdout.decode()


@pytest.mark.limit(90)
async def test_a_person_sees_in_a_browser_what_streams_and_what_failed(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    chromium = program("chromium")
    async with (
        FaultServer(reactor, {"/a%3Cimg%20src%3Dx%3E": HELD, "/none": answer(b"", 404)}) as origin,
        streamer(reactor, "--passthrough", f"/files={origin.url('/')}", cwd=tmp_path) as running,
    ):
        response = await open_request(running.url, "/files/a<img%20src=x>")
        await ask(running.url, "/files/none")
        document = await deferToThread(shown, chromium, tmp_path, f"{running.admin}status")
        origin.release("rest")
        assert await rest_of(response) == b"01234567899876543210"

    page = Page(document)
    assert "pulp-streamer: ready" in page.text
    (runs,) = [row for row in page.tables["running"] if row]
    (failed,) = [row for row in page.tables["failed"] if row]
    assert runs[0] == "GET /files/a<img%20src=x>"
    assert (runs[3], runs[4]) == ("200", "10 B of 20 B")
    assert failed[1] == "GET /files/none"
    assert failed[4] == "404"
    assert not {"img", "script"} & {*page.tags}
