"""PULP_MANIFEST: what is read from it, and what is refused."""

from __future__ import annotations

import hashlib
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pulp_dl import Basic, BlockingDownloader, Digest, Downloader, Remote, Size, Source
from pulp_dl.consumers.root import locate
from pulp_dl.errors import NotFound, TooLarge
from pulp_dl.importers.file import (
    LONGEST,
    Entry,
    Manifest,
    ManifestError,
    fetch_manifest,
    fetch_manifest_blocking,
    read_manifest,
)
from pulp_dl.importers.paths import Paths
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place
from pulp_dl.urls import shown
from tests.blocking.threads import in_thread

BASE = "https://h.example/repo/PULP_MANIFEST"
SHA = hashlib.sha256(b"abc").hexdigest()
OTHER = hashlib.sha256(b"abd").hexdigest()


def line(path: str, sha256: str = SHA, size: object = 3) -> str:
    return f"{path},{sha256},{size}\n"


def one(text: str, base: Source | str = BASE) -> Entry:
    (entry,) = read_manifest([text], base)
    return entry


def test_a_line_says_where_a_file_is_and_what_it_has_to_be() -> None:
    entry = one(line("a/b.iso"))

    source, path = entry

    assert path == source.tag == "a/b.iso"
    assert source.url == "https://h.example/repo/a/b.iso"
    assert source.expect == (Size(3), Digest("sha256", SHA))


def test_comments_empty_lines_line_ends_and_a_byte_order_mark_are_no_files() -> None:
    lines = ["\ufeff# by hand\n", "\n", "  \r\n", "#a,b,c\n", f"a,{SHA},3\r\n", f"b, {SHA.upper()} , 4 "]

    sha = Digest("sha256", SHA)
    files = [("a", (Size(3), sha)), ("b", (Size(4), sha))]

    assert [(path, source.expect) for source, path in read_manifest(lines, BASE)] == files
    # And the whole text in place of its lines, whatever else str.splitlines() takes for the end of one.
    assert [path for _, path in read_manifest("".join(lines), BASE)] == ["a", "b"]
    assert [path for _, path in read_manifest("".join(lines).encode(), BASE)] == ["a", "b"]


def test_commas_belong_to_the_path() -> None:
    assert one(line("a, b,c")).path == "a, b,c"


