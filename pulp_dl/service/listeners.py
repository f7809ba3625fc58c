"""Ports: opened before anything is answered, closed once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Listeners"]

log = Logger()

BACKLOG: Final = 1024
"""
Clients that may wait to be accepted.  With Twisted's 50 a crowd that comes at once is told to come again, and comes
after one, three and seven seconds.
"""

CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""
Of TLS 1.2; those of TLS 1.3 are of this kind anyway: forward secrecy, and no CBC, whose padding has betrayed plain text
time and again (Lucky 13).  Every client has some of them that has been renewed since 2014.
"""


class Listeners:
    """
    All listeners with one factory.

    @ivar addresses: where they listen, as URLs where they are ones.
    """

    def __init__(self, reactor: Any, descriptions: Iterable[str], factory: Any) -> None:
        """
        @param descriptions: as C{serverFromString} takes them.
        @raise ValueError: one of them cannot be understood.
        """
        self._endpoints = [(each, _endpoint(reactor, each)) for each in descriptions]
        self._factory = factory
        self._ports: list[Any] = []
        self.addresses: tuple[str, ...] = ()

    def open(self) -> None:
        """
        Listen.

        @raise CannotListenError: one cannot; none of them is left open.
        """
        for description, endpoint in self._endpoints:
            failures: list[Failure] = []
            endpoint.listen(self._factory).addCallbacks(self._ports.append, failures.append)
            if failures:
                self.close().addErrback(lambda failure: log.failure("could not close a port", failure))
                failures[0].raiseException()
            self.addresses += tuple(_shown(description, port.getHost()) for port in self._ports[-1:])

    def close(self) -> Deferred[Any]:
        """No more connections; those that there are stay.  Fires when no port is left; may be called again."""
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])


def _endpoint(reactor: Any, description: str) -> Any:
    try:
        return _hardened(serverFromString(reactor, _with_backlog(description)))
    except Exception as error:
        # A key that cannot be read, a number that is none, a socket that systemd did not open: plugins read this, and
        # raise what they like.
        reason = str(error) or type(error).__name__
        raise ValueError(f"{description!r} is no endpoint to listen on: {reason}") from error


def _hardened(endpoint: Any) -> Any:
    # Twisted's description of an endpoint has no word for ciphers, and the endpoint hands out no context.  If it is
    # called otherwise one day, a test of the handshake tells.
    options = getattr(endpoint, "_sslContextFactory", None)
    if options is not None:
        options.getContext().set_cipher_list(CIPHERS)
    return endpoint


def _with_backlog(description: str) -> str:
    """Unless it says itself how many may wait, or somebody else has opened the socket."""
    ours = description.startswith(("tcp:", "tcp6:", "ssl:", "unix:")) and ":backlog=" not in description
    return f"{description}:backlog={BACKLOG}" if ours else description


def _shown(description: str, address: Any) -> str:
    if hasattr(address, "port"):
        host = f"[{address.host}]" if ":" in address.host else address.host
        scheme = "https" if description.startswith(("ssl:", "tls:")) else "http"
        return f"{scheme}://{host}:{address.port}/"
    name = getattr(address, "name", None)
    return description if name is None else f"unix:{name.decode(errors='replace')}"
