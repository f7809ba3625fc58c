"""What an authenticator fetches its tokens with, whatever protocol it works for."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from zope.interface import implementer

from ..interfaces import IBodyConsumer, IDownloader
from ..model.remote import Remote, Retries
from ..model.report import Report
from ..model.source import Head, Source, as_source

__all__ = ["Unauthenticated"]


@implementer(IDownloader)
class Unauthenticated:
    """
    What an authenticator downloads with: everything as the Remote says, its proxy and its trust, but not its C{auth},
    which would ask itself; and once, since those who wait for it try again.
    """

    def __init__(self, direct: IDownloader, remote: Remote) -> None:
        self._direct = direct
        self._remote = evolve(remote, auth=None, retries=Retries(count=0))

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        return self._direct.download(self._own(source), consumer)

    def head(self, source: Source | str) -> Deferred[Head]:
        return self._direct.head(self._own(source))

    def close(self) -> Deferred[None]:
        return self._direct.close()

    def _own(self, source: Source | str) -> Source:
        source = as_source(source)
        return source if source.remote is not None else evolve(source, remote=self._remote)
