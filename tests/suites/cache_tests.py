"""
http-cache-tests: what it finds at its own server, it has to find through the streamer.

The suite configures its server by requests that are no downloads, and counts each of its requests by a field of that.
Neither gets through a streamer, whose clients choose a path and nothing else.  So there is something before it, which
leads those requests round it and has a number in the place of those fields, and something behind it, which puts them
back.  All the rest goes through: the conditions, the answers, and all their fields.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from pulp_dl.testing.relay import Relay
from tests.servers import free_ports
from tests.service.running import streamer, until

from .result import Result

REASONS = {
    "is 405, not": "Clients may ask by GET and HEAD.  All else is a 405, and there is no cache that it could tell of a"
    " change.",
    "(should have been conditional|Parse Error).*streamer: .*2 status is 502, not 200": "Where the suite's server"
    " misses the question of a cache it says 999.  HTTP has no such status; it becomes a 502.",
    "is 502, not 30[0-9]": "Redirects are followed, not passed on; one that leads nowhere is a 502.",
    "is 502, not 206": "These parts say that they go from 4 to 9, and have five bytes.  A part that is not what it says"
    " is a 502.",
    "streamer: Setup Response ([0-9] status is (404|502|503), not (?!200)|body is .(404|503))": "An answer that is no"
    " file becomes one of the streamer's own words, 404, 502 or 503, which no cache keeps.",
    "socket hang up": "The suite's server hangs up, once.  The streamer asks again, and its client sees nothing of it.",
    "Authorization is .undefined": "A client's credentials are for the streamer, if for anybody; they go no further.",
    "headers-store-Content-Length: FetchError.*Parse Error": "The suite's server sends more than it announces.  What it"
    " announced is passed on, and that connection is closed.",
    "headers-store-Transfer-Encoding: .*is 502, not 200": "The suite's server names a transfer coding that there is"
    " not.  Nobody knows where such a body ends.",
}
"""By what both results say: why they differ."""

_COUNTING = re.compile(rb"(?:Req-Num|Test-ID|Test-Name):[^\r]*\r\n", re.IGNORECASE)
_CONNECTION = re.compile(rb"(?<=\r\n)Connection:[^\r]*\r\n", re.IGNORECASE)
_NUMBERED = re.compile(rb"(\S+) /([0-9]+)(/.*)", re.DOTALL)
_LOCAL = "tcp:0:interface=127.0.0.1"


class _Before(Protocol):
    """Takes the first head (each of the suite's connections has one) and decides where it leads."""

    def __init__(self, clock: Any, origin: int, streamer: int, kept: list[bytes]) -> None:
        self._clock = clock
        self._origin = origin
        self._streamer = streamer
        self._kept = kept
        self._head = b""

    def dataReceived(self, data: bytes) -> None:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        head = _CONNECTION.sub(b"", head + b"\r\n") + b"Connection: close\r\n"
        method, _, behind = head.partition(b" ")
        port = self._origin
        if behind.startswith(b"/test/"):
            port = self._streamer
            head = b"%b /%d%b" % (method, len(self._kept), _COUNTING.sub(b"", behind))
            self._kept.append(b"".join(_COUNTING.findall(behind)))
        transport: Any = self.transport
        transport.protocol = Relay(self._clock, "127.0.0.1", port, head + b"\r\n" + rest)
        transport.protocol.makeConnection(transport)


class _Behind(Relay):
    """Takes each head of the streamer's."""

    def __init__(self, clock: Any, origin: int, kept: list[bytes]) -> None:
        super().__init__(clock, "127.0.0.1", origin)
        self._kept = kept
        self._came = b""

    def dataReceived(self, data: bytes) -> None:
        *heads, self._came = (self._came + data).split(b"\r\n\r\n")
        for head in heads:
            numbered = _NUMBERED.fullmatch(head + b"\r\n")
            if numbered is None:  # the streamer follows a redirect
                super().dataReceived(head + b"\r\n\r\n")
            else:
                method, number, behind = numbered.groups()
                super().dataReceived(b"%b %b%b\r\n" % (method, behind, self._kept[int(number)]))


@asynccontextmanager
async def _listening(reactor: Any, protocol: Callable[[], Protocol]) -> AsyncIterator[int]:
    factory: Any = Factory.forProtocol(protocol)
    port = await serverFromString(reactor, _LOCAL).listen(factory)
    try:
        yield port.getHost().port
    finally:
        await port.stopListening()


@contextmanager
def _origin(node: str, package: Path, folder: Path, port: int) -> Any:
    settings = {
        "npm_package_config_protocol": "http",
        "npm_package_config_port": str(port),
        "npm_package_config_pidfile": f"{folder}/pid",
    }
    with (folder / "origin.log").open("wb") as log:
        process = subprocess.Popen([node, "server/server.mjs"], cwd=package, env=settings, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _run(node: str, package: Path, port: int) -> dict[str, Any]:
    settings = {"npm_package_config_base": f"http://127.0.0.1:{port}", "npm_package_config_id": ""}
    said = subprocess.run(
        [node, "--no-warnings", "cli.mjs"], cwd=package, env=settings, capture_output=True, check=True, timeout=600
    )
    found: dict[str, Any] = json.loads(said.stdout)
    return found


async def cache_tests(reactor: Any, folder: Path, tools: Path) -> Result:
    """
    @param tools: npm has put the suite into its node_modules.
    """
    node, package = shutil.which("node"), tools / "node_modules" / "http-cache-tests"
    if node is None or not package.is_dir():
        raise FileNotFoundError(f"node, or http-cache-tests in {tools}: npm install http-cache-tests")
    version = json.loads((package / "package.json").read_text())["version"]
    (origin,) = free_ports(1)
    kept: list[bytes] = []
    with _origin(node, package, folder, origin):
        await until(reactor, lambda: "Listening" in (folder / "origin.log").read_text())
        async with (
            _listening(reactor, lambda: _Behind(reactor, origin, kept)) as behind,
            streamer(
                reactor, "--passthrough", f"/=http://127.0.0.1:{behind}/", "--max-per-client", 2000, cwd=folder
            ) as running,
            _listening(reactor, lambda: _Before(reactor, origin, running.port, kept)) as before,
        ):
            direct = await deferToThread(_run, node, package, origin)
            through = await deferToThread(_run, node, package, before)
    return _compared(f"http-cache-tests {version}", direct, through, len(kept))


def _compared(suite: str, direct: Mapping[str, Any], streamed: Mapping[str, Any], count: int) -> Result:
    explained: dict[str, list[str]] = {}
    wrong = []
    same = 0
    for case, before in direct.items():
        both = f"{case}: {_shown(before)}; through the streamer: {_shown(streamed.get(case))}"
        if _shown(before) == _shown(streamed.get(case)):
            same += 1
            continue
        reason = next((reason for sign, reason in REASONS.items() if re.search(sign, both)), None)
        if reason is None:
            wrong.append(both)
        else:
            explained.setdefault(reason, []).append(case)
    passes = [case for case, found in direct.items() if found is True]
    through = sum(streamed.get(case) is True for case in passes)
    said = (
        f"{len(direct)} cases; {count} requests went through the streamer.",
        f"{same} end in the same way as without it, to the word of their complaint.",
        f"Without it {len(passes)} pass, as there is no cache; of these, {through} pass through it.",
    )
    return Result(suite=suite, said=said, explained=explained, wrong=tuple(wrong))


def _shown(found: Any) -> str:
    """Without what is another one in each run."""
    text = "passes" if found is True else " ".join(map(str, found or ("is missing",)))
    text = " ".join(text.split())
    return re.sub(r"127.0.0.1:[0-9]+", "HOST", re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text))
