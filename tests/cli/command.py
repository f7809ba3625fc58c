"""The command, run as people run it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen
from click.testing import CliRunner
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from pulp_dl.cli import main
from pulp_dl.consumers.root import SUFFIX

ROOT = Path(__file__).parent.parent.parent


MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
"""Before a command: permissions hold for it, even if it is root's."""


@frozen
class End:
    """How a run of it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object that it printed."""
        return json.loads(self.out)


class Run:
    """A run of the command that is under way."""

    def __init__(self, *args: object, cwd: Path, before: Sequence[str] = (), **environment: str) -> None:
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", "pulp_dl", *map(str, args)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::ResourceWarning", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self._process.send_signal(number)

    def writes_below(self, directory: Path) -> bool:
        """Whether it has a file open there, be it without a name; its lock is none."""
        opened = Path(f"/proc/{self._process.pid}/fd")
        for each in os.listdir(opened):
            with suppress(FileNotFoundError):
                name = os.readlink(opened / each)
                if name.startswith(f"{directory}/") and not name.endswith(SUFFIX) and not Path(name).is_dir():
                    return True
        return False

    @property
    def sleeps(self) -> bool:
        """It waits for something."""
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    def ended(self, timeout: float = 30) -> Deferred[End]:
        """Fires with its end; fails with TimeoutExpired, and kills it, if it hangs."""

        def wait() -> End:
            try:
                out, err = self._process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
                raise
            return End(self._process.returncode, out.decode(errors="surrogateescape"), err.decode())

        return deferToThread(wait)


def run(*args: object, cwd: Path, before: Sequence[str] = (), **environment: str) -> Deferred[End]:
    """Fires with the end of C{pulp-dl ...}."""
    return Run(*args, cwd=cwd, before=before, **environment).ended()


def on_terminal(*args: object, cwd: Path, answers: Mapping[bytes, bytes] = {}) -> Deferred[tuple[int, bytes]]:
    """
    Fires with the exit code, and with all that was shown.

    @param answers: what is typed when something is shown, in order.
    """
    ours, theirs = pty.openpty()
    waiting = list(answers.items())

    def run() -> tuple[int, bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pulp_dl", *map(str, args)],
            cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO: the other side is closed
            while data := os.read(ours, 65536):
                shown += data
                if waiting and waiting[0][0] in shown:
                    os.write(ours, waiting.pop(0)[1])
        os.close(ours)
        return process.wait(), shown

    return deferToThread(run)


def refused(*args: object) -> End:
    """How a call ends that is not worth a process, because nothing is begun."""
    result = CliRunner().invoke(main, [str(each) for each in args])
    return End(result.exit_code, result.stdout, result.stderr)


def fill(root: Path, files: Mapping[str, bytes]) -> None:
    """A repository of these files, and its manifest."""
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    lines = (f"{path},{hashlib.sha256(data).hexdigest()},{len(data)}\n" for path, data in files.items())
    (root / "PULP_MANIFEST").write_text("".join(lines))


def files(directory: Path) -> dict[str, bytes]:
    """All that is in a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if not path.is_dir()}
