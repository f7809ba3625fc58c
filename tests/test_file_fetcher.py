"""file:// keeps the contract of IFetcher."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from pulp_dl import Downloader, Retries, ToMemory
from pulp_dl.engine.shared import Shared
from pulp_dl.errors import AuthFailed, NotFound, NotResumable, Refused, Truncated
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.interfaces import IBody, IFetcher
from pulp_dl.model.remote import Remote
from pulp_dl.model.source import Source, Span, Validators
from pulp_dl.protocols.file import PIECE, FileFetcher
from pulp_dl.testing import Recorder
from tests.sinks import Sink, read, sharing, turn


@pytest.fixture
async def shared(reactor: Any) -> AsyncIterator[Shared]:
    async with sharing(reactor) as made:
        yield made


@pytest.fixture
def fetcher(reactor: Any, shared: Shared) -> FileFetcher:
    return FileFetcher(reactor, Remote(), shared)


def descriptors(path: Path) -> int:
    """How many descriptors of this process are open for a file."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            count += each.readlink() == path
        except FileNotFoundError:
            continue
    return count


async def test_a_file_comes_as_it_is_with_the_head_of_an_http_answer(fetcher: FileFetcher, tmp_path: Path) -> None:
    """200, with what a gateway needs to answer its client."""
    path = tmp_path / "a"
    path.write_bytes(b"hello")
    os.utime(path, (1, 784111777))
    head, data = await read(fetcher, path.as_uri())

    assert data == b"hello"
    assert (head.status, head.length, head.total, head.span) == (200, 5, 5, None)
    assert head.get(b"content-length") == b"5"
    assert head.get(b"last-modified") == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert head.get(b"accept-ranges") == b"bytes"
    assert head.validators.if_range == head.etag
    assert head.url == path.as_uri()


