"""What is in a directory and in no manifest: C{sync --delete}."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator
from errno import ENOTEMPTY
from stat import S_ISLNK
from typing import TYPE_CHECKING

from attrs import frozen

from .outcome import DISK, SOME, Failed

if TYPE_CHECKING:
    from ..importers.paths import Paths

__all__ = ["Prune"]


@frozen
class _Found:
    """
    Something in the directory.

    @ivar path: below the directory; that of a folder ends with a slash.
    @ivar fd: of the folder that C{name} is in.
    """

    path: str
    name: str
    fd: int
    wanted: bool

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")

    def remove(self) -> None:
        """By way of its folder, so that no symlink can lead elsewhere."""
        if self.is_folder:
            os.rmdir(self.name, dir_fd=self.fd)
        else:
            os.unlink(self.name, dir_fd=self.fd)


class Prune:
    """Makes a directory equal to a list: whatever else is in it goes.  Folders that are empty then go, too."""

    def __init__(
        self, directory: str, wanted: Paths, spared: Callable[[str], bool], ours: Container[str] = frozenset()
    ) -> None:
        """
        @param wanted: paths below the directory.
        @param spared: True for a path that is not wanted, and stays; it does not count.
        @param ours: what an earlier run left; it does not count, either: nobody misses it.
        """
        self._directory = directory
        self._wanted = wanted
        self._spared = spared
        self._ours = ours

    def objection(self) -> Failed | None:
        """Why it had better not be done: half of the files that are there, or more, would go."""
        kept = going = 0
        for found in self._walk():
            if found.wanted:
                kept += 1
            elif not found.is_folder and found.path not in self._ours:
                going += 1
        if going == 0 or going < kept:
            return None
        files = "1 file" if kept + going == 1 else f"{kept + going} files"
        return Failed(
            f"--delete would remove {going} of the {files} there, so nothing was done;"
            " look at them with --dry-run, and give --force if that is meant",
            self._directory,
            SOME,
        )

    def going(self) -> Iterator[str]:
        """What would go."""
        for found in self._walk():
            if not found.wanted:
                yield found.path

    def clear(self, failed: Callable[[Failed], object]) -> Iterator[str]:
        """
        As L{run}, but only what is in the way of what is wanted: nothing could come there.  That is a folder where a
        file is to be, or a file where a folder is.
        """
        return self._remove(self._is_in_the_way, failed)

    def _is_in_the_way(self, found: _Found) -> bool:
        path = found.path.rstrip("/")
        ends = (end for end, char in enumerate(path + "/") if char == "/")
        below = any(self._is_for_a_file(path[:end]) for end in ends)
        return below or (not found.is_folder and self._wanted.occupies(path))

    def _is_for_a_file(self, path: str) -> bool:
        """If it is for a folder, too, then the file cannot come whatever goes."""
        return (path in self._wanted or self._spared(path)) and not self._wanted.holds(path)

    def run(self, failed: Callable[[Failed], object]) -> Iterator[str]:
        """
        Remove it, one at a time, and tell what is gone.

        @param failed: told of what cannot be removed.
        """
        return self._remove(lambda _: True, failed)

    def _remove(self, chosen: Callable[[_Found], bool], failed: Callable[[Failed], object]) -> Iterator[str]:
        for found in self._walk():
            if found.wanted or not chosen(found):
                continue
            try:
                found.remove()
            except OSError as error:
                if error.errno == ENOTEMPTY:  # something in it was not removed, and that was told
                    continue
                failed(Failed(error.strerror or str(error), os.path.join(self._directory, found.path), DISK))  # noqa: PTH118
            else:
                yield found.path

    def _walk(self) -> Iterator[_Found]:
        """All but what is spared; what is in a folder comes before it, and no symlink is followed."""
        # The directory itself may be reached by symlinks, they are the caller's own.
        top = os.path.realpath(self._directory)
        if not os.path.isdir(top):  # noqa: PTH112
            return
        staying: set[str] = set()
        try:
            for folder, folders, names, fd in os.fwalk(top, topdown=False, onerror=_raise):
                below = os.path.relpath(folder, top)
                prefix = "" if below == "." else f"{below}/"
                stays = False
                for name in folders:
                    path = prefix + name
                    if S_ISLNK(os.lstat(name, dir_fd=fd).st_mode):
                        names.append(name)
                    elif path in staying:
                        staying.discard(path)
                        stays = True
                    else:
                        yield _Found(f"{path}/", name, fd, wanted=False)
                for name in names:
                    path = prefix + name
                    wanted = path in self._wanted
                    if wanted or self._spared(path):
                        stays = True
                    if wanted or not self._spared(path):
                        yield _Found(path, name, fd, wanted)
                if stays:
                    staying.add(below)
        except OSError as error:
            raise Failed(error.strerror or str(error), str(error.filename or self._directory), DISK) from error
        except RecursionError:
            raise Failed("its folders are nested too deep to be looked through", self._directory, DISK) from None


def _raise(error: OSError) -> None:
    raise error
