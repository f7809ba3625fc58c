"""One source to one consumer, until it is whole and proven, or a reason why not."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from ..errors import (
    BadStatus,
    ConnectFailed,
    DownloadError,
    NotResumable,
    ProtocolError,
    Refused,
    TimedOut,
    ValidationError,
)
from ..flow.joins import Ask
from ..flow.outlet import in_our_words, why_gone
from ..flow.pipe import Pipe
from ..flow.timers import Call
from ..interfaces import IBody, IBodyConsumer, IFetcher, IMirrors, IResumable, IWorkerUser
from ..model.report import Attempt, Report
from ..model.source import Head, Source
from ..urls import shown
from .advice import Advice, advice_of
from .events import tell_failed, tell_outrun
from .foreign import FAULTS, given_up
from .hedge import Hedge
from .places import Candidates
from .question import Question
from .rounds import visit_all
from .schemes import carrier
from .task import Task
from .yielding import Yielding, with_attempt

if TYPE_CHECKING:
    from .shared import Shared

__all__ = ["Download", "Visits"]

log = Logger()
T = TypeVar("T")


class Visits:
    """What a download and the question for a head have in common: attempts are kept, mirrors learn, time is limited."""

    _task: Task[Any] | None = None
    _interruption: DownloadError | CancelledError | None = None
    _timer: Call | None = None
    _attempts: tuple[Attempt, ...] = ()

    def __init__(self, shared: Shared, source: Source, mirrors: IMirrors | None) -> None:
        self._shared = shared
        self._clock = shared.timers
        self._source = source
        self._mirrors = mirrors
        self._advice = None if mirrors is None else advice_of(mirrors, shared, source)
        self._remote = source.remote or shared.remote
        self._retries = self._remote.retries
        self._candidates = Candidates(source, mirrors, shared.direct)
        self._began = self._clock.seconds()

    def _fetcher(self, place: Source) -> IFetcher:
        remote = place.remote or self._remote
        return self._shared.fetcher(carrier(place.place, remote), remote)

    def _begin(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Run it, for no longer than C{Timeouts.total} says."""
        task = Task(coroutine, self._interrupt)
        self._task = task
        task.start()
        if self._task is task:  # else it has come to its end, or is about to
            total = self._remote.timeouts.total
            if total is not None:
                self._timer = self._clock.callLater(total, self._late, total)
        return task

    def _late(self, total: float) -> None:
        self._timer = None
        self._interrupt(TimedOut("total", total, self._source.url))

    def _interrupt(self, error: DownloadError | CancelledError) -> None:
        """End it from the side, with this error."""
        if self._interruption is None:
            self._interruption = error
            if self._task is not None:
                self._task.wake()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.calm()
            self._task = None  # what it has become is the caller's
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._mirrors is not None:
            await self._candidates.close()

    def _reason(self, error: BaseException) -> BaseException:
        """What ended it, with its history: all attempts, and a note for each place."""
        if isinstance(error, CancelledError):
            error = self._interruption or (error if self._shared.closing else given_up(error, self._source.url))
        if isinstance(error, DownloadError):
            mirrors = self._candidates.failure
            if error.attempts or error is mirrors:  # it was another download's, too
                cause, error = error.__cause__, copy(error)
                error.__cause__, error.__notes__ = cause, [*getattr(error, "__notes__", ())]
            if error.url is None:
                error.url = shown(self._source.url)
            error.attempts = self._attempts
            known = getattr(error, "__notes__", ())
            notes = {attempt.url: str(attempt) for attempt in self._attempts if not attempt.outrun}
            if mirrors is not None:
                notes[""] = f"mirrors: {mirrors}"
            for note in notes.values():
                if note not in known:
                    error.add_note(note)
        return error

    def _blame(self, error: BaseException, place: Source) -> DownloadError | None:
        """What an attempt ended with; None if the caller cancelled it."""
        if isinstance(error, DownloadError):
            return error
        if isinstance(error, CancelledError) and (self._interruption is not None or self._shared.closing):
            return self._interruption if isinstance(self._interruption, DownloadError) else None
        # What is not in the tree is the protocol's fault, and this place's.
        return ProtocolError(f"the protocol raised {type(error).__name__}", place.url)

    def _record(self, attempt: Attempt) -> None:
        self._attempts = with_attempt(self._attempts, attempt)
        if attempt.outrun:
            tell_outrun(attempt)
        elif attempt.error is not None:
            tell_failed(attempt, attempt.error)
        if self._shared.pace is not None:
            self._shared.pace.heard(attempt, attempt.source.remote or self._remote)
        if self._mirrors is not None:
            try:
                self._mirrors.record(attempt)
            except FAULTS:
                log.failure("a mirror list raised in record()")


