"""A small file that says where others are: fetched when it is needed, once for all who wait, and kept for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..consumers.memory import ToMemory
from ..errors import DownloadError, ProtocolError
from ..interfaces import IDownloader
from ..model.remote import Remote
from ..model.report import Report
from ..model.source import Head, Source
from ..urls import shown

__all__ = ["LIMIT", "REFRESH", "Document"]

log = Logger()
T = TypeVar("T")

LIMIT: Final = 5 * 1024 * 1024
"""Bytes; the longest lists of real projects have a tenth of that."""

REFRESH: Final = 3600.0
"""Seconds for which it is taken as it is."""

AGAIN: Final = 60.0
"""Seconds after a failure in which nobody asks again."""


GONE: Final = "no mirrors are known, as {url} could not be had: {error}"
KEPT: Final = "the mirrors known so far are kept, as {url} could not be had: {error}"


class Document(Generic[T]):
    """
    What stands at a URL, read into something.

    However many ask for it at the same time, it is fetched once; who is cancelled leaves the others waiting, and the
    last one to leave ends the look-up.  When it is older than C{refresh} seconds it is fetched again; if that fails,
    what is known holds for longer.
    """

    def __init__(
        self,
        url: str,
        read: Callable[[bytes, Head], T],
        *,
        remote: Remote | None = None,
        limit: int = LIMIT,
        refresh: float = REFRESH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param read: makes something of its bytes, or raises C{ValueError}: this is no such document.
        @param remote: the settings to fetch it with; None: those of the Downloader that needs it.
        @param limit: bytes that it may have.
        @raise InvalidURL: this is no URL.
        """
        self._source = Source(url, remote=remote)
        self._read = read
        self._limit = limit
        self._refresh = refresh
        self._clock = clock
        self._known: tuple[T] | None = None
        self._etag: bytes | None = None
        self._failed: DownloadError | None = None
        self._asked = self._due = 0.0  # when somebody has asked, and when somebody has to ask again
        self._waiting: dict[Deferred[T], tuple[IDownloader, str]] = {}
        self._running: Deferred[Any] | None = None

    @property
    def url(self) -> str:
        """Fit to be printed."""
        return shown(self._source.url)

    @property
    def known(self) -> T | None:
        """What was read last, however old."""
        return None if self._known is None else self._known[0]

    def get(self, direct: IDownloader, scope: str, within: float | None = None) -> Deferred[T]:
        """
        Fires with what stands there; fails with a L{DownloadError} if it cannot be had and never could.  Cancelling
        only stops waiting.

        @param scope: a URL; the secrets of the Downloader's Remote are shown to its origin alone.
        @param within: seconds for which it may be taken as it is, if that is less than usual.
        """
        if self._clock() < (self._due if within is None else min(self._due, self._asked + within)):
            if self._known is not None:
                return succeed(self._known[0])
            if self._failed is not None:
                return fail(self._failed.with_traceback(None))  # or it would grow with each who is told
        waiting: Deferred[T] = Deferred(self._leave)
        self._waiting[waiting] = direct, scope
        if self._running is None:
            self._ask()
        return waiting

    def _ask(self) -> None:
        direct, scope = next(iter(self._waiting.values()))
        body = ToMemory(self._limit)
        same = () if self._known is None or self._etag is None else ((b"If-None-Match", self._etag),)
        source = Source(
            self._source.url, conditions=same, remote=self._source.remote, auth=self._source.auth, scope=scope
        )
        running = self._running = direct.download(source, body)
        running.addCallback(self._came, body)
        running.addBoth(self._ended, running, direct)

    def _leave(self, waiting: Deferred[T]) -> None:
        self._waiting.pop(waiting, None)
        if not self._waiting and self._running is not None:
            # Whoever comes before it has ended begins another one.
            running, self._running = self._running, None
            running.cancel()

    def _came(self, report: Report, body: ToMemory) -> None:
        if report.head.status != 304 or self._known is None:
            try:
                self._known = (self._read(body.data, report.head),)
            except ValueError as error:
                raise ProtocolError(f"this is no list of mirrors: {error}", self._source.url) from error
            self._etag = report.head.etag
        self._asked = self._clock()
        self._failed, self._due = None, self._asked + self._refresh

    def _ended(self, result: object, running: Deferred[Any], direct: IDownloader) -> None:
        if self._running is not running:
            return  # everybody has left
        self._running = None
        failure = result if isinstance(result, Failure) else None
        if failure is not None and failure.check(CancelledError):
            # The Downloader that looked it up has been closed; those of others look for themselves.
            for waiting, (whose, _) in tuple(self._waiting.items()):
                if whose is direct and self._waiting.pop(waiting, None) is not None:
                    waiting.errback(CancelledError())
            if self._waiting and self._running is None:
                self._ask()
            return
        if failure is not None:
            self._put_off(failure)
        waiting_for, self._waiting = self._waiting, {}
        for waiting in waiting_for:
            if waiting.called:
                continue  # one who was told before has sent it away
            if self._known is not None:
                waiting.callback(self._known[0])
            else:
                waiting.errback(failure)

    def _put_off(self, failure: Failure) -> None:
        """It could not be had: nobody asks again for a while, so that a list that is gone costs one look-up."""
        error = failure.value
        if not isinstance(error, DownloadError):
            error = DownloadError(f"the look-up raised {type(error).__name__}", self._source.url)
            error.__cause__ = failure.value
        self._asked = self._clock()
        self._due = self._asked + min(AGAIN, self._refresh)
        if self._known is None:
            self._failed = error
        log.warn(GONE if self._known is None else KEPT, url=self.url, error=error)  # noqa: G010  # twisted.logger
