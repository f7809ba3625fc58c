"""nginx on the loopback interface, http and https, with the files of the workloads."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import trustme

CONFIG = """
daemon off; master_process on; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000; keepalive_timeout 600s;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem; ssl_session_cache shared:a:1m;
    server {{ listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl; root {folder}/files; }}
}}
"""


class Entry(NamedTuple):
    name: str
    sha256: str
    size: int


class Origin(NamedTuple):
    """Where it listens, whom to trust, and what it has."""

    http: str
    https: str
    ca: Path
    many: list[Entry]
    big: list[Entry]


@contextmanager
def origin(folder: Path, count: int, small: int, big: int) -> Iterator[Origin]:
    """Serve C{count} files of C{small} bytes and one of C{big} from this folder until the block is left."""
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if nginx is None:
        raise SystemExit("nginx is not installed")
    files = folder / "files"
    files.mkdir(parents=True)
    many = write_many(files, count, small)
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    ports = free_ports(2)
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, http=ports[0], https=ports[1]))
    running = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        await_port(ports[0])
        found = [write_big(files / "big.iso", big)]
        http, https = (f"{scheme}://127.0.0.1:{port}" for scheme, port in zip(("http", "https"), ports, strict=True))
        yield Origin(http, https, folder / "ca.pem", many, found)
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(10)


def write_many(folder: Path, count: int, size: int) -> list[Entry]:
    rng = random.Random(5)
    return [write(folder / f"{number:05}.rpm", rng.randbytes(size)) for number in range(count)]


def write(path: Path, data: bytes) -> Entry:
    path.write_bytes(data)
    return Entry(path.name, hashlib.sha256(data).hexdigest(), len(data))


def write_big(path: Path, size: int) -> Entry:
    """One mebibyte again and again, so that it is there soon."""
    piece = random.Random(7).randbytes(1 << 20)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for offset in range(0, size, len(piece)):
            part = piece[: size - offset]
            digest.update(part)
            file.write(part)
    return Entry(path.name, digest.hexdigest(), size)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def await_port(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit("the server did not start")
