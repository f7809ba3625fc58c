"""An importer without a catalogue: what is below a path is what is below a URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from ..engine.downloader import Downloader
from ..engine.sharing import WINDOW, Sharing
from ..interfaces import IDownloader, IImporter, IMirrors
from ..mirrors.scores import Scores
from ..mirrors.standing import Standing
from ..model.remote import Remote
from ..model.source import Source
from ..urls import parse

__all__ = ["Passthrough"]


@implementer(IImporter)
class Passthrough:
    """
    Everything below a prefix, from upstream, as it is there: nobody knows its digest, so nothing is stored.

    C{Passthrough(reactor, "/debian/", "http://deb.example.org/debian/")} finds C{/debian/pool/a.deb} at
    C{http://deb.example.org/debian/pool/a.deb}.
    """

    def __init__(
        self,
        reactor: Any,
        prefix: str,
        url: str,
        remote: Remote | None = None,
        *,
        mirrors: IMirrors | None = None,
        window: int = WINDOW,
    ) -> None:
        """
        @param prefix: with a slash at its beginning; the one at its end may be left out, here as in C{url}.
        @param url: where that is upstream.  Its userinfo serves all that is below it.
        @param window: bytes by which a client may be behind the fastest one that has the same transfer; who is slower,
            or comes later, has one of its own.
        @raise ValueError: one of them makes no sense.
        """
        if not prefix.startswith("/"):
            raise ValueError(f"{prefix!r} is no prefix of a path; it begins with a slash")
        place = parse(url)
        if "?" in place.target:
            raise ValueError("the URL of a directory has no query")
        self.prefix = prefix.rstrip("/") + "/"
        base = Source(url)
        self._auth = base.auth
        self._base = base.url.rstrip("/") + "/"
        self._mirrors = mirrors
        self._downloader = Sharing(Downloader(reactor, remote, mirrors=mirrors), reactor, window=window)

    def find(self, path: str) -> Deferred[tuple[IDownloader, Source]]:
        if not path.startswith(self.prefix):
            return fail(KeyError(path))
        # Each byte of a name is its own: what came as %3F must not begin a query.
        try:
            rest = quote(path[len(self.prefix) :], safe="/", errors="surrogateescape")
        except UnicodeEncodeError:  # a surrogate that stands for no byte: no URL can name it
            return fail(KeyError(path))
        return succeed((self._downloader, Source(self._base + rest, auth=self._auth)))

    @property
    def standings(self) -> Sequence[Standing]:
        """How the hosts of mirrors stand that have been asked, if an order was learnt."""
        return self._mirrors.hosts if isinstance(self._mirrors, Scores) else []

    def close(self) -> Deferred[None]:
        return self._downloader.close()
