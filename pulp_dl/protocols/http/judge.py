"""What an answer means: a file, a part of one, an answer about one, or an error."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from ...errors import AuthFailed, BadStatus, DownloadError, NotFound, ProtocolError, Unavailable
from ...model.dates import seconds_of
from ...model.headers import Pairs, find
from ...model.source import Head, Span

__all__ = ["PHRASES", "announced", "judge", "make_head", "retry_after"]

_CONTENT_RANGE: Final = re.compile(rb"bytes +([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_UNSATISFIED: Final = re.compile(rb"bytes +\*/([0-9]{1,18})", re.IGNORECASE)
_NUMBER: Final = re.compile(rb"[0-9]{1,18}")
PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
"""What is usually said beside a status."""


def make_head(url: str, status: int, pairs: Pairs, length: int | None) -> Head:
    """
    The head of an answer.

    @param length: bytes of its body; for a HEAD, of the body that would come (L{announced}).
    @raise ProtocolError: it is a part that does not say which.
    """
    if status == 206:
        span, total = _content_range(url, pairs, length)
        return Head(url, status, pairs, length, span, total)
    if status == 416:
        match = _UNSATISFIED.fullmatch(_only(url, pairs, b"content-range") or b"")
        return Head(url, status, pairs, length, total=int(match[1]) if match else None)
    if status == 304:
        return Head(url, status, pairs, 0)
    return Head(url, status, pairs, length, total=length)


def announced(pairs: Pairs) -> int | None:
    """The length that a HEAD tells of the body that a GET would bring."""
    value = find(pairs, b"content-length")
    return int(value) if value is not None and _NUMBER.fullmatch(value) else None


def judge(head: Head, span: Span | None, *, conditions: bool, now: float) -> None:
    """
    Is this an answer to what was asked?

    @param span: what was asked for with Range.
    @param conditions: was there an If-None-Match or If-Modified-Since?
    @param now: seconds since the epoch, for a Retry-After that is a date.
    @raise DownloadError: it is not; which kind says whether another try may help.
    """
    status = head.status
    if status in {200, 203}:
        return
    if status == 206:
        _check_part(head, span)
    elif status == 304:
        if not conditions:
            raise ProtocolError("the server answered 304 (Not Modified), but no condition was sent", head.url)
    elif status == 416:
        if span is None:
            raise ProtocolError("the server answered 416 (Range Not Satisfiable), but no range was asked for", head.url)
    else:
        raise _error(head, now)


def _error(head: Head, now: float) -> DownloadError:
    status, url = head.status, head.url
    reason = PHRASES.get(status, "")
    if status in {404, 410}:
        return NotFound(status, reason, url)
    if status in {401, 403, 407}:
        return AuthFailed(status, reason, url)
    if status in {408, 425, 429} or status >= 500:
        return Unavailable(status, reason, url, retry_after(head.headers, now))
    if 200 <= status < 300:
        return BadStatus(status, f"{reason}: an answer that brings no file".lstrip(": "), url)
    return BadStatus(status, reason, url)


def retry_after(pairs: Pairs, now: float) -> float | None:
    """Seconds that the server asks to be left alone, 0 or more; None if it does not ask, or in no way that is one."""
    value = find(pairs, b"retry-after")
    if value is None:
        return None
    if _NUMBER.fullmatch(value):
        return float(value)
    moment = seconds_of(value)
    if moment is None:
        return None
    # By the server's own clock, if it tells it: ours may be wrong.
    date = seconds_of(find(pairs, b"date") or b"")
    return max(0.0, moment - (now if date is None else date))


def _content_range(url: str, pairs: Pairs, length: int | None) -> tuple[Span, int | None]:
    value = _only(url, pairs, b"content-range")
    match = _CONTENT_RANGE.fullmatch(value or b"")
    if match is None:
        # Also multipart/byteranges, which we never ask for: it has no Content-Range of its own.
        raise ProtocolError("a part (206) without a Content-Range in bytes", url)
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == b"*" else int(match[3])
    if last < first or (total is not None and last >= total):
        raise ProtocolError(f"a part (206) that cannot be: {first}-{last} of {total}", url)
    if length is not None and length != last - first + 1:
        raise ProtocolError(f"a part (206) from {first} to {last} with {length} bytes", url)
    return Span(first, last + 1), total


def _only(url: str, pairs: Pairs, name: bytes) -> bytes | None:
    values = {value.strip() for key, value in pairs if key.lower() == name}
    if len(values) > 1:
        raise ProtocolError(f"several different {name.decode('ascii')} fields", url)
    return values.pop() if values else None


def _check_part(head: Head, asked: Span | None) -> None:
    part = head.span
    assert part is not None
    assert part.stop is not None
    if asked is None:
        raise ProtocolError("the server answered with a part (206), but the whole was asked for", head.url)
    start, stop = asked.start, asked.stop
    if start < 0:  # the last bytes: where they begin follows from the total
        wanted = None if head.total is None else asked.within(head.total)
        start, stop = (-1, None) if wanted is None else (wanted.start, wanted.stop)
    if part.start != start or (stop is not None and part.stop > stop):
        raise ProtocolError(
            f"the server answered with another part than was asked for: {part.start}-{part.stop - 1}"
            f" of {head.total}, not {asked.range.decode('ascii')}",
            head.url,
        )
