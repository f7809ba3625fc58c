"""pycurl's multi interface: N handles that are used again and again, digest and size checked, no temporary file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import pycurl
from job import Job, Wanted, job

BUFFER = 256 * 1024  # what one call of write() may get at most


class Slot:
    """One handle, and the file that it fetches now."""

    def __init__(self, job: Job) -> None:
        self.curl = pycurl.Curl()
        self._job = job
        for option, value in (
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.NOSIGNAL, 1),
            (pycurl.FAILONERROR, 1),
            (pycurl.BUFFERSIZE, BUFFER),
            (pycurl.WRITEFUNCTION, self._write),
        ):
            self.curl.setopt(option, value)
        if job.ca:
            self.curl.setopt(pycurl.CAINFO, job.ca)

    def start(self, wanted: Wanted) -> None:
        self._wanted, self._digest, self._size = wanted, hashlib.sha256(), 0
        self._file = open(wanted.path, "wb")
        self.curl.setopt(pycurl.URL, wanted.url)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        self._file.write(data)

    def end(self) -> None:
        if self._job.fsync:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if (self._digest.hexdigest(), self._size) != (self._wanted.sha256, self._wanted.size):
            raise SystemExit(f"{self._wanted.url}: not what was expected")


def main(job: Job) -> None:
    multi: Any = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, job.concurrency)
    slots = {slot.curl: slot for slot in (Slot(job) for _ in range(job.concurrency))}
    items = job.wanted()
    running = sum(begin(multi, slot, items) for slot in slots.values())
    while running:
        multi.perform()
        idle = True
        left = 1
        while left:
            left, done, failed = multi.info_read()
            for curl, code, message in failed:
                raise SystemExit(f"{curl.getinfo(pycurl.EFFECTIVE_URL)}: {code} {message}")
            for curl in done:
                multi.remove_handle(curl)
                slots[curl].end()
                begun = begin(multi, slots[curl], items)
                running -= 1 - begun
                idle = idle and not begun
        if idle:
            multi.select(1.0)


def begin(multi: Any, slot: Slot, items: Iterator[Wanted]) -> int:
    """1, if there was another file."""
    for wanted in items:
        slot.start(wanted)
        multi.add_handle(slot.curl)
        return 1
    return 0


main(job())
