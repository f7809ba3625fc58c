"""httplint: every kind of answer that the streamer gives, byte by byte as a client gets it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from pulp_dl.testing import Entity, FaultServer, answer
from tests.service.running import ROOT, connect, streamer

from .result import Result

__all__ = ["httplint"]

DATA = b"bear\n" * 1000
DIGEST = sha256(DATA).hexdigest()


def _script() -> Mapping[str, Any]:
    """What the origin has.  Without a date, which the streamer adds then, as linting takes a minute."""
    fields = ((b"Cache-Control", b"max-age=60"), (b"Content-Type", b"text/plain"))
    file = answer(Entity(DATA, b'"1"', b"Mon, 05 Jan 2026 12:00:00 GMT", date=None), headers=fields)
    manifest = f"docs/a.txt,{DIGEST},{len(DATA)}\nwrong.txt,{'0' * 64},{len(DATA)}\n"
    return {
        "/PULP_MANIFEST": answer(manifest.encode()),
        "/docs/a.txt": file,
        "/wrong.txt": file,
        "/gone": answer(b"", 410),
        "/busy": answer(b"later", 503, ((b"Retry-After", b"7"),)),
    }


ASKED: Mapping[str, tuple[str, ...]] = {
    "200, of a catalogue": ("/files/docs/a.txt",),
    "200, passed on": ("/pass/docs/a.txt",),
    "206, of a catalogue": ("/files/docs/a.txt", "Range: bytes=0-99"),
    "206, passed on": ("/pass/docs/a.txt", "Range: bytes=0-99"),
    "304, of a catalogue": ("/files/docs/a.txt", f'If-None-Match: "sha256:{DIGEST}"'),
    "304, passed on": ("/pass/docs/a.txt", 'If-None-Match: "1"'),
    "412": ("/files/docs/a.txt", 'If-Match: "other"'),
    "416": ("/files/docs/a.txt", "Range: bytes=9999-"),
    "404": ("/files/not-there",),
    "404, of a 410": ("/pass/gone",),
    "502": ("/files/wrong.txt",),
    "503, passed on": ("/pass/busy",),
    "301, of a directory": ("/files/docs",),
    "a listing": ("/files/",),
    "400": ("/a%2fb",),
    "414": ("/" + 9000 * "a",),
    "431": ("/", *(f"X-{number}: {1000 * 'a'}" for number in range(20))),
}

EXPLAINED: Mapping[str, str] = {
    "didn't understand the request": "That is so.",
    "won't accept a URI this long": "That is so.",
    "public is probably not necessary": "For those who come with credentials: caches may keep the answer for others.",
    "headers that should not be sent": "They are the origin's, and tell a cache what it has.",
    "doesn't have a validator": "A directory is made for whoever asks, out of what is published at that moment.",
    "Inline scripts are allowed": "None are (``default-src 'none'``); styles are.",
}
"""What is found, and why that stays."""


def _raw(url: str, path: str, *fields: str, method: str = "GET", host: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(["Host: repo.example.org"] if host else ()), *fields, "Connection: close"]
    with connect(url) as client:
        client.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        found = b""
        try:
            while data := client.recv(65536):
                found += data
        except ConnectionResetError:
            pass
    return found


def _answers(content: str, admin: str, limit: int) -> Iterator[tuple[str, bytes]]:
    """With what they are."""
    for name, asked in ASKED.items():
        yield name, _raw(content, *asked)
    for name in ("200, of a catalogue", "200, passed on", "404", "a listing"):
        # The linter knows no requests; so the head has to be one that would be right with that body.
        head = _raw(content, *ASKED[name], method="HEAD")
        assert head.endswith(b"\r\n\r\n")
        yield f"HEAD: {name}", head + _raw(content, *ASKED[name]).partition(b"\r\n\r\n")[2]
    yield "405", _raw(content, "/files/", method="DELETE")
    yield "400, no Host", _raw(content, "/files/", host=False)
    yield "413", _raw(content, "/files/", "Content-Length: 1000000", method="PUT")
    for page in ("livez", "readyz", "status", "status?format=json", "metrics", "not-there"):
        yield f"admin: {page}", _raw(admin, f"/{page}")
    others = [connect(content) for _ in range(limit)]
    yield "503, no room", _raw(content, "/files/")
    for other in others:
        other.close()


async def httplint(reactor: Any, folder: Path, tools: Path) -> Result:
    program = shutil.which("httplint", path=tools / "bin")
    if program is None:
        raise FileNotFoundError(f"httplint in {tools}/bin (an environment of its own: pip install httplint)")
    (folder / "settings.toml").write_text("retries = 0\n")
    async with FaultServer(reactor, _script()) as origin:
        command = [sys.executable, "-m", "pulp_dl", "publish", origin.url("/PULP_MANIFEST"), "--at", "/files/",
                   "--catalogue", str(folder / "catalogue"), "--policy", "streamed"]  # fmt: skip
        await deferToThread(subprocess.run, command, cwd=ROOT, check=True, capture_output=True)
        options = ("--config", "settings.toml", "--catalogue", "catalogue",
                   "--passthrough", f"/pass/={origin.url('/')}", "--max-age", 3600, "--max-connections", 5)  # fmt: skip
        async with streamer(reactor, *options, cwd=folder) as running:
            return await deferToThread(_linted, tools / "bin", _answers(running.url, running.admin, 5))


def _linted(tools: Path, answers: Iterator[tuple[str, bytes]]) -> Result:
    names, wrong = [], []
    explained: dict[str, list[str]] = {}
    for name, raw in answers:
        names.append(name)
        end = subprocess.run([tools / "httplint", "-n"], input=raw, capture_output=True, check=False)
        if end.returncode or not end.stdout:
            wrong.append(f"{name}: it was not read: {end.stderr[-500:]!r}")
        if name[0].isdigit() and raw.split(b" ", 2)[1].decode() != name[:3]:
            wrong.append(f"{name}: it is another answer: {raw[:100]!r}")
        for note in re.findall(r"\[(?:WARN|BAD)\] (.*)", end.stdout.decode()):
            reason = next((reason for sign, reason in EXPLAINED.items() if sign in note), None)
            if reason is None:
                wrong.append(f"{name}: {note}")
            else:
                explained.setdefault(f'"{note.strip()}"  {reason}', []).append(name)
    version = subprocess.run([tools / "pip", "show", "httplint"], capture_output=True, text=True, check=True)
    (number,) = re.findall(r"^Version: (\S+)", version.stdout, re.MULTILINE)
    said = f"{len(names)} answers: {'; '.join(names)}."
    return Result(suite=f"httplint {number}", said=(said,), explained=explained, wrong=tuple(wrong))
