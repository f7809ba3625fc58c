"""The importer of who has none: what C{pulp-dl publish} has written into an SQLite file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from attrs import evolve
from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail
from twisted.logger import Logger
from zope.interface import implementer

from ..engine.downloader import Downloader
from ..engine.learnt import Learnt
from ..engine.plugins import installed
from ..engine.sharing import KEEP_SHARE, WINDOW, Sharing, check_sharing
from ..errors import Refused
from ..flow.running import Running
from ..interfaces import IBodyConsumer, IDownloader, IExpectation, IListing, IMirrors, IScheme
from ..mirrors.located import located
from ..mirrors.scores import Scores
from ..mirrors.standing import Standing
from ..model.entry import Entry
from ..model.expect import Digest, Size, Vouched
from ..model.remote import Limits, Remote, Retries
from ..model.report import Attempt
from ..model.source import Source
from .file import Manifest
from .following import SCHEME, Beside, Following, url_of
from .ledger import Ledger, Listed, Place, Publication
from .publish import Publishing, kept_by, withdraw
from .schema import OPTIONS, prepare
from .store import Store
from .stored import Stored
from .together import Together

__all__ = ["Catalogue"]

log = Logger()
T = TypeVar("T")

READERS: Final = 2


class _Wanted(NamedTuple):
    """The tag of our sources."""

    publication: Publication
    listed: Listed


@implementer(IListing)
class Catalogue:
    """
    Finds what is published, by policy:

      - C{streamed}: from upstream, each time; nothing is stored.
      - C{on_demand}: from upstream the first time, and stored meanwhile; from the store from then on.
      - C{immediate}: only what is stored.

    What one C{find} gives is of one publication, and the digests are those of its manifest.  So whatever is published
    while a client downloads, or changed upstream, it gets what was listed or sees that the transfer failed.

    @ivar kept: the files that the catalogue keeps itself.
    """

    def __init__(
        self,
        reactor: Any,
        path: str | os.PathLike[str],
        *,
        remotes: Mapping[str, Remote] | None = None,
        anonymous: Remote | None = None,
        store: Store | None = None,
        keep_share: float = KEEP_SHARE,
        window: int = WINDOW,
        mirrors: Mapping[str | None, IMirrors] | None = None,
        learnt: Learnt | None = None,
    ) -> None:
        """
        @param path: the SQLite file; it is made if it is missing.  Its own files are beside it, in C{PATH.files}.
        @param remotes: the settings that the names in the catalogue stand for.
        @param anonymous: the settings for what was published without a name.
        @param store: for what is C{on_demand}; without one that is streamed.
        @param keep_share: when all clients have left, a file is still stored if more than this share of it has come.
        @param window: bytes by which a client may be behind the fastest one that has the same transfer; who is slower,
            or comes later, has one of its own.
        @param mirrors: where else the files of a remote are, by its name; None for what was published without one.
        @param learnt: what is known of them.
        @raise CatalogueError: there is no place for its files.
        @raise ValueError: C{keep_share} is not from 0 to 1, or C{window} is no number of bytes.
        """
        check_sharing(window, keep_share)
        self._reactor = reactor
        self._remotes = remotes or {}
        self._anonymous = anonymous or Remote()
        self._listed = mirrors or {}
        self._learnt = learnt or Learnt()
        self._scores: dict[str | None, Scores] = {}
        self.kept = kept_by(path)
        self._store = store
        self._window, self._keep_share = window, keep_share
        file = os.path.abspath(os.fspath(path))  # noqa: PTH100  # whatever the current directory will be

        def pool(connections: int) -> ConnectionPool:
            options = {"check_same_thread": False, "cp_openfun": prepare, "cp_reactor": reactor, "cp_min": 0}
            return ConnectionPool("sqlite3", file, **OPTIONS, **options, cp_max=connections)

        self._readers, self._writer = pool(READERS), pool(1)
        self._lookups: Together[str, tuple[_Wanted, str | None]] = Together(
            lambda paths: self._ask(self._readers, lambda connection: self._look(connection, paths))
        )
        self._running = Running()
        self._closing: Deferred[None] | None = None
        # A disk does not get better by asking again, and what is stored may be as large as it is.
        local = Remote(limits=Limits(max_size=None), retries=Retries(count=0))
        self._files = Downloader(reactor, local)
        self._upstreams: dict[str | None, Sharing] = {}

    # questions

    def find(self, path: str) -> Deferred[tuple[IDownloader, Source]]:
        return self._lookups.ask(path).addCallback(self._answer)

    def list(self, path: str) -> Deferred[Iterable[Entry]]:
        return self._ask(self._readers, lambda connection: Ledger(connection).directory(path))

    def publications(self) -> Deferred[Sequence[Publication]]:
        """Fires with all there are, in the order of their bases; fails with L{CatalogueError}."""
        return self._ask(self._readers, lambda connection: Ledger(connection).publications())

    # changes

    def publish(self, publishing: Publishing, manifest: Manifest) -> Deferred[Publication]:
        """
        Fires with the publication when clients find it, in place of the one before.  Fails as C{Publishing.run} does.
        The manifest must not be closed until then.
        """
        return self._ask(self._writer, lambda connection: publishing.run(connection, self.kept, manifest))

    def unpublish(self, base: str) -> Deferred[bool]:
        """Fires with whether there was such a publication."""
        return self._ask(self._writer, lambda connection: withdraw(connection, self.kept, base))

    def _ask(self, pool: ConnectionPool, question: Callable[[Any], T]) -> Deferred[T]:
        """In one of the pool's threads.  Cancelling only stops listening."""
        if self._closing is not None:
            return fail(CancelledError("the catalogue is closed"))
        answer: Deferred[T] = Deferred()
        self._running.add(pool.runWithConnection(question)).addBoth(answer.callback)
        return answer

    @property
    def standings(self) -> Sequence[Standing]:
        """How the hosts of mirrors stand that have been asked."""
        return [each for scores in self._scores.values() for each in scores.hosts]

    # the answer to find()

    def _look(self, connection: Any, paths: Sequence[str]) -> Sequence[tuple[_Wanted, str | None] | Exception]:
        """In a thread: for each what is published there, and where it is stored, if it is."""
        found = zip(paths, Ledger(connection).find_all(paths), strict=True)
        return [KeyError(path) if each is None else (_Wanted(*each), self._stored(*each)) for path, each in found]

    def _stored(self, publication: Publication, listed: Listed) -> str | None:
        stores = [self.kept] if listed.kept else []
        if publication.policy != "streamed" and self._store is not None:
            stores.append(self._store)
        places = (each.use(listed.sha256, listed.size) for each in stores if listed.sha256 is not None)
        return next(filter(None, places), None)

    def _answer(self, found: tuple[_Wanted, str | None]) -> Any:
        wanted, stored = found
        publication, listed = wanted
        store = self._home(wanted)
        settling = store.settled(str(listed.sha256)) if store is not None and stored is None else None
        if settling is not None:  # all of it is here, and will be there in a moment
            return settling.addCallback(lambda _: self.find(publication.base + listed.path))
        if publication.policy == "immediate":
            if stored is None:
                raise KeyError(publication.base + listed.path)
            return self._files, _file(stored, wanted)
        place = publication.places[0]
        upstream = self._upstream(place.remote)
        source = Source(**_where(place, listed), expect=_expected(listed), tag=wanted, mutable=listed.mutable)
        if stored is None and store is not None and store.growing(str(listed.sha256)) and not upstream.joins(source):
            return upstream.inner, evolve(source, url=url_of(str(listed.sha256)), scope=None, found=False)
        if stored is None:
            return upstream, source
        return Stored(self._files, upstream, source), _file(stored, wanted)

    def _upstream(self, name: str | None) -> Sharing:
        """For each remote one; what is shared by its downloads is shared for good."""
        if name not in self._upstreams:
            schemes: list[IScheme] | None = None
            if self._store is not None:
                schemes = [*(each.plugin for each in installed().schemes), Following(self._store)]
            mirrors: IMirrors = _Mirrors(self._remote, self._listed)
            if self._listed:  # else the order is the publisher's
                mirrors = self._scores[name] = self._learnt.scores(f"catalogue {name or ''}", mirrors, Beside)
            downloader = Downloader(self._reactor, self._remote(name), mirrors=mirrors, schemes=schemes)
            self._upstreams[name] = Sharing(
                downloader, self._reactor, window=self._window, keep=self._keep, keep_share=self._keep_share
            )
        return self._upstreams[name]

    def _remote(self, name: str | None) -> Remote:
        if name is None:
            return self._anonymous
        try:
            return self._remotes[name]
        except KeyError:
            raise Refused(f"the catalogue speaks of a remote {name!r}, the settings do not; add it to them") from None

    def _keep(self, source: Source) -> IBodyConsumer | None:
        """What is to store a transfer of a whole file, if anything."""
        listed, store = source.tag.listed, self._home(source.tag)
        return None if store is None else store.consumer(listed.sha256, listed.size, self._reactor.callFromThread)

    def _home(self, wanted: _Wanted) -> Store | None:
        """Where a file is to be stored when somebody has asked for it, if anywhere."""
        on_demand = wanted.publication.policy == "on_demand" and wanted.listed.sha256 is not None
        return self._store if on_demand else None

    # the end

    def close(self) -> Deferred[None]:
        if self._closing is None:
            self._closing = Deferred.fromCoroutine(self._close())
        waiting: Deferred[None] = Deferred()
        self._closing.addCallback(waiting.callback)
        return waiting

    async def _close(self) -> None:
        await DeferredList([each.close() for each in (self._files, *self._upstreams.values())])
        await self._running.ended()
        for pool in (self._readers, self._writer):
            pool.close()  # its threads have nothing to do


