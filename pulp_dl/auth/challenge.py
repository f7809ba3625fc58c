"""What a server says about who may come in: the fields C{WWW-Authenticate} and C{Authentication-Info}."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from attrs import field, frozen

from ..model.headers import Pairs

__all__ = ["Challenge", "challenges", "parameters"]

MOST: Final = 16
"""Challenges of one answer that are looked at, and parameters of one of them."""

_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_COMMAS: Final = re.compile(r"[ \t,]*")
_SCHEME: Final = re.compile(rf"({_NAME})(?:[ \t]+|(?=[ \t]*(?:,|\Z)))")
_PARAMETER: Final = re.compile(rf'({_NAME})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_NAME}))[ \t]*(?=,|\Z)', re.DOTALL)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|\Z)")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


@frozen
class Challenge:
    """
    One way to come in (RFC 9110 section 11.3).

    @ivar scheme: its name, in lower case.
    @ivar parameters: by their names, in lower case; none if there is a token68 in their place.
    """

    scheme: str
    parameters: Mapping[str, str] = field(factory=dict)

    def get(self, name: str) -> str | None:
        """A parameter by its lower case name, or None."""
        return self.parameters.get(name)


def challenges(pairs: Pairs) -> list[Challenge]:
    """
    The challenges of an answer, in its order, from all its C{WWW-Authenticate} fields.

    Whatever is sent, nothing is raised: what cannot be read ends its field, and a challenge that names a parameter
    twice is left out, since another reader might take the other one.
    """
    found: list[Challenge | None] = []
    for name, value in pairs:
        if name.lower() == b"www-authenticate" and len(found) < MOST:
            found += islice(_read(value.decode("utf-8", "replace")), MOST - len(found))
    return [each for each in found if each is not None]


def parameters(value: bytes) -> Mapping[str, str]:
    """The parameters of a field that has nothing else, such as C{Authentication-Info}; what cannot be read is left."""
    found, _ = _parameters(value.decode("utf-8", "replace"), 0)
    return found or {}


def _read(text: str) -> Iterator[Challenge | None]:
    """One after the other, so that no more is read than is wanted; None for one that is left out."""
    at = _end(_COMMAS, text, 0)
    while at < len(text):
        match = _SCHEME.match(text, at)
        if match is None:
            return
        # Only one of both follows; and "token68" without "=" may look like the next scheme.
        at = match.end()
        found: dict[str, str] | None
        opaque = _TOKEN68.match(text, at) if text[at - 1] in " \t" else None
        if opaque is not None and _PARAMETER.match(text, at) is None:
            at, found = opaque.end(), {}
        else:
            found, at = _parameters(text, at)
        yield None if found is None else Challenge(match[1].lower(), found)
        at = _end(_COMMAS, text, at)


def _parameters(text: str, at: int) -> tuple[dict[str, str] | None, int]:
    """As many as there are from here on, and where they end; None in their place if one is there twice."""
    found: dict[str, str] = {}
    twice = False
    while (match := _PARAMETER.match(text, _end(_COMMAS, text, at))) is not None:
        at, name = match.end(), match[1].lower()
        twice = twice or name in found or len(found) >= MOST
        if not twice:
            found[name] = match[3] if match[2] is None else _ESCAPE.sub(r"\1", match[2])
    return None if twice else found, at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()
