"""When bytes are handed over to be hashed, and what becomes of it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import Digest, Measure, Size
from pulp_dl.errors import ConsumerFailed, DigestMismatch, SizeMismatch, Truncated
from pulp_dl.flow.checks import FEW, INLINE, LEAST, REST, Checks
from pulp_dl.flow.valve import Valve
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.interfaces import ICheck, IExpectation
from pulp_dl.model.expect import Hashing
from tests.flow.slow import Slow


class Handed(InlineWorkers):
    """Writes down how much was handed over at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def lane(self, *arguments: Any) -> Any:
        lane: Any = super().lane(*arguments)
        put = lane.put
        lane.piece = 1 << 20

        def noted(job: Any, size: int) -> bool:
            self.sizes.append(size)
            return bool(put(job, size))

        lane.put = noted
        return lane


def checking(*, provable: bool) -> tuple[Clock, Handed, Checks]:
    clock, workers = Clock(), Handed()
    valve = Valve(clock, lambda _: None, lambda: None)
    return clock, workers, Checks([Digest("sha256", "0" * 64)], workers, valve, clock, provable=provable)


RIGHT = Digest("sha256", hashlib.sha256(b"all of it").hexdigest())
FREE = Digest("sha256", RIGHT.value, enforced=False)


@pytest.mark.parametrize(
    ("expect", "hold"),
    [
        ([RIGHT], True),
        ([Size(3), RIGHT, Measure()], True),
        ([RIGHT, Digest("md5", hashlib.md5(b"all of it").hexdigest())], True),
        ([RIGHT, Digest("md5", "0" * 32)], False),
        ([RIGHT, Digest("md5", "0" * 32, enforced=False)], True),
        ([Digest("sha256", "0" * 64)], False),
        ([FREE], False),
        ([Size(9)], False),
        ([Measure()], False),
        ([], False),
    ],
)
def test_whether_this_may_be_the_end_is_asked_of_digests_and_changes_nothing(expect: Any, hold: bool) -> None:
    clock = Clock()
    checks = Checks(expect, InlineWorkers(), Valve(clock, lambda _: None, lambda: None), clock, provable=True)
    checks.update(b"all ")
    for _ in range(2):
        assert checks.would_hold((b"of", b" it")) is hold
        assert checks.would_hold((b"of it", b"!")) is False
    checks.update(b"of it")
    assert checks.would_hold(()) is hold
    assert checks.so_far()[1] in {hashlib.new(name, b"all of it").digest() for name in ("sha256", "md5")}


def test_what_waits_to_be_a_larger_piece_waits_no_longer_than_a_short_pause() -> None:
    clock, workers, checks = checking(provable=True)
    checks.update(bytes(INLINE))
    checks.update(bytes(1000))
    checks.turned(False)
    clock.advance(REST / 2)
    checks.turned(True)
    clock.advance(REST)
    assert workers.sizes == []

    checks.turned(False)
    clock.advance(REST)
    assert workers.sizes == [1000]
    assert clock.getDelayedCalls() == []
    checks.turned(True)


def test_pieces_for_a_client_grow_with_what_it_has_taken() -> None:
    _, workers, checks = checking(provable=True)
    for _ in range(1000):
        checks.update(bytes(65536))

    assert workers.sizes[0] == LEAST
    assert workers.sizes == sorted(workers.sizes)
    assert workers.sizes[-1] == 1 << 20


def test_pieces_for_a_file_are_large_from_the_beginning() -> None:
    _, workers, checks = checking(provable=False)
    for _ in range(100):
        checks.update(bytes(65536))

    assert {*workers.sizes} == {1 << 20}


def test_no_timer_is_left_of_a_pause_when_a_pass_ends() -> None:
    for end in (Checks.settled, Checks.drop):
        clock, _, checks = checking(provable=True)
        checks.update(bytes(INLINE))
        checks.update(bytes(1000))
        checks.turned(False)
        end(checks)
        assert clock.getDelayedCalls() == []


# ---- what is looked at, and what comes of it


@implementer(IExpectation, ICheck)
class Watching:
    """Writes down what it is shown; raises where it is told to."""

    enforced = True
    partial = False

    def __init__(self, raises: Mapping[str, Exception] | None = None) -> None:
        self.raises = raises or {}
        self.sizes: list[int] = []

    def start(self) -> Any:
        self._raise("start")
        return self

    def update(self, data: bytes) -> None:
        self._raise("update")
        self.sizes.append(len(data))

    def verify(self) -> Mapping[str, object]:
        self._raise("verify")
        return {"watched": sum(self.sizes)}

    def _raise(self, method: str) -> None:
        if method in self.raises:
            raise self.raises[method]


def of(*expect: Any, workers: Any = None, provable: bool = False) -> tuple[Checks, Valve]:
    clock = Clock()
    valve = Valve(clock, lambda _: None, lambda: None)
    return Checks(expect, workers or InlineWorkers(), valve, clock, provable=provable), valve


@pytest.mark.parametrize("method", ["start", "update", "verify"])
def test_what_a_check_raises_is_nobodys_fault_but_its_own(method: str) -> None:
    def all_of_it(error: Exception) -> None:
        checks, _ = of(Watching({method: error}))
        checks.update(b"a")
        checks.verify()

    error, ours = ZeroDivisionError(), Truncated(1, 2)
    with pytest.raises(ConsumerFailed, match="a check of Watching raised ZeroDivisionError") as caught:
        all_of_it(error)
    assert caught.value.__cause__ is error
    with pytest.raises(Truncated) as unchanged:
        all_of_it(ours)
    assert unchanged.value is ours


def test_facts_of_all_of_them_and_what_is_only_advised() -> None:
    checks, _ = of(Measure("md5"), Size(5, enforced=False), Watching(), Size(1), provable=True)
    checks.update(b"a")
    facts, advisories = checks.verify()

    assert facts == {"md5": hashlib.md5(b"a").hexdigest(), "watched": 1, "size": 1}
    assert [type(each) for each in advisories] == [SizeMismatch]
    with pytest.raises(SizeMismatch):
        of(Size(1), Watching())[0].verify()


@pytest.mark.parametrize(
    ("expect", "algorithm"),
    [([], "sha256"), ([Size(1)], "sha256"), ([Size(1), Measure("sha512")], "sha512"), ([Measure("md5")], "md5")],
)
def test_for_a_client_there_is_always_a_digest_of_what_came_and_no_fact_that_nobody_wanted(
    expect: list[Any], algorithm: str
) -> None:
    checks, _ = of(*expect, provable=True)
    checks.update(b"a")

    assert checks.so_far() == (algorithm, hashlib.new(algorithm, b"a").digest())
    assert len(checks.verify()[0]) == len(expect)


@pytest.mark.parametrize(("expect", "times"), [([], 1), ([Size(1), RIGHT], 1), ([RIGHT, Measure("md5")], 2)])
def test_nor_is_anything_hashed_once_more_where_a_digest_of_it_is_kept_already(expect: list[Any], times: int) -> None:
    hashed: list[object] = []

    def count(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code is Hashing.update.__code__:
            hashed.append(frame.f_locals["data"])

    checks, _ = of(*expect, provable=True)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        checks.update(b"a")
    finally:
        sys.setprofile(before)

    assert hashed == [b"a"] * times


def test_for_a_file_there_is_none_that_nobody_wanted() -> None:
    checks, _ = of(Size(1))
    checks.update(b"a")
    with pytest.raises(RuntimeError):
        checks.so_far()
    nothing, _ = of()
    nothing.update(bytes(2 * INLINE))
    assert nothing.settled() is None
    assert nothing.verify() == ({}, ())


def test_what_is_small_is_looked_at_at_once_and_what_is_not_when_there_is_a_piece_of_it() -> None:
    watching, slow = Watching(), Slow()
    checks, valve = of(watching, workers=slow)
    checks.update(bytes(INLINE))
    assert watching.sizes == [INLINE]
    assert checks.settled() is None

    checks.update(bytes(INLINE - 1))
    assert slow.jobs == []
    assert valve.open
    checks.update(bytes(1))
    assert len(slow.jobs) == 1
    assert not valve.open, "the lane is full"
    slow.relieved()
    assert valve.open

    checks.update(b"rest")
    assert checks.settled() is not None
    assert watching.sizes == [INLINE, INLINE - 1, 1, 4]


@pytest.mark.parametrize("count", [FEW, FEW + 1])
def test_a_few_pieces_are_looked_at_as_they_are_and_many_as_one(count: int) -> None:
    watching, slow = Watching(), Slow()
    checks, _ = of(watching, workers=slow)
    checks.update(bytes(INLINE))
    for _ in range(count):
        checks.update(b"ab")
    checks.settled()

    assert watching.sizes[1:] == ([2] * FEW if count == FEW else [2 * count])


def test_a_job_that_failed_keeps_nobody_waiting() -> None:
    slow = Slow()
    checks, valve = of(Watching(), workers=slow)
    checks.update(bytes(INLINE))
    checks.update(bytes(INLINE))
    assert not valve.open
    slow.failed(Failure(ZeroDivisionError()))

    assert valve.open


def test_of_a_pass_that_was_dropped_nothing_is_looked_at() -> None:
    watching, slow = Watching(), Slow()
    checks, valve = of(watching, workers=slow)
    checks.update(bytes(INLINE))
    checks.update(bytes(INLINE))
    checks.update(b"waits to be more")
    checks.drop()

    assert valve.open
    assert slow.dropped == 1
    checks.settled()
    assert watching.sizes == [INLINE]


def test_bytes_of_an_earlier_run_are_looked_at_and_count() -> None:
    watching, slow = Watching(), Slow()
    checks, _ = of(watching, Digest("md5", "0" * 32), workers=slow)
    ends: list[Any] = []
    checks.feed(iter([bytes(INLINE), b"more"])).addBoth(ends.append)
    checks.look(b"!")
    assert ends == [None]
    assert watching.sizes == [INLINE, 4, 1]

    checks.update(b"small, but behind much")
    assert watching.sizes == [INLINE, 4, 1]
    checks.settled()
    assert sum(watching.sizes) == INLINE + 27
    with pytest.raises(DigestMismatch):
        checks.verify()


def test_whoever_waits_for_the_rest_waits_for_all_of_it() -> None:
    class Later(Slow):
        end: Deferred[None]

        def settled(self) -> Deferred[None]:
            return self.end

    slow = Later()
    slow.end = Deferred()
    checks, _ = of(Watching(), workers=slow)
    assert Deferred.fromCoroutine(checks.rest()).called
    checks.update(bytes(2 * INLINE))
    resting = Deferred.fromCoroutine(checks.rest())
    assert not resting.called
    slow.end.callback(None)
    assert resting.called
