"""
PEM from a path or as text: certificates and a private key, or an error that says what to do; and what else the values
that hold such have in common.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from attrs import Attribute, field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

__all__ = ["PEM", "Material", "assign", "flag", "passphrase_of", "read", "where"]

Material = str | bytes | os.PathLike[str]
"""A path, or PEM text."""

LIMIT: Final = 16 << 20  # the largest bundles of the world's CAs have half a MiB

_MARK = b"-----BEGIN "
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)
# What somebody may give instead of a path: the inside of a PEM block, which may be a key and is never repeated.
_NO_PATH = re.compile(r"[A-Za-z0-9+/=\s]{64,}|.*[\r\n\0].*|.{4096,}", re.DOTALL)


@frozen
class PEM:
    """
    The blocks of one file or text.

    @ivar name: the field it was given in, for messages.
    @ivar where: the path, for messages.
    @ivar blocks: label and whole text of each block.
    """

    name: str
    where: str
    blocks: tuple[tuple[str, bytes], ...] = field(repr=False)

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """
        All certificates, in order.

        @raise ValueError: there is none, or one of them cannot be read.
        """
        found = []
        for number, (label, block) in enumerate(self.blocks, 1):
            if label == "TRUSTED CERTIFICATE":
                raise self.error(f"block {number} is in a form of OpenSSL's own; convert it with openssl x509")
            if label in {"CERTIFICATE", "X509 CERTIFICATE"}:
                try:
                    found.append(x509.load_pem_x509_certificate(block))
                except ValueError as error:
                    raise self.error(f"block {number} is no valid certificate; get the file again") from error
        if not found:
            labels = ", ".join(sorted({label for label, _ in self.blocks}))
            raise self.error(f"there is no certificate in it, only {labels}; give a -----BEGIN CERTIFICATE block")
        return tuple(found)

    @property
    def has_key(self) -> bool:
        return self.key_block is not None

    @property
    def key_block(self) -> tuple[str, bytes] | None:
        """Label and whole text of the first private key, or None."""
        return next((block for block in self.blocks if block[0].endswith("PRIVATE KEY")), None)

    def private_key(self, passphrase: bytes | None) -> Any:
        """
        The first private key.

        @raise ValueError: there is none, it cannot be read, or the passphrase is missing or wrong.
        """
        found = self.key_block
        if found is None:
            raise self.error("there is no private key in it; give the file that holds -----BEGIN PRIVATE KEY")
        label, block = found
        # PKCS #8 says it in the label, the older forms in a field of RFC 1421.
        encrypted = label == "ENCRYPTED PRIVATE KEY" or b"4,ENCRYPTED" in block
        if encrypted and passphrase is None:
            raise ValueError(f"TLS.passphrase: missing; the key in {self.where} is encrypted")
        try:
            return load_pem_private_key(block, passphrase if encrypted else None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            if encrypted:
                raise ValueError(f"TLS.passphrase: wrong; it does not open the key in {self.where}") from error
            raise self.error("the private key in it is damaged or of an unknown kind; convert it to PKCS #8") from error

    def error(self, what: str) -> ValueError:
        return ValueError(f"{self.name}: {self.where}: {what}")


def flag(instance: object, attribute: Attribute[bool], value: bool) -> None:
    """A validator of a switch: the text C{"false"} would be true."""
    if not isinstance(value, bool):
        field_name = f"{type(instance).__name__}.{attribute.name}"
        raise TypeError(f"{field_name}: True or False is needed, not {type(value).__name__}")


def passphrase_of(instance: Any) -> bytes | None:
    """What opens its key, as bytes."""
    value = instance.passphrase
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{type(instance).__name__}.passphrase: str or bytes are needed, not {type(value).__name__}")
    return value.encode()


def assign(instance: object, **values: object) -> None:
    """For a frozen one, while it is made."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def where(value: Material | None) -> str:
    """What was given, as it may be printed: a path, or that it was a text."""
    if value is None:
        return "None"
    if isinstance(value, bytes) or "-----BEGIN" in str(value) or _NO_PATH.fullmatch(str(value)):
        return "PEM text"
    return repr(os.fspath(value))


def read(name: str, value: Material) -> PEM:
    """
    Read the blocks of a path or text.

    Text between blocks is a comment, as bundles have it (RFC 7468 section 5.2); a damaged block is an error.

    @raise ValueError: nothing can be read there, or what is there is not PEM.  Names the field and the path, and never
        repeats what might be a key.
    """
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{name}: a path or PEM text is needed, not {type(value).__name__}")
    pem = PEM(name, where(value), ())
    if isinstance(value, bytes):
        content = value
    elif isinstance(value, str) and (_MARK.decode() in value or _NO_PATH.fullmatch(value)):
        content = value.encode("utf-8", "replace")
    else:
        content = _file(pem, value)
    if not content.strip():
        raise pem.error("it is empty; give a certificate or key in PEM form")
    blocks = tuple((match[1].decode("ascii"), match[0]) for match in _BLOCK.finditer(content))
    if not blocks and _MARK not in content:
        raise pem.error("it is not PEM (no -----BEGIN line); convert DER or PKCS #12 with openssl")
    # Marks that are left over belong to a block that lost its end, its beginning or its line ends.
    outside = _BLOCK.sub(b"", content)
    if b"-----BEGIN" in outside or b"-----END" in outside:
        raise pem.error("a block is cut or has lost its line ends; get the file again")
    return PEM(name, pem.where, blocks)


def _file(pem: PEM, path: str | os.PathLike[str]) -> bytes:
    if not os.fspath(path):
        raise ValueError(f"{pem.name}: an empty path; give a path or PEM text, or None")
    try:
        with Path(path).open("rb") as file:
            content = file.read(LIMIT + 1)
    except FileNotFoundError as error:
        raise pem.error("there is no such file; check the path") from error
    except IsADirectoryError as error:
        raise pem.error("it is a directory; give a file (bundles hold several certificates)") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise pem.error(f"it cannot be read: {reason}; check its permissions") from error
    if len(content) > LIMIT:
        raise pem.error(f"it is larger than {LIMIT >> 20} MiB; give a file of certificates or keys")
    return content
