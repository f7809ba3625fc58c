"""Trust and identity for SSH."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from attrs import Attribute, field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from .pem import PEM, Material, assign, flag, passphrase_of, read, where

__all__ = ["SSH"]

_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})  # RFC 5656 section 10.1
_KINDS: Final = (RSAPrivateKey, Ed25519PrivateKey)
_FINGERPRINT: Final = re.compile(r"(?:SHA256:)?([A-Za-z0-9+/]{43})=?")


def _fingerprint(value: str | None) -> str | None:
    if value is None:
        return None
    match = _FINGERPRINT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("SSH.fingerprint: SHA256: and 43 characters are needed, as ssh-keygen -l prints them")
    return f"SHA256:{match[1]}"


def _readable(_instance: object, _attribute: Attribute[Any], value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"SSH.known_hosts: a path is needed, not {type(value).__name__}")
    path = Path(value)
    with suppress(RuntimeError):  # there may be no home, and so no file
        path = path.expanduser()  # as whoever reads it does
    if not path.is_file():
        raise ValueError(f"SSH.known_hosts: {str(path)!r}: there is no such file; check the path")
    if not os.access(path, os.R_OK):
        raise ValueError(f"SSH.known_hosts: {str(path)!r}: it cannot be read; check its permissions")


@frozen(kw_only=True)
class SSH:
    """
    How an SSH server is known, and how we log in.  User and password are those of the URL or of C{Remote.auth}; without
    a user it is the one who runs this.

    Nobody is ever asked anything: a server whose key is not known is an error that says how to make it known.

    C{key} is a path or text in OpenSSH's form or PEM.  It is read once, when the value is made.  Two values are equal
    if the same key is loaded and the same is trusted.

    @ivar key: the private key to log in with.
    @ivar passphrase: opens an encrypted key; nobody is ever asked for it.
    @ivar agent: ask the agent that C{SSH_AUTH_SOCK} names, if there is one, for more keys.
    @ivar known_hosts: the file that says which server has which key, as OpenSSH has it; it is read for each new
        connection.  None for C{~/.ssh/known_hosts} and C{/etc/ssh/ssh_known_hosts}.
    @ivar fingerprint: C{SHA256:...} of the one key that the server may have; no file is looked at then.
    @ivar private_key: what C{key} held, or None.
    """

    key: Material | None = field(default=None, eq=False, repr=where)
    passphrase: str | bytes | None = field(default=None, eq=False, repr=False)
    agent: bool = field(default=True, validator=flag)
    known_hosts: str | os.PathLike[str] | None = field(default=None, validator=_readable)
    fingerprint: str | None = field(default=None, converter=_fingerprint)
    private_key: Any = field(init=False, eq=False, repr=False)
    # What is public tells which key it is: to compare two values touches no secret.
    _identity: bytes = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.key is None and self.passphrase is not None:
            raise ValueError("SSH.passphrase: of no use without SSH.key; give the key too")
        key = None if self.key is None else _private_key(read("SSH.key", self.key), passphrase_of(self))
        assign(self, private_key=key, _identity=b"" if key is None else _digest(key))

    def public(self) -> SSH:
        """The same trust without the key and the agent: what any other origin gets."""
        other = copy(self)
        assign(other, key=None, passphrase=None, agent=False, private_key=None, _identity=b"")
        return other


def _private_key(pem: PEM, passphrase: bytes | None) -> Any:
    key = _load(pem, passphrase)
    # What else PEM may hold would be found out by a server, and would look like a refusal.
    known = key.curve.name in _CURVES if isinstance(key, EllipticCurvePrivateKey) else isinstance(key, _KINDS)
    if not known:
        raise pem.error("the private key in it is of a kind that SSH does not know; make one with ssh-keygen")
    return key


def _load(pem: PEM, passphrase: bytes | None) -> Any:
    if pem.key_block is None:
        raise pem.error("there is no private key in it; give the file without .pub")
    _, block = pem.key_block
    load = load_ssh_private_key if b"OPENSSH" in block.partition(b"\n")[0] else load_pem_private_key
    try:
        return load(block, None)
    except TypeError:  # it is encrypted
        if passphrase is None:
            raise ValueError(f"SSH.passphrase: missing; the key in {pem.where} is encrypted") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise pem.error("the private key in it is damaged or of an unknown kind; make one with ssh-keygen") from error
    try:
        return load(block, passphrase)
    except UnsupportedAlgorithm as error:
        raise pem.error("to open an encrypted key takes more: pip install 'pulp_dl[sftp]'") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"SSH.passphrase: wrong; it does not open the key in {pem.where}") from error


def _digest(key: Any) -> bytes:
    return sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
