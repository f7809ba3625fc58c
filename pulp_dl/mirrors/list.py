"""Mirror lists in plain text: those of Fedora, CentOS, pacman and apt."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple

from twisted.logger import Logger
from zope.interface import implementer

from ..interfaces import IDownloader, IMirrors
from ..model.mirrors import MirrorsSettings, country_code
from ..model.remote import Remote
from ..model.report import Attempt
from ..model.source import Head, Source
from ..urls import parse, shown
from .below import Below
from .document import LIMIT, REFRESH, Document

__all__ = ["SCHEMES", "Entry", "Listing", "MirrorList", "Skipped", "list_of", "read_list", "substitute", "with_country"]

log = Logger()

SCHEMES: Final = ("https", "http", "ftp")
"""Where a list may lead: not to C{file}, for whoever writes it writes about a disk that is not theirs."""

MOST: Final = 1000
"""Places that are read of a list; it may have ten times as many lines that are none."""

LEFT_OUT: Final = "line {number} of the mirror list {url} is left out: {reason}"

_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PACMAN: Final = re.compile(r"Server\s*=\s*(.*)")
_LAST: Final = 1 << 31  # apt asks those without a priority after all others


class Entry(NamedTuple):
    """A place of a list: a URL without a slash at its end, and its priority, the lowest first."""

    url: str
    priority: int = _LAST


class Skipped(NamedTuple):
    """What is no place for us: the number of its line, or of the URL in a metalink; and why.  It is not repeated."""

    number: int
    reason: str


class Listing(NamedTuple):
    """What stands in a list."""

    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...]


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """
    Put values where their names are: C{$arch} or C{${arch}}.

    @raise ValueError: there is no value for a name.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in variables:
            raise ValueError(f"nobody says what ${name} is")
        return variables[name]

    return _VARIABLE.sub(value, text)


def with_country(variables: Mapping[str, str], country: str | None) -> Mapping[str, str]:
    """The same, and what C{$country} is in the URL of a list, in capitals as servers want it, if nobody else says."""
    return variables if country is None else {"country": country.upper(), **variables}


def read_list(text: str, variables: Mapping[str, str] | None = None, schemes: Collection[str] = SCHEMES) -> Listing:
    """
    Read a list: a URL in each line, or C{Server = URL} as pacman has it; comments begin with C{#}.  Behind a URL may
    stand what apt's mirror method knows: C{priority:1}, and C{arch:amd64} or other such limits, which are compared with
    the variables of their names.

    @raise ValueError: there is no place in it.
    """
    variables = variables or {}
    entries: dict[str, Entry] = {}
    skipped = []
    lines = 0
    # Not splitlines(), for which a form feed ends a line, too.
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        lines += 1
        if len(entries) >= MOST or lines > 10 * MOST:
            what = f"{MOST} places" if len(entries) >= MOST else f"{10 * MOST} lines"
            skipped.append(Skipped(number, f"only {what} are read"))
            break
        try:
            entry = _entry(words, variables, schemes)
        except ValueError as error:
            skipped.append(Skipped(number, str(error)))
        else:
            entries.setdefault(entry.url, entry)
    if not entries:
        why = f"; line {skipped[0].number}: {skipped[0].reason}" if skipped else ""
        raise ValueError(f"there is no place in it{why}")
    return Listing(tuple(sorted(entries.values(), key=lambda each: each.priority)), tuple(skipped))


def _entry(line: str, variables: Mapping[str, str], schemes: Collection[str]) -> Entry:
    pacman = _PACMAN.fullmatch(line)
    url, *words = (pacman[1] if pacman else line).split() or [""]
    if not url:
        raise ValueError("there is no URL in it")
    options = [word.partition(":") for word in words]
    if not all(colon for _, colon, _ in options):
        raise ValueError("there is more than a URL in it")
    priority = _LAST
    limits: dict[str, list[str]] = {}
    for name, _, value in options:
        if name == "priority":
            if not re.fullmatch("[0-9]{1,9}", value):
                raise ValueError("its priority is no number")
            priority = int(value)
        else:
            limits.setdefault(name, []).append(value)
    for name, values in limits.items():
        if name in variables and variables[name] not in values:
            raise ValueError(f"it is for another {name}")
    place = parse(substitute(url, variables))
    if place.scheme not in schemes:
        raise ValueError(f"{place.scheme}: is none of the protocols that are allowed here")
    if "?" in place.target:
        raise ValueError("it has a query, and nothing can be below that")
    # As it was given, with its userinfo: at() takes that out.
    return Entry(substitute(url, variables).partition("#")[0].rstrip("/"), priority)


@implementer(IMirrors)
class MirrorList:
    """
    Mirrors that are listed in a file, which is fetched when it is first needed, and again when it is old.

    One list serves all downloads of a Downloader; it is looked up once, however many wait for it.  If it cannot be
    fetched again, what is known holds for longer; if it never could, a file's own URL is asked.

    @ivar skipped: lines of the list that are no places.
    """

    def __init__(
        self,
        url: str,
        *,
        under: str | None = None,
        original: bool = True,
        variables: Mapping[str, str] | None = None,
        country: str | None = None,
        schemes: Collection[str] = SCHEMES,
        remote: Remote | None = None,
        limit: int = LIMIT,
        refresh: float = REFRESH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param url: of the list; variables in it are replaced, too.
        @param under: the beginning of the URLs that have mirrors; None: scheme, host and port of any URL.
        @param original: ask the source's own URL too, after the others (or where it stands among them).
        @param variables: what C{$arch}, C{$basearch}, C{$releasever}, C{$repo} and others stand for.
        @param country: what C{$country} stands for in the URL of the list (ISO 3166-1); a list in plain text says of
            no place where that is.
        @param schemes: protocols that an entry may have; others are skipped.
        @param remote: the settings to fetch the list with; None: those of the Downloader.  The secrets of a
            Downloader's Remote are not shown to the host of the list, unless it is theirs.
        @param limit: bytes that the list may have.
        @param refresh: seconds after which it is fetched again.
        @raise ValueError: this is no URL, there is no value for a variable in it, or this is no country.
        """
        self._variables = dict(variables or {})
        self._schemes = tuple(schemes)
        self._below = Below(under, original=original)
        url = substitute(url, with_country(self._variables, country_code(country)))
        self._document = Document(url, self._read, remote=remote, limit=limit, refresh=refresh, clock=clock)
        self.skipped: tuple[Skipped, ...] = ()

    @property
    def url(self) -> str:
        """Of the list, fit to be printed."""
        return self._document.url

    async def locate(self, source: Source, direct: IDownloader) -> Iterator[Source]:
        if self._below.rest(source) is None:
            return iter((source,))
        listing = await self._document.get(direct, source.scope or source.url)
        return self._below.places(source, (each.url for each in listing.entries))

    def record(self, attempt: Attempt) -> None:
        """The order is the list's."""

    def _read(self, data: bytes, head: Head) -> Listing:
        listing = read_list(data.decode(errors="replace"), self._variables, self._schemes)
        self.skipped = listing.skipped
        for each in listing.skipped[:10]:
            log.warn(LEFT_OUT, number=each.number, url=shown(head.url), reason=each.reason)  # noqa: G010  # twisted.logger
        return listing


def list_of(settings: MirrorsSettings) -> MirrorList:
    """The kind that is called C{mirrorlist}."""
    return MirrorList(settings.url(), under=settings.under, variables=settings.variables, country=settings.country)
