"""A fixed sequence of places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zope.interface import implementer

from ..interfaces import IDownloader, IMirrors
from ..model.report import Attempt
from ..model.source import Source
from ..urls import parse
from .below import Below

__all__ = ["Places"]


@implementer(IMirrors)
class Places:
    """
    The same files under other URLs, in this order.

    C{Places(["http://a/pub", "http://b/mirror/pub"], under="http://origin/pub")} finds C{http://origin/pub/x/y} also at
    C{http://a/pub/x/y} and C{http://b/mirror/pub/x/y}.  For one file, give its whole URLs, and its own as C{under}.
    """

    def __init__(self, bases: Iterable[str], *, under: str | None = None, original: bool = True) -> None:
        """
        @param bases: URLs that take the place of C{under}.
        @param under: the beginning of the URLs that have mirrors; None: scheme, host and port of any URL.
        @param original: ask the source's own URL too, after the others (or where it stands among them).
        @raise InvalidURL: a base is no URL.
        """
        if isinstance(bases, str | bytes):
            raise TypeError("bases: one text is given where several URLs are meant; give them as a list")
        self._bases = tuple(str(parse(base)).rstrip("/") for base in bases)
        self._below = Below(under, original=original)

    def locate(self, source: Source, direct: IDownloader) -> Iterator[Source]:
        return self._below.places(source, self._bases, found=False)

    def record(self, attempt: Attempt) -> None:
        """A fixed sequence learns nothing."""
