"""Our own protocols and consumers keep the promises that we ask of those of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme

from pulp_dl.consumers.around import Counted, Progress, Tee
from pulp_dl.consumers.file import ToFile
from pulp_dl.consumers.memory import ToMemory
from pulp_dl.model.remote import Remote
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.file import FileFetcher
from pulp_dl.protocols.http.fetcher import HTTPFetcher
from pulp_dl.testing import (
    Close,
    ConsumerCase,
    Entity,
    FaultServer,
    FetcherCase,
    Framing,
    MemoryFetcher,
    Place,
    Recorder,
    RewindableRecorder,
    Script,
    Send,
    ServerTLS,
    answer,
    check_consumer,
    check_fetcher,
    response_head,
)
from tests.sinks import sharing


def etag(data: bytes) -> bytes:
    return b'"%s"' % sha256(data).hexdigest().encode()


# ---- protocols


def memory_case(fetcher: MemoryFetcher, chunk: int) -> FetcherCase:
    def serve(name: str, data: bytes) -> str:
        url = f"memory://host/{name.replace(' ', '-')}"
        fetcher.places[url] = Place(data, etag(data), chunk=chunk)
        return url

    return FetcherCase(fetcher, serve, "memory://host/missing")


@asynccontextmanager
async def memory(_reactor: Any) -> AsyncIterator[FetcherCase]:
    fetcher = MemoryFetcher({})
    yield memory_case(fetcher, 1024)
    assert fetcher.running == 0


class TestMemory(check_fetcher(memory)):  # type: ignore[misc]  # the class is made at run time
    """The fetcher in memory keeps every promise of IFetcher."""


@asynccontextmanager
async def memory_in_turns(reactor: Any) -> AsyncIterator[FetcherCase]:
    fetcher = MemoryFetcher({}, reactor)
    yield memory_case(fetcher, 65536)
    assert fetcher.running == 0


class TestMemoryInTurns(check_fetcher(memory_in_turns)):  # type: ignore[misc]  # as above
    """It does so too when each piece takes a turn of the reactor."""


@asynccontextmanager
async def http_case(
    reactor: Any, remote: Remote, framing: Framing, tls: ServerTLS | None = None
) -> AsyncIterator[FetcherCase]:
    scripts: dict[str, Script] = {}
    async with FaultServer(reactor, scripts, tls=tls) as server, sharing(reactor) as shared:
        fetcher = HTTPFetcher(reactor, remote, shared)

        def serve(name: str, data: bytes) -> str:
            path = f"/{name.replace(' ', '-')}"
            scripts[path] = answer(Entity(data, etag(data)), framing=framing)
            return server.url(path, "localhost")

        def lying(name: str, data: bytes, size: int) -> str:
            head = response_head(200, ((b"Content-Length", b"%d" % size),))
            scripts[f"/{name}"] = (Send(head + data), Close())
            return server.url(f"/{name}", "localhost")

        missing = server.url("/missing", "localhost")
        yield FetcherCase(fetcher, serve, missing, lying=lying if framing == "length" else None)


@asynccontextmanager
async def http(reactor: Any) -> AsyncIterator[FetcherCase]:
    async with http_case(reactor, Remote(), "length") as case:
        yield case


class TestHTTP(check_fetcher(http)):  # type: ignore[misc]  # as above
    """HTTP keeps every promise of IFetcher."""


@asynccontextmanager
async def http_chunked(reactor: Any) -> AsyncIterator[FetcherCase]:
    async with http_case(reactor, Remote(), "chunked") as case:
        yield case


class TestChunkedHTTP(check_fetcher(http_chunked)):  # type: ignore[misc]  # as above
    """It does so when bodies come in chunks."""


@asynccontextmanager
async def http_close(reactor: Any) -> AsyncIterator[FetcherCase]:
    async with http_case(reactor, Remote(), "close") as case:
        yield case


class TestCloseDelimitedHTTP(check_fetcher(http_close)):  # type: ignore[misc]  # as above
    """It does so when only the end of the connection ends a body."""


CA = trustme.CA()
SERVER = ServerTLS(CA.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())


@asynccontextmanager
async def https(reactor: Any) -> AsyncIterator[FetcherCase]:
    remote = Remote(tls=TLS(ca=CA.cert_pem.bytes().decode()))
    async with http_case(reactor, remote, "length", SERVER) as case:
        yield case


class TestHTTPS(check_fetcher(https)):  # type: ignore[misc]  # as above
    """HTTPS keeps every promise of IFetcher."""


@asynccontextmanager
async def file(reactor: Any) -> AsyncIterator[FetcherCase]:
    with TemporaryDirectory() as directory:
        async with sharing(reactor) as shared:

            def serve(name: str, data: bytes) -> str:
                path = Path(directory, name.replace(" ", "-"))
                path.unlink(missing_ok=True)
                path.write_bytes(data)
                return path.as_uri()

            yield FetcherCase(FileFetcher(reactor, Remote(), shared), serve, Path(directory, "missing").as_uri())


class TestFile(check_fetcher(file)):  # type: ignore[misc]  # as above
    """Files of this machine keep every promise of IFetcher."""


# ---- consumers


@asynccontextmanager
async def recorder(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    consumer = Recorder()
    yield ConsumerCase(consumer, lambda: consumer.data if consumer.finished else None)


class TestRecorder(check_consumer(recorder)):  # type: ignore[misc]  # as above
    """The recorder keeps every promise of IBodyConsumer."""


@asynccontextmanager
async def rewindable_recorder(reactor: Any) -> AsyncIterator[ConsumerCase]:
    consumer = RewindableRecorder(reactor, pause_for=0.001)
    yield ConsumerCase(consumer, lambda: consumer.data if consumer.finished else None)


class TestRewindableRecorder(check_consumer(rewindable_recorder)):  # type: ignore[misc]  # as above
    """The recorder that can forget keeps every promise of IRewindable, also when it pauses after each write."""


def names(directory: str) -> list[str]:
    return [path.name for path in Path(directory).iterdir()]


def fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@asynccontextmanager
async def new_file(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "file")
        yield ConsumerCase(ToFile(path), lambda: content(path))
        assert {*names(directory)} <= {"file"}


class TestNewFile(check_consumer(new_file)):  # type: ignore[misc]  # as above
    """ToFile keeps every promise of IBodyConsumer, and leaves nothing beside the file."""


@asynccontextmanager
async def old_file(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "file")
        fill(path, b"what was there")
        yield ConsumerCase(ToFile(path, durable=False), lambda: content(path))
        assert names(directory) == ["file"]


class TestOldFile(check_consumer(old_file)):  # type: ignore[misc]  # as above
    """So it does where there is a file already."""


@asynccontextmanager
async def part_file(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "file")
        yield ConsumerCase(ToFile(path, part=True), lambda: content(path))


class TestPartFile(check_consumer(part_file)):  # type: ignore[misc]  # as above
    """So it does with a part that can be resumed."""


@asynccontextmanager
async def memory_consumer(_reactor: Any) -> AsyncIterator[ConsumerCase]:
    consumer = ToMemory()

    def read() -> bytes | None:
        try:
            return consumer.data
        except RuntimeError:
            return None

    yield ConsumerCase(consumer, read)


class TestToMemory(check_consumer(memory_consumer)):  # type: ignore[misc]  # as above
    """ToMemory keeps every promise of IRewindable."""


@asynccontextmanager
async def tee(reactor: Any) -> AsyncIterator[ConsumerCase]:
    async with new_file(reactor) as file_case, memory_consumer(reactor) as memory_case:

        def read() -> Any:
            kept = file_case.read(), memory_case.read()
            return kept[0] if kept[0] == kept[1] else kept

        yield ConsumerCase(Tee(file_case.consumer, memory_case.consumer), read)


class TestTee(check_consumer(tee)):  # type: ignore[misc]  # as above
    """A Tee of consumers that can rewind keeps every promise of IRewindable, in all of them."""


@asynccontextmanager
async def tee_with_recorder(reactor: Any) -> AsyncIterator[ConsumerCase]:
    async with old_file(reactor) as file_case:
        yield ConsumerCase(Tee(Recorder(reactor, pause_for=0.001), file_case.consumer), file_case.read)


class TestTeeThatCannotRewind(check_consumer(tee_with_recorder)):  # type: ignore[misc]  # as above
    """A Tee of which one cannot rewind, and pauses, keeps every promise of IBodyConsumer."""


@asynccontextmanager
async def counted(reactor: Any) -> AsyncIterator[ConsumerCase]:
    progress = Progress()
    async with new_file(reactor) as case:
        yield ConsumerCase(Counted(case.consumer, progress), case.read)
    assert progress.done + progress.failed == 1


class TestCounted(check_consumer(counted)):  # type: ignore[misc]  # as above
    """A consumer whose progress is counted keeps every promise of its own."""
