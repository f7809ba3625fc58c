"""aiohttp as one would write it in an afternoon: one session, N workers, digest and size checked, no temporary file."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import Iterator

import aiohttp
from job import Job, Wanted, job


async def work(session: aiohttp.ClientSession, items: Iterator[Wanted], job: Job) -> None:
    for wanted in items:
        digest, size = hashlib.sha256(), 0
        async with session.get(wanted.url) as response:
            response.raise_for_status()
            with open(wanted.path, "wb") as file:
                async for chunk in response.content.iter_any():
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                if job.fsync:
                    file.flush()
                    os.fsync(file.fileno())
        if (digest.hexdigest(), size) != (wanted.sha256, wanted.size):
            raise SystemExit(f"{wanted.url}: not what was expected")


async def main(job: Job) -> None:
    trust = ssl.create_default_context(cafile=job.ca) if job.ca else True
    connector = aiohttp.TCPConnector(limit=job.concurrency, limit_per_host=job.concurrency, ssl=trust)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        items = job.wanted()
        await asyncio.gather(*(work(session, items, job) for _ in range(job.concurrency)))


asyncio.run(main(job()))
