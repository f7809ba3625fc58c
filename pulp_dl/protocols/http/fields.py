"""The fields of a request: which are ours to write, which are the caller's, and which of these are secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twisted.web.http_headers import Headers

from ..._version import __version__
from ...errors import Refused
from ...model.headers import CONTROL, Pairs, contradiction
from ...model.remote import Remote
from ...model.source import Source, Span, Validators

__all__ = ["PUBLIC", "Fields", "RequestFields", "wanted"]

PUBLIC: Final = frozenset({b"user-agent", b"accept", b"accept-language", b"via"})
"""What of a Remote's fields leaves the scope of its secrets; of any other field nobody knows whether it is one."""

_CONDITIONS: Final = frozenset({b"if-none-match", b"if-modified-since", b"if-range"})


class Fields(Headers):
    """
    Fields in our order and case.  What treq adds to a copy of them (an Accept-Encoding) is without effect.

    @ivar pairs: the fields.
    @ivar wire: the same as they go out, each with the end of its line; no Accept-Encoding among them.
    @ivar broken: one of them holds a control character, so they must not go out.
    """

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        self.pairs = pairs
        self.wire = b"".join([b"%b: %b\r\n" % pair for pair in pairs if pair[0].lower() != b"accept-encoding"])
        self.broken = any(CONTROL.search(name) or CONTROL.search(value) for name, value in pairs)

    def copy(self) -> Fields:
        return self

    def addRawHeader(self, name: str | bytes, value: str | bytes) -> None:
        """Without effect."""

    def hasHeader(self, name: str | bytes) -> bool:
        """Asked about a Cookie, which is then not looked for anywhere else."""
        return True

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, list[bytes]]]:
        return ((name, [value]) for name, value in self.pairs)


class RequestFields:
    """
    What one Remote sends, by promise 7: its fields and those of a Source go to the scope of secrets alone.

    Later layers replace fields of the same name: ours, the Remote's, credentials, the Source's.
    """

    def __init__(self, remote: Remote) -> None:
        defaults: Pairs = ((b"User-Agent", b"pulp_dl/" + __version__.encode("ascii")), (b"Accept", b"*/*"))
        public = tuple(pair for pair in remote.headers if pair[0].lower() in PUBLIC)
        self._inside = Fields(_merged(defaults, remote.headers))
        self._outside = Fields(_merged(defaults, public))

    def check(self, source: Source) -> None:
        """
        @raise Refused: the Source has a field that is not its to give.
        """
        wrong = contradiction(source.headers)
        if wrong is None and source.conditions:
            wrong = next(
                (
                    f"{name.decode('ascii')} is no condition that a download can have"
                    for name, _ in source.conditions
                    if name.lower() not in _CONDITIONS
                ),
                None,
            )
        if wrong is not None:
            raise Refused(wrong, source.url)

    def select(self, source: Source, credentials: Pairs, asked: Pairs, *, inside: bool) -> Fields:
        """
        @param credentials: fields that prove who we are, for the place that is asked.
        @param asked: conditions and the like, beside all others.
        @param inside: is that place in the scope of the secrets?
        """
        plain = self._inside if inside else self._outside
        own = source.headers if inside else ()
        if not (credentials or own or asked):
            return plain
        found = _merged(plain.pairs, credentials, own)
        return Fields((*found, *asked))


def wanted(conditions: Pairs, span: Span | None, same_as: Validators | None) -> Pairs:
    """Conditions, Range and If-Range of a request."""
    if span is None and not conditions:
        return ()
    found = conditions
    if span is None or same_as is not None:
        # RFC 9110 section 13.1.5: no If-Range without a Range; and there is only one.
        found = tuple(pair for pair in found if pair[0].lower() != b"if-range")
    if span is not None:
        found = (*found, (b"Range", span.range))
        if same_as is not None and same_as.if_range is not None:
            found = (*found, (b"If-Range", same_as.if_range))
    return found


def _merged(*layers: Pairs) -> Pairs:
    found: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for layer in layers:
        fresh: dict[bytes, list[tuple[bytes, bytes]]] = {}
        for name, value in layer:
            fresh.setdefault(name.lower(), []).append((name, value))
        found.update(fresh)
    return tuple(pair for pairs in found.values() for pair in pairs)
