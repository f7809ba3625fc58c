"""What a service has learnt is written down every so often, and never two at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from pulp_dl import Attempt, Head, Places, Source
from pulp_dl.service.memory import EVERY, Memory

A = Source("http://a/file")


class Reactor(Clock):
    """A clock with a thread that runs when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Callable[[], None]] = []

    def getThreadPool(self) -> Reactor:
        return self

    def callInThreadWithCallback(self, told: Any, job: Any, *args: Any, **how: Any) -> None:
        def run() -> None:
            try:
                result = job(*args, **how)
            except Exception:
                from twisted.python.failure import Failure

                told(False, Failure())
            else:
                told(True, result)

        self.jobs.append(run)

    def callFromThread(self, call: Any, *args: Any, **how: Any) -> None:
        call(*args, **how)

    def work(self) -> int:
        """Run what waits; how much that was."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()
        return len(jobs)


class Case:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.reactor = Reactor()
        self.memory = Memory(self.reactor, str(path))
        self.memory.load()
        self.scores = self.memory.learnt.scores("list", Places(["http://a"]))
        self.memory.begin()

    def learn(self) -> None:
        self.scores.answered(A, Head(A.url, 200), 0.5)
        self.scores.record(Attempt(A, 0, 0, 0.5, 0.0, 200, None, 0.5))

    def kept(self) -> list[str]:
        return list(json.loads(self.path.read_text())["mirrors"]) if self.path.exists() else []


@pytest.fixture
def warnings() -> Any:
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            seen.append(event)

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]  # any callable observes
    yield seen
    globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]


def test_every_so_often_it_is_written_in_a_thread(tmp_path: Path) -> None:
    case = Case(tmp_path / "state")
    case.learn()
    case.reactor.advance(EVERY - 1)
    assert case.reactor.work() == 0

    case.reactor.advance(1)
    assert case.kept() == []
    assert case.reactor.work() == 1
    assert case.kept() == ["list"]
    case.reactor.advance(EVERY)
    assert case.reactor.work() == 1


def test_a_slow_disk_is_not_asked_twice_at_once_and_the_end_waits_for_it(tmp_path: Path) -> None:
    case = Case(tmp_path / "state")
    case.learn()
    case.reactor.pump([EVERY] * 3)
    assert len(case.reactor.jobs) == 1
    ends: list[object] = []

    case.memory.end().addBoth(ends.append)
    assert case.reactor.work() == 1
    assert ends == []
    assert case.reactor.work() == 1
    assert ends == [None]
    assert case.reactor.getDelayedCalls() == []


def test_one_that_never_began_has_nothing_to_end(tmp_path: Path) -> None:
    memory = Memory(Reactor(), str(tmp_path / "state"))
    ends: list[object] = []
    memory.end().addBoth(ends.append)

    assert ends == [None]


def test_trouble_is_told_once(tmp_path: Path, warnings: list[LogEvent]) -> None:
    (tmp_path / "state").write_text("not ours")
    case = Case(tmp_path / "state")
    case.learn()
    for _ in range(3):
        case.reactor.advance(EVERY)
        case.reactor.work()
    ends: list[object] = []
    case.memory.end().addBoth(ends.append)
    case.reactor.work()

    assert ends == [None]
    assert len(warnings) == 1


def test_what_others_learn_after_a_reload_is_what_is_written(tmp_path: Path) -> None:
    case = Case(tmp_path / "state")
    case.learn()
    new = case.memory.learnt.successor(tmp_path / "new")
    new.scores("list", Places(["http://a"]))
    case.memory.learnt = new

    case.memory.end()
    case.reactor.work()

    assert (case.kept(), json.loads((tmp_path / "new").read_text())["mirrors"].keys()) == ([], {"list"})
