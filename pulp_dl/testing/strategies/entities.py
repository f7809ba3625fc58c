"""Files as servers have them, and how they change."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any, Final

from hypothesis import strategies as st

from ..entity import Entity, History
from .bodies import Numbered, bodies, sizes

__all__ = ["entities", "histories"]

_BEGIN: Final = 1_767_600_000
"""Seconds since the epoch: some day in 2026."""

_DELAYS: Final = (0, 1, 59, 60, 61, 3600)
"""Seconds between two moments; a date that is less than 60 old proves nothing (RFC 9110 section 8.8.2.2)."""


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
    Files that change up to three times, and perhaps back, while they are asked for.

    A strong validator tells the truth: two versions have different ones.  All else may be as it is in life: weak ETags
    that are the same for both, dates that are too young to prove anything, dates that are none, no validators, servers
    that know no ranges, that overlook If-Range, or that tell another total in a 206.
    """
    tags = draw(st.sampled_from(["strong", "strong", "weak", "same", "none"]))
    dated = draw(st.sampled_from(["yes", "yes", "no", "nonsense"]))
    server: dict[str, Any] = {"ranges": draw(st.sampled_from([True, True, True, False]))}
    # Who overlooks If-Range is only found out by what it tells of the part: it has to tell something.
    server["trusting"] = draw(st.booleans()) and (tags == "strong" or (tags == "none" and dated == "yes"))
    common = draw(sizes(max_size))
    now = _BEGIN
    found: list[Entity] = []
    for version in draw(st.lists(st.integers(0, 2), min_size=1, max_size=4)):
        data = Numbered(version, common if draw(st.booleans()) else draw(sizes(max_size)))
        changed, number = now, len(found)
        for _ in range(draw(st.integers(1, 2))):  # so many requests find it
            now += draw(st.sampled_from(_DELAYS))
            found.append(
                Entity(
                    data,
                    {"strong": b'"%d"' % number, "weak": b'W/"%d"' % number, "same": b'W/"1"', "none": None}[tags],
                    {"yes": _date(changed), "no": None, "nonsense": b"yesterday"}[dated],
                    _date(now),
                    total=draw(st.sampled_from([None, None, None, "*", 0, len(data) - 1, len(data) + 1])),
                    **server,
                )
            )
    return History(tuple(found))


def _date(seconds: float) -> bytes:
    return formatdate(seconds, usegmt=True).encode("ascii")