async def test_it_is_an_IFetcher_with_IBodies(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Both interfaces are there."""
    (tmp_path / "a").write_bytes(b"hello")
    body: Any = await fetcher.open(Source((tmp_path / "a").as_uri()))

    assert verifyObject(IFetcher, fetcher)
    assert verifyObject(IBody, body)
    body.abandon()
    assert descriptors(tmp_path / "a") == 0


async def test_an_empty_file_is_a_file(fetcher: FileFetcher, tmp_path: Path) -> None:
    """No write, a registered and unregistered producer, an end."""
    (tmp_path / "empty").touch()
    head, data = await read(fetcher, (tmp_path / "empty").as_uri())

    assert (head.status, head.length, data) == (200, 0, b"")


async def test_a_head_costs_no_descriptor_and_no_read(fetcher: FileFetcher, tmp_path: Path) -> None:
    """C{head} says the same as C{open}."""
    (tmp_path / "a").write_bytes(b"hello")
    head = await fetcher.head(Source((tmp_path / "a").as_uri()))

    assert (head.status, head.length) == (200, 5)
    assert descriptors(tmp_path / "a") == 0


@pytest.mark.parametrize("name", ["a b", "ä€", "50%", "a;b?c#d", "a+b", "%41", "~x"])
async def test_a_name_is_what_the_url_decodes_to(fetcher: FileFetcher, tmp_path: Path, name: str) -> None:
    """Whatever C{as_uri} encodes, we decode."""
    (tmp_path / name).write_bytes(name.encode())
    _, data = await read(fetcher, (tmp_path / name).as_uri())

    assert data == name.encode()


async def test_a_name_need_not_be_utf8(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Names are bytes to the kernel."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    path.write_bytes(b"latin")
    _, data = await read(fetcher, tmp_path.as_uri() + "/%ff")

    assert data == b"latin"


async def test_a_query_is_not_part_of_the_name(fetcher: FileFetcher, tmp_path: Path) -> None:
    """As for every file URL."""
    (tmp_path / "a").write_bytes(b"x")
    _, data = await read(fetcher, (tmp_path / "a").as_uri() + "?version=3")

    assert data == b"x"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "No such file or directory"),
        ("file/below", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("nul%00", "no file has a NUL in its name"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
async def test_what_is_not_there_is_NotFound(fetcher: FileFetcher, tmp_path: Path, name: str, words: str) -> None:
    """So is what cannot be there.  A gateway has a status for it, but there is no server that has answered it."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NotFound) as raised:
        await fetcher.open(Source(f"{tmp_path.as_uri()}/{name}"))

    assert (raised.value.status, raised.value.message) == (404, words)


async def test_what_may_not_be_read_is_AuthFailed(fetcher: FileFetcher, tmp_path: Path) -> None:
    """EACCES, of the file or of a folder above it."""
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    us = os.geteuid()
    if us == 0:  # root reads everything
        os.seteuid(65534)
    try:
        with pytest.raises(AuthFailed) as raised:
            await fetcher.open(Source(path.as_uri()))
        assert (raised.value.status, raised.value.message) == (403, "Permission denied")
    finally:
        os.seteuid(us)


async def test_directories_devices_and_pipes_are_Refused(fetcher: FileFetcher, tmp_path: Path) -> None:
    """A FIFO without a writer would wait for ever, a device may do something."""
    os.mkfifo(tmp_path / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.close()
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "socket", Path("/dev/null")):
        with pytest.raises(Refused, match="no regular file"):
            await fetcher.open(Source(path.as_uri()))


async def test_a_file_that_does_not_tell_its_size_is_not_taken_for_an_empty_one(fetcher: FileFetcher) -> None:
    with pytest.raises(Refused, match="does not tell its size"):
        await fetcher.open(Source("file:///proc/self/stat"))


@pytest.mark.parametrize(
    ("span", "status", "part", "data"),
    [
        (Span(0), 206, Span(0, 10), b"0123456789"),
        (Span(4), 206, Span(4, 10), b"456789"),
        (Span(4, 6), 206, Span(4, 6), b"45"),
        (Span(4, 600), 206, Span(4, 10), b"456789"),
        (Span(-3), 206, Span(7, 10), b"789"),
        (Span(-30), 206, Span(0, 10), b"0123456789"),
        (Span(10), 416, None, b""),
    ],
)
async def test_a_span_is_answered_as_a_server_would(
    fetcher: FileFetcher, tmp_path: Path, span: Span, status: int, part: Span | None, data: bytes
) -> None:
    """206 with its Content-Range, or 416 with the total."""
    (tmp_path / "a").write_bytes(b"0123456789")
    head, found = await read(fetcher, (tmp_path / "a").as_uri(), span)

    assert (head.status, head.span, head.length, head.total, found) == (status, part, len(data), 10, data)
    of = b"*" if part is None else b"%d-%d" % (part.start, (part.stop or 0) - 1)
    assert head.get(b"content-range") == b"bytes %b/10" % of


async def test_an_empty_file_has_no_part(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Every span of it is a 416."""
    (tmp_path / "empty").touch()
    for span in (Span(0), Span(-5)):
        head, _ = await read(fetcher, (tmp_path / "empty").as_uri(), span)

        assert (head.status, head.total) == (416, 0)


async def test_the_rest_comes_only_if_the_file_is_still_the_same(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Promise 3: with other validators the whole comes."""
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    first = await fetcher.head(Source(path.as_uri()))
    same, rest = await read(fetcher, path.as_uri(), Span(5), first.validators)
    (tmp_path / "b").write_bytes(b"abcdefghij")
    (tmp_path / "b").rename(path)
    other, whole = await read(fetcher, path.as_uri(), Span(5), first.validators)
    unproven, everything = await read(fetcher, path.as_uri(), Span(5), Validators())

    assert (same.status, rest) == (206, b"56789")
    assert (other.status, whole) == (200, b"abcdefghij")
    assert (unproven.status, everything) == (200, b"abcdefghij")


async def test_a_file_that_was_written_again_has_another_etag(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Also in place, with the same size, within the same second."""
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(0, 1_000_000_001))
    before = await fetcher.head(Source(path.as_uri()))
    os.utime(path, ns=(0, 1_000_000_002))
    after = await fetcher.head(Source(path.as_uri()))

    assert before.get(b"last-modified") == after.get(b"last-modified")
    assert before.etag != after.etag


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
async def test_the_conditions_of_a_client_are_answered(
    fetcher: FileFetcher, tmp_path: Path, zone: str, in_zone: Callable[[str], None]
) -> None:
    """If-None-Match and If-Modified-Since give 304; If-Range decides about a part.  Dates are in UTC everywhere."""
    in_zone(zone)
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    os.utime(path, (784111777, 784111777))
    etag = (await fetcher.head(Source(path.as_uri()))).etag or b""
    expected = [
        ({b"If-None-Match": etag}, None, 304),
        ({b"If-None-Match": b'"x", W/' + etag}, None, 304),
        ({b"If-None-Match": b"*"}, None, 304),
        ({b"If-None-Match": b'"x"'}, None, 200),
        ({b"If-None-Match": b'"x"', b"If-Modified-Since": b"Sun, 06 Nov 1994 08:49:37 GMT"}, None, 200),
        ({b"If-Modified-Since": b"Sun, 06 Nov 1994 08:49:37 GMT"}, None, 304),
        ({b"If-Modified-Since": b"Sun, 06 Nov 1994 08:49:36 GMT"}, None, 200),
        ({b"If-Modified-Since": b"Sun Nov  6 08:49:37 1994"}, None, 304),
        ({b"If-Modified-Since": b"Sun Nov  6 08:49:36 1994"}, None, 200),
        ({b"If-Modified-Since": b"yesterday"}, None, 200),
        ({b"If-Range": etag}, Span(1), 206),
        ({b"If-Range": b'"x"'}, Span(1), 200),
        ({b"If-Range": b"Sun, 06 Nov 1994 08:49:37 GMT"}, Span(1), 200),
    ]
    for conditions, span, status in expected:
        head, data = await read(fetcher, Source(path.as_uri(), conditions=conditions), span)

        assert (head.status, len(data)) == (status, {200: 10, 206: 9, 304: 0}[status]), conditions


async def test_a_large_file_comes_in_pieces(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Promise 6: memory is bounded by a piece, not by the file."""
    data = os.urandom(3 * PIECE + 1)
    (tmp_path / "a").write_bytes(data)
    body: Any = await fetcher.open(Source((tmp_path / "a").as_uri()))
    sink = Sink()
    await body.deliver(sink)

    assert sink.data == data
    assert max(map(len, sink.pieces)) <= PIECE


async def test_workers_without_threads_cost_no_stack_for_each_piece(reactor: Any, tmp_path: Path) -> None:
    """Then every read is done at once, inside of the call."""
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(500 * PIECE)
    async with sharing(reactor) as shared:
        await shared.workers.close()
        inline: Any = InlineWorkers()
        shared.workers = inline
        count = 0

        def forget(sink: Sink) -> None:
            nonlocal count
            count += len(sink.pieces.pop())

        body: Any = await FileFetcher(reactor, Remote(), shared).open(Source((tmp_path / "sparse").as_uri()))
        await body.deliver(Sink(forget))

        assert count == 500 * PIECE


async def test_a_paused_consumer_gets_no_byte_until_it_resumes(
    fetcher: FileFetcher, tmp_path: Path, reactor: Any, shared: Shared
) -> None:
    """Back-pressure reaches the disk: nothing is read ahead either."""
    (tmp_path / "a").write_bytes(b"x" * (2 * PIECE))
    body: Any = await fetcher.open(Source((tmp_path / "a").as_uri()))
    sink = Sink(lambda sink: sink.producer.pauseProducing())
    done = body.deliver(sink)
    while not sink.pieces:
        await turn(reactor)
    await shared.workers.run(lambda: None)  # a turn of the threads
    await turn(reactor)

    assert len(sink.pieces) == 1
    sink.producer.resumeProducing()
    while len(sink.pieces) < 2:
        await turn(reactor)
    sink.producer.resumeProducing()
    await done
    assert len(sink.data) == 2 * PIECE


async def test_a_consumer_may_pause_and_resume_inside_of_a_write(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Neither recursion nor a doubled piece."""

    def nervous(sink: Sink) -> None:
        sink.producer.pauseProducing()
        sink.producer.resumeProducing()

    data = os.urandom(4 * PIECE)
    (tmp_path / "a").write_bytes(data)
    body: Any = await fetcher.open(Source((tmp_path / "a").as_uri()))
    sink = Sink(nervous)
    await body.deliver(sink)

    assert sink.data == data


async def test_cancelling_while_it_is_paused_closes_the_file_at_once(
    fetcher: FileFetcher, tmp_path: Path, reactor: Any
) -> None:
    """Promise 5."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (2 * PIECE))
    body: Any = await fetcher.open(Source(path.as_uri()))
    sink = Sink(lambda sink: sink.producer.pauseProducing())
    done = body.deliver(sink)
    while not sink.pieces:
        await turn(reactor)
    assert descriptors(path) == 1
    done.cancel()

    assert descriptors(path) == 0
    assert sink.producer is None
    with pytest.raises(CancelledError):
        await done


async def test_cancelling_from_inside_of_a_write_ends_the_writes(fetcher: FileFetcher, tmp_path: Path) -> None:
    """The pipe does this when a body is too large."""
    (tmp_path / "a").write_bytes(b"x" * (3 * PIECE))
    body: Any = await fetcher.open(Source((tmp_path / "a").as_uri()))
    running: list[Deferred[None]] = []
    sink = Sink(lambda sink: running[0].cancel())
    running.append(body.deliver(sink))
    with pytest.raises(CancelledError):
        await running[0]

    assert len(sink.pieces) == 1
    assert descriptors(tmp_path / "a") == 0


async def test_a_descriptor_that_a_thread_still_uses_is_closed_when_the_thread_has_done(
    fetcher: FileFetcher, tmp_path: Path
) -> None:
    """Its number might be somebody else's file by then."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * PIECE)
    body: Any = await fetcher.open(Source(path.as_uri()))
    sink = Sink()
    done = body.deliver(sink)  # a read is under way now
    done.cancel()
    with pytest.raises(CancelledError):
        await done
    await fetcher.close()

    assert descriptors(path) == 0
    assert sink.pieces == []


async def test_cancelling_open_leaves_no_descriptor(
    fetcher: FileFetcher, tmp_path: Path, reactor: Any, shared: Shared
) -> None:
    """The thread may be opening it at this moment."""
    path = tmp_path / "a"
    path.write_bytes(b"x")
    opening = fetcher.open(Source(path.as_uri()))
    opening.cancel()
    with pytest.raises(CancelledError):
        await opening
    await shared.workers.close()  # it has been opened by now
    await turn(reactor)

    assert descriptors(path) == 0


async def test_close_ends_what_runs(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Openings and deliveries fail with CancelledError, bodies that nobody read are closed; twice is once."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (2 * PIECE))
    source = Source(path.as_uri())
    running: Any = (await fetcher.open(source)).deliver(Sink(lambda sink: sink.producer.pauseProducing()))
    await fetcher.open(source)
    opening = fetcher.open(source)
    await fetcher.close()
    await fetcher.close()

    assert descriptors(path) == 0
    for each in (running, opening):
        with pytest.raises(CancelledError):
            await each


async def test_a_consumer_that_raises_ends_the_delivery_with_its_error(fetcher: FileFetcher, tmp_path: Path) -> None:
    """And with a closed file."""

    def full(sink: Sink) -> None:
        raise OSError("disk full")

    (tmp_path / "a").write_bytes(b"x")
    body: Any = await fetcher.open(Source((tmp_path / "a").as_uri()))
    with pytest.raises(OSError, match="disk full"):
        await body.deliver(Sink(full))

    assert descriptors(tmp_path / "a") == 0


async def test_a_file_that_shrinks_while_it_is_read_is_Truncated(fetcher: FileFetcher, tmp_path: Path) -> None:
    """Never a short file that looks whole."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (2 * PIECE))
    body: Any = await fetcher.open(Source(path.as_uri()))
    os.truncate(path, PIECE + 5)
    with pytest.raises(Truncated) as raised:
        await body.deliver(Sink())

    assert (raised.value.received, raised.value.expected) == (PIECE + 5, 2 * PIECE)


def rewritten(path: Path, size: int, *, later: bool = True) -> None:
    """In place, by so many bytes."""
    with path.open("r+b") as file:
        file.write(b"y" * size)
    if later:  # whatever the resolution of the clock
        found = path.stat()
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


@pytest.mark.parametrize("span", [None, Span(10), Span(0, PIECE + 1), Span(5, 6)])
@pytest.mark.parametrize("size", [2 * PIECE, 3, 2 * PIECE + 1])
async def test_a_file_that_is_written_while_it_is_read_is_not_resumable(
    fetcher: FileFetcher, tmp_path: Path, span: Span | None, size: int
) -> None:
    """Never a mix of two versions that looks whole: who grew may have been written anew as well."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (2 * PIECE))
    body: Any = await fetcher.open(Source(path.as_uri()), span)
    rewritten(path, size)
    with pytest.raises(NotResumable, match="the file changed while it was read") as raised:
        await body.deliver(Sink())

    assert raised.value.transient
    assert descriptors(path) == 0


async def test_a_file_that_is_replaced_or_removed_while_it_is_read_is_what_was_opened(
    fetcher: FileFetcher, tmp_path: Path
) -> None:
    """So are links to it, and who may read it."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"x" * 10)
    other.write_bytes(b"y" * 10)
    body: Any = await fetcher.open(Source(path.as_uri()))
    os.link(path, tmp_path / "c")
    path.chmod(0o400)
    other.replace(path)
    (tmp_path / "c").unlink()
    sink = Sink()
    await body.deliver(sink)

    assert sink.data == b"x" * 10


@pytest.mark.parametrize("consumer", [ToMemory, Recorder])
async def test_a_download_of_a_file_that_is_written_meanwhile_is_of_one_version(
    reactor: Any, tmp_path: Path, consumer: Callable[[], Any]
) -> None:
    """It is read again; by who can forget it."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (4 * PIECE))

    class Writing(consumer):  # type: ignore[misc, valid-type]  # the class is a parameter
        written = False

        def write(self, data: bytes) -> None:
            super().write(data)
            if not self.written:
                self.written = True
                rewritten(path, 4 * PIECE)

    to = Writing()
    async with Downloader(reactor, Remote(retries=Retries(count=1, base=0.01))) as downloader:
        if consumer is ToMemory:
            report = await downloader.download(path.as_uri(), to)
            assert to.data == b"y" * (4 * PIECE)
            assert [type(each.error) for each in report.attempts] == [NotResumable, type(None)]
        else:
            with pytest.raises(NotResumable):
                await downloader.download(path.as_uri(), to)
            assert to.failure is not None


@given(
    size=st.integers(0, 3 * PIECE), start=st.integers(-PIECE, 3 * PIECE), length=st.integers(1, 2 * PIECE) | st.none()
)
async def test_whatever_is_asked_for_is_what_python_slices(
    reactor: Any, tmp_path_factory: pytest.TempPathFactory, size: int, start: int, length: int | None
) -> None:
    """The bytes of a 206 are those of the slice, for all sizes and spans."""
    path = tmp_path_factory.mktemp("slices") / "a"
    data = bytes(size % 251 for size in range(size))
    path.write_bytes(data)
    span = Span(start) if start < 0 or length is None else Span(start, start + length)
    async with sharing(reactor) as shared:
        head, found = await read(FileFetcher(reactor, Remote(), shared), path.as_uri(), span)

    assert found == (data[span.start : span.stop] if span.start or size else b"")
    assert head.status == (206 if found else 416)
