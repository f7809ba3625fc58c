"""
The servers that the documentation speaks of, on the loopback interface.

A page says ``http://repo.example.org/``; what is run says ``http://127.0.0.1:port/``.  So pages read like the world,
and every word of them is tried.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from pathlib import Path
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IPushProducer
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.task import LoopingCall
from twisted.web.http import HTTPFactory
from twisted.web.pages import notFound
from twisted.web.proxy import Proxy, ProxyRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from twisted.web.static import Data, File
from zope.interface import implementer

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

    def open(self) -> None:
        """Begin to serve."""
        self._listen("http://repo.example.org", File(str(self.files)))
        self._listen("http://mirror1.example.org", notFound())
        self._listen("http://mirror2.example.org", File(str(self.files)))
        self._listen("http://slow.example.org", File(str(self.files)), request=_SlowRequest)
        self._listen("http://private.example.org", _Guarded(str(self.files)))
        self._listen("http://registry.example.org", _Registry(str(self.files)))
        self._listen("https://secure.example.org", File(str(self.files)), self._tls())
        self._listen("http://gateway.example.org:3128", None)
        for port in ("8751", "8752"):  # of the streamer that a page begins
            with socket.create_server(("127.0.0.1", 0)) as probe:
                free = probe.getsockname()[1]
            self.names |= {f"http://127.0.0.1:{port}": f"http://127.0.0.1:{free}", f"tcp:{port}": f"tcp:{free}"}
        base = self.names["http://repo.example.org"]
        listing = "".join(f"{name},{self.digests[name]},{len(data)}\n" for name, data in FILES.items())
        (self.files / "PULP_MANIFEST").write_text(listing)
        (self.files / "metalink").write_text(self._metalink())
        (self.files / "mirrors.txt").write_text(f"{self.names['http://mirror2.example.org']}\n{base}\n")

    def _metalink(self) -> str:
        """As MirrorManager writes it, about one file."""
        name = "docs/den.txt"
        urls = "".join(
            f'<url protocol="http" preference="{100 - number}">{self.names[f"http://{host}.example.org"]}/{name}</url>'
            for number, host in enumerate(["mirror1", "mirror2"])
        )
        return (
            '<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/"><files>'
            f'<file name="den.txt"><size>{len(FILES[name])}</size><verification>'
            f'<hash type="sha256">{self.digests[name]}</hash></verification><resources>{urls}</resources></file>'
            "</files></metalink>"
        )

    def close(self) -> Any:
        """No longer; fires when the ports are closed."""
        return gatherResults([port.stopListening() for port in self._ports])

    def here(self, text: str) -> str:
        """What a page says, in the names of this machine."""
        for name, place in self.names.items():
            text = text.replace(name.removeprefix("http://"), place.removeprefix("http://"))
        return text

    def write_identity(self, folder: Path) -> None:
        """ca.pem, client.pem and client.key."""
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        (folder / "client.pem").write_bytes(b"".join(blob.bytes() for blob in self.identity.cert_chain_pems))
        self.identity.private_key_pem.write_to_path(folder / "client.key")

    def _listen(self, name: str, root: IResource | None, tls: Any = None, request: type[Request] = Request) -> None:
        factory: HTTPFactory = _ProxyFactory() if root is None else Site(root, requestFactory=request)
        factory.log = lambda request: None  # not one line for each request
        if tls is None:
            port = self._reactor.listenTCP(0, factory, interface="127.0.0.1")
            self.names[name] = f"http://127.0.0.1:{port.getHost().port}"
        else:
            port = self._reactor.listenSSL(0, factory, tls, interface="127.0.0.1")
            self.names[name] = f"https://localhost:{port.getHost().port}"
        self._ports.append(port)

    def _tls(self) -> Any:
        server = self.authority.issue_cert("localhost")
        pem = server.private_key_pem.bytes() + b"".join(blob.bytes() for blob in server.cert_chain_pems)
        options = PrivateCertificate.loadPEM(pem).options(Certificate.loadPEM(self.authority.cert_pem.bytes()))
        options.getContext().set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: bool(args[-1]))
        return options


class _SlowRequest(Request):
    """Answered with half a MiB at once, and then so slowly that somebody can look on."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        slowly = _Slowly(producer)
        request: Any = super()
        request.registerProducer(slowly, True)
        slowly.begin()


@implementer(IPushProducer)
class _Slowly:
    """Asks a pull producer for more, now and then."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._calls = LoopingCall(self._give)

    def begin(self) -> None:
        self._producer.bufferSize = 1 << 19
        self._calls.start(0.1)

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


class _Denied(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        request.setResponseCode(401)
        return b""


class _AskedProxyRequest(ProxyRequest):
    """For those with a password."""

    def process(self) -> None:
        if self.getHeader(b"proxy-authorization") == BASIC["gateway"]:
            super().process()  # type: ignore[no-untyped-call]
        else:
            self.setResponseCode(407)
            self.finish()

    def finish(self) -> None:
        request: Any = super()
        if self.channel is not None:  # the client may have left, which Twisted's proxy does not look at
            request.finish()


class _ProxyChannel(Proxy):
    requestFactory = _AskedProxyRequest


class _ProxyFactory(HTTPFactory):
    def buildProtocol(self, addr: Any) -> Any:
        return _ProxyChannel()
