"""TLS of the two connections of FTP (RFC 4217)."""

from __future__ import annotations

from functools import partial
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IProtocolFactory
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from ...model.tls import TLS
from ..endpoint import creator, explain

__all__ = ["Protection", "Wrapped", "explained"]


def explained(cause: object) -> str | None:
    """What L{explain} says of a failure of TLS, with the schemes of FTP."""
    why = explain(cause)
    return None if why is None else why.replace("http://", "ftp://").replace("https://", "ftps://")


class Protection:
    """
    What protects one control connection and its data connections.

    A data connection goes on with the TLS session of the control connection (section 10.2, and vsftpd's
    C{require_ssl_reuse}): so both ends know that nobody else has taken the port.  Then the server shows no certificate
    again; that of the session was judged.  Where it does not go on, it is judged as any other.
    """

    def __init__(self, tls: TLS, host: str, *, resumes: bool = True) -> None:
        """
        @param resumes: False for a server that breaks off where a session is offered.
        """
        # No ALPN: some servers refuse what is not "ftp", some do not know it.
        self._make = partial(creator, tls, host, ())
        self._resumes = resumes
        self._session_of: SSL.Connection | None = None

    def control(self) -> IOpenSSLClientConnectionCreator:
        """For the control connection."""
        return _Creator(self._make_control)

    def data(self, reactor: Any, factory: IProtocolFactory) -> IProtocolFactory:
        """The factory of a data connection over TLS, with that of the protocol within; see L{Wrapped}."""
        made = TLSMemoryBIOFactory(_Creator(self._make_data), True, factory, clock=reactor)
        made.protocol = Wrapped
        made.noisy = False
        return made

    def _make_control(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        self._session_of = self._make().clientConnectionForTLS(protocol)
        return self._session_of

    def _make_data(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self._make().clientConnectionForTLS(protocol)  # of one that knows no session
        if not self._resumes or self._session_of is None:
            return connection
        # A session belongs to its context (SSL_set_session of OpenSSL), and by now this TLS may have another one.
        connection.set_context(self._session_of.get_context())
        # Asked for now, because TLS 1.3 hands out sessions when it likes (RFC 8446 section 4.6.1).
        session = self._session_of.get_session()
        if session is not None:
            connection.set_session(session)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    def __init__(self, make: Any) -> None:
        self._make = make

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        made: SSL.Connection = self._make(tlsProtocol)
        return made


class Wrapped(TLSMemoryBIOProtocol):
    """
    Twisted says the same of a reset and of an end without close_notify.

    @ivar unclean: TCP ended in good order; TLS did not say that this is the end.
    """

    unclean = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.unclean = bool(reason.check(ConnectionDone))
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # the class has no annotations
