"""What a client is told: which fields of an answer are passed on, and which of them are ours."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from time import time
from typing import Final, NamedTuple

from attrs import field, frozen
from attrs.validators import ge, gt, optional

from ..model.expect import Size
from ..model.headers import CONTROL, TOKEN, Pairs
from ..model.source import Head, Source

__all__ = ["DROPPED", "HOP_BY_HOP", "Answers", "date", "etag_of", "size_of"]

HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade"
    b" proxy-authenticate proxy-authentication-info proxy-authorization".split()
)
"""Fields that are about one connection, not about the file (RFC 9110 section 7.6.1), and those meant for proxies."""

DROPPED: Final = frozenset(
    b"alt-svc clear-site-data nel report-to strict-transport-security"
    b" authentication-info set-cookie set-cookie2 www-authenticate"
    b" content-location link location refresh".split()
)
"""
Fields by which one server would speak for another one: what they say of its host, to whoever has its cookies and
credentials, and where else it is to be found (such a URL may hold a signature).
"""

_OURS: Final = frozenset({b"content-length", b"content-range"})  # said again, from what was understood
_CACHING: Final = frozenset({b"cache-control", b"expires", b"pragma"})

# What is remembered of names.
SHAPES: Final = 16
FEW: Final = 128
USUAL: Final = 24  # bytes of one
SHORT: Final = 256  # bytes of a Connection field


def _lower(names: frozenset[bytes]) -> frozenset[bytes]:
    return frozenset(name.lower() for name in names)


@frozen
class Answers:
    """
    How clients are answered.

    @ivar max_age: seconds for which caches may keep what has a digest; None leaves it to what the origin says.
        What is C{mutable} they may keep, but have to ask for each time, whatever this is.
    @ivar via: our name in Via; None for no such field.
    @ivar dropped: fields that are not passed on, beside those of a single connection.
    @ivar patience: seconds after which a client that takes nothing is cut.
    @ivar idle: seconds for the head of a request, and for a connection on which nothing is asked.
    @ivar max_head: bytes of a request's head; C{max_target}: of the target in it.
    """

    max_age: int | None = field(default=None, validator=optional(ge(0)))
    via: str | None = "pulp_dl"
    dropped: frozenset[bytes] = field(default=DROPPED, converter=_lower)
    patience: float = field(default=60.0, validator=gt(0))
    idle: float = field(default=60.0, validator=gt(0))
    max_head: int = field(default=16 * 1024, validator=ge(1))
    max_target: int = field(default=8 * 1024, validator=ge(1))
    _unwanted: dict[tuple[bool, bool], frozenset[bytes]] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        unwanted = HOP_BY_HOP | _OURS | self.dropped
        sets = {
            (tagged, aged): unwanted | ({b"etag"} if tagged else set()) | (_CACHING if aged else set())
            for tagged in (False, True)
            for aged in (False, True)
        }
        object.__setattr__(self, "_unwanted", sets)

    def fields(self, head: Head, length: int | None, etag: bytes | None, *, mutable: bool = False) -> Pairs:
        """
        The fields of an answer that passes this head on.

        @param length: bytes of the body, if that is known.
        @param etag: replaces the origin's.
        @param mutable: as that of the source.
        """
        caching = self.caching(etag, mutable=mutable)
        found = self._passed_on(head.headers, self._unwanted[etag is not None, caching is not None])
        if etag is not None:
            found.append((b"ETag", etag))
        if caching is not None:
            found.append((b"Cache-Control", caching))
        if length is not None:
            found.append((b"Content-Length", b"%d" % length))
        if head.span is not None and head.span.stop is not None:
            total = b"*" if head.total is None else b"%d" % head.total
            found.append((b"Content-Range", b"bytes %d-%d/%b" % (head.span.start, head.span.stop - 1, total)))
        if self.via is not None:
            found.append((b"Via", b"1.1 " + self.via.encode("ascii")))
        return tuple(found)

    @staticmethod
    def _passed_on(pairs: Pairs, unwanted: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
        """Those of the origin that are not unwanted, and a Date."""
        names, values = zip(*pairs, strict=True) if pairs else ((), ())
        shape = _shapes[names, unwanted]
        for at in shape.connection:
            value = values[at]
            nominated = _nominated(value) if len(value) < SHORT else _nominated.__wrapped__(value)
            if not nominated <= unwanted:
                unwanted |= nominated
                shape = _shapes[names, unwanted]
        found = [pairs[at] for at in shape.passed_on]
        if CONTROL.search(b"".join(values)):  # a plugin's field must not become two
            found = [pair for pair in found if CONTROL.search(pair[1]) is None]
        if not shape.dated:
            found.append((b"Date", date()))  # RFC 9110 section 6.6.1
        return found

    def caching(self, etag: bytes | None, *, mutable: bool) -> bytes | None:
        """Cache-Control as it is said here, or None if it is the origin's to say."""
        if mutable:
            return b"no-cache"
        return None if etag is None or self.max_age is None else b"public, max-age=%d" % self.max_age


class _Shape(NamedTuple):
    """
    What becomes of fields, by their names: servers have few sets of them.

    @ivar passed_on: numbers of those that are.
    @ivar connection: numbers of those that name others.
    @ivar dated: a Date is passed on.
    """

    passed_on: tuple[int, ...]
    connection: tuple[int, ...]
    dated: bool


class _Shapes(dict[tuple[tuple[bytes, ...], frozenset[bytes]], _Shape]):
    """
    The shapes for some names and what is unwanted of them.  Both are for servers to choose, and what is remembered
    lives as long as the process: only a few are, and only as long as those of any usual head.
    """

    def __missing__(self, key: tuple[tuple[bytes, ...], frozenset[bytes]]) -> _Shape:
        names, unwanted = key
        lower = [name.lower() for name in names]
        # The promises of HTTP's own reader about names do not hold for other protocols.
        passed = (at for at, name in enumerate(lower) if name not in unwanted and TOKEN.fullmatch(name) is not None)
        connection = tuple(at for at, name in enumerate(lower) if name == b"connection")
        shape = _Shape(tuple(passed), connection, dated=b"date" in lower and b"date" not in unwanted)
        if len(names) + len(unwanted) <= FEW and sum(map(len, names)) + sum(map(len, unwanted)) <= FEW * USUAL:
            if len(self) >= SHAPES:
                self.clear()
            self[key] = shape
        return shape


_shapes: Final = _Shapes()


@lru_cache(16)  # of what is short
def _nominated(value: bytes) -> frozenset[bytes]:
    """What a Connection field names is for that connection only."""
    return frozenset(token.strip().lower() for token in value.split(b","))


def date() -> bytes:
    """Now, as a Date field has it."""
    return formatdate(time(), usegmt=True).encode("ascii")


def etag_of(source: Source) -> bytes | None:
    """
    The strong ETag that a digest gives a file, the same wherever it comes from: C{"sha256:…"}.  None if nobody enforces
    a digest.
    """
    for each in source.expect:
        algorithm, value = getattr(each, "algorithm", None), getattr(each, "value", None)
        if algorithm and value and each.enforced:
            return f'"{algorithm}:{value}"'.encode("ascii")
    return None


def size_of(source: Source) -> int | None:
    """How many bytes the whole file has to have, or None if nobody enforces a size."""
    return next((each.value for each in source.expect if isinstance(each, Size) and each.enforced), None)
