"""Dates, as fields of HTTP have them."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["seconds_of"]


def seconds_of(date: bytes) -> float | None:
    """
    A date of HTTP, in any of its three forms (RFC 9110 section 5.6.7), in seconds since the epoch; None if it is none.

    An asctime names no zone; all of them are in UTC.
    """
    try:
        found = parsedate_to_datetime(date.decode("ascii"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None
