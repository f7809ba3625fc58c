"""
URLs: one strict reader for policy and for connecting, so that both always speak of the same host.

What is already encoded is never encoded again: a signed URL goes out byte for byte as it came in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import inet_aton
from typing import Final
from urllib.parse import quote, unquote

import idna
from attrs import field, frozen

__all__ = ["URL", "InvalidURL", "address_of", "join", "parse", "shown"]

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ftp": 21, "ftps": 990, "sftp": 22}

# What stands before a target is remembered here and elsewhere, so it has an end: schemes and zones that there are have
# theirs long before.
_LONGEST: Final = 64
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_SHAPE = re.compile(rf"({_SCHEME.pattern})://([^/?#]*)([^#]*)(#.*)?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AMBIGUOUS = re.compile(r"[\s@\\\[\]<>\"]|;$")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-.]*[A-Za-z0-9_.])?")
_IPV6 = re.compile(rf"\[([0-9A-Fa-f:.]+)(%25[A-Za-z0-9._~\-]{{1,{_LONGEST}}})?\](?::([0-9]*))?")
# What a path and a query may hold (RFC 3986 section 3.3 and 3.4), and "|[]", which browsers send as they are and some
# servers sign; "%" because what is encoded stays as it is.  Anything else is encoded, as browsers do it.
_SAFE: Final = "!$%&'()*+,-./:;=?@_~[]|"
_NEEDS_QUOTING = re.compile(f"[^{re.escape(_SAFE)}A-Za-z0-9]")
# Nearly every URL: no userinfo, nothing to encode, no fragment, an "@" nowhere; and before the target, since that is
# remembered, no more than a host needs.
_TARGET: Final = rf"/[{re.escape(_SAFE.replace('@', ''))}A-Za-z0-9]*"
_PLAIN = re.compile(rf"([A-Za-z][A-Za-z0-9+.\-]{{,{_LONGEST - 1}}}://[A-Za-z0-9_.:\-]{{,300}})({_TARGET})")
_SUSPECT = re.compile("[=:%]")  # without one of them there is nothing to mask
_USERINFO = re.compile("//[^/]*@")
# Amazon, Google, Azure, Akamai, CloudFront, nginx's secure_link, and what people call such things.  Searched in what
# ends with its last "=" only: so the first name that is found is one of a value, and no search has to turn back.
_SECRET = re.compile(
    r"(?:sig|token|secret|pass|pwd|auth(?!ors?=\Z)|cred|policy|sess|hmac|hash|md5|jwt|otp|ticket|cookie|nonce|assertion"
    r"|bearer|__gda__|(?:api|access|private|account|shared)[-_]?key|key[-_]?pair"
    r"|\b(?:key|pw|st|se|sp|sas|code|verify)(?==))[^=]*=",
    re.IGNORECASE,
)


class InvalidURL(ValueError):
    """This is not a URL that can be used; the message says why and never holds the userinfo."""


@frozen
class URL:
    """
    A URL taken apart.

    @ivar host: lower case ASCII; an IPv6 literal without brackets, its zone behind a C{%}; empty for C{file}.
    @ivar port: the port to connect to, or None where the scheme has no default and none was given.
    @ivar target: path and query as they go on the wire, ASCII, beginning with a slash.
    """

    scheme: str
    host: str
    port: int | None
    target: str = field(repr=lambda target: repr(_shown_target(target)))
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """What secrets are bound to: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """
        Host and port as a Host field has them: brackets round IPv6, no default port, and no zone, which is ours alone
        (RFC 6874 section 4).
        """
        return _netloc(self.scheme, self.host.partition("%")[0], self.port)

    @property
    def base(self) -> str:
        """What comes before the target."""
        return _base(self.scheme, self.host, self.port)

    @property
    def path(self) -> str:
        """The path, decoded, without the query.  Bytes that are not UTF-8 become surrogates, as in L{os.fsdecode}."""
        return unquote(self.target.partition("?")[0], errors="surrogateescape")

    def __str__(self) -> str:
        """The URL without its userinfo.  It may hold a signature: print L{shown} instead."""
        return self.base + self.target


@lru_cache(1024)
def _base(scheme: str, host: str, port: int | None) -> str:
    return f"{scheme}://{_netloc(scheme, host.replace('%', '%25'), port)}"


