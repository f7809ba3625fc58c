"""
TLS for one origin: the chain, the names and the client's certificate, and words for what can go wrong with them.

No public call of Twisted trusts the system and a private CA together, so the L{SSL.Context} is made here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ...model.tls import TLS, pin_of
from ..said import printable
from .sessions import Sessions

__all__ = ["ChainError", "PinError", "creator", "explain", "of_proxy"]


class ChainError(SSL.Error):
    """
    The chain of a server's certificate was refused.

    @ivar code: OpenSSL's number for why, one of L{SSL.X509VerificationCodes}.
    @ivar depth: which certificate is to blame: 0 is the server's own, 1 its issuer's.
    @ivar subject: whose it says it is.
    """

    def __init__(self, code: int, depth: int, subject: str) -> None:
        super().__init__([("SSL routines", "", f"certificate verify failed ({code})")])
        self.code = code
        self.depth = depth
        self.subject = subject


def creator(tls: TLS, host: str, alpn: tuple[bytes, ...] = (b"http/1.1",)) -> IOpenSSLClientConnectionCreator:
    """
    What makes the TLS connections to one host.

    The chain and the names are checked while the server's certificate is read, so before a byte of a request and before
    our own certificate goes out.  A refusal is the reason of the protocol's C{connectionLost}: L{ChainError},
    C{VerificationError} or C{CertificateError}; what the other side refuses is an L{SSL.Error}.

    @param host: as in a L{pulp_dl.urls.URL}: an ASCII name, or an address without brackets.
    @param alpn: the protocols that are offered (RFC 7301); none, and the server is not asked.
    """
    # What names the system's trust is read here as OpenSSL reads it, so that a change of it is not overlooked.
    names = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")) if tls.system else (None, None)
    return _Creator(_context(tls, names, alpn), host, tls)


class PinError(SSL.Error):
    """
    The public key of a server is none that is expected.

    @ivar pin: of the key that it has.
    """

    def __init__(self, pin: str) -> None:
        super().__init__([("SSL routines", "", "certificate verify failed (pin)")])
        self.pin = pin


_log = Logger(namespace="pulp_dl")
_VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_DEMAND: Final = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    def __init__(self, context: SSL.Context, host: str, tls: TLS) -> None:
        self._sessions = Sessions(context)
        self._verify = tls.verify
        self._pins = tls.pinned
        # A zone is ours alone, and a name's last dot belongs to no certificate and no SNI (RFC 6066 section 3).
        host = host.partition("%")[0].removesuffix(".")
        self._check: Callable[[x509.Certificate], None]
        self._server_name: bytes | None
        try:
            ip_address(host)
        except ValueError:
            self._server_name = host.encode("ascii")
            self._check = partial(verify_certificate_hostname, hostname=host)
        else:
            self._server_name = None
            self._check = partial(verify_certificate_ip_address, ip_address=host)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = self._sessions.connection()
        connection.set_connect_state()
        if self._verify or self._pins:
            check = self._check if self._verify else None
            connection.set_verify(_DEMAND, partial(_judge, tlsProtocol, check, self._pins))
        if self._server_name is not None:
            connection.set_tlsext_host_name(self._server_name)
        return connection


# Reading the system's trust takes 4 ms, and connections of one identity may share their context; those of two never do.
# Least recently used ones are dropped, so that many remotes do not keep their keys and a MiB of trust each for ever.
# Everything is set before the first connection: pyOpenSSL forbids to change a context that is in use.
@lru_cache(maxsize=32)
def _context(tls: TLS, _names: tuple[str | None, str | None], alpn: tuple[bytes, ...]) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(_VERSIONS[tls.minimum])
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # OpenSSL's own knows nothing of hosts; see Sessions
    if alpn:
        context.set_alpn_protos(list(alpn))
    if tls.verify:
        context.set_verify(_DEMAND)
        _trust(context, tls)
    else:
        context.set_verify(SSL.VERIFY_NONE)
        if not tls.pinned:
            _tell_unverified(tls.public())
    if tls.certificate is not None:
        context.use_certificate(tls.certificate)
        for certificate in tls.chain:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(tls.private_key)
    return context


@lru_cache(maxsize=32)
def _tell_unverified(_trust: TLS) -> None:
    """Once for each, whoever we are and whatever is offered."""
    _log.warn("TLS.verify is off: whoever is on the way can read and change what goes by", event="unverified")


def _trust(context: SSL.Context, tls: TLS) -> None:
    if tls.system:
        # Honours SSL_CERT_FILE and SSL_CERT_DIR; else pyOpenSSL looks where distributions have their bundles, since
        # the OpenSSL of a wheel was built for paths that no machine has.
        context.set_default_verify_paths()
    store = context.get_cert_store()
    if store is None:
        raise RuntimeError("OpenSSL has no certificate store")
    for certificate in tls.ca_certificates:
        store.add_cert(crypto.X509.from_cryptography(certificate))
    # As curl and Python do: what was given is trusted, with no need of its issuer.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)


def _judge(
    protocol: Any,  # Twisted's TLS or ours
    check: Callable[[x509.Certificate], None] | None,
    pins: frozenset[str],
    _connection: SSL.Connection,
    certificate: crypto.X509,
    code: int,
    depth: int,
    ok: int,
) -> bool:
    """OpenSSL's verify callback.  Whatever goes wrong here is a refusal: an exception could not pass through C."""
    try:
        if check is not None and not ok:
            raise ChainError(code, depth, certificate.to_cryptography().subject.rfc4514_string())
        if depth == 0:
            leaf = certificate.to_cryptography()
            if check is not None:
                check(leaf)
            if pins and (pin := pin_of(leaf)) not in pins:
                raise PinError(pin)
    except (ChainError, PinError, VerificationError, CertificateError):
        protocol.failVerification(Failure())
    except Exception as error:
        unusable = CertificateError(str(error))
        unusable.__cause__ = error
        protocol.failVerification(Failure(unusable))
    else:
        return True
    return False


