"""The one name under which a file is asked for."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from ..consumers.plain import Plain

__all__ = ["Refusal", "path_of", "printable"]

# Nearly all are of this kind, and then there is nothing that could be read in two ways.
_PLAIN: Final = re.compile(rb"/[A-Za-z0-9_~+!$&'()*,;=:@-][A-Za-z0-9_.~+!$&'()*,;=:@/-]*")
_ESCAPES: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_HIDDEN: Final = re.compile(rb"%(2f|5c)", re.IGNORECASE)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")


class Refusal(Exception):
    """
    A request that is not going to be understood.

    @ivar plain: its answer.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.plain = Plain(status)


def path_of(target: bytes, longest: int) -> str:
    """
    The path of a request target, decoded once.

    Whatever could be read in two ways is refused, because somebody behind us would read it in the other one.

    @raise Refusal: it is too long, not in origin form, holds C{.} or C{..}, an encoded slash, a backslash, a control
        character, or is no UTF-8.
    """
    if len(target) > longest:
        raise Refusal(414, f"a target of {len(target)} bytes")
    if _PLAIN.fullmatch(target) and b"/." not in target:
        return target.decode("ascii")
    raw = target.partition(b"?")[0]
    if not raw.startswith(b"/") or raw.startswith(b"//"):
        raise Refusal(400, "the target is no path of ours (absolute form, or a host in it)")
    if b"#" in target or b"\\" in raw or _ESCAPES.search(raw) or _HIDDEN.search(raw):
        raise Refusal(400, "the path holds an encoded slash, a backslash, a fragment or half an escape")
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(400, "the path is no UTF-8") from None
    if _CONTROL.search(path):
        raise Refusal(400, "the path holds a control character")
    if {".", ".."} & {*path.split("/")}:
        raise Refusal(400, "the path holds a dot segment")
    return path


def printable(target: bytes) -> str:
    """A target as it may stand in a log: without its query, which may hold a token, and in one short line."""
    text = target.partition(b"?")[0][:200].decode("utf-8", "replace")
    return (
        text
        if text.isprintable()
        else "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    )
