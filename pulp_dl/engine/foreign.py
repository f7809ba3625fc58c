"""What plugins may raise, and is a fault of theirs."""

from __future__ import annotations

from typing import Final

__all__ = ["FAULTS"]

FAULTS: Final = (Exception, SystemExit)
"""
Whoever is asked for a place, or for a body, does not end the process; and the exit code of C{SystemExit} would say that
all went well.  C{KeyboardInterrupt} is the user's; what the caller itself passes (a generator, a consumer) may do what
it likes.
"""
