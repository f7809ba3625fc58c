"""Trust and identity for TLS."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from copy import copy
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from attrs import Attribute, field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from .pem import Material, assign, flag, passphrase_of, read, where

__all__ = ["TLS", "VERSIONS", "pin_of"]

VERSIONS: Final = ("1.2", "1.3")
_PIN: Final = "sha256//BASE64="


def _version(_instance: object, _attribute: Attribute[str], value: object) -> None:
    if value not in VERSIONS:
        raise ValueError(f"TLS.minimum: {value!r} is none; there are {' and '.join(map(repr, VERSIONS))}")


def _pins(value: object) -> frozenset[str]:
    texts = value.split(";") if isinstance(value, str) else value
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"TLS.pins: texts like {_PIN} are needed, not {type(value).__name__}")
    found = set()
    for text in texts:
        kind, _, encoded = str(text).strip().partition("//")
        try:
            digest = b64decode(encoded, validate=True)
        except ValueError:
            digest = b""
        if kind != "sha256" or len(digest) != sha256().digest_size:
            raise ValueError(f"TLS.pins: {str(text)!r} is no digest of a public key; write {_PIN}")
        found.add(_pin(digest))
    return frozenset(found)


def _pin(digest: bytes) -> str:
    return f"sha256//{b64encode(digest).decode('ascii')}"


def pin_of(certificate: x509.Certificate) -> str:
    """The digest of a certificate's public key (its SubjectPublicKeyInfo), as L{TLS.pins} has it."""
    return _pin(sha256(_public(certificate.public_key())).digest())


@frozen(kw_only=True)
class TLS:
    """
    Whom a client trusts, and who it is.

    C{ca}, C{cert} and C{key} are each a path or PEM text.  They are read once, when the value is made; a file that
    changes afterwards wants a new value.  Two values are equal if the same certificates are loaded and the same is
    trusted, wherever that was read from.

    @ivar ca: certificates to trust, one or a bundle.  An intermediate or a server's own certificate may be given: then
        it is trusted without its issuer.
    @ivar cert: the client's certificate, first in its file; the intermediates that lead to its CA follow it.
    @ivar key: the private key; None if it is in C{cert}'s PEM.
    @ivar passphrase: opens an encrypted key; nobody is ever asked for it.
    @ivar verify: False checks neither the chain nor the names of a server: anybody may be in between.
    @ivar minimum: the oldest version that is spoken: C{"1.2"} or C{"1.3"}.
    @ivar pins: digests of public keys, as curl and C{openssl} have them: C{"sha256//BASE64="}, several in a sequence or
        with C{;} between them.  Every server has to have one of these keys, those of redirects and mirrors too, beside
        a certificate that is trusted.  With C{verify=False} nothing but the key counts.
    @ivar system: trust what the system trusts (C{SSL_CERT_FILE} and C{SSL_CERT_DIR} name it, as for OpenSSL).  C{ca} is
        trusted in addition, so that a private server may redirect to a public CDN; False trusts C{ca} alone.
    @ivar ca_certificates: what C{ca} held.
    @ivar certificate: the client's certificate, or None.
    @ivar chain: its intermediates, in order.
    @ivar private_key: its key, or None.
    @ivar pinned: C{pins}, one by one.
    """

    ca: Material | None = field(default=None, eq=False, repr=where)
    cert: Material | None = field(default=None, eq=False, repr=where)
    key: Material | None = field(default=None, eq=False, repr=False)
    passphrase: str | bytes | None = field(default=None, eq=False, repr=False)
    verify: bool = field(default=True, validator=flag)
    system: bool = field(default=True, validator=flag)
    minimum: str = field(default="1.2", validator=_version)
    pins: str | Iterable[str] = field(default=(), eq=False)
    pinned: frozenset[str] = field(init=False, repr=False)
    ca_certificates: tuple[x509.Certificate, ...] = field(init=False, eq=False, repr=False)
    certificate: x509.Certificate | None = field(init=False, eq=False, repr=False)
    chain: tuple[x509.Certificate, ...] = field(init=False, eq=False, repr=False)
    private_key: Any = field(init=False, eq=False, repr=False)
    # A key fits one certificate only, so what is public tells everything: hashing a TLS touches no secret and is cheap.
    _identity: tuple[bytes, bytes] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        authorities = () if self.ca is None else read("TLS.ca", self.ca).certificates()
        if self.verify:
            self._check_trust(authorities)
        assign(self, pinned=_pins(self.pins))
        assign(self, pins=tuple(sorted(self.pinned)))
        certificate, chain, key = self._load_client()
        assign(self, ca_certificates=authorities, certificate=certificate, chain=chain, private_key=key)
        assign(self, _identity=(_digest(sorted(set(map(_der, authorities)))), _digest(map(_der, self._presented))))

    def public(self) -> TLS:
        """The same trust without the client's certificate and key: what any other origin gets."""
        if self.certificate is None:
            return self
        # Not by evolve(): the files may have changed since.
        other = copy(self)
        assign(other, cert=None, key=None, passphrase=None, certificate=None, chain=(), private_key=None)
        assign(other, _identity=(self._identity[0], _digest(())))
        return other

    @property
    def _presented(self) -> tuple[x509.Certificate, ...]:
        return () if self.certificate is None else (self.certificate, *self.chain)

    def _check_trust(self, authorities: tuple[x509.Certificate, ...]) -> None:
        if not self.system and self.ca is None:
            raise ValueError("TLS.system: False without TLS.ca trusts nobody; give the CA")
        if authorities and not any(_valid(each) for each in authorities):
            last = max(each.not_valid_after_utc for each in authorities)
            when = f"the last ended on {last:%Y-%m-%d}" if last < datetime.now(UTC) else "they begin later"
            raise ValueError(f"TLS.ca: {where(self.ca)}: no certificate in it is valid now ({when}); get the new CA")

    def _load_client(self) -> tuple[x509.Certificate | None, tuple[x509.Certificate, ...], Any]:
        if self.cert is None:
            for name in ("key", "passphrase"):
                if getattr(self, name) is not None:
                    raise ValueError(f"TLS.{name}: of no use without TLS.cert; give the certificate too")
            return None, (), None
        pem = read("TLS.cert", self.cert)
        first, *others = pem.certificates()
        _check_dates(first, where(self.cert))
        if self.key is None and not pem.has_key:
            raise ValueError(f"TLS.key: missing, and there is no private key in {where(self.cert)}; give the key too")
        holder = pem if self.key is None else read("TLS.key", self.key)
        key = holder.private_key(passphrase_of(self))
        _check_pair(first, others, key, holder.where)
        return first, tuple(others), key


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _digest(parts: Iterable[bytes]) -> bytes:
    return sha256(b"".join(sha256(part).digest() for part in parts)).digest()


