"""treq as its documentation shows it: an agent with a pool, get() unbuffered, collect() into a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from job import Job, Wanted, job
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import react
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool


async def work(client: HTTPClient, items: Iterator[Wanted], job: Job) -> None:
    for wanted in items:
        digest, size = hashlib.sha256(), 0
        response = await client.get(wanted.url, unbuffered=True)
        if response.code != 200:
            raise SystemExit(f"{wanted.url}: {response.code}")
        with open(wanted.path, "wb") as file:

            def collect(chunk: bytes) -> None:
                nonlocal size
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)

            await response.collect(collect)
            if job.fsync:
                file.flush()
                os.fsync(file.fileno())
        if (digest.hexdigest(), size) != (wanted.sha256, wanted.size):
            raise SystemExit(f"{wanted.url}: not what was expected")


async def main(reactor: Any, job: Job) -> None:
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = job.concurrency
    policy = BrowserLikePolicyForHTTPS()
    if job.ca:
        authority = Certificate.loadPEM(Path(job.ca).read_bytes())
        policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates([authority]))
    client = HTTPClient(Agent(reactor, policy, pool=pool))
    items = job.wanted()
    await gatherResults([Deferred.fromCoroutine(work(client, items, job)) for _ in range(job.concurrency)])
    await pool.closeCachedConnections()


react(lambda reactor: Deferred.fromCoroutine(main(reactor, job())))
