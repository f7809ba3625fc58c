"""
Adaptive concurrency: a host that says that we are too many gets fewer connections, and more again when it does well.

Additive increase, multiplicative decrease, as TCP shares a line (RFC 5681).  It begins at the limit, and of a host that
never complains nothing is known here: it is never kept waiting.  What complains is told by what attempts end with; of
several that were under way at once it is one complaint.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.error import ConnectionLost

from ..errors import DownloadError, Unavailable
from ..flow.timers import Clock
from ..model.remote import Remote
from ..model.report import Attempt
from ..urls import URL, InvalidURL, parse
from .events import tell_pace
from .schemes import gate
from .slots import Slots

__all__ = ["WINDOW", "Pace"]

WINDOW: Final = 1.0
"""Seconds after which there may be one more, if there were as many good answers as there may be connections."""

MOST: Final = 64
"""Hosts that are known to have complained; the one that did so longest ago is forgotten."""

TOO_MANY: Final = frozenset({421, 429, 503, 530})
"""Of these, 421 and 530 are FTP's; there is a 530 of another meaning, which is not C{Unavailable}."""


class _Host:
    """
    @ivar most: sockets that it may have.
    @ivar earlier: attempts that were under way C{then}, when these became fewer: what they end with tells nothing new.
    @ivar good: attempts that went well since C{since}.
    """

    __slots__ = ("earlier", "good", "most", "since", "then")

    def __init__(self, most: int, earlier: int, since: float) -> None:
        self.most = most
        self.earlier = earlier
        self.good = 0
        self.since = self.then = since


class Pace:
    """That of one Downloader."""

    def __init__(self, slots: Slots, per_host: int, clock: Clock) -> None:
        """
        @param per_host: the limit, which is never exceeded.
        """
        self._slots = slots
        self._per_host = per_host
        self._clock = clock
        self._hosts: dict[object, _Host] = {}

    def heard(self, attempt: Attempt, remote: Remote) -> None:
        """
        This is what an attempt has ended with.

        @param remote: the one that it was made for.
        """
        error = attempt.error
        said, reset = (False, False) if error is None else (_says_so(error), _was_reset(error))
        if not (self._hosts or said or reset):
            return
        place = _answered(attempt)
        if remote.proxy_for(place) is not None:
            return  # its sockets lead to the proxy, and others behind that may do well
        host = gate(place, remote)
        known = self._hosts.get(host)
        if known is not None and known.earlier and self._clock.seconds() - attempt.seconds < known.then:
            known.earlier -= 1  # some of these may go on for long, while others that are asked later tell something
        elif said or (reset and self._slots.busy(host)):  # a connection that was alone was not one of too many
            self._fewer(host, place)
        elif known is not None and error is None and attempt.head is not None:
            self._well(host, known)

    def _fewer(self, host: object, place: URL) -> None:
        busy = self._slots.busy(host)
        most = max(1, min(self._slots.most(host), busy) // 2)
        self._hosts.pop(host, None)
        self._hosts[host] = _Host(most, max(0, busy - 1), self._clock.seconds())
        self._slots.allow(host, most)
        if most < busy:
            tell_pace(place.base, most)
        if len(self._hosts) > MOST:
            self._forget(next(iter(self._hosts)))

    def _well(self, host: object, known: _Host) -> None:
        known.good += 1
        now = self._clock.seconds()
        if known.good < known.most or now - known.since < WINDOW:
            return
        known.most, known.good, known.since = known.most + 1, 0, now
        self._slots.allow(host, known.most)
        if known.most >= self._per_host:
            self._forget(host)

    def _forget(self, host: object) -> None:
        del self._hosts[host]
        self._slots.allow(host, self._per_host)


def _says_so(error: DownloadError) -> bool:
    return isinstance(error, Unavailable) and error.status in TOO_MANY


def _was_reset(error: DownloadError) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ConnectionLost):
        cause = cause.__cause__
    return cause is not None


def _answered(attempt: Attempt) -> URL:
    """Who has said so: the last of a chain of redirects."""
    error = attempt.error
    url = attempt.head.url if attempt.head is not None else None if error is None else error.url
    try:
        return attempt.source.place if url is None else parse(url)
    except InvalidURL:  # it may be masked beyond recognition
        return attempt.source.place
