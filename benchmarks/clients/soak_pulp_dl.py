"""
Downloads until its time is over, from places that misbehave, cancels some, and looks at every file that it has got.

Prints one JSON object: how downloads ended, files that are not what they should be, errors that nobody heard of, and
what is left when the Downloader is closed.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from job import Job, job
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pulp_dl import Digest, Downloader, Limits, Remote, Retries, Size, Source, Timeouts, ToFile
from pulp_dl.errors import DownloadError

CANCELLED = 0.05  # of all downloads
PULSE = 0.01  # seconds
WHILES = 20
WARM = 0.3  # of the time; as of whoever looks at the process

rng = random.Random(3)


class Soak:
    def __init__(self, reactor: Any, job: Job, seconds: float) -> None:
        self._reactor = reactor
        self._wanted = [*job.wanted()]
        self._into = Path(job.into)
        self._end = reactor.seconds() + seconds
        self._last = reactor.seconds()
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._scheduled = Path("/proc/thread-self/schedstat").open("rb", buffering=0)
        self._spent = self._spends()
        self.longest = 0.0, 0.0, 0.0  # what the latest pulse was late by; and this thread has worked, and was queued
        self.busiest = 0.0  # the longest time that it has worked between two pulses
        self.begun = 0.0  # the same before the first download has ended: a protocol is imported, once
        self._begin = self._last
        self._blocks = [0] * WHILES  # the least that Python has had in use in each while

    def pulse(self) -> None:
        """
        How late is it?  And of the time since the last one, for how long has this thread been at work, and for how long
        could it have been, and others had the cores?  For the rest it slept, or waited for another thread or a disk.
        """
        now, spent = self._reactor.seconds(), self._spends()
        late = max(now - self._last - PULSE, 0.0)
        worked, queued = spent[0] - self._spent[0], spent[1] - self._spent[1]
        self._last, self._spent = now, spent
        span, blocks = self._span(now), sys.getallocatedblocks()
        self._blocks[span] = min(self._blocks[span] or blocks, blocks)
        if not self.ends:
            self.begun = max(self.begun, worked)
            return
        self.longest = max(self.longest, (late, worked, queued))
        self.busiest = max(self.busiest, worked)

    def _span(self, now: float) -> int:
        done = (now - self._begin) / (self._end - self._begin)
        return min(int(done * WHILES), WHILES - 1)

    @property
    def blocks(self) -> tuple[int, int]:
        """
        Blocks of memory that Python's objects had, when warm and at the end: if it is these that grow, something is
        kept; if it is the process alone, its room has gaps.
        """
        return self._blocks[int(WARM * WHILES)], self._blocks[-1]

    def _spends(self) -> tuple[float, float]:
        """Seconds for which this thread has worked so far, and has been queued."""
        self._scheduled.seek(0)
        queued = int(self._scheduled.read().split()[1]) / 1e9
        return time.thread_time(), queued

    def close(self) -> None:
        self._scheduled.close()

    async def work(self, downloader: Downloader, number: int) -> None:
        path = self._into / str(number)
        while self._reactor.seconds() < self._end:
            url, sha256, size, _ = rng.choice(self._wanted)
            download = downloader.download(Source(url, expect=(Size(size), Digest("sha256", sha256))), ToFile(path))
            if rng.random() < CANCELLED:
                self._reactor.callLater(rng.uniform(0, 0.1), download.cancel)
            failed = None
            try:
                await download
            except (DownloadError, CancelledError) as error:
                failed = type(error).__name__
            self.ends[failed or "whole"] += 1
            # In a thread: a disk that others write to may take a quarter of a second to forget a name.
            wrong = await deferToThread(take_away, path, None if failed else sha256)
            if wrong:
                self.wrong.append(f"{url}: {wrong}")


def take_away(path: Path, sha256: str | None) -> str:
    """
    Look at a file and forget it; returns what is wrong with it.

    @param sha256: None if it should not be there.
    """
    found = None
    if path.exists():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        path.unlink()
    if found == sha256:
        return ""
    return "there is a file, though it failed" if sha256 is None else "it is not what it should be"


def ours() -> Counter[str]:
    """Objects of pulp_dl's classes that the collector knows of, by class."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith("pulp_dl."))


def open_files() -> list[str]:
    """What they lead to; of sockets and pipes each is another one."""
    links = [Path("/proc/self/fd") / each for each in os.listdir("/proc/self/fd")]
    return [str(os.readlink(each)) for each in links if each.is_symlink()]


@implementer(ILogObserver)
class Failures:
    """Keeps what nobody heard of."""

    def __init__(self, unheard: list[str]) -> None:
        self._unheard = unheard

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self._unheard.append(str(event))


async def run(reactor: Any, job: Job, seconds: float) -> None:
    unheard: list[str] = []
    globalLogPublisher.addObserver(Failures(unheard))
    await deferLater(reactor, 0)  # from here on the reactor runs, and has what it needs for that
    before, descriptors = ours(), open_files()
    soak = Soak(reactor, job, seconds)  # which looks at the clock from here on; to count all objects takes a while
    pulse = LoopingCall(soak.pulse)
    pulse.start(PULSE).addErrback(lambda failure: failure.printTraceback())
    remote = Remote(
        limits=Limits(connections=job.concurrency, per_host=job.concurrency),
        retries=Retries(base=0.1, cap=1),
        timeouts=Timeouts(connect=10, head=10, idle=2),
    )
    async with Downloader(reactor, remote) as downloader:
        await gatherResults([Deferred.fromCoroutine(soak.work(downloader, each)) for each in range(job.concurrency)])
    del downloader
    await deferLater(reactor, 1)
    pulse.stop()
    soak.close()
    timers = [str(each) for each in reactor.getDelayedCalls()]
    left = {name: count - before[name] for name, count in ours().items() if count > before[name] + job.concurrency}
    said = {
        "ends": soak.ends,
        "wrong": soak.wrong,
        "unheard": unheard[:5],
        "latest pulse, ms": [round(each * 1000) for each in soak.longest],
        "longest work, ms": round(soak.busiest * 1000),
        "work to begin, ms": round(soak.begun * 1000),
        "blocks": soak.blocks,
        "timers": timers,
        "descriptors": [name for name in open_files() if name not in descriptors],
        "objects": left,
        "strays": os.listdir(job.into),
    }
    sys.stdout.write(json.dumps(said) + "\n")


seconds = float(os.environ["SOAK_SECONDS"])
react(lambda reactor: Deferred.fromCoroutine(run(reactor, job(), seconds)))
