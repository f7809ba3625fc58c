"""A body that was asked for, and who has to see to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from zope.interface import implementer

from ...interfaces import IBody
from ...model.source import Head
from .answer import Answer

if TYPE_CHECKING:
    from .fetcher import HTTPFetcher

__all__ = ["Body"]


@implementer(IBody)
class Body:
    """The fetcher keeps it until it is delivered or abandoned."""

    __slots__ = ("_answer", "_fetcher", "head", "public", "url")

    def __init__(self, fetcher: HTTPFetcher, head: Head, answer: Answer, *, public: bool) -> None:
        self.head = head
        self.url = head.url
        self.public = public
        self._answer = answer
        self._fetcher = fetcher
        fetcher.bodies.add(self)

    def deliver(self, consumer: IConsumer) -> Deferred[None]:
        self._fetcher.bodies.discard(self)
        return self._fetcher.running.add(self._answer.deliver(consumer))

    def abandon(self) -> None:
        self._fetcher.bodies.discard(self)
        self._answer.abandon()
