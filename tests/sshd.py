"""OpenSSH's server, run by whoever runs the tests, with keys of its own."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import field, frozen
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pulp_dl.model.ssh import SSH
from tests.servers import free_ports

__all__ = ["USER", "Sshd", "new_key", "running_sshd"]

USER = getpass.getuser()

CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_ed25519
HostKey {folder}/host_ecdsa
HostKey {folder}/host_rsa
PidFile {folder}/pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
MaxSessions 1
LogLevel VERBOSE
"""


def new_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A private key; the public one is beside it."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "a bear", "-f", str(path)]
    subprocess.run(command if kind != "rsa" else [*command, "-b", "2048"], check=True, stdin=subprocess.DEVNULL)
    return path


_HOST_KEYS: dict[str, tuple[bytes, bytes]] = {}


def _host_key(path: Path, kind: str) -> None:
    """To make them anew for each server would take longer than all else."""
    if kind not in _HOST_KEYS:
        new_key(path, kind)
        _HOST_KEYS[kind] = path.read_bytes(), path.with_suffix(".pub").read_bytes()
    private, public = _HOST_KEYS[kind]
    path.write_bytes(private)
    path.chmod(0o600)
    path.with_suffix(".pub").write_bytes(public)


@frozen
class Sshd:
    """
    @ivar files: a directory that it serves; it serves everything else, too.
    @ivar key: the key that it takes; C{known_hosts}: a file in which it is known.
    """

    reactor: Any
    folder: Path
    port: int
    files: Path
    key: Path
    known_hosts: Path
    _process: list[subprocess.Popen[bytes]] = field(factory=list)

    @classmethod
    def make(cls, reactor: Any, folder: Path, *lines: str) -> Sshd:
        work, files = folder / "sshd", folder / "files"
        work.mkdir()
        files.mkdir(exist_ok=True)
        (port,) = free_ports(1)
        for kind in ("ed25519", "ecdsa", "rsa"):
            _host_key(work / f"host_{kind}", kind)
        key = new_key(work / "key")
        (work / "authorized_keys").write_bytes((work / "key.pub").read_bytes())
        host = (work / "host_ed25519.pub").read_text()
        (work / "known_hosts").write_text(f"# bears only\n[127.0.0.1]:{port} {host}")
        text = "\n".join([*lines, CONFIGURATION.format(port=port, folder=work)])  # the first line of a kind counts
        if "Subsystem" not in text:
            text += "Subsystem sftp internal-sftp\n"
        (work / "config").write_text(text)
        return cls(reactor, work, port, files, key, work / "known_hosts")

    def url(self, name: str = "", user: str | None = None) -> str:
        who = f"{user or USER}@"
        return f"sftp://{who}127.0.0.1:{self.port}{quote(str(self.files))}/{quote(name)}"

    def ssh(self, **others: Any) -> SSH:
        """What gets in."""
        return SSH(**{"key": self.key, "known_hosts": self.known_hosts, "agent": False, **others})

    def put(self, name: str, data: bytes, age: float = 3600) -> str:
        """A file that has not been changed for some seconds; its URL."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        then = self.reactor.seconds() - age
        os.utime(path, (then, then))
        return self.url(name)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self) -> None:
        """No longer listen; sessions go on."""
        self._process[0].terminate()

    async def start(self) -> None:
        command = ["/usr/sbin/sshd", "-D", "-f", str(self.folder / "config"), "-E", str(self.folder / "log")]
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where a system would have made it
        self._process.append(subprocess.Popen(command, start_new_session=True))
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process[0].poll() is not None:
                raise RuntimeError(self.log())
            await deferLater(self.reactor, 0.01)


@asynccontextmanager
async def running_sshd(reactor: Any, folder: Path, *lines: str) -> AsyncIterator[Sshd]:
    """
    @param lines: of its configuration, before all others.
    """
    server = Sshd.make(reactor, folder, *lines)
    try:
        await server.start()
        yield server
    finally:
        for process in server._process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await deferToThread(process.wait)
