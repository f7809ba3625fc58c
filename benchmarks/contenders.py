"""Who answers clients with what nginx has: each of them as a process with one port."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from machine import module
from origin import SBIN, Origin, await_port, free_ports

HERE = Path(__file__).parent

NGINX = """
daemon off; master_process on; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 10000000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream origin {{ server {origin}; keepalive 100; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {scheme}://origin; proxy_http_version 1.1; proxy_set_header Connection ""; {more} }}
        proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}; proxy_ssl_name localhost;
    }}
}}
"""

SQUID = """
http_port 127.0.0.1:{port} accel defaultsite={origin}
cache_peer {host} parent {origin_port} 0 no-query originserver name=origin {more}
http_access allow all
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
coredump_dir /
shutdown_lifetime 1 seconds
"""

VARNISH = """
vcl 4.1;
backend origin {{ .host = "{host}"; .port = "{origin_port}"; }}
sub vcl_recv {{ return (pass); }}
"""

PULP_DL = [sys.executable, "-m", "pulp_dl"]
REMOTE = """
[remotes.origin]
url = "{base}/"
concurrency = 100
per-host = 100
{more}
"""


class Setting(NamedTuple):
    """What a contender is given."""

    origin: Origin
    folder: Path
    manifest: Path
    port: int
    scheme: str

    @property
    def base(self) -> str:
        """Of the origin."""
        return self.origin.https if self.secure else self.origin.http

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    def write(self, name: str, text: str, **values: object) -> str:
        path = self.folder / name
        where = urlsplit(self.base)
        values |= {"folder": self.folder, "port": self.port, "origin": where.netloc}
        values |= {"base": self.base, "scheme": self.scheme, "ca": self.origin.ca}
        path.write_text(text.format(**values, host=where.hostname, origin_port=where.port))
        return str(path)


def _pulp_dl(setting: Setting) -> list[str]:
    """Published in a catalogue, so that it knows the digests; nothing is stored."""
    catalogue = setting.folder / "catalogue.sqlite"
    settings = _remote(setting)
    publish = [*PULP_DL, "--config", settings, "publish", f"{setting.base}/PULP_MANIFEST", "--at", "/"]
    publish += ["--catalogue", str(catalogue), "--policy", "streamed", "--remote", "origin", "--quiet"]
    subprocess.run(publish, check=True)
    return [*PULP_DL, "--config", settings, *_serve(setting), "--catalogue", str(catalogue)]


def _pulp_dl_passing_on(setting: Setting) -> list[str]:
    """Nothing is known of the files, so nothing can be checked."""
    return [*PULP_DL, "--config", _remote(setting), *_serve(setting), "--passthrough", "/=origin"]


def _remote(setting: Setting) -> str:
    return setting.write("pulp_dl.toml", REMOTE, more=f'cacert = "{setting.origin.ca}"' if setting.secure else "")


def _serve(setting: Setting) -> list[str]:
    listen = f"tcp:{setting.port}:interface=127.0.0.1"
    return [
        "serve",
        "--quiet",
        "--admin",
        "",
        "--mirror-state",
        "",
        "--grace",
        "1",
        "--listen",
        listen,
        "--max-per-client",
        "2000",
    ]


def _nginx(setting: Setting, more: str = "") -> list[str]:
    return [program("nginx"), "-p", str(setting.folder), "-c", setting.write("nginx.conf", NGINX, more=more)]


def _nginx_unbuffered(setting: Setting) -> list[str]:
    return _nginx(setting, "proxy_buffering off;")


def _squid(setting: Setting) -> list[str]:
    more = f"tls tlscafile={setting.origin.ca} ssldomain=localhost" if setting.secure else ""
    return [program("squid"), "-N", "-f", setting.write("squid.conf", SQUID, more=more)]


def _varnish(setting: Setting) -> list[str]:
    command = [program("varnishd"), "-F", "-j", "none", "-a", f"127.0.0.1:{setting.port}", "-T", "none"]
    return [*command, "-f", setting.write("default.vcl", VARNISH), "-n", str(setting.folder / "work")]


def _aiohttp(setting: Setting) -> list[str]:
    command = [sys.executable, str(HERE / "proxies" / "aiohttp_stream.py"), str(setting.port), setting.base]
    return [*command, *(["--ca", str(setting.origin.ca)] if setting.secure else [])]


def _aiohttp_sha256(setting: Setting) -> list[str]:
    return [*_aiohttp(setting), "--digests", str(setting.manifest)]


def _bare(kind: str) -> Callable[[Setting], list[str]]:
    script = str(HERE / "proxies" / "bare.py")
    return lambda setting: [sys.executable, script, str(setting.port), setting.base, kind]


def program(name: str) -> str:
    return shutil.which(name, path=SBIN) or name


class Contender(NamedTuple):
    """
    @ivar command: writes what has to be written, and says how it is started.
    @ivar version: a command that prints it.
    @ivar schemes: over which it asks an origin.
    @ivar whole: False of what is no streamer, but a part of ours, which tells what that takes for small files.
    """

    command: Callable[[Setting], list[str]]
    version: Sequence[str]
    schemes: Sequence[str] = ("http", "https")
    whole: bool = True


CONTENDERS = {
    "pulp_dl": Contender(_pulp_dl, module("pulp_dl")),
    "pulp_dl passing on": Contender(_pulp_dl_passing_on, module("pulp_dl")),
    "aiohttp": Contender(_aiohttp, module("aiohttp")),
    "aiohttp+sha256": Contender(_aiohttp_sha256, module("aiohttp")),
    "nginx": Contender(_nginx, [program("nginx"), "-v"]),
    "nginx unbuffered": Contender(_nginx_unbuffered, [program("nginx"), "-v"]),
    "squid": Contender(_squid, [program("squid"), "-v"]),
    "varnish": Contender(_varnish, [program("varnishd"), "-V"], ["http"]),
    "bare": Contender(_bare("constant"), module("twisted"), ["http"], whole=False),
    "bare+client": Contender(_bare("client"), module("pulp_dl"), ["http"], whole=False),
    "bare+engine": Contender(_bare("engine"), module("pulp_dl"), ["http"], whole=False),
}


class Running:
    """A contender, and what it takes."""

    def __init__(self, process: subprocess.Popen[bytes], host: str) -> None:
        self._process = process
        self.host = host

    @property
    def _pids(self) -> Iterator[int]:
        waiting = [self._process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    @property
    def cpu(self) -> float:
        """Seconds of user and system time so far, of all its processes."""
        # The clock of another process (MAKE_PROCESS_CPUCLOCK of the kernel); /proc counts in hundredths.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._pids)

    @property
    def queued(self) -> float:
        """Seconds so far for which its threads could have run, and others had the cores."""
        threads = (each for pid in self._pids for each in Path(f"/proc/{pid}/task").iterdir())
        return sum(int((each / "schedstat").read_text().split()[1]) for each in threads) / 1e9

    @property
    def memory(self) -> float:
        """PSS in KiB."""
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self._pids)
        return sum(float(text.partition("Pss:")[2].split()[0]) for text in rollups)


class Contenders:
    """Starts them, one at a time; what one prepares once is kept."""

    def __init__(self, origin: Origin, folder: Path, manifest: Path) -> None:
        self._origin = origin
        self._folder = folder
        self._manifest = manifest
        self._commands: dict[tuple[str, str], tuple[list[str], int]] = {}

    @contextmanager
    def running(self, name: str, scheme: str = "http") -> Iterator[Running]:
        """In a fresh process, before the origin over this scheme."""
        if (name, scheme) not in self._commands:
            folder = self._folder / f"{name.replace(' ', '-')}-{scheme}"
            folder.mkdir()
            (port,) = free_ports(1)
            setting = Setting(self._origin, folder, self._manifest, port, scheme)
            self._commands[name, scheme] = CONTENDERS[name].command(setting), port
        command, port = self._commands[name, scheme]
        log = self._folder / "log"
        with log.open("wb") as said:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            if not await_port(port):
                raise SystemExit(f"{name} did not start:\n{log.read_text()}")
            yield Running(process, f"127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:  # it waits for clients that are gone
                process.kill()
                process.wait()
