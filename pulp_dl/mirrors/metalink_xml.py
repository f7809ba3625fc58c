"""
Metalinks as they are written: RFC 5854 (version 4), and version 3, which Fedora's MirrorManager writes.

A metalink comes from the network, so nothing in it may define anything: no DTD, no entity, and whoever reads it has
bounded its size before.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..model.expect import ALGORITHMS, Digest
from ..model.pieces import Pieces
from ..urls import parse
from .described import Described, Description, Location, Older
from .list import SCHEMES, Skipped

__all__ = ["PLACES", "read_metalink"]

_V4: Final = "{urn:ietf:params:xml:ns:metalink}"
_V3: Final = "{http://www.metalinker.org/}"
_FEDORA: Final = "{http://fedorahosted.org/mirrormanager}"

FILES: Final = 10_000
PLACES: Final = 1000
"""Those of one file that are read."""

_LAST: Final = 999_999  # RFC 5854 section 4.2.16: those without a priority come last
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def read_metalink(data: bytes, schemes: Collection[str] = SCHEMES) -> Description:
    """
    Read a metalink.  Places of other protocols are skipped and told; what it says of a file has to be right.

    @raise ValueError: it is none, it defines entities, or what it says of a file makes no sense.
    """
    try:
        root = fromstring(data, forbid_dtd=True)
    except ParseError as error:
        raise ValueError(f"it is no XML: {error}") from None
    except DefusedXmlException as error:
        raise ValueError(f"it has a DTD or entities, which no metalink needs ({type(error).__name__})") from None
    except (LookupError, UnicodeError) as error:  # an encoding that nobody has
        raise ValueError(f"it is no XML: {error}") from None
    if root.tag == f"{_V4}metalink":
        files = root.findall(f"{_V4}file")
        read: type[_V4Reader] = _V4Reader
    elif root.tag == f"{_V3}metalink":
        files = root.findall(f"{_V3}files/{_V3}file")
        read = _V3Reader
    else:
        raise ValueError("its root is no metalink of version 3 or 4")
    if not files:
        raise ValueError("it describes no file")
    if len(files) > FILES:
        raise ValueError(f"it describes more than {FILES} files")
    skipped: list[Skipped] = []
    return Description(tuple(read(each, schemes, skipped).described() for each in files), tuple(skipped))


class _V4Reader:
    """One file."""

    NAMESPACE: str = _V4

    def __init__(self, element: Element, schemes: Collection[str], skipped: list[Skipped]) -> None:
        self._element = element
        self._schemes = schemes
        self._skipped = skipped
        self.name = _name(element.get("name"))

    def described(self) -> Described:
        checks, size = self._checks(), self._size(self._element)
        return Described(
            name=self.name,
            size=size,
            digests=self._digests(checks),
            locations=tuple(sorted(self._locations(), key=lambda each: each.priority)),
            pieces=next(filter(None, (self._pieces(each, size) for each in checks)), None),
            timestamp=_whole(self._element.findtext(f"{_FEDORA}timestamp"), "timestamp"),
            older=tuple(self._older()),
        )

    def _checks(self) -> list[Element]:
        """Where hashes are."""
        return [self._element]

    def _size(self, element: Element) -> int | None:
        return _whole(element.findtext(f"{self.NAMESPACE}size"), "size")

    def _digests(self, checks: list[Element]) -> tuple[Digest, ...]:
        """All whose algorithm we know, the strongest first."""
        found: dict[str, Digest] = {}
        for each in checks:
            for element in each.findall(f"{self.NAMESPACE}hash"):
                algorithm = _algorithm(element.get("type"))
                if algorithm is not None:
                    digest = self._digest(algorithm, _text(element))
                    if found.setdefault(algorithm, digest) != digest:
                        raise ValueError(f"{self.name!r} has two digests of {algorithm}")
        return tuple(sorted(found.values(), key=lambda each: ALGORITHMS.index(each.algorithm)))

    def _digest(self, algorithm: str, value: str) -> Digest:
        try:
            return Digest(algorithm, value)
        except ValueError as error:  # which blames who gave it to us
            reason = str(error).removeprefix("Digest.value: ")
            raise ValueError(f"the digest of {self.name!r} is none: {reason}") from None

    def _urls(self) -> Iterator[tuple[Element, int]]:
        for element in self._element.findall(f"{_V4}url"):
            priority = _whole(element.get("priority"), "priority")
            yield element, _LAST if priority is None else priority

    def _locations(self) -> Iterator[Location]:
        count = 0
        for number, (element, priority) in enumerate(self._urls(), 1):
            url = _text(element)
            try:
                place = parse(url)
                if place.scheme not in self._schemes:
                    raise ValueError(f"{place.scheme}: is none of the protocols that are allowed here")
            except ValueError as error:
                self._skipped.append(Skipped(number, str(error)))
                continue
            count += 1
            if count > PLACES:
                self._skipped.append(Skipped(number, f"only {PLACES} places are read"))
                return
            yield Location(url.partition("#")[0], priority, element.get("location"))

    def _pieces(self, checks: Element, size: int | None) -> Pieces | None:
        """The first set whose algorithm we know, if it fits a file of this size."""
        for element in checks.findall(f"{self.NAMESPACE}pieces"):
            algorithm, length = _algorithm(element.get("type")), _whole(element.get("length"), "length of pieces")
            if algorithm is None or not length or size is None:
                continue
            pieces = Pieces(algorithm, length, [_text(each) for each in self._hashes(element)])
            if not pieces.fits(size):
                raise ValueError(f"{self.name!r} has {size} bytes, and {len(pieces.digests)} digests of {length} each")
            return pieces
        return None

    def _hashes(self, pieces: Element) -> list[Element]:
        return pieces.findall(f"{_V4}hash")

    def _older(self) -> Iterator[Older]:
        """What MirrorManager says of versions that some mirrors may still have."""
        for element in self._element.findall(f"{_FEDORA}alternates/{_FEDORA}alternate"):
            digests = self._digests(element.findall(f"{self.NAMESPACE}verification"))
            if digests:
                timestamp = _whole(element.findtext(f"{_FEDORA}timestamp"), "timestamp")
                yield Older(timestamp, self._size(element), digests)


class _V3Reader(_V4Reader):
    """The same in the words of version 3."""

    NAMESPACE: str = _V3

    def _checks(self) -> list[Element]:
        return self._element.findall(f"{_V3}verification")

    def _urls(self) -> Iterator[tuple[Element, int]]:
        for element in self._element.findall(f"{_V3}resources/{_V3}url"):
            preference = _whole(element.get("preference"), "preference")  # up to 100, the highest first
            yield element, _LAST if preference is None else max(0, 100 - preference)

    def _hashes(self, pieces: Element) -> list[Element]:
        return sorted(pieces.findall(f"{_V3}hash"), key=lambda each: _whole(each.get("piece"), "piece") or 0)


def _text(element: Element) -> str:
    return (element.text or "").strip()


def _algorithm(kind: str | None) -> str | None:
    """Ours of this name, or None: signatures and hashes that nobody has are no reason to use none of the others."""
    name = (kind or "").lower().replace("sha-", "sha").replace("-", "_")
    return name if name in ALGORITHMS else None


def _whole(text: str | None, what: str) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,18}", text.strip()):
        raise ValueError(f"a {what} in it is no whole number")
    return int(text)


def _name(name: str | None) -> str:
    """
    A path below some directory (RFC 5854 section 4.1.2.1).

    @raise ValueError: it would lead elsewhere.
    """
    parts = (name or "").split("/")
    if not name or "\\" in name or _CONTROL.search(name) or {"", ".", ".."} & {*parts} or parts[0].startswith("~"):
        raise ValueError(f"{name!r} is no name for a file")
    return name