def _netloc(scheme: str, host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None or port == DEFAULT_PORTS.get(scheme) else f"{host}:{port}"


def parse(text: str) -> URL:
    """
    Take a URL apart, or say why it is none.

    @raise InvalidURL: it is relative, has no host (except C{file}), an authority that others might read in another
        way, a bad port, or a control character.  Spaces at both ends are not forgiven; spaces and non-ASCII inside a
        path are encoded as UTF-8.
    """
    if not isinstance(text, str):
        raise InvalidURL(f"a URL has to be a str, not {type(text).__name__}")
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        return _read(text)
    base, target = plain.groups()
    scheme, host, port = _origin(base)
    return URL(scheme, host, port, target)


@lru_cache(1024)
def _origin(base: str) -> tuple[str, str, int | None]:
    """That of all URLs that begin so.  Nothing of a userinfo is remembered: there is none."""
    return _read(base).origin


def _read(text: str) -> URL:
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise InvalidURL("not an absolute URL (scheme://host/path is needed)")
    scheme, authority, target, fragment = match.groups()
    strange = _NEEDS_QUOTING.search(target)
    if (strange or fragment or _CONTROL.search(authority)) and _CONTROL.search(text):
        raise InvalidURL("a control character in a URL; it has to be percent-encoded")
    scheme = scheme.lower()
    if len(scheme) > _LONGEST:
        raise InvalidURL(f"a scheme of more than {_LONGEST} characters in a URL")
    if "@" in text and "@" in target + (fragment or "") and (authority.endswith(":") or not target.startswith("/")):
        # "good#@evil", "user:/word@host": did the host end there, or does the userinfo go on?
        raise InvalidURL(
            "an ambiguous host in a URL (an '@' follows where it ends; write host/?... or encode userinfo)"
        )
    user = password = None
    if "@" in authority:
        userinfo, _, authority = authority.rpartition("@")
        if _AMBIGUOUS.search(userinfo):
            raise InvalidURL("an ambiguous host in a URL (a backslash, space, bracket, ';' or second '@'; encode it)")
        if scheme == "file":
            raise InvalidURL("a file URL names no host: file:///path")
        user, password = _userinfo(userinfo)
    host, port = _hostport(scheme, authority)
    if not target.startswith("/"):
        target = "/" + target
    if strange:
        try:
            target = quote(target, safe=_SAFE, errors="surrogateescape")
        except UnicodeEncodeError:
            raise InvalidURL("a character in a URL that cannot be encoded as UTF-8") from None
    return URL(scheme, host, port, target, user, password)


def _hostport(scheme: str, hostport: str) -> tuple[str, int | None]:
    if hostport.startswith("["):
        match = _IPV6.fullmatch(hostport)
        if match is None:
            raise InvalidURL("a malformed IPv6 address in a URL ([address]:port is needed)")
        address, zone, port_text = match.groups()
        host = _address(address) + (zone or "").replace("%25", "%")
    else:
        host, _, port_text = hostport.partition(":")
        host = _name(host)
    if port_text and not (re.fullmatch(r"0*[0-9]{1,5}", port_text) and 0 < int(port_text[-5:]) < 65536):
        raise InvalidURL("a port in a URL has to be a number from 1 to 65535")
    if scheme == "file":
        if host not in {"", "localhost"} or port_text:
            raise InvalidURL("a file URL names no host: file:///path")
        return "", None
    if not host:
        raise InvalidURL("a URL without a host")
    return host, int(port_text[-5:]) if port_text else DEFAULT_PORTS.get(scheme)


def _userinfo(text: str) -> tuple[str, str | None]:
    name, colon, word = text.partition(":")
    try:
        user, password = unquote(name, errors="strict"), unquote(word, errors="strict") if colon else None
    except UnicodeDecodeError:
        raise InvalidURL("the userinfo of a URL is not UTF-8") from None
    if ":" in user:
        raise InvalidURL("a colon in the user of a URL, where none can be (RFC 7617 section 2)")
    if _CONTROL.search(user + (password or "")):
        raise InvalidURL("a control character in the userinfo of a URL")
    return user, password


def _address(text: str) -> str:
    try:
        IPv6Address(text)
    except ValueError:
        raise InvalidURL("a malformed IPv6 address in a URL ([address]:port is needed)") from None
    return text.lower()


def _name(host: str) -> str:
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except UnicodeError:
            raise InvalidURL("the host of a URL is no valid name") from None
    labels = host.removesuffix(".").split(".")
    if host and not (_HOST.fullmatch(host) and len(host) < 255 and all(0 < len(label) < 64 for label in labels)):
        raise InvalidURL("the host of a URL is no valid name")
    return host.lower()


def join(base: URL, reference: str) -> URL:
    """
    Where a C{Location} leads from here (RFC 3986 section 5), spaces and raw UTF-8 encoded as browsers do.

    An absolute URL is taken byte for byte.  (C{urllib.parse.urljoin} is not used: it drops empty segments of the base,
    a C{;} or C{?} at the end, tabs and line ends.)

    @raise InvalidURL: it leads nowhere.
    """
    if re.match(rf"{_SCHEME.pattern}:", reference):
        return parse(reference)
    if reference.startswith("//"):
        return parse(f"{base.scheme}:{reference}")
    path, question, query = reference.partition("#")[0].partition("?")
    here, mark, asked = base.target.partition("?")
    if not path:
        return parse(base.base + here + (question + query or mark + asked))
    if not path.startswith("/"):
        path = here[: here.rindex("/") + 1] + path
    return parse(base.base + _without_dots(path) + question + query)


def _without_dots(path: str) -> str:
    """Follow C{.} and C{..} (RFC 3986 section 5.2.4); never above the root."""
    done: list[str] = []
    *segments, last = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del done[-1:]
        elif segment != ".":
            done.append(segment)
    if last == "..":
        del done[-1:]
    return "/" + "/".join([*done, "" if last in {".", ".."} else last])


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, in whatever spelling (C{127.1}, C{0x7f000001}, C{127.0.0.1.}); None of a name."""
    host = host.removesuffix(".")
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(inet_aton(host))
    except (OSError, ValueError):
        return None


def shown(text: str) -> str:
    """
    A URL as it may be printed: no userinfo, no fragment, the values of signatures, tokens and the like masked.

    Whatever is given, a string of printable characters comes back.  What is no URL is cut at the first character that
    could begin a secret.
    """
    text = str(text)
    try:
        place = parse(text)
    except InvalidURL:
        return _cut(text)
    return place.base + _shown_target(place.target)


def _shown_target(target: str) -> str:
    if not _SUSPECT.search(target):
        return target
    path, question, query = target.partition("?")
    path = re.sub("//[^/]*@", "//***@", path)  # a URL in a URL, as caches have it
    return "/".join(map(_masked, path.split("/"))) + question + "&".join(map(_masked, query.split("&")))


def _masked(part: str) -> str:
    """A segment of a path, or a pair of a query."""
    plain = part
    for _ in range(3):  # a URL in a URL in a URL
        plain = unquote(plain)
    if _secret(plain) is None and not _has_userinfo(plain):
        return part
    before = _secret(part)
    if before is not None:
        return f"{before}***"
    return f"{part.partition('=')[0]}=***" if "=" in part else "***"


def _secret(text: str) -> str | None:
    """What stands before the first value that is secret by its name, with the C{=}; None if there is none."""
    match = _SECRET.search(text[: text.rfind("=") + 1])
    return None if match is None else text[: match.end()]


def _has_userinfo(text: str) -> bool:
    """C{//user@}, or C{=user:password@}."""
    if _USERINFO.search(text):
        return True
    return any(0 <= each.find("=") < each.rfind(":") for each in text.split("@")[:-1])


def _cut(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    known = scheme + separator if separator and _SCHEME.fullmatch(scheme) else ""
    rest = text[len(known) :]
    # Nothing before the last "@" of all, since a password may hold what should have been encoded, and nothing behind
    # what may begin a value.
    end = len(re.split("[?#&;=]", rest, maxsplit=1)[0])
    kept = rest[rest.rfind("@") + 1 : end]
    host, colon, port = kept.partition(":")
    if colon and not re.fullmatch(r"[0-9]{0,5}(/[^:]*)?", port):
        kept = f"{host}:***"
    elif end < len(rest):
        kept += "***"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in known + kept)
