"""vsftpd, as Debian has it: what most of the world's FTP servers are, or behave like."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import trustme
from attrs import field, frozen
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.servers import free_ports

__all__ = ["Vsftpd"]

CONFIGURATION = """
background=NO
listen={v4}
listen_ipv6={v6}
{listen_address}={address}
listen_port={port}
anonymous_enable=YES
local_enable=NO
anon_root={root}
secure_chroot_dir={folder}/empty
seccomp_sandbox=NO
allow_writeable_chroot=YES
pasv_promiscuous=NO
use_localtime=NO
xferlog_enable=YES
dual_log_enable=NO
vsftpd_log_file={folder}/log
log_ftp_protocol=YES
syslog_enable=NO
{more}
"""
TLS = """
ssl_enable=YES
allow_anon_ssl=YES
force_anon_data_ssl=YES
force_anon_logins_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file={folder}/chain.pem
rsa_private_key_file={folder}/key.pem
"""


@frozen
class Vsftpd:
    """
    vsftpd with the files of a directory, for C{anonymous}.

    @ivar ca: who vouches for it, if it speaks TLS.
    """

    reactor: Any
    program: str
    folder: Path
    root: Path
    address: str
    port: int
    ca: Path
    tls: bool
    _process: list[subprocess.Popen[bytes]] = field(factory=list, init=False)

    @classmethod
    def make(
        cls,
        reactor: Any,
        program: str,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        tls: bool = False,
        more: str = "",
        port: int = 0,
    ) -> Vsftpd:
        root, work = folder / "repository", folder / "vsftpd"
        for each in (root, work, work / "empty"):
            each.mkdir()
        for each in (folder, *folder.parents):  # its workers are somebody else
            if each.owner() == "root" and each != Path("/tmp") and each != Path("/"):
                each.chmod(each.stat().st_mode | 0o055)
        port = port or free_ports(1, address)[0]
        if os.getuid():
            more += "run_as_launching_user=YES\n"
        if tls:
            authority = trustme.CA()
            authority.cert_pem.write_to_path(str(work / "ca.pem"))
            server = authority.issue_cert(address)
            (work / "chain.pem").write_bytes(b"".join(each.bytes() for each in server.cert_chain_pems))
            server.private_key_pem.write_to_path(str(work / "key.pem"))
            more += TLS.format(folder=work)
        v6 = ":" in address
        (work / "vsftpd.conf").write_text(
            CONFIGURATION.format(
                v4="NO" if v6 else "YES",
                v6="YES" if v6 else "NO",
                listen_address="listen_address6" if v6 else "listen_address",
                address=address,
                port=port,
                root=root,
                folder=work,
                more=more,
            )
        )
        return cls(reactor, program, work, root, address, port, work / "ca.pem", tls)

    async def start(self) -> None:
        """Until it answers."""
        log = (self.folder / "output").open("wb")
        self._process.append(
            subprocess.Popen([self.program, str(self.folder / "vsftpd.conf")], stdout=log, stderr=subprocess.STDOUT)
        )
        log.close()
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        while True:
            with socket.socket(family) as probe:
                if probe.connect_ex((self.address, self.port)) == 0:
                    return
            if self._process[0].poll() is not None:
                raise RuntimeError((self.folder / "output").read_text())
            await deferLater(self.reactor, 0.01)

    async def stop(self) -> None:
        for process in self._process:
            process.send_signal(signal.SIGTERM)
            await deferToThread(process.wait)

    def url(self, path: str = "") -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'ftps' if self.tls else 'ftp'}://{host}:{self.port}/{path}"

    def commands(self) -> list[str]:
        """What clients said since this was last called, in order: verb and argument."""
        log = self.folder / "log"
        log.touch()
        lines = log.read_text(errors="replace").splitlines()
        log.write_text("")
        said = (line.partition("FTP command: ")[2] for line in lines)
        return [line.split('", "', 1)[-1].strip('"') for line in said if line]
