"""What was done: for people on stderr, for programs on stdout, for shells as an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import click

from .codes import AUTH, DISK, INTERRUPTED, INVALID, NETWORK, NOT_FOUND, SOME, TLS, USAGE
from .ending import NotTaken, ending
from .log import ATTEMPTS, ERRORS, FILES, RUN, Log
from .signals import Interrupted
from .words import in_options

if TYPE_CHECKING:
    from ..blocking import Outcomes
    from ..consumers.around import Counted, Progress
    from ..model.report import Attempt, Outcome

__all__ = ["DISK", "INVALID", "SOME", "USAGE", "Failed", "Summary", "code_of", "concluding", "size_text"]

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
        ((errors.TLSFailed, errors.HostKeyFailed), TLS),
        ((errors.ValidationError, errors.TooLarge), INVALID),
        (errors.ConsumerFailed, DISK),
        (errors.RedirectRefused, NETWORK),
        ((errors.Refused, errors.UnsupportedScheme), USAGE),
        (errors.DownloadError, NETWORK),
        (ManifestError, INVALID),
    )
    if isinstance(error, errors.ProxyFailed) and error.login_refused:
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


class _Unprintable(click.ClickException):
    exit_code = DISK


@contextmanager
def concluding(ctx: click.Context, summary: Summary) -> Iterator[None]:
    """Ends the command: whatever happens in the block, the summary is told."""
    try:
        yield
    except Failed as error:
        summary.fail(error, error.path)
    except Interrupted as interrupted:
        with suppress(NotTaken):
            summary.close(interrupted.code)
        raise
    ctx.exit(summary.close())


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

    @ivar files: how many are wanted in all, if that is known; a line of a list that cannot be used is one of them.
    @ivar total: how many bytes they have, if that is known before they come; C{there}: how many of these were there
        already.
    @ivar aside: bytes that came to tell what is wanted, and count for nothing else.
    @ivar fetched: files that were brought; C{present}: files that were there already; C{failed}: files that were not
        brought; C{wanted}: files that a dry run would fetch.
    @ivar replaced: of those that were fetched, or would be, the files that were there with another size or digest.
    @ivar deleted: what C{--delete} removed, or would remove; None without it.
    @ivar failures: what is known of them, up to a limit.
    @ivar received: bytes that came over the network, also those of attempts that failed.
    @ivar gave_up: it was left at the first failure, as somebody wanted.
    @ivar remedy: what to do about something that stands where a file is to be, if nobody can give another path for it.
    @ivar log: where it is told what happens meanwhile.
    """

    def __init__(self, options: dict[str, Any], *, dry_run: bool = False) -> None:
        self._as_json: bool = options["as_json"]
        if self._as_json and sys.stdout is None:
            raise _Unprintable("stdout is closed, where --json would be printed")
        self.quiet: bool = options["quiet"]
        self.log = Log(options)
        self._ending = ending()
        self._ending.account = self.account
        self._ending.verbose = self.log.verbosity >= ATTEMPTS
        self.dry_run = dry_run
        self.files: int | None = None
        self.total: int | None = None
        self.there = self.aside = 0
        self.fetched = self.present = self.failed = self.wanted = self.received = self.replaced = 0
        self.deleted: int | None = None
        self.gave_up = False
        self.remedy: str | None = None
        self.failures: list[dict[str, str | None]] = []
        self._files: list[dict[str, Any]] | None = None
        self._parts: list[str] = []
        self._codes: set[int] = set()
        self._begun = monotonic()

    def list_files(self) -> None:
        """Also keep what was fetched; for lists that are short."""
        self._files = []

    def follow(
        self,
        outcomes: Outcomes,
        progress: Progress,
        path: Callable[[Outcome], str] = lambda outcome: outcome.tag,
        *,
        fail_fast: bool = False,
    ) -> None:
        """
        Add downloads as they end.  When it is left before the last one, those that ended beside it are added, too: they
        are at their paths.

        @param path: where one of them goes, for people.
        @param fail_fast: leave at the first failure, whatever it is of.
        """
        running: tuple[Counted, ...] = ()
        try:
            with outcomes:
                for outcome in outcomes:
                    self.add(outcome, path(outcome))
                    if fail_fast and self.failed:
                        running = progress.running
                        break
        finally:
            for outcome in outcomes.untaken:
                self.add(outcome, path(outcome))
        if fail_fast and self.failed:
            self.gave_up = True
            self.left(running, progress.brought)

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
        if self._files is None and self.log.verbosity < FILES:
            return
        last = report.attempts[-1]
        facts = {name: value for name, value in report.facts.items() if name != "size"}
        found: dict[str, Any] = {"url": last.url, "path": path, "size": report.size, **facts}
        self._tell_attempt(last, report.head.url)
        text = f"fetched {path}: {size_text(report.size)}"
        self.log.tell("fetched", text, FILES, seconds=report.seconds, attempts=len(report.attempts), **found)
        if self._files is not None:
            self._files.append(found)

    def _tell_attempt(self, attempt: Attempt, answered: str) -> None:
        """One that went well; the others are told by the library, when they fail."""
        if self.log.verbosity < ATTEMPTS or attempt.error is not None:  # all bytes were there, and it failed then
            return
        from ..urls import shown

        names = ("url", "status", "offset", "received", "seconds")
        facts: dict[str, Any] = {name: getattr(attempt, name) for name in names}
        facts["answered"] = shown(answered)
        elsewhere = f", from {facts['answered']}" if facts["answered"] != attempt.url else ""
        self.log.tell("attempt", f"attempt: {attempt}{elsewhere}", ATTEMPTS, "debug", **facts)

    def fail(self, error: Exception, path: str, attempts: tuple[Attempt, ...] = ()) -> None:
        """Something that was wanted is not there."""
        from ..errors import ConsumerFailed

        self.failed += 1
        self._codes.add(code_of(error))
        message = in_options(str(error))
        if isinstance(error, ConsumerFailed) and self.remedy is not None:
            message = message.replace("; give another path", f"; {self.remedy}")
        known: dict[str, Any] = {"path": path, "url": getattr(error, "url", None), "error": type(error).__name__}
        # For people they stand at the end once more, where they are seen.
        at = ERRORS if self.log.as_json else FILES
        text = f"failed {path}: {message}"
        self.log.tell("failed", text, at, "error", cause=message, attempts=len(attempts), **known)
        if len(self.failures) < LISTED:
            self.failures.append({**known, "message": message})

    def say(self, text: str) -> None:
        """For who asked to hear of each file."""
        self.log.tell("note", text, FILES)

    def warn(self, text: str) -> None:
        """Something about mirrors, for whoever wants to hear of the run at all."""
        self.log.tell("mirrors", f"Warning: {text}", RUN, "warn")

    def left(self, downloads: Iterable[Counted], brought: int) -> None:
        """
        It did not come to its end.

        @param downloads: what was under way.
        @param brought: bytes that came, also those of downloads that did not end.
        """
        from ..consumers.note import PART

        self.received = max(self.received, brought - self.aside)
        paths = (getattr(each.consumer, "path", None) for each in downloads)
        self._parts = sorted(path + PART for path in paths if path is not None)

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
        self.log.write()
        if self.failures and not self.log.as_json:
            listed = "".join(f"\n  {each['path']}: {each['message']}" for each in self.failures)
            more = f"\n  and {self.failed - LISTED} more" if self.failed > LISTED else ""
            self.log.tell("failures", f"{self.failed} failed:{listed}{more}", ERRORS)
        self._parts = [path for path in self._parts if os.path.exists(path)]  # noqa: PTH110  # any str is fine
        stopped = self.gave_up or interrupted is not None
        found = self._object(code, seconds, stopped=stopped)
        event = "done" if interrupted is None else "interrupted"
        counts = {name: value for name, value in found.items() if name not in {"ok", "files", "failures"}}
        self.log.tell(event, self._text(seconds, stopped=stopped), **counts)
        if self._as_json:
            self._ending.give(found)
        return code

    def account(self, code: int) -> dict[str, Any]:
        """What was done so far, for programs; C{code} is what it ends with."""
        return self._object(code, monotonic() - self._begun, stopped=code >= INTERRUPTED)

    def _text(self, seconds: float, *, stopped: bool) -> str:
        done = f"{self.wanted} to fetch" if self.dry_run else f"{self.fetched} fetched"
        there = f", {self.present} already there" if self.present else ""
        there += f", {self.replaced} there but wrong" if self.replaced else ""
        there += f", {self.deleted} {'to delete' if self.dry_run else 'deleted'}" if self.deleted else ""
        failed = f", {self.failed} failed" if self.failed else ""
        amount = f"{size_text(self.received)} in {seconds:.1f} s"
        if not stopped:
            return f"{done}{there}{failed}; {amount}"
        left = "" if self._left is None else f", {self._left} left"
        kept = ""
        if self._parts:
            many = f"{len(self._parts)} parts are" if len(self._parts) > 1 else "a part is"
            kept = f"; {many} kept in {_directory(self._parts)}"
        said = f"{done}{there}{failed}{left}; {amount}{kept}"
        if self.gave_up:
            return f"stopped at the first failure: {said}"
        return f"interrupted: {said}; run the same command again to go on"

    @property
    def _left(self) -> int | None:
        """How many of the files nobody knows anything of yet."""
        known = self.fetched + self.wanted + self.present + self.failed
        return None if self.files is None else max(0, self.files - known)

    @property
    def lists(self) -> bool:
        """Whether stdout is free for lists."""
        return not self._as_json

    def _object(self, code: int, seconds: float, *, stopped: bool) -> dict[str, Any]:
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
        if self.replaced:
            found["replaced"] = self.replaced
        if self.deleted is not None:
            found["deleted"] = self.deleted
        if stopped:
            found |= {"left": self._left, "parts": self._parts}
        if self._files is not None:
            found["files"] = self._files
        return found | {"failures": self.failures}


def _directory(paths: Sequence[str]) -> str:
    """Where all of them are."""
    return os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120  # as above
