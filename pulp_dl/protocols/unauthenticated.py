"""An authenticator is started, and what it fetches its tokens with, whatever protocol it works for."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from ..errors import DownloadError, Refused
from ..interfaces import IAuth, IAuthenticator, IBodyConsumer, IDownloader, IShared
from ..model.remote import Remote, Retries
from ..model.report import Report
from ..model.source import Head, Source, as_source

__all__ = ["started"]


def started(auth: IAuth, remote: Remote, shared: IShared, url: str) -> IAuthenticator:
    """
    The live one of C{Remote.auth}.

    @raise Refused: it raised something of its own; the text of that may hold a secret.
    """
    try:
        authenticator: IAuthenticator = auth.start(Unauthenticated(shared.direct, remote))
    except (DownloadError, CancelledError):
        raise
    except Exception as error:
        raise Refused(f"Remote.auth raised {type(error).__name__}", url) from error
    return authenticator


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
