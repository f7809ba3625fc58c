"""What the expectations of a source say before a byte has come: about its size, and how much is at stake."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import TooLarge
from ..interfaces import IExpectation
from ..model.expect import Digest, Size
from ..model.source import Head

__all__ = ["Demands"]


class Demands:
    """
    The demands on one source.

    @ivar judged: a digest of the whole body will tell whether it is right.
    @ivar size: what it has to have, or None.
    """

    __slots__ = ("_max_size", "_part", "_size", "_whole", "judged", "size")

    def __init__(self, expect: Iterable[IExpectation], max_size: int | None) -> None:
        self._max_size = max_size
        self._size: Size | None = None
        self.size: int | None = None
        whole = part = judged = False
        for each in expect:
            if each.enforced:
                whole = True
                part = part or each.partial
                if isinstance(each, Digest):
                    judged = True
                elif isinstance(each, Size):
                    self._size, self.size = each, each.value
        self._whole, self._part, self.judged = whole, part, judged

    def of(self, expect: Iterable[IExpectation]) -> Demands:
        """What these expectations demand, under the same limit."""
        return Demands(expect, self._max_size)

    def enforced(self, head: Head) -> bool:
        """Is anything expected of such a body that it may not fail?"""
        return self._whole if head.whole else self._part

    def compare(self, head: Head) -> None:
        """
        @raise SizeMismatch: it announces another size than is expected of the whole.
        """
        total = head.total if head.total is not None or not head.whole else head.length
        if self._size is not None and head.status != 304 and total is not None:
            self._size.check(total, head.url)

    def judges(self, head: Head) -> bool:
        """Will a digest tell whether such a body is right?  None does of a part."""
        return self.judged and head.whole

    def measure(self, head: Head) -> int | None:
        """
        How many bytes such a body may have at most; None for any number.

        @raise SizeMismatch: it announces another size than is expected.
        @raise TooLarge: it announces more than the limit.
        """
        self.compare(head)
        size = head.length
        if head.span is not None:
            size = None if head.span.stop is None else head.span.stop - head.span.start
        limit = self._max_size
        if limit is not None and size is not None and size > limit:
            raise TooLarge(limit, head.url)
        if size is None and head.whole:
            size = self.size
        return limit if size is None else size

    def announced(self, head: Head) -> int | None:
        """How many bytes such a body has to have, if that is known."""
        if head.whole:
            return head.total if head.total is not None else self.size
        return None if head.span is None or head.span.stop is None else head.span.stop - head.span.start
