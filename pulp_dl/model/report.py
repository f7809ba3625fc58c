"""What was done."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from attrs import field, frozen

from ..errors import BadStatus, ConnectFailed, ConsumerFailed, ConsumerGone, DownloadError, TimedOut, ValidationError
from ..urls import shown
from .source import Head, Source

__all__ = ["Attempt", "Outcome", "Report"]


@frozen(eq=False)
class Attempt:
    """
    One try at one place.

    @ivar offset: how many bytes were there already when it began.
    @ivar received: bytes that this attempt brought.
    @ivar seconds: how long it took; C{open_seconds} of them while the consumer was ready to take bytes.
    @ivar error: why it failed, or None.
    @ivar waited: seconds from its question to the answer; None if there was none, or nobody judges places by it.
    @ivar head: the answer, or None.  It is not pickled.
    @ivar outrun: it has neither failed nor succeeded: it took long to answer, another place was asked beside it, and
        one of the two, not this one, was first.
    @ivar yielded: its consumer took nothing, so it has given its connection to who waited, and goes on with another.
        Mirrors are told of each connection; among the attempts of a download they are one, with the sums of all.
    """

    source: Source = field(repr=False)
    offset: int
    received: int
    seconds: float
    open_seconds: float
    status: int | None
    error: DownloadError | None
    waited: float | None = None
    head: Head | None = field(default=None, repr=False)
    outrun: bool = field(default=False, kw_only=True)
    yielded: bool = field(default=False, kw_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        # An error is pickled with its attempts, and what stores it is no place for secrets: of the source only what may
        # be printed goes along.
        names = ("offset", "received", "seconds", "open_seconds", "status", "error", "waited")
        values = (getattr(self, name) for name in names)
        return partial(type(self), outrun=self.outrun, yielded=self.yielded), (Source(self.url), *values)

    @property
    def url(self) -> str:
        """The place, fit to be printed."""
        return shown(self.source.url)

    @property
    def phase(self) -> str:
        """
        How far it came: C{"connect"}, C{"head"}, C{"body"}, C{"check"} (the bytes are not what was expected),
        C{"consumer"} (they could not be kept), or C{"done"}; C{"outrun"}, if another place was faster.
        """
        error = self.error
        if self.outrun:
            return "outrun"
        if error is None:
            return "done"
        if isinstance(error, ConsumerFailed | ConsumerGone):
            return "consumer"
        if isinstance(error, ValidationError):
            return "check"
        if self.status is not None and not isinstance(error, BadStatus):
            return "body"
        early = error.phase == "connect" if isinstance(error, TimedOut) else isinstance(error, ConnectFailed)
        return "connect" if early else "head"

    def __str__(self) -> str:
        if self.outrun:
            what = "outrun: another place was first to answer"
        else:
            what = "ok" if self.error is None else f"{type(self.error).__name__}: {self.error.message}"
        return f"{self.url}: {self.received} bytes from {self.offset} in {self.seconds:.2f} s: {what}"


@frozen(eq=False)
class Report:
    """
    A download that went well.

    @ivar head: the head that the consumer was given.
    @ivar size: bytes that the consumer was given.
    @ivar facts: what the checks found: C{{"sha256": "...", "size": 3}}.
    @ivar advisories: mismatches of expectations that are not enforced.
    @ivar attempts: every attempt, the one that succeeded last.
    @ivar validated: True if something was expected of the body and enforced, and held.
    """

    source: Source
    head: Head
    size: int
    facts: Mapping[str, object]
    advisories: tuple[ValidationError, ...]
    attempts: tuple[Attempt, ...]
    seconds: float
    validated: bool


@frozen(eq=False)
class Outcome:
    """
    How one of many downloads ended: with a C{report}, or with an C{error}.

    @ivar source: what was asked for; C{source.tag} is the caller's own.
    """

    source: Source
    report: Report | None = None
    error: DownloadError | None = None

    @property
    def tag(self) -> Any:
        """The caller's own link to this file."""
        return self.source.tag

    @property
    def ok(self) -> bool:
        return self.error is None
