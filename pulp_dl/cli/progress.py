"""A line every few seconds; on a terminal, with rich installed, one line that moves."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click

from .outcome import Summary, size_text

if TYPE_CHECKING:
    from ..consumers.around import Progress

__all__ = ["Ticker"]

INTERVAL: Final = 3.0
LIVE_INTERVAL: Final = 0.25
WINDOW: Final = 12
"""How many ticks back the rate is measured from, where they are short."""


class Ticker:
    """Tells on stderr how it goes, for as long as the block lasts, from a thread of its own."""

    def __init__(self, summary: Summary, progress: Progress, *, whole: bool = False) -> None:
        """
        @param whole: all that will come has been begun, or soon will be, so that a share of it can be told.
        """
        self._whole = whole
        self._summary = summary
        self._progress = progress
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
        if self._thread.is_alive():
            self._thread.join(1)  # it gives the cursor back

    def _run(self) -> None:
        live = not self._summary.verbose and sys.stderr.isatty() and _has_rich()
        before = deque([(monotonic(), 0)], maxlen=WINDOW if live else 1)
        with _live() if live else _plain() as tell:
            while not self._over.wait(LIVE_INTERVAL if live else INTERVAL):
                now, size = monotonic(), self._progress.size
                then, size_then = before[0]
                before.append((now, size))
                tell(self._line(size, max(0, size - size_then) / (now - then)))

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


@contextmanager
def _plain() -> Iterator[Callable[[str], object]]:
    yield lambda line: click.echo(line, err=True)


@contextmanager
def _live() -> Iterator[Callable[[str], object]]:
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


def _has_rich() -> bool:
    try:
        import rich.console  # noqa: F401  # the extra "progress"
    except ImportError:
        return False
    return True
