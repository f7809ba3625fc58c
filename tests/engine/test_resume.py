"""A download goes on with what an earlier run left of the file, if that is proven to be the same file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pulp_dl import Digest, Downloader, Places, Remote, Retries, Source, ToFile
from pulp_dl.errors import Truncated
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place

DATA = bytes(range(256)) * 4096  # 1 MiB
PART = 600_000  # what came of it
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
A, B = "memory://a/file", "memory://b/file"


async def interrupted(reactor: Any, path: Path, url: str, place: Place) -> None:
    """A run that ends with a part of the file."""
    once = Remote(retries=Retries(count=0))
    memory = MemoryFetcher({url: place.but(drop_at=PART)}, reactor)
    async with Downloader(reactor, once, schemes=[MemoryScheme(memory)]) as downloader:
        with pytest.raises(Truncated):
            await downloader.download(url, ToFile(path, part=True))

    assert path.with_name("file.part").stat().st_size == PART


async def resumed(reactor: Any, path: Path, source: Source | str, places: dict[str, Any], **options: Any) -> Any:
    """The next run: what was asked, what came, and the report."""
    memory = MemoryFetcher(places, reactor)
    async with Downloader(reactor, schemes=[MemoryScheme(memory)], **options) as downloader:
        report = await downloader.download(source, ToFile(path, part=True))

    assert [each.name for each in path.parent.iterdir()] == ["file"]

    return memory.asked, sum(each.received for each in report.attempts), report


async def test_the_same_place_is_asked_for_the_rest_with_if_range(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    await interrupted(reactor, path, A, Place(DATA))
    asked, received, report = await resumed(reactor, path, A, {A: Place(DATA)})

    assert path.read_bytes() == DATA
    assert [dict(each.fields) for each in asked] == [{b"Range": b"bytes=%d-" % PART, b"If-Range": b'"1"'}]
    assert (received, report.size, report.head.url) == (len(DATA) - PART, len(DATA), A)


async def test_a_url_that_was_signed_again_is_the_same_place(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    await interrupted(reactor, path, A + "?signature=one", Place(DATA))
    url = A + "?signature=two"
    _, received, _ = await resumed(reactor, path, url, {url: Place(DATA)})

    assert path.read_bytes() == DATA
    assert received == len(DATA) - PART


async def test_a_file_that_has_changed_is_read_from_its_beginning(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    await interrupted(reactor, path, A, Place(DATA))
    new = DATA[::-1]
    _, received, report = await resumed(reactor, path, A, {A: Place(new, etag=b'"2"')})

    assert path.read_bytes() == new
    assert (received, report.size) == (len(new), len(new))


async def test_without_a_strong_validator_or_a_digest_nothing_is_joined(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    await interrupted(reactor, path, A, Place(DATA, etag=None))
    new = DATA[::-1]
    _, received, _ = await resumed(reactor, path, A, {A: Place(new, etag=None)})

    assert path.read_bytes() == new
    assert received == len(new)


async def test_another_place_is_asked_for_the_rest_if_a_digest_will_judge(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    await interrupted(reactor, path, A, Place(DATA))
    places = {B: Place(DATA, etag=b'"other"')}
    asked, received, _ = await resumed(reactor, path, Source(A, SHA), places, mirrors=Places([B], under=A))

    assert path.read_bytes() == DATA
    assert received == len(DATA) - PART
    assert {b"Range": b"bytes=%d-" % PART} in [dict(each.fields) for each in asked]
    assert all(b"If-Range" not in dict(each.fields) for each in asked if each.url == B)


async def test_another_place_without_a_digest_is_read_from_its_beginning(reactor: Any, tmp_path: Path) -> None:
    """An equal ETag of another place proves nothing."""
    path = tmp_path / "file"
    await interrupted(reactor, path, A, Place(DATA))
    new = DATA[::-1]
    _, received, _ = await resumed(reactor, path, B, {B: Place(new)})

    assert path.read_bytes() == new
    assert received == len(new)


async def test_the_first_bytes_are_judged_too(reactor: Any, tmp_path: Path) -> None:
    """A part that was damaged meanwhile costs one more reading, not a wrong file."""
    path = tmp_path / "file"
    await interrupted(reactor, path, A, Place(DATA))
    with path.with_name("file.part").open("r+b") as part:
        part.write(b"damage")
    _, received, _ = await resumed(reactor, path, Source(A, SHA), {A: Place(DATA)})

    assert path.read_bytes() == DATA
    assert received == len(DATA) - PART + len(DATA)


async def test_a_break_after_a_resume_is_gone_on_from_there(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    await interrupted(reactor, path, A, Place(DATA))
    places = {A: [Place(DATA, drop_at=100_000), Place(DATA)]}
    asked, received, _ = await resumed(reactor, path, A, places)

    assert path.read_bytes() == DATA
    assert received == len(DATA) - PART
    assert [dict(each.fields)[b"Range"] for each in asked] == [b"bytes=600000-", b"bytes=700000-"]
