"""testssl.sh: all that it knows, on an C{ssl:} endpoint of the service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trustme
from twisted.internet.threads import deferToThread

from pulp_dl.testing import FaultServer, answer
from tests.service.running import streamer

from .result import Result

__all__ = ["testssl"]

SEVERE = {"LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"}

EXPLAINED: Mapping[str, str] = {
    "cert_": "The certificate is made for this run, and is the administrator's otherwise.",
    "DNS_CAArecord": "A record of the name server's; it is asked for localhost here.",
    "HSTS|security_headers": "What a site promises for a whole host is not a streamer's to say.",
}
"""By the names of findings: why they stay."""


async def testssl(reactor: Any, folder: Path, _tools: Path) -> Result:
    program = shutil.which("testssl")
    if program is None:
        raise FileNotFoundError("testssl (Debian: testssl.sh)")
    identity = trustme.CA().issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.RSA)
    identity.private_key_and_cert_chain_pem.write_to_path(folder / "pem")
    listen = (f"ssl:0:interface=127.0.0.1:privateKey={folder}/pem", "tcp:0:interface=127.0.0.1")
    said = folder / "said.json"
    command = [program, "--quiet", "--warnings", "off", "--color", "0", "--jsonfile", str(said)]
    async with (
        FaultServer(reactor, answer(b"bear")) as origin,
        streamer(
            reactor, "--listen", listen[0], "--admin", listen[1], "--passthrough", f"/={origin.url('/')}",
            cwd=folder, listen=False,
        ) as running,
    ):  # fmt: skip
        await deferToThread(
            subprocess.run, [*command, running.url], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    (number,) = re.findall(r"testssl(?:.sh)?\s+([0-9.]+)", version)[:1]
    return _judged(f"testssl.sh {number}", json.loads(said.read_text()))


def _judged(suite: str, findings: list[dict[str, str]]) -> Result:
    wrong = []
    explained: dict[str, list[str]] = {}
    for each in findings:
        if each["severity"] not in SEVERE:
            continue
        reason = next((reason for sign, reason in EXPLAINED.items() if re.search(sign, each["id"])), None)
        if reason is None:
            wrong.append(f"{each['id']}: {each['severity']}: {each['finding']}")
        else:
            explained.setdefault(reason, []).append(f"{each['id']}: {each['finding']}")
    known = {each["id"]: each["finding"] for each in findings}
    versions = ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3")
    offered = [name for name in versions if known[name].startswith("offered")]
    clients = [name for name in known if name.startswith("clientsimulation-")]
    strangers = [name.partition("-")[2] for name in clients if known[name].startswith("No connection")]
    told = (
        f"{len(findings)} findings; spoken are {' and '.join(offered)}.",
        f"Ciphers of TLS 1.2: {known['cipherorder_TLSv1_2']}.",
        f"Of {len(clients)} simulated clients all connect but {', '.join(strangers)}.",
    )
    return Result(suite=suite, said=told, explained=explained, wrong=tuple(wrong))
