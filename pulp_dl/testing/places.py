"""What is at a URL of a L{MemoryFetcher<pulp_dl.testing.MemoryFetcher>}, and how the place misbehaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, field, frozen

from ..errors import DownloadError, Truncated
from ..model.headers import Pairs
from ..model.source import Head, Source, Span, Validators
from .entity import Entity, Reply

__all__ = ["Asked", "Error", "Place", "Verbatim"]

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

    @property
    def fields(self) -> Pairs:
        """What HTTP would send for it: the conditions, Range and If-Range."""
        if self.span is None:
            return self.source.conditions
        wanted = (*self.source.conditions, (b"Range", self.span.range))
        if self.same_as is None:
            return wanted
        # Without a strong validator nothing can be proven, so the whole is asked for.
        strong = self.same_as.if_range
        return self.source.conditions if strong is None else (*wanted, (b"If-Range", strong))


@frozen
class Verbatim:
    """
    What one request gets, word for word.

    @ivar pieces: the body, one C{write} each.
    @ivar error: fails the body after the last piece; with no head, fails C{open}.
    @ivar stall_at: after so many bytes nothing more comes until C{MemoryFetcher.release}.
    @ivar silent: no answer comes until C{MemoryFetcher.release}.
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
class Place(Entity):
    """
    An L{Entity} at a URL, and how the place misbehaves; without a fault it is an honest server: C{Place(b"...")}.

    @ivar length: False: only its end tells how long the body is.
    @ivar status: answers this status, 304 or 416, whatever was asked.
    @ivar error: fails C{open} with this error: an instance, or a callable that makes one for each request.
    @ivar silent: no answer comes until C{MemoryFetcher.release}.
    @ivar drop_at: the body breaks after so many bytes of the answer, with C{drop_error} (else C{Truncated}).
    @ivar stall_at: after so many bytes of the answer nothing more comes until C{MemoryFetcher.release}.
    @ivar chunk: bytes in one C{write}.
    @ivar wait: seconds before the answer; C{every}: before each piece.  They need the fetcher's reactor.
    @ivar unproven: where the body ends, or breaks at C{drop_at}, it does so as over TLS without close_notify: with a
        C{Truncated} that is C{unproven}, if only its end tells how long it is.
    """

    length: bool = True
    status: int | None = None
    error: Error | None = None
    silent: bool = False
    drop_at: int | None = None
    drop_error: Error | None = None
    stall_at: int | None = None
    chunk: int = 1024
    wait: float = 0
    every: float = 0
    unproven: bool = False

    def but(self, **changes: Any) -> Place:
        """This place with some things changed."""
        return evolve(self, **changes)

    def answer(self, asked: Asked) -> Verbatim:
        """What this place says to a request."""
        if self.error is not None:
            return Verbatim(None, error=self.error, silent=self.silent, wait=self.wait)
        reply = self._reply(asked)
        length = None if not self.length and reply.status in {200, 206} else len(reply.body)
        framing = () if length is None or reply.status == 304 else ((b"Content-Length", b"%d" % length),)
        total = None if length is None and reply.status == 200 else reply.total
        head = Head(asked.url, reply.status, (*reply.headers, *framing), length, reply.span, total)
        body, error = b"" if asked.method == "HEAD" else reply.body, None
        if asked.method == "GET":
            body, error = body[: self.drop_at], self._end(len(body[: self.drop_at]), length, asked.url)
        pieces = tuple(body[at : at + self.chunk] for at in range(0, len(body), self.chunk))
        return Verbatim(head, pieces, error, self.stall_at, self.silent, self.wait, self.every)

    def _end(self, size: int, length: int | None, url: str) -> Error | None:
        """What the body breaks with, if it does."""
        unproven = self.unproven and length is None
        if self.drop_at is None and not unproven:
            return None
        return self.drop_error or Truncated(size, length, url, unproven=unproven)

    def _reply(self, asked: Asked) -> Reply:
        if self.status == 416:
            return self.part(None)
        if self.status == 304:
            return self.reply("GET", ((b"If-None-Match", b"*"),))
        return self.reply(asked.method, asked.fields)
