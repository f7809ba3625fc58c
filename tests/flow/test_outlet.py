"""A consumer's calls in their order, and what it raises in our words."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl.errors import ConsumerFailed, ConsumerGone, Truncated
from pulp_dl.flow.outlet import Outlet, in_our_words
from pulp_dl.flow.valve import Valve
from pulp_dl.model.source import Head
from pulp_dl.testing import Recorder, RewindableRecorder
from tests.engine.by_hand import head

HEAD, OTHER = head(10), head(20)


def leading_to(consumer: Any) -> Outlet:
    return Outlet(consumer, Valve(Clock(), lambda data: None, lambda: None))


def test_the_first_bytes_bring_their_head_and_the_last_ones_an_end() -> None:
    consumer = Recorder()
    outlet = leading_to(consumer)
    assert not outlet.rewindable
    outlet.give(b"abc", HEAD)
    outlet.give(b"de", OTHER)
    assert (outlet.given, outlet.head, consumer.head) == (5, HEAD, HEAD)
    assert consumer.producer is not None
    ends: list[Any] = []
    Deferred.fromCoroutine(outlet.finish(OTHER)).addBoth(ends.append)

    assert ends == [HEAD]
    assert consumer.data == b"abcde"
    assert consumer.finished


def test_an_empty_body_begins_and_ends() -> None:
    consumer = Recorder()
    outlet = leading_to(consumer)
    assert outlet.end(HEAD) is None
    assert (consumer.head, consumer.finished) == (HEAD, True)


def test_what_is_rewound_is_forgotten_and_has_another_head() -> None:
    consumer = RewindableRecorder()
    outlet = leading_to(consumer)
    assert outlet.rewindable
    outlet.give(b"abc", HEAD)
    outlet.rewind(OTHER)
    assert (outlet.given, outlet.head, consumer.head) == (0, OTHER, OTHER)
    outlet.give(b"d", OTHER)
    outlet.end(OTHER)

    assert consumer.data == b"d"


def test_one_that_holds_bytes_of_an_earlier_run_begins_and_forgets_them() -> None:
    consumer = RewindableRecorder()
    outlet = leading_to(consumer)
    outlet.given = 3
    outlet.rewind(HEAD)

    assert (outlet.given, consumer.head, consumer.rewinds) == (0, HEAD, 1)
    assert consumer.producer is not None


def test_its_producer_is_taken_away_once_also_if_it_fails_at_the_end() -> None:
    consumer = Recorder(raises={"finish": ZeroDivisionError()})
    outlet = leading_to(consumer)
    outlet.give(b"abc", HEAD)
    with pytest.raises(ConsumerFailed):
        outlet.end(HEAD)
    outlet.fail(Truncated(3, 10))

    consumer.check()
    assert consumer.failure is not None


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), ConsumerGone("left")])
@pytest.mark.parametrize("method", ["begin", "registerProducer", "write", "unregisterProducer", "finish", "rewind"])
def test_what_it_raises_is_an_error_of_ours(method: str, error: Exception) -> None:
    consumer = RewindableRecorder(raises={method: error})
    outlet = leading_to(consumer)

    def all_of_it() -> None:
        outlet.give(b"abc", HEAD)
        outlet.rewind(HEAD)
        outlet.end(HEAD)

    with pytest.raises(type(error) if isinstance(error, ConsumerGone) else ConsumerFailed) as caught:
        all_of_it()
    if isinstance(error, ConsumerGone):
        assert caught.value is error
    else:
        assert str(caught.value) == "the consumer raised ZeroDivisionError: x"
        assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), ConsumerGone("left")])
def test_so_is_what_making_it_last_fails_with(error: Exception) -> None:
    lasting: Deferred[None] = Deferred()
    outlet = leading_to(Recorder(finishing=lasting))
    ends: list[Any] = []
    waiting = Deferred.fromCoroutine(outlet.finish(HEAD)).addBoth(ends.append)
    waiting.cancel()
    assert ends == []
    lasting.errback(error)

    assert ends[0].check(ConsumerGone if isinstance(error, ConsumerGone) else ConsumerFailed)
    if not isinstance(error, ConsumerGone):
        assert ends[0].value.__cause__ is error


def test_it_is_told_that_it_failed_and_its_producer_is_gone() -> None:
    consumer = Recorder()
    outlet = leading_to(consumer)
    outlet.give(b"abc", HEAD)
    outlet.fail(Truncated(3, 10))

    assert consumer.producer is None
    assert consumer.failure is not None
    assert consumer.failure.check(Truncated)


def test_one_that_never_began_has_no_producer_to_lose() -> None:
    consumer = Recorder()
    leading_to(consumer).fail(Truncated(0, 10))

    assert not consumer.unregistered
    assert consumer.failure is not None


def test_nor_has_one_that_raised_when_it_began() -> None:
    consumer = Recorder(raises={"begin": ZeroDivisionError()})
    outlet = leading_to(consumer)
    with pytest.raises(ConsumerFailed):
        outlet.give(b"abc", HEAD)
    outlet.fail(Truncated(0, 10))

    assert not consumer.unregistered
    assert consumer.failure is not None


@pytest.mark.parametrize("method", ["begin", "registerProducer"])
def test_one_that_leaves_inside_of_its_beginning_is_given_a_producer_once_and_loses_it(method: str) -> None:
    calls: list[str] = []

    class Leaving(Recorder):
        def begin(self, head: Head) -> None:
            super().begin(head)
            self._called("begin")

        def registerProducer(self, producer: Any, streaming: bool) -> None:
            super().registerProducer(producer, streaming)
            self._called("registerProducer")

        def unregisterProducer(self) -> None:
            super().unregisterProducer()
            self._called("unregisterProducer")

        def fail(self, failure: Failure) -> None:
            super().fail(failure)
            self._called("fail")

        def _called(self, name: str) -> None:
            calls.append(name)
            if name == method and len(calls) < 10:
                outlet.fail(ConsumerGone("left"))

    outlet = leading_to(Leaving())
    outlet.begin(HEAD)

    assert calls == ["begin", "registerProducer", "unregisterProducer", "fail"]


def test_one_that_cannot_forget_is_not_asked_to() -> None:
    consumer = Recorder()
    outlet = leading_to(consumer)
    outlet.give(b"abc", HEAD)
    with pytest.raises(ConsumerFailed, match="cannot forget"):
        outlet.rewind(OTHER)

    assert (outlet.given, outlet.head, consumer.data) == (3, HEAD, b"abc")


def test_one_that_raises_when_it_is_told_is_told_of_and_harms_nobody(logged_errors: Any) -> None:
    class Strange(Recorder):
        def fail(self, failure: Failure) -> None:
            raise ZeroDivisionError

    leading_to(Strange()).fail(Truncated(0, 10))

    assert len(logged_errors.flush(ZeroDivisionError)) == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError("x"), ConsumerFailed), (ConsumerGone("left"), ConsumerGone), (CancelledError(), CancelledError)],
)
def test_in_our_words(error: Exception, told: type[Exception]) -> None:
    with pytest.raises(told) as caught, in_our_words:
        raise error
    assert (caught.value is error) == (told is not ConsumerFailed)


def test_what_is_no_exception_stays_what_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), in_our_words:
        raise KeyboardInterrupt
    with in_our_words:
        pass
