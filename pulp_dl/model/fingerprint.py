"""URLs that can be compared on a disk without being read there."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from ..urls import shown

__all__ = ["fingerprint"]

_SCHEME: Final = "sha256:"


def fingerprint(url: str) -> str:
    """
    What may be kept of a URL that may hold a secret.

    URLs that L{shown} prints alike have the same one, so a URL that was signed again is still the same; a fingerprint
    is its own.
    """
    if url.startswith(_SCHEME):
        return url
    return _SCHEME + sha256(shown(url).encode("utf-8", "surrogatepass")).hexdigest()
