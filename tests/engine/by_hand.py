"""Answers that a test writes by hand: bytes after a pause, a break at any moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from zope.interface import implementer

from pulp_dl.errors import ConnectFailed
from pulp_dl.interfaces import IBody, IFetcher, IScheme
from pulp_dl.model.source import Head, Source, Span, Validators

URL = "memory://a/file"


def head(
    total: int | None = None, span: Span | None = None, *, length: int | None = None, **fields: bytes | None
) -> Head:
    """A 200, or a 206 if there is a span."""
    pairs = {"ETag": b'"1"', **{name.replace("_", "-"): value for name, value in fields.items()}}
    headers = tuple((name.encode("ascii"), value) for name, value in pairs.items() if value is not None)
    if span is None:
        length = total
    return Head(URL, 200 if span is None else 206, headers, length, span, total)


@implementer(IBody)
class HandWritten:
    """A body that C{script} writes, at once and whether it is paused or not."""

    url = URL
    public = False

    def __init__(self, head: Head, script: Callable[[HandWritten], object]) -> None:
        self.head = head
        self._script = script

    def deliver(self, consumer: Any) -> Deferred[None]:
        self.consumer = consumer
        self.done: Deferred[None] = Deferred(lambda _: self.end(CancelledError()))
        consumer.registerProducer(self, True)
        self._script(self)
        return self.done

    def write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.consumer.write(piece)

    def end(self, error: Exception | None = None) -> None:
        if not self.done.called:
            self.consumer.unregisterProducer()
            if error is None:
                self.done.callback(None)
            else:
                self.done.errback(error)

    def abandon(self) -> None:
        pass

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        self.end(CancelledError())


def body(head: Head, *pieces: bytes, error: Exception | None = None) -> HandWritten:
    """A body of these pieces, which then ends, or breaks."""

    def script(written: HandWritten) -> None:
        written.write(*pieces)
        written.end(error)

    return HandWritten(head, script)


@implementer(IFetcher, IScheme)
class Answers:
    """Gives these answers, one after the other; then nothing answers any more."""

    names = ("memory",)

    def __init__(self, *answers: HandWritten | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[Span | None] = []

    def fetcher(self, reactor: Any, remote: Any, shared: Any) -> Any:
        return self

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[Any]:
        self.asked.append(span)
        answer = self._answers.pop(0) if self._answers else ConnectFailed("nothing is there")
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    def head(self, source: Source) -> Deferred[Head]:
        return fail(ConnectFailed("nothing is there"))

    def close(self) -> Deferred[None]:
        return succeed(None)
