"""What plugins may raise, and is a fault of theirs."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import CancelledError

from ..errors import DownloadError

__all__ = ["FAULTS", "given_up"]

FAULTS: Final = (Exception, SystemExit)
"""
Whoever is asked for a place, or for a body, does not end the process; and the exit code of C{SystemExit} would say that
all went well.  C{KeyboardInterrupt} is the user's; what the caller itself passes (a generator, a consumer) may do what
it likes.
"""


def given_up(error: CancelledError, url: str) -> DownloadError:
    """Nobody has cancelled the download of this URL: what it waits for has given up something of its own."""
    failed = DownloadError("what the download waits for was cancelled, and not by the caller", url)
    failed.__cause__ = error
    return failed
