"""One fetch for all who want the same at about the same time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..flow.claims import no_consumer
from ..flow.outlet import refuse
from ..flow.running import Running
from ..flow.timers import Clock
from ..interfaces import IBodyConsumer, IDownloader, IResumable, IRewindable
from ..model.numbers import is_number, is_whole
from ..model.report import Report
from ..model.source import Head, Source, as_source
from .reader import Reader
from .task import Task
from .transfer import Transfer

__all__ = ["KEEP_SHARE", "WINDOW", "Sharing", "check_sharing"]

log = Logger()

WINDOW: Final = 8 * 1024 * 1024
"""Bytes by which a reader may be behind the fastest one."""

SPARE: Final = 2
"""
Windows that are kept, in all, of bodies that somebody may still join, or that only slow readers need: the newest ones,
for who comes late comes soon, and who has been slow for longest is the least likely to take the rest.
A hundred clients that stall hold a third of a mebibyte each besides, and all of that together is to stay below 64 MiB.
"""

KEEP_SHARE: Final = 0.5
"""Of a file: who has more of it when all clients have left fetches less than what would be lost."""


def no_one(source: Source) -> IBodyConsumer | None:
    """Nothing is kept."""
    return None


@implementer(IDownloader)
class Sharing:
    """
    A downloader around another one, which it owns: downloads of the same source, at about the same time, are one.

    The same is: URL, expectations, headers, span, conditions and Remote.  Consumers that can rewind share with each
    other, those that cannot with each other; what is L{IResumable} has its own download.

    Each consumer ends by itself: with its own report or error, and when it leaves, nobody else notices; when the last
    one leaves, the connection is dropped.
    """

    def __init__(
        self,
        downloader: IDownloader,
        clock: Clock,
        *,
        window: int = WINDOW,
        keep: Callable[[Source], IBodyConsumer | None] = no_one,
        keep_share: float = KEEP_SHARE,
        spare: int | None = None,
    ) -> None:
        """
        @param window: bytes of a body that are kept for readers that are slower than others; who is slower than that
            goes on with a download of its own.  Who comes when more than that has gone by has its own from the start.
        @param keep: asked once for each transfer of a whole file, when it begins to come, for one more consumer, which
            is no client: it has to be faster than the window, and what becomes of it is nobody's concern.
        @param keep_share: from 0 to 1; if more than this share of the file has come when the last client leaves, that
            consumer gets the rest; else the transfer ends.
        @param spare: bytes kept for those who may still come, and for slow readers that nobody is ahead of any more, in
            all; the oldest are forgotten first, and who needs them goes on with a download of its own, if it can ask
            for the rest.  None for twice the window.
        @raise ValueError: one of these is no such number.
        """
        check_sharing(window, keep_share)
        if spare is not None:
            _check_bytes("spare", spare)
        self.inner = downloader
        self.clock = clock
        self.keep = keep
        self.keep_share = keep_share
        self._window = window
        self._spare = SPARE * window if spare is None else spare
        self._held = 0
        self._kept: dict[Transfer, int] = {}  # what that is of, the oldest first
        self._open: dict[str, list[Transfer]] = {}  # those that may be joined, by URL
        self._running = Running()
        self._closing = False

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        source = as_source(source)
        if not IBodyConsumer.providedBy(consumer):
            raise no_consumer("consumer", consumer)
        if self._closing:
            return fail(refuse(consumer, CancelledError("the downloader is closed")))
        if IResumable.providedBy(consumer):
            return self._running.add(self.inner.download(source, consumer))
        rewindable = IRewindable.providedBy(consumer)
        there = self._open.get(source.url)
        transfer = None if there is None else _same(there, source, rewindable=rewindable)
        if transfer is not None:
            reader = self.reader(transfer, source, consumer)
            transfer.join(reader)
            return reader
        transfer = Transfer(self, source, self._window, rewindable=rewindable)
        if there is None:
            self._open[source.url] = [transfer]
        else:
            there.append(transfer)
        self._running.begin(transfer)
        reader = self.reader(transfer, source, consumer)
        transfer.join(reader)
        transfer.start(self.inner.download)
        return reader

    def joins(self, source: Source) -> bool:
        """Is there a transfer from the same URL that may still be joined?"""
        return source.url in self._open

    def head(self, source: Source | str) -> Deferred[Head]:
        return self.inner.head(source)

    def idle(self) -> Deferred[None]:
        """Fires with None when nothing is under way, not even for what keeps; never fails."""
        return self._running.ended()

    def close(self) -> Deferred[None]:
        self._closing = True
        self._running.cancel()
        return self._running.ended().addCallback(lambda _: self.inner.close())

    # what transfers and readers need

    def reader(self, transfer: Transfer, source: Source, consumer: IBodyConsumer) -> Reader:
        """One more consumer."""
        reader = Reader(self, transfer, source, consumer)
        self._running.begin(reader)
        return reader

    def keeper(self, transfer: Transfer) -> Reader | None:
        """One more that is no client, if this body is to be kept."""
        try:
            consumer = self.keep(transfer.source)
        except Exception:
            log.failure("what should say whether a body is to be kept raised")
            return None
        if consumer is None:
            return None
        keeper = self.reader(transfer, transfer.source, consumer)
        keeper.addErrback(_not_kept)
        return keeper

    def ended(self, each: Reader | Transfer) -> None:
        """It is at its end."""
        self._running.end(each)

    def run(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        """It ends before all this is closed; whoever it is for can end it."""
        task = Task(coroutine, _heedless)
        task.start()
        self._running.add(task)

    def keeps(self, transfer: Transfer, size: int) -> None:
        """It keeps so many bytes that are to be spared."""
        more = size - self._kept.get(transfer, 0)
        self._held += more
        if size:
            self._kept[transfer] = size
        else:
            self._kept.pop(transfer, None)
        if more > 0 and self._held > self._spare:
            for each in tuple(self._kept):
                each.spare()
                if self._held <= self._spare:
                    break

    def shut(self, transfer: Transfer) -> None:
        """Nobody may join it any more."""
        url = transfer.source.url
        there = self._open[url]
        there.remove(transfer)
        if not there:
            del self._open[url]


def check_sharing(window: object, keep_share: object) -> None:
    """
    For who makes a L{Sharing} later.

    @raise ValueError: it would not take this C{window}, or C{keep_share}; the message says which.
    """
    _check_bytes("window", window)
    if not is_number(keep_share) or not 0 <= keep_share <= 1:
        raise ValueError(f"keep_share: {keep_share!r} is no share; give a number from 0 to 1")


def _check_bytes(name: str, value: object) -> None:
    if not is_whole(value) or value < 0:
        raise ValueError(f"{name}: {value!r} is no number of bytes; give one, 0 or more")


def _same(transfers: Iterable[Transfer], source: Source, *, rewindable: bool) -> Transfer | None:
    """The one that is for this question, and for such consumers."""
    key = _key(source)
    wanted = (each for each in transfers if each.rewindable == rewindable and _key(each.source) == key)
    return None if key is None else next(wanted, None)


def _key(source: Source) -> Hashable | None:
    """What has to be equal; None if that cannot be told."""
    key = (
        source.url,
        source.expect,
        source.headers,
        source.span,
        source.conditions,
        # Equal ones might be told apart by what they do not show; the same one is the same.
        None if source.remote is None else id(source.remote),
        source.auth,
        source.scope,
        source.public,
        source.found,
    )
    try:
        hash(key)
    except TypeError:  # an expectation of somebody's own
        return None
    return key


def _heedless(error: CancelledError) -> None:
    """It will end."""


def _not_kept(failure: Failure) -> None:
    """No client is hurt by it."""
    if not failure.check(CancelledError):
        log.warn("a body was not kept: {error}", error=failure.value)  # noqa: G010  # twisted.logger
