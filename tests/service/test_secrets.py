"""No secret of a remote is in what the service tells: its answers, listings, status, metrics and log."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pulp_dl import Downloader, Source
from pulp_dl.importers.catalogue import Catalogue
from pulp_dl.importers.file import fetch_manifest
from pulp_dl.importers.publish import Publishing
from pulp_dl.testing import FaultServer, Hold, Request, Reset, Send, answer
from tests.service.running import ask, open_request, rest_of, streamer

pytestmark = pytest.mark.limit(40)

SECRET = "s3same-0pen"
FORMS = (SECRET, b64encode(f"elmer:{SECRET}".encode()).decode())
BODY = b"brown bear\n"
MANIFEST = f"bear,{sha256(BODY).hexdigest()},{len(BODY)}\n".encode()
HELD = (Send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789"), Hold("rest"), Send(b"9876543210"))

WAYS = {
    "basic": f'user = "elmer:{SECRET}"',
    "digest": f'user = "elmer:{SECRET}"\ndigest = true',
    "token": f'user = "elmer:{SECRET}"\ntoken-auth = true',
    "bearer": f'oauth2-bearer = "{SECRET}"',
    "field": f'header = ["X-Api-Key: {SECRET}"]\ncookies = true',
    "proxy": f'proxy-user = "elmer:{SECRET}"',
}


class Upstream:
    """
    Lets in who shows anything.

    @ivar shown: it has.
    """

    def __init__(self) -> None:
        self.base = ""
        self.shown = False

    def __call__(self, request: Request) -> Any:
        if request.path == "/token":
            return answer(f'{{"token": "{SECRET}"}}'.encode())
        ways = (b"authorization", b"x-api-key", b"proxy-authorization")
        if all(request.get(name) is None for name in ways):
            offers = (f'Bearer realm="{self.base}/token"', 'Digest realm="r", nonce="n", qop="auth"')
            return answer(b"", 401, tuple((b"WWW-Authenticate", offer.encode()) for offer in offers))
        self.shown = True
        found = {"/held": HELD, "/refused": answer(b"", 401), "/reset": Reset(), "/busy": answer(b"", 503)}
        cookie = (b"Set-Cookie", f"session={SECRET}".encode())
        return found.get(request.path) or answer(BODY, 200, (cookie,))


@pytest.mark.parametrize("way", WAYS)
async def test_the_service_says_nothing(reactor: Any, tmp_path: Path, way: str) -> None:
    """While a body comes, and after some have failed."""
    upstream = Upstream()
    async with FaultServer(reactor, upstream) as origin:
        upstream.base = origin.url("").removesuffix("/")
        proxy = f'proxy = "{origin.url("/")}"' if way == "proxy" else ""
        (tmp_path / "settings.toml").write_text(
            f'retries = 0\n[serve]\npassthrough = ["/files=bears"]\nlog-requests = true\n'
            f'[remotes.bears]\nurl = "{origin.url("/")}"\n{WAYS[way]}\n{proxy}\n'
        )
        (tmp_path / "settings.toml").chmod(0o600)
        async with streamer(reactor, "--config", "settings.toml", "--log-format", "json", cwd=tmp_path) as running:
            answers = [await ask(running.url, f"/files/{name}") for name in ("bear", "refused", "busy")]
            reset = await open_request(running.url, "/files/reset")
            await rest_of(reset)
            held = await open_request(running.url, "/files/held")
            pages = [await ask(running.admin, path) for path in ("/status", "/status?format=json", "/metrics")]
            origin.release("rest")
            await rest_of(held)
            pages += [await ask(running.admin, path) for path in ("/status", "/status?format=json", "/metrics")]
            log = running.log

    assert upstream.shown
    assert answers[0].body == BODY
    assert [each.status for each in pages] == [200] * 6
    assert "401" in log
    told = [log, *(f"{each.headers} {each.body!r}" for each in (*answers, *pages))]
    for text in told:
        assert not any(form in text for form in FORMS), text


async def test_a_catalogue_tells_and_keeps_nothing(reactor: Any, tmp_path: Path) -> None:
    """Neither the listing nor the file, of what was published with a password."""
    async with FaultServer(reactor, {"/PULP_MANIFEST": answer(MANIFEST), "/bear": answer(BODY)}) as origin:
        manifest = Source(
            origin.url("/PULP_MANIFEST").replace("//", f"//elmer:{SECRET}@"), headers={"X-Api-Key": SECRET}
        )
        catalogue = Catalogue(reactor, tmp_path / "catalogue.sqlite")
        async with Downloader(reactor) as downloader:
            with await fetch_manifest(downloader, manifest) as found:
                await catalogue.publish(Publishing("/files/", "on_demand"), found)
        await catalogue.close()
        async with streamer(reactor, "--catalogue", "catalogue.sqlite", cwd=tmp_path) as running:
            listing = await ask(running.url, "/files/")
            status = await ask(running.admin, "/status")

    assert b">bear</a>" in listing.body
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert not any(form.encode() in path.read_bytes() for form in FORMS), path
    assert not any(form.encode() in listing.body + status.body for form in FORMS)
