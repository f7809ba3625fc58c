"""
PULP_MANIFEST: a list of files, with one line of C{path,sha256,size} for each.

It is read lazily and from the disk, so its length costs no memory.  It comes from somebody else, so its paths are not
trusted: whatever could lead out of a directory, or is no plain name, is refused.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, Self
from urllib.parse import quote

from attrs import evolve

from ..consumers.root import SUFFIX
from ..interfaces import IDownloader
from ..model.expect import Digest, Size
from ..model.source import Source, as_source
from ..urls import join, shown
from .paths import Paths
from .spool import Spool

if TYPE_CHECKING:
    from ..blocking import BlockingDownloader

__all__ = [
    "LIMIT",
    "Entry",
    "Manifest",
    "ManifestError",
    "bounded_lines",
    "fetch_manifest",
    "fetch_manifest_blocking",
    "read_manifest",
]

LIMIT: Final = 256 * 1024 * 1024
"""Bytes that a manifest may have: some three million lines."""

LONGEST: Final = 8192
"""Bytes of one line; a path has 4,096 at most."""

DEEPEST: Final = 256
"""Names of one path.  Who walks through a directory that is much deeper may not come to its end."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SIZE = re.compile(r"[0-9]{1,19}")


class ManifestError(ValueError):
    """
    A line that cannot be used.

    @ivar line: its number; the first is 1.
    @ivar reason: what is wrong with it.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line} of the manifest: {reason}")
        self.line = line
        self.reason = reason


class Entry(NamedTuple):
    """
    One file of a manifest.

    @ivar source: where it is and what it has to be; C{source.tag} is C{path}.
    @ivar path: where it belongs, relative, with slashes.
    """

    source: Source
    path: str

    @property
    def expected(self) -> tuple[int, str]:
        """Its size and its sha256."""
        size: Any
        digest: Any
        size, digest = self.source.expect
        return size.value, digest.value


def read_manifest(
    lines: Iterable[bytes | str] | bytes | str,
    manifest: Source | str,
    *,
    bad: Callable[[ManifestError], object] | None = None,
    paths: Paths | None = None,
) -> Iterator[Entry]:
    """
    The files of a manifest, one line at a time.

    Empty lines and those that begin with C{#} are skipped, and so is a line that repeats another one.

    @param lines: as a file gives them, or the whole text; bytes are UTF-8.
    @param manifest: where it came from.  Paths are relative to its URL, and its secrets (userinfo, C{headers},
        C{remote}) serve the files too, in their own scope.
    @param bad: told of each line that cannot be used; None raises the first.
    @param paths: what was read of other manifests that are for the same directory; it is added to.
    @raise ManifestError: a line cannot be used.
    """
    found = as_source(manifest)
    directory, name = str(join(found.place, "./")), shown(found.url)
    with Paths() if paths is None else nullcontext(paths) as seen:
        for number, line in enumerate(_split(lines), 1):
            try:
                entry = _entry(line, number, found, directory)
                if entry is not None and _is_new(entry, number, name, seen):
                    yield entry
            except ManifestError as error:
                if bad is None:
                    raise
                bad(error)


def _split(lines: Iterable[bytes | str] | bytes | str) -> Iterable[bytes | str]:
    # Not splitlines(), which knows more ends of a line than a file does.
    if isinstance(lines, bytes):
        return lines.split(b"\n")
    return lines.split("\n") if isinstance(lines, str) else lines


def _entry(line: bytes | str, number: int, manifest: Source, directory: str) -> Entry | None:
    if len(line) > LONGEST:
        raise ManifestError(number, f"longer than {LONGEST} bytes")
    try:
        text = line.decode() if isinstance(line, bytes) else line
        text.encode()
    except UnicodeError:
        raise ManifestError(number, "not UTF-8") from None
    if number == 1:
        text = text.removeprefix("\ufeff")
    text = text.rstrip("\r\n")
    if not text.strip() or text.startswith("#"):
        return None
    fields = text.rsplit(",", 2)
    if len(fields) != 3:
        raise ManifestError(number, "three fields are needed: path,sha256,size")
    path, digest, size = fields[0], fields[1].strip(), fields[2].strip()
    if (reason := _objection(path)) is not None:
        raise ManifestError(number, f"{reason}: {path[:200]!r}")
    if not _SIZE.fullmatch(size):
        raise ManifestError(number, f"{size[:40]!r} is no size in bytes")
    try:
        expect = Size(int(size)), Digest("sha256", digest)
    except ValueError:
        raise ManifestError(number, f"{digest[:80]!r} is no sha256; it has 64 hexadecimal digits") from None
    source = evolve(
        manifest,
        url=directory + quote(path, safe="/"),
        expect=expect,
        span=None,
        conditions=(),
        tag=path,
        scope=manifest.scope or manifest.url,
    )
    return Entry(source, path)


def _is_new(entry: Entry, line: int, manifest: str, seen: Paths) -> bool:
    """
    False if the same was there already.

    @raise ManifestError: something else was there under the same path.
    """
    size, digest = entry.expected
    what = f"{size} {digest}"
    before = seen.add(entry.path, what, line, manifest)
    if before is not None and before.what != what:
        where = f"line {before.line}" if before.origin == manifest else f"line {before.line} of {before.origin}"
        raise ManifestError(line, f"the same path as in {where}, but another file: {entry.path!r}")
    return before is None


def _objection(path: str) -> str | None:
    """Why this path is not used, or None."""
    if not path:
        return "an empty path"
    if path.startswith("/"):
        return "an absolute path"
    if _CONTROL.search(path):
        return "a control character in a path"
    if "\\" in path:
        return "a backslash in a path"
    names = path.split("/")
    if ".." in names or "." in names:
        return "a path with '.' or '..'"
    if "" in names:
        return "a path with an empty name"
    if len(names) > DEEPEST:
        return f"a path of more than {DEEPEST} names"
    if any(name.endswith(SUFFIX) for name in names):
        return f"names that end in {SUFFIX} are kept for temporary files"
    return None


# ---- getting it


class Manifest:
    """
    A manifest that was downloaded, in a file without a name.  Iterating over it reads it; close it in the end.

    @ivar source: where it came from.
    @ivar file: its bytes.
    """

    def __init__(self, source: Source, file: BinaryIO) -> None:
        self.source = source
        self.file = file

    def entries(
        self, bad: Callable[[ManifestError], object] | None = None, paths: Paths | None = None
    ) -> Iterator[Entry]:
        """What L{read_manifest} makes of it, from its first line on."""
        self.file.seek(0)
        return read_manifest(bounded_lines(self.file), self.source, bad=bad, paths=paths)

    def extent(self) -> tuple[int, int]:
        """
        About how many files it lists, and how many bytes they have together.

        That is what the ends of its lines say, at a small part of the cost of reading it.  A line that cannot be used
        counts as a file, too: as one that fails.
        """
        self.file.seek(0)
        files = size = 0
        for line in bounded_lines(self.file):
            if line.startswith(b"#") or line.isspace():
                continue
            files += 1
            last = line.rpartition(b",")[2].strip()
            if last.isdigit() and len(last) < 20:
                size += int(last)
        return files, size

    def paths_with(self, text: str) -> Iterator[str]:
        """
        The paths that have this in them, at a small part of the cost of reading all; also those of lines that cannot be
        used for another reason.
        """
        self.file.seek(0)
        there = text.encode()
        for number, line in enumerate(bounded_lines(self.file), 1):
            if there in line:
                path = (line if number > 1 else line.removeprefix(BOM_UTF8)).decode(errors="replace").rsplit(",", 2)[0]
                if _objection(path) is None:
                    yield path

    def __iter__(self) -> Iterator[Entry]:
        return self.entries()

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def bounded_lines(file: BinaryIO, longest: int = LONGEST) -> Iterator[bytes]:
    """Lines; of one that is too long C{longest + 1} bytes, so that it is never in memory as a whole."""
    while line := file.readline(longest + 1):
        yield line
        while len(line) > longest and not line.endswith(b"\n"):
            line = file.readline(longest + 1) or b"\n"


async def fetch_manifest(downloader: IDownloader, source: Source | str, *, limit: int = LIMIT) -> Manifest:
    """
    Download a manifest.

    @raise DownloadError: as C{downloader.download} does; L{TooLarge} for more than C{limit} bytes.
    """
    found, spool = as_source(source), Spool(limit)
    with spool:
        await downloader.download(found, spool)
        return Manifest(found, spool.open())


def fetch_manifest_blocking(downloader: BlockingDownloader, source: Source | str, *, limit: int = LIMIT) -> Manifest:
    """L{fetch_manifest}, for threads that wait."""
    found, spool = as_source(source), Spool(limit)
    with spool:
        downloader.download(found, spool)
        return Manifest(found, spool.open())
