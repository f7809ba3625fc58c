"""What may be put together (promise 3): the rest of a file, and the proof that it is the rest of this one."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import NotResumable
from ..model.fingerprint import fingerprint
from ..model.source import Head, Source, Span, Validators

__all__ = ["Ask", "prove", "prove_again", "rest_of", "same_place"]


class Ask(NamedTuple):
    """What to ask a place for; C{continues} if it is the rest of what has come already."""

    span: Span | None
    same_as: Validators | None
    continues: bool


def rest_of(head: Head, there: int) -> Span | None:
    """What is left of the body of C{head} behind so many bytes; None: nothing of a part that has all come."""
    if head.span is None:
        return Span(there)
    start, stop = head.span.start + there, head.span.stop
    return Span(start, stop) if stop is None or start < stop else None


def prove(first: Head, head: Head, place: Source, ask: Ask, *, bounded: bool, judged: bool) -> None:
    """
    Does the body of C{head} go on where that of C{first} broke off?

    @param bounded: something tells where the file ends, though no head should.
    @param judged: a digest of the whole will tell.
    @raise NotResumable: that is not proven.
    """
    if head.status != 206 or head.span is None:
        raise NotResumable(f"the server answered {head.status} to a request for the rest", place.url)
    if head.total != first.total and (ask.same_as is None or None not in {head.total, first.total}):
        raise NotResumable(f"the file has {head.total} bytes here, it had {first.total}", place.url)
    if head.total is None and first.total is None and first.whole and not bounded:
        raise NotResumable("nobody tells where the file ends", place.url)
    if ask.same_as is not None and ask.same_as.contradicted_by(head.validators):
        raise NotResumable("the file changed between two answers", place.url)
    if not judged and not same_place(first, head):
        raise NotResumable("the rest came from another place", head.url)
    if ask.same_as is not None and ask.same_as.etag is not None and head.etag is None and not judged:
        # RFC 9110 section 15.3.7 wants it in a 206; without it the server may not have looked at If-Range.
        raise NotResumable("the rest came without the ETag that would prove it", place.url)


def same_place(one: Head, other: Head) -> bool:
    """
    Did these come from one place?  It may have been asked under a name that leads to several.  A signature may
    change; the rest of a query may say which file is meant.
    """
    return fingerprint(one.url) == fingerprint(other.url)


def prove_again(first: Head | None, head: Head, given: int) -> Head:
    """
    May a body that begins at its beginning go on in a consumer that has a head already, and cannot forget it?

    Returns C{first}, the head that it was given.

    @param given: the bytes that it was given; they will be looked for in the body.
    @raise NotResumable: it may not.
    """
    if first is not None and not given and _alike(first, head):
        return first
    if first is None or not first.whole or not head.whole:
        raise NotResumable("a part of a file cannot be joined without a strong validator", head.url)
    if head.total is not None and first.total is not None and head.total != first.total:
        raise NotResumable(f"the file has {head.total} bytes here, it had {first.total}", head.url)
    return first


def _alike(one: Head, other: Head) -> bool:
    """Are these certainly heads of the same bytes?"""
    strong = one.validators.if_range
    same = (one.span, one.total) == (other.span, other.total)
    return same and strong is not None and strong == other.validators.if_range
