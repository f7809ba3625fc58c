"""HTTP's Digest authentication (RFC 7616): a password that is proven and not shown."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final
from urllib.parse import quote

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ..interfaces import IAuth, IAuthenticator, IDownloader
from ..model.auth import Basic
from ..model.source import Head
from ..urls import URL, parse
from .challenge import Challenge, challenges, parameters

__all__ = ["DigestAuth", "Session"]

ORIGINS: Final = 256
"""Servers whose last challenge is remembered; the password may be for whatever host a caller names."""

_ALGORITHMS: Final = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
"""The best first: a server that offers two lets us choose (RFC 7616 section 3.7)."""

Hash = Callable[[str], str]


@implementer(IAuth)
@frozen
class DigestAuth:
    """
    User and password by Digest: MD5, SHA-256 and SHA-512-256, each with and without C{-sess}; the best that is offered.

    The first request to an origin goes without, to be told what to answer; those after it answer at once.  What is
    sent proves the password and cannot be used for another file; but who sees it may be able to guess a short one.
    """

    user: str = field()
    password: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            Basic(self.user, self.password)  # what cannot be sent there cannot be sent here
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("Basic.", "DigestAuth.")) from None

    def start(self, direct: IDownloader) -> IAuthenticator:
        return _Sessions(self)


@define(eq=False)
class Session:
    """
    What a server wants to be answered with, until it wants something else.

    @ivar count: requests that used this nonce.
    @ivar accepted: one of them was not answered by 401.
    """

    realm: str
    nonce: str = field(repr=False)
    algorithm: str | None
    digest: Hash = field(repr=False)
    qop: bool
    opaque: str | None = field(repr=False)
    userhash: bool
    cnonce: str = field(factory=lambda: token_hex(16), repr=False)
    count: int = 0
    accepted: bool = False

    @classmethod
    def of(cls, challenge: Challenge) -> Session | None:
        """None if the challenge cannot be answered."""
        realm, nonce = challenge.get("realm"), challenge.get("nonce")
        algorithm = challenge.get("algorithm")
        known = _ALGORITHMS.get((algorithm or "MD5").upper().removesuffix("-SESS"))
        offered = challenge.get("qop")
        qop = offered is not None and "auth" in re.split(r"[ \t]*,[ \t]*", offered.strip().lower())
        if challenge.scheme != "digest" or realm is None or nonce is None or known is None:
            return None
        if known not in hashlib.algorithms_available or (offered is not None and not qop):
            return None
        userhash = (challenge.get("userhash") or "").lower() == "true"
        return cls(realm, nonce, algorithm, _hash(known), qop, challenge.get("opaque"), userhash)

    def next(self, nonce: str) -> Session:
        """The same with the nonce that the server wants from now on."""
        return Session(
            self.realm, nonce, self.algorithm, self.digest, self.qop, self.opaque, self.userhash, accepted=True
        )

    def answer(self, auth: DigestAuth, method: str, target: str) -> bytes:
        """The value of an Authorization field."""
        self.count += 1
        digest, count = self.digest, f"{self.count:08x}"
        first = digest(f"{auth.user}:{self.realm}:{auth.password}")
        session = (self.algorithm or "").lower().endswith("-sess")
        if session:
            first = digest(f"{first}:{self.nonce}:{self.cnonce}")
        middle = f"{self.nonce}:{count}:{self.cnonce}:auth" if self.qop else self.nonce
        second = digest(f"{method}:{target}")
        fields = [
            *self._user(auth),
            f"realm={_quoted(self.realm)}",
            f"nonce={_quoted(self.nonce)}",
            f"uri={_quoted(target)}",
            f'response="{digest(f"{first}:{middle}:{second}")}"',
        ]
        if self.algorithm is not None:
            fields.append(f"algorithm={self.algorithm}")
        if self.qop:
            fields += ["qop=auth", f"nc={count}"]
        if self.qop or session:
            fields.append(f'cnonce="{self.cnonce}"')
        if self.opaque is not None:
            fields.append(f"opaque={_quoted(self.opaque)}")
        return f"Digest {', '.join(fields)}".encode()

    def _user(self, auth: DigestAuth) -> list[str]:
        if self.userhash:
            return [f'username="{self.digest(f"{auth.user}:{self.realm}")}"', "userhash=true"]
        if auth.user.isascii():
            return [f"username={_quoted(auth.user)}"]
        return [f"username*=UTF-8''{quote(auth.user, safe='')}"]


@implementer(IAuthenticator)
class _Sessions:
    """The live one: a session for each origin."""

    def __init__(self, auth: DigestAuth) -> None:
        self._auth = auth
        self._known: dict[tuple[str, str, int | None], Session] = {}

    def authorize(self, method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
        place = parse(url)
        session = self._known.get(place.origin)
        if session is not None:
            headers[b"Authorization"] = session.answer(self._auth, method.decode("ascii"), place.target)
        return session

    def challenged(self, method: bytes, url: str, head: Head, sent: Any) -> Deferred[bool]:
        place = parse(url)
        known = self._known.get(place.origin)
        if known is not None and known is not sent:
            return succeed(True)  # somebody was here before us
        offered, stale = _best(head)
        if offered is None:
            return succeed(False)
        # The same password again would be refused again, unless only the nonce is too old; not all say that it is.
        if known is not None and known.realm == offered.realm and not (stale or known.accepted):
            del self._known[place.origin]
            return succeed(False)
        self._keep(place, offered)
        return succeed(True)

    def answered(self, method: bytes, url: str, head: Head, sent: Any) -> None:
        if not isinstance(sent, Session):
            return
        sent.accepted = True
        info = head.get(b"authentication-info")
        nonce = None if info is None else parameters(info).get("nextnonce")
        place = parse(url)
        if nonce and self._known.get(place.origin) is sent:
            self._keep(place, sent.next(nonce))

    def _keep(self, place: URL, session: Session) -> None:
        self._known.pop(place.origin, None)
        if len(self._known) >= ORIGINS:
            del self._known[next(iter(self._known))]
        self._known[place.origin] = session


def _best(head: Head) -> tuple[Session | None, bool]:
    """What can be answered best, and whether the nonce before it was only too old."""
    found: dict[str, tuple[Session, bool]] = {}
    for each in challenges(head.headers):
        session = Session.of(each)
        if session is not None:
            name = (session.algorithm or "MD5").upper().removesuffix("-SESS")
            found.setdefault(name, (session, (each.get("stale") or "").lower() == "true"))
    return next((found[name] for name in _ALGORITHMS if name in found), (None, False))


def _hash(name: str) -> Hash:
    return lambda text: hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
