"""What mirrors may do besides, if they can: the engine looks for it.  And how settings come to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.plugin import IPlugin
from zope.interface import Attribute

from ..interfaces import IMirrors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..errors import DownloadError
    from ..interfaces import IExpectation
    from ..model.mirrors import MirrorsSettings
    from ..model.remote import Timeouts
    from ..model.source import Head, Source

__all__ = ["IMirrorsKind", "IScoring", "IVouching"]


class IVouching(IMirrors):
    """Mirrors that can tell what the file has to be, when a place has answered with it."""

    def vouched(source: Source, place: Source, head: Head) -> Iterable[IExpectation]:
        """
        What is known of the whole file, beside what is expected of C{source} already.  Asked when a place has answered
        with a body or, if that is all that is wanted, with a head; before a byte is read, until something was told.
        Then that is expected of this place and of all others.

        Not asked for the rest of a body whose beginning came before something was told.
        """


class IScoring(IMirrors):
    """Mirrors that judge places, and are asked before and while one of them is."""

    hedge: float = Attribute("So many of all requests may be made beside one that takes long to answer; 0: none.")

    def order(places: Iterable[Source]) -> list[Source]:
        """These places, the best first; in the order in which they come, as far as nothing is known of them."""

    def refused(place: Source) -> DownloadError | None:
        """
        Why this place is not to be asked now, or None.  After None C{record} tells what has become of it, always.
        """

    def answered(place: Source, head: Head, seconds: float) -> None:
        """It has answered, after so many seconds; its body has not been read.  Must not raise."""

    def usual(place: Source) -> float:
        """Seconds within which this place answers as a rule; after them another one may be asked beside it."""

    def hurried(place: Source, timeouts: Timeouts) -> Timeouts | None:
        """
        Limits for this place, when there is another one to go to; None: the usual ones.  Each place is hurried once for
        each download at most, so a slow network does not end what would have come slowly.

        @param timeouts: the usual ones.
        """


class IMirrorsKind(IPlugin):
    """A kind of mirrors that the command and the settings can name, found by C{twisted.plugin}."""

    name: str = Attribute("Letters in lower case, digits and hyphens.")

    def mirrors(settings: MirrorsSettings) -> IMirrors:
        """
        Mirrors for one remote.  No reactor runs yet, so nothing is to be asked for.

        @raise ValueError: the settings make no sense; the message says why.
        """
