"""
pyftpdlib with the files of a directory, as a process of its own: users with passwords, TLS, and no EPSV if told so.

Run as a program, it serves until it is ended, and prints its port.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import field, frozen
from twisted.internet.threads import deferToThread

__all__ = ["PyFTPd"]


@frozen
class PyFTPd:
    """
    For C{anonymous}, and for C{elmer} with the password C{wabbit söup}.

    @ivar settings: of the handler of pyftpdlib; C{certfile} makes it FTPS.
    """

    folder: Path
    settings: dict[str, Any] = field(factory=dict)
    ports: list[int] = field(factory=list, init=False)
    _process: list[subprocess.Popen[str]] = field(factory=list, init=False)

    async def start(self) -> None:
        """Until it listens."""
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, str(self.folder), json.dumps(self.settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._process.append(process)
        assert process.stdout is not None
        self.ports.append(int(await deferToThread(process.stdout.readline)))
        process.stdout.close()

    async def stop(self) -> None:
        for process in self._process:
            process.send_signal(signal.SIGTERM)
            await deferToThread(process.wait)

    def url(self, path: str = "", user: str = "") -> str:
        scheme = "ftps" if "certfile" in self.settings else "ftp"
        return f"{scheme}://{user}127.0.0.1:{self.ports[0]}/{path}"


def serve(folder: str, settings: dict[str, Any]) -> None:
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.servers import FTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(folder)
    authorizer.add_user("elmer", "wabbit söup", folder)
    settings = {"authorizer": authorizer, **settings}
    unknown = settings.pop("unknown", ())
    most = settings.pop("max_cons", 512)
    base = TLS_FTPHandler if "certfile" in settings else FTPHandler
    handler: Any = type("Handler", (base,), settings)
    handler.proto_cmds = {name: what for name, what in base.proto_cmds.items() if name not in unknown}
    server = FTPServer(("127.0.0.1", 0), handler)
    server.max_cons = most
    sys.stdout.write(f"{server.address[1]}\n")
    sys.stdout.flush()
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
