"""Proxies that nobody here has written."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.servers import free_ports

__all__ = ["FORBIDDEN", "MOVED", "PAGED", "PASSWORD", "USER", "Program", "dante", "microsocks", "squid", "tinyproxy"]

USER, PASSWORD = "user", "password"
"""Who is let in, where a proxy asks."""
FORBIDDEN = "forbidden.example"
"""Where nobody gets through the HTTP proxies."""
MOVED, PAGED = "moved.example", "paged.example"
"""Where Squid lets nobody through either: it redirects to C{/small} on that port here, or has a page, with a 200."""

Program = Callable[[str], str]


@asynccontextmanager
async def _running(reactor: Any, port: int, *command: object, folder: Path) -> AsyncIterator[int]:
    log = folder / "stderr"
    with log.open("wb") as errors:
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            await deferLater(reactor, 0.01)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        await deferToThread(process.wait)


@asynccontextmanager
async def tinyproxy(reactor: Any, program: Program, folder: Path) -> AsyncIterator[int]:
    """An HTTP proxy with Basic authentication, on this port."""
    (port,) = free_ports(1)
    filtered = folder / "filter"
    filtered.write_text(f"{FORBIDDEN}\n")
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 20", "MaxClients 50", "Allow 127.0.0.1"]
    lines += [f'Filter "{filtered}"', f"BasicAuth {USER} {PASSWORD}", "LogLevel Critical", ""]
    (folder / "conf").write_text("\n".join(lines))
    async with _running(reactor, port, program("tinyproxy"), "-d", "-c", folder / "conf", folder=folder) as found:
        yield found


SQUID = """
http_port 127.0.0.1:{plain}
https_port 127.0.0.1:{secure} tls-cert={folder}/cert.pem tls-key={folder}/key.pem
auth_param basic program /bin/sh {folder}/ask
auth_param basic children 1
acl known proxy_auth REQUIRED
acl forbidden dstdomain {forbidden}
acl moved dstdomain {moved}
acl paged dstdomain {paged}
deny_info 302:http://127.0.0.1:%p/small moved
deny_info 200:ERR_ACCESS_DENIED paged
http_access deny forbidden
http_access deny moved
http_access deny paged
http_access allow known
http_access deny all
cache deny all
access_log none
cache_log /dev/null
pid_filename none
pinger_enable off
shutdown_lifetime 0 seconds
visible_hostname gate.example
coredump_dir {folder}
"""


@asynccontextmanager
async def squid(reactor: Any, program: Program, ca: trustme.CA) -> AsyncIterator[tuple[int, int]]:
    """An HTTP proxy with Basic authentication, on the first port, and over TLS on the second."""
    # If we are root it makes itself somebody else, who has to read all this.
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        plain, secure = free_ports(2)
        leaf = ca.issue_cert("127.0.0.1")
        (folder / "cert.pem").write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(folder / "key.pem")
        told = 'while read line; do [ "$line" = "{} {}" ] && echo OK || echo ERR; done\n'
        (folder / "ask").write_text(told.format(USER, PASSWORD))
        hosts = {"forbidden": FORBIDDEN, "moved": MOVED, "paged": PAGED}
        (folder / "conf").write_text(SQUID.format(plain=plain, secure=secure, folder=folder, **hosts))
        folder.chmod(0o755)
        for each in folder.iterdir():
            each.chmod(0o644)
        async with _running(reactor, secure, program("squid"), "-N", "-f", folder / "conf", folder=folder):
            yield plain, secure
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def microsocks(reactor: Any, program: Program, folder: Path) -> AsyncIterator[int]:
    """A SOCKS 5 proxy with user and password."""
    (port,) = free_ports(1)
    command = program("microsocks"), "-i", "127.0.0.1", "-p", port, "-u", USER, "-P", PASSWORD
    async with _running(reactor, port, *command, folder=folder) as found:
        yield found


DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: none
user.privileged: {user}
user.notprivileged: {user}
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""


@asynccontextmanager
async def dante(reactor: Any, program: Program, folder: Path) -> AsyncIterator[int]:
    """A SOCKS 5 proxy for everybody."""
    (port,) = free_ports(1)
    user = pwd.getpwuid(os.geteuid()).pw_name
    (folder / "conf").write_text(DANTE.format(port=port, user=user))
    async with _running(reactor, port, program("danted"), "-f", folder / "conf", folder=folder) as found:
        yield found
