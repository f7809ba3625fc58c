"""pulp_dl in the reactor, with every promise on: digest, size, slots, limits of time, retries, atomic files."""

from __future__ import annotations

from itertools import islice
from typing import Any

from job import Job, job
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from pulp_dl import TLS, Digest, Downloader, Limits, Remote, Size, Source, ToFile


async def fetch(reactor: Any, job: Job) -> None:
    sockets = job.concurrency * (2 if any(each.url.startswith("ftp") for each in islice(job.wanted(), 1)) else 1)
    remote = Remote(
        tls=TLS(ca=job.ca, system=False) if job.ca else TLS(),
        limits=Limits(connections=sockets, per_host=sockets),
    )
    wanted = (
        (
            Source(each.url, expect=(Size(each.size), Digest("sha256", each.sha256))),
            ToFile(each.path, durable=job.fsync),
        )
        for each in job.wanted()
    )
    async with Downloader(reactor, remote) as downloader, downloader.download_many(wanted) as outcomes:
        async for outcome in outcomes:
            if outcome.report is None or not outcome.report.validated:
                raise SystemExit(f"{outcome.source.url}: {outcome.error}")


react(lambda reactor: Deferred.fromCoroutine(fetch(reactor, job())))
