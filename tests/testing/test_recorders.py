"""Recorders keep what they are given, misbehave as they are told, and do not put up with misuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pulp_dl.errors import ConnectFailed, ConsumerFailed, ConsumerGone
from pulp_dl.model.source import Head
from pulp_dl.testing import Misuse, Recorder, RewindableRecorder, Sink

HEAD = Head("http://example.org/a", 200)
OTHER = Head("http://example.org/b", 200)
FAILURE = Failure(ConnectFailed("reset"))


class Producer:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


Step = Callable[[Any], object]
STEPS: dict[str, Step] = {
    "begin": lambda to: to.begin(HEAD),
    "register": lambda to: to.registerProducer(Producer(), True),
    "pull": lambda to: to.registerProducer(Producer(), False),
    "write": lambda to: to.write(b"a"),
    "nothing": lambda to: to.write(b""),
    "text": lambda to: to.write("a"),
    "rewind": lambda to: to.rewind(OTHER),
    "unregister": lambda to: to.unregisterProducer(),
    "finish": lambda to: to.finish(),
    "fail": lambda to: to.fail(FAILURE),
    "pause": lambda to: to.pause(),
}


@pytest.mark.parametrize(
    "calls",
    [
        "begin register unregister finish",
        "begin register write write unregister finish",
        "begin register write unregister fail",
        "begin register unregister fail",
        "fail",
        "begin register write rewind write rewind unregister finish",
    ],
)
def test_the_right_order_is_welcome(calls: str) -> None:
    recorder = RewindableRecorder()
    for call in calls.split():
        STEPS[call](recorder)
    recorder.check()
    assert recorder.data == b"a" * calls.rpartition("rewind")[2].count("write")
    assert recorder.finished is ("finish" in calls)
    assert recorder.failure is (FAILURE if "fail" in calls else None)
    assert recorder.head is (None if calls == "fail" else OTHER if "rewind" in calls else HEAD)


@pytest.mark.parametrize(
    "calls",
    [
        "register",
        "write",
        "unregister",
        "finish",
        "rewind",
        "begin write",
        "begin begin",
        "begin pull",
        "begin finish",
        "begin fail",
        "begin rewind",
        "begin unregister",
        "begin register register",
        "begin register begin",
        "begin register finish",
        "begin register fail",
        "begin register nothing",
        "begin register text",
        "begin register pause write",
        "begin register unregister write",
        "begin register unregister register",
        "begin register unregister rewind",
        "begin register unregister unregister",
        "begin register unregister finish finish",
        "begin register unregister finish fail",
        "begin register unregister fail finish",
        "begin register unregister fail fail",
        "fail begin",
        "fail fail",
        "fail finish",
    ],
)
def test_the_wrong_order_raises_and_cannot_be_hidden(calls: str) -> None:
    recorder = RewindableRecorder()
    *right, wrong = calls.split()
    for call in right:
        STEPS[call](recorder)
    recorder.check()
    with pytest.raises(Misuse):
        STEPS[wrong](recorder)
    for look in ("data", "head", "finished", "failure"):
        with pytest.raises(Misuse):
            getattr(recorder, look)


def started(recorder: Any) -> Any:
    """With a producer, which is returned."""
    producer = Producer()
    if isinstance(recorder, Recorder):
        recorder.begin(HEAD)
    recorder.registerProducer(producer, True)
    return producer


def test_it_pauses_after_so_many_writes_until_it_is_told_to_go_on() -> None:
    sink = Sink(pause_after=2)
    producer = started(sink)
    sink.write(b"a")
    assert producer.told == []
    sink.write(b"b")
    assert (producer.told, sink.paused) == (["pause"], True)
    sink.resume()
    sink.write(b"c")
    assert (producer.told, sink.data) == (["pause", "resume"], b"abc")


def test_it_pauses_at_once_if_it_is_told_to() -> None:
    assert started(Sink(pause_after=0)).told == ["pause"]


def test_it_tolerates_the_bytes_of_one_receive_buffer_in_each_pause() -> None:
    sink = Sink(slack=3)
    started(sink)
    for _ in range(2):
        sink.pause()
        sink.write(b"abc")
        sink.resume()
    sink.pause()
    sink.write(b"abc")
    with pytest.raises(Misuse):
        sink.write(b"d")


@pytest.mark.parametrize(("how", "seconds"), [({"pause_for": 2}, 2), ({"speed": 4}, 1.5)])
def test_it_takes_its_time(how: dict[str, float], seconds: float) -> None:
    clock = Clock()
    sink = Sink(clock, **how)  # type: ignore[arg-type]  # mypy cannot see which
    producer = started(sink)
    sink.write(b"6 byte")
    clock.advance(seconds - 0.1)
    assert producer.told == ["pause"]
    clock.advance(0.1)
    assert producer.told == ["pause", "resume"]
    sink.write(b"more")
    sink.unregisterProducer()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("method", ["begin", "register", "write", "unregister", "finish", "rewind"])
def test_it_raises_where_it_is_told_to(method: str) -> None:
    names = {"register": "registerProducer", "unregister": "unregisterProducer"}
    recorder = RewindableRecorder(raises={names.get(method, method): OSError("full")})
    for call in ["begin", "register", "write", "rewind", "unregister", "finish"]:
        if call == method:
            with pytest.raises(OSError, match="full"):
                STEPS[call](recorder)
            break
        STEPS[call](recorder)
    recorder.check()


def test_it_raises_at_a_certain_write_and_takes_no_more() -> None:
    sink = Sink(raises={"write": OSError("full")}, raise_at=2)
    started(sink)
    sink.write(b"a")
    with pytest.raises(OSError, match="full"):
        sink.write(b"b")
    sink.check()
    with pytest.raises(Misuse):
        sink.write(b"c")


def test_a_finish_that_fails_may_be_followed_by_fail() -> None:
    for recorder in (Recorder(raises={"finish": OSError("full")}), Recorder(finishing=Deferred())):
        started(recorder)
        recorder.unregisterProducer()
        try:
            ending = recorder.finish()
        except OSError:
            pass
        else:
            assert ending is not None
            assert recorder.finished
            ended: list[Any] = []
            ending.addErrback(ended.append)
            ending.errback(ConsumerFailed("full"))
            assert len(ended) == 1
        assert not recorder.finished
        recorder.fail(FAILURE)
        assert recorder.failure is FAILURE


def test_it_leaves_when_it_is_told_to() -> None:
    recorder = Recorder()
    seen: list[Any] = []
    recorder.gone().addBoth(seen.append)
    assert seen == []
    error = ConsumerFailed("the disk is full")
    recorder.leave(error)
    recorder.gone().addBoth(seen.append)
    assert seen == [error, error]
    other = Recorder()
    other.leave()
    other.gone().addBoth(seen.append)
    assert isinstance(seen[-1], ConsumerGone)


def test_a_recorder_cannot_rewind_and_the_other_counts_it() -> None:
    assert not hasattr(Recorder(), "rewind")
    recorder = RewindableRecorder()
    started(recorder)
    recorder.rewind(OTHER)
    recorder.rewind(HEAD)
    assert (recorder.rewinds, recorder.head) == (2, HEAD)
