"""What an honest server says about a file (RFC 9110), as values: nothing here knows how an answer travels."""

from __future__ import annotations

import re
from typing import Literal

from attrs import field, frozen

from ..model.dates import seconds_of
from ..model.headers import Pairs, find
from ..model.source import Span

__all__ = ["Entity", "History", "Reply"]

_RANGE = re.compile(rb"bytes=(?:(\d+)-(\d*)|-(\d+))", re.IGNORECASE)


@frozen
class Reply:
    """
    An answer before it is framed.

    @ivar headers: its fields, without Content-Length and Transfer-Encoding.
    @ivar span: of a 206, which part it is; C{total}: the total it tells, or None.
    """

    status: int
    headers: Pairs
    body: bytes = field(repr=False)
    span: Span | None = None
    total: int | None = None


@frozen
class Entity:
    """
    A file as a server has it, and three lies a server may tell about it.

    @ivar etag: its ETag, with the quotes, or None.
    @ivar modified: its Last-Modified, or None; C{date}: the Date of its answers.
    @ivar headers: more fields of its answers.
    @ivar ranges: False: answers the whole to whoever asks for a part.
    @ivar trusting: True: answers a part without looking at If-Range.
    @ivar total: tells another total in a 206; C{"*"}: tells none.
    """

    data: bytes = field(default=b"", repr=False)
    etag: bytes | None = b'"1"'
    modified: bytes | None = None
    date: bytes | None = b"Mon, 05 Jan 2026 12:00:00 GMT"
    headers: Pairs = ()
    ranges: bool = field(default=True, kw_only=True)
    trusting: bool = field(default=False, kw_only=True)
    total: int | Literal["*"] | None = field(default=None, kw_only=True)

    def reply(self, method: str, request: Pairs) -> Reply:
        """The answer to a GET or HEAD with these request fields: 200, 206, 304 or 416."""
        if self._unchanged(find(request, b"if-none-match"), find(request, b"if-modified-since")):
            return Reply(304, self._fields(), b"")
        found = _RANGE.fullmatch(find(request, b"range") or b"")
        if method != "GET" or found is None or not self.ranges or not self._same(find(request, b"if-range")):
            return self.whole()
        first, last, suffix = found.groups()
        if first is not None and last and int(last) < int(first):
            return self.whole()  # an invalid Range is ignored, RFC 9110 section 14.1.1
        span = _span(first, last, suffix)
        return self.part(None if span is None else span.within(len(self.data)))

    def whole(self) -> Reply:
        """A 200."""
        return Reply(200, self._fields(), self.data, None, len(self.data))

    def part(self, part: Span | None) -> Reply:
        """A 206 of this part, both of whose ends are known; None: a 416."""
        total = len(self.data) if self.total is None else None if self.total == "*" else self.total
        of = b"*" if total is None else b"%d" % total
        if part is None or part.stop is None:
            return Reply(416, (*self._fields(), (b"Content-Range", b"bytes */" + of)), b"", None, total)
        content_range = b"bytes %d-%d/%s" % (part.start, part.stop - 1, of)
        fields = (*self._fields(), (b"Content-Range", content_range))
        return Reply(206, fields, self.data[part.start : part.stop], part, total)

    def _fields(self) -> Pairs:
        found = (
            (b"Date", self.date),
            (b"ETag", self.etag),
            (b"Last-Modified", self.modified),
            (b"Accept-Ranges", b"bytes" if self.ranges else None),
        )
        return (*((name, value) for name, value in found if value is not None), *self.headers)

    def _unchanged(self, none_match: bytes | None, since: bytes | None) -> bool:
        """Section 13.1.2: a weak comparison; If-Modified-Since counts only without If-None-Match (section 13.1.3)."""
        if none_match is not None:
            tags = [tag.strip().removeprefix(b"W/") for tag in none_match.split(b",")]
            return tags == [b"*"] or (self.etag is not None and self.etag.removeprefix(b"W/") in tags)
        modified, limit = seconds_of(self.modified or b""), seconds_of(since or b"")
        return modified is not None and limit is not None and modified <= limit

    def _same(self, if_range: bytes | None) -> bool:
        """Section 13.1.5: a strong comparison, and a date has to be equal byte for byte."""
        if if_range is None or self.trusting:
            return True
        return not if_range.startswith(b"W/") and if_range in {self.etag, self.modified}


def _span(first: bytes | None, last: bytes, suffix: bytes) -> Span | None:
    if first is not None:
        return Span(int(first), int(last) + 1 if last else None)
    return Span(-int(suffix)) if int(suffix) else None


def _shared(one: bytes, other: bytes, at: int) -> int:
    """How many bytes from here on are the same."""
    shared = min(len(one), len(other)) - at
    if shared <= 0 or one[at : at + shared] == other[at : at + shared]:
        return max(0, shared)
    low, high = 0, shared  # the first byte that differs lies between
    while high - low > 1:
        middle = (low + high) // 2
        if one[at : at + middle] == other[at : at + middle]:
            low = middle
        else:
            high = middle
    return low


@frozen
class History:
    """
    A file that changes: each request finds the next version, the last one stays.

    The result of a download has to be one of the versions, whole: C{history.check(data)}.
    """

    versions: tuple[Entity, ...]

    @classmethod
    def of(cls, *bodies: bytes) -> History:
        """Versions with these bodies, each with an ETag of its own."""
        return cls(tuple(Entity(body, b'"%d"' % number) for number, body in enumerate(bodies, 1)))

    def at(self, number: int) -> Entity:
        """The version that the request of this number, from 0, finds."""
        return self.versions[min(number, len(self.versions) - 1)]

    def bodies(self) -> set[bytes]:
        return {version.data for version in self.versions}

    def check(self, data: bytes, *, begun: bool = False) -> None:
        """
        This is exactly one version, or C{AssertionError} that tells of what it is made.

        @param begun: or the beginning of one.
        """
        if not any(body.startswith(data) if begun else body == data for body in self.bodies()):
            raise AssertionError(f"{len(data)} bytes are no version, but {self._made_of(data)}")

    def _made_of(self, data: bytes) -> str:
        """Which bytes are those of which version, as they stand there."""
        parts: list[str] = []
        at = 0
        while at < len(data) and len(parts) < 10:
            length, number = max(
                (_shared(data, version.data, at), -number) for number, version in enumerate(self.versions)
            )
            whose = f"version {-number + 1}" if length else "none"
            length = length or 1
            parts.append(f"{at}-{at + length} of {whose}")
            at += length
        return ", ".join(parts) or "nothing"
