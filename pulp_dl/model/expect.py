"""What a body has to be: digests, a size, or nothing but to be measured."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from attrs import field, frozen
from zope.interface import implementer

from ..errors import DigestMismatch, SizeMismatch
from ..interfaces import ICheck, ICopyableCheck, IExpectation
from .numbers import is_whole

__all__ = ["ALGORITHMS", "Digest", "Measure", "Size", "Vouched"]

ALGORITHMS: Final = ("sha512", "sha384", "sha256", "sha224", "blake2b", "sha3_512", "sha3_256", "sha1", "md5")
"""Known digests; what is not in this list is an error, never "no check"."""


_NOTHING: Final[Mapping[Any, str]] = {}
# To be copied, which costs half of making another one.
# md5 and sha1 are what old repositories have; they detect accidents, not attackers.
_EMPTY: Final[Mapping[str, Any]] = {name: hashlib.new(name, usedforsecurity=False) for name in ALGORITHMS}
_DIGITS: Final = {name: 2 * empty.digest_size for name, empty in _EMPTY.items()}
_HEXADECIMAL: Final = re.compile("[0-9a-f]*")


def _algorithm(name: str) -> str:
    """As it is called here; what is not known stays as it is, for L{_known} to tell."""
    if name in _DIGITS:
        return name
    found = str(name).lower().replace("sha-", "sha").replace("-", "_")
    return found if found in _DIGITS else name


def _known(instance: object, _attribute: object, algorithm: Any) -> None:
    if algorithm not in _DIGITS:
        kind = type(instance).__name__
        raise ValueError(f"{kind}.algorithm: {algorithm!r} is unknown; use one of {', '.join(ALGORITHMS)}")


def _hexadecimal(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"Digest.value: hexadecimal digits as str are needed, not {type(value).__name__}")
    return value.strip().lower()


@implementer(IExpectation)
@frozen
class Digest:
    """
    The digest of the whole file, in hexadecimal of either case.

    @ivar enforced: False only reports a mismatch, in C{Report.advisories}.
    @ivar known: other digests, in lower case, and what has each: an error says so.  None of them will do.
    """

    algorithm: str = field(converter=_algorithm)
    value: str = field(converter=_hexadecimal)
    enforced: bool = field(default=True, kw_only=True)
    known: Mapping[str, str] = field(default=_NOTHING, kw_only=True, eq=False, repr=False)
    partial: ClassVar[bool] = False

    def __attrs_post_init__(self) -> None:
        digits = _DIGITS.get(self.algorithm)
        if digits is None:
            _known(self, None, self.algorithm)
        if len(self.value) != digits or not _HEXADECIMAL.fullmatch(self.value):
            raise ValueError(
                f"Digest.value: a {self.algorithm} has {digits} hexadecimal digits, {self.value!r} has not"
            )

    def start(self) -> ICheck:
        return Hashing(self.algorithm, self.value, self.known)


@implementer(IExpectation)
@frozen
class Measure:
    """Compute a digest and expect nothing of it; it stands in C{Report.facts}."""

    algorithm: str = field(default="sha256", converter=_algorithm, validator=_known)
    enforced: ClassVar[bool] = False
    partial: ClassVar[bool] = True

    def start(self) -> ICheck:
        return Hashing(self.algorithm, None)


@implementer(ICopyableCheck)
class Hashing:
    """A digest in the making; it can tell the digest of what came so far, which proves that two bodies begin alike."""

    def __init__(self, algorithm: str, expected: str | None, known: Mapping[str, str] = _NOTHING) -> None:
        self.algorithm = algorithm
        self._expected = expected
        self._known = known
        self._hash = _EMPTY[algorithm].copy()

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def copy(self) -> Hashing:
        other = Hashing.__new__(Hashing)
        other.algorithm, other._expected, other._known = self.algorithm, self._expected, self._known
        other._hash = self._hash.copy()
        return other

    def so_far(self) -> bytes:
        """The digest of what came so far; more may follow."""
        digest: bytes = self._hash.digest()
        return digest

    def verify(self) -> Mapping[str, object]:
        found: str = self._hash.hexdigest()
        if self._expected is not None and not hmac.compare_digest(found, self._expected):
            raise DigestMismatch(self.algorithm, self._expected, found, known=self._known.get(found))
        return {self.algorithm: found}


@implementer(IExpectation)
@frozen
class Vouched:
    """
    The digest of a file that was checked when it was stored here, and that nobody has touched since: it is told, and
    not computed again.
    """

    algorithm: str = field(converter=_algorithm, validator=_known)
    value: str = field(converter=_hexadecimal)
    enforced: ClassVar[bool] = True
    partial: ClassVar[bool] = False

    def start(self) -> ICheck:
        return _Vouching(self.algorithm, self.value)


class _Vouching(Hashing):
    """Looks at nothing, so it proves nothing of a beginning either: bytes that came are never taken for it."""

    def update(self, data: bytes) -> None:
        pass

    def copy(self) -> Hashing:
        return _Vouching(self.algorithm, self._expected)

    def so_far(self) -> bytes:
        return b""  # which is no digest

    def verify(self) -> Mapping[str, object]:
        return {self.algorithm: self._expected}


def _bytes(_instance: object, _attribute: object, value: Any) -> None:
    if not is_whole(value) or value < 0:
        raise ValueError(f"Size.value: a size is a number of bytes, 0 or more, not {value!r}")


@implementer(IExpectation)
@frozen
class Size:
    """
    Exactly so many bytes; 0 is a size.

    @ivar known: other sizes, and what has each: an error says so.  None of them will do.
    """

    value: int = field(validator=_bytes)
    enforced: bool = field(default=True, kw_only=True)
    known: Mapping[int, str] = field(default=_NOTHING, kw_only=True, eq=False, repr=False)
    partial: ClassVar[bool] = False

    def start(self) -> ICheck:
        return _Counting(self)

    def check(self, found: int, url: str | None = None) -> None:
        """
        @raise SizeMismatch: this is another one.
        """
        if found != self.value:
            raise SizeMismatch("size", self.value, found, url, known=self.known.get(found))


@implementer(ICopyableCheck)
class _Counting:
    def __init__(self, expected: Size) -> None:
        self._expected = expected
        self._size = 0

    def update(self, data: bytes) -> None:
        self._size += len(data)

    def copy(self) -> _Counting:
        other = _Counting(self._expected)
        other._size = self._size
        return other

    def verify(self) -> Mapping[str, object]:
        self._expected.check(self._size)
        return {"size": self._size}