class Download(Visits):
    """Bring it."""

    _pipes: type[Pipe] = Pipe
    # of the current attempt
    _place: Source
    _since = 0.0  # when that was asked first
    _asked = 0.0  # when it was asked last
    _answer: Head | None = None
    _waited: float | None = None  # seconds until it came
    _public = True  # was who answered last shown no secrets?
    _continuing = False  # is some of what the last attempt would have made whole of others?
    _yielding = False  # is it at its end because others need its connection?

    def __init__(self, shared: Shared, source: Source, consumer: IBodyConsumer, mirrors: IMirrors | None) -> None:
        super().__init__(shared, source, mirrors)
        self._consumer = consumer
        self._others = Yielding(shared.slots, self._remote)
        self._hedge: Hedge | None = None
        if self._advice is not None and self._advice.scores:
            self._hedge = Hedge(shared, self._remote, self._candidates, self._advice, self._record, self._blame)
        remote = self._remote
        self._pipe = self._pipes(
            self._clock,
            source,
            consumer,
            shared.workers,
            remote.timeouts,
            remote.limits.max_size,
            self._interrupt,
            shared.valve(remote),
        )

    def start(self) -> Deferred[Report]:
        """Fires with a L{Report}; the contract is C{IDownloader.download}'s."""
        return self._begin(self.run())

    def _interrupt(self, error: DownloadError | CancelledError) -> None:
        if self._task is not None:
            self._pipe.halt()
        super()._interrupt(error)

    async def run(self) -> Report:
        try:
            with in_our_words:
                self._pipe.outlet.claim()
                if IWorkerUser.providedBy(self._consumer):
                    self._consumer.use(self._shared.workers)
                self._consumer.gone().addBoth(lambda fired: self._interrupt(why_gone(fired)))
            if self._interruption is not None:  # so nothing has to be asked for
                raise self._interruption
            if IResumable.providedBy(self._consumer):
                await self._pipe.resume(self._consumer)
            return await visit_all(self._clock, self._retries, self._candidates, self._visit)
        except BaseException as error:
            reason = self._reason(error)
            await self._fail(reason)
            if reason is error:
                raise
            raise reason from reason.__cause__
        finally:
            await self._end()
            # All of them lead back here; a collector would have to find what is forgotten now.
            self._pipe.close()
            del self._pipe, self._consumer, self._hedge

    async def _fail(self, reason: BaseException) -> None:
        """It has ended with this: tell the consumer."""
        self._pipe.fail(reason)

    async def _visit(self, place: Source) -> Report:
        """One place; first the URL there that answered before, then the one that led to it."""
        answered = self._pipe.answered
        if answered is not None and answered != place.url and self._pipe.came_from(place):
            again = evolve(
                place, url=answered, auth=None, scope=place.scope or place.url, public=self._public, found=True
            )
            try:
                return await self._attempt(again)
            except (BadStatus, ConnectFailed, NotResumable, ProtocolError, Refused):
                pass  # it is in the attempts; a signed URL has expired, perhaps
            except ValidationError:
                if not self._continuing:
                    raise
        try:
            return await self._attempt(place)
        except (NotResumable, ValidationError):
            if not self._continuing:
                raise
        # The rest does not fit, or the halves are not one file: the whole, at once, for this place may be a good one.
        return await self._attempt(self._place)  # another one may have been faster than the one that was asked

    async def _attempt(self, place: Source) -> Report:
        """
        One attempt.  It goes on with another connection when the consumer takes more, if others got the one it had.
        """
        while (report := await self._until_yielding(place)) is None:
            place = self._place  # another one may have been faster than the one that was asked
        return report

    async def _until_yielding(self, place: Source) -> Report | None:
        if self._interruption is not None:  # in the same turn as the last attempt came to its end
            raise CancelledError
        pipe, asked = self._pipe, True
        offset = pipe.offset
        failed: DownloadError | None = None
        self._place, self._since = place, self._clock.seconds()
        self._answer = self._waited = None
        self._yielding = yielded = False
        pipe.attempt()
        try:
            if pipe.complete:  # others have brought all of it
                self._continuing = True
                asked = not self._attempts  # who did is in them; an earlier run is not
            else:
                await self._bring(place)
            if self._yielding:
                drained = pipe.valve.drained(open_=True)
                if drained is not None:
                    await drained
                yielded = True
                return None
            head, facts, advisories = await pipe.finish()
        except FAULTS as error:
            failed = self._blame(error, self._place)
            if failed is None or failed is error or self._interruption is not None:
                raise
            raise failed from error
        finally:
            place, seconds = self._place, self._clock.seconds() - self._since
            answer, received = self._answer, pipe.received
            if asked:
                status, opened = None if answer is None else answer.status, pipe.open_seconds
                waited = self._waited
                self._record(
                    Attempt(place, offset, received, seconds, opened, status, failed, waited, answer, yielded=yielded)
                )
        return self._report(head, facts, advisories)

    def _report(self, head: Head, facts: Mapping[str, object], advisories: tuple[ValidationError, ...]) -> Report:
        """It went well: this is what C{Pipe.finish} told."""
        return Report(
            self._source,
            head,
            self._pipe.outlet.given,
            facts,
            advisories,
            self._attempts,
            self._clock.seconds() - self._began,
            self._pipe.validated,
        )

    def _admitted(self, place: Source) -> None:
        """An answer of this place has been taken; its body will be read."""

    async def _bring(self, place: Source) -> None:
        """A body from there, into the pipe."""
        pipe = self._pipe
        ask = pipe.ask(place)
        self._asked = self._clock.seconds()
        self._continuing = ask.continues
        if self._hedge is None:
            body = await self._open(ask, place)
        else:
            body = await self._first(place, ask, self._hedge)
            place = self._place
        self._answer = answer = body.head
        if answer.status == 200:
            self._continuing = False
        # Who has not heard of this attribute gets no secrets for the rest.
        self._public = getattr(body, "public", True)
        try:
            if self._advice is not None:
                await self._heard(self._advice, place, ask, answer)
            self._others.asked(place, ask)
            await pipe.admit(answer, place, ask)
            self._others.admitted(place, answer)
            self._admitted(place)
            if self._interruption is not None:  # by what admit() called
                raise CancelledError
        except BaseException:
            body.abandon()
            raise
        if answer.status in {304, 416}:
            body.abandon()
        else:
            pipe.valve.rested = lambda: self._rested(place)
            try:
                await pipe.take(body)
            except CancelledError:
                if not self._yielding:
                    raise
            finally:
                pipe.valve.rested = None
            if self._interruption is not None:  # by a write of what was there already
                raise CancelledError

    async def _heard(self, advice: Advice, place: Source, ask: Ask, answer: Head) -> None:
        """The mirrors learn of this answer, and may know now what the file has to be."""
        self._waited = self._clock.seconds() - self._asked
        advice.heard(place, answer, self._waited)
        more = advice.vouched(place, answer) if self._pipe.begins(ask, answer) else ()
        if more:
            await self._pipe.expect(more, ask, answer)

    async def _first(self, place: Source, ask: Ask, hedge: Hedge) -> IBody:
        """An answer from there; or from the next place, if that is asked beside it and is first."""
        opens = partial(self._open, ask)
        question = await hedge.ask(place, opens)
        self._put_at(question)
        # What the consumer has was brought by somebody, and a condition is about what somebody has.
        alone = bool(self._pipe.offset or self._pipe.outlet.given or self._source.conditions)
        question = await hedge.first(question, opens, alone=alone)
        self._place = question.place
        self._put_at(question)
        self._pipe.limits = question.limits
        return question.take()

    def _put_at(self, question: Question) -> None:
        """It is this one that is waited for, and it may have been put before, or later."""
        self._asked = self._clock.seconds() - question.seconds
        if self._answer is None:
            self._since = self._asked

    def _open(self, ask: Ask, place: Source) -> Deferred[IBody]:
        if self._attempts:  # a client's conditions are for the first attempt
            place = evolve(place, conditions=())
        return self._fetcher(place).open(place, ask.span, ask.same_as)

    def _rested(self, place: Source) -> None:
        """
        The consumer has not taken anything for some time.  If others wait for a connection, and the rest of this body
        can be asked for, they get the one that it has: else a few slow clients would keep all others out.
        """
        pipe, answer = self._pipe, self._answer
        if (
            self._task is not None
            and answer is not None
            and self._others.due(place, answer, pipe.ask(place), pipe.head)
        ):
            self._yielding = True
            self._task.wake()
