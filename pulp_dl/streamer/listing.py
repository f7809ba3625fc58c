"""A directory, for people: plain HTML, made while it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from time import gmtime, strftime
from typing import Final
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from ..consumers.response import ToResponse
from ..model.entry import Entry
from ..model.source import Head

__all__ = ["Page"]

AT_ONCE: Final = 500
"""Entries that are made into HTML in one turn of the reactor: about a millisecond."""

_FIELDS: Final = (
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"Cache-Control", b"no-cache"),
    # Names are other people's words; nothing in them is to run, whatever escaping may have missed.
    (b"Content-Security-Policy", b"default-src 'none'"),
    (b"X-Content-Type-Options", b"nosniff"),
)


@implementer(IPullProducer)
class Page:
    """Writes a listing as fast as the client takes it."""

    def __init__(self, path: str, entries: Iterable[Entry], response: ToResponse) -> None:
        self._pieces = _pieces(path, entries)
        self._response = response
        self._done: Deferred[None] = Deferred()

    def show(self, *, head_only: bool) -> Deferred[None]:
        """Fires with None at its end; fails with what the entries raised; may be cancelled when the client left."""
        self._response.begin(Head("", 200, _FIELDS))
        if head_only:
            self._response.finish()
            self._done.callback(None)
        else:
            self._response.registerProducer(self, False)
        return self._done

    def resumeProducing(self) -> None:
        try:
            piece = next(self._pieces, None)
        except Exception:
            self._response.unregisterProducer()
            self._done.errback()
            return
        if piece is not None:
            self._response.write(piece)
        else:
            self._response.unregisterProducer()
            self._response.finish()
            self._done.callback(None)

    def stopProducing(self) -> None:
        """The client left."""


def _pieces(path: str, entries: Iterable[Entry]) -> Iterator[bytes]:
    title = escape(f"Index of {path}")
    up = "" if path == "/" else '<a href="../">../</a>\n'
    yield f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1><pre>\n{up}".encode()
    rest = iter(entries)
    while lines := [_line(each) for each in islice(rest, AT_ONCE)]:
        yield "".join(lines).encode("utf-8", "replace")
    yield b"</pre></body></html>\n"


def _line(entry: Entry) -> str:
    # "./" because a name may look like a scheme: "javascript:…".
    link = "./" + quote(entry.name, safe="/", errors="surrogateescape")
    modified = "" if entry.modified is None else strftime("%Y-%m-%d %H:%M", gmtime(entry.modified))
    size = "-" if entry.size is None else str(entry.size)
    return f'<a href="{escape(link)}">{escape(entry.name)}</a>  {modified:16}  {size:>12}\n'
