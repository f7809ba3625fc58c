"""Mirrors that a metalink names, and what it says that a file has to be."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Final
from urllib.parse import quote

from attrs import evolve
from twisted.logger import Logger
from zope.interface import implementer

from ..interfaces import IDownloader, IMirrors
from ..model.expect import Digest, Size
from ..model.remote import Remote
from ..model.report import Attempt
from ..model.source import Head, Source
from ..urls import shown
from .below import Below
from .described import Described, Description
from .document import REFRESH, Document
from .list import SCHEMES
from .metalink_xml import read_metalink

__all__ = ["Metalink"]

log = Logger()

LIMIT: Final = 1024 * 1024
"""Bytes: read in about 50 ms.  Who has a larger one, with the digests of many pieces, says so."""

LEFT_OUT: Final = "URL {number} of the metalink {url} is left out: {reason}"


@implementer(IMirrors)
class Metalink:
    """
    Mirrors that are named in a metalink (RFC 5854, or version 3), which is fetched when it is first needed, and again
    when it is old.

    With C{describes}, the metalink is about one file of a repository, as MirrorManager's is about
    C{repodata/repomd.xml}; then all files of the repository are where that one is.  Without it, the files that it names
    have its places, and others have none.

    C{await metalink.wanted(source, direct)} adds what it says of a file's size and digest; a mirror can then give
    nothing else.
    """

    def __init__(
        self,
        url: str,
        *,
        under: str | None = None,
        describes: str | None = None,
        original: bool = True,
        country: str | None = None,
        schemes: Collection[str] = SCHEMES,
        remote: Remote | None = None,
        limit: int = LIMIT,
        refresh: float = REFRESH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param under: the URL of the repository; None: scheme, host and port of any URL.
        @param describes: the path below it of the file that the metalink is about.
        @param original: ask the source's own URL too, after the others (or where it stands among them).
        @param country: places of this country (ISO 3166-1) come first.
        @param schemes: protocols that a place may have; others are skipped.
        @param remote: the settings to fetch it with; None: those of the Downloader.  The secrets of a Downloader's
            Remote are not shown to its host, unless it is theirs.
        @param limit: bytes that it may have.
        @param refresh: seconds after which it is fetched again.
        @raise InvalidURL: this is no URL.
        """
        self._schemes = tuple(schemes)
        self._country = None if country is None else country.lower()
        self._original = original
        self._below = Below(under, original=original)
        self._path = None if describes is None else describes.strip("/")
        self._document = Document(url, self._read, remote=remote, limit=limit, refresh=refresh, clock=clock)

    @property
    def url(self) -> str:
        """Of the metalink, fit to be printed."""
        return self._document.url

    async def locate(self, source: Source, direct: IDownloader) -> Iterator[Source]:
        if self._path is not None and self._below.rest(source) is None:
            return iter((source,))
        description = await self._document.get(direct, source.scope or source.url)
        described = self._described(description, source)
        urls = [] if described is None else self._ordered(described)
        if self._path is None:
            return self._whole(source, urls, known=described is not None)
        end = "/" + quote(self._path)
        return self._below.places(source, [url.removesuffix(end) for url in urls if url.endswith(end)])

    async def wanted(self, source: Source, direct: IDownloader) -> Source:
        """
        The same source, with what the metalink says that it has to be.

        @param direct: any downloader.
        @raise DownloadError: the metalink cannot be had.
        @raise LookupError: it says nothing of this file.
        """
        description = await self._document.get(direct, source.scope or source.url)
        described = self._described(description, source)
        if described is None or (self._path is not None and self._below.rest(source) != "/" + quote(self._path)):
            raise LookupError(f"the metalink {self.url} says nothing of {shown(source.url)}")
        known = {type(each) for each in source.expect if isinstance(each, Digest | Size) and each.enforced}
        added = [each for each in described.expect if not (type(each) is Size and Size in known)]
        return evolve(source, expect=(*source.expect, *added))

    def record(self, attempt: Attempt) -> None:
        """The order is the metalink's."""

    def _described(self, description: Description, source: Source) -> Described | None:
        if self._path is not None:
            return description.find(self._path) or (description.files[0] if len(description.files) == 1 else None)
        return description.find(source.place.path.rpartition("/")[2])

    def _ordered(self, described: Described) -> list[str]:
        locations = described.locations
        if self._country is not None:
            locations = tuple(sorted(locations, key=lambda each: each.country != self._country))
        return [each.url for each in locations]

    def _whole(self, source: Source, urls: list[str], *, known: bool) -> Iterator[Source]:
        """A file that has whole URLs."""
        for url in urls:
            yield source if url == source.url else source.at(url)
        if source.url not in urls and (self._original or not known):
            yield source

    def _read(self, data: bytes, head: Head) -> Description:
        description = read_metalink(data, self._schemes)
        for each in description.skipped[:10]:
            log.warn(LEFT_OUT, number=each.number, url=shown(head.url), reason=each.reason)  # noqa: G010
        return description
