"""The places of one download: read lazily from its mirrors, once; those that dropped out do not come back."""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger
from zope.interface import Attribute

from ..errors import DownloadError, NoPlace, NotFound, RedirectRefused
from ..interfaces import IDownloader, IMirrors
from ..model.expect import Digest
from ..model.remote import Remote
from ..model.source import Source
from ..urls import shown
from .foreign import FAULTS

__all__ = ["Candidates", "IDirect", "lessens"]

MOST = 2000
"""
Places that are read of mirrors; those without an end would never let go of the reactor.  Our own lists name a thousand,
and what comes behind them is asked, too: a file's own URL.
"""

_PROTECTED: Final = ("https", "ftps", "sftp")
_OPEN: Final = ("http", "ftp")

LEFT_OUT: Final = "{url}, and what else is not protected, is no place for {own}: no digest is expected of it"

log = Logger()


def lessens(place: Source, source: Source, remote: Remote) -> bool:
    """
    Is a place that was found left out, since anybody on the way there could change what comes, and nothing would tell?

    @param remote: of sources that have none of their own.
    """
    if not (place.found and source.place.scheme in _PROTECTED and place.place.scheme in _OPEN):
        return False
    known = source.span is None and any(isinstance(each, Digest) and each.enforced for each in source.expect)
    return not known and not (source.remote or remote).allow_downgrade


class IDirect(IDownloader):
    """A Downloader without mirrors, for what has to be looked up."""

    remote: Remote = Attribute("The Remote of sources that have none of their own.")


