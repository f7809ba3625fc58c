"""
The servers that the documentation speaks of, on the loopback interface.

A page says ``http://repo.example.org/``; what is run says ``http://127.0.0.1:port/``.  So pages read like the world,
and every word of them is tried.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineReceiver
from twisted.web.guard import DigestCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.http import HTTPFactory
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from twisted.web.static import Data, File
from zope.interface import implementer

from pulp_dl.testing import ESTABLISHED, FaultFTP, FaultServer, Forward, OnConnect, ServerTLS, Tunnel, answer
from tests.servers import free_ports

from .needs import lacking
from .sshd import USER, running_sshd

FILES = {
    "bear.iso": bytes(range(250)) * 4000,
    "cub.iso": b"cub" * 100_000,
    "docs/den.txt": b"Here is where the bear is.\n",
}
PASSWORDS = {"elmer": "wabbit", "user": "password"}
BASIC = {"private": b"Basic ZWxtZXI6d2FiYml0", "gateway": b"Basic dXNlcjpwYXNzd29yZA=="}


class World:
    """Hosts of example.org, and what their names are here."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self._reactor = reactor
        self._ports: list[Any] = []
        self._ftp: list[FaultFTP] = []
        self._ssh = AsyncExitStack()
        self.names: dict[str, str] = {}
        self.files = folder / "repository"
        self.digests = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
        for name, data in FILES.items():
            (self.files / name).parent.mkdir(parents=True, exist_ok=True)
            (self.files / name).write_bytes(data)
            # A date is a strong validator only if it is older than a minute.
            os.utime(self.files / name, (time.time() - 3600,) * 2)
        self.authority = trustme.CA()
        self.identity = self.authority.issue_cert("client@example.org")
        self.server = self.authority.issue_cert("localhost")

    def open(self) -> None:
        """Begin to serve."""
        self._listen("http://repo.example.org", File(str(self.files)))
        self._listen("http://mirror1.example.org", notFound())
        self._listen("http://mirror2.example.org", File(str(self.files)))
        self._listen("http://slow.example.org", File(str(self.files)), request=_SlowRequest)
        self._listen("http://private.example.org", _Guarded(str(self.files)))
        self._listen("http://registry.example.org", _Registry(str(self.files)))
        self._listen("http://auth.example.org", _Tokens())
        _Containers.realm = self.names["http://auth.example.org"] + "/token"
        self._listen("http://containers.example.org", _Containers(str(self.files)))
        self._listen("http://digest.example.org", _by_digest(File(str(self.files))))
        self._listen("https://secure.example.org", File(str(self.files)), self._tls())
        self._listen("https://vault.example.org", _Guarded(str(self.files)), self._tls())
        self._gateways = [FaultServer(self._reactor, _gateway, tls=tls) for tls in (None, ServerTLS(self._server()))]
        self.names["http://gateway.example.org:3128"] = self._gateways[0].url("")
        self.names["https://gateway.example.org:3129"] = self._gateways[1].url("", "localhost")
        self._listen_ftp()
        self._listen_for_gopher("http://gopher.example.org")
        for port, free in zip(("8751", "8752"), free_ports(2), strict=True):  # of the streamer that a page begins
            self.names |= {f"http://127.0.0.1:{port}": f"http://127.0.0.1:{free}", f"tcp:{port}": f"tcp:{free}"}
        base = self.names["http://repo.example.org"]
        listing = "".join(f"{name},{self.digests[name]},{len(data)}\n" for name, data in FILES.items())
        (self.files / "PULP_MANIFEST").write_text(listing)
        for server in self._ftp:
            server.files["PULP_MANIFEST"] = listing.encode()
        (self.files / "metalink").write_text(self._metalink("docs/den.txt"))
        (self.files / "repository.metalink").write_text(self._metalink("PULP_MANIFEST"))
        (self.files / "mirrors.txt").write_text(f"{self.names['http://mirror2.example.org']}\n{base}\n")

    async def open_ssh(self, folder: Path) -> None:
        """Serve over SSH, too, whoever has C{id_bear}; that and C{known_hosts} are then in this folder."""
        if shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") is None:
            lacking("sshd is not installed")
        place = self.files.parent / "ssh"
        place.mkdir()
        (place / "files").symlink_to(self.files)
        server = await self._ssh.enter_async_context(running_sshd(self._reactor, place))
        (folder / "id_bear").write_bytes(server.key.read_bytes())
        (folder / "known_hosts").write_bytes(server.known_hosts.read_bytes())
        here = f"127.0.0.1:{server.port}{server.files}"
        self.names |= {"elmer@ssh.example.org/pub": f"{USER}@{here}", "ssh.example.org/pub": here}

    async def close(self) -> None:
        """No longer; until the ports are closed."""
        await self._ssh.aclose()
        servers: list[Any] = [*self._gateways, *self._ftp]
        await gatherResults([*(each.close() for each in servers), *(port.stopListening() for port in self._ports)])

    def _metalink(self, path: str) -> str:
        """As MirrorManager writes it, about one file."""
        data = (self.files / path).read_bytes()
        urls = "".join(
            f'<url protocol="http" location="{where}" preference="{100 - number}">'
            f"{self.names[f'http://{host}.example.org']}/{path}</url>"
            for number, (host, where) in enumerate([("mirror1", "FR"), ("mirror2", "DE")])
        )
        return (
            '<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/"><files>'
            f'<file name="{path.rpartition("/")[2]}"><size>{len(data)}</size><verification>'
            f'<hash type="sha256">{hashlib.sha256(data).hexdigest()}</hash></verification><resources>{urls}</resources>'
            "</file></files></metalink>"
        )

    def here(self, text: str) -> str:
        """What a page says, in the names of this machine."""
        for name, place in self.names.items():
            text = text.replace(name.removeprefix("http://"), place.removeprefix("http://"))
        return text

    def write_identity(self, folder: Path) -> None:
        """ca.pem, client.pem, client.key, and server.pem: the certificate of secure.example.org."""
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        (folder / "client.pem").write_bytes(b"".join(blob.bytes() for blob in self.identity.cert_chain_pems))
        self.identity.private_key_pem.write_to_path(folder / "client.key")
        (folder / "server.pem").write_bytes(self.server.cert_chain_pems[0].bytes())

    def _listen(self, name: str, root: IResource, tls: Any = None, request: type[Request] = Request) -> None:
        factory: HTTPFactory = Site(root, requestFactory=request)
        factory.log = lambda request: None  # not one line for each request
        if tls is None:
            port = self._reactor.listenTCP(0, factory, interface="127.0.0.1")
            self.names[name] = f"http://127.0.0.1:{port.getHost().port}"
        else:
            port = self._reactor.listenSSL(0, factory, tls, interface="127.0.0.1")
            self.names[name] = f"https://localhost:{port.getHost().port}"
        self._ports.append(port)

    def _server(self) -> bytes:
        return self.server.private_key_pem.bytes() + b"".join(blob.bytes() for blob in self.server.cert_chain_pems)

    def _listen_ftp(self) -> None:
        identity = ServerTLS(self.authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())
        plain, secure = FaultFTP(self._reactor, FILES), FaultFTP(self._reactor, FILES, tls=identity)
        self._ftp += [plain, secure]
        # What names the port first, since the other name is part of it.
        self.names["ftp.example.org:2121"] = f"localhost:{secure.port}"
        self.names["ftp.example.org"] = f"127.0.0.1:{plain.port}"

    def _listen_for_gopher(self, name: str) -> None:
        """As if it were http, so that pages find it."""
        factory = Factory.forProtocol(_Gopher)
        factory.noisy = False
        port = self._reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.names[name] = f"http://127.0.0.1:{port.getHost().port}"
        self._ports.append(port)

    def _tls(self) -> Any:
        options = PrivateCertificate.loadPEM(self._server()).options(
            Certificate.loadPEM(self.authority.cert_pem.bytes())
        )
        options.getContext().set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: bool(args[-1]))
        return options


