"""Digests of the pieces of a file: where is it wrong?"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from attrs import field, frozen
from zope.interface import implementer

from ..errors import DigestMismatch
from ..interfaces import ICheck, IExpectation
from .expect import Digest, Hashing
from .numbers import is_whole
from .source import Span

__all__ = ["Pieces", "Piecewise"]


def _length(_instance: object, _attribute: object, value: Any) -> None:
    if not is_whole(value) or value < 1:
        raise ValueError(f"Pieces.length: a piece has 1 byte or more, not {value!r}")


def _tuple(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@implementer(IExpectation)
@frozen
class Pieces:
    """
    Digests of the pieces of a file, besides that of the whole: they are looked at only when that is wrong, and tell
    what of the file has to be fetched again.

    @ivar length: of each piece in bytes; the last one may be shorter.
    @ivar digests: in hexadecimal, in order.
    """

    algorithm: str
    length: int = field(validator=_length)
    digests: tuple[str, ...] = field(converter=_tuple, repr=lambda digests: f"<{len(digests)}>")
    enforced: ClassVar[bool] = False
    partial: ClassVar[bool] = False

    def __attrs_post_init__(self) -> None:
        known = [Digest(self.algorithm, each) for each in self.digests]
        object.__setattr__(self, "digests", tuple(each.value for each in known))
        object.__setattr__(self, "algorithm", known[0].algorithm if known else self.algorithm)

    def start(self) -> ICheck:
        return _Unread()

    def fits(self, total: int) -> bool:
        """Are there as many as a file of this size has?"""
        return len(self.digests) == -(-total // self.length)

    def spans(self, wrong: list[int], total: int) -> list[Span]:
        """
        Where these pieces are, those that follow each other in one.

        @param wrong: their numbers from 0, in order.
        """
        spans: list[Span] = []
        for number in wrong:
            start, stop = number * self.length, min(total, (number + 1) * self.length)
            if spans and spans[-1].stop == start:
                start = spans.pop().start
            spans.append(Span(start, stop))
        return spans

    def within(self, span: Span) -> Some:
        """What a part of the file has to be, that begins and ends with pieces."""
        stop = None if span.stop is None else -(-span.stop // self.length)
        return Some(self.algorithm, self.length, self.digests[span.start // self.length : stop])


@implementer(ICheck)
class _Unread:
    """Looks at nothing."""

    def update(self, data: bytes) -> None:
        pass

    def verify(self) -> Mapping[str, object]:
        return {}


@frozen
class Some(Pieces):
    """Some pieces that follow each other, each of which has to be right."""

    enforced: ClassVar[bool] = True
    partial: ClassVar[bool] = True

    def start(self) -> Piecewise:
        return Piecewise(self)


@implementer(ICheck)
class Piecewise:
    """
    Looks at pieces one after the other.

    @ivar wrong: the numbers, from 0, of those that were seen to their end and are not what they should be.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._number = self._seen = 0
        self._hash = Hashing(pieces.algorithm, None)
        self._first = ""  # what the first of them is instead
        self.wrong: list[int] = []

    def update(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            known = data[at : at + self._pieces.length - self._seen]
            at += len(known)
            self._hash.update(known)
            self._seen += len(known)
            if self._seen == self._pieces.length:
                self.end()

    def end(self) -> None:
        """The piece is at its end, the last one before it has its length."""
        if not self._seen:
            return
        digests, found = self._pieces.digests, self._hash.so_far().hex()
        if self._number >= len(digests) or not hmac.compare_digest(found, digests[self._number]):
            self._first = self._first or found
            self.wrong.append(self._number)
        self._number, self._seen = self._number + 1, 0
        self._hash = Hashing(self._pieces.algorithm, None)

    def verify(self) -> Mapping[str, object]:
        self.end()
        if self.wrong:
            what, digests, first = f"{self._pieces.algorithm} of a piece", self._pieces.digests, self.wrong[0]
            raise DigestMismatch(what, digests[first] if first < len(digests) else "no such piece", self._first)
        return {}
