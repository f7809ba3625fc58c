"""
What lies beneath a transport: here bytes are sent at once, and it is seen whether there are any to read.

All of it saves time or shuts a door; over a transport that is none of Twisted's own, each has a plain way instead.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import ISSLTransport

__all__ = ["Wire"]


class Wire:
    """
    Made when the transport is connected; C{close} it when that is lost.

    @ivar tls: the transport encrypts.  (Ours is a L{TLSTransport}, which needs no such thing; this is somebody else's.)
    @ivar unclean: as that of ours; how the connection of somebody else's has ended is not known, and is no proof.
    """

    unclean = False

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.tls = bool(ISSLTransport.providedBy(transport))
        self._socket: socket.socket | None = None
        if isinstance(transport, tcp.Connection) and not self.tls:
            self._socket = transport.getHandle()
            with suppress(OSError):  # it is no TCP
                # What follows at once (a request the end of a handshake, the rest of a long one its beginning) would
                # wait for an acknowledgement, which a server that has nothing to say puts off for 40 ms.
                transport.setTcpNoDelay(True)
        self._direct = self._socket
        self._readable = select.poll()
        if self._socket is not None:
            self._readable.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """There is no socket any more."""
        self._socket = self._direct = None

    def send(self, data: bytes) -> None:
        """At once: C{transport.write} would wait for another turn of the reactor, at the price of two system calls."""
        sent = 0
        if self._direct:
            try:
                sent = self._direct.send(data)
            except OSError:
                sent = 0  # the transport will find out, and say so
            if sent == len(data):
                return
            self._direct = None  # from now on the transport may have something to send itself
        self._transport.write(data[sent:])

    def read_at_once(self, size: int) -> None:
        """Read so many bytes at once, at most."""
        # It is an attribute of every transport of Twisted's reactors (twisted.internet.tcp.Connection.bufferSize);
        # what has none is not harmed.
        self._transport.bufferSize = size

    def silent(self) -> bool:
        """Would a read have to wait?  If not, there are bytes, or the end."""
        return self._socket is None or not self._readable.poll(0)

    def emptied(self, *, drained: bool) -> bool:
        """
        Did the last read certainly take all that had come?

        @param drained: there was room for more in it.
        """
        return drained