class _Gopher(LineReceiver):
    """Knows one file, whatever it is asked for."""

    transport: Any

    def lineReceived(self, line: bytes) -> None:
        self.transport.write(FILES["docs/den.txt"])
        self.transport.loseConnection()


class _SlowRequest(Request):
    """
    Answered with half a MiB at once, and then so slowly that somebody can look on.  Small files come a little later, so
    that something of the large one is there when they are.
    """

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        slowly = _Slowly(producer)
        request: Any = super()
        request.registerProducer(slowly, True)
        slowly.begin(at_once=self.path == b"/bear.iso")


@implementer(IPushProducer)
class _Slowly:
    """Asks a pull producer for more, now and then."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._calls = LoopingCall(self._give)

    def begin(self, *, at_once: bool) -> None:
        self._producer.bufferSize = 1 << 19
        self._calls.start(0.1, now=at_once)

    def _give(self) -> None:
        self._producer.resumeProducing()
        self._producer.bufferSize = 1 << 15
        if self._producer.request is None:  # that was the end
            self._calls.stop()

    def pauseProducing(self) -> None:
        """What is sent in a tenth of a second may wait in a buffer."""

    def resumeProducing(self) -> None:
        """It was never paused."""

    def stopProducing(self) -> None:
        self._calls.stop()
        self._producer.stopProducing()


class _Guarded(File):
    """Files for elmer alone."""

    def getChild(self, path: bytes, request: Request) -> Any:
        known = request.getHeader(b"authorization") == BASIC["private"]
        files: Any = super()
        return files.getChild(path, request) if known else _Denied()


class _Registry(File):
    """Files for who shows the latest token, which is good for two of them."""

    tokens = files_left = 0

    def getChild(self, path: bytes, request: Request) -> Any:
        if path == b"token":
            self.tokens, self.files_left = self.tokens + 1, 2
            return Data(b"bear-%d\n" % self.tokens, "text/plain")
        known = request.getHeader(b"authorization") == b"Bearer bear-%d" % self.tokens and self.files_left
        self.files_left -= bool(known)
        files: Any = super()
        return files.getChild(path, request) if known else _Denied()


class _Tokens(Resource):
    """Tokens for elmer alone."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        if request.getHeader(b"authorization") == BASIC["private"]:
            return b'{"token": "grizzly", "expires_in": 300}'
        return _Denied().render(request)


