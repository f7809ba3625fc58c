"""What is told on stderr while it happens: text for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any, Final
from urllib.parse import urlsplit

import click

from .ending import printing
from .words import in_options

__all__ = ["ATTEMPTS", "ERRORS", "FILES", "RUN", "Log", "printable"]

# How verbose one has to be to be told.
ERRORS: Final = -1
RUN: Final = 0
FILES: Final = 1
ATTEMPTS: Final = 2

_TOLD: Final = {"unverified": RUN, "attempt_failed": FILES, "waiting": ATTEMPTS}
"""Of what the library tells through Twisted's log."""

BACKLOG: Final = 10_000
"""Events of the reactor thread that wait to be written.  It does not wait for a terminal, and memory has an end."""


def printable(text: str) -> str:
    """Without what moves a terminal's cursor."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


class Log:
    """
    Lines on stderr.

    @ivar verbosity: how much is told; C{as_json}: in which form.
    @ivar backlog: lines that are not written yet.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.verbosity: int = ERRORS if options["quiet"] else int(options["verbose"])
        self.as_json = options.get("log_format") == "json"
        self.backlog: deque[str] = deque(maxlen=BACKLOG)
        self._writing = threading.Lock()
        self._waits: dict[str, tuple[float, str]] = {}

    def tell(self, event: str, text: str, at: int = RUN, level: str = "info", **facts: Any) -> None:
        """
        Something has happened.

        @param text: for people.
        @param at: how verbose one has to be to be told.
        @param facts: for programs.
        """
        if at <= self.verbosity:
            self.backlog.append(self._line(event, text, level, time(), facts))
            self.write()

    def _line(self, event: str, text: str, level: str, when: float, facts: Mapping[str, Any]) -> str:
        if not self.as_json:
            return printable(text)
        stamp = datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"time": stamp, "level": level, "event": event, "message": text, **facts})

    def write(self) -> None:
        """Write what the reactor thread has told meanwhile.  In any thread but that one: it may block."""
        with self._writing:
            while self.backlog:
                with printing():
                    click.echo(self.backlog.popleft(), err=True)

    # what the library tells

    def listen(self) -> None:
        """From now on, for as long as the process lasts: the first who listens is the one who hears."""
        from twisted.logger import globalLogBeginner

        global _listener  # noqa: PLW0603  # a process has one log
        if _listener is None:
            _listener = self
            hear: Any = self.hear
            globalLogBeginner.beginLoggingTo([hear], discardBuffer=True, redirectStandardIO=False)

    def hear(self, event: Mapping[str, Any]) -> None:
        """An event of Twisted's log.  In the reactor thread: it is written by another."""
        name, when = event.get("event"), event["log_time"]
        level = event["log_level"].name
        if event.get("log_namespace") == "pulp_dl" and name is not None:
            event = {**event, "log_format": in_options(event["log_format"])}
            if event.get("cause"):
                event["cause"] = in_options(event["cause"])
            if name == "waiting":
                self._waits[urlsplit(event["url"]).netloc] = (monotonic() + event["seconds"], event["cause"])
            if _TOLD.get(name, ATTEMPTS) <= self.verbosity:
                facts = {key: value for key, value in event.items() if not key.startswith("log_") and key != "event"}
                self.backlog.append(self._line(name, _text(event), level, when, facts))
        elif level == "warn" and event.get("log_namespace", "").startswith("pulp_dl.mirrors."):
            if self.verbosity >= RUN:
                facts = {key: str(event[key]) for key in ("url", "number", "reason", "error") if key in event}
                self.backlog.append(self._line("mirrors", f"Warning: {_text(event)}", level, when, facts))
        elif level in {"error", "critical"}:
            # What nobody has foreseen; it must not get lost.
            self.backlog.append(self._line("error", _text(event), "error", when, {}))

    @property
    def waits(self) -> list[tuple[str, float, str]]:
        """Hosts that are waited for now: the name, for how many seconds still, and why."""
        now = monotonic()
        for host, (until, _) in tuple(self._waits.items()):
            if until <= now:
                with suppress(KeyError):
                    del self._waits[host]
        return [(host, until - now, cause) for host, (until, cause) in tuple(self._waits.items())]


_listener: Log | None = None


def _text(event: Mapping[str, Any]) -> str:
    from twisted.logger import eventAsText

    return eventAsText(event, includeTimestamp=False, includeSystem=False)  # type: ignore[arg-type]  # a Mapping does
