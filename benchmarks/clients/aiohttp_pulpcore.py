"""
aiohttp in the pattern of pulpcore's downloaders.

One session; a task for each file behind a semaphore; a temporary file; pieces of up to 1 MiB, each hashed in a thread
pool that the loop waits for; flush, fsync and close; digest and size checked; moved into place.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait

import aiohttp
from job import Job, Wanted, job

PIECE = 1 << 20


class Download:
    def __init__(
        self, session: aiohttp.ClientSession, semaphore: asyncio.Semaphore, pool: ThreadPoolExecutor, wanted: Wanted
    ) -> None:
        self._session, self._semaphore, self._pool, self._wanted = session, semaphore, pool, wanted

    async def run(self) -> None:
        async with self._semaphore, self._session.get(self._wanted.url) as response:
            response.raise_for_status()
            self._digests = {"sha256": hashlib.sha256()}
            self._size = 0
            folder = os.path.dirname(self._wanted.path)
            self._writer = tempfile.NamedTemporaryFile(dir=folder, delete=False)
            while chunk := await response.content.read(PIECE):
                self._handle(chunk)
            self._finish()

    def _handle(self, data: bytes) -> None:
        self._writer.write(data)
        self._size += len(data)
        wait([self._pool.submit(digest.update, data) for digest in self._digests.values()])

    def _finish(self) -> None:
        self._writer.flush()
        os.fsync(self._writer.fileno())
        self._writer.close()
        if (self._digests["sha256"].hexdigest(), self._size) != (self._wanted.sha256, self._wanted.size):
            raise SystemExit(f"{self._wanted.url}: not what was expected")
        os.rename(self._writer.name, self._wanted.path)


async def main(job: Job) -> None:
    trust = ssl.create_default_context(cafile=job.ca) if job.ca else True
    connector = aiohttp.TCPConnector(limit=0, ssl=trust)
    semaphore = asyncio.Semaphore(job.concurrency)
    with ThreadPoolExecutor(max_workers=4) as pool:
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            running: set[asyncio.Task[None]] = set()
            for wanted in job.wanted():  # no more tasks than pulpcore's stages keep
                running.add(asyncio.create_task(Download(session, semaphore, pool, wanted).run()))
                if len(running) >= 200:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            await asyncio.gather(*running)


asyncio.run(main(job()))
