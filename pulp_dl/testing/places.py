"""What is at a URL of a L{MemoryFetcher<pulp_dl.testing.MemoryFetcher>}, and how the place misbehaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from attrs import evolve, field, frozen

from ..errors import DownloadError, Truncated
from ..model.headers import Pairs, find
from ..model.source import Head, Source, Span, Validators

__all__ = ["Answer", "Asked", "Place"]

Error = DownloadError | Callable[[], DownloadError]


@frozen
class Asked:
    """
    One request as the fetcher was asked.

    @ivar method: C{"GET"} for C{open}, C{"HEAD"} for C{head}.
    """

    method: str
    source: Source
    span: Span | None = None
    same_as: Validators | None = None

    @property
    def url(self) -> str:
        return self.source.url


@frozen
class Answer:
    """
    What one request gets, word for word.

    @ivar pieces: the body, one C{write} each.
    @ivar stall_at: after so many bytes nothing more comes until L{MemoryFetcher.release}.
    @ivar error: fails the body after the last piece; with no head, fails C{open}.
    @ivar silent: no answer comes until L{MemoryFetcher.release}.
    @ivar wait: seconds before the answer; C{every}: before each piece.  They need the fetcher's reactor.
    """

    head: Head | None
    pieces: tuple[bytes, ...] = field(default=(), repr=False)
    error: Error | None = None
    stall_at: int | None = None
    silent: bool = False
    wait: float = 0
    every: float = 0


@frozen
class Place:
    """
    An entity at a URL, and how the place misbehaves.  Without a fault it is an honest server: spans, If-Range and conditions are
    answered as RFC 9110 has it.

    @ivar etag: its ETag, with the quotes; C{modified} its Last-Modified.
    @ivar ranges: False: answers the whole to whoever asks for a part.
    @ivar trusting: True: answers a part without comparing validators, as a broken server does.
    @ivar length: False: only its end tells how long the body is.
    @ivar total: tells another total in a 206; C{"*"}: tells none.
    @ivar status: answers this status, 304 or 416, whatever was asked.
    @ivar error: fails C{open} with this error: an instance, or a callable that makes one for each request.
    @ivar silent: no answer comes until L{MemoryFetcher.release}.
    @ivar drop_at: the body breaks after so many bytes of the answer, with C{drop_error} (else C{Truncated}).
    @ivar stall_at: after so many bytes of the answer nothing more comes until L{MemoryFetcher.release}.
    @ivar chunk: bytes in one C{write}.
    @ivar wait: seconds before the answer; C{every}: before each piece.  They need the fetcher's reactor.
    """

    data: bytes = field(default=b"", repr=False)
    etag: bytes | None = b'"1"'
    modified: bytes | None = None
    date: bytes | None = b"Mon, 05 Jan 2026 12:00:00 GMT"
    headers: Pairs = ()
    ranges: bool = field(default=True, kw_only=True)
    trusting: bool = field(default=False, kw_only=True)
    length: bool = field(default=True, kw_only=True)
    total: int | Literal["*"] | None = field(default=None, kw_only=True)
    status: int | None = field(default=None, kw_only=True)
    error: Error | None = field(default=None, kw_only=True)
    silent: bool = field(default=False, kw_only=True)
    drop_at: int | None = field(default=None, kw_only=True)
    drop_error: Error | None = field(default=None, kw_only=True)
    stall_at: int | None = field(default=None, kw_only=True)
    chunk: int = field(default=1024, kw_only=True)
    wait: float = field(default=0, kw_only=True)
    every: float = field(default=0, kw_only=True)

    def but(self, **changes: Any) -> Place:
        """This place with some things changed."""
        return evolve(self, **changes)

    def answer(self, asked: Asked) -> Answer:
        """What this place says to a request."""
        if self.error is not None:
            return Answer(None, error=self.error, silent=self.silent, wait=self.wait)
        status, part = self._status(asked)
        data = {304: b"", 416: b""}.get(status, self.data[part.start : part.stop] if part else self.data)
        length = None if not self.length and status in {200, 206} else len(data)
        head = Head(
            asked.url,
            status,
            self._fields(status, length, part),
            0 if status == 304 else length,
            part if status == 206 else None,
            self._total(status),
        )
        pieces, error = self._pieces(b"" if asked.method == "HEAD" else data), None
        if self.drop_at is not None and asked.method == "GET":
            pieces = self._pieces(data[: self.drop_at])
            error = self.drop_error or Truncated(sum(map(len, pieces)), length, asked.url)
        return Answer(head, pieces, error, self.stall_at, self.silent, self.wait, self.every)

    def _pieces(self, data: bytes) -> tuple[bytes, ...]:
        return tuple(data[at : at + self.chunk] for at in range(0, len(data), self.chunk))

    def _status(self, asked: Asked) -> tuple[int, Span | None]:
        if self.status is not None:
            return self.status, None
        conditions = asked.source.conditions
        if self._unchanged(find(conditions, b"if-none-match"), find(conditions, b"if-modified-since")):
            return 304, None
        if asked.span is None or not self.ranges:
            return 200, None
        if not self.trusting and not self._same(asked):
            return 200, None
        part = asked.span.within(len(self.data))
        return (416, None) if part is None else (206, part)

    def _unchanged(self, none_match: bytes | None, since: bytes | None) -> bool:
        if none_match is not None:
            tags = [tag.strip().removeprefix(b"W/") for tag in none_match.split(b",")]
            return b"*" in tags or (self.etag is not None and self.etag.removeprefix(b"W/") in tags)
        return since is not None and since == self.modified

    def _same(self, asked: Asked) -> bool:
        """If-Range, RFC 9110 section 13.1.5: only a strong validator that is equal byte for byte."""
        wanted = [find(asked.source.conditions, b"if-range")]
        if asked.same_as is not None:
            wanted = [asked.same_as.if_range or b""]
        strong = {each for each in (self.etag, self.modified) if each is not None and not each.startswith(b"W/")}
        return wanted == [None] or wanted[0] in strong

    def _total(self, status: int) -> int | None:
        if status in {206, 416} and self.total is not None:
            return None if self.total == "*" else self.total
        return None if status == 304 or (status == 200 and not self.length) else len(self.data)

    def _fields(self, status: int, length: int | None, part: Span | None) -> Pairs:
        total = self._total(status)
        of = b"*" if total is None else b"%d" % total
        found: dict[bytes, bytes | None] = {
            b"Date": self.date,
            b"ETag": self.etag,
            b"Last-Modified": self.modified,
            b"Accept-Ranges": b"bytes" if self.ranges else None,
            b"Content-Length": None if length is None or status == 304 else b"%d" % length,
        }
        if status == 206 and part is not None and part.stop is not None:
            found[b"Content-Range"] = b"bytes %d-%d/%s" % (part.start, part.stop - 1, of)
        elif status == 416:
            found[b"Content-Range"] = b"bytes */" + of
        return (*((name, value) for name, value in found.items() if value is not None), *self.headers)
