"""A right fetcher that is easily bent, and the list of those that are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import implementer

from pulp_dl.interfaces import IBody, IFetcher
from pulp_dl.model.source import Head, Source, Span, Validators
from pulp_dl.testing import MemoryFetcher


@implementer(IBody)
class Body:
    """A right one, to be bent."""

    def __init__(self, fetcher: Fetcher, body: IBody) -> None:
        self.fetcher = fetcher
        self.body = body
        self.head = body.head
        self.url = body.url
        self.public = body.public

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        return self.body.deliver(consumer)

    def abandon(self) -> None:
        self.body.abandon()


@implementer(IFetcher)
class Fetcher:
    """A right one, to be bent.  What a bent one leaves is cleared away in C{undo}."""

    place: dict[str, Any] = {}  # noqa: RUF012  # what its places have in common
    body: type[Body] = Body

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.memory = MemoryFetcher({}, reactor)
        self.undo: list[Callable[[], object]] = []

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return self.memory.open(source, span, same_as).addCallback(lambda body: self.body(self, body))

    def head(self, source: Source) -> Deferred[Head]:
        return self.memory.head(source)

    def close(self) -> Deferred[None]:
        return self.memory.close()

    def leak(self) -> None:
        """Leave a timer."""
        timer = self.reactor.callLater(1000, bool)
        self.undo.append(lambda: timer.active() and timer.cancel())


@implementer(IConsumer, IPushProducer)
class Between(Body):
    """Stands between a body and its consumer."""

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        self.consumer = consumer
        return self.body.deliver(self)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        self.consumer.registerProducer(self, streaming)

    def unregisterProducer(self) -> None:
        self.consumer.unregisterProducer()

    def write(self, data: bytes) -> None:
        self.consumer.write(data)

    def pauseProducing(self) -> None:
        self.producer.pauseProducing()

    def resumeProducing(self) -> None:
        self.producer.resumeProducing()

    def stopProducing(self) -> None:
        self.producer.stopProducing()


BENT: dict[str, tuple[type[Fetcher], str, tuple[Any, ...]]] = {}
T = TypeVar("T", bound=type)


def bent(check: str, *arguments: Any) -> Callable[[T], T]:
    """This one, a fetcher or the body of one, has to be caught by that check, with each of its arguments."""

    def add(cls: T) -> T:
        fetcher = cls if issubclass(cls, Fetcher) else type(cls.__name__, (Fetcher,), {"body": cls})
        alternatives: list[tuple[Any, ...]] = [(argument,) for argument in arguments]
        for each in alternatives or [()]:
            BENT[f"{cls.__name__}, {check}, {each}"] = fetcher, check, each
        return cls

    return add
