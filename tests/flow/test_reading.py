"""A body that is read: when its pieces are asked for, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from pulp_dl import Span
from pulp_dl.flow.reading import ReadBody
from pulp_dl.interfaces import IBody
from pulp_dl.testing import Misuse, Sink
from tests.engine.by_hand import URL, head


class Letters(ReadBody):
    """Its bytes are there already, and come one by one; or there is something to wait for."""

    def __init__(self, data: bytes, **how: Any) -> None:
        super().__init__(head(len(data)), **how)
        self.data = data
        self.waits = False
        self.released = 0

    def _step(self) -> bool:
        if self.waits:
            return False
        if self._offset == self._stop:
            self._end(None)
            return False
        self._offset += 1
        self._write(self.data[self._offset - 1 : self._offset])
        return True

    def _release(self) -> None:
        self.released += 1


def ends(delivery: Deferred[None]) -> list[Any]:
    got: list[Any] = []
    delivery.addBoth(got.append)
    return got


def test_it_is_a_body() -> None:
    body = Letters(b"abc", public=False)

    assert verifyObject(IBody, body)
    assert (body.url, body.public, Letters(b"").public) == (URL, False, True)


def test_it_is_read_from_its_beginning_to_its_end() -> None:
    sink, body = Sink(), Letters(b"abc")
    got = ends(body.deliver(sink))

    assert got == [None]
    assert sink.data == b"abc"
    assert sink.unregistered
    assert body.released == 1


@pytest.mark.parametrize(
    ("answer", "start", "stop"),
    [
        (head(10), 0, 10),
        (head(10, Span(3, 8), length=5), 3, 8),
        (head(None), 0, 0),
    ],
)
def test_a_part_is_read_from_where_it_begins(answer: Any, start: int, stop: int) -> None:
    body = ReadBody(answer)

    assert (body._start, body._offset, body._stop) == (start, start, stop)


def test_while_its_consumer_pauses_nothing_is_read_and_then_it_goes_on() -> None:
    sink, body = Sink(pause_after=1), Letters(b"abc")
    got = ends(body.deliver(sink))
    assert sink.data == b"a"
    assert got == []

    sink.resume()
    assert sink.data == b"abc"
    assert got == [None]


def test_one_that_is_paused_from_the_beginning_reads_nothing() -> None:
    sink, body = Sink(pause_after=0), Letters(b"abc")
    got = ends(body.deliver(sink))
    assert sink.data == b""
    sink.resume()

    assert (sink.data, got) == (b"abc", [None])


def test_a_consumer_that_resumes_inside_a_write_gets_one_piece_after_the_other() -> None:
    order: list[Any] = []

    class Eager(Sink):
        def write(self, data: bytes) -> None:
            order.append(data)
            super().write(data)
            self.pause()
            self.resume()
            order.append("end")

    ends(Letters(b"ab").deliver(Eager()))

    assert order == [b"a", "end", b"b", "end"]


def test_cancelling_lets_go_at_once() -> None:
    sink, body = Sink(pause_after=1), Letters(b"abc")
    delivery = body.deliver(sink)
    got = ends(delivery)
    delivery.cancel()

    assert got[0].check(CancelledError)
    assert sink.unregistered
    assert body.released >= 1
    body.resumeProducing()
    assert sink.data == b"a"


def test_one_that_is_abandoned_before_it_was_delivered_ends_when_it_is() -> None:
    sink, body = Sink(), Letters(b"abc")
    body.abandon()
    assert body.released == 1
    got = ends(body.deliver(sink))

    assert got[0].check(CancelledError)
    assert sink.data == b""


@pytest.mark.parametrize("method", ["registerProducer", "write", "unregisterProducer"])
def test_what_its_consumer_raises_is_how_it_ends(method: str) -> None:
    body = Letters(b"abc")
    got = ends(body.deliver(Sink(raises={method: ZeroDivisionError()})))

    assert got[0].check(ZeroDivisionError)
    assert body.released >= 1


def test_what_was_raised_first_counts() -> None:
    sink = Sink(raises={"write": ZeroDivisionError(), "unregisterProducer": KeyError()})
    got = ends(Letters(b"abc").deliver(sink))

    assert got[0].check(ZeroDivisionError)
    assert not got[0].check(KeyError, Misuse)


def test_only_the_first_end_counts() -> None:
    sink, body = Sink(pause_after=1), Letters(b"abc")
    got = ends(body.deliver(sink))
    body.abandon()
    body.stopProducing()

    assert got == [None]
