"""From a manifest to a catalogue."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from attrs import frozen

from ..urls import join
from .file import Manifest
from .ledger import Ledger, Listed, Place, Publication
from .schema import CatalogueError
from .store import Store

__all__ = ["GRACE", "Publishing", "kept_by", "withdraw"]

GRACE: Final = 3600
"""
Seconds for which what is no longer published is kept, if somebody has asked for it: he may be about to open it.  And
what is not yet published, for who stores files before he publishes them.
"""


def kept_by(catalogue: str | os.PathLike[str]) -> Store:
    """
    The files that a catalogue keeps itself, beside it: manifests, so that they are those that were published whatever
    upstream has by now, and all that is published as C{immediate}.

    @raise CatalogueError: there is no place for them.
    """
    directory = Path(f"{os.fspath(catalogue)}.files")
    try:
        return Store(directory)
    except OSError as error:
        raise CatalogueError(f"{directory}: {error.strerror}") from error


@frozen
class Publishing:
    """
    What is to become a publication.

    @ivar base: the path that its files shall be below, such as C{"/files/"}.
    @ivar policy: C{"immediate"}, C{"on_demand"} or C{"streamed"}.
    @ivar remote: the name of the settings for where the manifest came from.
    @ivar mirrors: other places of the same files, by their directories.
    """

    base: str
    policy: str = "on_demand"
    remote: str | None = None
    mirrors: tuple[Place, ...] = ()

    def run(self, connection: Any, kept: Store, manifest: Manifest) -> Publication:
        """
        Publish what the manifest lists, and the manifest itself, in place of what is published there.  Blocks; fetches
        nothing.

        @param connection: to the catalogue.
        @param kept: its own files.
        @raise CatalogueError: it cannot be published so.
        @raise ManifestError: a line cannot be used.
        """
        source = manifest.source
        place = Place(str(join(source.place, "./")), self.remote)
        wanted = Publication(self.base, self.policy, (place, *self.mirrors), time.time())
        ledger = Ledger(connection)
        found = ledger.publish(wanted, self._files(manifest, kept))
        _tidy(ledger, kept)
        return found

    def _files(self, manifest: Manifest, kept: Store) -> Iterator[Listed]:
        """All this happens while nobody else changes the catalogue, nor tidies up: what is seen to be there stays."""
        keep = self.policy == "immediate"
        for entry in manifest:
            size, sha256 = entry.expected
            if keep and kept.use(sha256, size) is None:
                raise CatalogueError(f"{entry.path!r} is not stored, so it cannot be published as immediate")
            yield Listed(entry.path, quote(entry.path), size, sha256, kept=keep)
        name = manifest.source.place.path.rpartition("/")[2] or "PULP_MANIFEST"
        try:
            sha256, size = kept.add(manifest.file)
        except OSError as error:
            raise CatalogueError(f"{kept.directory}: {error.strerror}") from error
        yield Listed(name, quote(name), size, sha256, kept=True, mutable=True)


def withdraw(connection: Any, kept: Store, base: str) -> bool:
    """Take a publication away, and what only it needs.  False if there is none.  Blocks."""
    ledger = Ledger(connection)
    there = ledger.unpublish(base)
    _tidy(ledger, kept)
    return there


def _tidy(ledger: Ledger, kept: Store) -> None:
    with ledger.changing():
        kept.forget(ledger.keeps, GRACE)