class _Containers(File):
    """Files for who shows the token, as a registry of containers has them."""

    realm = ""

    def getChild(self, path: bytes, request: Request) -> Any:
        if path == b"v2":
            return self
        if request.getHeader(b"authorization") == b"Bearer grizzly":
            files: Any = super()
            return files.getChild(path, request)
        request.setHeader(
            "WWW-Authenticate", f'Bearer realm="{self.realm}",service="bears",scope="repository:bear:pull"'
        )
        return _Denied()


@implementer(IRealm)
class _Site:
    """The same files for everybody who is let in."""

    def __init__(self, files: Resource) -> None:
        self._files = files

    def requestAvatar(self, avatar: object, mind: object, *interfaces: Any) -> Any:
        return IResource, self._files, lambda: None


def _by_digest(files: Resource) -> Any:
    portal = Portal(_Site(files), [InMemoryUsernamePasswordDatabaseDontUse(elmer=b"wabbit")])
    return HTTPAuthSessionWrapper(portal, [DigestCredentialFactory("md5", b"bears")])


class _Denied(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        request.setResponseCode(401)
        return b""


def _gateway(request: Any) -> Any:
    """A proxy for those with a password."""
    known = request.get(b"proxy-authorization") == BASIC["gateway"]
    return OnConnect([ESTABLISHED, Tunnel()], Forward()) if known else answer(b"", 407)
