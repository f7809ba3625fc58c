"""Downloads that their clients share, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ..consumers.around import Tee
from ..interfaces import IBodyConsumer, IDownloader
from ..model.report import Report
from ..model.source import Head, Source, as_source

__all__ = ["Keep", "shared"]

Keep = Callable[[Source], IBodyConsumer | None]


def shared(downloader: IDownloader, clock: Any, keep: Keep | None = None) -> IDownloader:
    """One transfer for equal questions; C{keep} may give it one more consumer, which stores it."""
    return downloader if keep is None else _Keeping(downloader, keep)


@implementer(IDownloader)
class _Keeping:
    def __init__(self, downloader: IDownloader, keep: Keep) -> None:
        self._downloader = downloader
        self._keep = keep

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        wanted = as_source(source)
        keeper = None if wanted.span is not None else self._keep(wanted)
        return self._downloader.download(wanted, consumer if keeper is None else Tee(consumer, keeper))

    def head(self, source: Source | str) -> Deferred[Head]:
        return self._downloader.head(source)

    def close(self) -> Deferred[None]:
        return self._downloader.close()
