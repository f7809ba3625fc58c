"""Each check of mirrors catches mirrors that break the promise: no check is one that cannot fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from zope.interface import implementer

from pulp_dl import Attempt, Duplicates, Metalink, MirrorList, Places, Scores, Source, ToMemory
from pulp_dl.interfaces import IMirrors
from pulp_dl.testing import MirrorsCase, check_mirrors

LIST, OWN = "http://lists.example.org/", "http://origin.example.org/f"
FILES = {LIST: b"http://a.example.org\nhttp://b.example.org\n"}
PLACES = ["http://a.example.org/f", "http://b.example.org/f", OWN]
META = b"""<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f">
<url>http://a.example.org/f</url><url>http://b.example.org/f</url></file></metalink>"""
PATIENCE = 0.3


# ---- our own


@asynccontextmanager
async def places(_reactor: Any) -> AsyncIterator[MirrorsCase]:
    yield MirrorsCase(Places(["http://a.example.org", "http://b.example.org"]), OWN, PLACES)


@asynccontextmanager
async def mirror_list(_reactor: Any) -> AsyncIterator[MirrorsCase]:
    yield MirrorsCase(MirrorList(LIST), OWN, PLACES, FILES)


@asynccontextmanager
async def metalink(_reactor: Any) -> AsyncIterator[MirrorsCase]:
    yield MirrorsCase(Metalink(LIST), OWN, PLACES, {LIST: META})


@asynccontextmanager
async def scores(_reactor: Any) -> AsyncIterator[MirrorsCase]:
    yield MirrorsCase(Scores(MirrorList(LIST), explore=0), OWN, PLACES, FILES)


@asynccontextmanager
async def duplicates(_reactor: Any) -> AsyncIterator[MirrorsCase]:
    yield MirrorsCase(Duplicates(Scores(MirrorList(LIST), explore=0)), OWN, PLACES, FILES)


class TestPlaces(check_mirrors(places)):  # type: ignore[misc]  # the class is made at run time
    """A fixed sequence."""


class TestMirrorList(check_mirrors(mirror_list)):  # type: ignore[misc]  # as above
    """A list."""


class TestMetalink(check_mirrors(metalink)):  # type: ignore[misc]  # as above
    """A metalink."""


class TestScores(check_mirrors(scores)):  # type: ignore[misc]  # as above
    """An order that learns."""


class TestDuplicates(check_mirrors(duplicates)):  # type: ignore[misc]  # as above
    """What answers tell of."""


# ---- bent ones


@implementer(IMirrors)
class Right:
    """A right one, to be bent: reads the list each time."""

    async def locate(self, source: Source, direct: Any) -> Any:
        body = ToMemory()
        await direct.download(LIST, body)
        return [source.at(base + source.path) for base in body.text().split()]

    def record(self, attempt: Attempt) -> None:
        pass


BENT: dict[str, tuple[type[Right], str, tuple[Any, ...]]] = {}
T = TypeVar("T", bound=type[Right])


def bent(check: str, *argument: Any) -> Callable[[T], T]:
    """This one has to be caught by that check."""

    def add(cls: T) -> T:
        BENT[f"{cls.__name__}, {check}, {argument}"] = cls, check, argument
        return cls

    return add