# ---- in words

_ISSUER: Final = "has an issuer that is not trusted, or the server sends no intermediates; give the CA as TLS.ca"
_CODES: Final = {
    SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED: "has expired; the server needs a new one",
    SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID: "is not valid yet; check the clock of this machine",
    SSL.X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "is signed by itself; give it as TLS.ca if you trust it",
    SSL.X509VerificationCodes.ERR_SELF_SIGNED_CERT_IN_CHAIN: "is of an unknown CA; give it as TLS.ca if you trust it",
    SSL.X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: _ISSUER,
    SSL.X509VerificationCodes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: _ISSUER,
    SSL.X509VerificationCodes.ERR_CERT_SIGNATURE_FAILURE: "has a wrong signature; is TLS.ca an older CA of its name?",
    SSL.X509VerificationCodes.ERR_INVALID_PURPOSE: "is not for servers; the server needs another one",
    SSL.X509VerificationCodes.ERR_INVALID_CA: "signed another one but is no CA; the server needs another one",
    SSL.X509VerificationCodes.ERR_CERT_REVOKED: "is revoked; the server needs a new one",
}

_NO_TLS: Final = "no TLS is spoken on this port; is it http:// instead of https://, or another port?"
_TOO_OLD: Final = "the server has no TLS that is safe (1.2 or later, or what TLS.minimum says); it has to be updated"
_WEAK: Final = "the keys of the server are too short to be safe; it needs new ones"
_CLIENT: Final = "; give TLS.cert and TLS.key of a client that it knows"
# By the end of what OpenSSL says: the beginning ("sslv3", "tlsv1", "tls") differs from version to version.
_REASONS: Final = {
    "wrong version number": _NO_TLS,
    "http request": _NO_TLS,
    "packet length too long": _NO_TLS,
    "certificate verify failed": "the certificate of the server is not trusted; give its CA as TLS.ca",
    "alert certificate required": f"the server wants a certificate of ours{_CLIENT}",
    "alert unknown ca": f"the server does not trust the CA of our certificate{_CLIENT}",
    "alert bad certificate": f"the server does not accept our certificate{_CLIENT}",
    "alert unsupported certificate": f"the server does not accept our kind of certificate{_CLIENT}",
    "alert certificate unknown": f"the server does not accept our certificate{_CLIENT}",
    "alert certificate expired": "the server says that our certificate has expired; get a new one for TLS.cert",
    "alert certificate revoked": "the server says that our certificate is revoked; get a new one for TLS.cert",
    "alert access denied": f"the server denies access to our certificate{_CLIENT}",
    "alert handshake failure": f"the server refuses the handshake; perhaps it wants a certificate of ours{_CLIENT}",
    "alert protocol version": _TOO_OLD,
    "unsupported protocol": _TOO_OLD,
    "alert insufficient security": "the server wants ciphers that are not offered; it has to be updated",
    "alert no application protocol": "the server does not speak HTTP/1.1 on this port",
    "unrecognized name": "the server does not know the host of this URL; check the URL",
    "dh key too small": _WEAK,
    "ee key too small": _WEAK,
    "ca md too weak": _WEAK,
    "unsafe legacy renegotiation disabled": "the server has only unsafe renegotiation; it has to be updated",
}


def explain(reason: object) -> str | None:
    """
    Why TLS failed and what may be done about it, in one line for people.

    None if it is no failure of TLS, or one that another try may well not see again: a connection that broke, an alert
    of the server about itself.

    @param reason: an exception or a C{Failure}, such as the reason of C{connectionLost}.
    """
    error: Any = reason.value if isinstance(reason, Failure) else reason
    if isinstance(error, ChainError):
        why = _CODES.get(error.code, f"is refused (OpenSSL's error {error.code}); the server needs another one")
        which = "the certificate of the server" if error.depth == 0 else "a certificate in the chain of the server"
        # The name was written by whoever the server is.
        return f"{which} ({printable(error.subject)}) {why}"
    if isinstance(error, PinError):
        return f"the public key of the server ({error.pin}) is none of TLS.pins; add it if the server has a new one"
    if isinstance(error, VerificationError):
        return "the certificate of the server is for other hosts than this URL's; check the URL, or who answers there"
    if isinstance(error, CertificateError):
        return f"the certificate of the server cannot be used ({error}); it needs one whose subjectAltName is its host"
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        said = [str(entry[-1]) for entry in error.args[0]]
        return next((text for end, text in _REASONS.items() if any(each.endswith(end) for each in said)), None)
    return None


def of_proxy(explained: str) -> str:
    """The same of a proxy, which has a trust of its own."""
    return explained.replace("the server", "the proxy").replace("TLS.", "Proxy.tls.").replace("this URL's", "its URL's")
