"""A server by Twisted, for what no honest server does, and for passwords, which OpenSSH only takes from the system."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.avatar import ConchUser
from twisted.conch.error import ConchError, IgnoreAuthentication
from twisted.conch.interfaces import IConchUser, ISFTPFile, ISFTPServer
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.filetransfer import FX_NO_SUCH_FILE, FileTransferServer, SFTPError
from twisted.conch.ssh.keys import FingerprintFormats, Key
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.conch.ssh.userauth import MSG_USERAUTH_INFO_RESPONSE, SSHUserAuthServer
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from pulp_dl.model.ssh import SSH

INFO_REQUEST = 60  # it shares its number with other messages, so Twisted has no name for it here


class Auth(SSHUserAuthServer):
    """Passwords, and whatever the double asks instead."""

    passwordDelay = 0
    protocolMessages = {**SSHUserAuthServer.protocolMessages, MSG_USERAUTH_INFO_RESPONSE: "MSG_USERAUTH_INFO_RESPONSE"}  # noqa: RUF012

    def serviceStarted(self) -> None:
        self.double: Double = self.transport.factory  # type: ignore[union-attr]
        super().serviceStarted()  # type: ignore[no-untyped-call]
        self.supportedAuthentications = [*self.double.methods]

    def auth_password(self, packet: bytes) -> Deferred[Any]:
        return self._judge(getNS(packet[1:])[0])

    def auth_publickey(self, packet: bytes) -> Deferred[Any]:
        return fail(ConchError("no"))

    def auth_keyboard_interactive(self, packet: bytes) -> Deferred[Any]:
        asked = b"".join(NS(each) + b"\0" for each in self.double.prompts)
        count = struct.pack("!L", len(self.double.prompts))
        self.transport.sendPacket(INFO_REQUEST, NS(b"") + NS(b"") + NS(b"") + count + asked)  # type: ignore[union-attr]
        return fail(IgnoreAuthentication())

    def ssh_USERAUTH_INFO_RESPONSE(self, packet: bytes) -> None:
        (count,) = struct.unpack("!L", packet[:4])
        answers = getNS(packet[4:], count)[:count] if count else ()
        judged = self._judge(b"".join(answers))
        judged.addCallback(self._cbFinishedAuth).addErrback(self._ebBadAuth)

    def _judge(self, password: bytes) -> Deferred[Any]:
        self.double.passwords_seen.append(password)
        if self.double.passwords.get(self.user or b"") != password:
            return fail(ConchError("no"))
        return succeed((IConchUser, self.double.avatar(), lambda: None))


class Server(SSHServerTransport):
    """Knows how many there are."""

    def connectionMade(self) -> None:
        self.factory.connections.append(self)  # type: ignore[attr-defined]
        super().connectionMade()  # type: ignore[no-untyped-call]


class Files(FileTransferServer):
    """Its messages are UTF-8, as the draft has it, and not ASCII, as Twisted has it."""

    def packet_READ(self, data: bytes) -> None:
        raw = self.client.double.raw  # type: ignore[attr-defined]  # it is an Avatar
        if raw:
            self.transport.write(raw)  # type: ignore[union-attr]
        else:
            super().packet_READ(data)  # type: ignore[no-untyped-call]

    def _ebStatus(self, reason: Failure, requestId: bytes, msg: bytes = b"") -> None:
        if isinstance(reason.value, SFTPError):
            self._sendStatus(requestId, reason.value.code, reason.value.message.encode())
        else:
            super()._ebStatus(reason, requestId, msg)  # type: ignore[no-untyped-call]


class Avatar(ConchUser):
    """Files of the double, to be read."""

    def __init__(self, double: Double) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        alsoProvides(self, ISFTPServer)  # of which a reader needs three methods
        self.double = double
        self.channelLookup[b"session"] = SSHSession
        self.subsystemLookup[b"sftp"] = Files

    def gotVersion(self, version: int, extensions: Any) -> dict[bytes, bytes]:
        return {}

    def getAttrs(self, path: bytes, followLinks: bool) -> Any:
        self.double.asked.append(("stat", path))
        return self.double.attributes(path)

    def openFile(self, path: bytes, flags: int, attrs: Any) -> Any:
        self.double.asked.append(("open", path))
        self.double.attributes(path)
        waiting = self.double.waits.get(path)
        file = File(self.double, path)
        return file if waiting is None else waiting.addCallback(lambda _: file)


@implementer(ISFTPFile)
class File:
    def __init__(self, double: Double, path: bytes) -> None:
        self.double = double
        self.path = path
        double.open_files += 1

    def close(self) -> None:
        self.double.open_files -= 1

    def getAttrs(self) -> Any:
        return self.double.attributes(self.path)

    def readChunk(self, offset: int, length: int) -> Any:
        self.double.asked.append(("read", offset, length))
        return self.double.read(self.double.files[self.path], offset, length)

    def writeChunk(self, offset: int, data: bytes) -> None:
        raise NotImplementedError

    def setAttrs(self, attrs: Any) -> None:
        raise NotImplementedError


def honest(data: bytes, offset: int, length: int) -> Any:
    return data[offset : offset + length]


class Double(SSHFactory):
    """
    @ivar files: what is at each path; C{said}: what is said of it, if that is not so.
    @ivar read: called with data, offset and length for each question.
    @ivar raw: what each question for bytes is answered with instead, as it is.
    @ivar waits: an C{open} of this path waits for it.
    @ivar passwords: by user; C{methods}: how one may log in; C{prompts}: what C{keyboard-interactive} asks.
    @ivar asked: what was asked for; C{open_files}: handles that were not given back.
    """

    noisy = False
    protocol = Server
    services = {b"ssh-userauth": Auth, b"ssh-connection": SSHConnection}  # noqa: RUF012

    def __init__(self) -> None:
        self.host_key = Key(Ed25519PrivateKey.generate())
        self.portal = Portal(None)  # type: ignore[arg-type]  # nobody asks it
        self.files: dict[bytes, bytes] = {}
        self.said: dict[bytes, dict[str, int]] = {}
        self.read: Callable[[bytes, int, int], Any] = honest
        self.raw = b""
        self.waits: dict[bytes, Deferred[None]] = {}
        self.passwords = {b"elmer": b"wabbit"}
        self.passwords_seen: list[bytes] = []
        self.methods = [b"password"]
        self.prompts = [b"Password: "]
        self.asked: list[Any] = []
        self.open_files = 0
        self.connections: list[Server] = []
        self.port = 0

    def getPublicKeys(self) -> dict[bytes, Key]:
        return {b"ssh-ed25519": self.host_key.public()}

    def getPrivateKeys(self) -> dict[bytes, Key]:
        return {b"ssh-ed25519": self.host_key}

    def avatar(self) -> Avatar:
        return Avatar(self)

    def attributes(self, path: bytes) -> dict[str, int]:
        if path not in self.files:
            raise SFTPError(FX_NO_SUCH_FILE, "nicht da: \N{BEAR FACE}")
        honestly = {"size": len(self.files[path]), "permissions": 0o100644, "atime": 0, "mtime": 1_000_000_000}
        return self.said.get(path, honestly)

    @property
    def public_key(self) -> str:
        """As known_hosts has it."""
        text: bytes = self.host_key.public().toString("openssh")
        return text.decode()

    def ssh(self, **others: Any) -> SSH:
        fingerprint = self.host_key.fingerprint(format=FingerprintFormats.SHA256_BASE64)
        return SSH(**{"fingerprint": f"SHA256:{fingerprint}", "agent": False, **others})

    def url(self, path: str, who: str = "elmer:wabbit@") -> str:
        return f"sftp://{who}127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def running_double(reactor: Any) -> AsyncIterator[Double]:
    double = Double()
    listening = reactor.listenTCP(0, double, interface="127.0.0.1")
    double.port = listening.getHost().port
    try:
        yield double
    finally:
        await listening.stopListening()
        for each in double.connections:
            each.transport.abortConnection()  # type: ignore[union-attr]
