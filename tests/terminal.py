"""A command in a terminal, as a person sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final, Self

import pexpect
import pyte
from pexpect.fdpexpect import fdspawn

__all__ = ["Terminal"]

ROOT: Final = Path(__file__).parent.parent
PATIENCE: Final = 30
"""Seconds until a test that waits for something on the screen fails."""


class Terminal:
    r"""
    A process in a pseudo-terminal, and the screen that it draws.

    All methods but C{screen} block: where a server runs in the reactor, call them in a thread.

    >>> with Terminal.pulp_dl(["get", url], tmp_path) as terminal:
    ...     terminal.wait_for("Password")
    ...     terminal.press("secret\r")
    ...     assert terminal.exit_code() == 0
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        env: Mapping[str, str] | None = None,
        rows: int = 24,
        columns: int = 100,
    ) -> None:
        """
        @param env: what differs from this process's own environment.
        """
        self._pixels = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._pixels)
        self.typescript = ""
        self._ours, its = os.openpty()
        try:
            termios.tcsetwinsize(its, (rows, columns))
            # Not pexpect's own way to begin a process, which is a fork: this one has threads.
            self._process = subprocess.Popen(
                ["setsid", "--ctty", *command],
                cwd=cwd,
                env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **(env or {})},
                stdin=its,
                stdout=its,
                stderr=its,
            )
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(its)
        self._talk: Any = fdspawn(self._ours, encoding="utf-8", timeout=PATIENCE)
        self._talk.logfile_read = self

    @classmethod
    def pulp_dl(cls, arguments: Sequence[str], cwd: Path, **options: Any) -> Self:
        """The command of this checkout."""
        return cls([sys.executable, "-m", "pulp_dl", *arguments], cwd, **options)

    # what pexpect wants of a log file

    def write(self, text: str) -> None:
        self.typescript += text
        self._stream.feed(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    # what a person does

    @property
    def screen(self) -> str:
        """What stands on the screen, as of the last wait."""
        return "\n".join(line.rstrip() for line in self._pixels.display).rstrip()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, pattern: str) -> str:
        """Wait until something that matches is printed; returns it.  Fails with what stands on the screen."""
        try:
            self._talk.expect(pattern)
        except (pexpect.EOF, pexpect.TIMEOUT):
            raise AssertionError(f"{pattern!r} was not printed; the screen:\n{self.screen}") from None
        found: str = self._talk.match.group(0)
        return found

    def wait_until(self, shown: Callable[[str], bool]) -> None:
        """Wait until the screen is such.  Fails with what stands on it."""
        end = monotonic() + PATIENCE
        while not shown(self.screen):
            try:
                self._talk.read_nonblocking(size=1000, timeout=max(0, end - monotonic()))
            except (pexpect.EOF, pexpect.TIMEOUT):
                raise AssertionError(f"that was not shown; the screen:\n{self.screen}") from None

    def press(self, keys: str) -> None:
        r"""Type these keys; C{"\r"} is Enter, C{"\x03"} Ctrl-C."""
        self._talk.send(keys)

    def resize(self, rows: int, columns: int) -> None:
        """Make the window larger or smaller."""
        self._pixels.resize(rows, columns)
        termios.tcsetwinsize(self._ours, (rows, columns))

    @property
    def cursor(self) -> bool:
        """Whether it is to be seen, as of the last wait."""
        return not self._pixels.cursor.hidden

    def exit_code(self) -> int:
        """Wait for the end; returns what a shell would have in C{$?}."""
        try:
            self._talk.expect(pexpect.EOF)
        except pexpect.TIMEOUT:
            raise AssertionError(f"it has not ended; the screen:\n{self.screen}") from None
        code = self._process.wait(PATIENCE)
        return code if code >= 0 else 128 - code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._talk.close()
        try:
            self._process.wait(1)  # its terminal is gone, of which it was told
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
