"""A fixed sequence of places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zope.interface import implementer

from ..interfaces import IDownloader, IMirrors
from ..model.report import Attempt
from ..model.source import Source
from ..urls import parse

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
        self._bases = tuple(str(parse(base)).rstrip("/") for base in bases)
        self._under = None if under is None else str(parse(under)).rstrip("/")
        self._original = original

    def locate(self, source: Source, direct: IDownloader) -> Iterator[Source]:
        under = str(source.place).removesuffix(source.place.target) if self._under is None else self._under
        rest = source.url.removeprefix(under)
        mirrored = source.url.startswith(under) and (not rest or rest[0] in "/?")
        own = False
        for base in self._bases if mirrored else ():
            url = base + rest
            own = own or url == source.url
            yield source if url == source.url else source.at(url, found=False)
        if not own and (self._original or not mirrored):
            yield source

    def record(self, attempt: Attempt) -> None:
        """A fixed sequence learns nothing."""
