"""What disks may do, and what files may be called."""

from __future__ import annotations

import errno
from typing import Final

from hypothesis import strategies as st

from ..disk import DiskFault

__all__ = ["disk_faults", "filenames"]

_ERRORS: Final = [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE, errno.EFBIG]


def disk_faults(most: int = 20) -> st.SearchStrategy[DiskFault]:
    """
    One of the first calls fails, once or, with all later ones of its kind, for good; or a write takes half of what it
    is given.

    @param most: which call, at most.
    """
    return st.builds(DiskFault, st.integers(0, most), st.sampled_from([*_ERRORS, None]), again=st.booleans())


def filenames() -> st.SearchStrategy[str]:
    """Names and paths as servers, lists and people give them: most lead to a file below a directory, some elsewhere."""
    parts = ["a", "b", "file", "..", ".", "", "~", "~root", "..a", "...", "-rf", "CON", "C:", "a\\..\\b", "a b", "a\nb"]
    parts += [
        "\u00e9",
        "e\u0301",
        "\u202egpj",
        "\0",
        "\ud800",
        "\udcff",
        "a" * 255,
        "a" * 256,
        "\u00e9" * 128,
        ".x.pulp-dl",
    ]
    parts += ["x.part", "x.part.json", "%2e%2e", "$HOME", "a;b", "*"]
    paths = st.lists(st.sampled_from(parts), min_size=1, max_size=4).map("/".join)
    return st.builds(lambda before, path: before + path, st.sampled_from(["", "", "", "/", "//", "./"]), paths)
