"""The server's end of TLS, from PEM."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

__all__ = ["ServerTLS"]


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """
    A server's identity, for C{FaultServer(reactor, script, tls=ServerTLS(pem))}.

    C{CertificateOptions} would break the handshake of clients that offer ALPN, if the factory behind it knows none.

    @ivar context: the pyOpenSSL context, for tests that want it otherwise; change it before the first connection.
    """

    def __init__(self, identity: bytes, clients: bytes | None = None) -> None:
        """
        @param identity: PEM text: a key without passphrase, the certificate and those that lead to its root.
        @param clients: PEM text of a CA; only clients with a certificate of it are let in.
        """
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        certificate, *chain = x509.load_pem_x509_certificates(identity)
        self.context.use_certificate(certificate)
        for each in chain:
            self.context.add_extra_chain_cert(each)
        key: Any = load_pem_private_key(identity, None)
        self.context.use_privatekey(key)
        self.context.set_alpn_select_callback(_http_1_1)
        self.context.set_session_id(b"pulp_dl")  # without one, OpenSSL resumes no session that has a client certificate
        if clients is not None:
            store = self.context.get_cert_store()
            assert store is not None
            store.add_cert(crypto.X509.from_cryptography(x509.load_pem_x509_certificate(clients)))
            self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self.context)


def _http_1_1(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS
