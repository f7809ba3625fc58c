"""Questions that are put to a thread together, and not all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pulp_dl.importers.together import MOST, Together


class Library:
    """Is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []
        self._answer: Deferred[Sequence[int | Exception]] = Deferred()

    def ask(self, questions: Sequence[int]) -> Deferred[Sequence[int | Exception]]:
        self.asked.append(questions)
        self._answer = Deferred()
        return self._answer

    def fail(self, error: Exception) -> None:
        self._answer.errback(error)

    def answer(self) -> None:
        self._answer.callback([-each for each in self.asked[-1]])


def test_who_asks_alone_waits_for_nobody_and_all_others_go_together() -> None:
    library = Library()
    together = Together(library.ask)
    answers = [together.ask(number) for number in range(3)]
    library.answer()
    library.answer()

    assert library.asked == [[0], [1, 2]]
    assert [each.result for each in answers] == [0, -1, -2]


def test_of_a_crowd_no_more_than_some_are_answered_at_once_in_the_order_of_asking() -> None:
    """For each of them begins a download in the same turn of the reactor."""
    library = Library()
    together, answered = Together(library.ask), list[int]()
    for number in range(3 * MOST):
        together.ask(number).addCallback(answered.append)
    turns = []
    while len(answered) < 3 * MOST:
        before = len(answered)
        library.answer()
        turns.append(len(answered) - before)

    assert answered == [-number for number in range(3 * MOST)]
    assert max(turns) == MOST


def test_a_failure_of_all_is_one_of_those_that_were_asked_for_and_the_others_are_asked_for_next() -> None:
    library = Library()
    together = Together(library.ask)
    failed = list[Failure]()
    together.ask(1).addErrback(failed.append)
    second = together.ask(2)
    library.fail(ZeroDivisionError())
    library.answer()

    assert [failure.type for failure in failed] == [ZeroDivisionError]
    assert second.result == -2
