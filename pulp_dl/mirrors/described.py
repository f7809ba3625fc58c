"""What a metalink says of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from attrs import evolve, field, frozen

from ..model.expect import Digest, Size
from ..model.mirrors import country_code
from ..model.pieces import Pieces
from ..model.source import Source
from .list import Skipped

__all__ = ["Described", "Description", "Location", "Older", "nearest"]


def _told(country: str | None) -> str | None:
    """What somebody wrote in the network is a code of a country, or nothing."""
    try:
        return country_code(country and country.strip())
    except ValueError:
        return None


@frozen
class Location:
    """
    Where a file is.

    @ivar priority: the lowest first.
    @ivar country: a code of ISO 3166-1 in lower case, or None: it was given none, or something else.
    """

    url: str
    priority: int
    country: str | None = field(default=None, converter=_told)


def nearest(locations: Iterable[Location], country: str | None) -> tuple[Location, ...]:
    """
    Those of this country first, and by priority among themselves, as are the others: who wrote the priorities did not
    know where we are, or guessed it.

    @param country: in lower case; None: nobody says where we are, and only priorities count.
    """
    return tuple(sorted(locations, key=lambda each: (country is not None and each.country != country, each.priority)))


@frozen
class Older:
    """A version before this one, which some mirrors may still have."""

    timestamp: int | None
    size: int | None
    digests: tuple[Digest, ...]

    def __str__(self) -> str:
        try:
            when = datetime.fromtimestamp(self.timestamp or 0, UTC)
        except (OverflowError, ValueError, OSError):  # somebody wrote it in the network
            when = None
        return f"an earlier version, of {when:%Y-%m-%d %H:%M} UTC" if self.timestamp and when else "an earlier version"


@frozen
class Described:
    """
    One file.

    @ivar name: a relative path without C{..}; it is what somebody wrote in the network, so think before you use it.
    @ivar digests: the strongest first.
    @ivar locations: the best first.
    @ivar timestamp: seconds since the epoch of this version, as MirrorManager tells it.
    @ivar older: versions that are known but no longer the newest.
    """

    name: str
    size: int | None = None
    digests: tuple[Digest, ...] = ()
    locations: tuple[Location, ...] = ()
    pieces: Pieces | None = None
    timestamp: int | None = None
    older: tuple[Older, ...] = ()

    @property
    def expect(self) -> tuple[Any, ...]:
        """
        What it has to be: its size, the strongest digest that is told, and by that the digests of its pieces.

        No earlier version will do, for who has one may be somebody who wants us to stay behind; but an error tells that
        it is one.
        """
        found: list[Any] = []
        if self.size is not None:
            sizes = {each.size: str(each) for each in self.older if each.size is not None}
            found.append(Size(self.size, known=sizes))
        for digest in self.digests[:1]:
            found.append(evolve(digest, known=self._earlier(digest.algorithm)))
            if self.pieces is not None:
                found.append(self.pieces)
        return tuple(found)

    def _earlier(self, algorithm: str) -> Mapping[str, str]:
        told = ((digest, str(version)) for version in self.older for digest in version.digests)
        return {digest.value: text for digest, text in told if digest.algorithm == algorithm}

    def source(self, url: str | None = None, **facts: Any) -> Source:
        """
        To download it.

        @param url: its own; None: the first of its places.
        @param facts: whatever else L{Source} takes.
        @raise ValueError: there is no place.
        """
        if url is None:
            if not self.locations:
                raise ValueError(f"no place is known for {self.name!r}")
            url = self.locations[0].url
        return Source(url, expect=self.expect, **facts)


@frozen
class Description:
    """All files of a metalink, and the places that were left out, by their numbers."""

    files: tuple[Described, ...]
    skipped: tuple[Skipped, ...] = ()

    def find(self, name: str) -> Described | None:
        """
        The file that is at a path, which may begin elsewhere: the one with which it has most names in common at the
        end, and if that is not one alone, the one whose whole name is there.  None: there is none, or several.
        """
        way = name.split("/")
        found: dict[tuple[int, bool], list[Described]] = {}
        for each in self.files:
            if each.name.endswith(way[-1]):
                own = each.name.split("/")
                pairs = zip(reversed(own), reversed(way), strict=False)
                common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                found.setdefault((common, common == len(own)), []).append(each)
        (common, _), best = max(found.items(), default=((0, False), []))
        return best[0] if common and len(best) == 1 else None
