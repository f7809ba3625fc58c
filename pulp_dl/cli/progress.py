"""A line every few seconds."""

from __future__ import annotations

import threading
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click

from .outcome import Summary, size_text

if TYPE_CHECKING:
    from ..consumers.around import Progress

__all__ = ["Ticker"]

INTERVAL: Final = 3.0


class Ticker:
    """Tells on stderr how it goes, for as long as the block lasts, from a thread of its own."""

    def __init__(
        self, summary: Summary, progress: Progress, *, whole: bool = False, interval: float = INTERVAL
    ) -> None:
        """
        @param whole: all that will come has been begun, or soon will be, so that a share of it can be told.
        """
        self._whole = whole
        self._summary = summary
        self._progress = progress
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulp-dl progress", daemon=True)

    def __enter__(self) -> Self:
        if not self._summary.quiet:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()

    def _run(self) -> None:
        before, size_before = monotonic(), 0
        while not self._over.wait(self._interval):
            now, size = monotonic(), self._progress.size
            rate = max(0, size - size_before) / (now - before)
            before, size_before = now, size
            click.echo(self._line(size, rate), err=True)

    def _line(self, size: int, rate: float) -> str:
        done = self._summary
        counts = f"{done.fetched} fetched"
        if done.present:
            counts += f", {done.present} already there"
        if done.failed:
            counts += f", {done.failed} failed"
        expected = self._progress.expected
        share = f" of {size_text(expected)} ({size / expected:.0%})" if self._whole and expected else ""
        return f"{counts}; {size_text(size)}{share}, {size_text(rate)}/s"
