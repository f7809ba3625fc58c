"""What a consumer may do besides, if it can: the engine looks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..interfaces import IRewindable

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

__all__ = ["IRandomAccess"]


class IRandomAccess(IRewindable):
    """
    A consumer that takes the bytes of one file in any order, and can read them again: a file on a disk.  It does so
    between C{begin} and C{finish} or C{fail}, which hold for all of it.
    """

    def part(start: int) -> IRewindable:
        """
        A consumer for bytes from this offset on, beside what C{write} brings and beside other parts; whoever makes
        them sees to it that no two write the same byte at the same time.  What a part was given stays when it fails,
        and until C{rewind} of the whole.
        """

    def seek(offset: int) -> None:
        """What C{write} brings goes on there; all before is there."""

    def reread(start: int, stop: int, see: Callable[[bytes], object]) -> Deferred[None]:
        """
        Have the bytes between these offsets looked at, as they are when all that came before is written: C{see} gets
        them in order, in a worker thread.

        Fires with None; fails with what C{see} raised, with C{ConsumerFailed}, or with C{CancelledError} if C{fail}
        came meanwhile.  Cancelling stops listening; what is not read then need not be.
        """
