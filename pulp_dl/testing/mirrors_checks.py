"""The promises of L{IMirrors} as tests, for any mirrors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ..engine.downloader import Downloader
from ..errors import ConnectFailed, ConsumerGone, DigestMismatch, DownloadError, NotFound, TimedOut, Unavailable
from ..interfaces import IBodyConsumer, IDownloader, IMirrors
from ..mirrors.located import located
from ..model.expect import Digest
from ..model.remote import Remote, Retries
from ..model.report import Attempt, Report
from ..model.source import Head, Source, as_source
from .guard import PATIENCE, Belongings, soon, turns, until_left
from .memory import MemoryFetcher, MemoryScheme
from .places import Place

__all__ = ["MirrorsCase", "check_mirrors"]

MOST = 1000
"""Places that the engine reads of one list."""

_EXPECT = Digest("sha256", "0" * 64)
_SECRET = {"X-Secret": "secret"}


def _tuple(urls: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if urls is None else tuple(urls)


@frozen
class MirrorsCase:
    """
    Fresh mirrors, and what they should find.

    @ivar source: a URL that has mirrors.
    @ivar places: URLs where it is then to be found, in their order while nothing has been learnt; None: whatever they
        are, as long as there are some.
    @ivar files: what C{direct} finds at which URLs: the lists that the mirrors read.
    """

    mirrors: Any
    source: str
    places: tuple[str, ...] | None = field(default=None, converter=_tuple)
    files: Mapping[str, bytes] = field(factory=dict)


Make = Callable[[Any], AbstractAsyncContextManager[MirrorsCase]]


@implementer(IDownloader)
class Direct:
    """
    What C{locate} is given: finds the files of the case, or fails, and minds what is asked of it.

    @ivar memory: where they are; a script may be changed.
    """

    def __init__(self, reactor: Any, files: Mapping[str, bytes]) -> None:
        self.memory = MemoryFetcher({url: Place(data) for url, data in files.items()}, reactor)
        names = tuple({Source(url).place.scheme for url in files} | {"http", "https"})
        schemes = [MemoryScheme(self.memory, names)]
        self.downloader = Downloader(reactor, Remote(retries=Retries(count=0)), schemes=schemes)
        self.errors: list[str] = []

    def download(self, source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        self._mind(as_source(source))
        return self.downloader.download(source, consumer)

    def head(self, source: Source | str) -> Deferred[Head]:
        self._mind(as_source(source))
        return self.downloader.head(source)

    def close(self) -> Deferred[None]:
        self.errors.append("direct is the Downloader's, and not to be closed")
        return succeed(None)

    def _mind(self, source: Source) -> None:
        if any(value == b"secret" for _, value in source.headers):
            self.errors.append("the headers of a source are for its own host, and not for that of a list")


class Trial:
    """One case under test, with the reactor."""

    def __init__(self, reactor: Any, case: MirrorsCase, patience: float) -> None:
        self.reactor = reactor
        self.case = case
        self.mirrors = case.mirrors
        self.source = Source(case.source, _EXPECT, headers=_SECRET, tag=object())
        self.direct = Direct(reactor, case.files)
        self._patience = patience

    def locate(self, source: Source | None = None) -> Deferred[list[Source]]:
        async def read() -> list[Source]:
            found = []
            async for place in located(self.mirrors, source or self.source, self.direct):
                found.append(place)
                assert len(found) <= MOST, f"more than {MOST} places: is there an end?"
            return found

        return Deferred.fromCoroutine(read())

    async def places(self) -> list[Source]:
        found: list[Source] = await self.soon(self.locate(), "locate")
        return found

    def soon(self, deferred: Deferred[Any], what: str) -> Deferred[Any]:
        return soon(self.reactor, deferred, what, self._patience)

    def attempt(self, place: Source, error: DownloadError | None, status: int | None = 200) -> Attempt:
        head = None if status is None else Head(place.url, status)
        return Attempt(place, 0, 1000, 0.1, 0.1, status, error, 0.01, head)


@asynccontextmanager
async def trying(make: Make, patience: float) -> AsyncIterator[Trial]:
    """A trial, and the proof that nothing is left behind it."""
    from twisted.internet import reactor

    before = Belongings.now(reactor)
    async with make(reactor) as case:
        trial = Trial(reactor, case, patience)
        yield trial
        assert trial.direct.errors == []
        await trial.soon(trial.direct.downloader.close(), "the end of direct")
    await until_left(reactor, before, "by the mirrors", patience)


ENDS: dict[str, Callable[[], DownloadError | None]] = {
    "success": lambda: None,
    "no connection": lambda: ConnectFailed("refused"),
    "silence": lambda: TimedOut("idle", 30),
    "not found": lambda: NotFound(404),
    "later": lambda: Unavailable(503, retry_after=5),
    "wrong bytes": lambda: DigestMismatch("sha256", "0", "1"),
    "a client that left": lambda: ConsumerGone("left"),
}


class MirrorsChecks:
    """What L{check_mirrors} returns a subclass of."""

    _make: Make
    _patience: float

    def _trying(self) -> AbstractAsyncContextManager[Trial]:
        return trying(self._make, self._patience)

    async def test_places_are_sources_in_their_order(self) -> None:
        async with self._trying() as trial:
            assert verifyObject(IMirrors, trial.mirrors)
            places = await trial.places()
            assert places, "there is no place at all"
            assert all(isinstance(each, Source) for each in places), "use source.at(url)"
            if trial.case.places is not None:
                assert tuple(each.url for each in places) == trial.case.places

    async def test_a_place_is_the_same_file(self) -> None:
        async with self._trying() as trial:
            for place in await trial.places():
                assert _EXPECT in place.expect, f"{place.url}: what is expected is lost; use source.at(url)"
                assert place.tag is trial.source.tag, f"{place.url}: the tag is lost; use source.at(url)"

    async def test_secrets_stay_with_the_origin_that_they_are_for(self) -> None:
        async with self._trying() as trial:
            own = trial.source.place.origin
            for place in await trial.places():
                if place.place.origin == own or place.remote is not None:  # whose secrets are its own
                    continue
                assert place.headers == (), f"{place.url}: it would be sent the headers; use source.at(url)"
                scope = Remote().scope(place.url, place.scope)
                assert scope == own, f"{place.url}: it would be sent the credentials; use source.at(url)"

    async def test_the_same_question_has_an_answer_each_time(self) -> None:
        async with self._trying() as trial:
            first = [each.url for each in await trial.places()]
            again = [each.url for each in await trial.places()]
            assert sorted(again) == sorted(first)

    async def test_many_ask_at_the_same_time(self) -> None:
        async with self._trying() as trial:
            asked = [trial.locate(evolve(trial.source, tag=number)) for number in range(5)]
            for number, each in enumerate(asked):
                places = await trial.soon(each, "locate beside others")
                assert places
                assert all(place.tag == number for place in places), "places of another source"

    async def test_whoever_has_a_place_reads_no_further(self) -> None:
        async with self._trying() as trial:
            reading: Any = located(trial.mirrors, trial.source, trial.direct)
            first = await trial.soon(Deferred.fromCoroutine(anext(reading)), "the first place")
            await trial.soon(Deferred.fromCoroutine(reading.aclose()), "letting go of the rest")
            assert isinstance(first, Source)

    @pytest.mark.parametrize("end", ENDS)
    async def test_whatever_becomes_of_attempts_record_does_not_raise_and_there_are_places(self, end: str) -> None:
        async with self._trying() as trial:
            for place in await trial.places():
                for status in (200, 206, None):
                    trial.mirrors.record(trial.attempt(place, ENDS[end](), status))
            assert await trial.places(), f"no place is left after {end}"

    async def test_record_does_not_raise_at_what_it_has_never_heard_of(self) -> None:
        async with self._trying() as trial:
            strange = Source("http://strange.example.org/never/heard/of?it=1")
            for end in ENDS.values():
                trial.mirrors.record(trial.attempt(strange, end(), None))

    async def test_a_list_that_cannot_be_had_is_a_download_error_or_no_harm(self) -> None:
        async with self._trying() as trial:
            for url in trial.case.files:
                trial.direct.memory.places[url] = Place(error=lambda: ConnectFailed("refused"))
            with suppress(DownloadError):
                await trial.places()

    async def test_whoever_is_cancelled_leaves_nothing_and_the_others_waiting(self) -> None:
        async with self._trying() as trial:
            if not trial.case.files:
                return
            for url, data in trial.case.files.items():
                trial.direct.memory.places[url] = Place(data, silent=True)
            one, two = trial.locate(), trial.locate()
            await turns(trial.reactor, 5)
            one.cancel()
            with pytest.raises(CancelledError):
                await trial.soon(one, "a cancelled locate")
            await turns(trial.reactor, 5)
            for url in trial.case.files:
                trial.direct.memory.release(url)
            for url, data in trial.case.files.items():
                trial.direct.memory.places[url] = Place(data)
            assert await trial.soon(two, "a locate beside one that was cancelled")

    async def test_all_who_are_cancelled_leave_nothing(self) -> None:
        async with self._trying() as trial:
            for url, data in trial.case.files.items():
                trial.direct.memory.places[url] = Place(data, silent=True)
            asked = [trial.locate() for _ in range(3)]
            await turns(trial.reactor, 5)
            for each in asked:
                each.cancel()
                each.addErrback(lambda failure: failure.trap(CancelledError))
            await turns(trial.reactor, 5)
            assert trial.direct.memory.running == 0, "a look-up goes on that nobody waits for"


def check_mirrors(make: Make, *, patience: float = PATIENCE) -> type:
    r"""
    A test class for one kind of mirrors; subclass it where pytest finds it::

        @asynccontextmanager
        async def make(reactor):
            lists = {"http://lists/": b"http://a\nhttp://b\n"}
            yield MirrorsCase(MyMirrors("http://lists/"), "http://origin/f", ["http://a/f", "http://b/f"], lists)

        class TestMyMirrors(check_mirrors(make)):
            "MyMirrors keeps every promise of IMirrors."

    @param make: called with the reactor for each test; an async context manager of a L{MirrorsCase}.
    @param patience: seconds after which something that should happen at once is taken for never.
    """

    class Checks(MirrorsChecks):
        _make = staticmethod(make)
        _patience = patience

    return Checks
