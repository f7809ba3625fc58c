"""One way to limit the time of a Deferred."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..errors import TimedOut
from .timers import Clock

T = TypeVar("T")


def deadline(d: Deferred[T], seconds: float | None, clock: Clock, phase: str, url: str | None = None) -> Deferred[T]:
    """
    Cancel a Deferred that takes too long.

    Fires as C{d} does; fails with L{TimedOut} of this phase once the time ran out, whatever the cancelled Deferred
    made of it.  C{Deferred.addTimeout} translates C{CancelledError} alone, and many of Twisted's Deferreds fail with
    something else when cancelled: DNSLookupError, ConnectingCancelledError.

    @param seconds: None for no limit.
    """
    if seconds is None or (d.called and not d.paused and not isinstance(d.result, Deferred)):
        return d
    late = False

    def expire() -> None:
        nonlocal late
        late = True
        d.cancel()

    call = clock.callLater(seconds, expire)

    def ended(result: T | Failure) -> T | Failure:
        if late:
            if isinstance(result, Failure):
                raise TimedOut(phase, seconds, url) from result.value
        else:
            call.cancel()
        return result

    return d.addBoth(ended)
