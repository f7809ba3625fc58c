"""Files as servers have them, and how they change."""

from __future__ import annotations

from email.utils import formatdate
from typing import Final

from hypothesis import strategies as st

from ..entity import Entity, History
from .bodies import Numbered, bodies, sizes

__all__ = ["entities", "histories"]

_BEGIN: Final = 1_767_600_000
"""Seconds since the epoch: some day in 2026."""

_DELAYS: Final = (0, 0, 1, 59, 60, 3600)
"""Seconds between two moments; a date that is less than 60 old proves nothing (RFC 9110 section 8.8.2.2)."""

_WAYS: Final = (
    ("strong", "true"),
    ("strong", "none"),
    ("weak", "true"),
    ("same", "true"),
    ("same", "none"),
    ("none", "true"),
    ("none", "true"),
    ("none", "none"),
    ("none", "nonsense"),
)
"""What a server tells of its versions: which ETags and which dates."""

_CHANGES: Final = ((0, 1), (0, 1), (0, 1, 2), (0, 1, 0), (0, 1, 2, 0), (0,))
_SIZES: Final = (0, 1, 1000, 20_000, 65_536, 65_537, 70_000)


def entities(max_size: int = 70_000) -> st.SearchStrategy[Entity]:
    """Files as honest and less honest servers have them: with strong, weak or no validators, with ranges or without."""
    return st.builds(
        Entity,
        bodies(max_size),
        st.sampled_from([None, b'"1"', b'W/"1"', b'""']),
        st.sampled_from([None, b"Mon, 05 Jan 2026 10:00:00 GMT", b"Mon, 05 Jan 2026 11:59:59 GMT", b"yesterday"]),
        ranges=st.booleans(),
        total=st.sampled_from([None, None, None, "*"]),
    )


@st.composite
def histories(draw: st.DrawFn, max_size: int = 70_000) -> History:
    """
    Files that change up to three times, and perhaps back, while they are asked for; mostly without another size.

    A strong validator tells the truth: two versions have different ones.  All else may be as it is in life: weak ETags
    that are the same for both, dates that are too young to prove anything, dates that are none, no validators, servers
    that know no ranges, that overlook If-Range, or that tell another total in a 206.
    """
    tags, dates = draw(st.sampled_from(_WAYS))
    ranges = draw(st.integers(0, 7)) > 0
    trusting = draw(st.booleans())
    common = draw(st.sampled_from([min(size, max_size) for size in _SIZES]))
    now = _BEGIN
    found: list[Entity] = []
    for version in draw(st.sampled_from(_CHANGES)):
        data = Numbered(version, common if draw(st.integers(0, 4)) else draw(sizes(max_size)))
        changed, number = now, len(found)
        for _ in range(draw(st.sampled_from([1, 1, 2]))):  # so many requests find it
            now += draw(st.sampled_from(_DELAYS))
            found.append(
                Entity(
                    data,
                    {"strong": b'"%d"' % number, "weak": b'W/"%d"' % number, "same": b'W/"1"', "none": None}[tags],
                    {"true": _date(changed), "none": None, "nonsense": b"yesterday"}[dates],
                    _date(now),
                    ranges=ranges,
                    trusting=trusting,
                    total=draw(st.sampled_from([None, None, None, "*", 0, len(data) - 1, len(data) + 1])),
                )
            )
    return History(tuple(found))


def _date(seconds: float) -> bytes:
    return formatdate(seconds, usegmt=True).encode("ascii")
