"""Cookies of one Remote, for those who ask for them."""

from __future__ import annotations

import re
from contextlib import suppress
from email.message import Message
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any, Final

from ...model.headers import CONTROL, Pairs, find
from ...urls import URL

__all__ = ["Cookies"]

MOST: Final = 50
"""Cookies of one origin; RFC 6265 section 6.1 has the same number."""

LONGEST: Final = 4096
"""Bytes of a cookie: its name, its value and its path."""

FIELD: Final = 8 * 1024
"""Bytes of a Set-Cookie field: the jar keeps what else is in it, too, though nobody ever sees that again."""

TOGETHER: Final = 8000
"""Bytes of all cookies of one origin: a field of more would be refused by most servers, until the cookies end."""

ORIGINS: Final = 64
"""Origins that have a jar."""

_AGE: Final = re.compile(r";\s*max-age\s*(?:=([^;]*))?(?=;|\Z)", re.IGNORECASE)
_SECONDS: Final = re.compile(r"-?[0-9]+")


class Cookies:
    """
    A jar for each origin: what a scheme, host and port has set is sent back there and nowhere else.

    That is less than the rules of the web allow (RFC 6265), so there are no suffixes to know, no port that reads
    another's, and no way from C{https:} to C{http:}.  The path and the end of a cookie are kept to; one that says it is
    for another host is not taken.
    """

    def __init__(self) -> None:
        self._jars: dict[tuple[str, str, int | None], _Jar] = {}

    def fields(self, place: URL) -> Pairs:
        """The Cookie field of a request, or nothing."""
        jar = self._jars.get(place.origin)
        if jar is None:
            return ()
        request = _Request(place)
        jar.add_cookie_header(request)  # type: ignore[arg-type]  # what it needs of urllib's is there
        return () if request.cookie is None else ((b"Cookie", request.cookie.encode("latin-1")),)

    def keep(self, place: URL, pairs: Pairs) -> None:
        """Take what an answer sets."""
        if find(pairs, b"set-cookie") is None:
            return
        jar = self._jars.pop(place.origin, None) or _Jar()
        if len(self._jars) >= ORIGINS:
            del self._jars[next(iter(self._jars))]
        self._jars[place.origin] = jar
        jar.extract_cookies(_Response(pairs), _Request(place))  # type: ignore[arg-type]  # as above


class _Jar(CookieJar):
    """The standard library's, with a limit."""

    def __init__(self) -> None:
        super().__init__(_Policy(strict_domain=True, strict_ns_domain=DefaultCookiePolicy.DomainStrict))

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """As there, where a path that has no cookie any more is kept, and looked through for each request."""
        super().clear(domain, path, name)
        if name is not None and not any((each.domain, each.path) == (domain, path) for each in self):
            super().clear(domain, path)

    def set_cookie(self, cookie: Cookie) -> None:
        with suppress(KeyError):
            self.clear(cookie.domain, cookie.path, cookie.name)  # one that is renewed is the youngest of its path
        super().set_cookie(cookie)
        if not _fit(list(self)):
            self.clear_expired_cookies()
            others = [each for each in self if each is not cookie]
            while not _fit([*others, cookie]):
                oldest = others.pop(0)
                self.clear(oldest.domain, oldest.path, oldest.name)


def _text(cookie: Cookie) -> str:
    return f"{cookie.name}{cookie.value or ''}{cookie.path}"


def _fit(cookies: list[Cookie]) -> bool:
    return len(cookies) <= MOST and sum(len(_text(each)) for each in cookies) <= TOGETHER


class _Policy(DefaultCookiePolicy):
    def set_ok(self, cookie: Cookie, request: Any) -> bool:
        text = _text(cookie)
        if len(text) > LONGEST or CONTROL.search(text.encode("latin-1", "replace")):
            return False
        return bool(super().set_ok(cookie, request))


class _Request:
    """What a jar asks of a request."""

    unverifiable = False

    def __init__(self, place: URL) -> None:
        self._place = place
        self.type = place.scheme
        self.host = self.origin_req_host = place.host
        self.cookie: str | None = None

    def get_full_url(self) -> str:
        return str(self._place)

    def has_header(self, name: str) -> bool:
        return False

    def get_header(self, name: str, default: Any = None) -> Any:
        return default

    def add_unredirected_header(self, name: str, value: str) -> None:
        if name == "Cookie":
            self.cookie = value


class _Response:
    """What a jar asks of an answer."""

    def __init__(self, pairs: Pairs) -> None:
        self._fields = Message()
        for name, value in pairs:
            if name.lower() == b"set-cookie" and len(value) <= FIELD:
                self._fields.add_header("Set-Cookie", _AGE.sub(_aged, value.decode("latin-1")))

    def info(self) -> Message:
        return self._fields


def _aged(match: re.Match[str]) -> str:
    """
    An age that is none is passed over (RFC 6265 section 5.2.2), and of one that nobody lives to the first digits do.

    The jar trips over both, and then lets all cookies of the answer go.
    """
    age = (match[1] or "").strip()
    return f"; Max-Age={age[:18]}" if _SECONDS.fullmatch(age) else ""
