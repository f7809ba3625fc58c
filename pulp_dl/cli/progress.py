"""A line every few seconds; on a terminal, with rich installed, lines that move."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from .ending import NotTaken
from .outcome import Summary
from .signals import on_interrupt

if TYPE_CHECKING:
    from ..consumers.around import Counted, Progress
    from .figures import Figures

__all__ = ["Ticker"]

INTERVAL: Final = 3.0
LIVE_INTERVAL: Final = 0.25

_SHOW_CURSOR: Final = b"\r\n\x1b[?25h"


class Ticker:
    """
    Tells on stderr how it goes, for as long as the block lasts, from a thread of its own; also what the library's log
    has to say.
    """

    def __init__(self, summary: Summary, progress: Progress, *, whole: bool = False) -> None:
        """
        @param whole: C{summary.files} are all that C{progress} counts, so that a share of their bytes can be told.
        """
        self._whole = whole
        self._summary = summary
        self._progress = progress
        self._running: tuple[Counted, ...] = ()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulp-dl progress", daemon=True)
        self._stack = ExitStack()
        self._live = False

    def __enter__(self) -> Self:
        self._summary.log.listen()
        self._live = not self._summary.quiet and _is_for_bars(self._summary)
        self._stack.enter_context(on_interrupt(self._interrupted, self._last))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(1)  # it gives the cursor back
        self._stack.close()
        if error is not None and not isinstance(error, Exception):
            self._summary.left(self._running, self._progress.brought)

    def _interrupted(self) -> None:
        self._running = self._progress.running

    def _last(self) -> None:
        if self._live:
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)

    def _run(self) -> None:
        from .figures import Meter

        log, meter, ticks = self._summary.log, Meter(self._summary, self._progress, whole=self._whole), 0
        often = self._live or log.verbosity > 0
        with suppress(OSError, NotTaken), self._display() as tell:
            while not self._over.wait(LIVE_INTERVAL if often else INTERVAL):
                ticks += 1
                log.write()
                if self._live or not often or ticks % round(INTERVAL / LIVE_INTERVAL) == 0:
                    tell(meter.read())

    def _display(self) -> AbstractContextManager[Callable[[Figures], None]]:
        if self._live:
            from .bars import bars

            return bars()
        return nullcontext(lambda figures: self._summary.log.tell("progress", figures.line, **figures.facts))


def _is_for_bars(summary: Summary) -> bool:
    """Whether a person looks, who sees nothing else there that moving lines would disturb."""
    if summary.log.verbosity or summary.log.as_json or sys.stderr is None or not sys.stderr.isatty():
        return False
    if summary.dry_run and sys.stdout is not None and sys.stdout.isatty():
        return False
    return os.environ.get("TERM", "dumb") not in {"dumb", "unknown"} and _has_rich()


def _has_rich() -> bool:
    try:
        import rich.console  # noqa: F401  # the extra "progress"
    except ImportError:
        return False
    return True
