"""What a client asks of a file: which part of it, and under which conditions (RFC 9110 sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve

from ..consumers.answers import etag_of, size_of
from ..consumers.plain import Plain
from ..model.headers import CONTROL, Pairs
from ..model.source import Source, Span

__all__ = ["Fields", "asked", "range_of"]

Fields = Mapping[bytes, Sequence[bytes]]
"""The values of a request's fields, by their names in lower case."""

# One range, with numbers that a file can have.  All else may be ignored (section 14.2), and several ranges are: who
# wants them gets the whole.
_RANGE: Final = re.compile(rb"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)
_ASKING: Final = frozenset({b"if-match", b"if-none-match", b"if-modified-since", b"range"})
_TAG: Final = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def asked(headers: Fields, source: Source, *, part: bool = True) -> Source | Plain:
    """
    The source with what the client asks of it; or the answer, if it is known here.

    With a digest the ETag is ours: its conditions are judged here and go no further.  Without one they are the
    origin's to judge.

    @param part: is this a request that may have a part?  HEAD may not.
    """
    if _ASKING.isdisjoint(headers):
        return source  # as most do
    etag = etag_of(source)
    none_match = _value(headers, b"if-none-match")
    if etag is not None:
        if_match = _value(headers, b"if-match")
        if if_match is not None and if_match != b"*" and etag not in _TAG.findall(if_match):
            return Plain(412)
        if none_match is not None and (none_match == b"*" or etag in map(_weak, _TAG.findall(none_match))):
            return Plain(304, ((b"ETag", etag),))
    span = range_of(headers) if part else None
    if_range = _value(headers, b"if-range") if span is not None else None
    if etag is not None and if_range not in {None, etag}:
        span = None  # the client has a part of another file, or nobody can tell
    if span is not None:
        found = _within(span, size_of(source))
        if isinstance(found, Plain):
            return found
        span = found
    conditions: list[tuple[bytes, bytes]] = []
    if etag is None and none_match is not None:
        conditions.append((b"If-None-Match", none_match))
    since = _value(headers, b"if-modified-since")
    if none_match is None and since is not None:  # section 13.1.3
        conditions.append((b"If-Modified-Since", since))
    if etag is None and if_range is not None:
        conditions.append((b"If-Range", if_range))
    pairs: Pairs = tuple(conditions)
    return evolve(source, span=span, conditions=pairs) if pairs or span is not None else source


def range_of(headers: Fields) -> Span | None:
    """The one range of bytes that is asked for, or None.  C{Span(0, None)} is what C{bytes=0-} asks for."""
    values = headers.get(b"range", ())
    match = _RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return Span(-int(suffix)) if int(suffix) else _NOTHING
    start = int(first)
    if last is None:
        return Span(start)
    return Span(start, int(last) + 1) if start <= int(last) else None


_NOTHING: Final = Span(10**18)
"""The last 0 bytes: a range that no file can satisfy (section 14.1.2)."""


def _within(span: Span, size: int | None) -> Span | Plain:
    if size is None:
        return span if span is not _NOTHING else Plain(416, ((b"Content-Range", b"bytes */*"),))
    return span.within(size) or Plain(416, ((b"Content-Range", b"bytes */%d" % size),))


def _value(headers: Fields, name: bytes) -> bytes | None:
    """The value of a field; several are one list.  What cannot be a value is no condition."""
    values = headers.get(name)
    if not values:
        return None
    value: bytes = b", ".join(values)
    return None if CONTROL.search(value) else value


def _weak(tag: bytes) -> bytes:
    """A tag as the weak comparison sees it (section 8.8.3.2)."""
    return tag.removeprefix(b"W/")
