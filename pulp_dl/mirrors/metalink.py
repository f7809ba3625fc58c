"""Mirrors that a metalink names, and what it says that a file has to be."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from attrs import evolve, frozen
from twisted.logger import Logger
from zope.interface import implementer

from ..interfaces import IDownloader, IExpectation
from ..model.expect import Size
from ..model.mirrors import MirrorsSettings, country_code
from ..model.remote import Remote
from ..model.report import Attempt
from ..model.source import Head, Source
from ..urls import shown
from .below import Below
from .described import Described, Description, Location, nearest
from .document import REFRESH, Document
from .interfaces import IVouching
from .list import SCHEMES, Skipped, substitute, with_country
from .metalink_xml import PLACES, read_metalink

__all__ = ["Metalink", "metalink_of"]

log = Logger()

LIMIT: Final = 1024 * 1024
"""Bytes: read in about 50 ms.  Who has a larger one, with the digests of many pieces, says so."""

MIRRORMANAGER: Final = {"repomd.xml": "repodata/repomd.xml"}
"""Where in a repository the files are that it names without their folder."""

USUAL: Final = "rsync:"
"""The protocol for mirrors among themselves.  Nearly every metalink has some, and nobody has to be told."""

LEFT_OUT: Final = "URL {number} of the metalink {url} is left out: {reason}"


NOW: Final = 60.0
"""Seconds for which it is taken as it is where it says what a file has to be: mirrors get new versions at any time."""


@frozen
class _Known:
    """
    What a metalink says.

    @ivar described: the files that it is about, by the way to them from the URL of the repository.
    @ivar bases: where the repository is, the best first.
    """

    description: Description
    described: Mapping[tuple[str, ...], Described]
    bases: tuple[str, ...]


@implementer(IVouching)
class Metalink:
    """
    Mirrors that are named in a metalink (RFC 5854, or version 3), which is fetched when it is first needed, and again
    when it is old.

    That of a repository is about a file of it, as MirrorManager's is about C{repodata/repomd.xml}; all files of the
    repository are where that one is.  Of any other metalink the files that it names have its places, and others have
    none.

    A file that it is about has to be what it says, wherever it comes from; others are not touched by that.
    C{await metalink.wanted(source, direct)} tells it before anything is asked for.

    @ivar skipped: places that were left out.
    """

    def __init__(
        self,
        url: str,
        *,
        under: str | None = None,
        repository: bool = False,
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
        @param repository: it is the metalink of a repository.
        @param describes: then, the path in the repository of the file that it is about; None: its name in the metalink,
            behind C{repodata/} if that is C{repomd.xml}, as MirrorManager has it.
        @param original: ask the source's own URL too, after the others (or where it stands among them).
        @param country: places of this country (ISO 3166-1) come first, in the order of their priorities; then others.
        @param schemes: protocols that a place may have; others are skipped.
        @param remote: the settings to fetch it with; None: those of the Downloader.  The secrets of a Downloader's
            Remote are not shown to its host, unless it is theirs.
        @param limit: bytes that it may have.
        @param refresh: seconds after which it is fetched again; a minute, at most, for a file that it is about.
        @raise InvalidURL: this is no URL.
        @raise ValueError: this is no country.
        """
        self._schemes = tuple(schemes)
        self._country = country_code(country)
        self._original = original
        self._below = Below(under, original=original)
        self._repository = repository or describes is not None
        self._path = None if describes is None else describes.strip("/")
        self._document = Document(url, self._read, remote=remote, limit=limit, refresh=refresh, clock=clock)
        self.skipped: tuple[Skipped, ...] = ()

    @property
    def url(self) -> str:
        """Of the metalink, fit to be printed."""
        return self._document.url

    @property
    def locations(self) -> tuple[Location, ...]:
        """All places that it names, as far as it is known yet."""
        known = self._document.known
        return () if known is None else tuple(place for each in known.description.files for place in each.locations)

    async def locate(self, source: Source, direct: IDownloader) -> Iterator[Source]:
        if self._repository and self._below.rest(source) is None:
            return iter((source,))
        known, described = await self._look(source, direct)
        if self._repository:
            return self._below.places(source, known.bases)
        return self._whole(source, described)

    async def wanted(self, source: Source, direct: IDownloader) -> Source:
        """
        The same source, with what the metalink says that it has to be.

        @param direct: any downloader.
        @raise DownloadError: the metalink cannot be had.
        @raise LookupError: it says nothing of this file.
        """
        _, described = await self._look(source, direct)
        if described is None:
            raise LookupError(f"the metalink {self.url} says nothing of {shown(source.url)}")
        return evolve(source, expect=(*source.expect, *_more(described, source)))

    def vouched(self, source: Source, place: Source, head: Head) -> tuple[IExpectation, ...]:
        known = self._document.known
        described = None if known is None else self._described(known, source)
        return () if described is None else _more(described, source)

    def record(self, attempt: Attempt) -> None:
        """The order is the metalink's."""

    async def _look(self, source: Source, direct: IDownloader) -> tuple[_Known, Described | None]:
        """What is known, and what of this file."""
        scope = source.scope or source.url
        known = await self._document.get(direct, scope)
        described = self._described(known, source)
        if described is not None:
            known = await self._document.get(direct, scope, NOW)
            described = self._described(known, source)
        return known, described

    def _described(self, known: _Known, source: Source) -> Described | None:
        if self._repository:
            return known.described.get(_way((self._below.rest(source) or "").removeprefix("/")))
        return known.description.find(source.place.path)

    def _ordered(self, described: Described) -> list[str]:
        return [each.url for each in nearest(described.locations, self._country)]

    def _whole(self, source: Source, described: Described | None) -> Iterator[Source]:
        """A file that has whole URLs."""
        urls = [] if described is None else self._ordered(described)
        for url in urls:
            yield source if url == source.url else source.at(url)
        if source.url not in urls and (self._original or described is None):
            yield source

    def _read(self, data: bytes, head: Head) -> _Known:
        description = read_metalink(data, self._schemes)
        told, self.skipped = {each.reason for each in self.skipped}, description.skipped
        new = [each for each in description.skipped if each.reason not in told]
        for each in [each for each in new if not each.reason.startswith(USUAL)][:10]:
            log.warn(LEFT_OUT, number=each.number, url=shown(head.url), reason=each.reason)  # noqa: G010
        for each in [each for each in new if each.reason.startswith(USUAL)][:1]:
            log.debug(LEFT_OUT, number=each.number, url=shown(head.url), reason=each.reason)
        described = self._in_repository(description) if self._repository else {}
        bases = (_base(url, way) for way, each in described.items() for url in self._ordered(each))
        return _Known(description, described, tuple(islice(dict.fromkeys(filter(None, bases)), PLACES)))

    def _in_repository(self, description: Description) -> dict[tuple[str, ...], Described]:
        files = description.files
        if self._path is None:
            return {tuple(MIRRORMANAGER.get(each.name, each.name).split("/")): each for each in files}
        found = description.find(self._path) or (files[0] if len(files) == 1 else None)
        return {} if found is None else {tuple(self._path.split("/")): found}


def metalink_of(settings: MirrorsSettings) -> Metalink:
    """
    The kind that is called C{metalink}: that of a repository, if it is known where that is.  A path names a file.
    """
    where = substitute(settings.url(), with_country(settings.variables, settings.country))
    url = where if "://" in where else Path(where).absolute().as_uri()
    return Metalink(url, under=settings.under, repository=settings.under is not None, country=settings.country)


def _way(path: str) -> tuple[str, ...]:
    """
    The names in a part of a URL.  One name has many spellings there (C{c++}, C{c%2B%2B}); and a slash that is encoded
    belongs to a name.
    """
    return () if "?" in path else tuple(unquote(each, errors="surrogateescape") for each in path.split("/"))


def _base(url: str, way: tuple[str, ...]) -> str | None:
    """What stands before the way to a file, without a slash at its end; None: the URL ends in another way."""
    base, *last = url.rsplit("/", len(way))
    return base if "://" in base and _way("/".join(last)) == way else None


def _more(described: Described, source: Source) -> tuple[IExpectation, ...]:
    """What it has to be, as far as that is not expected already."""
    sized = any(isinstance(each, Size) and each.enforced for each in source.expect)
    return tuple(each for each in described.expect if each not in source.expect and not (sized and type(each) is Size))
