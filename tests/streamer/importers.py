"""An importer that knows a few paths by heart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from pulp_dl import Downloader, Source
from pulp_dl.interfaces import IDownloader, IImporter, IListing
from pulp_dl.model.entry import Entry

__all__ = ["ByHeart", "Listed"]


@implementer(IImporter)
class ByHeart:
    """
    Paths, and what is there: a source, an exception that C{find} fails with, or a Deferred that it returns.

    @ivar asked: every path that was looked for.
    """

    def __init__(self, downloader: IDownloader, files: dict[str, Any]) -> None:
        self.downloader = downloader
        self.files = files
        self.asked: list[str] = []

    def find(self, path: str) -> Deferred[tuple[IDownloader, Source]]:
        self.asked.append(path)
        found = self.files.get(path, KeyError(path))
        if isinstance(found, Exception):
            return fail(found)
        if isinstance(found, Deferred):
            return found
        return succeed((self.downloader, found))

    def close(self) -> Deferred[None]:
        return self.downloader.close()


@implementer(IListing)
class Listed(ByHeart):
    """One that knows its directories too."""

    def __init__(self, downloader: Downloader, files: dict[str, Any], directories: dict[str, Iterable[Entry]]) -> None:
        super().__init__(downloader, files)
        self._directories = directories

    def list(self, path: str) -> Deferred[Iterable[Entry]]:
        return succeed(self._directories[path]) if path in self._directories else fail(KeyError(path))
