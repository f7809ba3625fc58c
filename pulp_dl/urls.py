"""
URLs: one strict reader for policy and for connecting, so that both always speak of the same host.

What is already encoded is never encoded again: a signed URL goes out byte for byte as it came in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote, urljoin

from attrs import field, frozen

__all__ = ["URL", "InvalidURL", "fingerprint", "join", "parse", "shown"]

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ftp": 21, "ftps": 990, "sftp": 22}

_SHAPE = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-.]*[A-Za-z0-9_.])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~\-]+)?")
# RFC 3986 section 3.3 and 3.4; "%" because what is encoded stays as it is, and "[]|{}^`\\\"<>" are what servers
# are given by browsers encoded: quote() encodes all that is not listed.
_SAFE = "!$%&'()*+,-./:;=?@_~[]"
_SECRET_NAME = re.compile(
    r"sig|token|secret|passw|pwd|auth|credential|policy|session|api[-_]?key|access[-_]?key|key[-_]pair|^key$|jwt|hmac|^se$|^sp$",
    re.IGNORECASE,
)


class InvalidURL(ValueError):
    """This is not a URL that can be used; the message says why and never holds the userinfo."""


@frozen
class URL:
    """
    A URL taken apart.

    @ivar host: lower case ASCII; an IPv6 literal without brackets; empty for C{file}.
    @ivar port: the port to connect to, or None where the scheme has no default and none was given.
    @ivar target: path and query as they go on the wire, ASCII, beginning with a slash.
    """

    scheme: str
    host: str
    port: int | None
    target: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """What secrets are bound to: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """Host and port as a Host field has them: brackets round IPv6, no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None or self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """The path, decoded, without the query.  Bytes that are not UTF-8 become surrogates, as in L{os.fsdecode}."""
        return unquote(self.target.partition("?")[0], errors="surrogateescape")

    def __str__(self) -> str:
        """The URL without its userinfo.  It may hold a signature: print L{shown} instead."""
        return f"{self.scheme}://{self.netloc}{self.target}"


def parse(text: str) -> URL:
    """
    Take a URL apart, or say why it is none.

    @raise InvalidURL: it is relative, has no host (except C{file}), an ambiguous authority, a bad port, or a control
        character.  Spaces at both ends are not forgiven; spaces and non-ASCII inside a path are encoded as UTF-8.
    """
    if not isinstance(text, str):
        raise InvalidURL(f"a URL has to be a str, not {type(text).__name__}")
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise InvalidURL("not an absolute URL (scheme://host/path is needed)")
    scheme, authority, target = match.groups()
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise InvalidURL("a control character in a URL; it has to be percent-encoded")
    scheme = scheme.lower()
    host, port, user, password = _authority(scheme, authority)
    if not target.startswith("/"):
        target = "/" + target
    if not target.isascii() or _NEEDS_QUOTING.search(target):
        target = quote(target, safe=_SAFE)
    return URL(scheme, host, port, target, user, password)


_NEEDS_QUOTING = re.compile(r"[^!$%&'()*+,\-./:;=?@_~\[\]A-Za-z0-9]")


@lru_cache(1024)
def _authority(scheme: str, authority: str) -> tuple[str, int | None, str | None, str | None]:
    userinfo, at, hostport = authority.rpartition("@")
    user = password = None
    if at:
        name, colon, word = userinfo.partition(":")
        user, password = unquote(name), unquote(word) if colon else None
        for part in (user, password or ""):
            if re.search(r"[\x00-\x1f\x7f]", part):
                raise InvalidURL("a control character in the userinfo of a URL")
    if "\\" in authority or _CONTROL.search(hostport) or "@" in userinfo:
        raise InvalidURL("an ambiguous host in a URL (a backslash, a space or a second '@'; encode them)")
    if hostport.startswith("["):
        host, bracket, rest = hostport[1:].partition("]")
        if not bracket or not _IPV6.fullmatch(host) or (rest and not rest.startswith(":")):
            raise InvalidURL("a malformed IPv6 address in a URL ([address]:port is needed)")
        port_text = rest[1:]
    else:
        host, _, port_text = hostport.partition(":")
        host = _ascii(host)
    if port_text and not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65536):
        raise InvalidURL("a port in a URL has to be a number from 1 to 65535")
    if scheme == "file":
        if host not in {"", "localhost"} or port_text or at:
            raise InvalidURL("a file URL names no host: file:///path")
        return "", None, None, None
    if not host:
        raise InvalidURL("a URL without a host")
    return host.lower(), int(port_text) if port_text else DEFAULT_PORTS.get(scheme), user, password


def _ascii(host: str) -> str:
    if not host:
        return host
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise InvalidURL("the host of a URL is no valid name") from error
    if not _HOST.fullmatch(host):
        raise InvalidURL("the host of a URL is no valid name")
    return host


def join(base: URL, reference: str) -> URL:
    """
    Where a C{Location} leads from here (RFC 3986 section 5), spaces and raw UTF-8 encoded as browsers do.

    @raise InvalidURL: it leads nowhere.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", reference):
        return parse(reference)
    if reference.startswith("//"):
        return parse(f"{base.scheme}:{reference}")
    # urljoin knows only schemes of its own list, so it is asked with http and the answer is given ours.
    joined = urljoin(f"http://{base.netloc}{base.target}", reference)
    return parse(base.scheme + joined.removeprefix("http"))


def shown(text: str) -> str:
    """
    A URL as it may be printed: no userinfo, and the values of signatures, tokens and the like masked.

    Whatever is given, a string comes back: what is no URL is cut at the first character that could begin a secret.
    """
    head, question, query = text.partition("?")
    scheme, separator, rest = head.partition("://")
    if separator:
        authority, slash, path = rest.partition("/")
        head = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    else:
        head = head.rpartition("@")[2]
    if not question:
        return head.partition("#")[0]
    return head + "?" + "&".join(_masked(pair) for pair in query.partition("#")[0].split("&"))


def _masked(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}{equals}***" if equals and _SECRET_NAME.search(unquote(name)) else pair


def fingerprint(text: str) -> str:
    """
    A URL as it may stay on a disk: it can be compared, but not read.

    URLs that L{shown} prints alike have the same one; a fingerprint is its own.
    """
    if text.startswith("sha256:"):
        return text
    return "sha256:" + sha256(shown(text).encode("utf-8", "surrogatepass")).hexdigest()
