"""Fetchers that break one promise each, with the check that has to catch each of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import deferLater

from pulp_dl.errors import BadStatus, ConnectFailed
from pulp_dl.interfaces import IBody
from pulp_dl.model.source import Head, Source, Span, Validators
from tests.testing.bent import Between, Body, Fetcher, bent

WHOLE = "test_a_body_comes_whole_byte_for_byte"


@bent(WHOLE, 65537)
class ChangesAByte(Between):
    def write(self, data: bytes) -> None:
        super().write(data.replace(data[:1], b"!", 1))


@bent(WHOLE, 65537)
class DropsTheLastByte(Between):
    def write(self, data: bytes) -> None:
        if len(data) > 1:
            super().write(data)


@bent(WHOLE, 0)
class WritesNothing(Between):
    def unregisterProducer(self) -> None:
        self.write(b"")
        super().unregisterProducer()


@bent(WHOLE, 1)
class TellsAWrongLength(Body):
    def __init__(self, fetcher: Fetcher, body: IBody) -> None:
        super().__init__(fetcher, body)
        self.head = evolve(body.head, length=17)


@bent(WHOLE, 1)
class ShowsUserinfo(Body):
    def __init__(self, fetcher: Fetcher, body: IBody) -> None:
        super().__init__(fetcher, body)
        self.url = body.url.replace("://", "://user:secret@")


@bent(WHOLE, 1)
class IsNoFetcher(Fetcher):
    head = None  # type: ignore[assignment]  # on purpose


@bent(WHOLE, 1)
class FiresWithABody(Body):
    def deliver(self, consumer: IConsumer) -> Deferred[Any]:
        return super().deliver(consumer).addCallback(lambda _: b"body")


@bent(WHOLE, 1)
class KeepsTheProducer(Between):
    def unregisterProducer(self) -> None:
        pass


@bent(WHOLE, 1)
class RegistersLate(Between):
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.consumer.registerProducer(self, True)
        super().unregisterProducer()


@bent(WHOLE, 1)
class IsAPullProducer(Between):
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, False)


@bent(WHOLE, 1)
class WritesAfterTheEnd(Between):
    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        self.fetcher.reactor.callLater(0, self._again)

    def _again(self) -> None:
        with suppress(AssertionError):
            self.consumer.write(b"again")


@bent(WHOLE, 1)
class NeverFires(Body):
    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        super().deliver(consumer)
        return Deferred()


@bent(WHOLE, 1)
class LeavesATimer(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        self.leak()
        return super().open(source, span, same_as)


@bent("test_head_tells_of_the_body_and_brings_none", 70_000)
class HeadTellsAWrongTotal(Fetcher):
    def head(self, source: Source) -> Deferred[Head]:
        return super().head(source).addCallback(lambda head: evolve(head, total=1))


@bent("test_head_tells_of_the_body_and_brings_none", 0)
class HeadReadsTheBody(Fetcher):
    def head(self, source: Source) -> Deferred[Head]:
        def answered(body: IBody) -> Head:
            self.leak()  # as a connection with an unread body is
            return body.head

        return self.open(source).addCallback(answered)


@bent("test_a_span_brings_that_part", Span(10, 20))
class KnowsNoSpans(Fetcher):
    place = {"ranges": False}  # noqa: RUF012  # as in Fetcher


@bent("test_a_span_brings_that_part", Span(10, 20))
class BringsOneByteMore(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return super().open(source, span and Span(span.start, span.stop and span.stop + 1), same_as)


@bent("test_a_span_brings_that_part", Span(-5))
class TakesASuffixForAnOffset(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return super().open(source, span and Span(abs(span.start), span.stop), same_as)


@bent("test_a_span_past_the_end_is_answered_with_416_and_no_byte_of_the_file")
class FailsWith416(Body):
    def __init__(self, fetcher: Fetcher, body: IBody) -> None:
        super().__init__(fetcher, body)
        if body.head.status == 416:
            body.abandon()
            raise BadStatus(416, "", body.url)


@bent("test_same_as_brings_the_rest_of_what_has_not_changed")
class NeverResumes(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return super().open(source, None if same_as else span)


@bent("test_same_as_brings_the_whole_of_what_has_changed", 70_000, 80_000)
class AlwaysResumes(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return super().open(source, span)


@bent("test_a_condition_that_does_not_hold_is_answered_with_304")
class DropsConditions(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return super().open(Source(source.url), span, same_as)


@bent("test_what_is_not_there_is_not_found")
class FailsOtherwise(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return super().open(source, span, same_as).addErrback(lambda _: fail(ConnectFailed("what?", source.url)))


@bent("test_what_is_not_there_is_not_found")
class HeadFindsEverything(Fetcher):
    def head(self, source: Source) -> Deferred[Head]:
        return succeed(Head(source.url, 200))


@bent("_uneven", (3,))
class Forgets(Between):
    """What comes while it is paused is lost."""

    paused = False

    def write(self, data: bytes) -> None:
        if not self.paused:
            super().write(data)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False


@bent("_uneven", (3,))
@bent("test_a_pause_lasts_until_it_is_taken_back")
@bent("test_a_consumer_that_pauses_at_once_gets_one_receive_buffer_until_it_goes_on")
class Deaf(Between):
    """Goes on when it is paused."""

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass


@bent("test_a_pause_lasts_until_it_is_taken_back")
class StaysPaused(Between):
    def resumeProducing(self) -> None:
        pass


OPENS = "test_cancelling_open_leaves_nothing"


@bent(OPENS)
class CannotCancelOpen(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        opened: Deferred[IBody] = Deferred(lambda _: None)
        opened.addErrback(lambda _: Deferred())  # deaf, too
        super().open(source, span, same_as).addCallback(opened.callback)
        return opened


@bent(OPENS)
class FailsOtherwiseWhenCancelled(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return super().open(source, span, same_as).addErrback(lambda _: fail(ConnectFailed("cancelled", source.url)))


@bent(OPENS)
class LeavesATimerWhenCancelled(Fetcher):
    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        def cancelled(failure: Any) -> Any:
            self.leak()
            return failure

        return super().open(source, span, same_as).addErrback(cancelled)


@bent("test_a_body_that_is_abandoned_leaves_nothing")
class LeavesATimerWhenAbandoned(Body):
    def abandon(self) -> None:
        super().abandon()
        self.fetcher.leak()


CUTS = "test_cancelling_a_delivery_leaves_nothing"
WHENS = ("before the first byte", "in the middle", "while paused", "inside a write")


@bent(CUTS, *WHENS)
class Uncancelled(Body):
    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        delivered: Deferred[None] = Deferred(lambda _: None)
        delivered.addErrback(lambda _: Deferred())
        super().deliver(consumer).addCallback(delivered.callback)
        return delivered


@bent(CUTS, *WHENS)
class LeavesWhenCut(Body):
    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        def cut(failure: Any) -> Any:
            self.fetcher.leak()
            return failure

        return super().deliver(consumer).addErrback(cut)


@bent(CUTS, *WHENS)
class FailsOtherwiseWhenCut(Body):
    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        return super().deliver(consumer).addErrback(lambda _: fail(ConnectFailed("cut")))


@bent(CUTS, *WHENS)
class WritesOnWhenCut(Between):
    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        self.fetcher.reactor.callLater(0, self._again)

    def _again(self) -> None:
        with suppress(AssertionError):
            self.consumer.write(b"again")


RAISES = "test_a_consumer_that_raises_ends_the_delivery_and_leaves_nothing"


@bent(RAISES, 1, 2)
class Swallows(Between):
    def write(self, data: bytes) -> None:
        with suppress(OSError):
            super().write(data)


@bent(RAISES, 1, 2)
class LeavesWhenRaised(LeavesWhenCut):
    pass


COMES_OR_GOES = "test_a_consumer_that_raises_where_a_producer_comes_or_goes_is_heard"
METHODS = ("registerProducer", "unregisterProducer")


@bent(COMES_OR_GOES, *METHODS)
class SwallowsWhatComesOrGoes(Between):
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        with suppress(OSError):
            super().registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        with suppress(OSError):
            super().unregisterProducer()


@bent(COMES_OR_GOES, *METHODS)
class LeavesWhenRaisedAtTheEdges(LeavesWhenCut):
    pass


@bent("test_two_bodies_at_a_time_do_not_disturb_each_other")
class MixesBodies(Between):
    def write(self, data: bytes) -> None:
        vars(self.fetcher).setdefault("first", self)
        self.fetcher.first.consumer.write(data)  # type: ignore[attr-defined]  # as above


CLOSES = "test_close_aborts_what_runs_and_may_be_called_again"


@bent(CLOSES)
class ClosesNothing(Fetcher):
    def close(self) -> Deferred[None]:
        return succeed(None)


@bent(CLOSES)
class ClosesOnce(Fetcher):
    closed = False

    def close(self) -> Deferred[None]:
        if self.closed:
            return fail(RuntimeError("closed already"))
        self.closed = True
        return super().close()


@bent(CLOSES)
class NeverCloses(Fetcher):
    def close(self) -> Deferred[None]:
        return Deferred()


COLD = "test_cancelling_leaves_nothing_however_far_the_first_open_has_come"
PHASES = "test_cancelling_leaves_nothing_however_far_a_head_or_a_body_has_come"


@bent(COLD)
class LeavesATimerWhenCancelledWhileItConnects(Fetcher):
    """Its first open takes some turns more, as a handshake does; only in the last of them something is left."""

    connected = False

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        if self.connected:
            return super().open(source, span, same_as)
        return Deferred.fromCoroutine(self._connect(source, span, same_as))

    async def _connect(self, source: Source, span: Span | None, same_as: Validators | None) -> IBody:
        for _ in range(20):
            await deferLater(self.reactor, 0)
        try:
            await deferLater(self.reactor, 0.01)
        except CancelledError:
            self.leak()
            raise
        self.connected = True
        body: IBody = await super().open(source, span, same_as)
        return body


@bent(PHASES)
class CannotCancelHead(Fetcher):
    def head(self, source: Source) -> Deferred[Head]:
        deaf: Deferred[Head] = Deferred(lambda _: None)
        deaf.addErrback(lambda _: Deferred())
        return deaf


@bent(PHASES)
class LeavesATimerWhenCutLate(Between):
    written = 0

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        def cut(failure: Any) -> Any:
            if self.written > 5:
                self.fetcher.leak()
            return failure

        return super().deliver(consumer).addErrback(cut)

    def write(self, data: bytes) -> None:
        self.written += 1
        super().write(data)


STOPS = "test_a_producer_that_is_stopped_ends_the_delivery_and_leaves_nothing"


@bent(STOPS, True, False)
class DeafToStop(Between):
    def stopProducing(self) -> None:
        pass


@bent(STOPS, True, False)
class LeavesWhenStopped(LeavesWhenCut):
    pass


@bent(STOPS, True)
class WritesWhenResumedAfterTheEnd(Between):
    over = False

    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        self.over = True

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.over:
            with suppress(AssertionError):
                self.consumer.write(b"again")


LIES = "test_a_server_that_says_a_wrong_size_is_found_out"


@bent(LIES, 100_001, 200_000)
class EndsWellWhenShort(Body):
    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        return super().deliver(consumer).addErrback(lambda _: None)


@bent(LIES, 99_999, 30_000)
class BringsMoreThanWasSaid(Between):
    def unregisterProducer(self) -> None:
        self.write(b"more")
        super().unregisterProducer()


@bent("_whatever_the_offset", (5000, 100))
class RoundsTheOffset(Fetcher):
    """To where its pieces begin."""

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        def rounded(start: int) -> int:
            return start if start < 4096 else start // 4096 * 4096

        return super().open(source, span and Span(rounded(span.start), span.stop), same_as)


LEFT = "test_close_leaves_no_more_than_a_download_that_went_well"


@bent(LEFT)
class LeavesATimerWhenClosed(Fetcher):
    def close(self) -> Deferred[None]:
        self.leak()
        return super().close()


@bent(LEFT)
class NeverSaysThatItIsClosed(Fetcher):
    def close(self) -> Deferred[None]:
        return Deferred()
