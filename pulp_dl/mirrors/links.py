"""Other places, and digests, that an answer itself tells of (RFC 6249)."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from typing import Any, Final

from zope.interface import alsoProvides, implementer

from ..interfaces import IDownloader, IExpectation, IMirrors
from ..model.expect import ALGORITHMS, Digest
from ..model.headers import Pairs
from ..model.mirrors import country_code
from ..model.report import Attempt
from ..model.source import Head, Source
from ..urls import InvalidURL, join, parse
from .described import Location, nearest
from .interfaces import IScoring, IVouching
from .list import SCHEMES
from .located import located

__all__ = ["Duplicates", "digests_told", "duplicates_told"]

MOST: Final = 100
"""Links of one answer that are read."""

REMEMBERED: Final = 1000
"""URLs that have failed, and whose other places will be asked for in a moment."""

# RFC 8288 section 3: a URI in angle brackets, then parameters, whose values may be quoted.
_PARAMETER: Final = re.compile(r';\s*([\w!#$%&*+.^`|~-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";,]*)))?\s*')
_LINK: Final = re.compile(rf"\s*<([^<>]*)>\s*((?:{_PARAMETER.pattern})*)")
_MEMBER: Final = re.compile(r"\s*([\w-]+)=(:[A-Za-z0-9+/=]*:|[A-Za-z0-9+/=]+)\s*")
_STRONG: Final = ("sha512", "sha384", "sha256")
_LAST: Final = 999_999  # RFC 6249 section 3.1


def duplicates_told(pairs: Pairs, url: str, schemes: Collection[str] = SCHEMES) -> tuple[Location, ...]:
    """
    The places that the Link fields of an answer name as C{rel=duplicate}, the best first (RFC 6249 section 3).

    @param url: what relative ones are relative to.
    """
    found = []
    for number, (target, parameters) in enumerate(_links(pairs)):
        if number >= MOST:
            break
        if "duplicate" not in parameters.get("rel", "").lower().split():
            continue
        try:
            place = join(parse(url), target)
        except InvalidURL:
            continue
        if place.scheme not in schemes:
            continue
        text = parameters.get("pri", "")
        priority = int(text) if re.fullmatch("[0-9]{1,6}", text) else _LAST
        if "pref" in parameters:  # section 3.2: those that the server prefers, before all others
            priority -= _LAST
        found.append(Location(str(place), priority, parameters.get("geo")))
    return tuple(sorted(found, key=lambda each: each.priority))


def _links(pairs: Pairs) -> Iterator[tuple[str, dict[str, str]]]:
    for name, value in pairs:
        if name.lower() != b"link":
            continue
        text, at = value.decode("latin-1"), 0
        while match := _LINK.match(text, at):
            parameters: dict[str, str] = {}
            for key, quoted, plain in _PARAMETER.findall(match[2]):
                # The first counts, section 3.3 of RFC 8288.
                parameters.setdefault(key.lower(), quoted or plain)
            yield match[1], parameters
            if match.end() >= len(text) or text[match.end()] != ",":
                break
            at = match.end() + 1


def digests_told(pairs: Pairs) -> tuple[Digest, ...]:
    """
    Strong digests of the whole file that an answer tells, the strongest first: C{Repr-Digest} (RFC 9530) and the
    older C{Digest} (RFC 3230), which hold for what is sent without a Content-Encoding.

    What is told twice in different ways is not told at all.
    """
    found: dict[str, set[str]] = {}
    for name, value in pairs:
        if name.lower() not in {b"repr-digest", b"digest"}:
            continue
        for member in value.decode("latin-1").split(","):
            match = _MEMBER.fullmatch(member)
            algorithm = "" if match is None else match[1].lower().replace("sha-", "sha")
            if match is None or algorithm not in _STRONG:
                continue
            try:
                digest = Digest(algorithm, b64decode(match[2].strip(":"), validate=True).hex())
            except ValueError:
                continue
            found.setdefault(algorithm, set()).add(digest.value)
    sure = [Digest(algorithm, *values) for algorithm, values in found.items() if len(values) == 1]
    return tuple(sorted(sure, key=lambda each: ALGORITHMS.index(each.algorithm)))


@implementer(IVouching)
class Duplicates:
    """
    After a place has failed, those that it has told of (C{Link: <...>; rel=duplicate}), also while it redirected.

    If nobody else says what a file has to be, the digest that its own URL tells (C{Repr-Digest}, C{Digest}) does: then
    what came already is gone on with at another place, and judged in the end.

    An answer costs no further request: who was not asked, or did not answer, tells nothing.  C{Duplicates(Scores(...))}
    asks others in the order that was learnt, and then those that were told of, in that order, too.
    """

    def __init__(
        self,
        mirrors: IMirrors | None = None,
        *,
        country: str | None = None,
        schemes: Collection[str] = SCHEMES,
    ) -> None:
        """
        @param mirrors: those that are asked before; None: the source's own URL.
        @param country: of places that were told of, those of this country (ISO 3166-1) come first, in the order of
            their priorities; then others.
        @param schemes: protocols that a place may have.
        @raise ValueError: this is no country.
        """
        self._country = country_code(country)
        self._order: Callable[[Iterable[Source]], list[Source]] = list
        self._mirrors = mirrors
        self._vouching: IVouching | None = mirrors if IVouching.providedBy(mirrors) else None
        if mirrors is not None and IScoring.providedBy(mirrors):
            alsoProvides(self, IScoring)
            scoring: Any = mirrors
            self.refused, self.answered, self.hurried = scoring.refused, scoring.answered, scoring.hurried
            self.hedge, self.usual = scoring.hedge, scoring.usual
            self.order = self._order = scoring.order
        self._schemes = tuple(schemes)
        self._told: dict[str, tuple[Location, ...]] = {}

    def locate(self, source: Source, direct: IDownloader) -> AsyncIterator[Source]:
        places = _own(source) if self._mirrors is None else located(self._mirrors, source, direct)
        return _Located(source, places, self._told, self._country, self._order)

    def vouched(self, source: Source, place: Source, head: Head) -> tuple[IExpectation, ...]:
        told = () if self._vouching is None else tuple(self._vouching.vouched(source, place, head))
        known = any(isinstance(each, Digest) and each.enforced for each in (*source.expect, *told))
        if known or place.url != source.url or head.get(b"content-encoding"):
            return told
        return (*told, *digests_told((*head.headers, *head.hints))[:1])

    def record(self, attempt: Attempt) -> None:
        if self._mirrors is not None:
            self._mirrors.record(attempt)
        if attempt.error is None:
            return
        pairs = attempt.error.hints if attempt.head is None else (*attempt.head.headers, *attempt.head.hints)
        told = duplicates_told(pairs, attempt.source.url, self._schemes)
        if told:
            self._told[attempt.source.url] = told
            if len(self._told) > REMEMBERED:
                del self._told[next(iter(self._told))]


async def _own(source: Source) -> AsyncIterator[Source]:
    yield source


class _Located:
    """
    The places of the mirrors, then those that they have told of.

    No generator, for which an end is for good: if somebody asks for another place before the last one was, there is
    none yet; when that one has failed, there may be.
    """

    def __init__(
        self,
        source: Source,
        places: AsyncIterator[Source],
        told: dict[str, tuple[Location, ...]],
        country: str | None,
        order: Callable[[Iterable[Source]], list[Source]],
    ) -> None:
        self._source = source
        self._places: Any = places
        self._told = told
        self._country = country
        self._order = order
        self._read: list[str] = []
        self._others: list[Location] = []

    def __aiter__(self) -> AsyncIterator[Source]:
        return self

    async def __anext__(self) -> Source:
        # Not anext(places, None): up to Python 3.13 that takes a tuple apart that was waited for, and breaks.
        try:
            place: Source = await anext(self._places)
        except StopAsyncIteration:
            pass
        else:
            self._read.append(place.url)
            return place
        found = [location for url in self._read for location in self._told.pop(url, ())]
        self._others = [*nearest([*self._others, *found], self._country)]
        if not self._others:
            raise StopAsyncIteration
        places = [self._source.at(each.url) for each in self._others]
        best = self._order(places)[0]
        del self._others[places.index(best)]
        return best

    async def aclose(self) -> None:
        """No more is wanted."""
        await self._places.aclose()
