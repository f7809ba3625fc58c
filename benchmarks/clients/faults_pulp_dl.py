"""One file from several places, by an order that has been learnt: ``path sha256 size warm,warm url...``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from pulp_dl import Digest, Downloader, Places, Scores, Size, Source, ToFile, ToMemory

path, sha256, size, warm, *urls = sys.argv[1:]
expect = [Digest("sha256", sha256), Size(int(size))]


async def run(reactor: Any) -> None:
    """The first place is asked for another file before, so that its speed is known; that is not counted."""
    bases = [url.rpartition("/")[0] for url in urls]
    scores = Scores(Places(bases, original=False), explore=0)
    async with Downloader(reactor, mirrors=scores) as downloader:
        await downloader.download(Source(warm, expect), ToMemory())
        began = time.monotonic()
        await downloader.download(Source(urls[0], expect), ToFile(path))
        Path(path).with_name("seconds").write_text(str(time.monotonic() - began))


react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