@given(path=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example(path="50% off #1?.iso")
@example(path="grüße/日本.iso")
@example(path="http://evil.example/a")
@example(path="a:b/c;d=e&f+g")
@example(path=" a ")
def test_whatever_the_path_the_url_names_that_file_and_no_other(path: str) -> None:
    """Spaces, percent signs, hashes, question marks, any alphabet: as a server of files decodes it."""
    try:
        (entry,) = read_manifest([line(path)], BASE)
    except (ManifestError, ValueError):
        assume(False)
    base, _, rest = entry.source.url.partition("/repo/")

    assert base == "https://h.example"
    assert not {"?", "#"} & set(rest)
    assert unquote(rest) == entry.path == path


@given(path=st.text(st.sampled_from("abc./\\~ \x00\n,#%")) | st.text(st.characters(exclude_categories=["Cs"])))
@example(path="../x")
@example(path="a/../../x")
@example(path="/etc/passwd")
@example(path="a//b")
@example(path="./a")
@example(path="a/.")
@example(path="..")
@example(path="a\\..\\b")
@example(path="a\x00b")
@example(path="a\x1b[2Jb")
@example(path="a/")
@example(path=".lock.pulp-dl")
@example(path="x.pulp-dl/a")
def test_whatever_the_path_it_stays_in_the_directory(path: str) -> None:
    """It is a plain relative path, or it is refused; and nothing in it moves a terminal's cursor."""
    try:
        found = [entry.path for entry in read_manifest([line(path)], BASE)]
    except ManifestError:
        return
    for each in found:
        names = each.split("/")

        assert not {"", ".", ".."} & set(names)
        assert each.isprintable() or not any(ord(char) < 32 or ord(char) == 127 for char in each)
        assert "\\" not in each
        assert locate(each, "/root/mirror").path == f"/root/mirror/{each}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\n", "three fields are needed: path,sha256,size"),
        (f"a,{SHA}\n", "three fields are needed: path,sha256,size"),
        (line(""), "an empty path: ''"),
        (line("/a"), "an absolute path: '/a'"),
        (line("a/../b"), "a path with '.' or '..': 'a/../b'"),
        (line("a/" * 256 + "b"), "a path of more than 256 names: " + repr(("a/" * 256)[:200])),
        (line("a//b"), "a path with an empty name: 'a//b'"),
        (line("a\\b"), r"a backslash in a path: 'a\\b'"),
        (line("a\x00b"), r"a control character in a path: 'a\x00b'"),
        (line("a.pulp-dl"), "names that end in .pulp-dl are kept for temporary files: 'a.pulp-dl'"),
        (line("a", size=-1), "'-1' is no size in bytes"),
        (line("a", size="1e3"), "'1e3' is no size in bytes"),
        (line("a", size="٣"), "'٣' is no size in bytes"),
        (line("a", size=""), "'' is no size in bytes"),
        (line("a", sha256="abc"), "'abc' is no sha256; it has 64 hexadecimal digits"),
        (b"\xff" + line("a").encode(), "not UTF-8"),
        (line("\udcff"), "not UTF-8"),
        (line("a" * LONGEST), f"longer than {LONGEST} bytes"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_why(text: str | bytes, reason: str) -> None:
    with pytest.raises(ManifestError) as caught:
        list(read_manifest(["# a comment\n", "\n", text], BASE))

    assert (caught.value.line, caught.value.reason) == (3, reason)
    assert str(caught.value) == f"line 3 of the manifest: {reason}"


def test_manifests_for_one_directory_share_their_paths() -> None:
    """What another one has listed already is not listed again; another file of that path names the manifest."""
    bad: list[ManifestError] = []
    other = "https://elmer:wabbit@h.example/other/LIST?token=hunter2"
    with Paths() as paths:
        first = [*read_manifest(line("a") + line("b"), BASE, paths=paths)]
        second = [*read_manifest(line("c") + line("b") + line("a", OTHER), other, bad=bad.append, paths=paths)]
        third = [*read_manifest(line("c", OTHER), BASE, bad=bad.append, paths=paths)]

        assert [each.path for each in first + second + third] == ["a", "b", "c"]
        assert [*paths] == [(name, f"3 {SHA}") for name in "abc"]
    assert [str(error) for error in bad] == [
        f"line 3 of the manifest: the same path as in line 1 of {BASE}, but another file: 'a'",
        f"line 1 of the manifest: the same path as in line 1 of {shown(other)}, but another file: 'c'",
    ]
    assert "hunter2" not in str(bad)


def test_paths_with_something_in_them_are_found_without_reading_all() -> None:
    """A mark of byte order is no part of the first one; it may be one of others."""
    text = [
        "\ufeff",
        line("a.part"),
        line("a"),
        line("x,y.part/z"),
        line("../b.part"),
        line("\ufeffc.part"),
        "d.part,1",
    ]
    with Manifest(Source(BASE), BytesIO("".join(text).encode())) as manifest:
        assert [*manifest.paths_with(".part")] == ["a.part", "x,y.part/z", "\ufeffc.part", "d.part"]


def test_who_asks_for_bad_lines_gets_all_the_good_ones() -> None:
    bad: list[ManifestError] = []
    found = read_manifest([line("a"), line("../b"), "c", line("d")], BASE, bad=bad.append)

    assert [each.path for each in found] == ["a", "d"]
    assert [each.line for each in bad] == [2, 3]


def test_a_line_may_be_repeated() -> None:
    assert [each.path for each in read_manifest([line("a"), line("b"), line("a")], BASE)] == ["a", "b"]


@pytest.mark.parametrize("second", [line("a", sha256=OTHER), line("a", size=4)])
def test_one_path_cannot_be_two_files(second: str) -> None:
    with pytest.raises(ManifestError, match=r"line 3 .*the same path as in line 1, but another file: 'a'"):
        list(read_manifest([line("a"), line("b"), second], BASE))


def test_it_is_read_lazily() -> None:
    taken = 0

    def lines() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield line(f"file-{taken}")

    entries = read_manifest(lines(), BASE)

    assert [next(entries).path for _ in range(3)] == ["file-1", "file-2", "file-3"]
    assert taken == 3


def test_secrets_of_the_manifest_serve_its_files_in_its_own_scope() -> None:
    remote = Remote()
    manifest = Source("https://elmer:wabbit@h.example/repo/PULP_MANIFEST?sig=x", headers={"X-Key": "1"}, remote=remote)
    source = one(line("a"), manifest).source

    assert source.url == "https://h.example/repo/a"
    assert source.scope == "https://h.example/repo/PULP_MANIFEST?sig=x"
    assert source.auth == Basic("elmer", "wabbit")
    assert source.headers == ((b"X-Key", b"1"),)
    assert source.remote is remote


def test_the_span_and_the_conditions_of_the_manifest_are_its_own() -> None:
    manifest = Source(BASE, span=(0, 5), conditions={"If-None-Match": '"x"'}, expect=Size(7))
    source = one(line("a"), manifest).source

    assert (source.span, source.conditions, source.expect) == (None, (), (Size(3), Digest("sha256", SHA)))


# ---- downloading it


def listing(count: int) -> bytes:
    return "".join(line(f"file-{number}") for number in range(count)).encode()


def memory(data: bytes, **faults: Any) -> MemoryFetcher:
    return MemoryFetcher({"memory://h/repo/PULP_MANIFEST": Place(data, **faults)})


def leftovers() -> list[Path]:
    return [*Path(tempfile.gettempdir()).glob("pulp-dl-*")]


async def test_it_is_downloaded_in_the_reactor(reactor: Any) -> None:
    async with Downloader(reactor, schemes=[MemoryScheme(memory(listing(100)))]) as downloader:
        with await fetch_manifest(downloader, "memory://h/repo/PULP_MANIFEST") as manifest:
            assert len([*manifest]) == 100
            assert len([*manifest]) == 100  # as often as it is wanted
            assert next(iter(manifest)).source.url == "memory://h/repo/file-0"
            assert leftovers() == []


def test_it_tells_how_much_it_lists_before_it_is_read(tmp_path: Path) -> None:
    """A line that nobody can use is one that fails, and has no bytes, whatever it ends with."""
    path = tmp_path / "manifest"
    path.write_text("# path,sha256,9\n\n" + line("a", size=7) + line("b,c", size=" 50 ") + "d,5x\n" + "e," + "9" * 99)
    with path.open("rb") as file:
        assert Manifest(Source(BASE), file).extent() == (4, 57)
        path.write_text(line("a", size=8) + line("b", size=0).rstrip())
        assert Manifest(Source(BASE), file).extent() == (2, 8)


async def test_it_is_downloaded_by_a_thread() -> None:
    def importer() -> list[str]:
        with (
            BlockingDownloader(schemes=[MemoryScheme(memory(listing(3)))]) as downloader,
            fetch_manifest_blocking(downloader, "memory://h/repo/PULP_MANIFEST") as manifest,
        ):
            assert leftovers() == []
            return [each.path for each in manifest]

    assert await in_thread(importer) == ["file-0", "file-1", "file-2"]


@pytest.mark.parametrize("length", [True, False])
async def test_one_that_is_too_large_is_refused(reactor: Any, length: bool) -> None:
    place = memory(listing(100), length=length)
    async with Downloader(reactor, schemes=[MemoryScheme(place)]) as downloader:
        with pytest.raises(TooLarge):
            await fetch_manifest(downloader, "memory://h/repo/PULP_MANIFEST", limit=1000)
        with await fetch_manifest(downloader, "memory://h/repo/PULP_MANIFEST", limit=len(listing(100))) as manifest:
            assert len([*manifest]) == 100

    assert leftovers() == []


async def test_one_that_is_not_there_leaves_nothing(reactor: Any) -> None:
    async with Downloader(reactor, schemes=[MemoryScheme(MemoryFetcher({}))]) as downloader:
        with pytest.raises(NotFound):
            await fetch_manifest(downloader, "memory://h/repo/PULP_MANIFEST")

    assert leftovers() == []


def test_a_line_without_an_end_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    with path.open("wb") as file:
        file.write(b"x" * 100_000 + b"\n" + line("a").encode() + b"y" * 100_000)
    bad: list[ManifestError] = []
    with Manifest(Source(BASE), path.open("rb")) as manifest:
        found = [each.path for each in manifest.entries(bad.append)]

    assert found == ["a"]
    assert [(each.line, each.reason) for each in bad] == [(1, "longer than 8192 bytes"), (3, "longer than 8192 bytes")]


def test_a_long_manifest_costs_no_memory() -> None:
    """A set of these paths alone would take 16 MB."""
    pages = os.sysconf("SC_PAGESIZE")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * pages

    entries = read_manifest((line(f"{number:0>1500}") for number in range(10_000)), BASE)
    next(entries)
    before = resident()
    for _ in entries:
        pass

    assert resident() - before < 6 * 1024 * 1024
