r"""
Lists of digests, as C{sha256sum} and its kin write and read them.

A line is the digest, two spaces (or a space and a C{*}), and the name; or C{SHA256 (name) = digest}, as with C{--tag}.
A line that begins with a backslash has C{\\}, C{\n} and C{\r} for those characters in its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from types import TracebackType
from typing import Final, Self

from ..model.expect import Digest
from .paths import Paths

__all__ = ["Sums", "sum_line"]

_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_MEANINGS: Final = {escape: char for char, escape in _ESCAPES.items()}
_LINE: Final = re.compile(r"(\\?)([0-9a-fA-F]{32,128}) [ *](.+)", re.DOTALL)
_TAGGED: Final = re.compile(r"(\\?)[A-Za-z0-9-]+ \((.+)\) = ([0-9a-fA-F]{32,128})", re.DOTALL)
_ALGORITHMS: Final = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
"""By the number of their digits, since the file's name tells no more to C{sha256sum} either."""


def sum_line(path: str, digest: str) -> bytes:
    """The line that C{sha256sum PATH} prints, with its end."""
    path = "./-" if path == "-" else path  # to sha256sum that is stdin
    escaped = re.sub(r"[\\\n\r]", lambda match: _ESCAPES[match[0]], path)
    mark = "" if escaped == path else "\\"
    return f"{mark}{digest}  {escaped}\n".encode("utf-8", "surrogateescape")


class Sums:
    """
    The digests of a list.  They are kept on the disk, whatever its length; use it as a context manager.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        """
        Lines that are none of a digest (comments, a signature) are skipped, as C{sha256sum --check} does: what only
        they name is then not listed.

        @raise ValueError: two digests for one name, or none at all.
        """
        self._paths = Paths()
        try:
            self._read(lines)
        except BaseException:
            self.close()
            raise

    def _read(self, lines: Iterable[bytes]) -> None:
        found = False
        for number, line in enumerate(lines, 1):
            text = line.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
            if (entry := _entry(text)) is None:
                continue
            found = True
            name, digest = entry
            before = self._paths.add(name, digest, number)
            if before is not None and before.what != digest:
                raise ValueError(f"line {number}: another digest of {name!r} than in line {before.line}")
        if not found:
            raise ValueError("there is no digest in it; a list as sha256sum makes it is needed")

    def find(self, *names: str) -> Digest | None:
        """The digest of the first of these names that is listed."""
        for name in names:
            listed = self._paths.get(_plain(name))
            if listed is not None:
                return Digest(_ALGORITHMS[len(listed.what)], listed.what)
        return None

    def close(self) -> None:
        self._paths.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _entry(text: str) -> tuple[str, str] | None:
    """Name and digest."""
    if match := _LINE.fullmatch(text):
        escaped, digest, name = match.groups()
    elif match := _TAGGED.fullmatch(text):
        escaped, name, digest = match.groups()
    else:
        return None
    if len(digest) not in _ALGORITHMS:
        return None
    if escaped:
        name = re.sub(r"\\[\\nr]", lambda match: _MEANINGS[match[0]], name)
    return _plain(name), digest.lower()


def _plain(name: str) -> str:
    """C{./a} is C{a}."""
    return str(PurePosixPath(name))
