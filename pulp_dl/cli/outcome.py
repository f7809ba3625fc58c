"""What was done: for people on stderr, for programs on stdout, for shells as an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import click

from .signals import Interrupted
from .words import in_options

if TYPE_CHECKING:
    from ..model.report import Outcome

__all__ = ["DISK", "INVALID", "SOME", "USAGE", "Failed", "Summary", "code_of", "concluding", "printable", "size_text"]

SOME: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NETWORK: Final = 4
TLS: Final = 5
AUTH: Final = 6
INVALID: Final = 7
DISK: Final = 8

LISTED: Final = 1000
"""Failures that are kept in memory to be listed; the others are counted."""


def code_of(error: Exception) -> int:
    """The exit code for one failure."""
    from .. import errors
    from ..importers.file import ManifestError

    if isinstance(error, Failed):
        return error.code
    # The first that fits; a class stands before its parent.
    kinds = (
        (errors.NotFound, NOT_FOUND),
        (errors.AuthFailed, AUTH),
        (errors.TLSFailed, TLS),
        ((errors.ValidationError, errors.TooLarge), INVALID),
        (errors.ConsumerFailed, DISK),
        ((errors.Refused, errors.UnsupportedScheme), USAGE),
        (errors.DownloadError, NETWORK),
        (ManifestError, INVALID),
    )
    if isinstance(error, errors.ProxyFailed) and error.status == 407:
        return AUTH
    return next((code for kind, code in kinds if isinstance(error, kind)), SOME)


class Failed(Exception):
    """
    Nothing (more) can be done.

    @ivar path: what is in the way; C{code}: the exit code.
    """

    def __init__(self, message: str, path: str, code: int) -> None:
        super().__init__(message)
        self.path = path
        self.code = code


@contextmanager
def concluding(ctx: click.Context, summary: Summary) -> Iterator[None]:
    """Ends the command: whatever happens in the block, the summary is told."""
    try:
        yield
    except Failed as error:
        summary.fail(error, error.path)
    except Interrupted as interrupted:
        summary.close(interrupted.code)
        raise
    ctx.exit(summary.close())


def printable(text: str) -> str:
    """Without what moves a terminal's cursor."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def size_text(size: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


class Summary:
    """
    Counts what was done.

    @ivar fetched: files that were brought; C{present}: files that were there already; C{failed}: files that were not
        brought; C{wanted}: files that a dry run would fetch.
    @ivar failures: what is known of them, up to a limit.
    @ivar received: bytes that came over the network, also those of attempts that failed.
    """

    def __init__(self, options: dict[str, Any], *, dry_run: bool = False) -> None:
        self._as_json: bool = options["as_json"]
        self.verbose: bool = options["verbose"]
        self.quiet: bool = options["quiet"]
        self.dry_run = dry_run
        self.fetched = self.present = self.failed = self.wanted = self.received = 0
        self.failures: list[dict[str, str | None]] = []
        self._files: list[dict[str, Any]] | None = None
        self._codes: set[int] = set()
        self._begun = monotonic()

    def list_files(self) -> None:
        """Also keep what was fetched; for lists that are short."""
        self._files = []

    def add(self, outcome: Outcome, path: str) -> None:
        """One download has ended."""
        if outcome.error is not None:
            self.received += sum(each.received for each in outcome.error.attempts)
            self.fail(outcome.error, path, outcome.error.attempts)
            return
        report = outcome.report
        assert report is not None
        self.fetched += 1
        self.received += sum(each.received for each in report.attempts)
        self.say(f"fetched {path}: {size_text(report.size)}", report.attempts)
        if self._files is not None:
            facts = {name: value for name, value in report.facts.items() if name != "size"}
            self._files.append({"url": report.attempts[-1].url, "path": path, "size": report.size, **facts})

    def fail(self, error: Exception, path: str, attempts: tuple[Any, ...] = ()) -> None:
        """Something that was wanted is not there."""
        self.failed += 1
        self._codes.add(code_of(error))
        message = in_options(str(error))
        self.say(f"failed {path}: {message}", attempts)
        if len(self.failures) < LISTED:
            url = getattr(error, "url", None)
            self.failures.append({"path": path, "url": url, "error": type(error).__name__, "message": message})

    def say(self, text: str, attempts: tuple[Any, ...] = ()) -> None:
        """For who asked to hear of each file."""
        if not self.verbose:
            return
        click.echo(printable(text), err=True)
        for each in attempts if len(attempts) > 1 else ():
            click.echo(printable(in_options(f"  {each}")), err=True)

    @property
    def code(self) -> int:
        """0; what all failures have in common; or 1."""
        if not self._codes:
            return 0
        return min(self._codes) if len(self._codes) == 1 else SOME

    def close(self, interrupted: int | None = None) -> int:
        """
        Tell what was done.

        @param interrupted: the exit code, if it was not done to its end.
        @return: the exit code.
        """
        code = self.code if interrupted is None else interrupted
        seconds = monotonic() - self._begun
        if self.failures:
            listed = "".join(f"\n  {each['path']}: {each['message']}" for each in self.failures)
            more = f"\n  and {self.failed - LISTED} more" if self.failed > LISTED else ""
            click.echo(printable(f"{self.failed} failed:{listed}{more}"), err=True)
        if not self.quiet:
            done = f"{self.wanted} to fetch" if self.dry_run else f"{self.fetched} fetched"
            there = f", {self.present} already there" if self.present else ""
            failed = f", {self.failed} failed" if self.failed else ""
            stopped = "interrupted: " if interrupted is not None else ""
            amount = f"{size_text(self.received)} in {seconds:.1f} s"
            click.echo(f"{stopped}{done}{there}{failed}; {amount}", err=True)
        if self._as_json:
            click.echo(json.dumps(self._object(code, seconds)))
        return code

    @property
    def lists(self) -> bool:
        """Whether stdout is free for lists."""
        return not self._as_json

    def _object(self, code: int, seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = {"ok": code == 0, "exit_code": code}
        if self.dry_run:
            found["wanted"] = self.wanted
        found |= {
            "fetched": self.fetched,
            "present": self.present,
            "failed": self.failed,
            "bytes": self.received,
            "seconds": round(seconds, 3),
        }
        if self._files is not None:
            found["files"] = self._files
        return found | {"failures": self.failures}
