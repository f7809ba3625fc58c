"""From a configuration to who answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.logger import Logger

from ..engine.learnt import Learnt
from ..importers.catalogue import Catalogue
from ..importers.passthrough import Passthrough
from ..importers.several import Several
from ..importers.store import Store
from ..interfaces import IImporter
from ..model.remote import Remote
from .configuration import Configuration

__all__ = ["open_importer"]

log = Logger()


def open_importer(
    reactor: Any, configuration: Configuration, name: str | None = None, learnt: Learnt | None = None
) -> IImporter:
    """
    Who knows all that is to be served: the catalogue first, then prefixes, the longer ones before the shorter.

    @param name: what requests call us in Via, so that one that comes back is known.
    @param learnt: what is known of mirrors.
    @raise Exception: one of them cannot be opened; none of them is left open.
    """

    def named(remote: Remote) -> Remote:
        return remote if name is None else evolve(remote, headers=(*remote.headers, (b"Via", f"1.1 {name}")))

    learnt = learnt or Learnt()
    opened: list[IImporter] = []
    try:
        if configuration.catalogue is not None:
            if not Path(configuration.catalogue).exists():  # a name mistyped; nobody would ever find anything
                raise FileNotFoundError(
                    f"there is no catalogue {configuration.catalogue!r}; pulp-dl publish --catalogue makes one"
                )
            store = None
            if configuration.store is not None:
                store = Store(configuration.store, limit=configuration.store_size)
            catalogue = Catalogue(
                reactor,
                configuration.catalogue,
                remotes={each: named(configuration.remotes[each]) for each in configuration.remotes},
                anonymous=named(configuration.anonymous),
                store=store,
                keep_share=configuration.keep_share,
                window=configuration.window,
                mirrors=configuration.mirrors,
                learnt=learnt,
            )
            opened.append(catalogue)
        for prefix in sorted(configuration.passthrough, key=lambda each: len(each.path), reverse=True):
            mirrors = None if prefix.mirrors is None else learnt.scores(f"serve {prefix.path}", prefix.mirrors)
            remote, window = named(prefix.remote), configuration.window
            opened.append(Passthrough(reactor, prefix.path, prefix.url, remote, mirrors=mirrors, window=window))
    except BaseException:
        for each in opened:  # which a comprehension would not know
            each.close().addErrback(lambda failure: log.failure("could not close", failure))
        raise
    return opened[0] if len(opened) == 1 else Several(opened)
