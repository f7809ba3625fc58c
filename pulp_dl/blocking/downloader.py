"""The Downloader for threads that wait."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from twisted.internet.defer import Deferred

from ..engine.downloader import Downloader
from ..errors import TimedOut
from ..model.source import as_source
from .home import Home, ReactorStopped, check_timeout
from .outcomes import Outcomes, patience

if TYPE_CHECKING:
    from ..consumers.around import IProgress
    from ..engine.many import Item
    from ..interfaces import IBodyConsumer, IMirrors, IScheme
    from ..model.remote import Remote
    from ..model.report import Report
    from ..model.source import Head, Source

__all__ = ["BlockingDownloader"]


class BlockingDownloader:
    """
    L{pulp_dl.Downloader} for threads that wait: each method returns its result, or raises its error.

    Use it as C{with BlockingDownloader(remote) as downloader:}; leaving the block is C{close()}.  Many threads may use
    one at once.  The reactor is started in a thread if it does not run; a program that wants to run it itself has to do
    so before.

    After C{os.fork()} the child makes a new one.  All methods raise L{ReactorStopped} when the reactor has stopped, and
    C{RuntimeError} in the reactor thread.
    """

    def __init__(
        self,
        remote: Remote | None = None,
        *,
        mirrors: IMirrors | None = None,
        schemes: Iterable[IScheme] | None = None,
        progress: IProgress | None = None,
        reactor: Any = None,
    ) -> None:
        """
        The arguments are those of L{pulp_dl.Downloader}; C{mirrors} and C{progress} are called in the reactor thread.

        @param reactor: None for the one of this process.
        """
        self._home = Home(reactor)
        self._batches: WeakSet[Outcomes] = WeakSet()
        self._closed = False

        def begin() -> tuple[Downloader, Any]:
            downloader = Downloader(self._home.reactor, remote, mirrors=mirrors, schemes=schemes, progress=progress)

            def stopping() -> Deferred[None]:
                self._home.stop()
                return downloader.close()

            return downloader, self._home.reactor.addSystemEventTrigger("before", "shutdown", stopping)

        self._downloader: Downloader
        self._downloader, self._trigger = self._home.call(begin)

    def download(self, source: Source | str, consumer: IBodyConsumer, timeout: float | None = None) -> Report:
        """
        Bring one source to one consumer, which is used in the reactor thread.

        Whatever ends the waiting cancels the download: Ctrl-C, an exception that another thread sets for this one.

        @param timeout: seconds that it may take in all.
        @raise DownloadError: it did not happen; the consumer was told.
        @raise CancelledError: another thread closed the downloader.
        """
        source = as_source(source)
        report: Report = self._home.call(self._downloader.download, source, consumer, timeout=timeout, url=source.url)
        return report

    def head(self, source: Source | str, timeout: float | None = None) -> Head:
        """Ask what would come.  Costs a HEAD (SIZE, stat), never a body; raises as C{download} does."""
        source = as_source(source)
        head: Head = self._home.call(self._downloader.head, source, timeout=timeout, url=source.url)
        return head

    def download_many(self, items: Iterable[Item], concurrency: int | None = None) -> Outcomes:
        """
        Bring many files, lazily, as L{pulp_dl.Downloader.download_many} does.

        C{items} is advanced in the thread that iterates over the outcomes, between two of them, one item for each free
        place: a generator may use a database, wait, or download something with this very downloader.  Use it as::

            with downloader.download_many(wanted()) as outcomes:
                for outcome in outcomes:
                    ...

        Leaving the block cancels what still runs.  Without C{with}, a loop that is left early lets what runs go on
        until C{close()}, of the outcomes or of the downloader; one that comes to its end needs neither.
        """
        self._home.check()
        batch = Outcomes(self._home, items, lambda wanted: self._downloader.download_many(wanted, concurrency))
        self._batches.add(batch)
        return batch

    def close(self, timeout: float | None = None) -> None:
        """
        End what runs and wait until nothing is left.  May be called again, and by any thread; those that wait for
        downloads get C{CancelledError}.

        @param timeout: seconds to wait; what is left then goes on ending without us.
        """
        check_timeout(timeout)
        if self._closed or not self._home.usable:
            # A reactor that stops closes everything by itself, and what a fork has brought along is the parent's.
            return
        self._home.check()
        for batch in tuple(self._batches):
            batch.close(timeout)
        with suppress(TimedOut, ReactorStopped):
            self._home.call(self._close, timeout=timeout)
        self._closed = True

    def _close(self) -> Deferred[None]:
        trigger, self._trigger = self._trigger, None
        if trigger is not None and self._home.usable:
            self._home.reactor.removeSystemEventTrigger(trigger)
        return self._downloader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(patience(error))
