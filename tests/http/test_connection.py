"""One connection: what it asks and hands over, how it flows and pauses, and every way in which it ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from treq.content import content
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from zope.interface import alsoProvides
from zope.interface.verify import verifyObject

from pulp_dl.errors import ConnectFailed, DownloadError, ProtocolError, Truncated
from pulp_dl.protocols.http.connection import LARGE, LONG, STEADY, USUAL, Answer, HTTPConnection
from pulp_dl.protocols.http.framing import Framing
from pulp_dl.testing.pipe import WINDOW
from tests.http.lines import ASK, HELLO, OK, URL, Line, answered, delivered, error, result
from tests.sinks import Sink


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line().open()
    yield line
    line.end()


@pytest.fixture
def wide() -> Iterator[Line]:
    """All that has come is there to be read at once."""
    line = Line(repeat(WINDOW)).open()
    yield line
    line.end()


class TestReady:
    def test_a_tcp_connection_is_ready_at_once(self) -> None:
        line = Line()
        ready = line.connection.ready()
        assert not ready.called
        line.open()
        assert result(ready) is None
        assert result(line.connection.ready()) is None

    def test_lost_before_it_fails_with_the_reason_as_it_is(self) -> None:
        line = Line()
        line.near.connected = False
        ready = line.connection.ready()
        line.connection.connectionLost(Failure(ConnectionLost("why")))
        assert error(ready, ConnectionLost).args == ("why",)
        assert error(line.connection.ready(), ConnectionLost).args == ("why",)

    def test_cancelling_aborts(self) -> None:
        line = Line()
        ready = line.connection.ready()
        ready.cancel()
        error(ready, CancelledError)
        line.open().run()
        assert line.closed

    def test_it_hears_of_handshakes(self) -> None:
        verifyObject(IHandshakeListener, Line().connection)


class TestRequest:
    def test_it_goes_out_as_it_is(self, line: Line) -> None:
        line.ask()
        line.run()
        assert line.server.received == ASK

    def test_the_answer_has_what_was_sent(self, line: Line) -> None:
        answer = answered(line, b"HTTP/1.0 404 No\r\nX-a: 1\r\nx-A: 2\r\nContent-Length: 3\r\n\r\n")
        assert answer.connection is line.connection
        assert (answer.version, answer.status, answer.phrase) == (0, 404, b"No")
        assert answer.pairs == ((b"X-a", b"1"), (b"x-A", b"2"), (b"Content-Length", b"3"))
        assert answer.length == 3
        assert answer.proven
        assert repr(answer) == "<Answer 404, 3 bytes>"

    def test_it_waits_for_the_final_head(self, line: Line) -> None:
        asking = line.ask()
        line.send(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 2", b"00 OK\r\n")
        assert not asking.called
        line.send(b"\r\n")
        assert result(asking).status == 200

    def test_one_at_a_time(self, line: Line) -> None:
        line.ask()
        with pytest.raises(RuntimeError):
            line.ask()
        line.send(OK + b"Content-Length: 5\r\n\r\n")
        with pytest.raises(RuntimeError):
            line.ask()

    def test_the_second_one_is_a_reuse(self, line: Line) -> None:
        for reused in (False, True, True):
            asking = line.ask()
            assert line.connection.reused is reused
            line.send(HELLO)
            result(asking).abandon()
        assert line.told == ["idle"] * 3

    def test_silent_until_the_first_byte_of_each_answer(self, line: Line) -> None:
        for _ in range(2):
            asking = line.ask()
            assert line.connection.silent
            line.send(b"H")
            assert not line.connection.silent
            line.send(HELLO[1:])
            result(asking).abandon()

    @pytest.mark.parametrize("sent", [b"", b"H", b"HTTP/1.1 103 Early\r\n\r\n", OK])
    @pytest.mark.parametrize("end", ["fin", "rst"])
    def test_an_end_before_the_head_is_a_ConnectFailed(self, line: Line, sent: bytes, end: str) -> None:
        asking = line.ask()
        line.send(sent)
        getattr(line, end)()
        failed = error(asking, ConnectFailed)
        assert isinstance(failed.__cause__, ConnectionDone if end == "fin" else ConnectionLost)
        assert line.connection.silent is not bool(sent)
        assert line.told == ["gone"]

    def test_a_request_on_a_lost_connection_fails_silently(self, line: Line) -> None:
        answered(line, HELLO).abandon()
        line.fin()
        error(line.ask(), ConnectFailed)
        assert line.connection.silent
        assert line.connection.reused

    def test_nonsense_is_a_ProtocolError_with_its_cause(self, line: Line) -> None:
        asking = line.ask()
        line.send(b"SSH-2.0-OpenSSH_9.2 SECRET\r\n")
        assert error(asking, ProtocolError).__cause__ is not None
        assert line.closed

    def test_cancelling_aborts(self, line: Line) -> None:
        asking = line.ask()
        line.send(OK)
        asking.cancel()
        error(asking, CancelledError)
        line.run()
        assert line.closed
        assert line.told == ["gone"]

    def test_cancelling_while_the_end_is_told_is_heard(self, line: Line) -> None:
        """Whoever gets the slot may cancel somebody who has not heard of the end yet."""
        asking = line.ask()
        line.on_gone = asking.cancel
        line.fin()
        error(asking, CancelledError)

    def test_cancelling_after_the_head_came_does_nothing(self, line: Line) -> None:
        asking = line.ask()
        line.send(OK + b"Content-Length: 5\r\n\r\n")
        asking.cancel()
        assert not line.run().closed

    def test_an_error_in_a_callback_is_its_own(self, line: Line) -> None:
        asking = line.ask()
        asking.addCallback(lambda answer: 1 / 0)
        line.send(HELLO)
        error(asking, ZeroDivisionError)
        assert line.told == ["idle"]


class TestDeliver:
    def test_the_body_goes_to_the_consumer(self, line: Line) -> None:
        answer, sink, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\nhe", b"ll", b"o")
        assert result(delivery) is None
        assert sink.pieces == [b"he", b"ll", b"o"]
        assert sink.registered == 1
        assert sink.producer is None
        assert answer.length == 5

    def test_an_answer_is_a_push_producer(self, line: Line) -> None:
        verifyObject(IPushProducer, answered(line, HELLO))

    def test_an_empty_body(self, line: Line) -> None:
        for head in (b"Content-Length: 0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
            _, sink, delivery = delivered(line, OK + head)
            assert result(delivery) is None
            assert sink.pieces == []
            assert sink.registered == 1

    def test_small_chunks_come_as_one_piece(self, line: Line) -> None:
        _, sink, delivery = delivered(
            line, OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50, b"0\r\n\r\n"
        )
        assert result(delivery) is None
        assert sink.pieces == [b"a" * 50]

    def test_nothing_is_paused_if_the_consumer_is_there_at_once(self, line: Line) -> None:
        pauses: list[str] = []
        line.near.pauseProducing = lambda: pauses.append("paused")
        delivered(line, OK + b"Content-Length: 5\r\n\r\n", b"hello")
        delivered(line, HELLO)
        assert not pauses

    def test_nor_if_the_whole_body_is_here_with_its_head(self, line: Line) -> None:
        answer = answered(line, HELLO)
        assert line.near.reading
        assert line.told == ["idle"]
        answer.abandon()

    def test_a_body_that_nobody_takes_yet_is_not_read(self, line: Line) -> None:
        answered(line, OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 500_000)
        assert not line.near.reading
        assert not line.closed

    def test_what_came_before_is_kept_and_the_rest_comes_after(self, line: Line) -> None:
        answer = answered(line, OK + b"Content-Length: 5\r\n\r\nhe")
        line.send(b"llo")
        sink = Sink()
        delivery = answer.deliver(sink)
        assert sink.registered == 1
        assert not delivery.called
        line.run()
        assert result(delivery) is None
        assert sink.data == b"hello"

    def test_all_of_a_receive_buffer_is_kept(self, line: Line) -> None:
        """Over TLS one read brings many records."""
        answer = answered(line, OK + b"Content-Length: 7\r\n\r\nhe")
        for data in (b"l", b"lo"):
            line.connection.dataReceived(data)
        sink = Sink()
        delivery = answer.deliver(sink)
        line.send(b"!!")
        assert result(delivery) is None
        assert sink.data == b"hello!!"

    def test_a_turn_of_the_reactor_is_waited_for_only_if_it_is_late_and_not_whole(self, line: Line) -> None:
        no_clock: Any = None
        line.connection.clock = no_clock
        delivered(line, HELLO)
        assert result(answered(line, HELLO).deliver(Sink())) is None
        line.connection.clock = clock = Clock()
        delivery = answered(line, OK + b"Content-Length: 9\r\n\r\nhello").deliver(Sink())
        assert not delivery.called
        assert len(clock.getDelayedCalls()) == 1
        clock.advance(0)
        line.send(b"more")
        assert result(delivery) is None

    def test_a_whole_body_may_be_taken_late(self, line: Line) -> None:
        """Its connection may be at work for somebody else."""
        first = answered(line, HELLO)
        second = answered(line, OK + b"Content-Length: 6\r\n\r\nworld!")
        for answer, body in ((second, b"world!"), (first, b"hello")):
            sink = Sink()
            delivery = answer.deliver(sink)
            line.run()
            assert result(delivery) is None
            assert sink.data == body

    def test_it_is_delivered_once(self, line: Line) -> None:
        answer, _, _ = delivered(line, HELLO)
        with pytest.raises(RuntimeError):
            answer.deliver(Sink())

    def test_the_next_request_can_be_sent_as_soon_as_it_fires(self, line: Line) -> None:
        """The parser is not at work then, and the connection is not anybody's."""
        again: list[Deferred[Answer]] = []
        _, _, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\n")
        delivery.addCallback(lambda _: again.append(line.ask()))
        line.send(b"hello", HELLO)
        assert result(again[0]).status == 200

    def test_idle_is_told_before_it_fires(self, line: Line) -> None:
        _, _, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\n")
        delivery.addCallback(lambda _: line.told.append("delivered"))
        line.send(b"hello")
        assert line.told == ["idle", "delivered"]

    def test_a_request_sent_while_idle_is_told_does_not_mix_with_the_answer_before(self, line: Line) -> None:
        asked: list[Deferred[Answer]] = []
        line.on_idle = lambda: asked.append(line.ask()) if not asked else None
        _, sink, delivery = delivered(line, HELLO)
        assert result(delivery) is None
        assert sink.data == b"hello"
        line.send(OK + b"Content-Length: 2\r\n\r\n")
        second = Sink()
        done = result(asked[0]).deliver(second)
        line.send(b"ab")
        assert result(done) is None
        assert second.data == b"ab"
        assert sink.data == b"hello"


