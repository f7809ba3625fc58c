"""From a configuration to who answers."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from ..importers.catalogue import Catalogue
from ..importers.passthrough import Passthrough
from ..importers.several import Several
from ..importers.store import Store
from ..interfaces import IImporter
from ..mirrors.scores import Scores
from .configuration import Configuration

__all__ = ["open_importer"]

log = Logger()


def open_importer(reactor: Any, configuration: Configuration) -> IImporter:
    """
    Who knows all that is to be served: the catalogue first, then prefixes, the longer ones before the shorter.

    @raise Exception: one of them cannot be opened; none of them is left open.
    """
    opened: list[IImporter] = []
    try:
        if configuration.catalogue is not None:
            store = None
            if configuration.store is not None:
                store = Store(configuration.store, limit=configuration.store_size)
            remotes, anonymous = configuration.remotes, configuration.anonymous
            catalogue = Catalogue(
                reactor,
                configuration.catalogue,
                remotes=remotes,
                anonymous=anonymous,
                store=store,
                mirrors=configuration.mirrors,
            )
            opened.append(catalogue)
        for prefix in sorted(configuration.passthrough, key=lambda each: len(each.path), reverse=True):
            mirrors = None if prefix.mirrors is None else Scores(prefix.mirrors)
            opened.append(Passthrough(reactor, prefix.path, prefix.url, prefix.remote, mirrors=mirrors))
    except BaseException:
        for each in opened:  # which a comprehension would not know
            each.close().addErrback(lambda failure: log.failure("could not close", failure))
        raise
    return Several(opened)
