"""A shell in a terminal, typed into as a page says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .snippets import agrees, commands
from .terminal import Terminal

__all__ = ["Shell"]

# What terminals understand as "a command has ended with this code"; nothing of it is seen.
ENDED: Final = r"\x1b]133;D;(\d+)\x07\$ "
REPORT: Final = r"printf '\e]133;D;%s\a' $?"
ASKED: Final = r"[Pp]ass(?:word|phrase)[^\r\n]*: ?$"


INTERRUPTED: Final = 130


class Shell:
    """
    One bash in one terminal.

    @ivar moments: each screen that was seen, in order.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], passwords: Mapping[str, str]) -> None:
        """
        @param passwords: what is typed where a prompt asks for the password of one of these names.
        """
        self.moments: list[str] = []
        self._passwords = passwords
        ours = {"PS1": "$ ", "PS2": "> ", "PROMPT_COMMAND": REPORT, "LC_ALL": "C.UTF-8"}
        bash = ["bash", "--noprofile", "--norc", "--noediting", "-o", "pipefail", "-i"]
        self._terminal = _Watched(self.moments, bash, folder, {**env, **ours})
        self._terminal.wait_for(ENDED)

    def follow(self, text: str) -> None:
        r"""
        Type each command; the screen has to be this text in the end.

        Each command has to succeed, unless C{echo $?} is the next.  Where the text has C{^C}, that is typed as soon as
        the screen is what stands before it; then 130 is a success.
        """
        told = ""
        code = 0
        for command, expected in commands(text):
            assert code == 0 or command == "echo $?", self._told(f"exit code {code}")
            self._type(command)
            told += "$ " + command.replace("\n", "\n> ") + "\n"
            before, interrupted, after = expected.partition("^C")
            if interrupted:
                self._terminal.wait_until(partial(agrees, expected=told + before))
                self._terminal.press("\x03")
            code = self._exit_code()
            code = 0 if interrupted and code == INTERRUPTED else code
            # What moves is gone from the screen in the end.
            told += "..." + after if interrupted else expected
        assert code == 0, self._told(f"exit code {code}")
        shown = self._terminal.screen.removesuffix("\n$")
        assert agrees(shown, told), self._told("the page says something else")

    def _type(self, command: str) -> None:
        *lines, last = command.split("\n")
        for line in lines:
            self._terminal.press(line + "\r")
            self._terminal.wait_for(r"\n> ")
        self._terminal.press(last + "\r")

    def _exit_code(self) -> int:
        while (ended := re.fullmatch(ENDED, found := self._terminal.wait_for(f"{ENDED}|{ASKED}"))) is None:
            known = [password for name, password in self._passwords.items() if name in found]
            assert known, self._told("nobody knows the password")
            self._terminal.press(known[0] + "\r")
        return int(ended[1])

    def _told(self, what: str) -> str:
        return f"{what}; the screen:\n{self._terminal.screen}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._terminal.__exit__(kind, error, traceback)


class _Watched(Terminal):
    """A terminal that somebody looks at all the time."""

    def __init__(self, moments: list[str], command: list[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._moments = moments
        super().__init__(command, cwd, env, rows=60, columns=150)

    def write(self, text: str) -> None:
        super().write(text)
        if [screen := self.screen] != self._moments[-1:]:
            self._moments.append(screen)
