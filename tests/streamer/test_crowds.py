"""Very many requests in one moment: they are begun by and by, so that the reactor has time for others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from pulp_dl.streamer.content import AT_ONCE
from pulp_dl.testing import answer
from tests.sinks import turn
from tests.streamer.client import Client, connect, request
from tests.streamer.importers import ByHeart
from tests.streamer.serving import Serving, serving, until

CROWD = 3 * AT_ONCE


class Diary(ByHeart):
    """
    Knows nothing soon; and in which turn of the reactor it was asked.

    @ivar turns: how often in each.
    """

    def __init__(self, downloader: Any, files: dict[str, Any]) -> None:
        super().__init__(downloader, files)
        self.turn = 0
        self.turns: Counter[int] = Counter()
        self.waiting: list[Deferred[Any]] = []

    def find(self, path: str) -> Deferred[Any]:
        self.turns[self.turn] += 1
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def tell(self) -> None:
        """Nothing is there."""
        for each in self.waiting:
            if not each.called:
                each.errback(KeyError())


async def crowd(reactor: Any, served: Serving) -> list[Client]:
    return [await connect(reactor, served.port) for _ in range(CROWD)]


async def test_of_a_crowd_some_are_begun_in_each_turn_and_all_are_answered(reactor: Any) -> None:
    async with serving(reactor, answer(b""), importer=Diary) as served:
        diary = served.importer
        assert isinstance(diary, Diary)
        clients = await crowd(reactor, served)
        answers = [client.ask(request()) for client in clients]  # all go out in one turn
        while len(diary.waiting) < CROWD:
            diary.turn += 1
            await turn(reactor)
        diary.tell()
        seen = await gatherResults(answers)
        for client in clients:
            await client.close()

    assert {each.status for each in seen} == {404}
    assert max(diary.turns.values()) == AT_ONCE
    assert diary.turns.total() == CROWD


async def test_promise_5_who_leaves_a_crowd_before_its_turn_leaves_nothing(reactor: Any) -> None:
    async with serving(reactor, answer(b""), importer=Diary) as served:
        clients = await crowd(reactor, served)
        for client in clients:
            client.ask(request())
        await until(reactor, lambda: len(served.told.begun) == CROWD)
        for client in clients:
            await client.close()
        await served.ended(CROWD)

        assert {type(each.error).__name__ for each in served.told.over} == {"ConsumerGone"}
