"""A Sharing over places in memory, on a clock that the test moves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl import Digest, Remote, Report, Retries, Source, Timeouts
from pulp_dl.engine.downloader import Downloader
from pulp_dl.engine.sharing import Sharing
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Recorder

URL = "memory://a/f"
BODY = b"".join(number.to_bytes(4, "big") for number in range(45_000))  # 180 kB, no two pieces alike
SHA256 = Digest("sha256", hashlib.sha256(BODY).hexdigest())


class Case:
    """Every piece of a body comes in a turn of its own, C{every} seconds after the last."""

    def __init__(self, places: Any, *, mirrors: Any = None, retries: int = 2, **how: Any) -> None:
        self.clock = Clock()
        self.fetcher = MemoryFetcher(places if isinstance(places, dict) else {URL: places}, self.clock)
        remote = Remote(timeouts=Timeouts(idle=5, low_speed=None), retries=Retries(count=retries))
        self.inner = Downloader(self.clock, remote, mirrors=mirrors, schemes=[MemoryScheme(self.fetcher)])
        self.sharing = Sharing(self.inner, self.clock, **{"window": 40_000, **how})

    def get(self, consumer: Any = None, source: Any = None) -> Client:
        return Client(self, Recorder() if consumer is None else consumer, source or Source(URL, SHA256))

    def turns(self, count: int = 1, seconds: float = 0.01) -> None:
        for _ in range(count):
            self.clock.advance(seconds)

    def until(self, done: Callable[[], object], seconds: float = 0.01) -> None:
        for _ in range(20_000):
            if done():
                return
            self.clock.advance(seconds)
        raise AssertionError("it never came to that")

    def end(self, *clients: Client) -> None:
        """All these."""
        self.until(lambda: all(each.ends for each in clients))

    def transfers(self) -> list[Any]:
        """All that there have been, so far as anybody still holds them."""
        self._seen = {*getattr(self, "_seen", ()), *chain.from_iterable(self.sharing._open.values())}
        return [*self._seen]

    @property
    def spans(self) -> list[Any]:
        return [each.span for each in self.fetcher.asked if each.method == "GET"]

    def nothing_is_left(self) -> None:
        assert self.fetcher.running == 0
        assert self.clock.getDelayedCalls() == []
        assert list(self.sharing._running) == []
        assert self.sharing._open == {}
        assert self.sharing._held == 0


class Client:
    """One consumer, and how its download ended."""

    def __init__(self, case: Case, consumer: Any, source: Any) -> None:
        self.case = case
        self.consumer = consumer
        self.ends: list[Any] = []
        self.download: Deferred[Report] = case.sharing.download(source, consumer)
        self.download.addBoth(self.ends.append)

    @property
    def size(self) -> int:
        return len(self.consumer.data)

    def leave(self) -> None:
        if not self.ends:
            self.download.cancel()

    @property
    def error(self) -> Any:
        assert isinstance(self.ends[0], Failure), self.ends
        return self.ends[0].value

    @property
    def report(self) -> Report:
        assert isinstance(self.ends[0], Report), self.ends
        return self.ends[0]

    def has_all(self) -> bool:
        return bool(self.ends) and self.report is not None and self.consumer.finished and self.consumer.data == BODY
