"""Files by their sha256: what is stored, what is used, and what goes first."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure

from pulp_dl import Digest, Downloader, Size, Source
from pulp_dl.consumers.atomic import temporary_name
from pulp_dl.consumers.interfaces import IRandomAccess
from pulp_dl.errors import DigestMismatch, NotFound, Refused
from pulp_dl.flow.workers import Workers
from pulp_dl.importers.store import Store
from pulp_dl.interfaces import IRewindable
from pulp_dl.model.source import Head, Span
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place
from pulp_dl.testing.checks import ConsumerCase, check_consumer

DATA = b"a bear of very little brain"
SHA = sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(store: Store) -> dict[str, bytes]:
    root = Path(store.directory)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def add(store: Store, data: bytes) -> tuple[str, int]:
    with TemporaryFile() as file:
        file.write(data)
        return store.add(file)


async def bring(reactor: Any, store: Store, data: bytes, name: str) -> None:
    """Download a body that is expected to have this digest."""
    scheme = MemoryScheme(MemoryFetcher({"memory://h/file": Place(data)}))
    consumer: Any = store.consumer(name, len(data))
    async with Downloader(reactor, schemes=[scheme]) as downloader:
        await downloader.download(Source("memory://h/file", expect=[Size(len(data)), Digest("sha256", name)]), consumer)


@asynccontextmanager
async def to_a_store(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    with TemporaryDirectory() as directory:
        store = Store(directory, durable=False)
        consumer: Any = store.consumer(SHA)
        path = Path(store.path(SHA))
        yield ConsumerCase(consumer, lambda: path.read_bytes() if path.exists() else None)


class TestStoring(check_consumer(to_a_store)):  # type: ignore[misc]  # the class is made at run time
    """What stores a body keeps every promise of a consumer."""


def test_what_is_read_as_it_grows_comes_in_its_order(store: Store) -> None:
    consumer = store.consumer(SHA)
    assert IRewindable.providedBy(consumer)
    assert not IRandomAccess.providedBy(consumer)


async def test_a_body_is_at_the_path_of_its_digest(reactor: Any, store: Store) -> None:
    assert store.use(SHA) is None

    await bring(reactor, store, DATA, SHA)

    assert files(store) == {f"{SHA[:2]}/{SHA[2:]}": DATA}
    assert store.use(SHA, len(DATA)) == store.path(SHA) == f"{store.directory}/{SHA[:2]}/{SHA[2:]}"


async def test_a_bad_body_is_never_stored(reactor: Any, store: Store) -> None:
    with pytest.raises(DigestMismatch):
        await bring(reactor, store, b"X" + DATA[1:], SHA)

    assert files(store) == {}


@pytest.mark.parametrize("again", [False, True])
def test_a_part_is_never_stored(store: Store, again: bool) -> None:
    consumer: Any = store.consumer(SHA)
    part = Head("memory://h/file", 206, (), 4, Span(0, 4), len(DATA))
    if again:
        consumer.begin(Head("memory://h/file", 200, (), len(DATA), None, len(DATA)))
    with pytest.raises(Refused, match="a part of a file is not stored"):
        (consumer.rewind if again else consumer.begin)(part)
    consumer.fail(Failure(NotFound(404)))

    assert files(store) == {}


@given(data=st.binary(max_size=3000))
def test_whatever_is_added_is_found_by_its_digest(data: bytes) -> None:
    with TemporaryDirectory() as directory:
        store = Store(directory)
        assert add(store, data) == add(store, data) == (sha256(data).hexdigest(), len(data))
        assert [*files(store).values()] == [data]


def test_a_file_of_another_size_is_as_good_as_none_and_is_replaced(store: Store) -> None:
    add(store, DATA)
    Path(store.path(SHA)).write_bytes(DATA[:-1])

    assert store.use(SHA, len(DATA)) is None

    add(store, DATA)
    assert store.use(SHA, len(DATA)) is not None


def test_what_is_no_file_is_not_used(store: Store) -> None:
    Path(store.path(SHA)).mkdir(parents=True)
    assert store.use(SHA) is None

    Path(store.path(SHA)).rmdir()
    Path(store.path(SHA)).symlink_to("/etc/passwd")
    assert store.use(SHA) is None


async def test_its_time_is_that_of_its_origin_whenever_it_is_used(reactor: Any, store: Store) -> None:
    consumer: Any = store.consumer(SHA)
    fields = ((b"Last-Modified", b"Sun, 06 Nov 1994 08:49:37 GMT"),)
    consumer.begin(Head("memory://h/file", 200, fields, len(DATA), None, len(DATA)))
    consumer.write(DATA)
    await consumer.finish()
    found = Path(store.path(SHA)).stat()

    assert found.st_mtime == 784111777
    assert found.st_atime > time.time() - 60
    os.utime(store.path(SHA), (0, 784111777))
    store.use(SHA)
    found = Path(store.path(SHA)).stat()
    assert (found.st_mtime, found.st_atime > time.time() - 60) == (784111777, True)


def body(number: int, size: int) -> bytes:
    return number.to_bytes(4, "big") * (size // 4 + 1)


@given(sizes=st.lists(st.integers(4, 900), max_size=12), limit=st.integers(0, 3000), order=st.randoms())
def test_whatever_is_stored_what_was_not_used_longest_makes_room(sizes: list[int], limit: int, order: Any) -> None:
    with TemporaryDirectory() as directory:
        store = Store(directory, limit=limit, durable=False)
        used = order.sample(range(1000), len(sizes))
        names = [add(store, body(number, size))[0] for number, size in enumerate(sizes)]
        for name, when in zip(names, used, strict=True):
            os.utime(store.path(name), (when, 0))
        store.evict()
        left = {when for name, when in zip(names, used, strict=True) if Path(store.path(name)).exists()}

        newest = sorted(zip(used, names, strict=True), reverse=True)
        weights = [len(body(names.index(name), sizes[names.index(name)])) for _, name in newest]
        fits = sum(1 for end in range(1, len(weights) + 1) if sum(weights[:end]) <= limit - limit // 16)
        assert left == {when for when, _ in newest[:fits]}


async def test_files_that_come_make_those_go_that_nobody_wants(reactor: Any, tmp_path: Path) -> None:
    store = Store(tmp_path, limit=160)
    bodies = [body(number, 36) for number in range(12)]  # of 40 bytes
    for number, data in enumerate(bodies):
        for each in bodies[:number]:  # all are old but the first, which is always wanted
            if each is not bodies[0] and store.use(name := sha256(each).hexdigest()):
                os.utime(store.path(name), (bodies.index(each), 0))
        store.use(sha256(bodies[0]).hexdigest())
        await bring(reactor, store, data, sha256(data).hexdigest())  # closing waits for what makes room

        assert sum(map(len, files(store).values())) <= 160

    assert bodies[0] in files(store).values()
    assert bodies[-1] in files(store).values()


def test_what_is_larger_than_the_limit_is_not_stored_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path, limit=160)

    assert store.consumer(SHA, 151) is None
    assert store.consumer(SHA, 150) is not None
    assert Store(tmp_path).consumer(SHA, 1 << 60) is not None


def test_what_is_not_wanted_is_forgotten_but_not_while_somebody_may_be_about_to_open_it(store: Store) -> None:
    wanted, old, new = (add(store, data)[0] for data in (b"wanted", b"old", b"new"))
    for name in (wanted, old):
        os.utime(store.path(name), (time.time() - 100, 0))

    store.forget({wanted}.__contains__, 50)

    assert sorted(files(store).values()) == [b"new", b"wanted"]
    store.forget({wanted}.__contains__, 0)
    assert sorted(files(store).values()) == [b"wanted"]
    assert store.use(new) is None


def test_what_a_killed_process_left_goes_when_a_day_is_over(store: Store) -> None:
    add(store, DATA)
    directory = Path(store.path(SHA)).parent
    stray, fresh = directory / temporary_name("a"), directory / temporary_name("b")
    stray.touch()
    fresh.touch()
    os.utime(stray, (0, time.time() - 25 * 3600))

    store.forget(lambda name: True, 0)

    assert (stray.exists(), fresh.exists()) == (False, True)
    assert store.use(SHA) is not None


def test_processes_share_it(tmp_path: Path) -> None:
    """Each sees what the others have stored, and what they took away."""
    ours, theirs = Store(tmp_path), Store(tmp_path, limit=1)
    name, size = add(ours, DATA)

    assert theirs.use(name, size) is not None

    theirs.evict()
    assert ours.use(name, size) is None
    ours.evict()


@pytest.mark.parametrize("well", [True, False])
async def test_a_file_that_is_on_its_way_is_not_stored_twice_at_a_time(store: Store, well: bool) -> None:
    consumer: Any = store.consumer(SHA)
    assert store.consumer(SHA) is not None  # for it has not begun
    consumer.begin(Head("memory://h/file", 200, (), len(DATA), None, len(DATA)))
    assert (store.consumer(SHA), store.settled(SHA)) == (None, None)
    consumer.write(DATA)
    if well:
        await consumer.finish()
    else:
        consumer.fail(Failure(NotFound(404)))

    assert store.consumer(SHA) is not None
    assert (store.use(SHA) is not None) == well


async def test_who_asks_while_a_file_is_being_finished_hears_of_its_end(reactor: Any, store: Store) -> None:
    workers = Workers(reactor)
    consumer: Any = store.consumer(SHA)
    consumer.use(workers)
    consumer.begin(Head("memory://h/file", 200, (), len(DATA), None, len(DATA)))
    consumer.write(DATA)
    ending = consumer.finish()
    settling: Any = store.settled(SHA)
    assert not settling.called
    await settling

    assert store.use(SHA) is not None
    assert store.settled(SHA) is None
    await ending
    await workers.close()


KILLED = """
import os, signal, sys
from pulp_dl.importers.store import Store
from pulp_dl.model.source import Head

store = Store(sys.argv[1])
consumer = store.consumer(sys.argv[2])
consumer.begin(Head("memory://h/file", 200, (), 1000000, None, 1000000))
consumer.write(b"x" * 500000)
held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")[:-1]]
assert any("(deleted)" in each for each in held), held
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_process_that_is_killed_while_it_stores_leaves_nothing(reactor: Any, store: Store) -> None:
    args = ["-c", KILLED, store.directory, SHA]
    path = os.pathsep.join(sys.path)
    killed = getProcessOutputAndValue(sys.executable, args, {"PYTHONPATH": path}, reactor=reactor)
    _, error, number = await killed.addErrback(lambda failure: failure.value)

    assert (number, error) == (signal.SIGKILL, b"")
    assert files(store) == {}
    await bring(reactor, store, DATA, SHA)
    assert [*files(store).values()] == [DATA]
