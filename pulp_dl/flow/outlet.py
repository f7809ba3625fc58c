"""The consumer's side of the pipe: its calls in their order, and what it raises in our words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import ConsumerFailed, ConsumerGone, DownloadError
from ..interfaces import IBodyConsumer, IRewindable
from ..model.source import Head
from .claims import Claimant, InUse, tell_failed
from .unhurried import unhurried

__all__ = ["Outlet", "in_our_words", "refuse", "unfinished", "why_gone"]

log = Logger()
T = TypeVar("T")


class Outlet(Claimant):
    """
    One consumer, for one download; it is claimed before it is told anything.

    @ivar given: bytes that it has been given and not been told to forget.
    @ivar head: the head it was given, or None before C{begin}.
    """

    given = 0
    head: Head | None = None
    _registered = False
    _beginning = False

    def __init__(self, consumer: IBodyConsumer, producer: IPushProducer) -> None:
        self._consumer = consumer
        self._producer = producer
        self.rewindable = IRewindable.providedBy(consumer)

    def begin(self, head: Head) -> None:
        """
        Bytes are about to be released: give it their head, unless it has one, and a producer that it may pause, or
        stop, at once.

        @raise ConsumerFailed: it raised.
        """
        if self.head is not None:
            return
        self.head = head
        self._beginning = True
        try:
            self._consumer.begin(head)
            self._register()
        except DownloadError:
            raise
        except Exception as error:
            raise _failed(error) from error
        finally:
            self._beginning = False

    def _register(self) -> None:
        if self._beginning:
            self._beginning = False
            self._registered = True
            self._consumer.registerProducer(self._producer, True)

    def give(self, data: bytes, head: Head) -> None:
        """
        Release bytes; the first ones bring their head, if that has not come before.

        @raise ConsumerFailed: it raised.
        """
        if self.head is None:
            self.begin(head)
        self.given += len(data)
        try:
            self._consumer.write(data)
        except DownloadError:
            raise
        except Exception as error:
            raise _failed(error) from error

    def rewind(self, head: Head) -> None:
        """
        It has to forget all, and another head holds.

        @raise ConsumerFailed: it raised, or is none that can forget.
        """
        consumer = self._consumer
        if not IRewindable.providedBy(consumer):
            raise ConsumerFailed("the body begins again, and the consumer cannot forget what it has")
        self.begin(head)  # it may hold bytes of an earlier run, and nothing else
        self._call(lambda: consumer.rewind(head))
        self.head, self.given = head, 0

    def end(self, head: Head) -> Deferred[None] | None:
        """All has been given: have it made last.  What is returned must not be cancelled."""
        if self.head is None:
            self.begin(head)
        self._unregister()
        ending = self._call(self._consumer.finish)
        if ending is not None and not isinstance(ending, Deferred):
            kind = type(ending).__name__
            raise ConsumerFailed(f"the consumer's finish() returned a {kind}; a Deferred is needed, or None")
        return ending

    async def finish(self, head: Head) -> Head:
        """C{end}, and wait for it, whoever cancels meanwhile.  Returns the head that it was given."""
        ending = self.end(head)
        if ending is not None:
            try:
                await unhurried(ending)
            except DownloadError:
                raise
            except Exception as error:
                raise unfinished(error) from error
        return self.head or head

    def fail(self, error: BaseException) -> None:
        """There will be no more.  What another download uses does not hear of it.  Never raises."""
        try:
            self.claim()
        except InUse as used:
            error = used
        # Who leaves inside of its begin() has been given no producer yet; it is, so that the order holds.
        for end in (self._register, self._unregister, lambda: tell_failed(self._consumer, Failure(error))):
            try:
                end()
            except Exception:
                log.failure("a consumer raised in fail()")
        self.release()

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self._call(self._consumer.unregisterProducer)

    @staticmethod
    def _call(method: Callable[[], T]) -> T:
        try:
            return method()
        except DownloadError:
            raise
        except Exception as error:
            raise _failed(error) from error


def refuse(consumer: IBodyConsumer, error: BaseException) -> Failure:
    """Nothing is asked for: tell the consumer, and whoever wants it."""
    Outlet(consumer, None).fail(error)  # type: ignore[arg-type]  # it will have no producer
    return Failure(error)


def _failed(error: BaseException | None) -> ConsumerFailed:
    return ConsumerFailed(f"the consumer raised {type(error).__name__}: {error}")


def unfinished(error: BaseException | None) -> DownloadError:
    """What a consumer's C{finish} failed with; nobody cancels that."""
    if isinstance(error, DownloadError):
        return error
    failed = _failed(error)
    failed.__cause__ = error
    return failed


def why_gone(fired: object) -> DownloadError:
    """What a consumer's C{gone} fired with, or failed, though it should not: it can take no more, whatever this is."""
    error = fired.value if isinstance(fired, Failure) else fired
    if isinstance(error, DownloadError):
        return error
    gone = ConsumerGone(f"the consumer can take no more: {type(error).__name__}: {error}")
    gone.__cause__ = error if isinstance(error, BaseException) else None
    return gone


class _InOurWords:
    """What a consumer raises in here is L{ConsumerFailed}."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, DownloadError | CancelledError):
            raise _failed(error) from error


in_our_words: Final = _InOurWords()
