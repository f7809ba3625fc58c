"""What mirrors may do besides, if they can: the engine looks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..interfaces import IMirrors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..interfaces import IExpectation
    from ..model.source import Head, Source

__all__ = ["IVouching"]


class IVouching(IMirrors):
    """Mirrors that can tell, from an answer, what the file has to be."""

    def vouched(source: Source, head: Head) -> Iterable[IExpectation]:
        """
        What this answer of the source's own URL says of the whole file.  Asked once for each download, before a byte
        of it is read; then it is expected of all places.
        """
