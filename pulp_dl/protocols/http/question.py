"""What is asked of one place, and what may lie between a request and its answer: redirects and a login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...errors import DownloadError, ProxyFailed
from ...flow.steady import wall
from ...model.headers import Pairs
from ...model.source import Head, Source, Span, Validators
from ...urls import shown
from ..spaces import Space
from .answer import Answer
from .body import Body
from .fields import wanted
from .judge import announced, judge, make_head
from .redirect import REDIRECTS, Trail

if TYPE_CHECKING:
    from .fetcher import HTTPFetcher

__all__ = ["Question"]

T = TypeVar("T")

HINTS: Final = frozenset({b"link", b"digest", b"repr-digest"})
"""What a redirect may tell of the file that it leads to (RFC 6249)."""


class Question:
    """
    Asked once: follows where it is led, logs in where it has to.

    Callbacks, not a coroutine: each download has one of these, and a coroutine costs more than all the rest of it.
    Whatever it waits for is among what is running of the fetcher, by itself.
    """

    __slots__ = (
        "_asked",
        "_asking",
        "_chances",
        "_fetcher",
        "_hints",
        "_login",
        "_method",
        "_source",
        "_span",
        "_trail",
        "_url",
    )

    def __init__(
        self, fetcher: HTTPFetcher, method: str, source: Source, span: Span | None, same_as: Validators | None
    ) -> None:
        fetcher.fields.check(source)
        if same_as is not None and same_as.if_range is None:
            span = None  # nobody could prove that a part is one of the same file
        self._fetcher = fetcher
        self._method = method
        self._source = source
        self._span = span
        self._asked = wanted(source.conditions, span, same_as)
        self._trail = Trail(fetcher.remote, source)
        self._chances = 2
        self._hints: Pairs = ()

    def ask(self) -> Deferred[Body]:
        """
        Fires with the body that was found; fails with L{DownloadError}; cancelling aborts.

        @raise DownloadError: there is nobody who may be asked.
        """
        turn = self._fetcher.turn
        return self._ask() if turn is None else self._wait(turn()).addCallback(lambda _: self._ask())

    def _wait(self, deferred: Deferred[T]) -> Deferred[T]:
        return self._fetcher.running.add(deferred)

    def _ask(self) -> Deferred[Body]:
        trail = self._trail
        if trail.home is not None:
            return self._wait(self._fetcher.homes.space(trail.home)).addCallback(self._begin_at)
        place, source = trail.place, self._source
        self._url = url = source.url if place is source.place else str(place)
        self._login = login = self._fetcher.login(self._method, url, trail)
        if login is None:
            return self._send(())
        return self._wait(Deferred.fromCoroutine(login.authorize())).addCallback(self._send)

    def _begin_at(self, space: Space) -> Deferred[Body]:
        self._trail.begin_at(space)
        return self._ask()

    def _send(self, credentials: Pairs) -> Deferred[Body]:
        trail, cookies = self._trail, self._fetcher.cookies
        if cookies is not None and trail.inside:
            trail.cookies = cookies.fields(trail.place)
            credentials = (*trail.cookies, *credentials)
        fields = self._fetcher.fields.select(self._source, credentials, self._asked, inside=trail.inside)
        self._asking = asking = self._fetcher.client(trail).request(self._method, self._url, fields)
        self._fetcher.running.begin(asking)
        return asking.addCallbacks(self._answered, self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._fetcher.running.end(self._asking)
        return failure

    def _answered(self, answer: Answer) -> Body | Deferred[Body]:
        self._fetcher.running.end(self._asking)
        trail, login, status = self._trail, self._login, answer.status
        try:
            if trail.named or trail.place is self._source.place:
                self._fetcher.homes.learn(trail.place, answer.address)
            if self._fetcher.cookies is not None and trail.inside:
                self._fetcher.cookies.keep(trail.place, answer.pairs)
            if status in REDIRECTS:
                return self._led(answer)
            length = announced(answer.pairs) if self._method == "HEAD" else answer.length
            head = make_head(self._url, status, answer.pairs, length)
            if login is not None:
                if status == 401 and self._chances:
                    # Credentials that were refused are replaced once.  Who had none to send has not been refused yet.
                    self._chances = 1 if login.bare and self._chances == 2 else 0
                    answer.abandon()
                    again = self._wait(Deferred.fromCoroutine(login.challenged(head)))
                    return again.addCallback(lambda worth: self.ask() if worth else self._judged(head, answer))
                if status != 401 and login.hears is not None:
                    login.answered(head)
            return self._judged(head, answer)
        except BaseException:
            answer.abandon()
            raise

    def _led(self, answer: Answer) -> Deferred[Body]:
        trail, login, pairs = self._trail, self._login, answer.pairs
        answer.abandon()  # its slot is back before the next request takes one
        if login is not None and login.hears is not None:
            login.answered(make_head(self._url, answer.status, pairs, answer.length))
        trail.follow(pairs, self._fetcher.space_of_peer(trail.place, answer), self._fetcher.cookies)
        self._chances = 2
        if any(name.lower() in HINTS for name, _ in pairs):
            self._hints += tuple(pair for pair in pairs if pair[0].lower() in HINTS)
            return self.ask().addErrback(self._hinted)
        return self.ask()

    def _judged(self, head: Head, answer: Answer) -> Body:
        fetcher = self._fetcher
        if self._hints:
            head = evolve(head, hints=self._hints)
        if head.status != 200:
            judge(head, self._span, conditions=bool(self._source.conditions), now=wall(fetcher.reactor))
        return Body(fetcher, head, answer, public=not self._trail.inside)

    def behind(self, failure: Failure) -> Failure:
        """If a proxy is to blame, this is the one that leads to where the trail has come to."""
        error = failure.value
        if isinstance(error, ProxyFailed) and error.gate is None:  # else it was another question's: for a token
            proxy = self._fetcher.remote.proxy_for(self._trail.place)
            if proxy is not None:
                error.gate = shown(proxy.url)
        return failure

    def _hinted(self, failure: Failure) -> Failure:
        """Whoever redirects us to a place that fails may have told of others."""
        if isinstance(failure.value, DownloadError):
            failure.value.hints = self._hints
        return failure
