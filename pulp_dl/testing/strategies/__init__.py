"""
What servers may say and disks may do, for hypothesis: right answers in every form, wrong ones, and how they arrive.

Sizes are small, because what breaks does so at edges that the strategies seek (empty, one byte, the end of a buffer),
and hypothesis tries hundreds.  What is drawn is made of small values, so that it can be printed and shrunk.
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis
except ImportError as error:
    raise ImportError("the strategies need hypothesis: pip install 'pulp_dl[test]'") from error

from .bodies import EDGES, Numbered, Repeated, bodies, segmentations
from .disks import disk_faults, filenames
from .entities import entities, histories
from .ftp import ftp_dialogues, passive_replies
from .http import chunked, cuts, ends, faults, framings, heads, interim, junk, lengths, names, servers
from .places import Mirror, Redirects, identities, mirror_sets, redirect_graphs, urls
from .wires import wires

__all__ = [
    "EDGES",
    "Mirror",
    "Numbered",
    "Redirects",
    "Repeated",
    "bodies",
    "chunked",
    "cuts",
    "disk_faults",
    "ends",
    "entities",
    "faults",
    "filenames",
    "framings",
    "ftp_dialogues",
    "heads",
    "histories",
    "identities",
    "interim",
    "junk",
    "lengths",
    "mirror_sets",
    "names",
    "passive_replies",
    "redirect_graphs",
    "segmentations",
    "servers",
    "urls",
    "wires",
]

del _hypothesis