@implementer(IMirrors)
class _Mirrors:
    """All places of a publication, each with the settings for it."""

    def __init__(
        self, remote: Callable[[str | None], Remote], mirrors: Mapping[str | None, IMirrors] | None = None
    ) -> None:
        self._remote = remote
        self._mirrors = mirrors or {}

    def locate(self, source: Source, direct: IDownloader) -> Iterable[Source] | AsyncIterator[Source]:
        if not self._mirrors and len(source.tag.publication.places) == 1 and source.place.scheme != SCHEME:
            return (source,)  # as most have
        places = self._published(source)
        return self._listed(places, direct) if self._mirrors else (place for _, place in places)

    def _published(self, source: Source) -> Iterator[tuple[str | None, Source]]:
        """The places that the publisher named, and the names of their remotes."""
        publication, listed = source.tag
        yield publication.places[0].remote, source
        # Who reads what is being stored has the rest from anywhere.
        first = 0 if source.place.scheme == SCHEME else 1
        for place in publication.places[first:]:
            try:
                remote = self._remote(place.remote)
            except Refused as error:
                log.warn("{place} is left out: {error}", place=place, error=error)  # noqa: G010  # a logger of Twisted
            else:
                # Who published it vouches for it: its secrets are its remote's.
                yield place.remote, evolve(source, **_where(place, listed), remote=remote, headers=())

    async def _listed(self, places: Iterator[tuple[str | None, Source]], direct: IDownloader) -> AsyncIterator[Source]:
        """Each of them, and before it those that the mirrors of its remote have."""
        for name, place in places:
            mirrors = self._mirrors.get(name)
            if mirrors is None or place.place.scheme == SCHEME:
                yield place
                continue
            async for each in located(mirrors, place, direct):
                yield each

    def record(self, attempt: Attempt) -> None:
        for each in self._mirrors.values():  # the order of the others is the publisher's
            each.record(attempt)


def _where(place: Place, listed: Listed) -> dict[str, Any]:
    """A URL that is not below its place was named by the metadata there, and is not for the secrets of its remote."""
    absolute = "://" in listed.href
    url = listed.href if absolute else place.url + listed.href
    return {"url": url, "scope": place.url if absolute else None, "found": absolute}


def _expected(listed: Listed) -> tuple[IExpectation, ...]:
    size = () if listed.size is None else (Size(listed.size),)
    sha256 = () if listed.sha256 is None else (Digest("sha256", listed.sha256),)
    others = tuple([Digest(*each) for each in listed.others]) if listed.others else ()
    return size + sha256 + others


def _file(path: str, wanted: _Wanted) -> Source:
    assert wanted.listed.sha256 is not None
    size = [] if wanted.listed.size is None else [Size(wanted.listed.size)]
    expect = [*size, Vouched("sha256", wanted.listed.sha256)]
    return Source(Path(path).as_uri(), expect=expect, tag=wanted, mutable=wanted.listed.mutable)
