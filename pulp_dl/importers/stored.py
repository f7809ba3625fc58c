"""What is stored, with upstream behind it."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ..consumers.around import Around
from ..errors import ConsumerFailed, ConsumerGone, DownloadError
from ..interfaces import IBodyConsumer, IDownloader, IWorkers
from ..model.report import Report
from ..model.source import Head, Source

__all__ = ["Stored"]


@implementer(IDownloader)
class Stored:
    """
    For one file that is in a store.  If it cannot be read there, because somebody made room or the disk is bad, it is
    brought from upstream, unless the consumer has a part of it already.
    """

    def __init__(self, files: IDownloader, upstream: IDownloader, source: Source) -> None:
        """
        @param files: brings what is stored.
        @param source: where the file is upstream.
        """
        self._files = files
        self._upstream = upstream
        self._source = source

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        first = _First(consumer)

        def instead(failure: Failure) -> Any:
            if first.excused is None:
                return failure
            return self._upstream.download(self._asked(source), first.again())

        return self._files.download(source, first).addErrback(instead)

    def head(self, source: Source | str) -> Deferred[Head]:
        def instead(failure: Failure) -> Deferred[Head]:
            failure.trap(DownloadError)
            return self._upstream.head(self._asked(source))

        return self._files.head(source).addErrback(instead)

    def close(self) -> Deferred[None]:
        """Nothing here is its own."""
        return succeed(None)

    def _asked(self, source: Source | str) -> Source:
        """What a client wants of it, of the file upstream."""
        if isinstance(source, str):
            return self._source
        return evolve(self._source, span=source.span, conditions=source.conditions)


class _First(Around):
    """
    A consumer that does not hear of a failure that came before the first byte.

    @ivar excused: that failure.
    """

    def __init__(self, consumer: IBodyConsumer) -> None:
        super().__init__(consumer)
        self._gone = consumer.gone()
        self._begun = self._used = self._last = False
        self.excused: Failure | None = None

    def again(self) -> _First:
        """For the next download: what fails now is told."""
        self.excused = None
        self._last = True
        return self

    def use(self, workers: IWorkers) -> None:
        if not self._used:  # once, whoever comes later
            self._used = True
            super().use(workers)

    def gone(self) -> Deferred[DownloadError]:
        waiting: Deferred[DownloadError] = Deferred()

        def tell(error: DownloadError) -> DownloadError:
            waiting.callback(error)
            return error

        self._gone.addCallback(tell)
        return waiting

    def begin(self, head: Head) -> None:
        self._begun = True
        super().begin(head)

    def fail(self, failure: Failure) -> None:
        excuse = failure.check(DownloadError) and not failure.check(ConsumerFailed, ConsumerGone)
        if excuse and not (self._begun or self._last):
            self.excused = failure
        else:
            super().fail(failure)
