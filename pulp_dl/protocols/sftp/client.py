"""The requests of SFTP, version 3 (draft-ietf-secsh-filexfer-02), on Twisted's client."""

from __future__ import annotations

import struct
from typing import Any, Final

from twisted.conch.ssh import filetransfer
from twisted.conch.ssh.common import getNS
from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ...errors import ProtocolError
from ..said import printable
from .broken import Broken

__all__ = ["FileClient"]

LARGEST: Final = 256 * 1024
"""Bytes of one packet: what OpenSSH takes, and eight times what is asked for at once."""


class FileClient(filetransfer.FileTransferClient):
    """
    Twisted's client with its framing made tight: the length of a packet has a limit, a packet that cannot be read ends
    the connection instead of being logged while whoever waits for it waits for ever, and messages may be UTF-8.

    @ivar started: fires with this when the server has told its version; never fails.
    @ivar packets: how many came.
    """

    openRequests: dict[int, Deferred[Any]]

    def __init__(self, transport: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # none of it has annotations
        self._ssh = transport
        self._data = bytearray()
        self.packets = 0
        self.started: Deferred[FileClient] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        begin, end = 0, len(self._data)
        while end - begin >= 5:
            length, kind = struct.unpack_from("!LB", self._data, begin)
            if not 1 <= length <= LARGEST:
                raise ValueError("a packet of SFTP that is too long")
            if end - begin < 4 + length:
                break
            packet = bytes(memoryview(self._data)[begin + 5 : begin + 4 + length])
            begin += 4 + length
            self.packets += 1
            name = self.packetTypes.get(kind)
            handle = getattr(self, f"packet_{name}", None)
            if handle is None:
                raise ValueError("a packet of SFTP that is no answer")
            handle(packet)
        del self._data[:begin]

    def gotServerVersion(self, serverVersion: int, extData: dict[bytes, bytes]) -> None:
        if serverVersion < 3:
            self._ssh.fail(Broken(ProtocolError, f"the server speaks SFTP {serverVersion}, not 3"))
        elif not self.started.called:
            self.started.callback(self)

    def packet_STATUS(self, data: bytes) -> None:
        request = self.openRequests.pop(struct.unpack("!L", data[:4])[0])
        data = data[4:]
        (code,) = struct.unpack("!L", data[:4])
        message = getNS(data[4:])[0] if len(data) >= 8 else b""
        if code == filetransfer.FX_OK:
            request.callback((message, b""))
        elif code == filetransfer.FX_EOF:
            request.errback(EOFError())
        else:
            request.errback(filetransfer.SFTPError(code, printable(message)))

    @property
    def usable(self) -> bool:
        """May more be asked?"""
        return self._ssh.broken is None

    def stat(self, path: bytes) -> Deferred[dict[str, int]]:
        """What is there, behind all links.  Fails with C{SFTPError}."""
        asked: Deferred[dict[str, int]] = self.getAttrs(path, followLinks=1)  # type: ignore[no-untyped-call]
        return asked

    def read_only(self, path: bytes) -> Deferred[filetransfer.ClientFile]:
        """Open it.  Fails with C{SFTPError}."""
        asked: Deferred[filetransfer.ClientFile] = self.openFile(path, filetransfer.FXF_READ, {})  # type: ignore[no-untyped-call]
        return asked

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever waits is told why, as far as that is known."""
        self.connected = 0
        waiting, self.openRequests = self.openRequests, {}
        for each in waiting.values():
            each.errback(reason)

    def _sendRequest(self, msg: int, data: bytes) -> Deferred[Any]:
        if not self.connected:
            return fail(self._ssh.broken)
        asked: Deferred[Any] = super()._sendRequest(msg, data)  # type: ignore[no-untyped-call]
        self.counter &= 0xFFFFFFFF
        return asked
