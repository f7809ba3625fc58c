"""What is told to whom looks after it: the status page, for persons and programs, and metrics."""

from __future__ import annotations

import json
from contextlib import closing
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.threads import deferToThread

from pulp_dl.testing import Close, FaultServer, Hold, Send, answer
from tests.service.running import Answer, ask, open_request, rest_of, streamer, until

HELD = (Send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789"), Hold("rest"), Send(b"9876543210"))

BROKEN = (Send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789"), Close())

pytestmark = pytest.mark.limit(40)


class Page(HTMLParser):
    """
    A page as a browser sees it.

    @ivar tables: by their ids, rows of cells; C{tags}: all there are; C{text}: what is to be read.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[str] = []
        self.text = ""
        self._cell: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        match tag:
            case "table":
                self._rows = self.tables[dict(attributes)["id"] or ""] = []
            case "tr":
                self._rows.append([])
            case "td":
                self._rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags and self.tables and self._rows and self._rows[-1]:
            self._rows[-1][-1] += data


async def status(admin: str, **fields: str) -> Any:
    return json.loads((await ask(admin, "/status?format=json", **fields)).body)


async def test_a_person_and_a_program_see_what_streams_now_and_from_where(reactor: Any, tmp_path: Path) -> None:
    async with (
        FaultServer(reactor, {"/a%3Cb%3E": HELD}) as origin,
        streamer(reactor, "--passthrough", f"/files={origin.url('/')}", cwd=tmp_path) as running,
    ):
        response = await open_request(running.url, "/files/a<b>?token=secret")
        facts = await status(running.admin)
        html = await ask(running.admin, "/status")
        origin.release("rest")
        await rest_of(response)
        after = await status(running.admin)

    (each,) = facts["running"]
    assert (each["client"], each["method"], each["path"]) == ("127.0.0.1", "GET", "/files/a<b>")
    assert (each["status"], each["sent_bytes"], each["total_bytes"]) == (200, 10, 20)
    assert each["source"].startswith(origin.url("/a"))
    assert facts["ready"]
    page = Page(html.body.decode())
    (row,) = [row for row in page.tables["running"] if row]
    assert (row[0], row[2], row[3]) == ("GET /files/a<b>", "127.0.0.1", "200")
    assert row[4] == "10 B of 20 B"
    assert "b" not in page.tags
    assert "secret" not in html.body.decode() + str(facts)
    assert "script" not in page.tags
    assert "default-src 'none'" in html.headers["Content-Security-Policy"]
    assert after["running"] == []
    assert (after["requests"], after["sent_bytes"], after["received_bytes"]) == (1, 20, 20)


async def test_what_failed_stays_to_be_seen_with_its_attempts_and_without_secrets(reactor: Any, tmp_path: Path) -> None:
    async with (
        FaultServer(reactor, {"/broken": BROKEN, "/bear": answer(b"", 503)}) as origin,
        streamer(
            reactor,
            *("--passthrough", f"/files={origin.url('/').replace('//', '//elmer:wabbit@')}"),
            *("--config", "settings.toml"),
            cwd=_settings(tmp_path, "retries = 1"),
        ) as running,
    ):
        got = await ask(running.url, "/files/bear")
        assert await rest_of(await open_request(running.url, "/files/broken")) is None
        facts = await status(running.admin)
        page = await ask(running.admin, "/", Accept="text/html")
        log = running.log

    assert got.status == 503
    newest, oldest = facts["failed_last_hour"]
    assert newest["path"] == "/files/broken"
    assert (oldest["path"], oldest["status"], oldest["error"]) == ("/files/bear", 503, "Unavailable")
    assert len(oldest["attempts"]) == 2
    assert len([row for row in Page(page.body.decode()).tables["failed"] if row]) == 2
    assert facts["failures"] == {newest["error"]: 1, "Unavailable": 1}
    assert "wabbit" not in json.dumps(facts) + page.body.decode() + log


def _settings(folder: Path, text: str) -> Path:
    (folder / "settings.toml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("/status", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("/status", "application/json", "application/json"),
        ("/status", "text/html;q=0.5, application/json;q=0.9", "application/json"),
        ("/status", "*/*", "text/html"),
        ("/status", "nonsense;q=x", "text/html"),
        ("/status?format=json", "text/html", "application/json"),
        ("/status?format=html", "application/json", "text/html"),
    ],
)
async def test_the_status_is_in_the_form_that_is_asked_for(
    path: str, accept: str, kind: str, reactor: Any, tmp_path: Path
) -> None:
    async with streamer(reactor, cwd=tmp_path) as running:
        got = await ask(running.admin, path, Accept=accept)

    assert got.headers["Content-Type"].partition(";")[0] == kind
    assert got.headers["Cache-Control"] == "no-store"


async def test_it_is_alive_and_ready_and_says_what_else_there_is(reactor: Any, tmp_path: Path) -> None:
    async with streamer(reactor, cwd=tmp_path) as running:
        answers = [await ask(running.admin, path) for path in ("/livez", "/readyz", "/elsewhere")]

    assert [each.status for each in answers] == [200, 200, 404]
    assert answers[0].body == b"alive\n"
    assert answers[1].body == b"ready\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_it_is_there_to_be_read_and_says_so(method: str, reactor: Any, tmp_path: Path) -> None:
    def ask_so(admin: str) -> Answer:
        connection = HTTPConnection(urlsplit(admin).netloc, timeout=20)
        connection.request(method, "/status", body=b"x" * 10)
        with closing(connection), connection.getresponse() as response:
            return Answer(response.status, dict(response.headers.items()), response.read())

    async with streamer(reactor, cwd=tmp_path) as running:
        got = await deferToThread(ask_so, running.admin)

    assert got.status == 405
    assert got.body == b"405 Method Not Allowed\nWhat is here can be read, and nothing else.\n"
    assert got.headers["Allow"] == "GET, HEAD"
    assert got.headers["Cache-Control"] == "no-store"
    assert got.headers["Content-Type"].startswith("text/plain")


def _samples(got: Answer) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(got.body.decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


async def test_metrics_are_what_prometheus_reads_by_its_conventions(reactor: Any, tmp_path: Path) -> None:
    async with (
        FaultServer(reactor, {"/a": answer(b"0123456789"), "/held": HELD}) as origin,
        streamer(reactor, "--passthrough", f"/={origin.url('/')}", cwd=tmp_path) as running,
    ):
        await ask(running.url, "/a")
        await ask(running.url, "/nothing")
        held = await open_request(running.url, "/held")
        got = await ask(running.admin, "/metrics", Accept="text/plain")
        origin.release("rest")
        await rest_of(held)
        newer = await ask(running.admin, "/metrics", Accept="application/openmetrics-text; version=1.0.0")

    samples = _samples(got)
    assert samples["pulp_streamer_requests_total", "GET", "200"] == 1
    assert samples["pulp_streamer_requests_total", "GET", "404"] == 1
    assert samples["pulp_streamer_requests_running",] == 1
    assert samples["pulp_streamer_connections",] == 1
    assert samples["pulp_streamer_received_bytes_total",] == 10
    assert samples["pulp_streamer_attempts_total", "ok"] == 1
    assert samples["pulp_streamer_failures_total", "NotFound"] == 1
    assert samples["pulp_streamer_request_duration_seconds_bucket", "+Inf"] == 2
    assert samples["pulp_streamer_request_duration_seconds_count",] == 2
    assert samples["process_open_fds",] > 0
    assert "openmetrics-text" in newer.headers["Content-Type"]
    assert newer.body.endswith(b"# EOF\n")


async def test_each_request_has_its_line_if_that_is_wanted_and_none_has_a_secret(reactor: Any, tmp_path: Path) -> None:
    async with (
        FaultServer(reactor, {"/a": answer(b"0123456789")}) as origin,
        streamer(
            reactor,
            *("--passthrough", f"/files={origin.url('/').replace('//', '//elmer:wabbit@')}", "--log-requests"),
            *("--log-format", "json"),
            cwd=tmp_path,
        ) as running,
    ):
        await ask(running.url, "/files/a?token=secret")
        await ask(running.url, "/elsewhere")
        await until(reactor, lambda: running.log.count('"seconds"') == 2)  # it may come behind the answer
        lines = [line for line in running.log.splitlines() if line.startswith("{")]
        log = running.log

    events = [json.loads(line) for line in lines]
    (first, second) = [each for each in events if each.get("method") == "GET" and "seconds" in each]
    assert (first["path"], first["status"], first["sent"], first["client"]) == ("/files/a", 200, 10, "127.0.0.1")
    assert (second["path"], second["status"], second["url"]) == ("/elsewhere", 404, None)
    assert "wabbit" not in log
    assert "secret" not in log
