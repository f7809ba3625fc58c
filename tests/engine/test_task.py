"""A coroutine that is run as one Deferred."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from pulp_dl.engine.task import Task


class Case:
    """A task whose cancel is remembered, as a download does it."""

    def __init__(self, *waits: Deferred[Any]) -> None:
        self.cancelled: list[CancelledError] = []
        self.waits = waits
        self.got: list[Any] = []
        self.ended: list[Any] = []
        self.task: Task[str] = Task(self.run(), self.interrupt)
        self.task.addBoth(self.ended.append)
        self.task.start()

    async def run(self) -> str:
        for each in self.waits:
            self.got.append(await each)
        return "done"

    def interrupt(self, error: CancelledError) -> None:
        self.cancelled.append(error)
        self.task.wake()


def test_it_fires_with_what_is_returned_whether_it_had_to_wait_or_not() -> None:
    first: Deferred[str] = Deferred()
    second: Deferred[str] = Deferred()
    second.callback("there already")
    case = Case(second, first)
    assert not case.ended
    first.callback("came later")

    assert case.ended == ["done"]
    assert case.got == ["there already", "came later"]
    assert Case().ended == ["done"]


def test_it_fails_with_what_is_raised() -> None:
    waiting: Deferred[str] = Deferred()
    case = Case(waiting)
    waiting.errback(KeyError("x"))

    assert case.ended[0].check(KeyError)


def test_an_error_can_be_caught_inside() -> None:
    waiting: Deferred[str] = Deferred()

    async def run() -> str:
        with pytest.raises(KeyError):
            await waiting
        return "caught"

    task = Task(run(), lambda error: None)
    task.start()
    waiting.errback(KeyError("x"))
    ended: list[Any] = []
    task.addBoth(ended.append)

    assert ended == ["caught"]


def test_a_cancel_cancels_what_is_waited_for() -> None:
    dropped: list[Any] = []
    waiting: Deferred[str] = Deferred(dropped.append)
    case = Case(waiting)
    case.task.cancel()

    assert dropped == [waiting]
    assert case.ended[0].check(CancelledError)


def test_it_fires_only_when_the_coroutine_is_at_its_end() -> None:
    """The canceller of what is waited for may take its time."""
    waiting: Deferred[str] = Deferred()
    waiting.cancel = lambda: None
    case = Case(waiting)
    case.task.cancel()
    assert not case.ended
    waiting.callback("whole")

    assert case.ended == ["done"]
    assert len(case.cancelled) == 1


def test_a_cancel_from_inside_is_remembered_and_the_coroutine_goes_on() -> None:
    heard: list[CancelledError] = []

    async def run() -> str:
        task.cancel()
        assert not task.called
        return "finished"

    task = Task(run(), heard.append)
    task.start()
    ended: list[Any] = []
    task.addBoth(ended.append)

    assert ended == ["finished"]
    assert len(heard) == 1


def test_a_cancel_from_inside_cancels_what_is_waited_for_next() -> None:
    """Else it would be waited for until it comes by itself, if it ever does."""
    dropped: list[Any] = []
    there: Deferred[str] = Deferred()
    there.callback("there already")
    waiting: Deferred[str] = Deferred(dropped.append)

    async def run() -> str:
        task.cancel()
        return await there + await waiting

    task = Task(run(), lambda error: task.wake())
    task.start()
    ended: list[Any] = []
    task.addBoth(ended.append)

    assert dropped == [waiting]
    assert ended[0].check(CancelledError)


def test_a_cancel_from_inside_cancels_one_wait_and_no_other() -> None:
    first: Deferred[str] = Deferred()
    second: Deferred[str] = Deferred()

    async def run() -> str:
        task.cancel()
        with pytest.raises(CancelledError):
            await first
        return await second

    task = Task(run(), lambda error: task.wake())
    task.start()
    second.callback("cleared away")
    ended: list[Any] = []
    task.addBoth(ended.append)

    assert ended == ["cleared away"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_cancel_by_a_callback_of_what_is_waited_for_cancels_what_is_waited_for_next(nested: bool) -> None:
    """That has fired already, so nothing of it is left to be cancelled; nor of what another callback has returned."""
    first: Deferred[None] = Deferred()
    inner: Deferred[None] = Deferred()
    dropped: list[Any] = []
    second: Deferred[None] = Deferred(dropped.append)
    case = Case()  # that waits for nothing

    def cancel(_: object) -> None:
        case.task.cancel()

    (inner if nested else first).addCallback(cancel)
    if nested:
        first.addCallback(lambda _: inner)
    case = Case(first, second)
    first.callback(None)
    if nested:
        assert not dropped
        inner.callback(None)

    assert dropped == [second]
    assert case.ended[0].check(CancelledError)


def test_a_cancel_is_for_what_a_callback_of_what_is_waited_for_has_returned() -> None:
    dropped: list[Any] = []
    first: Deferred[None] = Deferred()
    inner: Deferred[None] = Deferred(dropped.append)
    first.addCallback(lambda _: inner)
    first.addErrback(lambda _: None)
    second: Deferred[str] = Deferred()
    case = Case(first, second)
    first.callback(None)
    case.task.cancel()
    second.callback("cleared away")

    assert dropped == [inner]
    assert case.ended == ["done"]


def test_once_it_has_heard_of_the_cancel_nothing_is_cancelled_for_it() -> None:
    waiting: Deferred[str] = Deferred()

    async def run() -> str:
        task.cancel()
        task.calm()
        return await waiting

    task = Task(run(), lambda error: task.wake())
    task.start()
    waiting.callback("cleared away")
    ended: list[Any] = []
    task.addBoth(ended.append)

    assert ended == ["cleared away"]


def test_a_cancel_afterwards_is_for_what_was_made_of_it() -> None:
    made: Deferred[str] = Deferred()
    case = Case()
    case.task.addCallback(lambda _: made)
    case.task.addErrback(lambda failure: case.ended.append(failure.type))
    case.task.cancel()

    assert case.ended == ["done", CancelledError]
    assert not case.cancelled


def test_it_runs_in_the_context_in_which_it_was_made() -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")
    waiting: Deferred[None] = Deferred()
    seen: list[str] = []

    async def run() -> None:
        seen.append(name.get())
        await waiting
        seen.append(name.get())

    token = name.set("maker")
    task = Task(run(), lambda error: None)
    name.reset(token)
    task.start()
    waiting.callback(None)

    assert seen == ["maker", "maker"]
