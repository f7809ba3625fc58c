"""A registry of containers that nobody here has written, which believes none but signed tokens."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl import Basic, Digest, Downloader, Remote, Retries, Source, TokenAuth, ToMemory
from pulp_dl.errors import AuthFailed
from pulp_dl.testing import FaultServer, Request, answer
from tests.servers import free_ports

pytestmark = pytest.mark.limit(40)

ELMER = Basic("elmer", "wabbit")
CONFIGURATION = """
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}}}
http: {{addr: "127.0.0.1:{port}"}}
auth:
  token: {{realm: "{realm}", service: bears, issuer: tests, rootcertbundle: {certificate}}}
"""


class Signer:
    """Whom the registry believes."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = made.sign(self._key, SHA256())

    def token(self, scope: str, lifetime: int) -> str:
        """A token (RFC 7519) for what a scope says."""
        now = int(time.time())
        kind, name, actions = scope.split(":")
        head = {"alg": "ES256", "typ": "JWT", "x5c": [b64encode(self.certificate.public_bytes(Encoding.DER)).decode()]}
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        claims = {"iss": "tests", "aud": "bears", "exp": now + lifetime, "nbf": now - 60, "iat": now, "access": access}
        text = b".".join(_encoded(json.dumps(each).encode()) for each in (head, claims))
        pair = decode_dss_signature(self._key.sign(text, ec.ECDSA(SHA256())))
        return b".".join((text, _encoded(b"".join(each.to_bytes(32, "big") for each in pair)))).decode()


def _encoded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


@frozen
class Registry:
    """
    @ivar tokens: who gives them out; C{scopes}: for what each was asked.
    """

    folder: Path
    tokens: FaultServer
    base: str
    scopes: list[str] = field(factory=list)

    def put(self, repository: str, blob: bytes) -> Source:
        """A blob that is there, and what it has to be."""
        digest, storage = hashlib.sha256(blob).hexdigest(), self.folder / "root" / "docker" / "registry" / "v2"
        place = storage / "blobs" / "sha256" / digest[:2] / digest
        link = storage / "repositories" / repository / "_layers" / "sha256" / digest
        for each in (place, link):
            each.mkdir(parents=True, exist_ok=True)
        (place / "data").write_bytes(blob)
        (link / "link").write_text(f"sha256:{digest}")
        return Source(f"{self.base}/v2/{repository}/blobs/sha256:{digest}", Digest("sha256", digest))


@asynccontextmanager
async def registry(reactor: Any, program: str, folder: Path, lifetime: int = 300) -> AsyncIterator[Registry]:
    signer = Signer()
    (folder / "certificate.pem").write_bytes(signer.certificate.public_bytes(Encoding.PEM))
    (port,) = free_ports(1)
    async with FaultServer(reactor, {}) as tokens:
        made = Registry(folder, tokens, f"http://127.0.0.1:{port}")

        def give(request: Request) -> Any:
            if request.get(b"authorization") != ELMER.header:
                return answer(b"", 401)
            (scope,) = parse_qs(request.target.partition("?")[2])["scope"]
            made.scopes.append(scope)
            return answer(json.dumps({"token": signer.token(scope, lifetime), "expires_in": lifetime}).encode())

        tokens.script = give
        values = {"root": folder / "root", "port": port, "realm": tokens.url("/token")}
        text = CONFIGURATION.format(**values, certificate=folder / "certificate.pem")
        (folder / "config.yml").write_text(text)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        try:
            while True:
                with socket.socket() as knock:
                    if knock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, (folder / "log").read_text()
                await deferLater(reactor, 0.02)
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            await deferToThread(process.wait)


async def test_its_blobs_come_for_one_token_each_repository(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    """Of thirty files, ten at once; the password is for the token server alone."""
    async with registry(reactor, program("docker-registry"), tmp_path) as made:
        remote = Remote(auth=TokenAuth(ELMER, realms=made.tokens.url("/")), retries=Retries(count=0))
        wanted = [
            made.put(name, b"%s %d" % (name.encode(), number)) for name in ("bear", "den/cub") for number in range(15)
        ]
        async with Downloader(reactor, remote) as downloader:
            async with downloader.download_many((source, ToMemory()) for source in wanted) as outcomes:
                errors = [outcome.error async for outcome in outcomes]
            await downloader.head(wanted[0])

        assert errors == [None] * 30
        assert sorted(made.scopes) == ["repository:bear:pull", "repository:den/cub:pull"]


async def test_a_token_that_it_does_not_believe_is_the_end(
    reactor: Any, program: Callable[[str], str], tmp_path: Path
) -> None:
    """By its own clock it has ended before it began."""
    async with registry(reactor, program("docker-registry"), tmp_path, lifetime=-90) as made:
        source = made.put("bear", b"brown")
        auth = TokenAuth(ELMER, realms=made.tokens.url("/"))
        async with Downloader(reactor, Remote(auth=auth, retries=Retries(count=0))) as downloader:
            with pytest.raises(AuthFailed):
                await downloader.download(source, ToMemory())

        assert made.scopes == ["repository:bear:pull"]


async def test_who_is_not_known_gets_nothing(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> None:
    async with registry(reactor, program("docker-registry"), tmp_path) as made:
        source = made.put("bear", b"brown")
        stranger = Basic("daffy", "quack")
        for auth in (TokenAuth(), TokenAuth(stranger, realms=made.tokens.url("/"))):
            async with Downloader(reactor, Remote(auth=auth, retries=Retries(count=0))) as downloader:
                with pytest.raises(AuthFailed):
                    await downloader.download(source, ToMemory())

        assert made.scopes == []
