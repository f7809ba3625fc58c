"""What is wanted, and what a server says it has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from ..interfaces import IExpectation
from ..urls import URL, InvalidURL, parse, shown
from .auth import Basic
from .dates import seconds_of
from .headers import Pairs, find, header_pairs
from .numbers import is_whole
from .pem import flag

if TYPE_CHECKING:
    from .remote import Remote

__all__ = ["Head", "Kept", "Source", "Span", "Validators"]


@frozen
class Span:
    """
    A part of a file, half-open: C{Span(0, 10)} is its first ten bytes.

    @ivar start: the first byte; negative, with no C{stop}, for the last C{-start} bytes.
    @ivar stop: one past the last byte, or None for all that follows.
    """

    start: int
    stop: int | None = None

    def __attrs_post_init__(self) -> None:
        for end in (self.start, 0 if self.stop is None else self.stop):
            if not is_whole(end):
                raise TypeError(f"Span: whole numbers are needed, not {end!r}")
        if self.stop is not None and not 0 <= self.start < self.stop:
            raise ValueError(f"Span: {self.start}-{self.stop} holds no byte; start has to be below stop")

    @property
    def range(self) -> bytes:
        """The value of a Range field (RFC 9110 section 14.2)."""
        if self.start < 0:
            return b"bytes=%d" % self.start
        return b"bytes=%d-" % self.start if self.stop is None else b"bytes=%d-%d" % (self.start, self.stop - 1)

    def within(self, total: int) -> Span | None:
        """This span of a file of C{total} bytes, with both ends known; None if it holds no byte of it (416)."""
        start = max(0, total + self.start) if self.start < 0 else self.start
        stop = total if self.stop is None else min(self.stop, total)
        return Span(start, stop) if start < stop else None


@frozen
class Validators:
    """
    What tells whether two answers speak of the same bytes.

    @ivar etag: the ETag field as sent, with its quotes, or None.
    @ivar modified: the Last-Modified field as sent, or None.
    @ivar date: the Date field as sent, or None.
    """

    etag: bytes | None = None
    modified: bytes | None = None
    date: bytes | None = None

    @property
    def if_range(self) -> bytes | None:
        """
        The strong validator to send in If-Range, or None.

        An ETag is strong if it is quoted as it has to be and has no C{W/} before it; where there is one, a date does
        not count (RFC 9110 section 13.1.5).  A date is strong only if it lies 60 s before Date (section 8.8.2.2), so
        that two changes within the resolution of a clock are not taken for one.
        """
        if self.etag is not None:
            return self.etag if _STRONG.fullmatch(self.etag) else None
        if self.modified is None or self.date is None:
            return None
        modified, date = seconds_of(self.modified), seconds_of(self.date)
        strong = modified is not None and date is not None and modified + 60 <= date
        return self.modified if strong else None

    def contradicted_by(self, found: Validators) -> bool:
        """Does an answer tell that it speaks of other bytes?  What it does not tell is no sign."""
        if self.etag is None and found.etag is None:
            return found.modified is not None and found.modified != self.modified
        return found.etag is not None and found.etag != self.etag


_STRONG = re.compile(rb'"[\x21\x23-\x7e\x80-\xff]*"')


@frozen
class Head:
    """
    An answer without its body.

    @ivar url: what answered at last, without userinfo.
    @ivar status: an HTTP status; other protocols synthesise 200, 206, 304 and 416.
    @ivar headers: the fields as they were sent: order, case and doubles kept.
    @ivar length: bytes of this body by its framing, or None if only its end will tell.
    @ivar span: of a 206, which part this is.
    @ivar total: bytes of the whole file, or None if unknown.
    @ivar hints: fields of the redirects that led to this answer, if they tell of other places or of a digest.
    """

    url: str = field(repr=shown)
    status: int
    headers: Pairs = field(default=(), repr=False)
    length: int | None = None
    span: Span | None = None
    total: int | None = None
    hints: Pairs = field(default=(), repr=False)

    def get(self, name: bytes) -> bytes | None:
        """The first field of this name (lower case), or None."""
        return find(self.headers, name)

    @property
    def etag(self) -> bytes | None:
        return self.get(b"etag")

    @property
    def modified(self) -> float | None:
        """Last-Modified in seconds since the epoch, or None."""
        value = self.get(b"last-modified")
        return None if value is None else seconds_of(value)

    @property
    def validators(self) -> Validators:
        return Validators(self.get(b"etag"), self.get(b"last-modified"), self.get(b"date"))

    @property
    def whole(self) -> bool:
        """True if the body is the whole file: not a part (206) and not an answer about it (304, 416)."""
        return self.status not in {206, 304, 416}


@frozen
class Kept:
    """
    Bytes of an earlier run that a consumer still holds.

    @ivar size: how many, from the file's beginning.
    @ivar head: the head they came with.  Of its URL it has a fingerprint only (L{pulp_dl.model.fingerprint}), since a
        URL may hold secrets and a disk is no place for them.
    @ivar pieces: reads them again, in order; called in a worker thread.
    """

    size: int
    head: Head
    pieces: Callable[[], Iterator[bytes]] = field(repr=False, eq=False)


def _expectations(value: Any) -> tuple[IExpectation, ...]:
    if value is None:
        return ()
    if not isinstance(value, tuple):
        value = tuple(value) if isinstance(value, Iterable) and not IExpectation.providedBy(value) else (value,)
    found: tuple[Any, ...] = value
    for each in found:
        if not IExpectation.providedBy(each):
            kind = type(each).__name__
            raise TypeError(f"Source.expect: a {kind} is no expectation; use Digest, Size, Measure or your own")
    return found


def read_url(name: str, value: str) -> URL:
    """A URL given in a field of this name, which a refusal then names."""
    try:
        return parse(value)
    except InvalidURL as error:
        raise InvalidURL(f"{name}: {error}: {shown(value)!r}") from None


def _span(value: Span | tuple[int, int | None] | None) -> Span | None:
    if value is None or isinstance(value, Span):
        return value
    if not isinstance(value, tuple | list) or len(value) not in {1, 2}:
        raise TypeError(f"Source.span: a Span or a pair of start and stop is needed, not {value!r}")
    return Span(*value)


@frozen(eq=False)
class Source:
    """
    A file that is wanted: where it is and what it has to be.

    @ivar url: an absolute URL.  Userinfo is taken out of it into C{auth} at once.
    @ivar expect: one expectation or several (L{Digest}, L{Size}, L{Measure}, your own).
    @ivar headers: request fields for this file only, a mapping or pairs.  They go to the scope alone.
    @ivar span: the part that a client asked for.
    @ivar conditions: If-None-Match, If-Modified-Since and If-Range of a client; sent with the first attempt only.
    @ivar remote: settings for this file; None means the Downloader's own.
    @ivar tag: anything of yours; it comes back in the outcome.
    @ivar scope: a URL whose origin the secrets of the Remote belong to, if C{Remote.url} names none; None means
        C{url}'s own.
    @ivar auth: user and password that stood in the URL; for this URL's origin only.
    @ivar public: no secrets go along, whatever the scope.
    @ivar found: a server chose this URL, not the caller: it stood in a mirror list or in metadata.  It may lead neither
        to C{file:} nor from a public network into a private one (L{Remote.allow_private}).
    @ivar mutable: other files will have this name, as a list of files has that is written again: whoever keeps it has
        to ask each time whether it is still that one.
    """

    url: str = field(repr=shown)
    expect: tuple[IExpectation, ...] = field(default=(), converter=_expectations)
    headers: Pairs = field(default=(), converter=header_pairs, repr=False)
    span: Span | None = field(default=None, converter=_span)
    conditions: Pairs = field(default=(), converter=header_pairs)
    remote: Remote | None = field(default=None, repr=False)
    tag: Any = field(default=None, kw_only=True)
    scope: str | None = field(default=None, kw_only=True, repr=lambda url: "None" if url is None else shown(url))
    auth: Basic | None = field(default=None, kw_only=True, repr=False)
    public: bool = field(default=False, kw_only=True, validator=flag)
    found: bool = field(default=False, kw_only=True, validator=flag)
    mutable: bool = field(default=False, kw_only=True, validator=flag)
    place: URL = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        place = read_url("Source.url", self.url)
        if self.remote is not None:
            self._check_remote()
        if self.scope is not None:
            object.__setattr__(self, "scope", str(read_url("Source.scope", self.scope)))
        if place.user is not None:
            object.__setattr__(self, "auth", Basic(place.user, place.password or ""))
            place = evolve(place, user=None, password=None)
        object.__setattr__(self, "url", str(place))
        object.__setattr__(self, "place", place)

    def _check_remote(self) -> None:
        from .remote import Remote

        if not isinstance(self.remote, Remote):
            raise TypeError(f"Source.remote: {type(self.remote).__name__} is no Remote; use Remote(...), or None")

    @property
    def path(self) -> str:
        """The path and query of the URL as they go on the wire, from their first slash: C{base + source.path}."""
        return self.place.target

    def at(self, url: str, *, found: bool = True) -> Source:
        """
        The same file at another place: without the headers, and with its secrets still bound to where they were.

        @param found: False if the caller names that place, and not a list that came from somewhere.
        """
        return evolve(self, url=url, headers=(), auth=None, scope=self.scope or self.url, found=found)


def as_source(source: Source | str) -> Source:
    """What a caller gave, as a L{Source}."""
    return source if isinstance(source, Source) else Source(source)


HeaderInput = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