def _valid(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc


def _check_dates(certificate: x509.Certificate, place: str) -> None:
    begin, end, now = certificate.not_valid_before_utc, certificate.not_valid_after_utc, datetime.now(UTC)
    if end < now:
        raise ValueError(f"TLS.cert: {place}: the certificate has expired on {end:%Y-%m-%d %H:%M} UTC; get a new one")
    if begin > now:
        raise ValueError(f"TLS.cert: {place}: the certificate is valid from {begin:%Y-%m-%d %H:%M} UTC; wait till then")


def _check_pair(certificate: x509.Certificate, chain: list[x509.Certificate], key: Any, place: str) -> None:
    def fits(each: x509.Certificate) -> bool:
        try:
            return _public(each.public_key()) == _public(key.public_key())
        except (ValueError, UnsupportedAlgorithm):
            return False

    if not fits(certificate):
        if any(fits(each) for each in chain):
            raise ValueError("TLS.cert: the certificate that the key fits has to come first, before its intermediates")
        raise ValueError(f"TLS.key: {place}: the key does not fit the certificate in TLS.cert; give its own key")
    try:
        # OpenSSL has a last word: it takes no key that is too short, and no algorithm that is too weak.
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.use_certificate(certificate)
        for each in chain:
            context.add_extra_chain_cert(each)
        context.use_privatekey(key)
        context.check_privatekey()
    except (SSL.Error, TypeError) as error:
        reason = ", ".join(str(entry[-1]) for entry in error.args[0]) if isinstance(error, SSL.Error) else "its kind"
        raise ValueError(f"TLS.cert: OpenSSL does not accept it ({reason}); get one with a stronger key") from error


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded
