"""When bytes are handed over to be hashed."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from pulp_dl import Digest
from pulp_dl.flow.checks import INLINE, LEAST, REST, Checks
from pulp_dl.flow.valve import Valve
from pulp_dl.flow.workers import InlineWorkers


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
