"""Our own consumers keep the promises that we ask of those of others, also where the disk is another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pulp_dl.consumers.around import Around
from pulp_dl.consumers.file import ToFile
from pulp_dl.testing.checks import ConsumerCase, check_consumer
from tests.consumers.disks import without_unnamed_files


@asynccontextmanager
async def to_file(**options: Any) -> AsyncIterator[ConsumerCase]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "a/file")
        consumer = Around(ToFile("a/file", root=directory, **options))
        yield ConsumerCase(consumer, lambda: path.read_bytes() if path.exists() else None)


@asynccontextmanager
async def below_a_root(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    async with to_file(durable=False) as case:
        yield case


class TestBelowARoot(check_consumer(below_a_root)):  # type: ignore[misc]  # the class is made at run time
    """ToFile keeps every promise below a root, with a consumer around it."""


@asynccontextmanager
async def with_names(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    async with to_file(disk=without_unnamed_files()) as case:
        yield case


class TestWithNames(check_consumer(with_names)):  # type: ignore[misc]  # as above
    """So it does on a file system that knows no files without a name."""


@asynccontextmanager
async def parts_with_names(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    async with to_file(part=True, durable=False, disk=without_unnamed_files()) as case:
        yield case


class TestPartsWithNames(check_consumer(parts_with_names)):  # type: ignore[misc]  # as above
    """And so it does with parts there."""
