"""Importers beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import alsoProvides, implementer

from ..interfaces import IDownloader, IImporter, IListing
from ..mirrors.standing import Standing
from ..model.entry import Entry
from ..model.source import Source

__all__ = ["Several"]


@implementer(IImporter)
class Several:
    """Asks one after the other; the first that knows a path is the one that answers.  They are its own."""

    def __init__(self, importers: Iterable[IImporter]) -> None:
        self._importers = tuple(importers)
        self._listing = tuple(each for each in self._importers if IListing.providedBy(each))
        if self._listing:
            alsoProvides(self, IListing)

    def find(self, path: str) -> Deferred[tuple[IDownloader, Source]]:
        return _first([each.find for each in self._importers], path)

    def list(self, path: str) -> Deferred[Iterable[Entry]]:
        return _first([each.list for each in self._listing], path)

    @property
    def standings(self) -> Sequence[Standing]:
        """How the hosts of all their mirrors stand."""
        return [standing for each in self._importers for standing in getattr(each, "standings", ())]

    def close(self) -> Deferred[None]:
        ends: Deferred[Any] = DeferredList([each.close() for each in self._importers])
        return ends.addCallback(lambda _: None)


def _first(questions: list[Any], path: str) -> Deferred[Any]:
    async def ask() -> Any:
        for question in questions:
            try:
                return await question(path)
            except KeyError:
                continue
        raise KeyError(path)

    return Deferred.fromCoroutine(ask())