class TestBackpressure:
    def test_a_consumer_pauses_and_resumes(self, line: Line) -> None:
        _, sink, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\n", b"he")
        sink.producer.pauseProducing()
        line.send(b"l", b"lo")
        assert sink.data == b"he"
        assert not delivery.called
        sink.producer.resumeProducing()
        line.run()
        assert sink.data == b"hello"
        assert result(delivery) is None

    def test_pausing_twice_is_pausing_once(self, line: Line) -> None:
        _, sink, _ = delivered(line, OK + b"Content-Length: 5\r\n\r\n")
        for _ in range(2):
            sink.producer.pauseProducing()
        sink.producer.resumeProducing()
        sink.producer.resumeProducing()
        line.send(b"hello")
        assert sink.data == b"hello"

    def test_one_that_pauses_while_it_registers_gets_what_is_here_and_no_more(self, line: Line) -> None:
        class Full(Sink):
            def registerProducer(self, producer: Any, streaming: bool) -> None:
                super().registerProducer(producer, streaming)
                producer.pauseProducing()

        for late in (False, True):
            sink = Full()
            line = Line().open()
            if late:
                delivery = answered(line, OK + b"Content-Length: 5\r\n\r\nhe").deliver(sink)
                line.run()
            else:
                _, _, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\nhe", sink=sink)
            line.send(b"llo")
            assert sink.data == b"he"
            sink.producer.resumeProducing()
            line.run()
            assert result(delivery) is None
            assert sink.data == b"hello"

    def test_pausing_in_a_write_holds_the_rest(self, line: Line) -> None:
        _, sink, _ = delivered(
            line,
            OK + b"Content-Length: 5\r\n\r\n",
            b"h",
            b"ello",
            sink=Sink(lambda sink: sink.producer.pauseProducing()),
        )
        assert sink.data == b"h"

    def test_no_connection_idles_paused(self, line: Line) -> None:
        """It would not hear the answer to the next request."""
        _, _, delivery = delivered(
            line,
            OK + b"Content-Length: 5\r\n\r\n",
            b"hello",
            sink=Sink(lambda sink: sink.producer.pauseProducing()),
        )
        assert result(delivery) is None
        assert line.near.reading
        _, sink, _ = delivered(line, OK + b"Content-Length: 5\r\n\r\n")
        sink.producer.pauseProducing()
        line.connection.dataReceived(b"hello")  # the rest of a receive buffer
        assert line.told == ["idle"] * 2
        assert line.near.reading

    def test_a_body_that_is_over_does_not_open_what_the_next_one_holds(self, line: Line) -> None:
        first, late = answered(line, HELLO), answered(line, HELLO)
        _, sink, _ = delivered(line, OK + b"Content-Length: 9\r\n\r\nhello")
        sink.producer.pauseProducing()
        first.resumeProducing()
        assert not line.near.reading
        delivery = late.deliver(Sink())
        line.run()
        assert result(delivery) is None
        assert not line.near.reading

    def test_the_producer_of_a_body_that_is_over_moves_nothing(self, line: Line) -> None:
        answer, _, _ = delivered(line, HELLO)
        asking = line.ask()
        answer.pauseProducing()
        assert line.near.reading
        answer.stopProducing()
        answer.abandon()
        line.send(HELLO)
        assert result(asking).status == 200

    def test_a_body_that_goes_on_behind_a_full_read_is_read_in_large_pieces(self, wide: Line) -> None:
        """So 256 KiB are two or three pieces on their way to the consumer, where they were five."""
        for _ in range(2):  # what comes next may be small, and begins anew
            _, sink, _ = delivered(wide, OK + b"Content-Length: 600000\r\n\r\nx", bytes(599_999))
            read = [1, USUAL, LARGE, LARGE]
            assert [len(piece) for piece in sink.pieces] == [*read, 600_000 - sum(read)]

    def test_for_one_that_pauses_it_is_read_in_small_ones(self, wide: Line) -> None:
        """It would only keep large ones."""

        def pause(sink: Sink) -> None:
            sink.producer.pauseProducing()
            wide.clock.callLater(0, sink.producer.resumeProducing)

        _, sink, _ = delivered(wide, OK + b"Content-Length: 600000\r\n\r\n" + bytes(600_000), sink=Sink(pause))
        assert len(sink.data) == 600_000
        assert max(map(len, sink.pieces)) == USUAL

    def test_short_pauses_are_forgiven_after_a_while_and_a_long_one_is_not(self, wide: Line) -> None:
        def largest(pause: float, size: int) -> int:
            """Of the pieces in which so many bytes come behind such a pause."""
            before = len(sink.pieces)
            sink.producer.pauseProducing()
            wide.send(bytes(size))
            wide.clock.advance(pause)
            sink.producer.resumeProducing()
            wide.run()
            assert sum(map(len, sink.pieces[before:])) == size
            return max(map(len, sink.pieces[before:]))

        _, sink, _ = delivered(wide, OK + b"Content-Length: 1000000000\r\n\r\n")
        short, long = LONG / 2, LONG * 2
        for _ in range(STEADY // USUAL):
            assert largest(short, USUAL) == USUAL
        largest(short, USUAL)
        assert largest(short, LARGE) == LARGE
        assert largest(long, USUAL + 1) == USUAL
        assert largest(short, USUAL + 1) == USUAL


class Broken(Sink):
    """A consumer that raises in one of its methods."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def _perhaps(self, where: str) -> None:
        if where == self.where:
            raise OSError(28, where)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._perhaps("register")
        super().registerProducer(producer, streaming)

    def write(self, data: bytes) -> None:
        self._perhaps("write")
        super().write(data)

    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        self._perhaps("unregister")


class TestConsumersThatFail:
    @pytest.mark.parametrize("where", ["register", "write"])
    def test_their_error_is_the_result_and_the_connection_is_aborted(self, line: Line, where: str) -> None:
        _, _, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\nhe", sink=Broken(where))
        assert error(delivery, OSError).args == (28, where)
        line.run()
        assert line.closed

    @pytest.mark.parametrize("where", ["register", "write", "unregister"])
    @pytest.mark.parametrize("late", [False, True])
    def test_also_with_the_last_piece(self, line: Line, where: str, late: bool) -> None:
        """Twisted's own client calls that a success.  The connection has nothing to do with it any more."""
        sink = Broken(where)
        if late:
            delivery = answered(line, HELLO).deliver(sink)
            line.run()
        else:
            _, _, delivery = delivered(line, HELLO, sink=sink)
        assert error(delivery, OSError).args == (28, where)
        assert not line.run().closed
        assert line.told == ["idle"]

    def test_what_went_wrong_first_counts(self, line: Line) -> None:
        _, _, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\n", sink=Broken("unregister"))
        line.fin()
        error(delivery, Truncated)


class TestCancelling:
    @pytest.mark.parametrize("paused", [False, True])
    def test_a_delivery_aborts_at_once_and_nothing_more_is_written(self, line: Line, paused: bool) -> None:
        _, sink, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\n", b"he")
        if paused:
            sink.producer.pauseProducing()
        line.far.write(b"llo")
        delivery.cancel()
        error(delivery, CancelledError)
        assert sink.producer is None
        line.run()
        assert line.closed
        assert sink.data == b"he"

    def test_from_inside_a_write(self, line: Line) -> None:
        sink = Sink(lambda sink: delivery.cancel())
        _, _, delivery = delivered(line, OK + b"Content-Length: 9\r\n\r\n", sink=sink)
        line.send(b"he", b"llo")
        error(delivery, CancelledError)
        assert sink.data == b"he"
        assert line.closed

    def test_from_inside_the_first_write_of_a_coroutine(self, line: Line) -> None:
        """Whoever waits in a coroutine can be cancelled by the very first piece, which came with the head."""

        async def download() -> None:
            answer = await line.ask()
            await answer.deliver(Sink(lambda sink: running.cancel()))

        running = Deferred.fromCoroutine(download())
        line.send(OK + b"Content-Length: 9\r\n\r\nhello")
        error(running, CancelledError)
        assert line.closed

    def test_from_inside_the_first_write_of_a_coroutine_that_took_its_time(self, line: Line) -> None:
        async def download(answer: Answer) -> None:
            await answer.deliver(Sink(lambda sink: running.cancel()))

        running = Deferred.fromCoroutine(download(answered(line, OK + b"Content-Length: 9\r\n\r\nhello")))
        line.run()
        error(running, CancelledError)
        assert line.run().closed

    def test_before_a_late_delivery_has_begun(self, line: Line) -> None:
        line.connection.clock = clock = Clock()
        sink = Sink()
        delivery = answered(line, OK + b"Content-Length: 9\r\n\r\nhello").deliver(sink)
        delivery.cancel()
        error(delivery, CancelledError)
        assert not clock.getDelayedCalls()
        assert sink.data == b""
        assert line.run().closed

    def test_while_it_registers(self, line: Line) -> None:
        class Stopping(Sink):
            def registerProducer(self, producer: Any, streaming: bool) -> None:
                super().registerProducer(producer, streaming)
                producer.stopProducing()

        line.connection.clock = clock = Clock()
        for data in (HELLO, OK + b"Content-Length: 9\r\n\r\nhello"):
            error(answered(line, data).deliver(Stopping()), CancelledError)
            assert not clock.getDelayedCalls()
        assert line.run().closed

    @pytest.mark.parametrize("inside", [False, True])
    def test_a_producer_is_stopped(self, line: Line, inside: bool) -> None:
        sink = Sink(lambda sink: sink.producer.stopProducing() if inside else None)
        _, _, delivery = delivered(line, OK + b"Content-Length: 9\r\n\r\nhe", sink=sink)
        if not inside:
            sink.producer.stopProducing()
        line.send(b"llo")
        error(delivery, CancelledError)
        assert sink.data == b"he"
        assert line.closed

    def test_a_consumer_that_raises_while_it_is_let_go(self, line: Line) -> None:
        _, _, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\n", sink=Broken("unregister"))
        delivery.cancel()
        error(delivery, CancelledError)

    def test_after_the_last_byte_the_connection_stays(self, line: Line) -> None:
        sink = Sink(lambda sink: delivery.cancel())
        _, _, delivery = delivered(line, OK + b"Content-Length: 5\r\n\r\n", sink=sink)
        line.send(b"hello")
        error(delivery, CancelledError)
        assert not line.run().closed

    def test_by_what_the_pool_sets_going(self, line: Line) -> None:
        """Somebody gets this connection, and cancels the one who had it before, who has not heard of the answer yet."""
        asking = line.ask()
        line.on_idle = asking.cancel
        line.send(HELLO)
        error(asking, CancelledError)
        line.on_idle = bool
        _, sink, _ = delivered(line, HELLO)
        assert sink.data == b"hello"


class TestAbandon:
    def test_a_body_that_is_here_costs_no_connection(self, line: Line) -> None:
        answered(line, HELLO).abandon()
        assert not line.run().closed

    def test_a_body_that_is_not_does(self, line: Line) -> None:
        answered(line, OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 70_000).abandon()
        assert line.run().closed

    def test_also_while_the_head_is_told(self, line: Line) -> None:
        asking = line.ask()
        asking.addCallback(lambda answer: answer.abandon())
        line.send(OK + b"Content-Length: 10\r\n\r\nhe")
        assert line.closed

    def test_it_cannot_be_had_any_more(self, line: Line) -> None:
        answer = answered(line, HELLO)
        answer.abandon()
        with pytest.raises(RuntimeError):
            answer.deliver(Sink())


class TestEnds:
    @pytest.mark.parametrize("end", ["fin", "rst"])
    @pytest.mark.parametrize(
        ("head", "body", "expected"),
        [
            (b"Content-Length: 5\r\n\r\n", b"hell", 5),
            (b"Content-Length: 5\r\n\r\n", b"", 5),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nhell", None),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nhell\r\n", None),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nhell\r\n0\r\n", None),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nhell\r\n0\r\n\r", None),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhell", None),
        ],
    )
    def test_a_short_body_is_Truncated(
        self, line: Line, end: str, head: bytes, body: bytes, expected: int | None
    ) -> None:
        _, sink, delivery = delivered(line, OK + head, body) if body else delivered(line, OK + head)
        getattr(line, end)()
        failed = error(delivery, Truncated)
        assert failed.received == len(sink.data)
        assert failed.expected == expected
        assert isinstance(failed.__cause__, ConnectionDone if end == "fin" else ConnectionLost)
        assert sink.producer is None
        assert b"hello".startswith(sink.data)

    def test_without_length_the_end_of_the_connection_is_an_end_but_no_proof(self, line: Line) -> None:
        answer, sink, delivery = delivered(line, OK + b"\r\nhel", b"lo")
        assert answer.length is None
        assert not answer.proven
        assert not delivery.called
        line.fin()
        assert result(delivery) is None
        assert sink.data == b"hello"
        assert line.told == ["gone"]

    def test_the_socket_is_closed_before_that_delivery_fires(self, line: Line) -> None:
        _, _, delivery = delivered(line, OK + b"\r\nhello")
        delivery.addCallback(lambda _: line.told.append("delivered"))
        line.fin()
        assert line.told == ["gone", "delivered"]

    def test_but_a_reset_is_a_failure(self, line: Line) -> None:
        _, sink, delivery = delivered(line, OK + b"\r\nhello")
        line.rst()
        assert error(delivery, Truncated).received == 5
        assert sink.data == b"hello"

    def test_an_end_is_kept_for_one_who_takes_the_body_late(self, line: Line) -> None:
        """A paused connection is not read: the end comes when the body is taken."""
        answer = answered(line, OK + b"Content-Length: 9\r\n\r\nhe")
        line.send(b"llo").fin()
        sink = Sink()
        delivery = answer.deliver(sink)
        line.run()
        error(delivery, Truncated)
        assert sink.data == b"hello"

    def test_an_answer_whose_connection_is_aborted_before_it_is_taken(self, line: Line) -> None:
        answer = answered(line, OK + b"Content-Length: 9\r\n\r\nhe")
        line.connection.abort()
        line.run()
        sink = Sink()
        delivery = answer.deliver(sink)
        line.run()
        error(delivery, CancelledError)
        assert sink.data == b"he"

    def test_malformed_chunks_are_a_ProtocolError(self, line: Line) -> None:
        _, sink, delivery = delivered(line, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", b"SECRET\r\n")
        error(delivery, ProtocolError)
        assert sink.data == b"a"
        assert sink.producer is None
        assert line.closed

    def test_a_connection_that_may_not_be_used_again_is_closed(self, line: Line) -> None:
        _, _, delivery = delivered(line, OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello")
        assert result(delivery) is None
        assert line.closed
        assert line.told == ["gone"]

    def test_so_is_one_with_bytes_behind_the_answer(self, line: Line) -> None:
        _, sink, delivery = delivered(line, HELLO + b"EVIL")
        assert result(delivery) is None
        assert sink.data == b"hello"
        assert line.told == ["gone"]

    @pytest.mark.parametrize("data", [b"H", b"\r\n", HELLO, b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
    def test_what_nobody_asked_for_kills_it(self, line: Line, data: bytes) -> None:
        line.send(data)
        assert line.closed
        line = Line().open()
        answered(line, HELLO).abandon()
        line.send(data)
        assert line.closed
        error(line.ask(), ConnectFailed)

    def test_who_hears_that_it_failed_finds_its_place_free(self) -> None:
        def nonsense(line: Line) -> None:
            line.send(b"nonsense, all of it")

        def silence(line: Line) -> None:
            line.clock.advance(5)

        for fails in (nonsense, silence):
            line = Line().open()
            asking: Deferred[Any] = line.connection.request(ASK, b"GET", URL, 5)
            line.waiting.append(asking)
            asking.addErrback(lambda _, told: told.append("failed"), line.told)
            fails(line)
            line.end()
            assert line.told == ["gone", "failed"]

    def test_switched_protocols_kill_it(self, line: Line) -> None:
        asking = line.ask()
        line.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        error(asking, ProtocolError)
        assert line.closed

    def test_a_server_that_closes_an_idle_connection(self, line: Line) -> None:
        answered(line, HELLO).abandon()
        assert line.connection.usable()
        line.fin()
        assert not line.connection.usable()
        assert line.told == ["idle", "gone"]


class TestHEAD:
    def test_the_answer_is_complete_with_its_head(self, line: Line) -> None:
        for _ in range(2):
            answer = answered(line, OK + b"Content-Length: 5\r\n\r\n", method=b"HEAD")
            assert answer.length == 0
            assert answer.pairs == ((b"Content-Length", b"5"),)
            sink = Sink()
            delivery = answer.deliver(sink)
            line.run()
            assert result(delivery) is None
            assert sink.data == b""
        assert line.told == ["idle"] * 2

    def test_a_body_all_the_same_is_never_taken_for_the_next_answer(self, line: Line) -> None:
        for segments in ((OK + b"Content-Length: 99\r\n\r\n" + HELLO,), (OK + b"Content-Length: 99\r\n\r\n", HELLO)):
            line = Line().open()
            answered(line, *segments, method=b"HEAD").abandon()
            assert line.closed


class TestAbort:
    def test_what_has_not_been_sent_is_not_waited_for(self, line: Line) -> None:
        """Nor who does not read it."""
        line.far.pauseProducing()
        long = ASK[:-2] + b"X-Long: " + b"x" * 2 * WINDOW + b"\r\n\r\n"
        asking = line.connection.request(long, b"GET", URL)
        line.waiting.append(asking)
        line.run()
        assert not line.closed
        asking.cancel()
        assert line.run().closed

    def test_what_is_asked_is_cancelled(self, line: Line) -> None:
        asking = line.ask()
        line.connection.abort()
        line.run()
        error(asking, CancelledError)

    @pytest.mark.parametrize("paused", [False, True])
    def test_what_is_delivered_is_cancelled(self, line: Line, paused: bool) -> None:
        _, sink, delivery = delivered(line, OK + b"Content-Length: 9\r\n\r\nhe")
        if paused:
            sink.producer.pauseProducing()
        line.connection.abort()
        line.run()
        error(delivery, CancelledError)

    def test_also_a_body_that_ends_with_the_connection(self, line: Line) -> None:
        _, _, delivery = delivered(line, OK + b"\r\nhe")
        line.connection.abort()
        line.run()
        error(delivery, CancelledError)

    def test_nothing_is_heard_any_more(self, line: Line) -> None:
        """A TLS transport may have more in its hands."""
        asking = line.ask()
        line.connection.abort()
        line.connection.dataReceived(HELLO)
        line.run()
        error(asking, CancelledError)

    def test_twice_is_once(self, line: Line) -> None:
        for _ in range(2):
            line.connection.abort()
            line.run()
        assert line.told == ["gone"]
        line.connection.abort()

    @pytest.mark.parametrize("where", ["head", "register", "write", "idle", "unregister", "delivered"])
    def test_from_inside_any_callback(self, line: Line, where: str) -> None:
        abort = line.connection.abort

        class Aborting(Sink):
            def registerProducer(self, producer: Any, streaming: bool) -> None:
                super().registerProducer(producer, streaming)
                if where == "register":
                    abort()

            def unregisterProducer(self) -> None:
                super().unregisterProducer()
                if where == "unregister":
                    abort()

            def write(self, data: bytes) -> None:
                super().write(data)
                if where == "write":
                    abort()

        sink = Aborting()
        deliveries: list[Deferred[None]] = []

        def head(answer: Answer) -> None:
            if where == "head":
                abort()
            delivery = answer.deliver(sink)
            deliveries.append(delivery)
            if where == "delivered":
                delivery.addBoth(lambda result: abort() or result)

        if where == "idle":
            line.on_idle = abort
        line.ask().addCallback(head)
        line.send(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n")
        assert line.closed
        assert line.told.count("gone") == 1
        assert sink.producer is None
        assert b"ab".startswith(sink.data)
        if where in {"idle", "unregister", "delivered"}:
            assert result(deliveries[0]) is None
        else:
            error(deliveries[0], CancelledError)


class Taking(Protocol):
    """A protocol as C{deliverBody} takes it."""

    def __init__(self) -> None:
        self.data = b""
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class TestDeliverBody:
    """As C{IResponse} has it, for treq and whoever else reads responses."""

    @pytest.mark.parametrize(
        ("head", "reason"), [(b"Content-Length: 5\r\n\r\n", ResponseDone), (b"\r\n", PotentialDataLoss)]
    )
    def test_to_its_end(self, line: Line, head: bytes, reason: type[Exception]) -> None:
        taking = Taking()
        answered(line, OK + head).deliverBody(taking)
        line.send(b"hel", b"lo").fin()
        assert taking.data == b"hello"
        assert taking.reason is not None
        assert taking.reason.check(reason)

    def test_a_failure(self, line: Line) -> None:
        taking = Taking()
        answered(line, OK + b"Content-Length: 5\r\n\r\nhe").deliverBody(taking)
        line.fin()
        assert taking.reason is not None
        failed = taking.reason.value
        assert isinstance(failed, ResponseFailed)
        assert failed.reasons[0].check(Truncated)

    def test_its_transport_is_a_producer(self, line: Line) -> None:
        taking = Taking()
        answered(line, OK + b"Content-Length: 5\r\n\r\n").deliverBody(taking)
        line.run()
        producer: Any = taking.transport
        verifyObject(IPushProducer, producer)
        producer.pauseProducing()
        line.send(b"hello")
        assert taking.data == b""
        producer.stopProducing()
        assert line.run().closed

    def test_treq_reads_it(self, line: Line) -> None:
        answer: Any = answered(line, HELLO)
        reading = content(answer)
        line.run()
        assert result(reading) == b"hello"

    @pytest.mark.parametrize("how", ["loseConnection", "abortConnection", "stopProducing"])
    def test_its_transport_can_be_dropped(self, line: Line, how: str) -> None:
        """Twisted's C{readBody} does so when it is cancelled."""
        taking = Taking()
        answered(line, OK + b"Content-Length: 50\r\n\r\nhello").deliverBody(taking)
        line.run()
        getattr(taking.transport, how)()
        assert line.run().closed
        assert taking.reason is not None
        assert taking.reason.check(ResponseFailed)


# ---- whatever happens


@given(data=st.data())
def test_whatever_comes_a_delivery_brings_the_whole_body_or_fails_with_a_DownloadError(data: st.DataObject) -> None:
    """However it is cut, and whoever pauses."""
    wire = bytearray(
        data.draw(st.sampled_from([HELLO, OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"]))
    )
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=10))
    pausing = data.draw(st.booleans())
    end = data.draw(st.sampled_from(["fin", "rst"]))

    line = Line(cycle(sizes)).open()
    clock = line.clock

    def pause(sink: Sink) -> None:
        producer = sink.producer
        producer.pauseProducing()
        clock.callLater(0, producer.resumeProducing)

    sink = Sink(pause) if pausing else Sink()
    deliveries: list[Deferred[None]] = []
    asking = line.ask()
    asking.addCallback(lambda answer: deliveries.append(answer.deliver(sink)))
    line.send(bytes(wire))
    if "idle" not in line.told:
        getattr(line, end)()
    if isinstance(asking.result, Failure):
        error(asking, DownloadError)
    elif isinstance(deliveries[0].result, Failure):
        error(deliveries[0], DownloadError)
    else:
        framing = Framing()
        framing.expect(b"GET")
        assert sink.data == framing.feed(bytes(wire))
        assert framing.complete or (framing.until_close and end == "fin")
    assert sink.producer is None
    line.end()


class Records(StringTransport):
    """Over TLS: each record of one read comes by itself."""

    def getHandle(self) -> SSL.Connection:
        return SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)


@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
def test_records_that_came_together_with_the_end_are_not_lost(reason: Exception) -> None:
    """Of a body without a length nobody could tell."""
    clock = Clock()
    told: list[HTTPConnection] = []
    connection: Any = HTTPConnection(clock, told.append, told.append)
    transport = Records()
    alsoProvides(transport, ISSLTransport)
    connection.makeConnection(transport)
    connection.handshakeCompleted()
    sink = Sink()
    ends: list[Any] = []
    asking = connection.request(ASK, b"GET", URL)
    asking.addCallback(lambda answer: answer.deliver(sink)).addBoth(ends.append)
    connection.dataReceived(OK + b"Connection: close\r\n\r\n")
    for _ in range(64):
        connection.dataReceived(b"x" * 16384)
    connection.connectionLost(Failure(reason))

    assert len(sink.data) == 64 * 16384
    assert (ends == [None]) is isinstance(reason, ConnectionDone)
    assert told == [connection]
    assert not clock.getDelayedCalls()
