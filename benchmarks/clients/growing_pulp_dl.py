"""
So many downloads out of one generator, of the files of a list again and again.

Prints one JSON object: how many there were, how many sources were alive at once, the peak of memory, in KiB, and
after each tenth how many were done and the seconds of CPU.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from time import process_time
from typing import Any
from weakref import WeakSet

from job import Job, job
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from pulp_dl import TLS, Digest, Downloader, Limits, Remote, Size, Source, ToFile

COUNT = int(os.environ["COUNT"])


def peak() -> int:
    """Of memory, in KiB."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


async def run(reactor: Any, job: Job) -> None:
    alive: WeakSet[Source] = WeakSet()
    most = done = 0
    seen = []

    def wanted() -> Iterator[tuple[Source, ToFile]]:
        nonlocal most
        for url, sha256, size, path in islice(cycle(job.wanted()), COUNT):
            source = Source(url, expect=(Size(size), Digest("sha256", sha256)))
            alive.add(source)
            most = max(most, len(alive))
            yield source, ToFile(path)

    remote = Remote(
        tls=TLS(ca=job.ca, system=False) if job.ca else TLS(),
        limits=Limits(connections=job.concurrency, per_host=job.concurrency),
    )
    async with Downloader(reactor, remote) as downloader, downloader.download_many(wanted()) as outcomes:
        async for outcome in outcomes:
            if outcome.report is None or not outcome.report.validated:
                raise SystemExit(f"{outcome.source.url}: {outcome.error}")
            done += 1
            if done * 10 // COUNT > (done - 1) * 10 // COUNT:
                seen.append((done, process_time()))
    sys.stdout.write(json.dumps({"done": done, "alive": most, "peak": peak(), "tenths": seen}))


react(lambda reactor: Deferred.fromCoroutine(run(reactor, job())))
