"""nginx on the loopback interface, http and https, with the files of the workloads."""

from __future__ import annotations

import os
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

SBIN = os.environ["PATH"] + ":/usr/sbin"
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


class Origin(NamedTuple):
    """Where it listens, whom to trust, and the folder of its files."""

    http: str
    https: str
    ca: Path
    files: Path


@contextmanager
def origin(folder: Path) -> Iterator[Origin]:
    """Serve what is in C{files} of this folder until the block is left."""
    nginx = shutil.which("nginx", path=SBIN)
    if nginx is None:
        raise SystemExit("nginx is not installed")
    folder.chmod(0o755)  # its workers are somebody else when we are root
    files = folder / "files"
    files.mkdir()
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    ports = free_ports(2)
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, http=ports[0], https=ports[1]))
    running = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        if not await_port(ports[0]):
            raise SystemExit("nginx did not start")
        yield Origin(f"http://127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[1]}", folder / "ca.pem", files)
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(10)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def await_port(port: int) -> bool:
    """Whether somebody listens within ten seconds."""
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False
