"""
Which consumers are in use: one has the bytes of one download at a time.

Two that wrote to one consumer would both end well, with a file of neither; and what fails for one would be taken back
from the other.  A consumer cannot tell who calls it, so this is looked at before anybody is told anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from zope.interface import Attribute

from ..errors import ConsumerFailed
from ..interfaces import IBodyConsumer

__all__ = ["Claimant", "IComposite", "InUse", "no_consumer", "tell_failed"]


class IComposite(IBodyConsumer):
    """
    A consumer that hands on to others.  When it is refused because one of those is in use by another download, it hands
    on the failure by L{tell_failed}, so that this one does not hear of it.
    """

    consumers: tuple[IBodyConsumer, ...] = Attribute("Those; they stay the same.")


class InUse(ConsumerFailed):
    """This download is refused: what would take its bytes takes those of another one."""

    def __init__(self, consumers: Collection[Any], how: str = "is in use by another download") -> None:
        """
        @param consumers: those that are in use.
        """
        super().__init__(f"{safe_repr(next(iter(consumers)))} {how}; make one for each")
        self._used = frozenset(map(id, consumers))

    def concerns(self, consumer: object) -> bool:
        """Is it this one?"""
        return id(consumer) in self._used


_users: Final[dict[int, object]] = {}  # by the id of a consumer, which its user keeps: so it is nobody else's


class Claimant:
    """Who gives bytes to one consumer, and has it for himself meanwhile."""

    _consumer: IBodyConsumer
    _claimed: tuple[int, ...] = ()

    def claim(self) -> None:
        """
        From here on nobody else may use it, until C{release}.  May be called again.

        @raise InUse: another download does, or uses something that it hands on to.
        """
        consumer = self._consumer
        if IComposite.providedBy(consumer):
            self._claim(list(_parts(consumer)))
        elif _users.setdefault(id(consumer), self) is self:
            self._claimed = (id(consumer),)
        else:
            raise InUse([consumer])

    def _claim(self, parts: list[Any]) -> None:
        used = [each for each in parts if _users.get(id(each), self) is not self]
        if used:
            raise InUse(used)
        ids = tuple(dict.fromkeys(map(id, parts)))
        if len(ids) < len(parts):
            twice = [each for at, each in enumerate(parts) if any(each is before for before in parts[:at])]
            raise InUse(twice, "would get everything twice")
        _users.update(dict.fromkeys(ids, self))
        self._claimed = ids

    def release(self) -> None:
        """It has ended: others may use it.  May be called again."""
        for each in self._claimed:
            del _users[each]
        self._claimed = ()


def no_consumer(name: str, value: object) -> TypeError:
    """What to raise for this value in the field, or argument, of that name."""
    kind = type(value).__name__
    return TypeError(f"{name}: {kind} is no IBodyConsumer; use ToFile(path), ToMemory() or your own")


def tell_failed(consumer: IBodyConsumer, failure: Failure) -> None:
    """Its C{fail}, unless the reason is that another download uses it, which goes on."""
    if not (isinstance(failure.value, InUse) and failure.value.concerns(consumer)):
        consumer.fail(failure)


def _parts(consumer: IBodyConsumer) -> Iterator[IBodyConsumer]:
    """All that it is made of, and then itself."""
    for each in consumer.consumers if IComposite.providedBy(consumer) else ():
        yield from _parts(each)
    yield consumer
