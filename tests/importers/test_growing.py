"""A file that is being stored: who reads it meanwhile, and for how long it is open for that."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from pulp_dl import Downloader, Head, Remote, Retries
from pulp_dl.errors import Truncated
from pulp_dl.importers.following import Following, url_of
from pulp_dl.importers.growing import Growing
from pulp_dl.importers.store import Store
from pulp_dl.interfaces import IRewindable
from pulp_dl.testing import Recorder
from tests.sinks import turn

SHA = "0" * 64
SIZE = 2_000_000
ONE, OTHER = (random.Random(seed).randbytes(SIZE) for seed in "ab")
HALF = SIZE // 2


def test_what_is_opened_after_all_have_left_is_not_opened_twice(tmp_path: Path) -> None:
    """A worker thread may come to open the file when its download has been given up already."""
    growing = Growing(lambda call: call())
    growing.end()
    before = len(os.listdir("/proc/self/fd"))
    descriptor = growing.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    try:
        assert len(os.listdir("/proc/self/fd")) == before + 1
    finally:
        os.close(descriptor)


def test_while_somebody_reads_there_is_a_second_descriptor_and_then_none(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    growing = Growing(lambda call: call())
    descriptor = growing.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    growing.enter()
    growing.write(descriptor, b"bear")
    growing.end()
    os.close(descriptor)
    assert growing.read(4, 0) == b"bear"
    growing.leave()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_promise_3_what_begins_again_is_not_joined_with_what_was_read(reactor: Any, tmp_path: Path) -> None:
    """Who reads it breaks off; who comes then reads what is there now, and no further."""
    store = Store(tmp_path / "store", durable=False)
    storing = store.consumer(SHA, SIZE, reactor.callFromThread)
    assert IRewindable.providedBy(storing)
    head = Head("http://upstream.example/f", 200, (), SIZE, None, SIZE)
    storing.begin(head)
    storing.write(ONE[:HALF])
    remote = Remote(retries=Retries(count=0))
    async with Downloader(reactor, remote, schemes=[Following(store)]) as downloader:
        early, late = Recorder(), Recorder()
        reading = downloader.download(url_of(SHA), early)
        while len(early.data) < HALF:
            await turn(reactor)
        storing.rewind(head)
        storing.write(OTHER[: HALF // 2])
        growing = store.growing(SHA)
        assert growing is not None
        assert growing.size == HALF // 2
        following = downloader.download(url_of(SHA), late)
        while len(late.data) < HALF // 2:
            await turn(reactor)
        storing.write(OTHER[HALF // 2 :])
        with pytest.raises(Truncated):
            await reading
        await following
    storing.fail(Failure(CancelledError()))

    assert early.data == ONE[:HALF]
    assert late.data == OTHER
