"""A network of one's own: a server in a namespace, and a link to it that can be cut, throttled and made to lose."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.needs import lacking

__all__ = ["Lan", "lan"]

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_timeout 600;
    server {{
        listen {address}:8000;
        root {folder}/root;
        location /slow/ {{ alias {folder}/root/; limit_rate 400k; }}
    }}
}}
"""


# Users, and whoever became root without a login, have no such directory in their way.
_ENVIRONMENT = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def _run(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@define
class Lan:
    """
    A namespace, and nginx in it.

    @ivar root: its files; below C{/slow/} they come with 400 kB a second.
    """

    nginx: str
    name: str
    number: int
    folder: Path
    root: Path = field(init=False)
    _server: subprocess.Popen[bytes] | None = None

    def __attrs_post_init__(self) -> None:
        self.root = self.folder / "root"
        self.root.mkdir()

    @property
    def address(self) -> str:
        return f"10.231.{self.number}.2"

    def url(self, path: str) -> str:
        return f"http://{self.address}:8000{path}"

    def inside(self, *command: str) -> None:
        """Run this in the namespace."""
        subprocess.run(["ip", "netns", "exec", self.name, *command], check=True, capture_output=True, env=_ENVIRONMENT)

    # ---- the server

    def start(self) -> None:
        configuration = self.folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, address=self.address))
        log = str(self.folder / "error.log")
        command = [self.nginx, "-c", str(configuration), "-p", str(self.folder), "-e", log]
        self._server = subprocess.Popen(["ip", "netns", "exec", self.name, *command])
        waiting = "for i in $(seq 200); do ss -Hltn 'sport = 8000' | grep -q . && exit; sleep 0.02; done; exit 1"
        self.inside("sh", "-c", waiting)

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            self._server.wait()
            self._server = None

    # ---- the link

    def cut(self) -> None:
        """Packets vanish, without a word to anybody."""
        self.inside("iptables", "-A", "INPUT", "-i", "inner", "-j", "DROP")
        self.inside("iptables", "-A", "OUTPUT", "-o", "inner", "-j", "DROP")

    def lose(self, share: float) -> None:
        """This share of the packets, in both directions."""
        for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o")):
            lost = ("-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP")
            self.inside("iptables", "-A", chain, way, "inner", *lost)

    def heal(self) -> None:
        self.inside("iptables", "-F")

    def unplug(self) -> None:
        """The cable is out: there is no route, and no other one stands in for it."""
        _run("ip", "route", "add", "unreachable", f"{self.address}/32")
        subprocess.run(["ip", "link", "set", self.outer, "down"], check=True)

    def plug(self) -> None:
        subprocess.run(["ip", "link", "set", self.outer, "up"], check=True)
        _run("ip", "route", "del", "unreachable", f"{self.address}/32")

    def throttle(self, rate: int) -> None:
        """
        @param rate: bytes a second that come from the server.
        """
        bits = f"{rate * 8}bit"
        # A segment of 64 KiB has to fit into the bucket, else none of them would ever come through.
        self.inside("tc", "qdisc", "add", "dev", "inner", "root", "tbf", "rate", bits, "burst", "70kb", "latency", "1s")

    @property
    def outer(self) -> str:
        return f"pdl{self.number}"


@contextmanager
def lan(nginx: str, folder: Path) -> Iterator[Lan]:
    """Needs root, C{ip}, C{tc} and C{iptables}."""
    for tool in ("ip", "tc", "iptables"):
        if shutil.which(tool, path=_ENVIRONMENT["PATH"]) is None:
            lacking(f"{tool} is not installed")
    number = 1 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    made = Lan(nginx, f"pulp_dl-{os.getpid()}", number, folder)
    if not _run("ip", "netns", "add", made.name):
        lacking("no network namespace can be made here")
    try:
        _run("ip", "link", "del", made.outer)
        subprocess.run(
            ["ip", "link", "add", made.outer, "type", "veth", "peer", "name", "inner", "netns", made.name], check=True
        )
        subprocess.run(["ip", "addr", "add", f"10.231.{number}.1/30", "dev", made.outer], check=True)
        made.inside("ip", "addr", "add", f"{made.address}/30", "dev", "inner")
        made.inside("ip", "link", "set", "inner", "up")
        made.plug()
        made.start()
        yield made
    finally:
        made.stop()
        _run("ip", "route", "del", "unreachable", f"{made.address}/32")
        _run("ip", "link", "del", made.outer)
        _run("ip", "netns", "del", made.name)