@bent("test_places_are_sources_in_their_order")
class GivesStrings(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        return [place.url for place in await super().locate(source, direct)]


@bent("test_places_are_sources_in_their_order")
class Reverses(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        return [*reversed(await super().locate(source, direct))]


@bent("test_places_are_sources_in_their_order")
class HasNoEnd(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        def without_end() -> Iterator[Source]:
            while True:
                yield source

        return without_end()


@bent("test_a_place_is_the_same_file")
@bent("test_secrets_stay_with_the_origin_that_they_are_for")
class MakesNewSources(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        return [Source(place.url) for place in await super().locate(source, direct)]


@bent("test_a_place_is_the_same_file")
class LosesTheTag(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        return [evolve(place, tag=None) for place in await super().locate(source, direct)]


@bent("test_secrets_stay_with_the_origin_that_they_are_for")
class TakesTheHeadersAlong(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        return [evolve(place, headers=source.headers) for place in await super().locate(source, direct)]


@bent("test_places_are_sources_in_their_order")
class ShowsTheListWhatIsSecret(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        await direct.download(evolve(source, url=LIST, expect=()), ToMemory())
        return await super().locate(source, direct)


@bent("test_the_same_question_has_an_answer_each_time")
class AnswersOnce(Right):
    asked = False

    async def locate(self, source: Source, direct: Any) -> Any:
        found = await super().locate(source, direct)
        asked, self.asked = self.asked, True
        return [] if asked else found


@bent("test_many_ask_at_the_same_time")
class MixesSources(Right):
    source: Source | None = None

    async def locate(self, source: Source, direct: Any) -> Any:
        self.source = source
        found = await super().locate(source, direct)
        return [self.source.at(place.url) for place in found]


@bent("test_whoever_has_a_place_reads_no_further")
class DoesNotLetGo(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        found = await super().locate(source, direct)

        def places() -> Iterator[Source]:
            try:
                yield from found
            except GeneratorExit:
                raise LookupError("not yet") from None

        return places()


@bent("test_whatever_becomes_of_attempts_record_does_not_raise_and_there_are_places", "not found")
class ForgetsAllThatFailed(Right):
    def __init__(self) -> None:
        self.failed: set[str] = set()

    async def locate(self, source: Source, direct: Any) -> Any:
        return [place for place in await super().locate(source, direct) if place.url not in self.failed]

    def record(self, attempt: Attempt) -> None:
        if attempt.error is not None:
            self.failed.add(attempt.source.url)


class WantsAStatus(Right):
    def record(self, attempt: Attempt) -> None:
        assert attempt.status is not None


for end in ("success", "no connection", "silence", "later", "wrong bytes", "a client that left"):
    bent("test_whatever_becomes_of_attempts_record_does_not_raise_and_there_are_places", end)(WantsAStatus)


@bent("test_record_does_not_raise_at_what_it_has_never_heard_of")
class KnowsItsOwn(Right):
    def __init__(self) -> None:
        self.known = {"a.example.org": 0, "b.example.org": 0}

    def record(self, attempt: Attempt) -> None:
        self.known[attempt.source.place.host] += 1


@bent("test_a_list_that_cannot_be_had_is_a_download_error_or_no_harm")
class FailsInItsOwnWords(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        try:
            return await super().locate(source, direct)
        except Exception as error:
            raise LookupError from error


@bent("test_whoever_is_cancelled_leaves_nothing_and_the_others_waiting")
class SharesOneLookUp(Right):
    """The Deferred itself, so that who cancels it cancels it for all."""

    running: Any = None

    async def locate(self, source: Source, direct: Any) -> Any:
        body = ToMemory()
        if self.running is None:
            self.running = direct.download(LIST, body).addCallback(lambda _: body.text().split())
        bases = await self.running
        return [source.at(base + source.path) for base in bases]


@bent("test_all_who_are_cancelled_leave_nothing")
class LooksUpForNobody(Right):
    async def locate(self, source: Source, direct: Any) -> Any:
        found: Deferred[Any] = Deferred()

        def came(result: object) -> None:
            if not found.called:
                found.callback(result)

        Deferred.fromCoroutine(super().locate(source, direct)).addBoth(came)
        return await found


async def verdict(cls: type[Right], check: str, *arguments: Any) -> BaseException | None:
    """What a check says of mirrors, or None if it is content."""

    @asynccontextmanager
    async def make(_reactor: Any) -> AsyncIterator[MirrorsCase]:
        yield MirrorsCase(cls(), OWN, PLACES[:2], FILES)

    try:
        await getattr(check_mirrors(make, patience=PATIENCE)(), check)(*arguments)
    except (Exception, pytest.fail.Exception) as error:
        return error
    return None


@pytest.mark.parametrize("name", BENT)
async def test_a_check_catches_what_it_is_for(name: str) -> None:
    cls, check, arguments = BENT[name]
    assert await verdict(cls, check, *arguments) is not None, f"{check} found nothing to say of {name}"


@pytest.mark.parametrize("check", sorted({(check, arguments) for _, check, arguments in BENT.values()}, key=repr))
async def test_a_check_is_content_with_what_is_right(check: tuple[str, tuple[Any, ...]]) -> None:
    """So the one before fails for the reason that its name tells."""
    assert await verdict(Right, check[0], *check[1]) is None


def test_every_check_has_something_that_it_catches() -> None:
    checks = check_mirrors(lambda _: None)  # type: ignore[arg-type, return-value]  # it is not run
    names = {name for name in dir(checks) if name.startswith("test_")}
    assert names == {check for _, check, _ in BENT.values()}
