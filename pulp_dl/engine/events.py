"""
What a download tells while it goes on: of attempts that failed or were outrun, of waits, and of fewer connections.

Through Twisted's log, so that it is seen wherever a program's log goes, also when the download ends well after all.
The fields of an event are plain values, masked where they come from: an observer may write all of them.
"""

from __future__ import annotations

from twisted.logger import Logger

from ..errors import DownloadError
from ..model.report import Attempt
from ..urls import shown

__all__ = ["tell_failed", "tell_outrun", "tell_pace", "tell_wait"]

log = Logger("pulp_dl")


def tell_failed(attempt: Attempt, error: DownloadError) -> None:
    """An attempt has failed; there may be others."""
    log.info(
        "attempt failed: {url}: {phase}: {error}: {cause} ({received} bytes from {offset} in {seconds:.2f} s)",
        event="attempt_failed",
        url=attempt.url,
        phase=attempt.phase,
        error=type(error).__name__,
        cause=error.message,
        status=attempt.status if attempt.status is not None else getattr(error, "status", None),
        offset=attempt.offset,
        received=attempt.received,
        seconds=attempt.seconds,
    )


def tell_outrun(attempt: Attempt) -> None:
    """Two places were asked, and this one was not the first to answer."""
    log.debug(
        "outrun after {seconds:.2f} s: {url}: another place was first to answer",
        event="outrun",
        url=attempt.url,
        seconds=attempt.seconds,
    )


def tell_pace(url: str, connections: int) -> None:
    """A host has complained."""
    log.debug(
        "no more than {connections} connections to {url} for now: it says that there are too many",
        event="fewer_connections",
        url=url,
        connections=connections,
    )


def tell_wait(seconds: float, error: DownloadError, url: str) -> None:
    """The next round comes after so many seconds; this made it necessary, and was there if it does not say where."""
    log.debug(
        "waiting {seconds:.1f} s before another try: {url}: {cause}",
        event="waiting",
        url=error.url or shown(url),
        cause=error.message,
        seconds=seconds,
    )
