"""
aiohttp in the pattern of pulpcore's downloaders (pulpcore 3.123).

One session; an object for each file, behind a semaphore and a retrying wrapper of its own; a temporary file with the
file's name in it, in the working directory; pieces of up to 1 MiB, each hashed in a thread pool that the loop waits
for; flush, fsync and close; digest and size checked; moved into place.  One digest, not the four that pulpcore computes
unless it is told otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import backoff
from job import Job, Wanted, job

PIECE = 1 << 20
ERRORS = (aiohttp.ClientError, TimeoutError)


class Download:
    def __init__(
        self, session: aiohttp.ClientSession, semaphore: asyncio.Semaphore, pool: ThreadPoolExecutor, wanted: Wanted
    ) -> None:
        self._session, self._semaphore, self._pool, self._wanted = session, semaphore, pool, wanted
        self._writer: Any = None

    async def run(self) -> dict[str, object]:
        async with self._semaphore:
            fetch = backoff.on_exception(backoff.expo, ERRORS, max_tries=4)(self._fetch)
            found: dict[str, object] = await fetch()
            return found

    async def _fetch(self) -> dict[str, object]:
        async with self._session.get(self._wanted.url, proxy=None, proxy_auth=None, auth=None) as response:
            response.raise_for_status()
            while chunk := await response.content.read(PIECE):
                await self._handle(chunk)
            await self._finish()
            response.release()
        return {"size": self._size, **{name: digest.hexdigest() for name, digest in self._digests.items()}}

    def _open(self) -> None:
        if self._writer is None:
            name = urlsplit(self._wanted.url).path.split("/")[-1]
            folder = os.path.dirname(self._wanted.path)
            inside = Path.cwd().is_relative_to(folder)
            self._writer = tempfile.NamedTemporaryFile(
                dir="." if inside else folder, suffix="-" + name if len(name) <= 243 else None, delete=False
            )
            self._digests = {"sha256": hashlib.new("sha256")}
            self._size = 0

    async def _handle(self, data: bytes) -> None:
        self._open()
        self._writer.write(data)
        wait([self._pool.submit(digest.update, data) for digest in self._digests.values()])
        self._size += len(data)

    async def _finish(self) -> None:
        self._open()
        self._writer.flush()
        os.fsync(self._writer.fileno())
        self._writer.close()
        if (self._digests["sha256"].hexdigest(), self._size) != (self._wanted.sha256, self._wanted.size):
            raise SystemExit(f"{self._wanted.url}: not what was expected")
        os.rename(self._writer.name, self._wanted.path)


async def main(job: Job) -> None:
    trust = ssl.create_default_context(cafile=job.ca) if job.ca else True
    connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver(), ssl=trust)  # its limit of 100 stays
    timeout = aiohttp.ClientTimeout(total=300, sock_connect=30)
    semaphore = asyncio.Semaphore(job.concurrency)
    with ThreadPoolExecutor() as pool:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, requote_redirect_url=False) as session:
            running: set[asyncio.Task[dict[str, object]]] = set()
            for wanted in job.wanted():  # no more tasks than pulpcore's stages keep
                running.add(asyncio.create_task(Download(session, semaphore, pool, wanted).run()))
                if len(running) >= 200:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            await asyncio.gather(*running)


asyncio.run(main(job()))
