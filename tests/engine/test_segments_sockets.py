"""A large file from several places to a disk, over sockets."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from pulp_dl import Digest, Downloader, Places, Progress, Remote, Segments, Source, ToFile
from pulp_dl.testing import Drip, FaultServer, answer

MIB = 1024 * 1024
DATA = random.Random(7).randbytes(6 * MIB)
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
SLOW = Drip(answer(DATA), 64 * 1024, 0.05)  # 1.25 MiB a second: 5 seconds
OFTEN = Remote(segments=Segments(least=MIB, piece=256 * 1024))


async def test_a_file_comes_from_three_places_and_is_where_it_belongs(reactor: Any, tmp_path: Path) -> None:
    progress = Progress()
    async with (
        FaultServer(reactor, SLOW) as a,
        FaultServer(reactor, SLOW) as b,
        FaultServer(reactor, SLOW) as c,
    ):
        mirrors = Places([each.url("") for each in (a, b, c)], original=False)
        async with Downloader(reactor, OFTEN, mirrors=mirrors, progress=progress) as downloader:
            report = await downloader.download(Source(a.url("/f"), SHA), ToFile(tmp_path / "f", part=True))
        asked = [len(each.requests) for each in (a, b, c)]

    assert (tmp_path / "f").read_bytes() == DATA
    assert [each.name for each in tmp_path.iterdir()] == ["f"]
    assert min(asked) >= 1
    assert report.seconds < 4.5
    assert sum(each.received for each in report.attempts) <= len(DATA) + MIB
    assert (progress.size, progress.done) == (len(DATA), 1)


async def test_interrupted_it_goes_on_behind_the_beginning(reactor: Any, tmp_path: Path) -> None:
    async with FaultServer(reactor, SLOW) as a, FaultServer(reactor, SLOW) as b:
        mirrors = Places([a.url(""), b.url("")], original=False)
        async with Downloader(reactor, OFTEN, mirrors=mirrors) as downloader:
            running = downloader.download(Source(a.url("/f"), SHA), ToFile(tmp_path / "f", part=True))
            while len(b.requests) < 1:
                await deferLater(reactor, 0.05, bool)
            await deferLater(reactor, 0.5, bool)
            running.cancel()
            with pytest.raises(CancelledError):
                await running
        there = (tmp_path / "f.part").stat().st_size
        assert 0 < there < len(DATA) // 2
        assert (tmp_path / "f.part").read_bytes() == DATA[:there]

        async with Downloader(reactor, OFTEN, mirrors=mirrors) as downloader:
            report = await downloader.download(Source(a.url("/f"), SHA), ToFile(tmp_path / "f", part=True))

    assert (tmp_path / "f").read_bytes() == DATA
    assert sum(each.received for each in report.attempts) <= len(DATA) - there + MIB