class Candidates:
    """
    Where one source may be had, best first.

    A place that the mirrors name twice is asked once.  If they fail, the source's own URL is left.

    A list leads from C{https:}, C{ftps:} or C{sftp:} to C{http:} or C{ftp:}, where anybody on the way may change what
    comes, only if a digest of the whole is expected or C{Remote.allow_downgrade} permits it.

    @ivar known: those that have been read and did not drop out.
    @ivar wrong: those that had another file, and are asked again only when no other place is left.
    @ivar failure: why the mirrors could not say more, or None.
    """

    wrong: tuple[Source, ...] = ()
    failure: DownloadError | None = None
    _read = 0
    _found: Any = None  # what the mirrors gave, if it has to be waited for
    _located: Any = None  # the iterator that this is, or has become
    _reading: DeferredLock | None = None  # who waits for an iterator cannot ask it at the same time
    _fault: DownloadError | None = None
    _left_out: Source | None = None  # the first of those that are not protected

    def __init__(self, source: Source, mirrors: IMirrors | None, direct: IDirect) -> None:
        self._source = source
        self._mirrors = mirrors
        self._direct = direct
        self.known = [source] if mirrors is None else []
        self._seen: dict[str, None] = {}
        self._exhausted = mirrors is None

    async def at(self, index: int) -> Source | None:
        """The place of this number among those that are left, or None if there are no more."""
        while self._lacks(index):
            if self._reading is None:
                self._read_at_once()
                continue
            async with self._reading:
                if self._lacks(index):  # and whoever was before did not read it
                    await self._read_on()
        if index < len(self.known):
            return self.known[index]
        if self._fault is not None:
            raise self._fault
        return None

    def _lacks(self, index: int) -> bool:
        return index >= len(self.known) and not self._exhausted and self._fault is None

    def _read_at_once(self) -> None:
        """One more, if there is one; or find that they have to be waited for."""
        try:
            if self._located is None:
                found = self._locate()
                if hasattr(found, "__await__") or hasattr(found, "__aiter__"):
                    self._found, self._reading = found, DeferredLock()
                    return
                self._located = iter(found)
            self._take(next(self._located, None) if self._read < MOST else None)
        except FAULTS as error:
            self._failed(error)

    async def _read_on(self) -> None:
        """One more, if there is one."""
        try:
            self._take(await self._next() if self._read < MOST else None)
        except FAULTS as error:
            self._failed(error)

    def _locate(self) -> Any:
        assert self._mirrors is not None
        return self._mirrors.locate(self._source, self._direct)

    async def _next(self) -> Source | None:
        if self._located is None:
            found, self._found = self._found, None
            if found is None:  # it was cancelled before
                found = self._locate()
            if hasattr(found, "__await__"):
                found = await found
            self._located = aiter(found) if hasattr(found, "__aiter__") else iter(found)
        if hasattr(self._located, "__anext__"):
            return cast("Source | None", await anext(self._located, None))
        return next(self._located, None)

    def _take(self, place: Source | None) -> None:
        self._read += 1
        if place is None:
            self._exhausted = True
        elif place.url not in self._seen:
            self._seen[place.url] = None
            if self._allowed(place):
                self.known.append(place)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, CancelledError):
            raise error
        if not isinstance(error, DownloadError):
            self._fault = DownloadError(f"the mirrors raised {type(error).__name__}", self._source.url)
            self._fault.__cause__ = error
            return
        self.failure, self._exhausted = error, True  # a list that could not be fetched is no reason to have no file
        if self._source.url not in self._seen:
            self.known.append(self._source)

    def _allowed(self, place: Source) -> bool:
        if not lessens(place, self._source, self._direct.remote):
            return True
        if self._left_out is None:
            self._left_out = place
            log.debug(LEFT_OUT, url=shown(place.url), own=shown(self._source.url))
        return False

    def why(self, verdict: DownloadError | None) -> DownloadError:
        """
        Why there is no file.

        @param verdict: what those said who were asked; a list that failed might have told of somebody who has it.
        """
        if self.failure is not None and (verdict is None or isinstance(verdict, NotFound)):
            return self.failure
        return verdict or self._none()

    def _none(self) -> DownloadError:
        """There was no place at all."""
        if self._left_out is None:
            return NoPlace("no mirror knows a place for it")
        return RedirectRefused(
            f"no digest is expected of it, and its mirrors ({self._left_out.place.scheme}:) are not protected as it is;"
            " Remote(allow_downgrade=True) permits it",
            self._source.url,
        )

    async def several(self, place: Source) -> bool:
        """
        Is there another place to go to?  If not yet, there may be when this one has been asked.  If there is one behind
        it, that is known then.
        """
        if await self.at(self._index(place) + 1) is None:
            self.reopen()
        return len(self.known) > 1

    def behind(self, place: Source) -> Source | None:
        """The next place, if it is known."""
        index = self._index(place) + 1
        return self.known[index] if index < len(self.known) else None

    def prefer(self, place: Source, to: Source) -> None:
        """Put this place, which comes behind the other one, before it."""
        del self.known[self._index(place)]
        self.known.insert(self._index(to), place)

    def _index(self, place: Source) -> int:
        return next((index for index, each in enumerate(self.known) if each.url == place.url), -1)

    async def elsewhere(self, hosts: set[str], most: int) -> list[Source]:
        """
        Places of other hosts than these, one of each.

        @param most: how many.
        """
        found: dict[str, Source] = {}
        index = 0
        while len(found) < most and (place := await self.at(index)) is not None:
            index += 1
            if place.place.base not in hosts:
                found.setdefault(place.place.base, place)
        self.reopen()
        return [*found.values()]

    def reopen(self) -> None:
        """All places were read; there may be more of them when others have been asked."""
        self._exhausted = self._mirrors is None or self.failure is not None or self._read >= MOST

    def drop(self, index: int) -> None:
        """Do not ask this place again."""
        del self.known[index]

    def doubt(self, index: int) -> None:
        """This place has another file: do not ask it while there are others."""
        self.wrong = (*self.wrong, self.known.pop(index))

    def again(self) -> bool:
        """For another round: if nobody else is left, those that were wrong may be right.  Is there anybody?"""
        if not self.known:
            self.known, self.wrong = [*self.wrong], ()
        return bool(self.known)

    async def close(self) -> None:
        """Nothing more is wanted of the mirrors."""
        self._exhausted, self._fault = True, None
        try:
            if self._reading is None:
                if hasattr(self._located, "close"):
                    self._located.close()
                return
            async with self._reading:  # nobody does any more, or is about to leave
                located, self._located = self._located, None
                if hasattr(located, "aclose"):
                    await located.aclose()
                elif hasattr(located, "close"):
                    located.close()
        except FAULTS:  # the download has ended, whatever becomes of its mirrors
            log.failure("a mirror list raised when it was closed")
