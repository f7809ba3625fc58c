"""Header fields as pairs of bytes: order, case and doubles are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

Pairs = tuple[tuple[bytes, bytes], ...]

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # token, RFC 9110 section 5.6.2
CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What ends a field, or may be taken for its end."""


_OURS: Final = {
    b"accept-encoding": "bytes are asked for as they are kept (identity)",
    b"connection": "connections are ours to keep or close",
    b"content-length": "a download sends no body",
    b"expect": "a download sends no body",
    b"host": "it follows from the URL",
    b"if-match": "it is not supported",
    b"if-modified-since": "give it as Source.conditions",
    b"if-none-match": "give it as Source.conditions",
    b"if-range": "give it as Source.conditions",
    b"if-unmodified-since": "it is not supported",
    b"keep-alive": "connections are ours to keep or close",
    b"proxy-authorization": "give it as Proxy(auth=...)",
    b"proxy-connection": "connections are ours to keep or close",
    b"range": "give it as Source.span",
    b"te": "trailers are not read",
    b"trailer": "a download sends no body",
    b"transfer-encoding": "a download sends no body",
    b"upgrade": "HTTP/1.1 is what is spoken",
}
"""
Fields that would contradict what we do if a caller wrote them.  They are refused, not dropped: who gave one wanted
something that would not happen.
"""


def _bytes(value: object, what: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"headers: a {what} has to be str or bytes, not {type(value).__name__}")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"headers: a {what} is not UTF-8; read it with the right encoding") from None


def header_pairs(value: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Pairs:
    """
    Request fields as a caller gives them.

    @raise ValueError: a name is no token, or a value holds a control character (it would end the field and begin
        another one).  Neither a value nor what is no name is repeated: it may be a secret.
    """
    if value == ():
        return ()
    pairs = tuple(
        (_bytes(name, "name"), _bytes(content, "value").strip(b" \t")) for name, content in map(_pair, _items(value))
    )
    for number, (name, content) in enumerate(pairs, 1):
        if not TOKEN.fullmatch(name):
            raise ValueError(f"headers: the name of field {number} is none; use letters, digits and hyphens")
        if CONTROL.search(content):
            raise ValueError(f"headers: the value of {name.decode('ascii')} holds a control character; remove it")
    return pairs


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"headers: a mapping or pairs of name and value are needed, not {type(value).__name__}")
    return value


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise TypeError("headers: each field has to be a pair of name and value")
    return item[0], item[1]


def find(pairs: Pairs, name: bytes) -> bytes | None:
    """The first value of a field, by its lower case name."""
    for key, value in pairs:
        if key.lower() == name:
            return value
    return None


def contradiction(headers: Pairs) -> str | None:
    """Why one of these fields is not for a caller to give, or None."""
    for name, _ in headers:
        reason = _OURS.get(name.lower())
        if reason is not None:
            return f"the field {name.decode('ascii')} cannot be given: {reason}"
    return None
