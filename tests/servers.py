"""Servers that nobody here has written, so that we are not only tested against ourselves."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import trustme
from attrs import field, frozen
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zope.interface import implementer

__all__ = ["Nginx", "Served", "free_ports"]

CONFIGURATION = r"""
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    log_format ours '$request_method\t$uri\t$status\t$body_bytes_sent\t$connection\t$connections_active\t$http_range';
    access_log {folder}/access.log ours;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000;
    limit_rate {rate};
    ssl_certificate {folder}/chain.pem;
    ssl_certificate_key {folder}/key.pem;
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{secure} ssl;
        root {root};
        location /private/ {{
            alias {root}/;
            auth_basic "bears only";
            auth_basic_user_file {folder}/users;
        }}
    }}
}}
"""


@frozen
class Served:
    """One request, as the server noted it when it was over."""

    method: str
    path: str
    status: int
    size: int
    connection: int
    connections: int
    range: str

    @classmethod
    def read(cls, line: str) -> Served:
        method, path, status, size, connection, connections, asked = line.split("\t")
        asked = "" if asked == "-" else asked
        return cls(method, path, int(status), int(size), int(connection), int(connections), asked)


@frozen
class Nginx:
    """
    nginx with the files of a directory, on C{http}, on C{https} (C{ca} is who vouches for it), and once more below
    C{/private/} for C{elmer} with the password C{wabbit}.
    """

    reactor: Any
    program: str
    folder: Path
    root: Path
    ca: Path
    plain: int
    secure: int
    _process: list[subprocess.Popen[bytes]] = field(factory=list, init=False)
    _told: list[str] = field(factory=list, init=False)  # lines of its log

    @classmethod
    def make(cls, reactor: Any, program: str, folder: Path, rate: int = 0) -> Nginx:
        """
        @param rate: bytes a second for one connection; 0 for no limit.
        """
        root, work = folder / "repository", folder / "nginx"
        root.mkdir()
        work.mkdir()
        plain, secure = free_ports(2)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        server = authority.issue_cert("127.0.0.1")
        (work / "chain.pem").write_bytes(b"".join(each.bytes() for each in server.cert_chain_pems))
        server.private_key_pem.write_to_path(str(work / "key.pem"))
        (work / "users").write_text("elmer:{PLAIN}wabbit\n")
        values = {"folder": work, "root": root, "rate": rate, "plain": plain, "secure": secure}
        (work / "nginx.conf").write_text(CONFIGURATION.format(**values))
        return cls(reactor, program, work, root, folder / "ca.pem", plain, secure)

    async def start(self) -> None:
        """Until it answers."""
        log = self.folder / "error.log"
        command = [self.program, "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder), "-e", str(log)]
        self._process.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.secure)) == 0:
                    return
            if self._process[0].poll() is not None:
                raise RuntimeError(log.read_text())
            await deferLater(self.reactor, 0.01)

    async def stop(self) -> None:
        for process in self._process:
            process.send_signal(signal.SIGTERM)
            await deferToThread(process.wait)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.plain}/"

    @property
    def https(self) -> str:
        return f"https://127.0.0.1:{self.secure}/"

    def served(self) -> list[Served]:
        """What was asked for since this was last called."""
        # The log is not emptied: what nginx appends between the reading and that would be lost.
        whole, _, _ = (self.folder / "access.log").read_text().rpartition("\n")
        lines = whole.splitlines()[len(self._told) :]
        self._told.extend(lines)
        return [Served.read(line) for line in lines]


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sockets = [socket.socket(family) for _ in range(count)]
    try:
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@implementer(IHostnameResolver)
class MuteResolver:
    """
    A name server that does not answer.

    @ivar asked: the names.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(hostName)
        resolutionReceiver.resolutionBegan(self)
