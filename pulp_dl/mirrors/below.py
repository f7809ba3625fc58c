"""A file that is below one URL, below others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..model.source import Source
from ..urls import parse

__all__ = ["Below"]


class Below:
    """What is below a URL is also below others: the rest of a file's URL goes behind each of them."""

    def __init__(self, under: str | None, *, original: bool) -> None:
        """
        @param under: the beginning of the URLs that have mirrors; None: scheme, host and port of any URL.
        @param original: ask the source's own URL too, after the others (or where it stands among them).
        @raise InvalidURL: C{under} is no URL.
        """
        self._under = None if under is None else str(parse(under)).rstrip("/")
        self._original = original

    def rest(self, source: Source) -> str | None:
        """What follows the beginning, empty or with a slash before it; None: this file has no mirrors."""
        under = str(source.place).removesuffix(source.place.target) if self._under is None else self._under
        rest = source.url.removeprefix(under)
        return rest if source.url.startswith(under) and (not rest or rest[0] in "/?") else None

    def places(self, source: Source, bases: Iterable[str], *, found: bool = True) -> Iterator[Source]:
        """
        The file at all its places, in this order.

        @param bases: without a slash at their ends.
        @param found: False if the caller named them.
        """
        rest = self.rest(source)
        own = False
        for base in () if rest is None else bases:
            url = f"{base}{rest}"
            own = own or url == source.url
            yield source if url == source.url else source.at(url, found=found)
        if not own and (self._original or rest is None):
            yield source
