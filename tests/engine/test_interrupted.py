"""Who ends a download from the side, and who is blamed for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from pulp_dl import Remote, Report, Source, Timeouts
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import ConsumerFailed, ConsumerGone, DigestMismatch, DownloadError, NotFound, TimedOut, Truncated
from pulp_dl.interfaces import ICheck, IExpectation, IResumable, IWorkerUser
from pulp_dl.model.expect import Digest
from pulp_dl.model.source import Head, Kept, Span
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder, RewindableRecorder

from .by_hand import URL, Answers, body, head

PIECE = bytes(range(200)) * 5


class Case:
    """One download, on a clock that the test moves."""

    def __init__(self, scheme: Any, source: Source | str, consumer: Any, mirrors: Any = None, **remote: Any) -> None:
        self.clock = Clock()
        self.downloader = Downloader(self.clock, Remote(**remote), mirrors=mirrors, schemes=[scheme])
        self.ends: list[Any] = []
        self.running = self.downloader.download(source, consumer)
        self.running.addBoth(self.ends.append)

    def error(self) -> DownloadError:
        """What it failed with, without another turn of the clock."""
        assert isinstance(self.ends[0], Failure)
        error = self.ends[0].value
        assert isinstance(error, DownloadError)
        assert self.clock.getDelayedCalls() == []
        return error


def broken() -> Answers:
    """A body that breaks after two pieces, the second of which comes after a pause; then the rest."""
    return Answers(
        body(head(3000), PIECE, PIECE, error=Truncated(2000, 3000)), body(head(3000, Span(2000, 3000)), PIECE)
    )


# ---- between two attempts


def test_promise_5_a_consumer_that_stops_between_two_attempts_ends_the_download_at_once() -> None:
    consumer = Recorder()
    answers = broken()
    case = Case(answers, URL, consumer)

    consumer.producer.stopProducing()

    assert isinstance(case.error(), ConsumerGone)
    assert len(answers.asked) == 1
    assert consumer.failure is not None


def test_promise_9_a_consumer_that_raises_between_two_attempts_ends_the_download_at_once() -> None:
    consumer = Recorder(pause_after=1, raises={"write": OSError("disk")}, raise_at=2)
    case = Case(broken(), URL, consumer)

    consumer.resume()

    assert isinstance(case.error(), ConsumerFailed)
    assert isinstance(case.error().__cause__, OSError)
    assert consumer.data == PIECE


# ---- from inside of what the engine calls


def test_promise_5_a_consumer_that_is_gone_while_it_rewinds_ends_the_download_at_once() -> None:
    class Leaving(RewindableRecorder):
        def rewind(self, head: Head) -> None:
            super().rewind(head)
            self.leave()

    memory = MemoryFetcher({URL: [Place(PIECE, None, drop_at=500), Place(PIECE, None, stall_at=500)]})
    case = Case(MemoryScheme(memory), URL, Leaving())
    case.clock.advance(1)

    assert isinstance(case.error(), ConsumerGone)
    assert memory.running == 0


def test_a_consumer_that_stops_at_the_held_back_piece_is_gone() -> None:
    class Stopping(Recorder):
        def write(self, data: bytes) -> None:
            super().write(data)
            self.producer.stopProducing()

    right = Digest("sha256", hashlib.sha256(PIECE).hexdigest())
    case = Case(MemoryScheme(MemoryFetcher({URL: Place(PIECE)})), Source(URL, right), Stopping())

    assert isinstance(case.error(), ConsumerGone)


class Quits(Recorder):
    """Ends it from inside of its first write."""

    running: Deferred[Any]

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.writes) == 1:
            self.quit()

    def quit(self) -> None:
        if self.how == "cancel":
            self.running.cancel()
        elif self.how == "leave":
            self.leave()
        else:
            self.producer.stopProducing()


HOW = pytest.mark.parametrize(
    ("how", "error"), [("cancel", CancelledError), ("leave", ConsumerGone), ("stop", ConsumerGone)]
)


class Later(Case):
    """What comes is there at once, but only when the caller has the Deferred."""

    def __init__(self, places: dict[str, Any], source: Source | str, consumer: Quits) -> None:
        found: Deferred[list[Source]] = Deferred()

        class Listed:
            def locate(self, source: Source, direct: object) -> Deferred[list[Source]]:
                return found

            def record(_, attempt: object) -> None:
                self.told()

        self.memory = MemoryFetcher(places)
        super().__init__(MemoryScheme(self.memory), source, consumer, Listed())
        consumer.running = self.running
        assert not self.ends
        found.callback([Source(url) for url in places])
        assert self.clock.getDelayedCalls() == []

    def told(self) -> None:
        """Of an attempt."""


@HOW
def test_promise_5_nothing_more_is_written_to_who_ended_it_in_a_write(how: str, error: type[Exception]) -> None:
    """However much is there already."""
    consumer = Quits(how)
    case = Later({URL: Place(PIECE * 50, chunk=1000)}, URL, consumer)

    assert case.ends[0].check(error)
    assert len(consumer.writes) == 1
    assert consumer.failure is not None


@HOW
def test_promise_5_nobody_else_is_asked_when_the_body_breaks_off_in_the_turn_in_which_it_was_ended(
    how: str, error: type[Exception]
) -> None:
    consumer = Quits(how)
    other = "memory://b/file"
    case = Later({URL: Place(PIECE * 50, chunk=1000, drop_at=9000), other: Place(PIECE * 50)}, URL, consumer)

    assert case.ends[0].check(error)
    assert case.memory.urls() == [URL]
    assert len(consumer.writes) == 1


def test_promise_5_nobody_is_asked_after_a_cancel_by_who_is_told_of_an_attempt() -> None:
    class Telling(Later):
        def told(self) -> None:
            self.running.cancel()

    case = Telling({URL: Place(error=lambda: NotFound(404)), "memory://b/file": Place(PIECE)}, URL, Quits("cancel"))

    assert case.ends[0].check(CancelledError)
    assert case.memory.urls() == [URL]


@HOW
@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("moment", ["registerProducer", "write"])
def test_promise_5_it_may_be_ended_as_soon_as_the_held_back_piece_could_be_given(
    moment: str, pauses: bool, how: str, error: type[Exception]
) -> None:
    class AtOnce(Quits):
        def registerProducer(self, producer: Any, streaming: bool) -> None:
            super().registerProducer(producer, streaming)
            if moment == "registerProducer":
                if pauses:
                    producer.pauseProducing()
                self.quit()

    consumer = AtOnce(how)
    case = Later({URL: Place(PIECE)}, Source(URL, Digest("sha256", hashlib.sha256(PIECE).hexdigest())), consumer)

    assert case.ends[0].check(error)
    assert len(consumer.writes) == (moment == "write")
    assert consumer.failure is not None


def test_a_client_that_leaves_after_the_end_does_not_cancel_what_the_caller_does_next() -> None:
    consumer = Recorder()
    memory = MemoryFetcher({URL: Place(PIECE, silent=True)})
    case = Case(MemoryScheme(memory), URL, consumer)
    following: Deferred[None] = Deferred()
    case.running.addCallback(lambda _: following)
    ends: list[Any] = []
    following.addErrback(ends.append)
    memory.release()

    consumer.leave()

    assert isinstance(case.ends[0], Report)
    assert ends == []


# ---- what is told of it


def test_promise_9_the_cause_of_a_consumer_that_failed_is_kept() -> None:
    error = ConsumerFailed("the disk is full")
    error.__cause__ = OSError(28, "No space left on device")
    consumer = Recorder()
    case = Case(MemoryScheme(MemoryFetcher({URL: Place(PIECE, silent=True)})), URL, consumer)

    consumer.leave(error)

    assert case.error() is error
    assert isinstance(error.__cause__, OSError)


def test_promise_9_an_attempt_that_was_interrupted_is_not_told_as_one_that_went_well() -> None:
    memory = MemoryFetcher({URL: Place(PIECE, silent=True)})
    case = Case(MemoryScheme(memory), URL, Recorder(), timeouts=Timeouts(total=3))
    case.clock.advance(3)

    error = case.error()
    assert isinstance(error, TimedOut)
    assert [each.error for each in error.attempts] == [error]


@pytest.mark.parametrize("kind", [DigestMismatch, NotFound, ConsumerFailed])
def test_promise_9_every_error_carries_a_url(kind: type[DownloadError]) -> None:
    class Nowhere:
        def locate(self, source: Source, direct: object) -> list[Source]:
            return []

        def record(self, attempt: object) -> None: ...

    consumer = Recorder(raises={"finish": OSError()} if kind is ConsumerFailed else None)
    expect = Digest("md5", "0" * 32) if kind is DigestMismatch else ()
    mirrors = Nowhere() if kind is NotFound else None
    case = Case(MemoryScheme(MemoryFetcher({URL: Place(PIECE)})), Source(URL, expect), consumer, mirrors)
    case.clock.pump([60] * 10)

    assert isinstance(case.error(), kind)
    assert case.error().url == URL


# ---- plugins that raise


@pytest.mark.parametrize("method", ["use", "kept", "gone"])
def test_promise_9_what_a_consumer_raises_before_the_first_byte_is_a_download_error(method: str) -> None:
    class Strange(RewindableRecorder):
        def use(self, workers: object) -> None:
            self._raise("use")

        def kept(self) -> Deferred[Kept | None]:
            self._raise("kept")
            return succeed(None)

        def gone(self) -> Deferred[DownloadError]:
            self._raise("gone")
            return super().gone()

    consumer = Strange(raises={method: LookupError()})
    alsoProvides(consumer, IResumable, IWorkerUser)
    case = Case(MemoryScheme(MemoryFetcher({URL: Place(PIECE)})), URL, consumer)

    assert isinstance(case.error(), ConsumerFailed)
    assert isinstance(case.error().__cause__, LookupError)
    assert consumer.failure is not None


@pytest.mark.parametrize("method", ["start", "update", "verify"])
def test_a_check_that_raises_is_no_places_fault_and_costs_no_other_attempt(method: str) -> None:
    def fault(name: str) -> None:
        if name == method:
            raise ZeroDivisionError

    @implementer(ICheck)
    class Check:
        def update(self, data: bytes) -> None:
            fault("update")

        def verify(self) -> dict[str, object]:
            fault("verify")
            return {}

    @implementer(IExpectation)
    class Expect:
        enforced, partial = True, False

        def start(self) -> Check:
            fault("start")
            return Check()

    memory = MemoryFetcher({URL: Place(PIECE)})
    case = Case(MemoryScheme(memory), Source(URL, Expect()), RewindableRecorder())

    assert isinstance(case.error(), ConsumerFailed)
    assert isinstance(case.error().__cause__, ZeroDivisionError)
    assert len(memory.asked) == 1


def raises(source: Source) -> Any:
    raise LookupError


def leaves(source: Source) -> Any:
    raise SystemExit(0)


@pytest.mark.parametrize("found", [raises, leaves, lambda _: None, lambda source: [source.url]])
def test_promise_9_what_a_mirror_list_raises_is_a_download_error(found: Callable[[Source], Any]) -> None:
    class Strange:
        def locate(self, source: Source, direct: object) -> Any:
            return found(source)

        def record(self, attempt: object) -> None: ...

    case = Case(MemoryScheme(MemoryFetcher({URL: Place(PIECE)})), URL, Recorder(), Strange())

    assert case.error().url == URL
    assert case.error().__cause__ is not None


def test_a_mirror_list_that_raises_when_it_is_closed_does_not_undo_a_download(logged_errors: Any) -> None:
    class Strange:
        def locate(self, source: Source, direct: object) -> Iterator[Source]:
            try:
                yield source
            finally:
                raise LookupError

        def record(self, attempt: object) -> None: ...

    case = Case(MemoryScheme(MemoryFetcher({URL: Place(PIECE)})), URL, Recorder(), Strange())

    assert isinstance(case.ends[0], Report)
    assert logged_errors.flush(LookupError)
