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
from collections import Counter
from pathlib import Path
from typing import Any

from job import Job, job
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pulp_dl import Digest, Downloader, Limits, Remote, Retries, Size, Source, Timeouts, ToFile
from pulp_dl.errors import DownloadError

CANCELLED = 0.05  # of all downloads
PULSE = 0.01  # seconds

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
        self.stall = 0.0

    def pulse(self) -> None:
        now = self._reactor.seconds()
        self._last, self.stall = now, max(self.stall, now - self._last - PULSE)

    async def work(self, downloader: Downloader, number: int) -> None:
        path = self._into / str(number)
        while self._reactor.seconds() < self._end:
            url, sha256, size, _ = rng.choice(self._wanted)
            download = downloader.download(Source(url, expect=(Size(size), Digest("sha256", sha256))), ToFile(path))
            if rng.random() < CANCELLED:
                self._reactor.callLater(rng.uniform(0, 0.1), download.cancel)
            try:
                await download
            except (DownloadError, CancelledError) as error:
                self.ends[type(error).__name__] += 1
                if path.exists():
                    self.wrong.append(f"{url}: there is a file, though it failed")
            else:
                self.ends["whole"] += 1
                if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                    self.wrong.append(f"{url}: it is not what it should be")
            path.unlink(missing_ok=True)


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
    soak = Soak(reactor, job, seconds)
    pulse = LoopingCall(soak.pulse)
    pulse.start(PULSE).addErrback(lambda failure: failure.printTraceback())
    await deferLater(reactor, 0)  # from here on the reactor runs, and has what it needs for that
    before, descriptors = ours(), open_files()
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
    timers = [str(each) for each in reactor.getDelayedCalls()]
    left = {name: count - before[name] for name, count in ours().items() if count > before[name] + job.concurrency}
    said = {
        "ends": soak.ends,
        "wrong": soak.wrong,
        "unheard": unheard[:5],
        "longest stall, ms": round(soak.stall * 1000),
        "timers": timers,
        "descriptors": [name for name in open_files() if name not in descriptors],
        "objects": left,
        "strays": os.listdir(job.into),
    }
    sys.stdout.write(json.dumps(said) + "\n")


seconds = float(os.environ["SOAK_SECONDS"])
react(lambda reactor: Deferred.fromCoroutine(run(reactor, job(), seconds)))
