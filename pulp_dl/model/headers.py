"""Header fields as pairs of bytes: order, case and doubles are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Pairs = tuple[tuple[bytes, bytes], ...]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # token, RFC 9110 section 5.6.2
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def _bytes(value: str | bytes, what: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"headers: a {what} has to be str or bytes, not {type(value).__name__}")
    return value.encode("utf-8")


def header_pairs(value: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Pairs:
    """
    Request fields as a caller gives them.

    @raise ValueError: a name is no token, or a value holds a control character (it would end the field and begin
        another one).  The value itself is not repeated: it may be a secret.
    """
    items = value.items() if isinstance(value, Mapping) else value
    pairs = tuple((_bytes(name, "name"), _bytes(content, "value").strip(b" \t")) for name, content in items)
    for name, content in pairs:
        if not _NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r} is no field name; use letters, digits and hyphens")
        if _CONTROL.search(content):
            raise ValueError(f"headers: the value of {name.decode('ascii')} holds a control character; remove it")
    return pairs


def find(pairs: Pairs, name: bytes) -> bytes | None:
    """The first value of a field, by its lower case name."""
    for key, value in pairs:
        if key.lower() == name:
            return value
    return None
