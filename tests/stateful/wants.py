"""Downloads of a model, and what has to become of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from pulp_dl import Digest, Report, Size, ToFile
from pulp_dl.errors import DownloadError
from pulp_dl.interfaces import IWorkers
from pulp_dl.testing import Recorder, RewindableRecorder
from tests.stateful.origins import FILES, body_of, versions_of

__all__ = ["FileHere", "Want", "expectations"]

OLD = b"what was there before"


class FileHere(ToFile):
    """A file that is written in this thread: a model has no patience for others."""

    def use(self, workers: IWorkers) -> None:
        """Not these."""


def expectations(name: str, version: int, *, digest: bool, size: bool) -> tuple[Any, ...]:
    data = body_of(name, version)
    judged = (Digest("sha256", hashlib.sha256(data).hexdigest()),) if digest else ()
    return (*judged, Size(len(data))) if size else judged


class Want:
    """
    One download.

    @ivar version: the only one that it may have in the end; None: any.
    @ivar died: its process has, before it ended.
    """

    died = False

    def __init__(
        self, name: str, version: int | None, consumer: Any, path: Path | None = None, *, part: bool = False
    ) -> None:
        self.name = name
        self.version = version
        self.consumer = consumer
        self.path = path
        self.part = part
        self.old = path is not None and path.exists()
        self.ends: list[Any] = []
        self.deferred: Deferred[Any]

    def begin(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        deferred.addBoth(self.ends.append)

    def cancel(self) -> None:
        if not self.ends:
            self.deferred.cancel()

    def after_a_crash(self) -> Want | None:
        """What is left of it: its file has to be right as before; a client is gone with the process."""
        if self.path is None or self.ends:
            return None if self.path is None else self
        left = Want(self.name, self.version, self.consumer, self.path, part=self.part)
        left.old, left.died = self.old, True
        return left

    @property
    def broke_off(self) -> bool:
        """It wanted a file, and somebody may try again."""
        return self.path is not None and (self.died or (bool(self.ends) and not self.whole))

    @property
    def has_part(self) -> bool:
        """There is something to go on with."""
        return self.path is not None and self.path.with_name(f"{self.path.name}.part").exists()

    @property
    def whole(self) -> bool:
        return isinstance(self.ends[0], Report)

    def is_right(self, data: bytes) -> bool:
        # Without a digest nobody can tell a damaged one.
        found = versions_of(self.name, data, damaged=self.version is None)
        return bool(found) if self.version is None else self.version in found

    def names(self) -> set[str]:
        """Names of files that it may have made."""
        if self.path is None:
            return set()
        parts = {f"{self.path.name}.part", f"{self.path.name}.part.json"} if self.part else set()
        return {self.path.name, *parts}

    def check(self) -> None:
        """At any moment."""
        assert len(self.ends) <= 1, "it has ended twice"
        if self.path is not None:
            self._check_file()
        elif isinstance(self.consumer, Recorder):
            self._check_stream()
        if self.ends and not self.whole:
            assert isinstance(self.ends[0], Failure)
            assert isinstance(self.ends[0].value, DownloadError | CancelledError), self.ends[0].getTraceback()

    def _check_file(self) -> None:
        assert self.path is not None
        there = self.path.read_bytes() if self.path.exists() else None
        if self.ends and self.whole:
            assert there is not None
            assert self.is_right(there), f"{self.path.name} is wrong"
        else:
            before = OLD if self.old else None
            assert there == before or (there is not None and self.is_right(there)), f"{self.path.name} is wrong"

    def _check_stream(self) -> None:
        consumer = self.consumer
        consumer.check()
        if consumer.finished:
            assert self.is_right(consumer.data), "a clean end of a wrong body"
        elif self.version is not None and FILES[self.name] and not isinstance(consumer, RewindableRecorder):
            # It cannot forget; so it must not have all of a wrong body, nor all of the right one without its end.
            assert len(consumer.data) < FILES[self.name] or self.is_right(consumer.data)
        if self.ends:
            assert consumer.finished is self.whole or not self.whole
            assert (consumer.failure is None) is self.whole
