"""Downloads that break off and are gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.python.failure import Failure

from pulp_dl.consumers.file import ToFile
from pulp_dl.errors import Truncated
from pulp_dl.flow.workers import Workers
from pulp_dl.model.source import Head, Kept
from tests.consumers.disks import DATA, Feed, head_of, pieces

BODY = DATA * 2
HEAD = head_of(BODY, "http://example.org/file", ETag='"1"', Last_Modified="then", Date="now", Set_Cookie="secret=1")
BROKEN = Failure(Truncated(1, 2))


def to_part(directory: Path, **options: Any) -> ToFile:
    return ToFile("file", root=directory, part=True, **options)


async def broken_off(
    reactor: Any, directory: Path, size: int, why: Failure = BROKEN, head: Head = HEAD, **options: Any
) -> None:
    """A download that failed when so many bytes had come."""
    workers = Workers(reactor)
    feed = Feed(reactor, to_part(directory, **options), workers)
    await feed.consumer.kept()
    feed.begin(head)
    await feed.write(pieces(BODY[:size]))
    await workers.close()  # all that was handed on is written
    feed.consumer.unregisterProducer()
    feed.consumer.fail(why)
    await workers.close()


async def offered(reactor: Any, directory: Path) -> tuple[Kept | None, bytes]:
    """What another one would find."""
    feed = Feed(reactor, to_part(directory))
    kept = await feed.consumer.kept()
    data = b"" if kept is None else b"".join(kept.pieces())
    feed.consumer.fail(BROKEN)
    return kept, data
