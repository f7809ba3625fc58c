"""How far a run is, in numbers and in words."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from .outcome import size_text

if TYPE_CHECKING:
    from ..consumers.around import Counted, Progress
    from .outcome import Summary

__all__ = ["Figures", "Meter", "duration_text"]

WINDOW: Final = 10.0
"""Seconds over which the rate is measured."""

SLOW: Final = 1.0
"""Seconds after which a file is worth a line of its own; the names of quick ones would only flicker."""


def duration_text(seconds: float) -> str:
    """Seconds for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60 % 60, whole // 3600
    if hours < 100:
        return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
    return f"{hours // 24} days"


@frozen
class Figures:
    """
    What can be said at one instant.

    @ivar done: files that have ended; C{files}: how many there are in all, or None.
    @ivar total: bytes that will have come at the end, or None if that is not known (yet).
    @ivar fraction: of the work that is done, from 0 to 1, or None.
    @ivar rate: bytes a second; C{left}: seconds until the end, or None.
    @ivar slow: files that are under way for some time, the oldest first, each with the fraction that is there.
    @ivar waits: hosts that are waited for: the name, for how many seconds still, and why.
    """

    fetched: int
    present: int
    failed: int
    files: int | None
    size: int
    total: int | None
    fraction: float | None
    rate: float
    left: float | None
    slow: list[tuple[str, float | None]] = field(factory=list)
    waits: list[tuple[str, float, str]] = field(factory=list)

    @property
    def done(self) -> int:
        return self.fetched + self.present + self.failed

    @property
    def line(self) -> str:
        """All of it in a line, for who sees no bars."""
        counts = f"{self.fetched} fetched"
        if self.present:
            counts += f", {self.present} already there"
        if self.failed:
            counts += f", {self.failed} failed"
        if self.files is not None and self.files > 1:
            counts += f", of {self.files}"
        percent = "" if self.fraction is None else f" ({self.fraction:.0%})"
        if self.total is None:
            counts, share = counts + percent, ""
        else:
            share = f" of {size_text(self.total)}{percent}"
        left = "" if self.left is None else f", {duration_text(self.left)} left"
        waits = "".join(f"; waiting {duration_text(seconds)} for {host}" for host, seconds, _ in self.waits)
        return f"{counts}; {size_text(self.size)}{share}, {size_text(self.rate)}/s{left}{waits}"

    @property
    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        names = ("fetched", "present", "failed", "files", "total")
        numbers = {name: getattr(self, name) for name in names} | {"bytes": self.size, "rate": round(self.rate)}
        return numbers | {"left": None if self.left is None else round(self.left)}


class Meter:
    """Reads figures from what is counted."""

    def __init__(
        self, summary: Summary, progress: Progress, *, whole: bool, clock: Callable[[], float] = monotonic
    ) -> None:
        """
        @param whole: all files together are what C{summary.files} says, so that a sum of their bytes means something.
        """
        self._summary = summary
        self._progress = progress
        self._whole = whole
        self._clock = clock
        self._past: deque[tuple[float, int, float]] = deque([(clock(), 0, 0.0)])
        self._seen: dict[Counted, float] = {}

    def read(self) -> Figures:
        """The figures of now."""
        summary, progress = self._summary, self._progress
        now, brought, running = self._clock(), progress.brought, progress.running
        files, there, size = summary.files, summary.there, max(0, progress.size - summary.aside)
        done = summary.fetched + summary.present + summary.failed
        total, fraction = self._total(), None
        if total is not None:
            fraction = min(1.0, (there + size) / max(1, there + total))
        elif files is not None and files > 1:
            fraction = min(1.0, (done + sum(_fraction(each) or 0.0 for each in running)) / files)
        then, brought_then, fraction_then = self._past[0]
        self._past.append((now, brought, fraction or 0.0))
        while now - self._past[1][0] > WINDOW:
            self._past.popleft()
        elapsed = max(now - then, 1e-3)
        rate = max(0, brought - brought_then) / elapsed
        gained = (fraction or 0.0) - fraction_then
        left = None
        if total is not None:
            left = max(0, total - size) / rate if rate else None
        elif fraction is not None and gained > 0:
            left = (1 - fraction) * elapsed / gained
        return Figures(
            summary.fetched, summary.present, summary.failed, files, size, total, fraction, rate, left,
            slow=self._slow(running, now), waits=summary.log.waits,
        )  # fmt: skip

    def _total(self) -> int | None:
        summary, progress = self._summary, self._progress
        if summary.total is not None:
            return max(0, summary.total - summary.there)
        whole = self._whole and progress.begun == summary.files
        return progress.expected or None if whole else None

    def _slow(self, running: tuple[Counted, ...], now: float) -> list[tuple[str, float | None]]:
        self._seen = {each: self._seen.get(each, now) for each in running}
        seen = sorted(self._seen.items(), key=itemgetter(1))
        return [(_name(each), _fraction(each)) for each, since in seen if now - since >= SLOW]


def _fraction(download: Counted) -> float | None:
    expected = download.expected
    return min(1.0, download.size / expected) if expected else None


def _name(download: Counted) -> str:
    source = download.source
    if source is None:
        return "?"
    path = getattr(source.tag, "path", source.tag)
    return path if isinstance(path, str) else source.place.path.rpartition("/")[2]
