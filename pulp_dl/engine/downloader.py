"""The Downloader: what importers and streamers hold."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail
from zope.interface import implementer

from ..consumers.around import Counted, IProgress
from ..consumers.interfaces import IRandomAccess
from ..flow.claims import no_consumer
from ..flow.outlet import refuse
from ..flow.running import Running
from ..interfaces import IBodyConsumer, IDownloader, IMirrors, IScheme
from ..model.numbers import is_whole
from ..model.pieces import Pieces
from ..model.remote import Remote
from ..model.report import Report
from ..model.source import Head, Source, as_source
from .download import Download
from .heading import Heading
from .many import Item, Many
from .places import IDirect
from .random_access import RandomAccess
from .shared import Shared
from .task import Task

__all__ = ["Direct", "Downloader"]


@implementer(IDirect)
class Direct:
    """A Downloader without its mirrors and its progress: what is fetched by the way is no file of a caller."""

    def __init__(self, downloader: Downloader) -> None:
        self._downloader = downloader
        self.remote = downloader._remote

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        return self._downloader._running.add(self._downloader._bring(as_source(source), consumer, None))

    def head(self, source: Source | str) -> Deferred[Head]:
        return self._downloader._head(source, None)

    def close(self) -> Deferred[None]:
        return self._downloader.close()


@implementer(IDownloader)
class Downloader:
    """
    Brings files to consumers, over connections that all its downloads share.

    Use it as C{async with Downloader(reactor, remote) as downloader:}; leaving the block is C{close()}.
    """

    def __init__(
        self,
        reactor: Any,
        remote: Remote | None = None,
        *,
        mirrors: IMirrors | None = None,
        schemes: Iterable[IScheme] | None = None,
        progress: IProgress | None = None,
    ) -> None:
        """
        @param remote: settings; those of C{Remote.limits} hold for this Downloader as a whole.
        @param mirrors: where else files may be had.
        @param schemes: protocols to use instead of those that are installed.
        @param progress: told of every download's bytes, but not of lists and tokens that are fetched by the way.
        """
        if remote is not None and not isinstance(remote, Remote):
            raise TypeError(f"remote: {type(remote).__name__} is no Remote; use Remote(...), or None")
        self._remote = remote or Remote()
        self._mirrors = mirrors
        self._progress = progress
        self._reactor = reactor
        self._shared = Shared(reactor, self._remote, schemes)
        self._shared.direct = Direct(self)
        self._running = Running()
        self._many: set[Many] = set()
        self._closing: list[Deferred[None]] | None = None
        self._closed = False

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        return self._download(source, consumer, self._mirrors)

    def head(self, source: Source | str) -> Deferred[Head]:
        return self._head(source, self._mirrors)

    def download_many(self, items: Iterable[Item] | AsyncIterable[Item], concurrency: int | None = None) -> Many:
        """
        Bring many files, lazily: an item is taken only when there is a free place for it.

        Use it as C{async with downloader.download_many(items) as outcomes:} and iterate over C{outcomes}; they come
        in the order in which downloads end.  Leaving the block cancels what still runs.

        @param items: pairs of a source and a consumer, from an iterable or an async iterable, finite or not.
        @param concurrency: how many at once; None for C{Remote.limits.connections}.
        """
        if concurrency is None:
            concurrency = self._remote.limits.connections
        if not is_whole(concurrency) or concurrency < 1:
            raise ValueError(f"concurrency: {concurrency!r} has to be a whole number, 1 or more")
        many = Many(self._reactor, self._one_of_many, items, concurrency)
        self._many.add(many)
        many.on_end(self._many.discard)
        return many

    def _one_of_many(self, source: Source, consumer: IBodyConsumer) -> Deferred[Report]:
        # The Many keeps what runs for it, and is closed itself.
        return self._begin(source, consumer, self._mirrors)

    def close(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        if self._closed:
            waiting.callback(None)
            return waiting
        if self._closing is not None:
            self._closing.append(waiting)
            return waiting
        self._closing = [waiting]
        ending: Deferred[Any] = DeferredList([many.close() for many in tuple(self._many)])
        ending.addCallback(lambda _: self._cancel_all())
        ending.addCallback(lambda _: self._shared.close())
        ending.addCallback(self._ended)
        return waiting

    def _cancel_all(self) -> Deferred[Any]:
        self._shared.closing = True
        self._running.cancel()
        return self._running.ended()

    def _ended(self, _: object) -> None:
        self._closed = True
        waiting, self._closing = self._closing or [], []
        for each in waiting:
            each.callback(None)

    def _download(self, source: Source | str, consumer: IBodyConsumer, mirrors: IMirrors | None) -> Deferred[Report]:
        bringing = self._begin(as_source(source), consumer, mirrors)
        return bringing.kept_by(self._running) if isinstance(bringing, Task) else bringing

    def _begin(self, source: Source, consumer: IBodyConsumer, mirrors: IMirrors | None) -> Deferred[Report]:
        if self._progress is not None:
            consumer = Counted(consumer, self._progress, source)
        return self._bring(source, consumer, mirrors)

    def _bring(self, source: Source, consumer: IBodyConsumer, mirrors: IMirrors | None) -> Deferred[Report]:
        if self._closing is not None:
            return fail(refuse(consumer, CancelledError("the Downloader is closed")))
        if not IBodyConsumer.providedBy(consumer):
            raise no_consumer("consumer", consumer)
        # One place that tells of no pieces has nothing to give but the file from its beginning to its end.
        plain = mirrors is None and not _has_pieces(source)
        kind = Download if plain or not IRandomAccess.providedBy(consumer) else RandomAccess
        bringing = kind(self._shared, source, consumer, mirrors).start()
        if self._closing is not None and not bringing.called:  # by what it has called
            bringing.cancel()
        return bringing

    def _head(self, source: Source | str, mirrors: IMirrors | None) -> Deferred[Head]:
        if self._closing is not None:
            return fail(CancelledError("the Downloader is closed"))
        return self._running.add(Heading(self._shared, as_source(source), mirrors).start())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _has_pieces(source: Source) -> bool:
    for each in source.expect:  # noqa: SIM110  # any() would cost thrice as much
        if isinstance(each, Pieces):
            return True
    return False
