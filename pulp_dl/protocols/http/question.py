"""What is asked of one place, and what may lie between a request and its answer: redirects and a login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...errors import DownloadError
from ...model.headers import Pairs
from ...model.source import Head, Source, Span, Validators
from .answer import Answer
from .body import Body
from .fields import wanted
from .judge import announced, judge, make_head
from .redirect import REDIRECTS, Trail

if TYPE_CHECKING:
    from .fetcher import HTTPFetcher

__all__ = ["Question"]

HINTS: Final = frozenset({b"link", b"digest", b"repr-digest"})
"""What a redirect may tell of the file that it leads to (RFC 6249)."""


class Question:
    """
    Asked once: follows where it is led, logs in where it has to.

    Callbacks, not a coroutine: each download has one of these, and a coroutine costs more than all the rest of it.
    """

    __slots__ = (
        "_asked",
        "_challenged",
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
        self._challenged = False
        self._hints: Pairs = ()

    def ask(self) -> Deferred[Body]:
        """
        Fires with the body that was found; fails with L{DownloadError}; cancelling aborts.

        @raise DownloadError: there is nobody who may be asked.
        """
        turn = self._fetcher.turn
        return self._ask() if turn is None else turn().addCallback(lambda _: self._ask())

    def _ask(self) -> Deferred[Body]:
        trail = self._trail
        self._url = url = str(trail.place)
        self._login = login = self._fetcher.login(self._method, url, trail, self._source)
        if login is None:
            return self._send(())
        return Deferred.fromCoroutine(login.authorize()).addCallback(self._send)

    def _send(self, credentials: Pairs) -> Deferred[Body]:
        trail = self._trail
        fields = self._fetcher.fields.select(self._source, credentials, self._asked, inside=trail.inside)
        answer = self._fetcher.client(trail).request(self._method, self._url, fields)
        return answer.addCallback(self._answered)

    def _answered(self, answer: Answer) -> Body | Deferred[Body]:
        trail, status = self._trail, answer.status
        if status in REDIRECTS:
            # Its slot is back before the next request takes one.
            answer.abandon()
            trail.follow(answer.pairs)
            if any(name.lower() in HINTS for name, _ in answer.pairs):
                self._hints += tuple(pair for pair in answer.pairs if pair[0].lower() in HINTS)
                return self.ask().addErrback(self._hinted)
            return self.ask()
        try:
            length = announced(answer.pairs) if self._method == "HEAD" else answer.length
            head = make_head(self._url, status, answer.pairs, length)
            if status == 401 and self._login is not None and not self._challenged:
                self._challenged = True
                answer.abandon()
                again = Deferred.fromCoroutine(self._login.challenged(head))
                return again.addCallback(lambda worth: self.ask() if worth else self._judged(head, answer))
            return self._judged(head, answer)
        except BaseException:
            answer.abandon()
            raise

    def _judged(self, head: Head, answer: Answer) -> Body:
        fetcher = self._fetcher
        if self._hints:
            head = evolve(head, hints=self._hints)
        judge(
            head,
            self._span,
            conditions=bool(self._source.conditions),
            proxied=fetcher.remote.proxy_for(self._trail.place) is not None,
            now=fetcher.reactor.seconds(),
        )
        return Body(fetcher, head, answer, public=not self._trail.inside)

    def _hinted(self, failure: Failure) -> Failure:
        """Whoever redirects us to a place that fails may have told of others."""
        if isinstance(failure.value, DownloadError):
            failure.value.hints = self._hints
        return failure
