"""
The list of C{get -i}, as aria2 reads it.

A line has the URLs of one file, with tabs between them.  Lines below it that begin with a blank are its options, as
C{name=value}.  Empty lines and those that begin with C{#} are skipped.  It is read one file at a time, so its length
costs no memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from attrs import evolve, field, frozen
from click import UsageError

from ..consumers.file import ToFile
from ..importers.file import bounded_lines
from ..importers.paths import Paths
from ..model.expect import Digest
from ..model.headers import header_pairs
from ..model.source import Source
from ..urls import InvalidURL, parse, shown
from .get import checked, name_of
from .options import absolute, field_of
from .outcome import USAGE, Failed
from .target import make_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..importers.sums import Sums

__all__ = ["InputError", "InputFile", "Item", "Wanted", "WantedFile", "read_inputs"]

Item: TypeAlias = tuple[Source, ToFile]

LONGEST: Final = 65536
"""Bytes of one line."""

OPTIONS: Final = ("checksum", "dir", "header", "out")
"""Those of aria2 that we have."""


class InputError(Failed):
    """A line that cannot be used."""

    def __init__(self, name: str, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}", name, USAGE)


@frozen
class Wanted:
    """
    The tag of a download.

    @ivar path: where the file goes, for people.
    @ivar others: URLs that have the same file.
    """

    path: str
    others: tuple[str, ...] = field(default=(), repr=False)


@frozen
class WantedFile:
    """
    One file of the list.

    @ivar line: of its URLs.
    @ivar out: its path below the directory, or None for the name in its first URL.
    @ivar directory: None for the usual one.
    """

    line: int
    source: Source
    others: tuple[str, ...] = ()
    out: str | None = None
    directory: str | None = None


class InputFile:
    """The list, and where its files go."""

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        directory: str,
        sums: Sums | None,
        *,
        mtime: bool,
        failed: Callable[[Failed, str], object],
    ) -> None:
        """
        @param name: of the list, for people.
        @param directory: for files that name no other.
        @param sums: all files have to be what is listed there.
        @param failed: told of each file that cannot be begun, and of what it was in the way of.
        """
        self._file = file
        self._name = name
        self._directory = directory
        self._sums = sums
        self._mtime = mtime
        self._failed = failed

    def items(self, taken: Sequence[Path]) -> Iterator[Item]:
        """
        What is to be downloaded.

        @param taken: paths of other files.
        """
        with Paths() as paths:
            for path in taken:
                paths.add(os.path.abspath(path), "")  # noqa: PTH100  # the same path by another way is still another one
            for file in read_inputs(bounded_lines(self._file, LONGEST), self._name, self._fail):
                try:
                    item = self._item(file, paths)
                except Failed as error:
                    self._fail(error)
                else:
                    yield item

    def _fail(self, error: Failed) -> None:
        self._failed(error, error.path)

    def _item(self, file: WantedFile, paths: Paths) -> Item:
        directory = file.directory or self._directory
        try:
            out = file.out or name_of(file.source)
            source = checked(file.source, self._sums, out)
        except UsageError:
            raise InputError(self._name, file.line, "there is no file name in this URL; give one with out=") from None
        except LookupError as error:
            raise InputError(self._name, file.line, f"--check: {error}") from None
        path = os.path.join(directory, out)  # noqa: PTH118
        before = paths.add(os.path.abspath(path), "", file.line)  # noqa: PTH100
        if before is not None:
            other = f"line {before.line}" if before.line else "a URL of the command line"
            raise InputError(self._name, file.line, f"{path!r} is where {other} goes, too")
        make_directory(directory)
        return evolve(source, tag=Wanted(path, file.others)), ToFile(out, root=directory, part=True, mtime=self._mtime)


def read_inputs(lines: Iterable[bytes], name: str, bad: Callable[[InputError], object]) -> Iterator[WantedFile]:
    """
    The files of a list.

    @param name: of the list, for people.
    @param bad: told of each file that cannot be had, because of its line or of one of its options.
    """
    file: WantedFile | None = None
    begun = False  # options before the first URL belong to nothing
    given: set[str] = set()
    for number, line in enumerate(lines, 1):
        try:
            text = _text(line, number)
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            if text[0] not in " \t":
                if file is not None:
                    yield file
                file, begun, given = None, True, set()
                file = _urls(text, number)
            elif file is not None:
                file = _with_option(file, text.strip(), given)
            elif not begun:
                raise ValueError("an option (it begins with a blank) with no URL before it")
        except (ValueError, TypeError) as error:
            file, begun = None, True
            bad(InputError(name, number, str(error)))
    if file is not None:
        yield file


def _text(line: bytes, number: int) -> str:
    if len(line) > LONGEST:
        raise ValueError(f"longer than {LONGEST} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    return (text.removeprefix("\ufeff") if number == 1 else text).rstrip()


def _urls(text: str, number: int) -> WantedFile:
    url, *others = [_resolved(url) for each in text.split("\t") if (url := each.strip())]
    return WantedFile(number, Source(url), tuple(others))


def _resolved(url: str) -> str:
    try:
        found = absolute(url)
        parse(found)
    except InvalidURL as error:
        raise ValueError(f"{error}: {shown(url)!r}") from None
    return found


def _with_option(file: WantedFile, text: str, given: set[str]) -> WantedFile:
    name, equals, value = text.partition("=")
    if name not in OPTIONS or not equals:
        raise ValueError(f"{name[:40]!r} is no option that is known here; known are {', '.join(OPTIONS)}")
    if name == "header":
        headers = *file.source.headers, *header_pairs([field_of(value)])
        return evolve(file, source=evolve(file.source, headers=headers))
    if name in given:
        raise ValueError(f"{name} is given twice")
    given.add(name)
    if name == "checksum":
        return evolve(file, source=evolve(file.source, expect=_checksum(value)))
    if not value:
        raise ValueError(f"{name} is empty")
    if name == "dir":
        return evolve(file, directory=value)
    if os.path.isabs(value) or ".." in value.split("/"):  # noqa: PTH117
        raise ValueError(f"out={value[:200]!r} leads out of the directory; use dir for that")
    return evolve(file, out=value)


def _checksum(value: str) -> Digest:
    algorithm, equals, digest = value.partition("=")
    if not equals:
        raise ValueError("checksum is TYPE=DIGEST, such as sha-256=9f86…")
    try:
        return Digest(algorithm, digest)
    except ValueError as error:
        raise ValueError(f"checksum: {str(error).partition(': ')[2]}") from None
