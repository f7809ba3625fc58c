"""A disk that tells what was done to it, and fails or waits when it is told to; and consumers that are fed by hand."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl.flow.workers import Workers
from pulp_dl.interfaces import IWorkerUser
from pulp_dl.model.source import Head

KIB, MIB = 1024, 1024 * 1024
DATA = bytes(range(256)) * (4 * KIB)  # 1 MiB


def pieces(data: bytes, size: int = 64 * KIB) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def head_of(data: bytes | int | None, url: str = "http://example.org/file", **fields: str) -> Head:
    """The head of a whole body; fields with underscores for hyphens."""
    size = len(data) if isinstance(data, bytes) else data
    pairs = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in fields.items())
    return Head(url, 200, pairs, size, None, size)


def names(directory: Path) -> list[str]:
    """Everything below it but directories."""
    return sorted(str(each.relative_to(directory)) for each in directory.rglob("*") if not each.is_dir())


@frozen
class Call:
    """Something that was done."""

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    thread: threading.Thread = field(factory=threading.current_thread, eq=False)

    @property
    def size(self) -> int:
        """Bytes that were to be written."""
        if self.name == "writev":
            return sum(map(len, self.arguments[1]))
        return len(self.arguments[1]) if self.name == "write" else 0


class Disk:
    """
    Stands for L{os}: does what that does.

    @ivar calls: what was done.
    @ivar before: called with each L{Call} before it is done; it may raise.
    """

    def __init__(self, before: Callable[[Call], object] = lambda call: None) -> None:
        self.calls: list[Call] = []
        self.before = before

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if not callable(real):
            return real

        def do(*arguments: Any, **options: Any) -> Any:
            call = Call(name, arguments, options)
            self.calls.append(call)
            self.before(call)
            return real(*arguments, **options)

        return do

    @property
    def done(self) -> list[str]:
        return [each.name for each in self.calls]


def order(disk: Disk) -> list[str]:
    """What was done that a power failure could undo, in its order."""
    steps = {"writev": "write", "write": "write", "link": "name", "rename": "name", "mkdir": "mkdir", "fsync": "sync"}
    return [steps[each] for each in disk.done if each in steps]


def failing(error: int, *names: str, after: int = 0, when: Callable[[Call], bool] = lambda call: True) -> Disk:
    """A disk on which these fail with this error, from the time on when one of them has been done so often."""
    left = after

    def before(call: Call) -> None:
        nonlocal left
        if call.name in names and when(call):
            if not left:
                raise OSError(error, os.strerror(error))
            left -= 1

    return Disk(before)


def without_unnamed_files() -> Disk:
    """A file system that knows no O_TMPFILE."""
    return failing(errno.EOPNOTSUPP, "open", when=lambda call: call.arguments[1] & os.O_TMPFILE == os.O_TMPFILE)


class DiskWithoutProc(Disk):
    """That of a process which sees no C{/proc}, as in a chroot."""

    def __init__(self) -> None:
        super().__init__(self._is_gone)

    def access(self, path: str, mode: int, **options: Any) -> bool:
        return not path.startswith("/proc") and os.access(path, mode, **options)

    def _is_gone(self, call: Call) -> None:
        if call.arguments and str(call.arguments[0]).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")


@implementer(IPushProducer)
class Feed:
    """
    What the engine is to a consumer: writes when it may.

    @ivar gone: the errors that the consumer's C{gone} told.
    @ivar paused: as the consumer said.
    """

    def __init__(self, reactor: Any, consumer: Any, workers: Workers | None = None) -> None:
        self.reactor = reactor
        self.consumer = consumer
        self.gone: list[Exception] = []
        self.paused = False
        if workers is not None and IWorkerUser.providedBy(consumer):
            consumer.use(workers)
        consumer.gone().addCallback(self.gone.append)

    def begin(self, head: Head) -> None:
        self.consumer.begin(head)
        self.consumer.registerProducer(self, True)

    async def write(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            while self.paused and not self.gone:
                await deferLater(self.reactor, 0.001, bool)
            if self.gone:
                raise self.gone[0]
            self.consumer.write(piece)

    def finish(self) -> Deferred[None]:
        self.consumer.unregisterProducer()
        return maybeDeferred(self.consumer.finish)

    async def rest(self, pieces: Iterable[bytes]) -> None:
        """To the end."""
        await self.write(pieces)
        await self.finish()

    async def all(self, pieces: Iterable[bytes], head: Head | None = None) -> None:
        """From the beginning to the end."""
        pieces = list(pieces)
        self.begin(head or head_of(sum(map(len, pieces))))
        await self.rest(pieces)

    def pauseProducing(self) -> None:
        assert not self.paused
        self.paused = True

    def resumeProducing(self) -> None:
        assert self.paused
        self.paused = False

    def stopProducing(self) -> None:
        raise AssertionError("gone() is how a consumer tells that it has enough")


async def impossible(reactor: Any, consumer: Any) -> Exception:
    """Told at once by gone(), and again by begin()."""
    feed = Feed(reactor, consumer)
    assert len(feed.gone) == 1
    with pytest.raises(type(feed.gone[0])) as raised:
        consumer.begin(head_of(1))
    assert raised.value is feed.gone[0]
    consumer.fail(Failure(feed.gone[0]))
    return feed.gone[0]
