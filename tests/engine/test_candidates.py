"""The places of one download: read as far as somebody needs them, by whoever does, and again by who was cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from pulp_dl import Remote, Source
from pulp_dl.engine.places import Candidates
from pulp_dl.interfaces import IMirrors

OWN = Source("memory://own/f")


class Direct:
    remote = Remote()


@implementer(IMirrors)
class Slow:
    """Each place, or the list itself, takes until C{go}."""

    def __init__(self, *, later: bool) -> None:
        self.later = later
        self.read = 0
        self.waiting: list[Deferred[None]] = []

    def locate(self, source: Source, direct: object) -> Any:
        return self.list() if self.later else self.places()

    async def list(self) -> Any:
        await self.wait()
        return (OWN.at(f"memory://m{number}/f") for number in range(3))

    async def places(self) -> AsyncIterator[Source]:
        for number in range(3):
            await self.wait()
            self.read += 1
            yield OWN.at(f"memory://m{number}/f")

    def wait(self) -> Deferred[None]:
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def go(self) -> None:
        self.waiting.pop(0).callback(None)

    def record(self, attempt: object) -> None: ...


def at(candidates: Candidates, index: int) -> list[Any]:
    found: list[Any] = []
    Deferred.fromCoroutine(candidates.at(index)).addBoth(found.append)
    return found


def test_two_who_need_the_same_place_read_one() -> None:
    mirrors = Slow(later=False)
    candidates = Candidates(OWN, mirrors, Direct())  # type: ignore[arg-type]
    one, two = at(candidates, 0), at(candidates, 0)
    mirrors.go()

    assert [each.url for each in one + two] == ["memory://m0/f"] * 2
    assert (mirrors.read, mirrors.waiting) == (1, [])


def test_who_was_cancelled_while_a_list_was_fetched_does_not_lose_it_for_others() -> None:
    mirrors = Slow(later=True)
    candidates = Candidates(OWN, mirrors, Direct())  # type: ignore[arg-type]
    running = Deferred.fromCoroutine(candidates.at(0))
    ends: list[Any] = []
    running.addErrback(lambda failure: ends.append(failure.check(CancelledError)))
    running.cancel()
    assert ends == [CancelledError]
    mirrors.waiting.clear()

    found = at(candidates, 2)
    mirrors.go()

    assert [each.url for each in found] == ["memory://m2/f"]
