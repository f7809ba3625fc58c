"""What a server of HTTP would say of a file: for protocols that have neither ranges nor conditions of their own."""

from __future__ import annotations

from email.utils import formatdate

from attrs import frozen

from ..model.dates import seconds_of
from ..model.headers import Pairs, find
from ..model.source import Head, Span, Validators

__all__ = ["Entity"]


@frozen
class Entity:
    """
    A file as it is now.

    @ivar total: its bytes, or None if nobody tells: then there are no parts of it, for none could say where it ends.
    @ivar etag: a strong one, with its quotes, or None: then nothing is ever proven to be the same file.
    @ivar modified: seconds since the epoch, or None.
    """

    total: int | None
    etag: bytes | None = None
    modified: float | None = None

    @property
    def last_modified(self) -> bytes | None:
        """The value of a Last-Modified field."""
        return None if self.modified is None else formatdate(int(self.modified), usegmt=True).encode("ascii")

    def head(self, url: str, span: Span | None, same_as: Validators | None, conditions: Pairs) -> Head:
        """
        The head of the answer: 200, 206, 304 or 416, in the order of RFC 9110 section 13.2.2.

        A 200 answers a span whose C{same_as} (or If-Range) is not this entity; it holds the whole.
        """
        if self._unchanged(find(conditions, b"if-none-match"), find(conditions, b"if-modified-since")):
            return Head(url, 304, self._fields(None), 0, total=self.total)
        if span is None or self.total is None or not self._same(same_as, find(conditions, b"if-range")):
            return Head(url, 200, self._fields(self.total), self.total, total=self.total)
        part = span.within(self.total)
        if part is None or part.stop is None:
            return Head(url, 416, (*self._fields(0), _content_range(b"*", self.total)), 0, total=self.total)
        length = part.stop - part.start
        of = b"%d-%d" % (part.start, part.stop - 1)
        return Head(url, 206, (*self._fields(length), _content_range(of, self.total)), length, part, self.total)

    def _fields(self, length: int | None) -> Pairs:
        found = {
            b"Content-Length": None if length is None else b"%d" % length,
            b"Last-Modified": self.last_modified,
            b"ETag": self.etag,
            b"Accept-Ranges": None if self.total is None else b"bytes",
        }
        return tuple((name, value) for name, value in found.items() if value is not None)

    def _unchanged(self, none_match: bytes | None, since: bytes | None) -> bool:
        if none_match is not None:
            # The weak comparison of section 8.8.3.2.  Our tags hold no comma.
            tags = {tag.strip().removeprefix(b"W/") for tag in none_match.split(b",")}
            return b"*" in tags or self.etag in tags
        moment = None if since is None else seconds_of(since)
        return moment is not None and self.modified is not None and int(self.modified) <= moment

    def _same(self, same_as: Validators | None, if_range: bytes | None) -> bool:
        # A date is never equal here: a file may change twice in a second, and nobody says Date (section 13.1.5).
        if same_as is not None:
            return same_as.etag is not None and same_as.etag == self.etag
        return if_range is None or if_range == self.etag


def _content_range(of: bytes, total: int) -> tuple[bytes, bytes]:
    return b"Content-Range", b"bytes %b/%d" % (of, total)
